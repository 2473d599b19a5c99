"""The loop: it learns, adds up, stops and goes on, with the same weights bit for bit."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file

from falsepromise.core.errors import UserError
from falsepromise.models import weights
from falsepromise.training import optimizer, train
from falsepromise.training.blocks import Blocks
from falsepromise.training.checkpoint import Checkpoints
from falsepromise.training.data import Batches
from falsepromise.training.recipe import Recipe
from falsepromise.training.sharding import make_mesh, place_batch, weight_sharding
from falsepromise.training.state import shapes

ROOT = Path(__file__).resolve().parents[3]


def options(made: Path, output: Path, **more: object) -> list[str]:
    given = {
        "base": made / "base",
        "blocks": made / "blocks",
        "recipe": made / "recipe.json",
        "checkpoints": output.parent / f"{output.name}.checkpoints",
        "output": output,
        **more,
    }
    return [word for key, value in given.items() for word in (f"--{key.replace('_', '-')}", str(value))]


def start(arguments: list[str], **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "falsepromise.training.train", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "JAX_PLATFORMS": "cpu", **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def uninterrupted(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("run") / "whole"
    train.main(options(made, output, held_out=made / "blocks", held_out_steps=30))
    return output


def test_a_run_learns_and_says_how(uninterrupted: Path) -> None:
    curve = [json.loads(line)["loss"] for line in (uninterrupted / "train.jsonl").read_text().splitlines()]
    assert np.mean(curve[-5:]) < np.mean(curve[:5]) - 0.05
    facts = json.loads((uninterrupted / "manifest.json").read_text())
    assert facts["steps"] == len(curve)
    assert facts["warmup_steps"] == Recipe().warmup(len(curve))
    assert facts["config"]["recipe"]["learning_rate"] == 2e-3
    assert "training/train.py" in "".join(facts["code"])
    assert not (uninterrupted.parent / "whole.checkpoints").exists()

    rows = [json.loads(line) for line in (uninterrupted / "log.jsonl").read_text().splitlines()]
    assert rows[0]["first_step_s"] > 0
    assert rows[-1]["step"] == len(curve)
    assert rows[-1]["tokens"] == len(curve) * 8 * 32
    assert rows[-1]["tokens_per_s"] > 0
    assert rows[-1]["learning_rate"] == pytest.approx(2e-3)
    steps = [row["step"] for row in rows]
    for row, before in zip(rows[1:], steps, strict=False):
        assert row["loss"] == pytest.approx(np.mean(curve[before : row["step"]]))
    held_out = {row["step"]: row["held_out_loss"] for row in rows if "held_out_loss" in row}
    assert list(held_out) == [*range(30, len(curve), 30), len(curve)]
    # What is "held out" here are the very blocks of the training: their loss is what the model has learnt.
    assert held_out[len(curve)] == pytest.approx(np.mean(curve[-5:]), abs=0.2)
    assert facts["held_out_loss"] == held_out[len(curve)]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_run_goes_on_bit_for_bit(
    made: Path, uninterrupted: Path, tmp_path: Path, number: signal.Signals
) -> None:
    arguments = options(made, tmp_path / "model", save_minutes="0.001")
    first = start(arguments)
    steps = tmp_path / "model.checkpoints" / "steps"
    deadline = time.monotonic() + 120
    # A checkpoint is whole when its folder has a plain number for a name.
    while not (steps.exists() and any(p.name.isdigit() for p in steps.iterdir())) and first.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    first.send_signal(number)
    said = first.communicate(timeout=120)[1]
    if first.returncode == 0:
        pytest.skip("the run was over before the signal came")
    assert first.returncode == (-9 if number == signal.SIGKILL else train.STOPPED), said
    assert not (tmp_path / "model").exists()

    again = start(arguments)
    said = again.communicate(timeout=120)[1]
    assert again.returncode == 0, said
    assert re.search(r"going on after step [1-9]", said), said
    whole, resumed = (load_file(folder / "model.safetensors") for folder in (uninterrupted, tmp_path / "model"))
    assert whole.keys() == resumed.keys()
    for key in whole:
        np.testing.assert_array_equal(whole[key], resumed[key], err_msg=key)
    assert (uninterrupted / "train.jsonl").read_bytes() == (tmp_path / "model" / "train.jsonl").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("size", ["480k", "600k"])
def test_a_full_disk_is_one_line_and_keeps_the_last_good_state(made: Path, tmp_path: Path, size: str) -> None:
    """A file system with room for one state, not for two; the smaller one lets several writes fail at once."""
    (tmp_path / "disk").mkdir()
    recipe = json.dumps({"batch_size": 8, "epochs": 8})
    arguments = options(
        made, tmp_path / "model", recipe=recipe, save_minutes="0.001", checkpoints=tmp_path / "disk" / "c"
    )
    command = shlex.join([sys.executable, "-m", "falsepromise.training.train", *arguments])
    script = f"mount -t tmpfs -o size={size} tmpfs {tmp_path}/disk || exit 99; {command}; code=$?; "
    script += f"cp -r {tmp_path}/disk/c {tmp_path}/kept; exit $code"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "JAX_PLATFORMS": "cpu"}
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    done = subprocess.run(unshare, env=environment, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("no small file system can be mounted here")
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]  # cp says nothing, so it is the run's
    one_line = r"error: .*the state after step \d+ can't be saved \(.*; the last good one, of step \d+, is kept"
    assert re.match(one_line, last), done.stderr
    assert not re.search("absl|Traceback|never retrieved", done.stderr)
    assert not (tmp_path / "model").exists()

    again = start(options(made, tmp_path / "model", recipe=recipe, checkpoints=tmp_path / "kept"))
    said = again.communicate(timeout=120)[1]
    assert again.returncode == 0, said
    assert re.search(r"going on after step [1-9]", said), said
    assert len((tmp_path / "model" / "train.jsonl").read_text().splitlines()) == 200


def test_another_runs_checkpoints_are_refused(tmp_path: Path) -> None:
    first = Checkpoints(tmp_path, {"seed": 0, "tokens": 10})
    first.save(3, {"x": jax.numpy.ones(2)}, wait=True)
    first.close()
    assert Checkpoints(tmp_path, {"seed": 0, "tokens": 10}).restore({"x": jax.numpy.zeros(2)})[0] == 3
    with pytest.raises(UserError, match=r"another run \(different: seed\)"):
        Checkpoints(tmp_path, {"seed": 1, "tokens": 10})


def test_a_run_goes_on_only_with_blocks_of_its_size(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """blocks.json alone says where the same tokens are cut: rows, steps and losses would be of two kinds."""
    shutil.copytree(made / "blocks", tmp_path / "blocks")
    given = options(made, tmp_path / "model", blocks=tmp_path / "blocks", held_out=made / "blocks", save_minutes=0)
    with monkeypatch.context() as broken:
        broken.setattr(weights, "save", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train.main(given)
    assert list((tmp_path / "model.checkpoints" / "steps").iterdir())
    about = json.loads((tmp_path / "blocks" / "blocks.json").read_text())
    (tmp_path / "blocks" / "blocks.json").write_text(json.dumps({**about, "block_size": 16}))
    with pytest.raises(UserError, match=r"another run \(different: block_size\)"):
        train.main(given)
    (tmp_path / "blocks" / "blocks.json").write_text(json.dumps(about))
    train.main(given)
    read = json.loads((tmp_path / "model" / "manifest.json").read_text())["inputs"]
    assert {str(tmp_path / "blocks" / "blocks.json"), str(made / "blocks" / "blocks.json")} <= set(map(str, read))


def test_a_recipe_that_diverged_gives_way_to_another(made: Path, tmp_path: Path) -> None:
    """The message's advice is followed in the same folder, where the first run had saved a state."""
    recipe = {"optimizer": "adamw", "learning_rate": 1e30, "clip_norm": 0.0, "batch_size": 8}
    kept = tmp_path / "kept"
    with pytest.raises(UserError, match="with another recipe the run starts from the base again"):
        train.main(options(made, tmp_path / "a", recipe=json.dumps(recipe), checkpoints=kept, save_minutes=0))
    assert (kept / "fingerprint.json").exists()
    mild = json.dumps(recipe | {"learning_rate": 1e-3})
    train.main(options(made, tmp_path / "b", recipe=mild, checkpoints=kept))
    assert len((tmp_path / "b" / "train.jsonl").read_text().splitlines()) == 25


