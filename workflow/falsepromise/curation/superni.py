"""Read Super-NaturalInstructions (Wang et al., 2022): user = definition and input, assistant = output.

Three forms are read: a task file of the release (`{Definition, Instances: [{id, input, output}]}`),
also many of them one after the other; flat records `{definition, inputs, targets}`; and records with
one instance each (`{Definition, Instance: {...}}`), as JSON lines or a list. Of an instance's outputs
the first is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from falsepromise.core import cli
from falsepromise.curation.funnel import Funnel
from falsepromise.curation.reading import STEP, WRONG_FORM, RawDialogue, identifier, parser, write

KEYS = ("Definition", "Instances", "Instance", "definition", "inputs", "targets")


def read(values: Iterator[Any], funnel: Funnel) -> Iterator[RawDialogue]:
    """A raw dialogue for each instance of each task."""
    for number, value in enumerate(values, 1):
        record = value if isinstance(value, dict) else {}
        definition = _first(record.get("Definition", record.get("definition")))
        if "inputs" in record:
            instances: Any = [{"input": record["inputs"], "output": record.get("targets"), "id": record.get("id")}]
        else:
            instances = record.get("Instances", [record["Instance"]] if "Instance" in record else None)
        task = identifier(record.get("task_name", record.get("id")), f"task-{number}")
        if not isinstance(definition, str) or not isinstance(instances, list):
            funnel.drop(STEP, WRONG_FORM, task)
            continue
        for index, instance in enumerate(instances):
            name = f"{task}-{index}"
            if not isinstance(instance, dict):
                funnel.drop(STEP, WRONG_FORM, name)
                continue
            name = identifier(instance.get("id"), name)
            query, output = instance.get("input"), _first(instance.get("output"))
            if isinstance(query, str) and isinstance(output, str):
                text = f"{definition.strip()}\n\n{query.strip()}"
                yield RawDialogue(name, [("user", text), ("assistant", output)])
            else:
                funnel.drop(STEP, WRONG_FORM, name)


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else value


def main(argv: Sequence[str] | None = None) -> None:
    write(parser(__doc__, "superni").parse_args(argv), "falsepromise.curation.superni", read, KEYS)


if __name__ == "__main__":
    cli.run(main)
