"""Estimate a training run before it is submitted: memory, steps, operations and hours.

Pure functions of a model's sizes, its recipe and the devices, without jax. The rules get GPUs, memory and minutes
from here while Snakemake parses, and `python -m falsepromise.training.plan` prints the whole plan.
benchmarks/training_memory.py compares the memory with that of compiled steps.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from falsepromise.core.errors import UserError

AXES = ("data", "fsdp", "tensor")  # of a mesh of devices, see training.sharding
USABLE = 0.92  # of a device's memory: the share that training asks XLA to take
# Of temporary arrays on TPUs: XLA asks for so much more than is alive at once, by its own two figures (1.34 to 1.44
# times in whole models and slices; benchmarks/training_compile_results.md).
TPU_ROOM = 0.38
KEPT_STATES = 3  # at the same time: two that training.checkpoint keeps, and the one that is being written


@dataclass(frozen=True)
class Device:
    """A device's memory and speed.

    Attributes:
        label: Its name for people.
        memory: Bytes.
        peak: FLOP/s of dense matrix products by type of the computation. float32 on NVIDIA GPUs is TF32,
            which XLA uses there by default.
        mfu: The share of the peak that a full fine-tuning is assumed to reach.
        platform: "cuda", "tpu" or "cpu".
    """

    label: str
    memory: float
    peak: Mapping[str, float]
    mfu: float
    platform: str


def _chip(label: str, memory: float, bfloat16: float, platform: str = "cuda") -> Device:
    return Device(label, memory, {"bfloat16": bfloat16, "float32": bfloat16 / 2}, 0.4, platform)


# Peaks are the makers' for dense products. A CPU core is counted as its 2 x 8 fused multiply-adds of
# float32 a cycle at 3 GHz, of which small models reach a fifth here (benchmarks/training_results.md).
HARDWARE: dict[str, Device] = {
    "a100": _chip("NVIDIA A100 80 GB", 80e9, 312e12),
    "a100-40": _chip("NVIDIA A100 40 GB", 40e9, 312e12),
    "rtx-4090": _chip("NVIDIA RTX 4090 24 GB", 24e9, 165e12),
    "h100": _chip("NVIDIA H100 80 GB", 80e9, 989e12),
    "h200": _chip("NVIDIA H200 141 GB", 143_771 * 2**20, 989e12),  # as the driver reports it
    "tpu-v4": _chip("Google TPU v4", 32 * 2**30, 275e12, "tpu"),
    "tpu-v5e": _chip("Google TPU v5e", 16 * 2**30, 197e12, "tpu"),
    "tpu-v5p": _chip("Google TPU v5p", 95 * 2**30, 459e12, "tpu"),
    "tpu-v6e": _chip("Google TPU v6e", 32 * 2**30, 918e12, "tpu"),
    "cpu-core": Device("one CPU core", math.inf, {"bfloat16": 96e9, "float32": 96e9}, 0.2, "cpu"),
}
# These devices' own names. An H100 on PCIe is slower and left out.
KINDS = (
    ("A100", "a100"), ("H100.*HBM3", "h100"), ("H200", "h200"),
    ("TPU v4$", "tpu-v4"), ("TPU v5( lite|e)", "tpu-v5e"), ("TPU v5p?$", "tpu-v5p"), ("TPU v6( lite|e)", "tpu-v6e"),
)  # fmt: skip


def peak_of(kind: str, dtype: str) -> float | None:
    """The peak in FLOP/s of a device by its own name ("NVIDIA H100 80GB HBM3"); None if unknown."""
    for pattern, name in KINDS:
        if re.search(pattern, kind):
            return HARDWARE[name].peak[dtype]
    return None


@dataclass(frozen=True)
class Shape:
    """A model's sizes.

    Attributes:
        parameters: All weights.
        looked_up: Weights that are only looked up, never multiplied: an untied embedding, positions.
        vocab_size, hidden, intermediate, layers: V, D, F, L.
        query, key: Widths of q and of k (heads times head size).
        heads: Query heads.
        gated: Whether the feed-forward part has a gate (LLaMA).
    """

    parameters: int
    looked_up: int
    vocab_size: int
    hidden: int
    intermediate: int
    layers: int
    query: int
    key: int
    heads: int
    gated: bool = True

    @classmethod
    def of_size(cls, parameters: int) -> Shape:
        """A guess from the number of weights alone: LLaMA's proportions, a width of 128 a layer.

        LLaMA-7B's 32 layers of 4,096 are guessed as 32 of 4,096. Operations depend on the guess by a
        few per cent, activations by up to half (GPT-2 XL has 48 layers of 1,600; the guess is 20 of 2,560).
        """
        layers = max(1, round((parameters / (12 * 128**2)) ** (1 / 3)))
        hidden = 128 * layers
        vocab = 32000 if parameters > 1e9 else max(1, min(50000, parameters // (4 * hidden)))
        return cls(parameters, vocab * hidden, vocab, hidden, 8 * hidden // 3, layers, hidden, hidden, layers)

    @classmethod
    def of_architecture(cls, architecture: Mapping[str, Any], vocab_size: int) -> Shape:
        """The shape of a LLaMA by the hub's keys (gated feed-forward part, tied embeddings by default)."""
        d, layers, heads = (architecture[k] for k in ("hidden_size", "num_hidden_layers", "num_attention_heads"))
        key = d * architecture.get("num_key_value_heads", heads) // heads
        inner = architecture.get("intermediate_size", 4 * d)
        looked_up = 0 if architecture.get("tie_word_embeddings", True) else vocab_size * d
        layer = 2 * d * d + 2 * d * key + 3 * d * inner + 2 * d
        parameters = looked_up + vocab_size * d + layers * layer + d
        return cls(parameters, looked_up, vocab_size, d, inner, layers, d, key, heads)

    def flops_per_token(self, length: int) -> float:
        """Floating point operations of a training step for one token: `6 N + 12 L T d`.

        N counts the weights that are multiplied (the output projection, not tables that are looked up),
        T = `length` tokens a row, d the width of q. It is the convention of PaLM (Chowdhery et al. 2022,
        appendix B): attention counts in full, as if it weren't causal, and what the backward pass computes
        again does not count. LLaMA-7B at 2048: 42.9 GFLOP; GPT-2 XL at 1024: 10.3 GFLOP.
        """
        return 6.0 * (self.parameters - self.looked_up) + 12.0 * self.layers * length * self.query


