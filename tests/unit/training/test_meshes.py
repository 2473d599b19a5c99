"""Training over several devices equals training on one."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from flax import nnx

from falsepromise.core.errors import UserError
from falsepromise.models import weights
from falsepromise.training import optimizer, train
from falsepromise.training.blocks import Blocks
from falsepromise.training.data import Batches
from falsepromise.training.recipe import Recipe
from falsepromise.training.sharding import make_mesh, place_batch, weight_sharding

ROOT = Path(__file__).resolve().parents[3]


def losses(made: Path, mesh: str | None = None, steps: int = 6) -> list[float]:
    """The loss curve of the paper's recipe over a few steps."""
    recipe = Recipe(batch_size=8, keep_documents_apart=True)
    place = make_mesh(mesh)
    model, _ = weights.load(made / "base", partial(weight_sharding, place))
    graph, params = nnx.split(model, nnx.Param)
    batches = Batches(Blocks.open(made / "blocks"), recipe.batch_size, 1, 0, None, 0.0)
    transformation = optimizer.make(recipe, steps)
    step = train.make_step(graph, recipe, transformation, place)
    state, curve = {"params": params, "optimizer": transformation.init(params)}, []
    for number in range(steps):
        state, loss = step(state, place_batch(place, batches(number)))
        curve.append(float(loss))
    return curve


MESHES = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_meshes import losses
for mesh in ("data=8", "fsdp=8", "data=2,fsdp=2,tensor=2", "fsdp=2,tensor=4"):
    print(*losses(Path({made!r}), mesh))
"""


@pytest.mark.slow
def test_every_mesh_of_eight_devices_gives_the_losses_of_one(made: Path) -> None:
    code = MESHES.format(tests=str(Path(__file__).parent), made=str(made))
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "workflow"),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    alone = losses(made)
    assert len(done.stdout.splitlines()) == 4
    for line in done.stdout.splitlines():
        assert [float(loss) for loss in line.split()] == pytest.approx(alone, abs=1e-5)


def test_a_mesh_for_other_devices_is_refused() -> None:
    with pytest.raises(UserError, match="is for 64 devices"):
        make_mesh("fsdp=64")
    with pytest.raises(UserError, match="expected AXIS=SIZE"):
        make_mesh("model=2")
