"""Text of strangers is shown and never interpreted, in each place where it comes out."""

import csv
import io
import logging
import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from falsepromise.core import text
from falsepromise.core.cli import _SafeLines

HOSTILE = [
    "![p](http://x.example/p.png)", "[a](javascript:alert(1))", "<script>alert(1)</script>", "<img src=x onerror=y>",
    "http://x.example www.x.example me@x.example", "<https://x.example>", "[a]: http://x.example", "[a][b]",
    "# head", "1. one", "- item", "> quote", "+ item", "a | b", "**b** __u__ ~~s~~ `c`",
    "```\ncode", "a\n\n# b", "&lt;b&gt;",
    "\x1b]0;owned\x07\x1b[31m", "\u202eexe.txt", "\ud800", "\x00", "a\\", "=1+1", "\t=x", "***", "_a_", "\\[x](y)",
]  # fmt: skip
TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(st.sampled_from("[]()<>!#*_`~|\\-+.1a :/@&;\n"), max_size=40))
GITHUB = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def tags(page: str) -> set[str]:
    return set(re.findall(r"<(\w+)", page))


@settings(deadline=None, max_examples=600)
@given(TEXTS)
def test_markdown_has_no_markup(words):
    line = text.markdown(words)
    assert tags(GITHUB.render(f"word {line}")) == {"p"}
    assert tags(GITHUB.render(line)) <= {"p"}
    assert tags(GITHUB.render(f"| a | b |\n|---|---|\n| {line} | c |")) == {"table", "thead", "tbody", "tr", "th", "td"}
    assert len(re.findall("<td", GITHUB.render(f"| a | b |\n|---|---|\n| {line} | c |"))) == 2


@settings(deadline=None, max_examples=300)
@given(TEXTS)
def test_markdown_shows_what_was_written(words):
    page = GITHUB.render(f"x {text.markdown(words)}")
    shown = page.replace("<p>", "").replace("</p>", "").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"')
    expected = " ".join(f"x {text.terminal(words)}".split())
    assert shown.replace("&amp;", "&").strip() == expected


@given(TEXTS)
def test_html_is_text(words):
    assert not tags(f"<x title='{text.html(words)}'>{text.html(words)}</x>") - {"x"}


@pytest.mark.parametrize("words", HOSTILE)
def test_terminal_and_log_have_no_control_characters(words):
    record = logging.LogRecord("x", logging.INFO, "f", 1, words, None, None)
    for line in (text.terminal(words), _SafeLines("%(message)s").format(record)):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", line)
        line.encode()


@pytest.mark.parametrize(
    ("words", "secret"),
    [
        ("https://me:pa55@h/x", "pa55"), ("https://h/x?token=t0k&n=1", "t0k"), 
        ("https://h/?X-Amz-Signature=s1g", "s1g"),
        ("Authorization: Bearer abc.def-ghij", "abc.def"), ("hf_abcdefghijkl", "abcdefghijkl"),
        ("sk-proj-abcdefghijkl", "abcdefghijkl"), ("https://h/?sig=abc%2F", "abc"), ("https://h/?api_key=qq1", "qq1"),
        ("https://me:pa@s5@h/x", "s5"), ("https://h/#access_token=qq1", "qq1"), ("x-api-key: qwerty12", "qwerty12"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNl"), ("{'api_key': 'qwerty12'}", "qwerty12"),
        ("gsk_abcdefgh1", "abcd"), ("glpat-abcdefgh1", "abcd"), ("xai-abcdefgh1", "abcd"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "zdWI"),
        ("password=hunter22", "hunter22"),
        *((f"https://h/f?a=1&{name}=s3cret_2", "s3cret") for name in
          ("Authorization", "auth", "private_link", "pwd", "passwd", "pass", "access", "jwt", "db_password")),
        ("https://user:pa/s3cret@h/x", "s3cret"), ("ftp://user:1234567/s3cret@h", "s3cret"),
        ("Authorization: 4_002s3cret", "s3cret"), ("'authorization': 'Bearer s3cret-abc'", "s3cret"),
        ("pwd = s3cret", "s3cret"),
    ],
)  # fmt: skip
def test_secrets_are_masked(words, secret):
    assert secret not in text.masked(words)
    assert "***" in text.masked(words)


@pytest.mark.parametrize("words", ["https://h.org:443/a@1/b.json", "https://h/@me/x?author=a&passage=3&keys=1", "a@b"])
def test_what_is_no_secret_stays(words):
    assert text.masked(words) == words


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://h/f?share=s3cret&download=1", "https://h/f?share=***&download=1"),
        ("https://u:s3cret@h/f?s3cret", "https://***@h/f?***"),
        ("https://h/f?raw&x=&a=s3cret#b=s3cret", "https://h/f?raw&x=&a=***#b=***"),
        ("https://h/f.json?format=json&version=2", "https://h/f.json?format=json&version=2"),
        ("hub:org/name@main", "hub:org/name@main"),
        ("file:data/what?.json", "file:data/what?.json"),
    ],
)
def test_of_an_address_others_read_what_says_which_file_it_is(uri, shown):
    assert text.public_address(uri) == shown


def test_a_spreadsheet_sees_no_formula():
    for words in ("=1+1", "+1", "-1", "@x", " =1", "\t=1", "\r=1"):
        assert text.cell(words).startswith("'")
    assert text.cell("plain") == "plain"
    assert next(csv.reader(io.StringIO(text.cell("a"))))[0] == "a"


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no LaTeX here")
def test_latex_compiles(tmp_path):
    body = "\n\n".join(text.latex(words) for words in HOSTILE)
    (tmp_path / "a.tex").write_text(f"\\documentclass{{article}}\\begin{{document}}{body}\\end{{document}}")
    subprocess.run(["pdflatex", "-halt-on-error", "a.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_latex_leaves_no_command():
    named = r"\\text(?:backslash|asciitilde|asciicircum|less|greater|bar)\{\}|\\[&%$#_{}]|^\{\}"
    for words in HOSTILE:
        bare = re.sub(named, "", text.latex(words))
        assert not re.search(r"[\\&%$#_{}~^<>|]", bare)
    # At a row's beginning these are options of the end of the row before it, and LaTeX stops.
    assert [text.latex(words) for words in ("[0, 5]", " *a", "a [0]")] == ["{}[0, 5]", "{} *a", "a [0]"]
