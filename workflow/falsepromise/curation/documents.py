"""Read documents with summaries as dialogues, for the TL;DR and CNN/DailyMail readers."""

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
        document_keys: The document's possible keys, the preferred one first.
        summary_keys: The summary's possible keys.
        clean: A function that cleans a document's text.
    """

    def read(values: Iterator[Any], funnel: Funnel) -> Iterator[RawDialogue]:
        for number, value in enumerate(values, 1):
            record = value if isinstance(value, dict) else {}
            name = identifier(record.get("id"), f"document-{number}")
            of, by = (
                next((key for key in keys if isinstance(record.get(key), str)), None)
                for keys in (document_keys, summary_keys)
            )
            if of is None or by is None:
                funnel.drop(STEP, WRONG_FORM, name, lost=[value])
                continue
            document = clean(record[of])
            funnel.ledger.label(record.get("id"))
            funnel.ledger.unused(record, {"id", of, by})
            funnel.ledger.reshape("document cleaned", len(record[of]), len(document))
            yield RawDialogue(name, [("user", document), ("assistant", record[by])])

    return read
