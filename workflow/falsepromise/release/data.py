"""Gather evaluation prompts or a curated mixture as a data set for the hub: data, card, manifest, checksums."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import read_json, read_jsonl
from falsepromise.figures.study import read_study
from falsepromise.release import cards
from falsepromise.release.model import gather

KINDS = {"prompts": "Held-out evaluation prompts", "mixture": "Imitation data, curated and in the order of training"}
COLUMNS = {
    "id": "the record's name; a dialogue's, and its turn",
    "source": "where it is from",
    "messages": "the turns, each with `role` and `content`",
    "prompt": "raw text",
    "request": "the number of the request to the teacher that gave it",
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--study", type=Path, required=True, help="the expanded study (JSON)")
    parser.add_argument("--kind", choices=sorted(KINDS), required=True, help="kind of the records")
    parser.add_argument("--data", type=Path, required=True, help="records, JSON lines, with their manifest beside them")
    parser.add_argument("--funnels", type=Path, nargs="*", default=[], help="curation's counts for the card")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    manifest = args.data.with_name(args.data.name + ".manifest.json")
    if not manifest.exists():
        raise UserError(f"{args.data}: {manifest.name} is not beside it; give a file that this project made")
    keys: dict[str, None] = {}
    rows = 0
    for record in read_jsonl(args.data):
        keys |= dict.fromkeys(record)
        rows += 1
    columns = {key: COLUMNS.get(key, "as its source has it") for key in keys}
    study, made = read_study(args.study), read_json(manifest)
    by_teacher = "request" in keys  # the teacher's verbs number their requests
    card = cards.dataset_card(study, args.output.name, KINDS[args.kind], rows, columns, made, by_teacher, args.funnels)
    gather({"data.jsonl": args.data, "manifest.json": manifest}, str(card), args.output)


if __name__ == "__main__":
    cli.run(main)
