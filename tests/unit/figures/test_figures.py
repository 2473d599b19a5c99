"""Figures: what stands on them, gaps, bad input, equal bytes at a redraw."""

from __future__ import annotations

import importlib
import itertools
import json
import re

import made_up
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from falsepromise.core.errors import UserError
from falsepromise.figures import draw, fig2, fig6, foot, labels, pages, panels
from falsepromise.figures.curves import needs_key
from falsepromise.figures.metrics import metric
from falsepromise.figures.scores import read_scores
from falsepromise.figures.select import capability_benchmarks
from falsepromise.figures.study import read_study

FIGURES = ("fig0", "fig1", "fig3", "fig4", "fig5", "fig_style", "capability_style")
FEW = ["fig4", *(pytest.param(name, marks=pytest.mark.slow) for name in FIGURES if name != "fig4")]


def verb(name):
    return importlib.import_module(f"falsepromise.figures.{name}")


def run(name, study, files, output, *more):
    argv = ["--study", str(study), "--scores", *map(str, files), "--output", str(output), *more]
    verb(name).main(argv)


def texts(figure):
    """Every text of a figure in one string, lines joined."""
    import matplotlib.text

    found = figure.findobj(matplotlib.text.Text)
    return " ".join(" ".join(text.get_text().split()) for text in found)


@pytest.mark.parametrize("name", FEW)
def test_all_formats_are_written_and_a_redraw_is_the_same_bytes(name, files, tmp_path):
    first, second = tmp_path / "a" / "x.pdf", tmp_path / "b" / "x.pdf"
    for output in (first, second):
        run(name, *files, output)
    for kind in ("pdf", "svg", "png"):
        one, two = first.with_suffix(f".{kind}").read_bytes(), second.with_suffix(f".{kind}").read_bytes()
        assert one == two
        assert len(one) > 5_000
    pdf = first.read_bytes()
    assert b"/CreationDate" not in pdf
    assert b"/Type3" not in pdf
    assert b"/FontFile2" in pdf  # embedded TrueType
    assert json.loads((tmp_path / "a" / "x.pdf.manifest.json").read_text())["made_by"].endswith(name)


def test_figure_4_says_what_it_shows(files):
    scores = read_scores(files[1], read_study(files[0]))
    fig4 = verb("fig4")
    with draw.style():
        figure = fig4.draw_figure(scores, capability_benchmarks(scores))
        figure.draw_without_rendering()  # ticks get their names
    said = texts(figure)
    foot = ("made-up numbers", "a made-up teacher", "made-up questions", "Facts QA 200", "MMLU 500", "over 2 seeds")
    for wanted in ("No panel: HumanEval: no sandbox", "Imitation data (tokens)", "LM tiny", "no rise: ", *foot):
        assert wanted in said


def test_figure_4_draws_the_records_numbers(files):
    """The blue points are the means over seeds; the black level is the base model's value."""
    scores = read_scores(files[1], read_study(files[0]))
    with draw.style():
        figure = verb("fig4").draw_figure(scores, ["facts"])
    cells = scores.study.cells("amount")
    wanted = [100 * scores.cell(cell, "facts", "exact_match").value for cell in cells]
    lines = [list(line.get_ydata()) for line in figure.axes[0].get_lines()]
    assert any(len(line) == 3 and line == pytest.approx(wanted) for line in lines)
    base = 100 * scores.records["small", "facts"]["metrics"]["exact_match"]["value"]
    assert any(list(line) == pytest.approx([base, base]) for line in lines)
    assert list(figure.axes[0].get_xticks()) == list(made_up.AMOUNTS)


def test_a_missing_cell_is_a_gap_and_is_listed(tmp_path):
    spec = made_up.study(seeds=(0,))
    gap = "small-sharegpt-150000-s0"
    study, files = made_up.write(tmp_path, spec, made_up.records(spec, skip={(gap, "facts")}))
    scores = read_scores(files, read_study(study))
    with draw.style():
        figure = verb("fig4").draw_figure(scores, ["facts"])
    assert f"Not drawn: {gap} on facts (no score file)" in texts(figure)
    xs = [tuple(line.get_xdata()) for line in figure.axes[0].get_lines() if len(line.get_xdata()) > 1]
    assert (50_000, 400_000) not in xs  # not joined over the gap


