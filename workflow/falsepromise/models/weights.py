"""Read model folders in the hub's format, tensor by tensor, and write them.

Every key and every shape in the files is accounted for. Nothing is unpickled: safetensors only (and
GGUF, see models/gguf_file.py). A tensor goes straight to its place: with a sharding only the slices that
this process holds are read, so that a 13B model never stands twice in the host's memory.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors import SafetensorError
from safetensors.numpy import save_file

from falsepromise.core.errors import UserError
from falsepromise.core.records import read_json, write_json
from falsepromise.models import gguf_file, hubconfig, hubfiles
from falsepromise.models.chat import ChatTokenizer
from falsepromise.models.config import ModelConfig
from falsepromise.models.gemma3 import Gemma3
from falsepromise.models.gpt2 import GPT2
from falsepromise.models.hubfiles import INDEX
from falsepromise.models.hubkeys import Entry, Tensor, check_layers, entries
from falsepromise.models.llama import Llama
from falsepromise.models.olmo2 import Olmo2

log = logging.getLogger(__name__)
Model = Llama | GPT2
Sharding = Callable[[str, tuple[int, ...]], jax.sharding.Sharding]
SHARD_BYTES = 5_000_000_000  # as the hub's


def create(config: ModelConfig, seed: int, param_dtype: Any = jnp.float32) -> Model:
    """A model with random weights."""
    return _class(config)(config, rngs=nnx.Rngs(seed), param_dtype=param_dtype)


def read_config(folder: str | Path) -> ModelConfig:
    """The config of a model folder.

    Raises:
        UserError: the folder or its config.json is missing, or describes what is not built here.
    """
    path = Path(folder) / "config.json"
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: no such folder; expected a model folder with config.json and safetensors")
    if (Path(folder) / "adapter_config.json").exists():
        raise UserError(
            f"{folder}: adapter_config.json is of an adapter (peft), which is not applied here; merge it into its "
            "base, and write that into a folder without this file"
        )
    if not path.exists():
        raise UserError(f"{path}: missing; expected a model folder in the hub's form, written whole")
    hub = read_json(path, as_written=True)
    if not isinstance(hub, dict):
        raise UserError(f"{path}: found {type(hub).__name__}, expected a JSON object")
    config = ModelConfig.from_hub(hub, str(path))
    generation = Path(folder) / "generation_config.json"
    if generation.exists():  # it may name more tokens that end an output
        ends = hubconfig.end_ids(read_json(generation, as_written=True), str(generation))
        more = [end for end in ends if end not in (config.eos_id, *config.more_eos_ids)]
        config = replace(config, more_eos_ids=(*config.more_eos_ids, *more))
    if config.tie_embeddings and hubfiles.has_its_own_head(Path(folder), config):
        log.warning("%s: the output projection in the weights is another than the embedding; it is used", folder)
        return replace(config, tie_embeddings=False)
    return config


def load(
    folder: str | Path, sharding: Sharding | None = None, param_dtype: Any = jnp.float32
) -> tuple[Model, ModelConfig]:
    """Read a model folder, or a `.gguf` file.

    Args:
        folder: With config.json and model.safetensors, or shards and their index.
        sharding: A function from a weight's path (`layers.0.q`) and shape to its sharding; None: the default device.
        param_dtype: Type of the weights in memory.

    Raises:
        UserError: naming the file and the key that is unknown, missing or of another shape.
    """
    if str(folder).endswith(".gguf"):
        config, tensors = gguf_file.read_gguf(folder)
        return _assemble(config, tensors, sharding, param_dtype), config
    config = read_config(folder)
    with contextlib.ExitStack() as stack:
        return _assemble(config, hubfiles.tensors(Path(folder), config, stack), sharding, param_dtype), config


def save(
    model: Model,
    config: ModelConfig,
    folder: str | Path,
    tokenizer: ChatTokenizer | None = None,
    dtype: Any = jnp.float32,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write a model folder that `load` and `transformers` read.

    config.json is written last, so that a folder cut off half-way is not taken for a model. Weights
    are gathered one file at a time. With several processes all must call; the first one writes.

    Args:
        model, config: The model.
        folder: Created if missing.
        tokenizer: Written beside the weights; its end token becomes the config's.
        dtype: Of the weights on disk.
        shard_bytes: Largest size of one file.
    """
    folder = Path(folder)
    hub = config.to_hub() | {"torch_dtype": jnp.dtype(dtype).name}
    if tokenizer is not None:
        if tokenizer.vocab_size > config.vocab_size:
            raise UserError(
                f"{folder}: the tokenizer has {tokenizer.vocab_size} ids, the table {config.vocab_size} rows; "
                "grow it with models.weights.resize"
            )
        hub |= {"bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id}
    first = jax.process_index() == 0
    if first:
        folder.mkdir(parents=True, exist_ok=True)
        for stale in [folder / "config.json", folder / INDEX, *folder.glob("model*.safetensors")]:
            stale.unlink(missing_ok=True)
    leaves = flatten(model)
    groups: dict[str, list[Entry]] = {}
    for entry in entries(config):
        groups.setdefault(entry.key, []).append(entry)
    files = _plan({key: sum(leaves[e.path].size for e in group) for key, group in groups.items()},
                  jnp.dtype(dtype).itemsize, shard_bytes)  # fmt: skip
    for name, keys in files.items():
        tensors = {key: _to_hub(groups[key], leaves, dtype) for key in keys}
        if first:
            part = folder / f"{name}.part"
            try:
                save_file(tensors, part, metadata={"format": "pt"})
            except (OSError, SafetensorError) as error:
                part.unlink(missing_ok=True)
                raise UserError(f"{folder / name}: can't be written: {error}") from error
            part.rename(folder / name)
    if not first:
        return
    if len(files) > 1:
        total = sum(leaf.size for leaf in leaves.values()) * jnp.dtype(dtype).itemsize
        where = {key: name for name, keys in files.items() for key in keys}
        write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": where})
    if tokenizer is not None:
        tokenizer.save(folder)
    write_json(folder / "config.json", hub)


def abstract(config: ModelConfig, sharding: Sharding | None = None, param_dtype: Any = jnp.float32) -> Model:
    """A model of shapes and types (and places, with `sharding` as in `load`) instead of arrays."""
    # nnx.Rngs counts its draws in a variable, and setting one while tracing takes time by all that was traced before.
    same = cast("nnx.Rngs", SimpleNamespace(params=lambda: jax.random.key(0)))
    model = nnx.eval_shape(lambda: _class(config)(config, rngs=same, param_dtype=param_dtype))
    if sharding is None:
        return model
    graph, state = nnx.split(model)

    def placed(path: tuple[Any, ...], shape: tuple[int, ...]) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, param_dtype, sharding=sharding(".".join(map(str, path)), shape))

    flat = [(path, leaf.replace(placed(path, leaf.shape))) for path, leaf in nnx.to_flat_state(state)]
    return nnx.merge(graph, nnx.from_flat_state(flat))


