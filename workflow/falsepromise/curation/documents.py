"""Documents with summaries as dialogues: what the TL;DR and the CNN/DailyMail readers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from falsepromise.curation.funnel import Funnel
from falsepromise.curation.reading import STEP, WRONG_FORM, RawDialogue, identifier


def reader(
    document_keys: Sequence[str], summary_keys: Sequence[str], clean: Callable[[str], str] = str.strip
) -> Callable[[Iterator[Any], Funnel], Iterator[RawDialogue]]:
    """A reader of `{id, document, summary}` records: user = document, assistant = summary.

    Args:
        document_keys: The names that the document goes by, the best first.
        summary_keys: The names that the summary goes by.
        clean: What is done to a document's text.
    """

    def read(values: Iterator[Any], funnel: Funnel) -> Iterator[RawDialogue]:
        for number, value in enumerate(values, 1):
            record = value if isinstance(value, dict) else {}
            name = identifier(record.get("id"), f"document-{number}")
            document = next((record[key] for key in document_keys if isinstance(record.get(key), str)), None)
            summary = next((record[key] for key in summary_keys if isinstance(record.get(key), str)), None)
            if document is None or summary is None:
                funnel.drop(STEP, WRONG_FORM, name)
            else:
                yield RawDialogue(name, [("user", clean(document)), ("assistant", summary)])

    return read
