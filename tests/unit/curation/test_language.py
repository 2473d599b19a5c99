"""The fast language decision against langdetect's own, text by text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langdetect import DetectorFactory, LangDetectException, detect, detect_langs

from falsepromise.curation import language
from falsepromise.curation.language import Detector, decisions

ENGLISH = "The kettle is on the stove, and the water will boil in a few minutes. "
TEXTS = {
    "english": ENGLISH,
    "german": "Der Kessel steht auf dem Herd, und das Wasser kocht in wenigen Minuten.",
    "vietnamese": "Nu\u031bo\u031b\u0301c sôi trong a\u0302\u0301m, tôi se\u0303 pha trà cho ba\u0323n.",
    "japanese": "お湯が沸いたら、ひらがなとカタカナで書いてください。",
    "chinese with latin": "今天天气很好, 我们去 park 吧。水很快就开了 ok",
    "russian with english": "Чайник стоит на плите. " * 3 + ENGLISH,
    "korean": "물이 끓으면 차를 마시자",
    "arabic": "الماء يغلي على النار ونشرب الشاي",
    "capitals": "THE KETTLE IS ON THE STOVE McDonald NASA",
    "code": "def f(x):\n    return x + 1  # https://example.org/a?b=c and a.b-c@example.org",
    "addresses only": "https://example.org/a someone@example.org",
    "romanian": "Și țara noastră își așteaptă oaspeții",
    "no letters": "123 + 456 = 579 ...",
    "empty": "",
    "blank": "  \n\t ",
    "short": "ok",
    "mixed": ENGLISH + "Aber auch ein deutscher Satz steht hier, und er ist recht lang geraten.",
    "surrogate": "hello \ud83d there \udce9",
    "long": ENGLISH * 300,
    "long then german": ENGLISH * 139 + "Der Kessel steht auf dem Herd. " * 400,
    "long address": "see https://" + "a" * 12_000 + " " + ENGLISH * 200,
    "long mails": "x.y@example.org " * 2_000 + ENGLISH * 20,
}


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector()


def reference(text: str) -> dict[str, float] | None:
    DetectorFactory.seed = 0
    try:
        return {found.lang: found.prob for found in detect_langs(text)}
    except LangDetectException:
        return None


def expected(text: str, lang: str, threshold: float) -> bool | None:
    found = reference(text)
    if found is None:
        return None
    best = max(found, key=found.__getitem__, default=None)
    return best == lang and found[lang] >= threshold


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(("lang", "threshold"), [("en", 0.0), ("en", 0.9), ("de", 0.0), ("ja", 0.5)])
def test_decision_is_langdetects(detector, name, lang, threshold):
    assert detector.is_language(TEXTS[name], lang, threshold) is expected(TEXTS[name], lang, threshold)


def test_without_threshold_it_is_detect(detector):
    DetectorFactory.seed = 0
    for name in ("english", "german", "mixed", "short", "code"):
        assert detector.is_language(TEXTS[name], "en") is (detect(TEXTS[name]) == "en")


@given(
    st.lists(
        st.sampled_from(
            ["the ", "und ", "de la ", "Ke", "TTLE", " ", "\n", "ü", "ы", "\u1ea0", "中", "http://a.b/c ", "x@y.z "]
        ),
        max_size=30,
    ).map("".join)
)
@settings(max_examples=60)
def test_features_and_decision_for_any_text(detector, text):
    assert detector.is_language(text, "en") is expected(text, "en", 0.0)


@given(st.text(max_size=40))
@settings(max_examples=60)
def test_decision_for_any_characters(detector, text):
    assert detector.is_language(text, "en", 0.6) is expected(text, "en", 0.6)


def test_a_prefix_is_cleaned_like_the_whole_text(detector, monkeypatch):
    text = (ENGLISH + "mail me@example.org or see http://example.org/x/y. ") * 600
    fast = detector._cleaned(text)
    monkeypatch.setattr(language, "_WINDOW", 10**9)
    assert detector._cleaned(text) == fast


def test_processes_give_the_same_decisions_in_order(detector):
    texts = [TEXTS["english"], TEXTS["german"], TEXTS["no letters"]] * 250
    assert list(decisions(iter(texts), "en", 0.0, workers=2)) == [True, False, None] * 250
    assert list(decisions(iter(texts[:6]), "en", 0.0, workers=2)) == [True, False, None] * 2
