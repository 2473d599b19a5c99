"""Read Super-NaturalInstructions (Wang et al., 2022): user = definition and input, assistant = output.

It reads three forms: task files of the release (`{Definition, Instances: [{id, input, output}]}`), also several in one
file; flat records `{definition, inputs, targets}`; and records with one instance each
(`{Definition, Instance: {...}}`), as JSON lines or a list. It uses an instance's first output.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from falsepromise.core import cli
from falsepromise.curation.funnel import Funnel
from falsepromise.curation.ledger import characters
from falsepromise.curation.reading import STEP, WRONG_FORM, RawDialogue, identifier, parser, write

KEYS = ("Definition", "Instances", "Instance", "definition", "inputs", "targets")


def read(values: Iterator[Any], funnel: Funnel) -> Iterator[RawDialogue]:
    """A raw dialogue for each instance of each task."""
    ledger = funnel.ledger
    for number, value in enumerate(values, 1):
        record = value if isinstance(value, dict) else {}
        definition = _first(record.get("Definition", record.get("definition")))
        if "inputs" in record:
            instances: Any = [{"input": record["inputs"], "output": record.get("targets"), "id": record.get("id")}]
        else:
            instances = record.get("Instances", [record["Instance"]] if "Instance" in record else None)
        task = identifier(record.get("task_name", record.get("id")), f"task-{number}")
        if not isinstance(definition, str) or not isinstance(instances, list):
            funnel.drop(STEP, WRONG_FORM, task, lost=[value])
            continue
        ledger.unused(record, _USED)
        ledger.label(*(record.get(key) for key in ("task_name", "id") if key in record))
        given = characters([record[key] for key in _USED & {*record} - {"task_name", "id"}])
        said = 0
        for index, instance in enumerate(instances):
            name = f"{task}-{index}"
            own = instance if isinstance(instance, dict) else {}
            name = identifier(own.get("id"), name)
            query, output = own.get("input"), _first(own.get("output"))
            if not isinstance(query, str) or not isinstance(output, str):
                funnel.drop(STEP, WRONG_FORM, name)
                continue
            text = f"{definition.strip()}\n\n{query.strip()}"
            said += len(text) + len(output)
            yield RawDialogue(name, [("user", text), ("assistant", output)])
        ledger.reshape("definition said with each instance, of an instance's outputs the first", given, said)


_USED = {"Definition", "definition", "Instances", "Instance", "inputs", "targets", "task_name", "id"}


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else value


def main(argv: Sequence[str] | None = None) -> None:
    write(parser(__doc__, "superni").parse_args(argv), "falsepromise.curation.superni", read, KEYS)


if __name__ == "__main__":
    cli.run(main)