def test_what_flattens_or_says_nothing_is_not_drawn(tmp_path):
    """A teacher far above is an arrow; a benchmark that nobody solves is a line at the foot; chance is a line."""
    spec = made_up.study(seeds=(0,))
    made = []
    for name in spec["models"]:
        made.append(made_up.record(name, "facts", {"exact_match": 0.1}))
        made.append(made_up.record(name, "mmlu", {"acc": 0.3}) | {"chance": {"acc": 0.25}})
        made.append(made_up.record(name, "humaneval", {"pass@1": 0.0}, n=40))
    made.append(made_up.record("teacher", "facts", {"exact_match": 0.97}))
    made.append(made_up.record("teacher", "humaneval", {"pass@1": 0.9}, n=40))  # it doesn't fill a panel of zeros
    made.append(made_up.record("teacher", "mmlu", {"acc": 0.5}))
    study, files = made_up.write(tmp_path, spec, made)
    scores = read_scores(files, read_study(study))
    with draw.style():
        figure = verb("fig4").draw_figure(scores, capability_benchmarks(scores))
        figure.draw_without_rendering()
    said = texts(figure)
    assert "No panel: HumanEval: 0 for each model that was scored (n = 40)." in said
    assert len(figure.axes) == 4
    assert re.search(r"↑ Teacher 9\d", said)
    assert figure.axes[0].get_ylim()[1] < 40
    assert figure.axes[1].get_ylim()[1] > 50
    assert any(list(line.get_ydata()) == [25.0, 25.0] for line in figure.axes[1].get_lines())
    ticks = [text.get_text() for text in figure.axes[2].get_xticklabels()]
    assert ticks == ["LM tiny", "LM small", "LM medium"]  # the base models' names, not their sizes again


def test_a_single_benchmark_that_nobody_solves_is_drawn(tmp_path):
    """A new user's own questions are often the only ones, and too hard for a small model."""
    spec = made_up.study(seeds=(0,))
    made = [made_up.record(name, "facts", {"exact_match": 0.0}, n=25) for name in spec["models"]]
    study, files = made_up.write(tmp_path, spec, made)
    scores = read_scores(files, read_study(study))
    with draw.style():
        figure = verb("fig4").draw_figure(scores, ["facts", "mmlu"])
        beside = verb("fig0").draw_figure(scores)
        beside.draw_without_rendering()
    assert "MMLU: no score file" in texts(figure)
    assert next(line.get_ydata()[0] for line in figure.axes[0].get_lines() if len(line.get_xdata()) > 1) == 0
    assert "no scores" in texts(beside)  # of style
    assert [text.get_text() for text in beside.axes[1].get_yticklabels()]  # the empty panel beside takes none away


def test_a_reference_line_has_its_name_in_every_panel(tmp_path):
    """One base model and one mixture: there is no key above, and only the last panel has room for names beside it."""
    spec = made_up.study(seeds=(0,))
    made = []
    for name in spec["models"]:
        made.append(made_up.record(name, "facts", {"exact_match": 0.5}))
        made.append(made_up.record(name, "mmlu", {"acc": 0.6}) | {"chance": {"acc": 0.25}})
    made += [made_up.record("teacher", name, {key: 0.9}) for name, key in (("facts", "exact_match"), ("mmlu", "acc"))]
    study, files = made_up.write(tmp_path, spec, made)
    scores = read_scores(files, read_study(study))
    assert not needs_key(scores.study)
    with draw.style():
        figure = verb("fig4").draw_figure(scores, ["facts", "mmlu"])
        figure.draw_without_rendering()
    for axes in figure.axes:
        assert scores.study.teacher_label in [text.get_text() for text in axes.texts]
    assert [sum(text.get_text() == "chance" for text in axes.texts) for axes in figure.axes] == [0, 1, 0, 1]


def test_the_foot_names_the_stand_ins_that_its_numbers_touch(tmp_path):
    """A teacher that only made other data is not named; one that answers, or whose answers are compared with, is."""
    spec = made_up.study(seeds=(0,))
    spec["mixtures"]["qa"]["teacher"] = "nq_synthetic"
    spec["style"], spec["prompts"] = {"prompts": "heldout"}, {"heldout": {"references": "dialogue"}}
    made = [r for r in made_up.records(spec) if r["benchmark"] == "style"]
    for r in made:
        r.pop("second")
    study, files = made_up.write(tmp_path, spec, made)
    scores = read_scores(files, read_study(study))
    used, broad = [("style", "unigram_intersection")], scores.study.cells("amount")
    assert "a made-up teacher" not in " ".join(foot.foot_lines(scores, used, cells=broad))
    assert "a made-up teacher" in " ".join(foot.foot_lines(scores, used, cells=scores.study.cells("targeted")))
    scores.study.prompts["heldout"]["references"] = "teacher"
    assert "a made-up teacher" in " ".join(foot.foot_lines(scores, used, cells=broad))