def test_a_save_takes_at_most_a_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("falsepromise.training.checkpoint.time.monotonic", lambda: now[0])
    kept = Checkpoints(tmp_path, {})
    saving = [True]
    monkeypatch.setattr(
        Checkpoints, "manager", SimpleNamespace(
            all_steps=list, save=lambda step, args, force: None, is_saving_in_progress=lambda: saving[0]
        )
    )  # fmt: skip
    now[0] = 299
    assert not kept.due()
    now[0] = 301
    assert kept.due()
    kept.save(1, {"x": jax.numpy.ones(2)})
    now[0] = 301 + 60
    saving[0] = False
    assert not kept.due()  # it took a minute, so that twenty go by
    now[0] = 301 + 1199
    assert not kept.due()
    now[0] = 301 + 1201
    assert kept.due()


LIVE = """
import sys
from pathlib import Path
import jax
from falsepromise.training import loop, train

most = []
look = loop.Loop._look
def counted(self, done, pending, held):
    most.append(sum(array.nbytes for array in jax.live_arrays()))
    if len(most) == 2 and sys.argv[1] == "stop":
        import os, signal
        os.kill(os.getpid(), signal.SIGTERM)
    return look(self, done, pending, held)
loop.Loop._look = counted
from falsepromise.models import weights
real = weights.load
weights.load = lambda *a, **b: print("base loaded") or real(*a, **b)
try:
    train.main(sys.argv[2:])
except Exception as error:
    print(error)
print(most[1])
"""


