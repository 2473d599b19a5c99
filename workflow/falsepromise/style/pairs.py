"""Read two models' replies to the same prompts."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from falsepromise.core.errors import UserError
from falsepromise.core.records import Record, read_jsonl


def read_responses(path: str | Path, sample: int | None = None) -> dict[str, Record]:
    """Response records by `prompt_id`, in the file's order; ids that are numbers are read as text.

    Args:
        path: Response records; a record without `sample` is sample 0.
        sample: The number of each prompt's sample; default: the lowest in the file.

    Raises:
        UserError: a record is no response, a prompt comes twice with the same sample, or no record
            has that sample.
    """
    samples = read_samples(path)
    wanted = min(samples) if sample is None else sample
    if wanted not in samples:
        raise UserError(f"{path}: no record with sample {sample}; the file has {', '.join(map(str, sorted(samples)))}")
    return samples[wanted]


def read_samples(path: str | Path) -> dict[int, dict[str, Record]]:
    """All samples of a file by their numbers, each as `read_responses` gives it.

    Raises:
        UserError: a record is no response, or a prompt comes twice with the same sample.
    """
    samples: dict[int, dict[str, Record]] = {}
    for record in read_jsonl(path, _check_response):
        number, prompt = record.get("sample") or 0, str(record["prompt_id"])
        responses = samples.setdefault(number, {})
        if prompt in responses:
            raise UserError(f"{path}: prompt {prompt!r} comes twice with sample {number}; expected one reply a prompt")
        responses[prompt] = {**record, "prompt_id": prompt}
    return samples


def _check_response(record: Record) -> str | None:
    prompt, sample = record.get("prompt_id"), record.get("sample")
    if isinstance(prompt, bool) or not isinstance(prompt, str | int):
        return f"'prompt_id' is {prompt!r:.80}, expected the prompt's id (text or a whole number)"
    if not isinstance(record.get("response"), str):
        return f"'response' is {record.get('response')!r:.80}, expected text (empty where the model said nothing)"
    if sample is not None and (isinstance(sample, bool) or not isinstance(sample, int)):
        return f"'sample' is {sample!r:.80}, expected a whole number"
    return None


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
