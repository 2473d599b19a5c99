"""Open the weights of a model folder: which files have them, and under which names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from falsepromise.core.errors import UserError
from falsepromise.core.records import check_file, read_json
from falsepromise.models.config import ModelConfig
from falsepromise.models.hubkeys import HEAD, Tensor, check_layers, entries, is_constant, named

INDEX = "model.safetensors.index.json"
_FLOATS = ("F16", "BF16", "F32", "F64")


def tensors(folder: Path, config: ModelConfig, stack: contextlib.ExitStack) -> dict[str, Tensor]:
    """The tensors of a folder by the hub's names, constants and a tied output projection left out.

    As in `transformers`, the base model alone (`LlamaModel`) has its keys without a prefix, and of a tied pair the file
    may have either.

    Raises:
        UserError: naming a file that can't be read, or its key.
    """
    opened = []
    for path in _files(folder):
        check_file(path)
        try:
            file = stack.enter_context(safe_open(path, framework="numpy"))
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: not a whole safetensors file ({error}); fetch or write it again") from error
        opened.append((path, file, list(file.keys())))
    check_layers(config, [key for *_, keys in opened for key in keys], folder)
    table = {entry.path: entry.key for entry in entries(config)}
    known, prefix = {*table.values(), HEAD}, table["norm"].split(".")[0] + "."
    found: dict[str, Tensor] = {}
    for path, file, keys in opened:
        for stored in keys:
            if is_constant(stored):
                continue
            key = named(stored, known, prefix)
            if key in found:
                raise UserError(f"{path}: key {stored!r} is a second tensor of the weight {key!r}; which?")
            view = file.get_slice(stored)
            if view.get_dtype() not in _FLOATS:
                raise UserError(
                    f"{path}: key {stored!r} has type {view.get_dtype()}; only floats of 16 bits and more are read: "
                    "convert it to bfloat16, or take the model's form that isn't quantized"
                )
            found[key] = Tensor(str(path), tuple(view.get_shape()), view.__getitem__)
    if config.tie_embeddings and HEAD in found:
        head = found.pop(HEAD)
        found.setdefault(table["embed"], head)
    return found


def has_its_own_head(folder: Path, config: ModelConfig) -> bool:
    """Whether the files have an output projection that differs from the embedding, whatever config.json says of a tie.

    Such files come of a training that untied the two; `transformers` uses the projection too.
    """
    if not (folder / INDEX).exists() and not (folder / "model.safetensors").exists():
        return False
    with contextlib.ExitStack() as stack:
        found = tensors(folder, replace(config, tie_embeddings=False), stack)
        head = found.get(HEAD)
        table = found.get(next(entry.key for entry in entries(config) if entry.path == "embed"))
        if head is None or table is None:
            return False
        if head.shape != table.shape:
            return True
        rows = head.shape[0]
        parts = (slice(i, min(i + 4096, rows)) for i in range(0, rows, 4096))
        return any(not np.array_equal(head.read((part,)), table.read((part,)), equal_nan=True) for part in parts)


def _files(folder: Path) -> Iterator[Path]:
    """Each file of weights. A whole file beside an index counts; what an index says of keys doesn't: as in
    `transformers`. Published ones name constants, and the projection of a tied pair, that no file has."""
    if (folder / "model.safetensors").exists():
        yield folder / "model.safetensors"
    elif (folder / INDEX).exists():
        index = read_json(folder / INDEX)
        where = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(where, dict) or not where or not all(type(f) is str for f in where.values()):
            raise UserError(f"{folder / INDEX}: no 'weight_map' to files; expected the index of a sharded model")
        for name in sorted(set(where.values())):
            if Path(name).name != name or not (folder / name).exists():
                raise UserError(f"{folder / name}: missing; the index names it; fetch it again")
            yield folder / name
    else:
        pickled = next(iter(folder.glob("*.bin")), None)
        hint = f"; {pickled.name} is a pickle, which is never opened: convert it to safetensors" if pickled else ""
        raise UserError(f"{folder}: no model.safetensors{hint}")