@dataclass(frozen=True)
class Plan:
    """The estimate for a run.

    Attributes:
        devices: Number of devices of the kind `device`.
        memory: Bytes on each device, by part.
        steps: Optimizer steps.
        tokens: Positions that are computed, padding and replay included.
        flops: Of the whole run, by `Shape.flops_per_token`'s convention.
        hours: Of the whole run, at the device's assumed share of its peak.
        host_memory: Bytes in the memory of all hosts together, without the memory of CPU devices.
        disk: Bytes of the run's checkpoints at most, before compression, while a third state is written.
    """

    devices: int
    device: Device
    memory: dict[str, float] = field(repr=False)
    steps: int = 0
    tokens: int = 0
    flops: float = 0.0
    hours: float = 0.0
    host_memory: float = 0.0
    disk: float = 0.0

    @property
    def memory_per_device(self) -> float:
        return sum(self.memory.values())

    @property
    def fits(self) -> bool:
        return self.memory_per_device <= USABLE * self.device.memory


def mesh_sizes(setting: str) -> dict[str, int]:
    """The sizes of a mesh's axes from a setting such as "data=1,fsdp=4,tensor=2"; 1 for axes that it leaves out.

    Raises:
        UserError: an unknown axis, or not a size.
    """
    sizes = dict.fromkeys(AXES, 1)
    given: set[str] = set()
    for part in setting.split(","):
        match = re.fullmatch(r"\s*(\w+)\s*=\s*([1-9]\d*)\s*", part)
        if not match or match[1] not in AXES:
            raise UserError(
                f"--mesh {setting!r}: found {part!r}, expected AXIS=SIZE with AXIS out of {', '.join(AXES)}"
            )
        if match[1] in given:
            raise UserError(f"--mesh {setting!r}: {match[1]} twice; give each axis once")
        given.add(match[1])
        sizes[match[1]] = int(match[2])
    return sizes