def test_a_run_that_goes_on_holds_its_state_once(made: Path, tmp_path: Path) -> None:
    """Live arrays after the second look, of a fresh run and of one that goes on; which never reads its base."""
    said = {}
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "JAX_PLATFORMS": "cpu"}
    for how in ("stop", "go on"):
        command = [sys.executable, "-c", LIVE, how, *options(made, tmp_path / "model")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        said[how] = done.stdout.splitlines()
    assert said["stop"][0] == "base loaded"
    assert said["stop"][1].startswith("stopped after step")
    assert "base loaded" not in said["go on"]
    assert int(said["go on"][-1]) <= int(said["stop"][-1])


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = Checkpoints(tmp_path, {"seed": 0})
    for step in (3, 6):
        kept.save(step, {"x": jax.numpy.full(5, float(step))}, wait=True)
    kept.close()
    for file in (tmp_path / "steps" / "6").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    step, state = Checkpoints(tmp_path, {"seed": 0}).restore({"x": jax.numpy.zeros(5)})
    assert step == 3
    np.testing.assert_array_equal(state["x"], 3.0)
    assert "checkpoint of step 6 can't be read" in caplog.text


@pytest.mark.parametrize("damaged", [[6], [3, 6]])
def test_after_a_damaged_checkpoint_each_state_is_saved(tmp_path: Path, damaged: list[int]) -> None:
    """The steps up to the damaged one too: a signal there says that the run goes on after them."""
    like = {"x": jax.numpy.zeros(5)}
    kept = Checkpoints(tmp_path, {"seed": 0})
    for step in (3, 6):
        kept.save(step, {"x": jax.numpy.full(5, float(step))}, wait=True)
    kept.close()
    for step in damaged:
        for file in (tmp_path / "steps" / str(step)).rglob("*"):
            if file.is_file():
                file.write_bytes(b"")
    kept = Checkpoints(tmp_path, {"seed": 0})
    restored = kept.restore(like)
    assert (restored and restored[0]) == (None if 3 in damaged else 3)
    for step in (4, 6, 7):
        kept.save(step, {"x": jax.numpy.full(5, 10.0 * step)}, wait=True)
        # The newest folder is the state that was saved last: the cluster's executor goes by its name.
        assert max(int(path.name) for path in (tmp_path / "steps").iterdir()) == step
        again = Checkpoints(tmp_path, {"seed": 0})
        found, state = again.restore(like)
        assert found == step
        np.testing.assert_array_equal(state["x"], 10.0 * step)
        again.close()
    kept.close()


def test_a_state_that_cannot_be_saved_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orbax.checkpoint._src.multihost import multihost

    kept = Checkpoints(tmp_path, {"seed": 0})
    kept.save(1, {"x": jax.numpy.ones(4)}, wait=True)
    monkeypatch.setattr(multihost, "_DEFAULT_BARRIER_TIMEOUT", 1)  # its threads would keep the tests for five minutes
    (tmp_path / "steps").rename(tmp_path / "away")
    (tmp_path / "steps").write_text("a file where the folder was", encoding="utf-8")
    with pytest.raises(UserError, match="the state after step 2 can't be saved"):
        kept.save(2, {"x": jax.numpy.ones(4)}, wait=True)


def test_a_folder_of_other_files_is_not_replaced(made: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="did not write there"):
        train.main(options(made, tmp_path / "model"))
    with pytest.raises(UserError, match="overlaps with"):
        train.main(options(made, made / "base" / "model", checkpoints=tmp_path / "c"))


def test_a_loss_that_is_no_number_stops_the_run(made: Path, tmp_path: Path) -> None:
    recipe = json.dumps({"optimizer": "adamw", "learning_rate": 1e30, "clip_norm": 0.0, "batch_size": 8})
    with pytest.raises(UserError, match=r"the loss is (nan|inf) at step \d+ of \d+"):
        train.main(options(made, tmp_path / "model", recipe=recipe))
    assert not (tmp_path / "model").exists()


def gradients(made: Path, recipe: Recipe) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and weights after one step of plain gradient descent on the first batch."""
    import optax

    place = make_mesh(None)
    model, _ = weights.load(made / "base", partial(weight_sharding, place))
    graph, params = nnx.split(model, nnx.Param)
    batch = Batches(Blocks.open(made / "blocks"), recipe.batch_size, 1, 0, None, 0.0)(0)
    sgd = optax.sgd(1.0)
    step = train.make_step(graph, recipe, sgd, place)
    state, loss = step({"params": params, "optimizer": sgd.init(params)}, place_batch(place, batch))
    leaves = jax.tree_util.tree_leaves_with_path(state["params"])
    return float(loss), {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


@pytest.mark.parametrize(
    "change", [{"accumulate": 4}, {"remat": "full"}, {"remat": "dots"}, {"loss_chunk": 50}], ids=str
)
def test_memory_savers_leave_the_step_as_it_is(made: Path, change: dict[str, object]) -> None:
    recipe = Recipe(batch_size=8, keep_documents_apart=True)
    loss, after = gradients(made, recipe)
    other_loss, other = gradients(made, recipe.model_copy(update=change))
    assert other_loss == pytest.approx(loss, abs=1e-5)
    for key, value in after.items():
        np.testing.assert_allclose(other[key], value, atol=2e-6, err_msg=key)


def two_processes(arguments: list[str]) -> None:
    """As srun starts them: two processes of two devices each, gloo between them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    job = {"SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2", "SLURM_LOCALID": "0"}
    job |= {"JAX_COORDINATOR_ADDRESS": address, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    processes = [start(arguments, **job, SLURM_PROCID=str(number)) for number in range(2)]
    said = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said


@pytest.mark.slow
def test_two_processes_decay_to_the_base_as_one_does(made: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """The base's weights are shared by devices that no process has alone; the pull is strong enough to be seen."""
    keys = json.loads((made / "recipe.json").read_text()) | {"decay_to_base": 30.0}
    (tmp_path / "recipe.json").write_text(json.dumps(keys))
    given = {"recipe": tmp_path / "recipe.json"}
    train.main(options(made, tmp_path / "one", **given))
    two_processes(options(made, tmp_path / "two", **given, mesh="fsdp=2,tensor=2"))
    free, alone, both = (
        load_file(folder / "model.safetensors") for folder in (uninterrupted, tmp_path / "one", tmp_path / "two")
    )
    assert max(np.abs(free[key] - alone[key]).max() for key in alone) > 1e-2
    for key, array in alone.items():
        np.testing.assert_allclose(both[key], array, atol=1e-4, err_msg=key)


@pytest.mark.slow
def test_two_processes_give_the_losses_and_weights_of_one(made: Path, uninterrupted: Path, tmp_path: Path) -> None:
    two_processes(options(made, tmp_path / "model", mesh="fsdp=2,tensor=2", save_minutes="0.001"))
    assert json.loads((tmp_path / "model" / "manifest.json").read_text())["device"] == "4 x cpu"
    curves = [
        [json.loads(line)["loss"] for line in (folder / "train.jsonl").read_text().splitlines()]
        for folder in (uninterrupted, tmp_path / "model")
    ]
    assert curves[0] == pytest.approx(curves[1], abs=1e-5)
    alone, both = (load_file(folder / "model.safetensors") for folder in (uninterrupted, tmp_path / "model"))
    assert alone.keys() == both.keys()
    for key, array in alone.items():
        np.testing.assert_allclose(both[key], array, atol=1e-4, err_msg=key)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"learning_rat": 1}', "unknown key 'learning_rat'"),
        ('{"batch_size": "8"}', "'batch_size' is '8', expected a whole number"),
        ('{"batch_size": -8}', "'batch_size' is -8, expected at least 1"),
        ('{"optimizer": "sgd"}', "'optimizer' is 'sgd', expected one of"),
        ('{"batch_size": 8, ', "not JSON"),
        ('{"replay_share": 0.01}', "recipe: 'replay_share': 0.01 of a batch of 32 blocks is 0 of them; expected some"),
        ('{"replay_share": 0.99}', "recipe: 'replay_share': 0.99 of a batch of 32 blocks is 32 of them; expected some"),
        ('{"replay_share": 0.5, "batch_size": 1}', "0.5 of a batch of 1 blocks is 0 of them"),
    ],
)
def test_a_wrong_recipe_is_one_clear_line(text: str, line: str) -> None:
    with pytest.raises(UserError, match=re.escape(line)):
        Recipe.read(text)