@pytest.mark.parametrize("drawn", [False, True])
def test_capability_against_style_names_the_teacher_of_drawn_lines_alone(tmp_path, drawn):
    """Scores of targeted models are among the study's, but the line needs their style too."""
    spec = made_up.study(seeds=(0,))
    spec["mixtures"]["qa"]["teacher"] = "nq_synthetic"
    spec["style"], spec["prompts"] = {"prompts": "heldout"}, {"heldout": {"references": "dialogue"}}
    made = [r for r in made_up.records(spec) if r["model"] in spec["models"]]
    made = [r for r in made if drawn or r["benchmark"] != "style" or "qa" not in r["model"]]
    for r in made:
        r.pop("second", None)
    study, files = made_up.write(tmp_path, spec, made)
    module = verb("capability_style")
    with draw.style():
        figure = module.draw_figure(read_scores(files, read_study(study)), "facts", "unigram_intersection")
    said = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "made-up questions" in said
    assert ("a made-up teacher" in said) == drawn


def test_the_teachers_second_answers_are_the_bound_of_figure_3(tmp_path):
    spec = made_up.study(seeds=(0,))
    spec["judges"] = {"judge": {"label": "Judge"}}
    votes = {"preferred": 0.2, "equal": 0.3, "equal_or_better": 0.5}
    second = made_up.record("gpt (sample 1)", "judge", votes, n=60, scorer="made-up judge")
    study, files = made_up.write(tmp_path, spec, [*made_up.records(spec), second])
    scores = read_scores(files, read_study(study))
    with draw.style():
        figure = figure_of("fig3", scores)
    bound = 100 * second["metrics"]["equal_or_better"]["value"]
    assert all(
        any(list(line.get_ydata()) == pytest.approx([bound, bound]) for line in axes.get_lines())
        for axes in figure.axes
    )


def figure_of(name, scores):
    module = verb(name)
    if name in ("fig1", "fig3"):
        return panels.row(scores, module.panels(scores))
    if name == "fig4":
        return module.draw_figure(scores, capability_benchmarks(scores))
    if name == "capability_style":
        return module.draw_figure(scores, "facts", module.default_style(scores))
    return module.draw_figure(scores)


@pytest.mark.parametrize("name", FIGURES)
def test_without_any_score_the_panels_say_so(name, tmp_path):
    study, _ = made_up.write(tmp_path, None, [])
    with draw.style():
        figure = figure_of(name, read_scores([], read_study(study)))
        figure.draw_without_rendering()
    reasons = "no score file|no preferences|no judge|no style metrics|no model has both|no scores of"
    assert re.search(reasons, texts(figure))


@pytest.mark.parametrize(
    ("name", "option"), [("fig3", "--benchmark"), ("fig4", "--benchmarks"), ("capability_style", "--benchmark")]
)
def test_a_mistyped_benchmark_is_no_empty_figure(name, option, files, tmp_path):
    with pytest.raises(UserError, match=f"{option} fact: not in the study.*expected facts, mmlu"):
        run(name, *files, tmp_path / "x.pdf", option, "fact")


def test_capability_against_style_without_scores_is_an_error(tmp_path):
    spec = made_up.study()
    spec["benchmarks"] = {}
    study, _ = made_up.write(tmp_path, spec, [])
    with pytest.raises(UserError, match="no score of a benchmark"):
        run("capability_style", study, [], tmp_path / "x.pdf")


@pytest.mark.parametrize("name", FIGURES)
def test_one_model_and_one_seed_can_be_drawn(name, tmp_path):
    spec = made_up.study(seeds=(0,), bases={"tiny": 1e6}, amounts=(50_000,))
    study, files = made_up.write(tmp_path, spec)
    with draw.style():
        figure = figure_of(name, read_scores(files, read_study(study)))
        figure.draw_without_rendering()
    assert "one seed" in texts(figure)


def test_no_two_of_thirty_lines_look_alike():
    looks = [draw.look(index) for index in range(30)]
    assert len({str(look) for look in looks}) == 30
    assert len({str(shape) for _, shape in looks}) == 30  # in grey, too


def test_dollars_and_markup_in_names_are_drawn_as_they_stand(tmp_path):
    spec = made_up.study(seeds=(0,))
    spec["benchmarks"] = {"facts": {**made_up.BENCHMARKS["facts"], "label": "$\\frac{1}$ & <b>x</b>"}}
    study, files = made_up.write(tmp_path, spec, [r for r in made_up.records(spec) if r["benchmark"] == "facts"])
    run("fig4", study, files, tmp_path / "x.pdf")
    scores = read_scores(files, read_study(study))
    with draw.style():
        assert "$\\frac{1}$ & <b>x</b>" in texts(verb("fig4").draw_figure(scores, ["facts"]))


