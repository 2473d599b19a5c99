"""Read CNN/DailyMail articles: user = article, assistant = highlights.

Records are `{id, article, highlights}`, as JSON lines or a list; other fields are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence

from falsepromise.core import cli
from falsepromise.curation.documents import reader
from falsepromise.curation.reading import parser, write

KEYS = ("article", "highlights")

read = reader(("article", "document"), ("highlights", "summary"))


def main(argv: Sequence[str] | None = None) -> None:
    write(parser(__doc__, "cnn").parse_args(argv), "falsepromise.curation.cnn", read, KEYS)


if __name__ == "__main__":
    cli.run(main)
