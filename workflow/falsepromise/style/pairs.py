"""Two models' replies to the same prompts, side by side."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from falsepromise.core.errors import UserError
from falsepromise.core.records import Record, check_response, read_jsonl


def read_responses(path: str | Path, sample: int = 0) -> dict[str, Record]:
    """Response records by `prompt_id`, in the file's order.

    Args:
        path: Response records; a record without `sample` is sample 0.
        sample: Which sample of each prompt.

    Raises:
        UserError: a prompt comes twice with the same sample, or no record has that sample.
    """
    responses: dict[str, Record] = {}
    for record in read_jsonl(path, check_response):
        if record.get("sample", 0) != sample:
            continue
        if record["prompt_id"] in responses:
            raise UserError(
                f"{path}: prompt {record['prompt_id']!r} comes twice with sample {sample}; expected one reply a prompt"
            )
        responses[record["prompt_id"]] = record
    if not responses:
        raise UserError(f"{path}: no record with sample {sample}; name a sample that the file has")
    return responses


def check_same_prompts(
    ours: Collection[str], ours_path: str | Path, theirs: Collection[str], theirs_path: str | Path
) -> None:
    """Refuse two files that don't answer the same prompts: a comparison needs each prompt twice.

    Raises:
        UserError: names how many prompts stand on one side only, and the first of them.
    """
    theirs_set, ours_set = set(theirs), set(ours)
    for missing, here, there in (
        ([p for p in ours if p not in theirs_set], ours_path, theirs_path),
        ([p for p in theirs if p not in ours_set], theirs_path, ours_path),
    ):
        if missing:
            raise UserError(
                f"{there}: lacks {len(missing)} of the prompts of {here}, the first being {missing[0]!r}; "
                "both must answer the same prompts: generate the missing ones or take them out of both files"
            )


def model_name(responses: Iterable[Record], path: str | Path) -> str:
    """The one model that wrote all of these replies; the file's name where the records name none.

    Raises:
        UserError: more than one model is named.
    """
    names = {record["model"] for record in responses if record.get("model")}
    if len(names) > 1:
        raise UserError(f"{path}: replies of {len(names)} models ({', '.join(sorted(names))}); expected one a file")
    return names.pop() if names else Path(path).stem
