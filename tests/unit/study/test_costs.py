"""How jobs are started."""

import os
import subprocess
import sys

import pytest

from falsepromise.study import costs

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
