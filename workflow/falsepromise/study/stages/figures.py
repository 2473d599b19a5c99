"""The figures and tables of a study, one row each, with the values for rules/figures.smk and rules/tables.smk.

To add one, write its module in `figures` and its row here. A figure of score files needs no rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from falsepromise.study.files import as_written
from falsepromise.study.stages import benchmarks, preference, quality, style, tables
from falsepromise.study.study import Study


@dataclass(frozen=True)
class Shown:
    """A figure or a table.

    Attributes:
        number: Its name in the report: the paper's number, or a word.
        shows: Its content in a few words.
        caption: What to look for, for the report (reStructuredText).
        wanted: Whether a study has what it needs.
        scores: The score files that it needs; None if its own rule makes it from other files.
        module: Its module of `falsepromise.figures`, if the name differs.
        category: Its category in the report.
        ending: The ending of the requested file; other files are beside it.
    """

    number: str
    shows: str
    caption: str
    wanted: Callable[[Study], bool]
    scores: Callable[[Study], list[str]] | None = None
    module: str = ""
    category: str = ""
    ending: str = ""


def as_json(study: Study) -> str:
    """The study file's mapping, without values that change no result."""
    shards = {section: {"__all__": {"shards"}} for section in ("pools", "prompts", "benchmarks")}
    return as_written(study.config.model_dump_json(exclude_unset=True, exclude=shards))


def evaluations(study: Study) -> list[str]:
    """Every score of the study."""
    return [
        *benchmarks.capabilities(study),
        *benchmarks.scores_of_tasks(study, "toxicity"),
        *style.scores(study),
        *preference.scores(study),
    ]


def _tasks(study: Study) -> set[str]:
    return {benchmark.task for benchmark in study.config.benchmarks.values()}


def _has_style(study: Study) -> bool:
    return bool(style.scores(study))


def _has_pools(study: Study) -> bool:
    return bool(study.config.pools)


def _always(study: Study) -> bool:
    return True


FIGURES = {
    "fig0": Shown(
        "0", "the thesis in two panels: style and capability by amount",
        "**Figure 0.** As imitation data grow, style comes closer to the teacher's (left) and capability does not rise "
        "(right). Both panels show the change against the base model, in points of a hundred; read whether the curves "
        "leave the grey band around 0.",
        _has_style, lambda study: benchmarks.capabilities(study) + style.scores(study),
    ),
    "fig1": Shown(
        "1", "preference and knowledge",
        "**Figure 1.** Preference for the imitation models by the amount of imitation data (left) and by the size of "
        "the base model (right): the share of replies rated equal to or better than the teacher's. Centre: accuracy on "
        "Natural Questions, or on this study's stand-in for it. In the paper the left and centre curves are flat and "
        "the right one rises.",
        lambda study: bool(study.voters) and "nq" in _tasks(study),
        lambda study: preference.scores(study) + benchmarks.scores_of_tasks(study, "nq"),
    ),
    "fig2": Shown(
        "2", "answers side by side",
        "**Figure 2.** The teacher's and an imitation model's answers to the same prompts, side by side. Sentences are "
        "marked by hand as correct, ambiguous or incorrect where there is an annotation file.",
        _has_style,
    ),
    "fig3": Shown(
        "3", "the judge's preference",
        "**Figure 3.** The judge's preference by the amount of imitation data (left) and by the size of the base model "
        "(right): the share of replies that it rates equal to or better than the teacher's. The dashed line, where "
        "there is one, compares the teacher's second answers with its first: the upper bound of imitation.",
        lambda study: bool(study.config.judges),
        lambda study: [*preference.scores(study), *preference.second_answers(study)],
    ),
    "fig4": Shown(
        "4", "benchmarks by amount and by base model",
        "**Figure 4.** Each benchmark by the amount of imitation data (top) and by the size of the base model "
        "(bottom). The black line of the top row is the base model without imitation data: curves that stay at it or "
        "fall below it gained no capability. In the bottom row look for curves that rise to the right. Points are "
        "means over seeds with 95 % intervals over items and seeds; small dots are single seeds. The foot names "
        "benchmarks that could not be scored.",
        _always, benchmarks.capabilities,
    ),
    "fig5": Shown(
        "5", "non-toxicity by amount",
        "**Figure 5.** Average non-toxicity of the continuations of toxic prompts by the amount of imitation data. The "
        "foot names the scorer. The axis does not begin at 0.",
        lambda study: "toxicity" in _tasks(study), lambda study: benchmarks.scores_of_tasks(study, "toxicity"),
    ),
    "fig6": Shown(
        "6", "dialogues",
        "**Figure 6.** Examples of dialogues in the imitation data after curation, shortened to fit.",
        _has_pools,
    ),
    "fig7": Shown(
        "7", "the page on which raters compare answers",
        "**Figure 7.** The page on which raters compare two answers without knowing their models: a screenshot in "
        "Chromium with a pair of this study's answers.",
        _has_style,
    ),
    "fig_style": Shown(
        "style", "style by amount (table 2)",
        "**Table 2 as a figure.** Similarity of the models' replies to the teacher's style, by the amount of imitation "
        "data. The dashed line is the teacher's second sample, the rough upper bound. The dotted line is the "
        "false-alarm rate, lists or summary paragraphs where the teacher has none: agreement above this line is "
        "meaningful.",
        _has_style, style.scores,
    ),
    "capability_style": Shown(
        "beyond", "capability against style",
        "**Capability against style** over all runs: similarity to the teacher's style (horizontal) and score on a "
        "benchmark (vertical). Lines start at a base model and follow the amount of imitation data. Imitation that "
        "changes only style moves to the right and not up.",
        _has_style, lambda study: benchmarks.capabilities(study) + style.scores(study),
    ),
    "fig_diversity": Shown(
        "diversity", "similarity of the queries",
        "**Diversity of the queries (section 3).** The BLEU of each query with the most similar other one. The paper's "
        "means are of larger sets, in which a query has closer neighbours.",
        _has_pools, category="Data",
    ),
}  # fmt: skip

