"""Read the hub's keys of rotary positions: their base, how they are stretched, in the old spelling and the new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from falsepromise.core.errors import UserError

ROPE_TYPES = ("linear", "llama3", "yarn", "dynamic")


@dataclass(frozen=True)
class RopeScaling:
    """Rotary frequencies stretched beyond the length of pre-training (see `models.rotary`).

    Attributes:
        rope_type: "linear" divides all frequencies by `factor`; "llama3" and "yarn" the slow ones only; "dynamic"
            changes the base for rows longer than the model's positions.
        factor: By how much.
        low_freq_factor, high_freq_factor: Bounds of llama3's blend.
        original_max_position_embeddings: Positions of pre-training, for llama3 and yarn.
        attention_factor, mscale, mscale_all_dim: What yarn multiplies queries and keys by.
        beta_fast, beta_slow, truncate: Bounds of yarn's blend.
    """

    rope_type: str
    factor: float
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    original_max_position_embeddings: int | None = None
    attention_factor: float | None = None
    beta_fast: float | None = None
    beta_slow: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool | None = None

    def to_hub(self) -> dict[str, Any]:
        """The hub's `rope_scaling`."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def read(
    kind: str, values: Mapping[str, Any], positions: int, name: str
) -> tuple[float, RopeScaling | None, float | None]:
    """Base, stretching, and the base of layers with a window where it is another.

    transformers 5 writes rope_parameters; before it, rope_theta and rope_scaling. Where both are, rope_scaling counts.
    """
    if kind != "gemma3_text":
        rope = dict(values["rope_scaling"] or values["rope_parameters"] or {})
        if any(isinstance(part, dict) for part in rope.values()):
            raise UserError(f"{name}: {kind} has the same positions in all layers; found {rope!r:.120}")
        theta = rope.get("rope_theta") or values["rope_theta"] or 10000.0
        return float(theta), _scaling(rope, positions, name), None
    by_type = values["rope_parameters"] or {}
    if not {"full_attention", "sliding_attention"} >= set(by_type) or not all(
        isinstance(part or {}, dict) for part in by_type.values()
    ):
        raise UserError(f"{name}: rope_parameters is {by_type!r:.80}, expected a mapping for each kind of layer")
    rope, local = dict(by_type.get("full_attention") or {}), by_type.get("sliding_attention") or {}
    local_type = local.get("rope_type") or local.get("type") or "default"
    if local_type != "default":
        raise UserError(f"{name}: rope_type {local_type!r:.80} in layers with a window is not built here")
    more = values["rope_scaling"] or {}
    if more.get("type") not in (None, "default") and more.get("rope_type") is None:
        raise UserError(
            f"{name}: `transformers` 5 doesn't see type in Gemma's rope_scaling {more!r:.80}; say rope_type"
        )
    rope |= more
    theta = rope.get("rope_theta") or values["rope_theta"] or 1_000_000.0
    local_theta = local.get("rope_theta") or values["rope_local_base_freq"] or 10_000.0
    return float(theta), _scaling(rope, positions, name), float(local_theta)


def _scaling(rope: dict[str, Any], positions: int, name: str) -> RopeScaling | None:
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind == "default":
        return None
    if kind not in ROPE_TYPES:
        raise UserError(f"{name}: rope_type {kind!r:.80} is not built here; expected default, {', '.join(ROPE_TYPES)}")
    if rope.get("partial_rotary_factor") not in (None, 1, 1.0):
        raise UserError(f"{name}: partial_rotary_factor {rope['partial_rotary_factor']} is not built here")
    if rope.get("alpha") is not None:
        raise UserError(f"{name}: alpha in rope_scaling is not built here")
    optional = {
        "linear": (),
        "dynamic": (),
        "llama3": ("original_max_position_embeddings",),
        "yarn": ("original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "mscale",
                 "mscale_all_dim", "truncate"),
    }[kind]  # fmt: skip
    needed = ("low_freq_factor", "high_freq_factor") if kind == "llama3" else ()
    original = rope.get("original_max_position_embeddings") or positions
    if kind == "yarn" and rope.get("factor") is None:
        rope["factor"] = positions / original
    missing = [key for key in ("factor", *needed) if rope.get(key) is None]
    if missing:
        raise UserError(f"{name}, rope_scaling: missing {', '.join(missing)}; {kind} needs it")
    if not rope["factor"]:
        raise UserError(f"{name}, rope_scaling: factor is {rope['factor']}, expected a positive number")
    if kind == "llama3" and not rope["low_freq_factor"] < rope["high_freq_factor"]:
        raise UserError(f"{name}, rope_scaling: expected low_freq_factor below high_freq_factor; found {rope!r:.120}")
    found = {key: rope[key] for key in (*needed, *optional) if rope.get(key) is not None}
    if kind in ("llama3", "yarn"):
        found["original_max_position_embeddings"] = original
    return RopeScaling(kind, rope["factor"], **found)
