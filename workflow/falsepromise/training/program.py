"""Read from a compiled program what it exchanges between devices, and what memory it takes."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

OPERATIONS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
_COLLECTIVE = re.compile(rf"^\s*(?:ROOT )?%?\S+ = (.+?) ({'|'.join(OPERATIONS)})(-start)?\(")
_ARRAY = re.compile(r"\b(pred|[suf]\d+|bf16|f8\w+|c64)\[([\d,]*)\]")
_CALLED = re.compile(r"(?:body|condition|calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
# Which devices exchange with each other is written as lists, as a shape (groups x members), or as axes of a mesh.
_GROUPS = re.compile(r"replica_groups=(?:\{\{([\d,]*)\}|\[(?:\d+,)*?(\d+)\]<=|mesh\[([^\]]*)\][^{]*\{([^}]*)\})")


@dataclass(frozen=True)
class Collective:
    """One kind of exchange between devices.

    Attributes:
        operation: One of `OPERATIONS`.
        type: Of its elements, as XLA calls it ("bf16").
        shape: Of one device's result.
        group: Devices that take part together.
        count: Times a step.
    """

    operation: str
    type: str
    shape: tuple[int, ...]
    group: int
    count: int

    @property
    def bytes(self) -> int:
        """Of one time: what the largest of operand and result holds on one device."""
        width = 1 if self.type == "pred" else int(re.search(r"\d+", self.type)[0]) // 8  # type: ignore[index]
        return math.prod(self.shape) * width * (self.group if self.operation == "reduce-scatter" else 1)

    @property
    def sent(self) -> float:
        """Bytes that one device sends in one time, around a ring."""
        share = (self.group - 1) / self.group
        return self.bytes * share * (2 if self.operation == "all-reduce" else 1)


def collectives(text: str) -> list[Collective]:
    """The exchanges of a compiled program (`compiled.as_text()`), most bytes first; loops count all their rounds."""
    bodies = _computations(text)
    rounds = _rounds(bodies)
    everyone = int((re.search(r"num_partitions=(\d+)", text) or ["", "1"])[1])
    found: Counter[tuple[str, str, tuple[int, ...], int]] = Counter()
    for name, lines in bodies.items():
        for line in lines:
            match = _COLLECTIVE.match(line)
            if not match or not rounds[name]:
                continue
            arrays = _ARRAY.findall(match[1])
            if match[3] and match[2] != "all-reduce":
                arrays = arrays[len(arrays) // 2 :] if len(arrays) > 1 else arrays  # (operands, results)
            group = _group(line) or everyone
            for kind, sizes in arrays:
                shape = tuple(int(n) for n in sizes.split(",") if n)
                found[match[2], kind, shape, group] += rounds[name]
    listed = [Collective(*key, count) for key, count in found.items() if key[3] > 1]
    return sorted(listed, key=lambda c: -c.bytes * c.count)


def _group(line: str) -> int | None:
    """Devices that exchange with each other; None: all."""
    match = _GROUPS.search(line)
    if match is None:
        return None
    listed, members, mesh, axes = match.groups()
    if mesh is None:
        return int(members or len(listed.split(",")))
    sizes = dict(axis.split("=") for axis in mesh.split(","))
    return math.prod(int(sizes[axis.split(":")[0].strip()]) for axis in axes.split(","))


def _computations(text: str) -> dict[str, list[str]]:
    """The lines of each computation by its name; the one that is run is called "ENTRY"."""
    bodies: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith(("%", "ENTRY")) and line.rstrip().endswith("{"):
            name = "ENTRY" if line.startswith("ENTRY") else line.split()[0].lstrip("%")
            bodies[name] = []
        elif bodies and line.startswith(" "):
            bodies[next(reversed(bodies))].append(line)
    return bodies


def _rounds(bodies: dict[str, list[str]]) -> Counter[str]:
    """How often each computation is run; a loop of unknown length counts once."""
    rounds: Counter[str] = Counter()

    def visit(name: str, times: int) -> None:
        rounds[name] += times
        for callee, trips in _calls(name, bodies):
            visit(callee, times * trips)

    visit("ENTRY", 1)
    return rounds


def _calls(name: str, bodies: dict[str, list[str]]) -> Iterator[tuple[str, int]]:
    for line in bodies.get(name, []):
        trips = 1
        if " while(" in line:
            # TPUs' programs don't say how often: the counter is compared with the one number of the condition.
            condition = re.search(r"condition=%?([\w.\-]+)", line)
            asked = "\n".join(bodies.get(condition[1], [])) if condition else ""
            known = _TRIPS.findall(line) or re.findall(r"s32\[\]\S* constant\((\d+)\)", asked)
            trips = int(known[0]) if len(known) == 1 else 1
        for callee in _CALLED.findall(line):
            yield callee, trips
        if branches := re.search(r"branch_computations=\{([^}]*)\}", line):
            yield from ((callee.strip().lstrip("%"), 1) for callee in branches[1].split(","))


_RESULT = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = (\w+)\[([\d,]+)\]\S* (\w[\w\-]*)\(")
_VIEWS = ("parameter", "bitcast", "get-tuple-element", "constant", "tuple")


def memory_of(compiled: Any) -> dict[str, int]:
    """Bytes of a `jax.stages.Compiled` on one device: `peak`, and in it `arguments` and `temporary`."""
    found = compiled.memory_analysis()
    arguments, temporary = found.argument_size_in_bytes, found.temp_size_in_bytes
    peak = arguments + temporary + found.output_size_in_bytes - found.alias_size_in_bytes
    return {"peak": peak, "arguments": arguments, "temporary": temporary}


def largest(text: str) -> list[tuple[int, str]]:
    """The largest arrays that a compiled program makes, bytes and what they are; each name and shape once."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        match = _RESULT.match(line)
        if not match or match[4] in _VIEWS or not _ARRAY.match(f"{match[2]}[{match[3]}]"):
            continue
        said = re.search(r'op_name="([^"]*)"', line)
        width = 1 if match[2] == "pred" else int(re.search(r"\d+", match[2])[0]) // 8  # type: ignore[index]
        name = f"{match[2]}[{match[3]}] {said[1] if said else match[1]}"
        found[name] = math.prod(map(int, match[3].split(","))) * width
    return sorted(((size, name) for name, size in found.items()), reverse=True)


def operations(jaxpr: Any) -> float:
    """Floating point operations of a program's matrix products, loops with all their rounds.

    Args:
        jaxpr: What jax traced. Within `shard_map` shapes are one device's, so that its operations are counted.
    """
    total = 0.0
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    for e in jaxpr.eqns:
        if e.primitive.name == "dot_general":
            (contracted, _), _ = e.params["dimension_numbers"]
            shape = e.invars[0].aval.shape
            total += 2.0 * math.prod(e.outvars[0].aval.shape) * math.prod(shape[axis] for axis in contracted)
        if e.primitive.name == "pallas_call":
            continue
        rounds = e.params.get("length", 1) if e.primitive.name == "scan" else 1
        for value in e.params.values():
            for inner in value if isinstance(value, (tuple, list)) else (value,):
                if hasattr(getattr(inner, "jaxpr", inner), "eqns"):
                    total += rounds * operations(inner)
    return total
