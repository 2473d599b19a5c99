"""The study of "The False Promise of Imitating Proprietary Language Models", from raw dialogues to figures.

    snakemake --cores 2                                       the quickstart study, config/config.yaml
    snakemake --profile slurm results/figures/fig4.pdf        the paper's study, on a cluster

One study at a time: `--configfile FILE` takes another one instead of config/config.yaml.
"""

import json
import os
import sys

from snakemake.utils import min_version

sys.path.insert(0, f"{workflow.basedir}/workflow")
from falsepromise.core import jobs
from falsepromise.core.code import closure
from falsepromise.core.errors import UserError

min_version("9.13")

if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


try:
    study = jobs.plan(config, "the study file")
except UserError as error:
    sys.exit(f"error: {error}")


pathvars:
    results=study.results,
    logs=f"logs/{study.name}",


wildcard_constraints:
    **study.wildcards,


# The job's own shell: this Python, this checkout's package, one compilation cache for all jobs.
shell.prefix(jobs.shell_prefix(workflow.basedir, os.path.dirname(sys.executable)))


onstart:
    jobs.check_start(study)


include: "workflow/rules/sources.smk"
include: "workflow/rules/curation.smk"
include: "workflow/rules/pretraining.smk"
include: "workflow/rules/teacher.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/generation.smk"
include: "workflow/rules/benchmarks.smk"
include: "workflow/rules/style.smk"
include: "workflow/rules/preference.smk"
include: "workflow/rules/figures.smk"


rule all:
    default_target: True
    input:
        figures=study.figures,
        scores=study.evaluations,
