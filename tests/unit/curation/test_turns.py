"""Raw turns made into alternating messages; scraped HTML made into Markdown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falsepromise.core.records import check_dialogue
from falsepromise.curation import turns
from falsepromise.curation.markup import is_scraped_html, to_markdown
from falsepromise.curation.turns import role, tidy


def pairs(tidied: turns.Tidied) -> list[tuple[str, str]]:
    return [(message["role"][0], message["content"]) for message in tidied.messages]


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("human", "user"),
        ("Human", "user"),
        (" USER ", "user"),
        ("gpt", "assistant"),
        ("GPT-4", "assistant"),
        ("ChatGPT", "assistant"),
        ("Assistant:", "assistant"),
        ("system", "system"),
        ("bing", None),
        ("narrator", None),
        ("", None),
        (None, None),
        (3, None),
    ],
)
def test_roles(spelling, expected):
    assert role(spelling) == expected


def test_good_dialogue_stays_as_it_is():
    found = tidy([("system", "S"), ("human", "q1"), ("gpt", "a1"), ("human", "q2"), ("gpt", "a2")])
    assert pairs(found) == [("s", "S"), ("u", "q1"), ("a", "a1"), ("u", "q2"), ("a", "a2")]
    assert not found.repairs
    assert found.dropped is None


@pytest.mark.parametrize(
    ("raw", "expected", "repairs"),
    [
        ([("gpt", "hello"), ("human", "q"), ("gpt", "a")], [("u", "q"), ("a", "a")], {turns.LEADING_REPLY}),
        ([("human", "q"), ("gpt", "a"), ("human", "q2")], [("u", "q"), ("a", "a")], {turns.UNANSWERED}),
        ([("human", "q"), ("human", "r"), ("gpt", "a")], [("u", "q\n\nr"), ("a", "a")], {turns.MERGED_USER}),
        ([("human", "q"), ("gpt", "a"), ("gpt", "b")], [("u", "q"), ("a", "a\n\nb")], {turns.MERGED_REPLY}),
        (
            [("human", "q"), ("gpt", " "), ("human", "r"), ("gpt", "b")],
            [("u", "r"), ("a", "b")],
            {turns.EMPTY_TURN},
        ),
        (
            [("human", "q"), ("gpt", "a"), ("human", "r"), ("bing", "b"), ("human", "s"), ("gpt", "c")],
            [("u", "q"), ("a", "a")],
            {turns.UNKNOWN_ROLE, turns.UNANSWERED},
        ),
        ([("human", "q"), ("gpt", "a"), ("human", 5)], [("u", "q"), ("a", "a")], {turns.WRONG_TURN}),
        ([("human", "q"), ("system", "S"), ("gpt", "a")], [("u", "q"), ("a", "a")], {turns.LATE_SYSTEM}),
        ([("human", "caf\udce9"), ("gpt", "a")], [("u", "caf\ufffd"), ("a", "a")], {turns.BAD_UNICODE}),
    ],
)
def test_repairs(raw, expected, repairs):
    found = tidy(raw)
    assert pairs(found) == expected
    assert found.repairs == repairs


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ([], turns.NO_TURNS),
        ([("gpt", "a")], turns.NO_USER),
        ([("human", "q")], turns.NO_REPLY),
        ([("human", ""), ("gpt", "a")], turns.NO_EXCHANGE),
        ([("bing", "a")], "no exchange before a turn of unknown role"),
        ([("human", "q"), ("gpt", ["a"])], "no exchange before a turn of the wrong form"),
    ],
)
def test_reasons_to_drop(raw, reason):
    found = tidy(raw)
    assert found.dropped == reason
    assert found.messages == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["human", "gpt", "system", "Bing", None]),
            st.one_of(st.text(max_size=5), st.none(), st.just(1)),
        ),
        max_size=8,
    )
)
def test_messages_always_alternate_and_have_text(raw):
    found = tidy(raw)
    assert (found.dropped is None) == bool(found.messages)
    if found.messages:
        assert check_dialogue({"id": "x", "messages": found.messages}) is None
        spoken = [message["role"] for message in found.messages if message["role"] != "system"]
        assert spoken == ["user", "assistant"] * (len(spoken) // 2)
        assert all(message["content"].strip() for message in found.messages)


PROSE = '<div class="markdown prose w-full break-words">{}</div>'


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>One.</p><p>Two &amp; three.</p>", "One.\n\nTwo & three."),
        ("<p>a<br>b</p>", "a\nb"),
        ("<ol><li><p>One</p></li><li>Two</li></ol>", "1. One\n2. Two"),
        ('<ol start="3"><li>x</li></ol>', "3. x"),
        ("<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>", "- a\n  - b\n- c"),
        ("<p>Use <code>x &lt; y</code> and <strong>b</strong>, <em>i</em>.</p>", "Use `x < y` and **b**, *i*."),
        ("<h2>Title</h2><p>text</p>", "## Title\n\ntext"),
        (
            '<pre><div><span>python</span><button>Copy code</button></div><div><code class="hljs language-python">'
            "<span>def</span> f():\n    return 1\n\n\n\nf()\n</code></div></pre>",
            "```python\ndef f():\n    return 1\n\n\n\nf()\n```",
        ),
        ("<pre>plain  text\n  kept</pre>", "```\nplain  text\n  kept\n```"),
        ("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>", "| a | b |\n| 1 | 2 |"),
        ("<p>unclosed <b>bold", "unclosed **bold"),
        ("<pre><code>cut off", "```\ncut off\n```"),
        ("<p>x</p><script>alert(1)</script>", "x"),
    ],
)
def test_markdown_of_scraped_html(html, expected):
    assert to_markdown(PROSE.format(html)) == expected


@pytest.mark.parametrize(
    ("text", "reply", "expected"),
    [
        (PROSE.format("<p>hi</p>"), True, True),
        (PROSE.format("<p>hi</p>"), False, True),
        ("<p>Hello <b>you</b></p>\n<ul><li>x</li></ul>", True, True),
        ("<p>Hello</p>", False, False),
        ('<div><form action="/x"><input></form></div>', True, False),
        ('Sure! ```html\n<div class="markdown"><p>hi</p></div>\n```', True, False),
        ("| a<br>b | c |", True, False),
        ("1 < 2 and 3 > 2", True, False),
        ("Use <p> for paragraphs.", True, False),
    ],
)
def test_which_html_is_scraped(text, reply, expected):
    assert is_scraped_html(text, reply) is expected


@given(st.text(alphabet="<>/pdivolcrbe=\"' &;x\n", max_size=60))
def test_broken_html_raises_nothing(text):
    assert isinstance(to_markdown(text), str)
