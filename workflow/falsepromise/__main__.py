"""List the verbs, each with its first line, by stage. `python -m falsepromise.STAGE.VERB --help` has the rest."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from falsepromise.core import cli
from falsepromise.core.place import PACKAGE

STAGES = (
    *("study", "sources", "curation", "teacher", "models", "training", "generation", "benchmarks"),
    *("style", "preference", "figures", "release"),
)


def verbs(stage: str) -> Iterator[tuple[str, str]]:
    """The verbs of a stage with the first line of their description, from the source text: nothing is imported."""
    for file in sorted((PACKAGE / stage).glob("*.py")):
        text = file.read_text(encoding="utf-8")
        if "\n    cli.run(main)" in text:
            yield file.stem, (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the list."""
    parser = cli.parser(__doc__)
    parser.prog = "python -m falsepromise"
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"only these: {', '.join(STAGES)}")
    args = parser.parse_args(argv)
    unknown = [stage for stage in args.stages if stage not in STAGES]
    if unknown:
        parser.error(f"{unknown[0]!r} is no stage; expected one of {', '.join(STAGES)}")
    for stage in args.stages or STAGES:
        print(stage)
        for name, what in verbs(stage):
            print(f"  python -m falsepromise.{stage}.{name:<16} {what}")
    print("\nEach has --help. `snakemake --cores 2` calls them in order; docs/tutorial.md starts from your own files.")


if __name__ == "__main__":
    cli.run(main)