TABLES = {
    "versus_paper": Shown(
        "versus", "each claim of the paper with this run's verdict",
        "**Beside the paper**: each claim with its test, the verdict (supported, not supported, can't tell) and the "
        "numbers; then the published numbers beside this run's.",
        _always, ending="md",
    ),
    "table1": Shown(
        "1", "broad against targeted imitation",
        "**Table 1.** Models trained on broad imitation data or on data targeted at one task, with their base models "
        "and the teacher. Per cent with 95 % intervals.",
        lambda study: bool(study.of_role("targeted")) and bool(_tasks(study) & {"nq", "cnn"}),
        lambda study: benchmarks.scores_of_tasks(study, "nq", "cnn"),
    ),
    "table2": Shown(
        "2", "style",
        "**Table 2.** Style as imitation data grows: agreement with the teacher in lists and summary paragraphs (with "
        "the rate of false alarms below each), unigram intersection, correlation of lengths, authoritative tone. The "
        "last column, where there is one, is the teacher's second sample: the rough upper bound.",
        _has_style, style.scores,
    ),
    "table6": Shown(
        "6", "categories of queries",
        "**Table 6.** The categories of random queries of the imitation data, beside the paper's. The table names who "
        "sorted them.",
        lambda study: tables.category_sheet(study) is not None,
    ),
    "table7": Shown(
        "7", "summarisation",
        "**Table 7.** ROUGE-1, ROUGE-2 and ROUGE-L on news summarisation.",
        lambda study: "cnn" in _tasks(study), lambda study: benchmarks.scores_of_tasks(study, "cnn"),
    ),
    "summary": Shown(
        "summary", "every score", "Every score of the run in one table, with intervals, to paste into a paper.",
        _always, evaluations,
    ),
    "agreement": Shown(
        "agreement", "judges, raters and style against each other",
        "**Agreement.** How often judges and raters agree on the same prompts, and how their choices correlate with "
        "differences in style: longer, with a list, with a summary paragraph, more words in common.",
        lambda study: bool(preference.agreements(study)), preference.agreements, "table_agreement",
    ),
    "regression": Shown(
        "regression", "whether style explains the preference",
        "**Does style explain the preference?** Logistic regression of the choice on the difference in length, lists "
        "and summary paragraphs and on the words in common, all standardised.",
        lambda study: bool(preference.regressions(study)), preference.regressions, "table_regression",
    ),
    "preference": Shown(
        "preference", "preference with the teacher's second answers beside it",
        "**Preference for each model over the teacher.** Wins with half of the ties, by one model of all votes, and "
        "bounds for unreadable verdicts. The teacher's second answers are the upper bound of imitation; its answers "
        "against themselves test the judge: anything but a tie is noise or position bias.",
        lambda study: bool(preference.controls(study)),
        lambda study: [*preference.scores(study), *preference.controls(study)], "table_preference",
    ),
    "funnel": Shown(
        "funnel", "records kept and dropped",
        "The number of records that each step of curation kept and dropped, with reasons and examples.",
        _has_pools, category="Data",
    ),
    "overlap": Shown(
        "overlap", "benchmarks close to the imitation data",
        "**Overlap of benchmarks and imitation data.** The paper names contamination as a confounder: an apparent "
        "skill may have been in the dialogues. Each question's BLEU with the most similar user query.",
        lambda study: bool(quality.overlaps(study)), category="Data",
    ),
    "leaks": Shown(
        "leaks", "scores without items that were trained on",
        "**Scores without leaks.** Each score with and without the benchmark items that occur in the model's imitation "
        "data: equal to a turn but for spelling, contained in a turn, or sharing 13 words in a row. The pairs are in "
        "``benchmarks/overlap/``.",
        lambda study: bool(quality.overlaps(study)), category="Data",
    ),
    "prompts": Shown(
        "3, 4, 5, 8, 9", "prompts",
        "**Tables 3, 4, 5, 8 and 9.** The prompts that the study uses, word for word.",
        _always, category="Data", ending="md",
    ),
    "manifests": Shown(
        "manifests", "provenance of every result",
        "**Manifests.** The provenance of each mixture, model and score: program, inputs, settings, code, seed, "
        "versions, date and duration. Rows with the same fingerprint had the same files.",
        _always, category="Data",
    ),
}  # fmt: skip


def of_scores(rows: dict[str, Shown]) -> dict[str, Shown]:
    """The rows of `FIGURES` or `TABLES` that are made from score files."""
    return {name: row for name, row in rows.items() if row.scores}


def final(study: Study) -> list[str]:
    """The final figures and tables for which the study has scores, and the page of all answers."""
    shown = [
        f"results/{folder}/{name}.{row.ending or ending}"
        for folder, ending, rows in (("figures", "pdf", FIGURES), ("tables", "csv", TABLES))
        for name, row in rows.items()
        if row.wanted(study)
    ]
    return [*shown, f"{study.results}/browse.html"]
