"""Read a study file, check it, and write the expanded study: every model by name.

A study (config/*.yaml, described in config/README.md) names sources, base models, mixtures and the
grid of runs. Expanded, each cell of the grid is a model, `medium-sharegpt_mix-250k-s0`. Base models are models too:
`medium`, or `medium-s0` if it is pre-trained here, one for each seed of its runs, so that results don't depend on one
random initialisation. Two groups of runs can share a model.

The figures read the expanded study that this verb writes; the rules use `study.stages`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.plainyaml import read_yaml
from falsepromise.core.records import loads, write_json
from falsepromise.study import config as keys
from falsepromise.study.names import check_names
from falsepromise.study.schema import check, nearest
from falsepromise.study.study import Model, Study, amount_name


def load(config: Mapping[str, Any], where: str = "the study") -> Study:
    """Check a study's mapping and name its models.

    Args:
        config: The study file's mapping, as YAML gives it.
        where: Its name in messages.

    Raises:
        UserError: one line that names the key, what was found and what was expected.
    """
    checked = check(keys.Study, config, where)
    check_names(checked, where)
    trained: dict[str, Model] = {}
    runs: dict[str, list[str]] = {}
    for group, run in checked.runs.items():
        runs[group] = _expand(checked, run, trained, where)
    study = Study(checked, {**_base_models(checked, trained), **trained}, runs)
    for name, raters in checked.raters.items():
        for model in raters.votes:
            if model not in trained:
                hint = nearest(model, trained)
                raise UserError(f"{where}: 'raters.{name}.votes' names {model!r}, which is no trained model; {hint}")
    return study


def _base_models(config: keys.Study, trained: Mapping[str, Model]) -> dict[str, Model]:
    found = {}
    for name, base in config.bases.items():
        of_runs = sorted({model.seed for model in trained.values() if model.base == name})
        for seed in (of_runs or [config.seed]) if base.architecture else [0]:
            found[Study(config).base_model(name, seed)] = Model(name, None, 0, seed, base.label)
    return found


def _expand(config: keys.Study, run: keys.Run, trained: dict[str, Model], where: str) -> list[str]:
    """Add a group's models to `trained`, and return their names."""
    names = []
    for base in run.bases:
        for mixture in run.mixtures:
            for tokens in run.tokens or (None,):
                for seed in run.seeds:
                    name = f"{base}-{mixture}-{amount_name(tokens)}-s{seed}"
                    parts = (config.bases[base].label, config.mixtures[mixture].label or mixture, amount_name(tokens))
                    model = Model(base, mixture, tokens, seed, ", ".join(parts))
                    if trained.setdefault(name, model) != model or name in config.bases:
                        raise UserError(
                            f"{where}: two models would both be called {name!r}; rename a base or a mixture"
                        )
                    names.append(name)
    return list(dict.fromkeys(names))


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--config", type=Path, nargs="+", help="study file; a later one changes an earlier one's keys")
    parser.add_argument("--json", help="the study as JSON text, instead of --config")
    parser.add_argument("--output", type=Path, help="the expanded study; default: print a summary")
    args = parser.parse_args(argv)
    if (args.config is None) == (args.json is None):
        raise UserError("give either --config FILE or --json TEXT")
    if args.json is None:
        study = load_files(args.config)
    else:
        try:
            study = load(loads(args.json), "--json")
        except ValueError as error:
            raise UserError(f"--json: not JSON: {error}") from error
    if args.output:
        write_json(args.output, study.expanded())
    else:
        print(f"{study.name}: {len(study.config.bases)} base models, {len(study.trained)} trained models")
        print("\n".join(study.models))


def load_files(files: Sequence[Path]) -> Study:
    """Read study files, a later one changing an earlier one's keys, as `snakemake --configfile` does.

    Raises:
        UserError: a file is missing or not YAML, or the study has a mistake.
    """
    return load(read_files(files), ", ".join(map(str, files)))


def read_files(files: Sequence[Path]) -> dict[str, Any]:
    """The mapping of several study files, merged."""
    merged: dict[str, Any] = {}
    for file in files:
        merged = _merge(merged, read_yaml(file))
    return merged


def _merge(base: dict[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in change.items():
        both = isinstance(value, Mapping) and isinstance(base.get(key), dict)
        base[key] = _merge(base[key], value) if both else value
    return base


if __name__ == "__main__":
    cli.run(main)