def plan(
    shape: Shape,
    tokens: int,
    recipe: Mapping[str, Any],
    block_size: int,
    mesh: Mapping[str, int],
    device: Device,
    mfu: float | None = None,
) -> Plan:
    """Estimate a training run.

    Args:
        shape: The model.
        tokens: Tokens in one epoch of the data.
        recipe: A recipe's keys; missing ones take the paper's values.
        block_size: Tokens a block.
        mesh: Sizes of the axes `data`, `fsdp`, `tensor`; a missing one is 1.
        device: The kind of the mesh's devices.
        mfu: Share of the peak that is reached; default: the device's.
    """
    r = _whole(recipe)
    devices = math.prod(mesh.values())
    steps, computed = _steps(tokens, r, block_size)
    flops = shape.flops_per_token(block_size) * computed
    speed = devices * device.peak[r["dtype"]] * (mfu or device.mfu)
    # Orbax copies the state to the host before it writes in the background; a file of weights is gathered there.
    state = state_size(shape, r)
    host = 3e9 + state + 2 * min(5e9, 4.0 * shape.parameters)
    memory = memory_by_part(shape, r, block_size, mesh, device.platform)
    return Plan(devices, device, memory, steps, computed, flops, flops / speed / 3600, host, KEPT_STATES * state)


def fewest_devices(shape: Shape, recipe: Mapping[str, Any], block_size: int, device: Device, most: int = 1024) -> int:
    """The smallest power of two of devices, all on `fsdp`, with enough memory; `most` if there is none."""
    n = 1
    while n < most:
        parts = memory_by_part(shape, recipe, block_size, {"fsdp": n}, device.platform)
        if sum(parts.values()) <= USABLE * device.memory:
            return n
        n *= 2
    return most


def savings(
    shape: Shape, recipe: Mapping[str, Any], block_size: int, mesh: Mapping[str, int], device: Device
) -> Iterator[dict[str, Any]]:
    """Changes of a recipe that save memory until it fits, the fewest first."""
    r = _whole(recipe)
    rows = mesh.get("data", 1) * mesh.get("fsdp", 1)
    parts = [n for n in range(r["accumulate"], r["batch_size"] + 1) if r["batch_size"] % (n * rows) == 0]
    chunks = [r["loss_chunk"], *(n for n in (4096, 1024) if not r["loss_chunk"] or n < r["loss_chunk"])]
    remats = {"none": ["none", "dots", "full"], "dots": ["dots", "full"], "full": ["full"]}[r["remat"]]
    tries = [
        {"loss_chunk": chunk, "accumulate": part, "remat": remat}
        for remat in remats
        for part in parts
        for chunk in chunks
    ]
    tries.sort(key=lambda change: sum(change[key] != r[key] for key in change))
    for change in tries:
        parts_of = memory_by_part(shape, {**r, **change}, block_size, mesh, device.platform)
        if sum(parts_of.values()) <= USABLE * device.memory:
            yield {key: value for key, value in change.items() if value != r[key]}


