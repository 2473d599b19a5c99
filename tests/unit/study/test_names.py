"""Studies that could not run, or would tell a key, are refused before a job starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from falsepromise.core.errors import UserError
from falsepromise.study.expand import load

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