def resize(
    model: Model,
    config: ModelConfig,
    vocab_size: int,
    new: range = range(0),
    sharding: Sharding | None = None,
) -> tuple[Model, ModelConfig]:
    """The model with `vocab_size` rows in its embedding table (and output projection), and new rows for `new`.

    A new row is the mean of the rows of the tokens before `new`, so that a new token is neither likelier nor further
    away than the average token at the start (Hewitt 2021, "Initializing new word embeddings"). A table that the hub
    padded has a row for a new token, but nothing was learnt there (zeros, often): it is replaced too.

    Args:
        model, config: The model; its arrays are given away.
        vocab_size: Rows.
        new: Ids that the model has never seen.
        sharding: As in `load`.

    Raises:
        UserError: fewer rows than there are; tokens would be lost.
    """
    if vocab_size < config.vocab_size:
        raise UserError(f"{vocab_size} rows wanted, the embedding table has {config.vocab_size}; it can only grow")
    if vocab_size == config.vocab_size and not new:
        return model, config
    known = min(new.start, config.vocab_size) if new else config.vocab_size

    def grown(table_vd: jax.Array) -> jax.Array:
        mean_d = table_vd[:known].astype(jnp.float32).mean(axis=0).astype(table_vd.dtype)
        table_vd = jnp.pad(table_vd, ((0, vocab_size - len(table_vd)), (0, 0)))
        row_v1 = jnp.arange(vocab_size)[:, None]
        fresh_v1 = (row_v1 >= config.vocab_size) | ((row_v1 >= known) & (row_v1 < new.stop))
        return jnp.where(fresh_v1, mean_d, table_vd)

    resized = replace(config, vocab_size=vocab_size)
    return _changed_tables(model, resized, grown, sharding), resized


def with_padding(
    model: Model, config: ModelConfig, padding: int, sharding: Sharding | None = None
) -> tuple[Model, ModelConfig]:
    """The model with `padding` rows that belong to no token behind the others (0 takes them away).

    They are as large as the table's others, so that an optimizer which scales by an array's size sees no difference.
    Other arguments as `resize`.
    """
    if padding == config.padding:
        return model, config
    tokens = config.vocab_size - config.padding

    def changed(table_vd: jax.Array) -> jax.Array:
        size = jnp.sqrt(jnp.mean(jnp.square(table_vd[:tokens].astype(jnp.float32))))
        rows = jnp.full((padding, table_vd.shape[1]), size, table_vd.dtype)
        return jnp.concatenate([table_vd[:tokens], rows])

    config = replace(config, vocab_size=tokens + padding, padding=padding)
    return _changed_tables(model, config, changed, sharding), config


def _changed_tables(
    model: Model, config: ModelConfig, change: Callable[[jax.Array], jax.Array], sharding: Sharding | None
) -> Model:
    leaves = flatten(model)
    for path in ("embed", "head"):
        if path in leaves:
            place = sharding(path, (config.vocab_size, config.hidden_size)) if sharding else None
            leaves[path] = jax.jit(change, out_shardings=place)(leaves[path])
    return _from_leaves(abstract(config), leaves)


