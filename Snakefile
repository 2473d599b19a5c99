"""The study of "The False Promise of Imitating Proprietary Language Models", from raw dialogues to figures.

`snakemake --cores 2` runs config/config.yaml; `--configfile FILE` takes another study instead of it.
"""

import sys

from snakemake.utils import min_version

sys.path.insert(0, f"{workflow.basedir}/workflow")
from falsepromise.core.claim import claim, end_orphans
from falsepromise.core.code import closure
from falsepromise.study import costs
from falsepromise.study.stages import (
    bases,
    benchmarks,
    curation,
    examples,
    figures,
    preference,
    provenance,
    quality,
    release,
    sources,
    style,
    tables,
    teacher,
    training,
)
from falsepromise.study.workflow import check_start, one_of, options, or_exit, read, shell_prefix, wildcards

min_version("9.13")

if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


study = or_exit(read, config, workflow.configfiles)
alone = workflow.is_main_process and or_exit(claim, "--unlock" in sys.argv)


pathvars:
    results=study.results,
    logs=f"logs/{study.name}",


wildcard_constraints:
    **wildcards(study),


# The job's own shell: this Python, this checkout's package, one compilation cache for all jobs.
shell.prefix(shell_prefix(workflow.basedir, sys.executable))


onstart:
    # It looks at every input of all ready jobs anew each second: minutes of a core in the quickstart.
    workflow.scheduler.job_rate_limiter = None
    or_exit(check_start, study)
    if alone:
        end_orphans()


report: "workflow/report/workflow.rst"


for stage in (
    *("sources", "curation", "quality", "bases", "teacher", "training", "generation"),
    *("benchmarks", "style", "preference", "figures", "tables", "examples", "provenance", "release"),
):

    include: f"workflow/rules/{stage}.smk"


rule all:
    default_target: True
    input:
        figures=figures.final(study),
        scores=figures.evaluations(study),
