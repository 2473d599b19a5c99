"""Write the tables of keys in config/README.md from the descriptions in `study.config`.

python -m falsepromise.study.keys                            # print all tables
python -m falsepromise.study.keys --write config/README.md   # update the file's tables
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.study import config
from falsepromise.study.sections import Section, inner, members

_PLACE = re.compile(r"(<!-- keys of (\w+) -->\n).*?(<!-- end of keys -->)", re.DOTALL)


def table(section: type[Section]) -> str:
    """A section's keys as a Markdown table: key, meaning, default, and the paper's value if any key has one."""
    rows = []
    for name, field in section.model_fields.items():
        facts: Any = field.json_schema_extra or {}
        rows.append((f"`{name}`", _what(field), _default(field, facts), facts.get("paper", "")))
    paper = any(row[-1] for row in rows)
    heading = ("key", "what", "default", "paper") if paper else ("key", "what", "default")
    lines = [heading, ("---",) * len(heading), *(row[: len(heading)] for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def _what(field: Any) -> str:
    values = next((get_args(kind) for kind in _inside(field.annotation) if get_origin(kind) is Literal), ())
    unsaid = [f"`{value}`" for value in values if value and f"`{value}`" not in field.description]
    if len(unsaid) < 2:
        return str(field.description)
    some = len(unsaid) < len([value for value in values if value])  # the text explains the others
    return f"{field.description}{'; also' if some else ':'} {', '.join(unsaid)}"


def _inside(annotation: Any) -> list[Any]:
    found = members(annotation)
    lists = [kind for member in found if get_origin(member) is list for kind in _inside(get_args(member)[0])]
    return [*found, *lists]


def _default(field: Any, facts: dict[str, Any]) -> str:
    if field.is_required():
        return "required"
    if facts.get("otherwise"):
        return str(facts["otherwise"])
    value = field.get_default()
    if value is None or value == {} or isinstance(value, Section):
        return "–"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, str):
        return f"`{value}`"
    return json.dumps(value)


def written(text: str) -> str:
    """A page with the current table between each `<!-- keys of SECTION -->` and `<!-- end of keys -->`."""

    by_name = {section.__name__: section for section in sections()}

    def place(match: re.Match[str]) -> str:
        return f"{match[1]}{table(by_name[match[2]])}{match[3]}"

    return _PLACE.sub(place, text)


def sections() -> list[type[Section]]:
    """Every section of a study, the study's own keys first."""
    found: list[type[Section]] = [config.Study]
    for section in found:
        for field in section.model_fields.values():
            part = inner(field.annotation)
            if part and part not in found:
                found.append(part)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="update the tables of this page")
    args = parser.parse_args(argv)
    if not args.write:
        for section in sections():
            print(f"{' '.join((section.__doc__ or '').split())}\n\n{table(section)}")
        return
    try:
        text = args.write.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{args.write}: can't be read: {error.strerror}") from error
    args.write.write_text(written(text), encoding="utf-8")


if __name__ == "__main__":
    cli.run(main)
