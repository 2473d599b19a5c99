"""Read the head of a GGUF file in one pass: its fields, and where its tensors lie.

`gguf.GGUFReader` makes four arrays of NumPy for each text (half a minute for a vocabulary of 400,000), and believes
what a file counts: 24 bytes keep it busy for ever. Here a count must fit into the rest of the file before anything is
read.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_VERSIONS = (2, 3)
_TEXT, _LIST, _U32 = 8, 9, 4
# A value by its type in the file.
_NUMBERS = {0: "u1", 1: "i1", 2: "u2", 3: "i2", 4: "u4", 5: "i4", 6: "f4", 7: "?", 10: "u8", 11: "i8", 12: "f8"}
PLAIN = {"F32": "f4", "F16": "f2", "F64": "f8", "I8": "i1", "I16": "i2", "I32": "i4", "I64": "i8"}
_MOST_AXES = 8


@dataclass(frozen=True)
class GgufTensor:
    """A tensor in a file.

    Attributes:
        name: Its name.
        shape: As NumPy has it: the last axis is contiguous.
        kind: Its `gguf.GGMLQuantizationType`.
        data: The numbers of that shape, or the bytes of quantised rows.
        order: Of the bytes: "<" or ">".
    """

    name: str
    shape: tuple[int, ...]
    kind: Any
    data: np.ndarray
    order: str


def read_head(path: str | Path) -> tuple[dict[str, Any], list[GgufTensor]]:
    """The fields and tensors of a file; a tensor's data stay on the disk until they are used.

    Raises:
        ValueError, KeyError, struct.error: what doesn't fit.
        OSError: the file can't be read.
    """
    content = np.memmap(path, np.uint8, "r")
    head = _Head(content.data)
    fields: dict[str, Any] = {}
    for _ in range(head.fields):
        name, kind = head.text(), head.number("I")
        if name in fields:
            raise ValueError(f"the field {name} is there twice")
        fields[name] = head.value(kind)
        if name == "general.alignment" and kind != _U32:
            raise ValueError("general.alignment is of another type")
    listed = [head.tensor() for _ in range(head.tensors)]
    if len({name for name, *_ in listed}) < len(listed):
        raise ValueError("a tensor is there twice")
    alignment = fields.get("general.alignment", 32)
    if alignment < 1 or alignment & (alignment - 1):
        raise ValueError(f"an alignment of {alignment}")
    start = -(-head.place // alignment) * alignment
    return fields, [_tensor(content, start, head.order, *about) for about in listed]


class _Head:
    """A place in a file's head that moves on with each value."""

    def __init__(self, content: memoryview):
        self._content, self._size = content, len(content)
        if bytes(content[:4]) != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        self.place = 4
        self.order = ">" if bytes(content[4:6]) == b"\0\0" else "<"
        version = self.number("I")
        if version not in _VERSIONS:
            raise ValueError(f"version {version} of the format")
        self._length = struct.Struct(f"{self.order}Q")
        self.tensors, self.fields = self.number("Q"), self.number("Q")
        self._check(self.fields, 13, "fields")
        self._check(self.tensors, 24, "tensors")

    def _check(self, count: int, each: int, what: str) -> None:
        if count * each > self._size - self.place:
            raise ValueError(f"{count} bytes or entries of {what}, more than the file has")

    def number(self, form: str) -> Any:
        (value,) = struct.unpack_from(self.order + form, self._content, self.place)
        self.place += struct.calcsize(self.order + form)
        return value

    def text(self) -> str:
        (length,) = self._length.unpack_from(self._content, self.place)
        self.place += 8
        self._check(length, 1, "a text")
        self.place += length
        return str(self._content[self.place - length : self.place], "utf-8")

    def value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self.text()
        if kind == _LIST:
            return self._list(self.number("I"), self.number("Q"))
        return self._numbers(kind, 1)[0]

    def _list(self, kind: int, count: int) -> list[Any]:
        if kind == _LIST:
            raise ValueError("a list of lists")
        if kind != _TEXT:
            return self._numbers(kind, count)
        self._check(count, 8, "a list")
        return [self.text() for _ in range(count)]

    def _numbers(self, kind: int, count: int) -> list[Any]:
        if kind not in _NUMBERS:
            raise ValueError(f"a value of the unknown type {kind}")
        form = np.dtype(_NUMBERS[kind]).newbyteorder(self.order)  # type: ignore[arg-type]
        self._check(count, form.itemsize, "a list")
        found = np.frombuffer(self._content, form, count, self.place) if count else np.empty(0, form)
        self.place += count * form.itemsize
        return found.tolist()

    def tensor(self) -> tuple[str, list[int], int, int]:
        """Name, sizes of the axes from the fastest on, type and place of the next tensor."""
        name, axes = self.text(), self.number("I")
        if axes > _MOST_AXES:
            raise ValueError(f"a tensor of {axes} axes")
        return name, [self.number("Q") for _ in range(axes)], self.number("I"), self.number("Q")


def _tensor(
    content: np.ndarray, start: int, order: str, name: str, sizes: list[int], of: int, place: int
) -> GgufTensor:
    import gguf

    kind = gguf.GGMLQuantizationType(of)
    numbers, size = gguf.GGML_QUANT_SIZES[kind]
    shape = tuple(reversed(sizes))
    count = math.prod(shape)
    if count % numbers or (shape and shape[-1] % numbers):
        raise ValueError(f"rows of {name} are no multiples of {numbers}")
    length = count // numbers * size
    if start + place + length > len(content):
        raise ValueError(f"the data of {name} end after the file")
    data = content[start + place : start + place + length]
    if kind.name in PLAIN:
        form = np.dtype(PLAIN[kind.name]).newbyteorder(order)  # type: ignore[arg-type]
        return GgufTensor(name, shape, kind, data.view(form).reshape(shape), order)
    return GgufTensor(name, shape, kind, data.reshape(gguf.quants.quant_shape_to_byte_shape(shape, kind)), order)
