"""Raw turns made into alternating messages; scraped HTML made into Markdown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falsepromise.core.records import check_dialogue
from falsepromise.curation import turns
from falsepromise.curation.ledger import Ledger
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
        ("gpt-3.5-turbo-16k", "assistant"),
        ("chatgpt-4o-latest", "assistant"),
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
        ("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>",
         "| a | b |\n| --- | --- |\n| 1 | 2 |"),
        ("<p>unclosed <b>bold", "unclosed **bold**"),
        ("<pre><code>cut off", "```\ncut off\n```"),
        ("<p>x</p><script>alert(1)</script>", "x"),
        (
            '<p>So <span class="katex"><span class="katex-mathml"><math><semantics><mrow><mi>x</mi></mrow>'
            '<annotation encoding="application/x-tex">x^2 < y</annotation></semantics></math></span>'
            '<span class="katex-html" aria-hidden="true"><span>x2</span></span></span>.</p>',
            "So $x^2 < y$.",
        ),
        (
            '<span class="katex-display"><span class="katex"><math><annotation encoding="application/x-tex">a_b'
            "</annotation></math></span></span>",
            "$$a_b$$",
        ),
        ('<p>See <a href="https://x.org/a">this <b>page</b></a>.</p>', "See [this **page**](https://x.org/a)."),
        ('<p><a href="javascript:alert(1)">no</a></p>', "no"),
        ('<p><img src="https://x.org/a.png" alt="a cat"><img alt="b" src="data:x"></p>',
         "![a cat](https://x.org/a.png)![b]()"),
        ("<blockquote><p>a</p><p>b</p></blockquote><p>c</p>", "> a\n>\n> b\n\nc"),
        ("<blockquote>a<blockquote>b</blockquote></blockquote>", "> a\n>\n> > b"),
        ("<ol><li>a<pre><code>x\n\n\ny</code></pre></li><li>b</li></ol>",
         "1. a\n\n   ```\n   x\n   \n   \n   y\n   ```\n2. b"),
        ("<ol><li>a<ol><li>b</li></ol></li></ol>", "1. a\n   1. b"),
        ("<table><thead><tr><th>a|b</th><th>c</th></tr></thead><tbody><tr><td><p>1</p>2</td></tr></tbody></table>",
         "| a\\|b | c |\n| --- | --- |\n| 1 2 |  |"),
        ('<p>a<span class="sr-only">hidden</span><span style="display: none">too</span></p>', "a"),
        ("<pre><div><span>bash</span><button>Copy code</button></div><code>ls</code></pre>", "```bash\nls\n```"),
        ("<p>a <code>b`c</code></p>", "a `` b`c ``"),
        ("<p>x<sup>2</sup> <del>old</del></p>", "x<sup>2</sup> ~~old~~"),
        ('<ul><li><input type="checkbox" checked>done</li></ul>', "- [x] done"),
        ("a\0b \u00b2 <![Note]> c", "a\ufffdb \u00b2  c"),
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


def test_html_that_was_asked_for_stays():
    page = "<h1>Tea</h1>\n<p>Hot <b>leaves</b>.</p>"
    assert is_scraped_html(page, True, "Tell me about tea.")
    for asked in ("Write that as HTML", "and inside <p>?", "make me a landing page"):
        assert not is_scraped_html(page, True, asked)
        found = tidy([("human", asked), ("gpt", page)])
        assert pairs(found) == [("u", asked), ("a", page)]
    assert is_scraped_html(PROSE.format(page), True, "What is HTML?"), "the page's own class says that it is scraped"


CITE = "\ue200cite\ue202turn0search1\ue202turn0news2\ue201"


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        (("gpt", "pythonCopy code\nx = 1\nCopy code\ny"), "python\nx = 1\ny"),
        (("gpt", "Good.\n\n2 / 2"), "Good."),
        (("gpt", "1 / 3\nGood."), "Good."),
        (("gpt", "A half is 1/2"), "A half is 1/2"),
        (("gpt", "3/4"), "3/4"),
        (("gpt", "The sum is:\n\n12/25"), "The sum is:\n\n12/25"),
        (("human", "7/11\nWhat opened then?"), "7/11\nWhat opened then?"),
        (("human", "Why?\n2 / 2"), "Why?"),
        (("human", "Why? Share Prompt"), "Why?"),
        (("human", "Why?This content may violate our content policy. If you believe this to be so"), "Why?"),
        (("human", "network error"), "network error"),
        (("gpt", "Good.\n\nnetwork error\n\nOnly one message at a time. Please allow any other responses to complete "
          "before sending another message, or wait one minute."), "Good."),
        (("gpt", "!\nSomething went wrong. If this issue persists please contact us through our help."), ""),
        (("gpt", "2 / 2"), ""),
        (("gpt", f"It rained {CITE} in Paris{CITE}."), "It rained in Paris."),
        (("gpt", 'I met \ue200entity\ue202["people","Ada","writer"]\ue201.'), "I met Ada."),
        (("gpt", "As said\u30104\u2020source\u3011, yes \u301012:3\u2020a b.pdf\u3011."), "As said, yes."),
        (("gpt", "A dagger\u2020 and \u3010a title\u3011."), "A dagger\u2020 and \u3010a title\u3011."),
        (("human", "\u30104\u2020source\u3011 means what?"), "\u30104\u2020source\u3011 means what?"),
        (("gpt", "<think>\nHm.\n</think>\n\nGood."), "Good."),
        (("gpt", " <thinking>Hm.</thinking>Good."), "Good."),
        (("gpt", "Hm.\n</think>\n\nGood."), "Good."),
        (("gpt", "<think>Hm, and never an end"), ""),
        (("gpt", "Models write </think> first."), "Models write </think> first."),
        (("human", "<think>a</think>b?"), "<think>a</think>b?"),
        (("gpt", "Too many requests in 1 hour. Try again later."), ""),
        (("gpt", "It means:\nnetwork error"), "It means:\nnetwork error"),
    ],
)  # fmt: skip
def test_what_the_page_says_is_removed_and_counted(turn, expected):
    ledger = Ledger()
    other = ("human", "q") if turn[0] == "gpt" else ("gpt", "a")
    found = tidy(sorted([turn, other], reverse=True), ledger)
    if expected:
        assert turn[1] == expected or found.repairs
        assert expected in [text for _, text in pairs(found)]
    else:
        assert found.dropped == turns.NO_EXCHANGE
    kept = sum(len(text) for _, text in pairs(found))
    assert len(turn[1]) + len(other[1]) == kept + sum(ledger.lost[key] for key in ledger.lost if key[0] == "characters")


@pytest.mark.parametrize(
    "hostile",
    ["<div>" * 10_000, "<blockquote>" * 4_000 + "x\ny" * 400, "<li>" * 12_000, "<a href='https://x'>" * 2_500,
     "<" * 50_000, "<![Note]>" * 5_000, "<div class=" * 4_500, '<div class="' * 4_000, "<!--" * 12_000,
     "<table><tr><td>" * 3_000, "<pre>" * 10_000 + "x" * 99, "<code>" * 8_000, "&amp" * 12_000, "\n" * 50_000,
     "<p>" + "network error\n\n" * 3_500, "```" * 16_000, "<ol start='" + "9" * 5000 + "'><li>" * 100,
     "<math><annotation encoding='x-tex'>" * 1_400, "1 / 2\n" * 8_000, "Copy code" * 5_500],
)  # fmt: skip
def test_hostile_turns_end(hostile):
    for text in (PROSE.format(hostile), f"<p>{hostile}</p>", hostile):
        found = tidy([("human", "q"), ("gpt", text)])
        assert (found.dropped is None) == bool(found.messages)


@given(st.text(alphabet="<>/pdivolcrbe=\"' &;x\n", max_size=60))
def test_broken_html_raises_nothing(text):
    assert isinstance(to_markdown(text), str)