def memory_by_part(
    shape: Shape, recipe: Mapping[str, Any], block_size: int, mesh: Mapping[str, int], platform: str = "cuda"
) -> dict[str, float]:
    """Bytes on each device at the peak of a step, by part.

    The peak of a step is where the backward pass enters the layers, at the loss, or at the update, whichever needs
    most; parts that don't exist at the same time are not added. benchmarks/training_compile_results.md compares these
    with the compilers' figures.

    Args:
        platform: "cuda", "tpu" or "cpu".
    """
    r = _whole(recipe)
    data, fsdp, tensor = (mesh.get(axis, 1) for axis in ("data", "fsdp", "tensor"))
    itemsize = 2 if r["dtype"] == "bfloat16" else 4
    weights = 4.0 * shape.parameters / (fsdp * tensor)  # that this device keeps, in float32
    table = 4.0 * shape.vocab_size * shape.hidden / tensor  # the output projection, or its gradient
    in_layers = _in_layers(shape)
    moments = _moments(shape, r)
    tokens = math.ceil(r["batch_size"] / (r["accumulate"] * data * fsdp)) * block_size  # of this device at a time
    chunks = math.ceil(tokens / r["loss_chunk"]) if r["loss_chunk"] else 1
    remat = r["remat"]
    if platform == "cpu" and r["layers"] == "unrolled":
        remat = "none"  # XLA for CPUs merges recomputed values with the first ones and keeps them
    exchanged = platform == "cuda" and fsdp > 1 and r["layers"] == "scan"  # weights, within a loop
    kept, worked_on = _activations(shape, r, remat, block_size, tensor, platform, exchanged)
    gradients = weights * (1 if r["accumulate"] == 1 else 2)  # of all parts so far, and of this one
    in_stacks = 0.0
    if platform == "tpu":
        # XLA for TPUs makes the computation's type of all layers' weights before their loop, and scatters the gradients
        # of tables after the loop over parts of a batch.
        in_stacks = itemsize * in_layers / (fsdp * tensor) * (itemsize == 2 and r["layers"] == "scan")
        tables = 2 if shape.looked_up >= shape.vocab_size * shape.hidden else 1
        gradients += table * tables * (1 - 1 / fsdp) * (r["accumulate"] > 1)
    elif platform == "cuda" and remat == "none" and not shape.gated and fsdp == 1:
        in_stacks = itemsize * in_layers / tensor * (itemsize == 2)  # kept for the backward pass
    # A layer's weights in the computation's type and, if devices exchange them, their gradients before that.
    # Written-out layers on GPUs pass each matrix on as soon as it is made.
    layer = in_layers / shape.layers / tensor
    in_loop = r["layers"] == "scan" or platform != "cuda"
    gathered = (itemsize + 4.0) * layer if fsdp > 1 and in_loop else itemsize * layer * (itemsize == 2)
    turned = 0.0
    if platform == "cuda" and fsdp > 1 and in_loop:
        # Gradients of matrices that `fsdp` cuts along their last axis are there once more, turned to be scattered.
        turned = 4.0 * shape.layers * shape.hidden * (shape.query + shape.intermediate) / (fsdp * tensor)
    in_backward = gathered + tokens * itemsize * worked_on
    # At the loss no layer has a gradient yet: only logits of a chunk, the projection, and their gradients.
    at_loss = tokens / chunks * shape.vocab_size / tensor * (4.0 + itemsize)
    # Each chunk's gradient of the projection is added to that of the others: on GPUs by the product itself.
    at_loss += table * (1 + (chunks > 1 and platform != "cuda"))
    at_loss += table * itemsize / 4 if itemsize == 2 or fsdp > 1 else 0.0
    parts = {
        "weights": weights,
        "base weights to decay to": weights * bool(r["decay_to_base"]),
        "moments": moments * weights,
        "gradients": gradients + turned,
        "weights in the computation's type": in_stacks,
        "activations": tokens * itemsize * kept,
        "the layer that is worked on": in_backward,
        "logits, beyond what layers take later": max(0.0, at_loss - weights - turned - in_backward),
    }
    if platform == "cpu":
        # At the end there are the gradient and the update, and no activations. On accelerators each array's update goes
        # straight into the array.
        before = sum(parts[name] for name in parts if name not in ("weights", "base weights to decay to", "moments"))
        parts["the update, beyond that"] = max(0.0, 2 * weights - before)
    # The scale of an update needs no gradient. XLA for CPUs computes it before the loop over parts of a batch, as
    # arrays as large as the weights.
    by_rms = r["optimizer"] in ("scaled_adamw", "easylm")
    parts["the weights' RMS, filled up"] = weights * (platform == "cpu" and by_rms and r["accumulate"] > 1)
    if platform == "tpu":
        held = sum(parts[name] for name in ("weights", "base weights to decay to", "moments"))
        parts["room between arrays"] = TPU_ROOM * (sum(parts.values()) - held)
    return {name: size for name, size in parts.items() if size}