@pytest.mark.parametrize("name", ["fig1", "fig_style", "capability_style"])
def test_names_of_any_length_and_number_stay_on_the_figure(name, tmp_path):
    """Six lines had a key that was cut off at the figure's edge; a long name left no room for the panels."""
    long = "A base model with a very long name, Instruct-Chat-v2.1-final " * 3
    spec = made_up.study(seeds=(0,))
    spec["teacher"]["label"], spec["title"] = long, long
    for base, mixture in itertools.product(made_up.BASES, ("sharegpt", "hc3")):
        spec["bases"][base]["label"] = f"{base} {long}"
        model = f"{base}-{mixture}-50000-s0"
        spec["models"].setdefault(
            model, {"base": base, "mixture": mixture, "tokens": 50_000, "seed": 0, "label": model}
        )
        spec["runs"]["amount"].append(model)
    study, files = made_up.write(tmp_path, spec)
    with draw.style():
        figure = figure_of(name, read_scores(files, read_study(study)))
        draw.settle(figure)
        for part in (*figure.legends, *(axes.yaxis.label for axes in figure.axes)):
            box = part.get_window_extent().transformed(figure.transFigure.inverted())
            assert min(box.x0, box.y0) > -0.01
            assert max(box.x1, box.y1) < 1.01
        for axes in figure.axes:
            assert axes.get_position().height > 0.15


def test_numbers_that_are_no_shares_have_their_own_scale(tmp_path):
    """Bits per byte lay on an axis to 20, a negative correlation below the panel, a perplexity times 100."""
    spec = made_up.study(seeds=(0,))
    made = [record for record in made_up.records(spec) if record["benchmark"] == "style"]
    spec["benchmarks"] = {}
    for metric_name, value in (("bits_per_byte", 0.9), ("mcc", -0.1)):
        spec["benchmarks"][metric_name] = {"task": "lm_eval", "metric": metric_name, "label": metric_name}
        interval = {"value": value, "ci95": [value - 0.05, value + 0.05], "n": 60}
        made += [{"model": m, "benchmark": metric_name, "metrics": {metric_name: interval}} for m in spec["models"]]
    study, files = made_up.write(tmp_path, spec, made)
    scores = read_scores(files, read_study(study))
    with draw.style():
        bits, correlation = verb("fig4").draw_figure(scores, ["bits_per_byte", "mcc"]).axes[:2]
        across = verb("capability_style").draw_figure(scores, "bits_per_byte", "unigram_intersection").axes[0]
    assert bits.get_ylim()[0] == 0
    assert bits.get_ylim()[1] < 2
    assert correlation.get_ylim()[0] < -0.15
    assert across.get_ylim()[1] < 2


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (50_000, "50k"),
        (300_000, "300k"),
        (1_100_000, "1.1M"),
        (150e6, "150M"),
        (13e9, "13B"),
        (999_999, "1M"),
        (7, "7"),
    ],
)
def test_short_numbers(number, text):
    assert labels.short(number) == text


def test_spread_keeps_order_and_distance():
    gaps = [0.1, 0.2, 0.1]
    moved = draw.spread([0.1, 0.11, 0.12, 0.9], gaps)
    assert all(b - a >= gap - 0.001 for gap, (a, b) in zip(gaps, itertools.pairwise(moved), strict=True))
    first = sum([0.1, 0.11 - 0.1, 0.12 - 0.3]) / 3  # least squares, where all three touch
    assert moved[:3] == pytest.approx([first, first + 0.1, first + 0.3], abs=1e-3)
    assert moved[-1] == pytest.approx(0.9)


def test_dialogues_are_drawn_as_plain_text_within_the_page(tmp_path):
    nasty = "a\x00b\x1b[31m <script>alert(1)</script> $x$ \u202e \ud800 你\n" + "W" * 400
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps({"id": "1", "source": "s", "messages": [{"role": "user", "content": nasty}]}) + "\n")
    fig6.main(["--dialogues", str(path), "--output", str(tmp_path / "fig6.pdf")])
    svg = (tmp_path / "fig6.svg").read_text()
    assert not re.search(r"<script|\x00|\x1b", svg)
    lines = pages.wrap(nasty, 3.0, 50)
    assert lines[0].startswith("ab[31m <script>")
    assert all(pages.inches(line) <= 3.0 for line in lines)
    assert len(pages.wrap(nasty, 3.0, 2)) == 2


