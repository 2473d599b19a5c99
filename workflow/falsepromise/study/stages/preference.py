"""The values of a study for rules/preference.smk, and the preference scores."""

from __future__ import annotations

from collections.abc import Sequence

from falsepromise.core.errors import UserError
from falsepromise.core.place import resource
from falsepromise.study.asked import Raters
from falsepromise.study.stages import style
from falsepromise.study.study import Study

SAMPLES = {"second": 1, "itself": 0}  # of the teacher's answers, judged against the first (0)


def voted_on(study: Study) -> dict[str, list[str]]:
    """The judges and raters of each model that has any."""
    found: dict[str, list[str]] = {}
    for name, voter in study.voters.items():
        for model in voter.votes if isinstance(voter, Raters) else study.chosen(voter.runs):
            found.setdefault(model, []).append(name)
    return found


def votes(study: Study, voter: str, model: str) -> list[str]:
    """The votes on a model: a judge's, those of a panel's members, or the files that hold the raters'."""
    if voter in study.config.raters:
        return study.config.raters[voter].votes[model]
    members = study.config.judges[voter].members
    if members:
        return [file for member in members for file in votes(study, member, model)]
    return [f"{study.results}/preference/{voter}/{model}.votes.jsonl"]


def raters_files(study: Study, voter: str, model: str) -> list[str]:
    """The files of raters' votes, which no job makes."""
    return votes(study, voter, model) if voter in study.config.raters else []


def controls(study: Study) -> list[str]:
    """The scores of the teacher's second answers, and of its answers against themselves, if a judge judges them."""
    return [
        f"{study.results}/preference/{name}/teacher_{control}.json"
        for name, judge in study.config.judges.items()
        if judge.controls and judge.prompts
        for control in SAMPLES
        if control == "itself" or study.asks_for_references(judge.prompts)
    ]


def second_answers(study: Study) -> list[str]:
    """The scores of the teacher's second answers, if a judge judges them: the upper bound of imitation."""
    return [file for file in controls(study) if file.endswith("/teacher_second.json")]


def rubric(study: Study, judge: str) -> str:
    """The file of resources/ that holds a judge's prompt.

    Raises:
        UserError: it is missing.
    """
    file = f"prompts/{study.config.judges[judge].rubric}.txt"
    if not resource(file).is_file():
        raise UserError(f"'judges.{judge}.rubric': {resource(file)} does not exist; write it, or name another")
    return file


def scores(study: Study) -> list[str]:
    """The preference scores of all judges and raters."""
    return [f"{study.results}/preference/{n}/{m}.json" for m, names in voted_on(study).items() for n in names]


def scores_on_same_prompts(study: Study, model: str) -> list[str]:
    """The preference scores of a model on the same prompts."""
    names = _sharing(study, voted_on(study)[model])
    return [f"{study.results}/preference/{name}/{model}.json" for name in names]


def style_on_same_prompts(study: Study, model: str) -> list[str]:
    """The style record of a model, if it covers the prompts that were voted on."""
    return _style(study, model, _sharing(study, voted_on(study)[model]))


def agreements(study: Study) -> list[str]:
    """The agreement of each model that at least two of judges, raters and style metrics cover."""
    models = [
        model
        for model, names in voted_on(study).items()
        if len(_sharing(study, names)) + bool(_style(study, model, names)) > 1
    ]
    return [f"{study.results}/preference/{model}.agreement.json" for model in models]


def regressions(study: Study) -> list[str]:
    """The preferences that style metrics may explain."""
    return [
        f"{study.results}/preference/{name}/{model}.regression.json"
        for model, names in voted_on(study).items()
        for name in names
        if _style(study, model, [name])
    ]


def _sharing(study: Study, names: Sequence[str]) -> list[str]:
    """The judges and raters of a model with the same prompts as its first one."""
    return [name for name in names if study.voters[name].prompts == study.voters[names[0]].prompts]


def _style(study: Study, model: str, names: Sequence[str]) -> list[str]:
    """A model's style record, if it covers the prompts that these judges and raters voted on."""
    file = f"{study.results}/style/{model}.json"
    same = study.voters[names[0]].prompts == study.style_prompts and file in style.scores(study)
    return [file] if same else []
