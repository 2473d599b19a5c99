"""Read a study file, check it, and write the expanded study: every model by name.

A study (config/*.yaml, described in config/README.md) names sources, base models, mixtures and the
grid of runs. Expanded, each cell of the grid is a model, `medium-sharegpt_mix-250k-s0`, and a base
model is one as well: `medium`, or, if it is pre-trained here, `medium-s0`, one for each seed of its
runs, so that what a run shows doesn't hang on one draw of a base. A model that two runs share is one
model.

The figures read the expanded study that this verb writes; the rules ask `study.stages`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.place import HOME
from falsepromise.core.records import write_json
from falsepromise.study.names import check_names
from falsepromise.study.schema import check, nearest
from falsepromise.study.study import Study, amount_name

SCHEMA = HOME / "workflow/schemas/study.schema.yaml"


def load(config: Mapping[str, Any], where: str = "the study") -> Study:
    """Check a study's mapping and name its models.

    Args:
        config: The study file's mapping, as YAML gives it.
        where: What to call it in messages.

    Raises:
        UserError: one line that names the key, what was found and what was expected.
    """
    plain: dict[str, Any] = json.loads(json.dumps(config))  # a plain copy: Snakemake hands over its own mapping
    check(plain, SCHEMA, where)
    study = Study(plain)
    check_names(study, where)
    for panel in (entry for entry in study.judges.values() if "members" in entry):
        members = [study.judges[name] for name in panel["members"]]
        panel |= {key: members[0][key] for key in ("prompts", "runs") if key in members[0]}
        stand_ins = [f"{member['label']}: {member['stand_in']}" for member in members if "stand_in" in member]
        if stand_ins:
            panel.setdefault("stand_in", "; ".join(stand_ins))
    for group, run in plain["runs"].items():
        _expand(study, group, run, where)
    expanded = Study(plain, _models(study), study.runs)
    for name, raters in study.raters.items():
        for model in raters["votes"]:
            if model not in expanded.trained:
                hint = nearest(model, expanded.trained)
                raise UserError(f"{where}: 'raters.{name}.votes' names {model!r}, which is no trained model; {hint}")
    return expanded


def _models(study: Study) -> dict[str, dict[str, Any]]:
    bases = {}
    for name, base in study.bases.items():
        of_runs = sorted({model["seed"] for model in study.models.values() if model["base"] == name})
        for seed in (of_runs or [study.seed]) if "architecture" in base else [0]:
            model = {"base": name, "mixture": None, "tokens": 0, "seed": seed, "label": base["label"]}
            bases[study.base_model(name, seed)] = model
    return bases | study.models


def _expand(study: Study, group: str, run: Mapping[str, Any], where: str) -> None:
    names = study.runs.setdefault(group, [])
    for base in run["bases"]:
        for mixture in run["mixtures"]:
            for tokens in run.get("tokens") or [None]:
                for seed in run.get("seeds", [0]):
                    amount = amount_name(tokens)
                    name = f"{base}-{mixture}-{amount}-s{seed}"
                    model = {"base": base, "mixture": mixture, "tokens": tokens, "seed": seed}
                    label = f"{study.bases[base]['label']}, {study.mixture_label(mixture)}, {amount}"
                    known = study.models.setdefault(name, {**model, "label": label})
                    if {key: known[key] for key in model} != model or name in study.bases:
                        raise UserError(
                            f"{where}: two models would both be called {name!r}; rename a base or a mixture"
                        )
                    if name not in names:
                        names.append(name)


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--config", type=Path, nargs="+", help="study file; a later one changes an earlier one's keys")
    parser.add_argument("--json", help="the study as JSON text, instead of --config")
    parser.add_argument("--output", type=Path, help="the expanded study; default: print a summary")
    args = parser.parse_args(argv)
    if (args.config is None) == (args.json is None):
        raise UserError("give either --config FILE or --json TEXT")
    study = load(json.loads(args.json), "--json") if args.json else load_files(args.config)
    if args.output:
        write_json(args.output, study.expanded())
    else:
        print(f"{study.name}: {len(study.bases)} base models, {len(study.trained)} trained models")
        print("\n".join(study.models))


def load_files(files: Sequence[Path]) -> Study:
    """Read study files, a later one changing an earlier one's keys, as `snakemake --configfile` does.

    Raises:
        UserError: a file is missing or not YAML, or the study is not as it should be.
    """
    import yaml

    merged: dict[str, Any] = {}
    for file in files:
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"{file}: can't be read: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{file}: not YAML: {error}") from error
        if not isinstance(content, dict):
            raise UserError(f"{file}: expected a study (a mapping), found {type(content).__name__}")
        merged = _merge(merged, content)
    return load(merged, ", ".join(map(str, files)))


def _merge(base: dict[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in change.items():
        both = isinstance(value, Mapping) and isinstance(base.get(key), dict)
        base[key] = _merge(base[key], value) if both else value
    return base


if __name__ == "__main__":
    cli.run(main)