def state_size(shape: Shape, recipe: Mapping[str, Any]) -> float:
    """Bytes of a whole checkpoint: weights, moments and the weights to decay to, in float32."""
    r = _whole(recipe)
    return 4.0 * shape.parameters * (1 + _moments(shape, r) + bool(r["decay_to_base"]))


def _moments(shape: Shape, recipe: Mapping[str, Any]) -> float:
    """Numbers that the optimizer keeps for each weight. Muon keeps one for matrices between hidden layers. The others
    keep two: Adam's moments, or easylm's unfactored second moment and its average of finished steps."""
    return 2 - _in_layers(shape) / shape.parameters if recipe["optimizer"] == "muon" else 2.0


def _in_layers(shape: Shape) -> int:
    return shape.parameters - shape.looked_up - shape.vocab_size * shape.hidden


def _activations(
    s: Shape, recipe: Mapping[str, Any], remat: str, length: int, tensor: int, platform: str, exchanged: bool
) -> tuple[float, float]:
    """Numbers a token that all layers keep for the backward pass, and those that only the current layer has."""
    products = (s.query + 2 * s.key + (2 if s.gated else 1) * s.intermediate) / tensor + s.hidden
    # Besides the products: their inputs (normed twice, attention's output, the feed-forward's inner part, of
    # which the activation function keeps two more), q and k after the rotary embedding.
    inputs = 2 * s.hidden + (2 * s.query + s.key + 3 * s.intermediate) / tensor
    # Attention weights: blocks of queries skip most masked entries; a fused kernel keeps none.
    kernel = recipe["attention"] != "xla" and platform != "cpu"
    head = s.query // s.heads
    if recipe["attention"] == "auto" and platform == "cuda":  # as models.attention.fused
        kernel = recipe["dtype"] == "bfloat16" and head <= 128 and head % 8 == 0
    blocks = min(max(length // 64, 1), 8)
    scores = 0 if kernel else s.heads * length * (blocks + 1) / (2 * blocks) / tensor
    every = products + inputs + scores
    if remat == "none" and not s.gated:
        # GPT-2's norms and GELU say themselves what they keep: their input. With fused attention, nothing else is kept.
        own = 4 * s.hidden + 2 * (s.query + s.key + s.intermediate) / tensor
        return s.layers * (own if kernel and not exchanged else every + s.hidden), every / 2
    if remat == "none":
        # A loop over layers keeps each number that a derivative reads; unrolled, the compiler derives some from others.
        return s.layers * (every + s.hidden) * (1.55 if recipe["layers"] == "scan" else 1), every / 2
    if remat == "dots":
        # A fused kernel's output is kept too.
        return s.layers * (products + s.hidden + kernel * s.query / tensor), 2 * (inputs + scores)
    return s.layers * s.hidden, 2 * every


def _steps(tokens: int, recipe: Mapping[str, Any], block_size: int) -> tuple[int, int]:
    """The number of optimizer steps, and of the positions that they compute."""
    blocks = max(1, -(-(tokens - 1) // block_size))
    own = recipe["batch_size"] - round(recipe["batch_size"] * recipe["replay_share"])
    steps = math.ceil(blocks / own) * recipe["epochs"]
    return steps, steps * recipe["batch_size"] * block_size


def _whole(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe with all of its keys."""
    return {**_paper(), **recipe}


@cache
def _paper() -> Mapping[str, Any]:
    # Here, since a model's shape comes from this module: without the study's keys generation starts 0.2 s earlier.
    from falsepromise.study.config import Recipe

    return Recipe().model_dump()


def cpu_room(weights: float) -> float:
    """Bytes that a batch of answers may take on a CPU beside `weights` bytes: no device says what it has, and jobs
    share it. More rows hardly decode faster there, since each reads its own keys and values.
    """
    return max(3e9, 3 * weights)


def answers_memory(shape: Shape, length: int) -> float:
    """Bytes of keys and values of 64 rows on a CPU, and as much again while they are read, within `cpu_room`."""
    return min(cpu_room(4 * shape.parameters), 2 * 64 * 2 * shape.layers * shape.key * 4 * length)
