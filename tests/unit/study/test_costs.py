"""How jobs are started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from falsepromise.study import costs
from falsepromise.study.expand import load
from falsepromise.study.hours import core_hours, work

ROOT = Path(__file__).resolve().parents[3]
STEPS = """
import resource
import jax, jax.numpy as jnp
step = jax.jit(lambda x, y: (x[:, None] * jnp.arange(4096.0)) @ y)  # 64 MB of temporary memory
x, y = jnp.ones(4096), jnp.ones((4096, 4))
found = []
for _ in range(60):  # until the heap has taken its form
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step(x, y).block_until_ready()
    found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(sorted(found[30:])[15])
"""


@pytest.mark.skipif(not os.confstr("CS_GNU_LIBC_VERSION"), reason="the settings are glibc's")
def test_a_step_on_a_cpu_takes_the_memory_that_the_last_one_freed() -> None:
    def faults(prefix: list[str]) -> int:
        ran = subprocess.run([*prefix, sys.executable, "-c", STEPS], capture_output=True, check=True)
        return int(ran.stdout)

    by_default = faults(["env", "-u", "GLIBC_TUNABLES", "JAX_PLATFORMS=cpu"])
    if by_default < 16_000:  # pages of 64 MB
        pytest.skip("the kernel gives huge pages, or this glibc keeps the block anyway: there is nothing to save")
    launch = costs.launch(0, 1, 1, costs.KEEP_FREED).replace("${JAX_PLATFORMS:-cpu}", "cpu").split()
    assert faults(launch) < 2000


@pytest.mark.parametrize(
    ("wildcards", "n", "seconds"),
    [
        ({"benchmark": "mmlu"}, 60, 33),
        ({"benchmark": "nq"}, 100, 19),
        ({"benchmark": "gsm8k"}, 8, 30),
        ({"benchmark": "cnn"}, 4, 37),
        ({"benchmark": "toxicity"}, 100, 21),
    ],
)
def test_estimates_are_near_what_jobs_took(wildcards: dict[str, str], n: int, seconds: float) -> None:
    """CPU seconds of SmolLM2-135M's jobs on one core, from docs/laptop.md."""
    raw = yaml.safe_load((ROOT / "config/laptop.yaml").read_text(encoding="utf-8"))
    raw["benchmarks"][wildcards["benchmark"]]["limit"] = n
    study = load(raw)
    hours = core_hours(study, study.base_models[0], work(study, wildcards))
    assert seconds / 1.6 < 3600 * hours < seconds * 1.6


def test_a_cpu_job_requests_the_minutes_that_its_questions_take() -> None:
    """All of MMLU takes a model of 135M weights hours on a core; a job that requests one hour would be stopped."""
    raw = yaml.safe_load((ROOT / "config/laptop.yaml").read_text(encoding="utf-8"))
    few, model = load(raw), "smollm2-135m-instruct"
    del raw["benchmarks"]["mmlu"]["limit"]
    asked = {"benchmark": "mmlu", "model": model}
    requests = [costs.need(study, "score", model, wildcards=asked)["runtime"] for study in (few, load(raw))]
    assert requests[0] < 70 < 120 < requests[1]