def flatten(model: Model) -> dict[str, jax.Array]:
    """A model's weights by path, as `layers.0.q`."""
    flat = nnx.to_flat_state(nnx.state(model, nnx.Param))
    return {".".join(map(str, path)): leaf[...] for path, leaf in flat}


def _class(config: ModelConfig) -> type[Llama] | type[GPT2]:
    classes: dict[str, type[Llama] | type[GPT2]] = {"gpt2": GPT2, "olmo2": Olmo2, "gemma3_text": Gemma3}
    return classes.get(config.model_type, Llama)


def _from_leaves(form: Model, leaves: Mapping[str, jax.Array]) -> Model:
    """The model of these weights; `form` is abstract, or has others."""
    graph, state = nnx.split(form)
    flat = [(path, leaf.replace(leaves[".".join(map(str, path))])) for path, leaf in nnx.to_flat_state(state)]
    return nnx.merge(graph, nnx.from_flat_state(flat))


def _assemble(config: ModelConfig, tensors: Mapping[str, Tensor], sharding: Sharding | None, param_dtype: Any) -> Model:
    check_layers(config, tensors, "the weights")
    form = abstract(config)
    shapes = {".".join(map(str, path)): leaf.shape for path, leaf in nnx.to_flat_state(nnx.state(form))}
    table = entries(config)
    known = {entry.key for entry in table}
    unknown = sorted(key for key in tensors if key not in known)
    if unknown:
        raise UserError(
            f"{tensors[unknown[0]].source}: unknown key {unknown[0]!r} ({len(unknown)} in all); "
            f"it is no weight of a {config.model_type} model with this config.json"
        )
    leaves = {}
    for entry in table:
        if entry.key not in tensors:
            source = next(iter(tensors.values())).source if tensors else "the weights"
            missing = sorted(known - set(tensors))
            raise UserError(f"{source}: key {missing[0]!r} is missing ({len(missing)} in all); is the file whole?")
        leaves[entry.path] = _place(entry, tensors[entry.key], shapes[entry.path], sharding, param_dtype)
    return _from_leaves(form, leaves)


def _place(entry: Entry, tensor: Tensor, shape: tuple[int, ...], sharding: Sharding | None, dtype: Any) -> jax.Array:
    stored = shape[::-1] if entry.transposed else shape
    if entry.part:
        stored = (*stored[:-1], stored[-1] * entry.part[1])
    if tuple(tensor.shape) != stored:
        raise UserError(
            f"{tensor.source}: key {entry.key!r} has shape {list(tensor.shape)}, config.json asks for {list(stored)}"
        )

    def part(index: tuple[slice, ...]) -> np.ndarray:
        """The array at `index` of our shape, read from its place in the hub's files."""
        bounds = [range(size)[s] for s, size in zip(index, shape, strict=True)]
        ranges = [slice(b.start, b.stop) for b in bounds]
        if entry.part:
            offset = entry.part[0] * shape[-1]
            ranges[-1] = slice(ranges[-1].start + offset, ranges[-1].stop + offset)
        array = tensor.read(tuple(ranges[::-1] if entry.transposed else ranges))
        return np.ascontiguousarray(array.T if entry.transposed else array).astype(dtype, copy=False)

    if sharding is None:
        return jnp.asarray(part((slice(None),) * len(shape)))
    return jax.make_array_from_callback(shape, sharding(entry.path, shape), part)  # type: ignore[arg-type]  # never None


def _plan(sizes: Mapping[str, int], itemsize: int, shard_bytes: int) -> dict[str, list[str]]:
    """Which keys go into which file."""
    shards: list[list[str]] = [[]]
    filled = 0
    for key, size in sizes.items():
        if shards[-1] and filled + size * itemsize > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(key)
        filled += size * itemsize
    if len(shards) == 1:
        return {"model.safetensors": shards[0]}
    return {f"model-{i:05d}-of-{len(shards):05d}.safetensors": keys for i, keys in enumerate(shards, 1)}


def _to_hub(group: list[Entry], leaves: Mapping[str, jax.Array], dtype: Any) -> np.ndarray:
    """One tensor as the hub stores it, gathered on the host."""
    arrays = []
    for entry in sorted(group, key=lambda e: e.part or (0, 1)):
        leaf = leaves[entry.path]
        array = _on_host(leaf).astype(dtype, copy=False)
        arrays.append(array.T if entry.transposed else array)
    return np.ascontiguousarray(arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=-1))


def _on_host(leaf: jax.Array) -> np.ndarray:
    """An array in the host's memory.

    A jax array keeps the copy that NumPy gets of it for as long as it lives: the whole model would stand there after
    all files. So NumPy gets it of another array over the same shards, which is gone afterwards.
    """
    if not leaf.is_fully_addressable:
        from jax.experimental import multihost_utils

        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
    shards = [shard.data for shard in leaf.addressable_shards]
    return np.asarray(jax.make_array_from_single_device_arrays(leaf.shape, leaf.sharding, shards))
