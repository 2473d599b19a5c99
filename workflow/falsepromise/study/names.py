"""Every name that one part of a study mentions is a name of another part."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.study.planning import mesh_sizes
from falsepromise.study.schema import nearest
from falsepromise.study.study import TEACHER, Study


def check_names(study: Study, where: str) -> None:
    """Every name that a part of the study mentions is there."""

    def known(name: str, section: str, key: str, wanted: Callable[[dict[str, Any]], bool] | None = None) -> None:
        entries = study.config.get(section) or {}
        if name not in entries:
            raise UserError(f"{where}: '{key}' names {name!r}, which is not in '{section}'; {nearest(name, entries)}")

    config = study.config
    for name, pool in study.pools.items():
        for source in pool["sources"]:
            known(source, "sources", f"pools.{name}.sources")
            if "format" not in study.sources[source]:
                raise UserError(f"{where}: 'pools.{name}' reads the source {source!r}, whose 'format' is missing")
    for section, reserved in (("mixtures", "pretraining"), ("bases", TEACHER)):
        if reserved in config[section]:
            raise UserError(f"{where}: '{section}.{reserved}' is a name that the workflow uses itself; take another")
    for name, mixture in study.mixtures.items():
        kinds = [kind for kind in ("pool", "teacher", "text") if kind in mixture]
        if len(kinds) != 1:
            raise UserError(
                f"{where}: 'mixtures.{name}' has {' and '.join(kinds) or 'no origin'}, expected just one of pool, "
                "teacher, text"
            )
        if "pool" in mixture:
            known(mixture["pool"], "pools", f"mixtures.{name}.pool")
        if "teacher" in mixture and "n" not in mixture:
            raise UserError(f"{where}: 'mixtures.{name}.n' is missing: how many examples the teacher writes")
        if mixture.get("teacher") == "tldr_synthetic":
            known(mixture.get("posts", ""), "sources", f"mixtures.{name}.posts")
        if "text" in mixture and "pretraining" not in config:
            raise UserError(f"{where}: 'mixtures.{name}.text' needs the section 'pretraining'")
        known(mixture.get("recipe", "imitation"), "training", f"mixtures.{name}.recipe")
        if study.recipe(name).get("replay_share") and "pretraining" not in config:
            raise UserError(f"{where}: the recipe of 'mixtures.{name}' replays, which needs the section 'pretraining'")
    for name, base in study.bases.items():
        if ("architecture" in base) == ("weights" in base):
            raise UserError(f"{where}: 'bases.{name}' needs either 'weights' or 'architecture'")
        if "weights" in base and "parameters" not in base:
            raise UserError(f"{where}: 'bases.{name}.parameters' is missing: how many parameters the weights have")
        devices = math.prod(mesh_sizes(base["mesh"]).values()) if "mesh" in base else base.get("gpus")
        if base.get("gpus", devices) != devices:
            raise UserError(f"{where}: 'bases.{name}.mesh' is for {devices} devices, 'gpus' says {base['gpus']}")
        if "architecture" in base:
            known(base.get("recipe", "pretraining"), "training", f"bases.{name}.recipe")
            for section in ("facts", "pretraining"):
                if section not in config:
                    raise UserError(f"{where}: 'bases.{name}.architecture' needs the section '{section}'")
    sizes: dict[str, Any] = {}
    for name, base in study.bases.items():
        size = base.get("block_size")
        if sizes.setdefault(study.tokenizer(name), size) != size:
            raise UserError(f"{where}: 'bases.{name}.block_size' differs from another base's with the same tokenizer")
    for group, run in config["runs"].items():
        for base in run["bases"]:
            known(base, "bases", f"runs.{group}.bases")
        for mixture in run["mixtures"]:
            known(mixture, "mixtures", f"runs.{group}.mixtures")
    for key, source in (config.get("facts") or {}).items():
        known(source, "sources", f"facts.{key}")
    if "pretraining" in config:
        known(config["pretraining"]["wikipedia"], "sources", "pretraining.wikipedia")
    for name, prompts in study.prompts.items():
        if ("pool" in prompts) == ("source" in prompts):
            raise UserError(f"{where}: 'prompts.{name}' needs either 'pool' or 'source'")
        for key, section in (("pool", "pools"), ("source", "sources")):
            if key in prompts:
                known(prompts[key], section, f"prompts.{name}.{key}")
        if "source" in prompts and (prompts.get("references") != "teacher" or prompts.get("single_exchanges")):
            raise UserError(
                f"{where}: 'prompts.{name}.source' has prompts without replies: set 'references: teacher', and no "
                "'single_exchanges'"
            )
        if not study.pools:
            raise UserError(f"{where}: 'prompts.{name}' needs 'pools': the prompts stay away from their training part")
    for name, benchmark in study.benchmarks.items():
        if benchmark["data"].startswith("facts:"):
            if "facts" not in config:
                raise UserError(f"{where}: 'benchmarks.{name}.data' needs the section 'facts'")
        else:
            known(benchmark["data"], "sources", f"benchmarks.{name}.data")
    for name in study.teacher.get("benchmarks", []):
        known(name, "benchmarks", "teacher.benchmarks")
    if study.style:
        known(study.style["prompts"], "prompts", "style.prompts")
        if "tone" in study.style:
            known(study.style["tone"], "judges", "style.tone")
            if "members" in study.judges[study.style["tone"]]:
                raise UserError(f"{where}: 'style.tone' names the panel {study.style['tone']!r}; expected one judge")
    for name, entry in study.judges.items():
        _check_judge(study, name, where)
        for member in entry.get("members", []):
            known(member, "judges", f"judges.{name}.members")
    for section in ("judges", "raters"):
        for name, entry in (config.get(section) or {}).items():
            if "members" not in entry:
                known(entry["prompts"], "prompts", f"{section}.{name}.prompts")
    for name in study.raters:
        if name in study.judges:
            raise UserError(f"{where}: {name!r} is in 'judges' and in 'raters'; give one of them another name")


def _check_judge(study: Study, name: str, where: str) -> None:
    """A judge judges a prompt set; a panel has members that judge the same models on the same prompts."""
    entry = study.judges[name]
    if "members" not in entry:
        if "prompts" not in entry:
            raise UserError(f"{where}: 'judges.{name}' has no 'prompts' to judge, and no 'members' to add up")
        return
    extra = sorted(set(entry) - {"members", "label", "stand_in"})
    if extra:
        raise UserError(f"{where}: 'judges.{name}' is a panel; '{extra[0]}' belongs to its members")
    members = [study.judges[member] for member in entry["members"] if member in study.judges]
    if any("members" in member for member in members):
        raise UserError(f"{where}: 'judges.{name}.members' names a panel; expected judges")
    if len({(member.get("prompts"), tuple(member.get("runs") or ())) for member in members}) > 1:
        raise UserError(f"{where}: 'judges.{name}.members' judge different prompts or runs; give them the same")
