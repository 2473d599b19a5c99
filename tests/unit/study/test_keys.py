"""The keys of a study have one source: the page, the recipe and the verbs' options follow it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from falsepromise.core.errors import UserError
from falsepromise.study import config, keys, sections
from falsepromise.study.schema import check, problems
from falsepromise.training.recipe import Recipe

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "config" / "README.md"


def test_the_page_has_every_section_and_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert keys.written(text) == text, "python -m falsepromise.study.keys --write config/README.md"
    missing = [s.__name__ for s in keys.sections() if f"keys of {s.__name__} " not in text and s is not config.Runs]
    assert not missing


def test_every_key_is_described() -> None:
    for section in keys.sections():
        assert section.__doc__
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"


def test_no_pattern_is_shown_to_users() -> None:
    """A wrong address was answered with a regular expression."""
    schema = json.dumps(config.Study.model_json_schema(), ensure_ascii=False)
    patterns = {json.loads(found) for found in re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', schema)}
    assert patterns == set(sections.FORMS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bases": {"b": {"weights": "hub:ORG/NAME"}}}, "is 'hub:ORG/NAME', expected hub:ORG/NAME@REVISION (a c"),
        ({"sources": {"s": {"uri": "data/mine.json"}}}, "uri' is 'data/mine.json', expected file:PATH, https://..."),
        ({"teacher": {"url": "api.openai.com"}}, "url' is 'api.openai.com', expected local, or an address with http"),
        ({"judges": {"j": {"url": "x", "label": "J"}}}, "expected local, or an address with http:// or https://"),
        ({"pools": {"a b": {}}}, "expected letters, digits, '.', '_' and '-'"),
    ],
)  # fmt: skip
def test_a_text_of_the_wrong_form(change: dict[str, object], said: str) -> None:
    assert any(said in problem for problem in problems(config.Study, change)), problems(config.Study, change)


def test_names_lead_to_sections() -> None:
    named = {
        facts["names"]
        for section in keys.sections()
        for field in section.model_fields.values()
        if isinstance(facts := field.json_schema_extra, dict) and "names" in facts
    }
    assert named <= set(config.Study.model_fields)


def test_the_trainers_recipe_is_the_studys() -> None:
    assert Recipe().model_dump() == config.Recipe().model_dump() == Recipe.of({}).model_dump()
    assert Recipe.of({"learning_rate": 1}).learning_rate == 1.0


def test_defaults_are_found_by_path() -> None:
    assert config.default("blocks.size") == 2048
    assert config.default("pools.language") == "en"
    assert config.default("training.batch_size") == 32


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_is_finite(number: float) -> None:
    with pytest.raises(UserError, match="expected a number"):
        check(config.Recipe, {"learning_rate": number}, "recipe")