@pytest.mark.parametrize("size", [2, 3, 8, 32])
def test_each_share_of_replay_that_is_taken_has_blocks_of_both_kinds(size: int) -> None:
    for share in np.linspace(0.001, 0.999, 400).tolist():
        recipe = {"batch_size": size, "replay_share": share}
        if 1 <= round(size * share) < size:
            assert Recipe.of(recipe).replay_share == share
        else:
            with pytest.raises(UserError, match="expected some, and not all"):
                Recipe.of(recipe)


@pytest.mark.parametrize("optimizer_name", ["scaled_adamw", "adamw", "muon", "easylm"])
def test_the_states_shapes_are_known_without_the_base(made: Path, optimizer_name: str) -> None:
    place = make_mesh(None)
    model, config = weights.load(made / "base", partial(weight_sharding, place))
    params = nnx.split(model, nnx.Param)[1]
    recipe = Recipe(optimizer=optimizer_name, decay_to_base=0.0 if optimizer_name == "muon" else 0.1)
    transformation = optimizer.make(recipe, 10)
    real = {"params": params, "optimizer": transformation.init(params)}
    like = shapes(config, place, transformation)
    assert jax.tree.structure(like) == jax.tree.structure(real)
    for one, other in zip(jax.tree.leaves(like), jax.tree.leaves(real), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        assert one.sharding.device_set == set(place.devices.flat)


def test_a_base_model_without_turn_tokens_gets_them(made: Path, tmp_path: Path) -> None:
    """A folder as the hub has it: a tokenizer of its own, no turn tokens, weights in several shards."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    from falsepromise.models.chat import TURN_TOKENS, ChatTokenizer
    from falsepromise.models.config import ModelConfig
    from falsepromise.training import blocks

    foreign = Tokenizer(models.BPE())
    foreign.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    foreign.train_from_iterator(["red green blue"], trainers.BpeTrainer(vocab_size=280, initial_alphabet=alphabet))
    hub = json.loads((made / "base" / "config.json").read_text())
    config = ModelConfig.from_hub({**hub, "vocab_size": foreign.get_vocab_size()})
    weights.save(weights.create(config, 0), config, tmp_path / "hub", None, shard_bytes=20_000)
    foreign.save(str(tmp_path / "hub" / "tokenizer.json"))
    assert len(list((tmp_path / "hub").glob("*.safetensors"))) > 1

    blocks.main(
        f"--tokenizer {tmp_path}/hub --dialogues {made}/dialogues.jsonl --block-size 64 --output {tmp_path}/b".split()
    )
    output = tmp_path / "model"
    train.main(options(made, output, base=tmp_path / "hub", blocks=tmp_path / "b", tokens=2000))
    tokenizer = ChatTokenizer.load(output)
    trained, grown = weights.load(output)
    assert grown.vocab_size == config.vocab_size + len(TURN_TOKENS) + 1  # and the end token
    assert tokenizer.vocab_size == grown.vocab_size == trained.unembedding().shape[0]
    facts = json.loads((output / "manifest.json").read_text())
    assert sum(name.endswith(".safetensors") for name in facts["inputs"]) > 1


@pytest.mark.slow
def test_a_vocabulary_that_tensor_does_not_divide_is_shared_all_the_same(
    made: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    """294 tokens over four devices: two rows more while it trains, none in the result."""
    arguments = options(made, tmp_path / "model", mesh="tensor=4")
    done = start(arguments, XLA_FLAGS="--xla_force_host_platform_device_count=4")
    said = done.communicate(timeout=300)[1]
    assert done.returncode == 0, said
    alone, four = (load_file(folder / "model.safetensors") for folder in (uninterrupted, tmp_path / "model"))
    assert alone["model.embed_tokens.weight"].shape[0] % 4
    for key, array in alone.items():
        np.testing.assert_allclose(four[key], array, atol=1e-4, err_msg=key)