def test_a_paragraph_of_any_length_is_measured_only_as_far_as_it_is_seen(monkeypatch):
    measured = []
    monkeypatch.setattr(pages, "inches", lambda text, weight="normal": measured.append(len(text)) or len(text) / 30)
    lines = pages.wrap("word " * 100_000, 3.0, 4)
    assert len(lines) == 4
    assert lines[-1].endswith(" …")
    assert sum(measured) < 10_000
    assert pages.wrap("a" + " " * 10_000 + "b", 3.0, 4) == ["a …"]  # what stands behind is not seen


def test_a_long_query_stays_on_figure_2() -> None:
    """It is bold, and bold letters are wider."""
    query = "Thank you! The issue above was that I was downloading a youtube short, not a youtube video. " * 4
    figure = fig2.draw_figure([(query, [("Yes.", None)], [("No.", None)])], ["Teacher", "Model"], 10)
    renderer = FigureCanvasAgg(figure).get_renderer()
    assert max(text.get_window_extent(renderer).x1 for text in figure.texts) < figure.bbox.width


def test_dialogues_by_id_and_by_seed(tmp_path):
    path = tmp_path / "d.jsonl"
    messages = [{"role": "user", "content": "hello"}]
    path.write_text("".join(json.dumps({"id": str(i), "messages": messages}) + "\n" for i in range(50)))
    assert [r["id"] for r in fig6.choose(path, 2, 0, ["7", "3"])] == ["7", "3"]
    assert fig6.choose(path, 3, 1) == fig6.choose(path, 3, 1) != fig6.choose(path, 3, 2)
    with pytest.raises(UserError, match="no dialogue '99'"):
        fig6.choose(path, 1, 0, ["99"])


def test_limits_that_differ_in_numbers_alone_are_one():
    texts = ["3 of 300 replies: length; 20 of 164 items", "40 of 300 replies: length; 20 of 164 items", "no number"]
    assert foot.merged(texts) == ["3 to 40 of 300 replies: length", "20 of 164 items", "no number"]


def test_marks_split_an_answer_into_its_pieces():
    text = "One is right. Two is wrong. Three."
    pieces = fig2.marked(text, [("Two is wrong.", "incorrect"), ("One is right.", "correct")], None)
    assert "".join(piece for piece, _ in pieces) == text
    assert [mark for _, mark in pieces] == ["correct", None, "incorrect", None]
    assert fig2.lines_of(pieces, 3.0, 10)[0][0] == "✓ One is right."
    with pytest.raises(UserError, match="not in the answer"):
        fig2.marked(text, [("Four.", "correct")], None)
    with pytest.raises(UserError, match="overlap"):
        fig2.marked(text, [("One is right. Two", "correct"), ("Two is wrong.", "incorrect")], None)


def test_figure_2_needs_the_prompt_on_both_sides(tmp_path):
    files = {}
    for name, record in (
        ("prompts", {"id": "1", "prompt": "Why?"}),
        ("reference", {"prompt_id": "1", "response": "Because. $x$ <b>"}),
        ("responses", {"prompt_id": "2", "response": "Hm."}),
    ):
        files[name] = tmp_path / f"{name}.jsonl"
        files[name].write_text(json.dumps(record) + "\n")
    argv = [part for name, file in files.items() for part in (f"--{name}", str(file))]
    with pytest.raises(UserError, match=r"responses\.jsonl: no prompt '1'"):
        fig2.main([*argv, "--output", str(tmp_path / "fig2.pdf")])
    files["responses"].write_text(json.dumps({"prompt_id": "1", "response": "Hm."}) + "\n")
    fig2.main([*argv, "--output", str(tmp_path / "fig2.pdf")])
    assert (tmp_path / "fig2.png").stat().st_size > 3_000


def test_figure_7_says_what_to_install_where_it_is_not_drawn() -> None:
    with draw.style():
        figure = verb("fig7").not_drawn("no Chromium on this machine (apt-get install chromium)", ["Study: made up."])
    assert "Not drawn here: no Chromium on this machine (apt-get install chromium)." in texts(figure)


def test_an_axis_of_any_metric() -> None:
    def axis(name: str, low: float, high: float, **more: object) -> tuple[str, float]:
        found = metric(name, [{"metrics": {name: {"value": low, "ci95": [low, high], "n": 9}}, **more}])
        return found.axis, found.scale

    assert axis("acc", 0.1, 0.2) == ("Accuracy (%)", 100.0)
    assert axis("acc_norm", 0.1, 0.2, higher_is_better={"acc_norm": True}) == ("acc_norm (%)", 100.0)
    lower = {"higher_is_better": {"my_perplexity": False}}
    assert axis("my_perplexity", 20.0, 30.0, **lower) == ("my_perplexity (lower is better)", 1.0)
