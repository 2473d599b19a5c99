"""Make figure 7: a screenshot in Chromium of the page on which raters compare two answers.

It serves `preference.rate`'s own page for one pair of this study's answers. It needs Playwright's Python package and
Chromium (`apt-get install chromium`); without them, the figure states that it was not drawn, and what to install.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from falsepromise.core import browser, cli
from falsepromise.core.errors import UserError
from falsepromise.figures import draw
from falsepromise.preference.ballots import Ballots
from falsepromise.preference.pairs import Pair, read_pairs
from falsepromise.preference.rate import Server
from falsepromise.teacher.protocol import serving

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT, SCALE = 1080, 620, 2  # CSS pixels of the page, and pixels a CSS pixel
RATER = "rater"


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--prompts", type=Path, required=True, help="prompt records")
    parser.add_argument("--responses", type=Path, required=True, help="the model's answers")
    parser.add_argument("--reference", type=Path, required=True, help="the teacher's answers")
    parser.add_argument("--id", help="prompt to show; default: one whose two answers fit the page")
    parser.add_argument("--foot", default="", help="a line below the picture, such as the study's name")
    parser.add_argument(
        "--output", type=Path, default=Path("results/figures/fig7.pdf"), help="figure, with .svg and .png"
    )
    args = parser.parse_args(argv)
    pair = choose(read_pairs(args.prompts, args.responses, args.reference), args.id)
    problem = browser.missing()
    picture = None if problem else photograph(pair)
    with draw.style():
        foot = [args.foot] if args.foot else []
        figure = draw_figure(picture, foot) if picture else not_drawn(str(problem), foot)
        inputs = [args.prompts, args.responses, args.reference]
        draw.save(figure, args.output, "falsepromise.figures.fig7", inputs, {"prompt": pair.prompt_id})


def choose(pairs: Sequence[Pair], prompt: str | None = None) -> Pair:
    """The pair of a prompt, or the one whose question and answers fill the page best.

    Raises:
        UserError: the prompt doesn't exist.
    """
    if prompt is not None:
        found = next((pair for pair in pairs if pair.prompt_id == prompt), None)
        if found is None:
            raise UserError(f"no pair of answers to the prompt {prompt!r}; give an --id that both files have")
        return found

    def misfit(pair: Pair) -> float:
        longer, shorter = sorted((len(pair.left), len(pair.right)), reverse=True)
        return abs(longer - 700) + abs(longer - shorter) / 2 + len(pair.question) / 4

    return min(pairs, key=misfit)


def photograph(pair: Pair) -> bytes:
    """A PNG of the rating page with `pair`, for a rater without ratings.

    Raises:
        UserError: Chromium or Playwright is missing.
    """
    problem = browser.missing()
    if problem:
        raise UserError(f"Figure 7 is a picture of the rating page: {problem}; install it, or leave the figure out")
    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(Ballots(Path(folder) / "votes.sqlite", [pair], 0)) as ballots,
        serving(Server(ballots)) as url,
        sync_playwright() as driver,
        # The page is from this process, on the loopback address: it needs no sandbox, which root can't use.
        contextlib.closing(driver.chromium.launch(executable_path=browser.chromium(), args=["--no-sandbox"])) as opened,
    ):
        page = opened.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SCALE, color_scheme="light"
        )
        page.goto(url)
        page.fill("#name", RATER)
        page.keyboard.press("Enter")
        page.wait_for_selector("#pair:not([hidden])")
        tall = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": WIDTH, "height": min(int(tall), 2 * HEIGHT)})
        return page.screenshot()


def not_drawn(problem: str, foot: Sequence[str]) -> Figure:
    """The frame with the reason instead of its picture."""
    figure = draw.new_figure(draw.PAGE, draw.PAGE * HEIGHT / WIDTH / 2)
    axes = figure.subplots()
    _frame(axes)
    text = f"Not drawn here: {problem}.\nOnce it is installed: snakemake --forcerun fig7"
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    draw.foot(figure, foot)
    return figure


def draw_figure(picture: bytes, foot: Sequence[str]) -> Figure:
    """The framed picture in the page's text width, with the foot below."""
    import matplotlib.image

    pixels = matplotlib.image.imread(io.BytesIO(picture), format="png")
    height, width = pixels.shape[:2]
    figure = draw.new_figure(draw.PAGE, draw.PAGE * height / width + 0.12 + 0.1 * len(foot))
    axes = figure.subplots()
    axes.imshow(pixels, interpolation="none", aspect="equal")
    _frame(axes)
    draw.foot(figure, foot)
    return figure


def _frame(axes: Axes) -> None:
    """A thin frame instead of axes."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set(visible=True, color="#CCCCCC")


if __name__ == "__main__":
    cli.run(main)
