"""Texts of the report: captions, and an opening with what the run found.

They are made with the report, from the files that exist then, and name what is missing and why.
"""

from __future__ import annotations

import base64
import json
import textwrap
from pathlib import Path
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import read_json
from falsepromise.core.text import html
from falsepromise.study.stages.figures import FIGURES, TABLES, Shown, final
from falsepromise.study.study import Study

# Snakemake centres a page of any height, so that the top of a tall one can't be reached, and puts the graph of rules
# beside it. Here the page begins at its top, the graph comes below, and a phone has the menu above.
LAYOUT = (
    "<style>.h-screen.overflow-auto{align-items:flex-start}.gap-3.p-3.items-start{flex-direction:column}"
    ".prose.max-w-lg{max-width:52rem}.prose td:first-child{white-space:nowrap}"
    "@media(max-width:40rem){.w-screen.h-screen{flex-direction:column;height:auto}"
    ".w-screen.h-screen>.h-screen{height:auto;width:100%;justify-content:flex-start}"
    ".gap-3.p-3.items-start{max-width:100vw}.gap-3.p-3.items-start>*{max-width:100%;overflow-x:auto}}</style>"
)
LINE = 1000  # characters; docutils, which reads the opening, refuses lines of more than 10,000
MARKS = {"supported": "✓", "not supported": "✗", "can't tell": "?"}


class Report:
    """The texts for the templates of `workflow/report/`, as `snakemake.config["report"]`."""

    def __init__(self, study: Study):
        self.study = study

    def caption(self, output: Any) -> str:
        """The caption of a rule's outputs, by the name of the first."""
        return row_of(str(output[0])).caption

    def opening(self) -> str:
        """The study's name, figure 0, each claim's verdict, what is missing: lines of HTML, everything escaped."""
        study = self.study
        title = study.config.title or study.name
        parts = [LAYOUT, f"<p>Study <strong>{html(study.name)}</strong>: {html(title)}</p>"]
        picture = Path(study.results, "figures/fig0.svg")
        if picture.exists():
            data = " ".join(textwrap.wrap(base64.b64encode(picture.read_bytes()).decode(), LINE))  # blanks don't count
            parts.append(f'<img alt="Figure 0: style and capability" style="max-width:46rem;width:100%" '
                         f'src="data:image/svg+xml;base64,{data}">')  # fmt: skip
        parts += [*self._verdicts(), *self._missing()]
        page = f"{study.name}/browse.html"
        if Path("results", page).exists():
            parts.append(f'<p><a href="{html(page)}">All answers, side by side with the teacher\'s</a>: a separate '
                         "page beside this report, in <code>results/</code>.</p>")  # fmt: skip
        return "\n".join(line for part in parts for line in textwrap.wrap(part, LINE, break_on_hyphens=False))

    def _verdicts(self) -> list[str]:
        """The table of claims, from the output of `figures.versus_paper`."""
        file = Path(self.study.results, "tables/versus_paper.json")
        try:
            claims = read_json(file)["claims"]
            rows = [(claim["title"], claim["place"], claim["verdict"], claim["comparisons"]) for claim in claims]
        except (UserError, KeyError, TypeError):
            return []  # named among what is missing
        cells = "".join(
            f"<tr><td>{MARKS.get(verdict, '?')} {html(verdict)}</td><td>{html(title)}</td><td>{html(place)}</td>"
            f"<td>{html(str(count) if count else 'no scores')}</td></tr>"
            for title, place, verdict, count in rows
        )
        head = "<tr><th>Verdict</th><th>Claim of the paper</th><th>Where</th><th>Comparisons</th></tr>"
        return [f'<table border="1" cellpadding="4" style="border-collapse:collapse">{head}{cells}</table>']

    def _missing(self) -> list[str]:
        """Figures and tables that are missing, each with the last line of its log."""
        lost = [Path(file) for file in final(self.study) if not _own(self.study, Path(file)).exists()]
        if not lost:
            return []
        items = "".join(f"<li><code>{html(str(file))}</code>: {html(_why(self.study, file))}</li>" for file in lost)
        return [f"<p><strong>Missing from this report:</strong></p><ul>{items}</ul>"]


def keep_json_in_scripts() -> None:
    """Write `</` as `<\\/` in JSON, in the report's process only.

    Snakemake puts the JSON of parameters and captions into `<script>` elements as it is: a title or label with
    `</script>` in it would end the element and go on as HTML.
    """
    plain = json.dumps
    json.dumps = lambda *given, **options: plain(*given, **options).replace("</", "<\\/")


def row_of(file: str) -> Shown:
    """The row of a figure's or table's file."""
    return {**FIGURES, **TABLES}[Path(file).stem]


def _own(study: Study, shown: Path) -> Path:
    """The study's own file that a shown file is a copy of."""
    return Path(study.results, shown.parent.name, shown.name) if shown.name != "browse.html" else shown


def _why(study: Study, file: Path) -> str:
    folder = [file.parent.name] if file.stem in {**FIGURES, **TABLES} else []
    log = Path("logs", study.name, *folder, f"{file.stem}.log")
    try:
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    except OSError:
        return "never started; snakemake makes it"
    return f"{lines[-1]} ({log})" if lines else f"not finished ({log})"
