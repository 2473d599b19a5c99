"""What rules/figures.smk asks, and the final figures and tables of a study."""

from __future__ import annotations

from falsepromise.study.stages import benchmarks, preference, quality, style, tables
from falsepromise.study.study import Study


def as_json(study: Study) -> str:
    """The study file's mapping."""
    return study.config.model_dump_json(exclude_unset=True)


def evaluations(study: Study) -> list[str]:
    """Every score of the study."""
    return [
        *benchmarks.capabilities(study),
        *benchmarks.scores_of_tasks(study, "toxicity"),
        *style.scores(study),
        *preference.scores(study),
    ]


def final(study: Study) -> list[str]:
    """The final figures and tables for which the study has scores, and the page of all answers."""
    tasks = {b.task for b in study.config.benchmarks.values()}
    styles = bool(style.scores(study))
    names = {
        "figures/fig1.pdf": bool(study.voters) and "nq" in tasks,
        "figures/fig2.pdf": styles,
        "figures/fig3.pdf": bool(study.config.judges),
        "figures/fig4.pdf": True,
        "figures/fig5.pdf": "toxicity" in tasks,
        "figures/fig6.pdf": bool(study.config.pools),
        "figures/fig7.pdf": styles,
        "figures/fig_diversity.pdf": bool(study.config.pools),
        "figures/fig_style.pdf": styles,
        "figures/capability_style.pdf": styles,
        "tables/versus_paper.md": True,
        "tables/summary.csv": True,
        "tables/funnel.csv": bool(study.config.pools),
        "tables/overlap.csv": bool(quality.overlaps(study)),
        "tables/leaks.csv": bool(quality.overlaps(study)),
        "tables/prompts.md": True,
        "tables/manifests.csv": True,
        "tables/table1.csv": bool(study.of_role("targeted")) and bool(tasks & {"nq", "cnn"}),
        "tables/table2.csv": styles,
        "tables/table6.csv": tables.category_sheet(study) is not None,
        "tables/table7.csv": "cnn" in tasks,
        "tables/agreement.csv": bool(preference.agreements(study)),
        "tables/regression.csv": bool(preference.regressions(study)),
        "tables/preference.csv": bool(preference.controls(study)),
    }
    shown = [f"results/{name}" for name, wanted in names.items() if wanted]
    return [*shown, f"{study.results}/browse.html"]
