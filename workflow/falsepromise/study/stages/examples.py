"""The values of a study for rules/examples.smk."""

from __future__ import annotations

from pathlib import Path

from falsepromise.core.place import PACKAGE
from falsepromise.study.stages import benchmarks, figures, teacher
from falsepromise.study.stages.teacher import reference_label
from falsepromise.study.study import Study
from falsepromise.study.tasks import TASKS


def best(study: Study) -> str:
    """The imitation model with the most parameters and data: the one whose answers are shown."""
    broad = study.of_role("size") + study.of_role("amount") or study.trained
    return max(broad, key=lambda name: (study.parameters(study.models[name].base), study.models[name].amount))


def dialogues(study: Study) -> str:
    """The dialogues that are shown: the first pool's training part."""
    return f"{study.results}/curation/clean/{next(iter(study.config.pools), 'none')}.train.jsonl"


def marks(study: Study) -> list[str]:
    """The file of hand-made marks on figure 2's answers, where the study has one."""
    return [study.config.style.marks] if study.config.style and study.config.style.marks else []


def names(study: Study) -> list[str]:
    """The labels of figure 2's two sides: the references' author and the model."""
    return [reference_label(study, study.style_prompts), study.models[best(study)].label]


def page_files() -> list[Path]:
    """The files that the raters' page needs."""
    return sorted((PACKAGE / "preference/page").iterdir())


def foot(study: Study) -> str:
    """The line below a picture of texts."""
    return f"Study: {study.name} ({study.title})."


def answers_foot(study: Study) -> str:
    """The line below the teacher's answers, which names the stand-in that gave them, if any."""
    stand_in = study.config.teacher.stand_in if study.asks_for_references(study.style_prompts) else None
    return f"{foot(study)} Stand-ins: teacher: {stand_in}." if stand_in else foot(study)


def page_foot(study: Study) -> str:
    """The line below the picture of the rating page."""
    reference, label = names(study)
    return (
        f"{answers_foot(study)} One answer is the model's ({label}), one the teacher's ({reference}); raters are not "
        "told which is which."
    )


def read_prompts(study: Study) -> list[str]:
    """The prompt sets whose answers `browse` shows side by side: those of style, the judges and the raters."""
    named = [study.style_prompts, *(voter.prompts for voter in study.voters.values())]
    return [name for name in dict.fromkeys(named) if name in study.config.prompts]


def prompt_sets(study: Study) -> list[str]:
    """Their prompts."""
    return [f"{study.results}/curation/prompts/{name}.jsonl" for name in read_prompts(study)]


def references(study: Study) -> list[str]:
    """The teacher's answers to them."""
    return [teacher.references(study, name) for name in read_prompts(study)]


def answers(study: Study) -> list[str]:
    """The models' answers to them."""
    return [
        f"{study.results}/generation/{name}/{model}.jsonl"
        for name in read_prompts(study)
        for model in study.chosen(study.config.prompts[name].runs)
    ]


def read_benchmarks(study: Study) -> list[str]:
    """The benchmarks whose questions `browse` shows beside the answers."""
    return [name for name, entry in study.config.benchmarks.items() if TASKS[entry.task].read]


def questions(study: Study) -> list[str]:
    """The files of their questions."""
    return [path for name in read_benchmarks(study) for path in benchmarks.data(study, name)]


def marks_of_answers(study: Study) -> list[str]:
    """The score files with values of single answers."""
    return figures.evaluations(study)


def browse_files() -> list[Path]:
    """The files that the page of answers needs."""
    return [*sorted((PACKAGE / "figures/page").iterdir()), PACKAGE / "preference/page/style.css"]
