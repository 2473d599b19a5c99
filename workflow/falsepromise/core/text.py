"""Make untrusted text safe to show: one function for each kind of output.

Dialogues, replies, model names, file names and study titles come from outside. Each function returns text that its
output (a terminal, Markdown, HTML, LaTeX, a spreadsheet) shows unchanged and never interprets. Figures use
`figures.pages.clean`, which also handles characters that the font lacks.
"""

from __future__ import annotations

import html as _html
import re
import unicodedata

# Control characters without tab and line feed, bidirectional controls, and half surrogate pairs.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_SECRETS = re.compile(  # a password in an address may have a slash
    r"(?i)(?P<scheme>://)(?:[^/\s]{1,500}|[^/\s@:]{0,100}:(?![0-9]{1,5}[/?#])[^\s@]{1,400})@"
    r"|(?P<key>[?&#](?:[\w-]{0,40}(?:token|key|secret|signature|passw(?:or)?d|pwd|credentials?|auth|authorization|jwt"
    r"|private_link)|sig|pass|access)=)[^&\s#]{1,2000}"
    r"|(?P<header>\b(?:bearer|basic)\s)[\w.~+/=-]{8,500}"
    r"|(?P<named>\b(?:api[_-]?key|access[_-]token|auth[_-]token|passw(?:or)?d|pwd|secret|authorization)[\"']?\s?[:=]\s?"
    r"[\"']?(?!(?:bearer|basic)\s))[^\s\"'&,;]{6,500}"
    r"|(?P<kind>\b(?:hf_|sk-|sk_|gsk_|ghp_|gho_|github_pat_|glpat-|xox[bap]-|xai-|nvapi-|r8_|AKIA|AIza|eyJ))[\w.-]{8,2000}"
)
# In an address's query, what says which file it is; values of other names may be keys.
_PUBLIC = frozenset(["dl", "download", "file", "filename", "format", "lang", "name", "path", "raw", "ref", "version"])
_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",  # other letters in LaTeX's default font
    "–": "--", "—": "---", **{c: "\\" + c for c in "&%$#_{}"},
}  # fmt: skip
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
_MARKDOWN = re.compile(
    r"[\\`*|~]|(?<![^\W_])_|_(?![^\W_])|\](?=[(\[:])|(?:^|(?<=\s))[#>+=-]+(?=\s|$)"
    r"|(?<=:)//|(?<=www)\.|(?<=\w)@"
)


def terminal(text: str, lines: bool = True) -> str:
    """Text for a terminal or a log, with escape sequences, control and bidirectional characters spelled out.

    Args:
        text: Anything.
        lines: Whether to keep line breaks and tabs; without them one record is one line.
    """
    safe = _UNSAFE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)
    return safe if lines else safe.replace("\n", "\\n").replace("\t", "\\t")


def one_spelling(text: object) -> str:
    """A name with composed letters and single spaces: equal for two spellings of one text, as both kinds of `é`."""
    return " ".join(unicodedata.normalize("NFC", str(text)).split())


def masked(text: str) -> str:
    """Text without passwords and tokens: those in an address or a header, and keys with a known prefix."""

    def mask(found: re.Match[str]) -> str:
        if found["scheme"]:
            return "://***@"
        return (found["key"] or found["header"] or found["named"] or found["kind"]) + "***"

    return _SECRETS.sub(mask, text)


def public_address(uri: str) -> str:
    """An address for a file that others read: `masked`, and of a web address's query only what says which file it is.

    A share's link may have its secret under any name, or under none.
    """
    head, mark, query = uri.partition("?")
    if not mark or not head.lower().startswith(("https:", "http:")):
        return masked(uri)

    def value(found: re.Match[str]) -> str:
        name, equals, given = found[0].partition("=")
        return found[0] if name.lower() in _PUBLIC or (equals and not given) else f"{name}=***" if equals else "***"

    return masked(head) + mark + re.sub(r"[^&;#]+", value, query)


def markdown(text: str) -> str:
    """Text for one line of Markdown, also in a table, without markup, links, pictures or HTML."""
    line = " ".join(terminal(text).split())
    marked = _MARKDOWN.sub(lambda found: "".join("\\" + c for c in found[0]), _html.escape(line, quote=False))
    return _NUMBERED.sub(r"\1\\\2", marked)


def html(text: str) -> str:
    """Text for an HTML element or a quoted attribute."""
    return _html.escape(terminal(text), quote=True)


def latex(text: str, lines: bool = True) -> str:
    """Text that LaTeX prints unchanged.

    Args:
        lines: As of `terminal`.
    """
    shown = "".join(_LATEX.get(character, character) for character in terminal(text, lines))
    return "{}" + shown if shown.lstrip()[:1] in ("[", "*") else shown  # else an option of the row's end before it


def cell(text: str) -> str:
    """Text for a cell of CSV that no spreadsheet reads as a formula, without control characters."""
    formula = text.lstrip()[:1] in ("=", "+", "-", "@") or text[:1] in ("\t", "\r")
    return ("'" if formula else "") + terminal(text)


def shown(text: object, key: str = "", longest: int = 200) -> str:
    """A server's message on one line of at most `longest` characters, without the key and invisible characters."""
    words = str(text)[: 50 * longest]
    words = words.replace(key, "***") if key else words
    return " ".join("".join(c if c.isprintable() else " " for c in masked(words)).split())[:longest]


def page_words(page: str) -> str:
    """The content of an HTML page for an error message: its title and the beginning of its text."""
    head = page[:20_000]
    title = re.search(r"<title[^>]{0,200}>([^<]{0,300})", head, re.IGNORECASE)
    body = re.sub(r"<(script|style)\b[^>]{0,500}>.{0,5000}?</\1>", " ", head, flags=re.IGNORECASE | re.DOTALL)
    text = _html.unescape(re.sub(r"<[^<>]{0,2000}>", " ", body[:4_000]))
    name = _html.unescape(title[1]).strip() if title else ""
    return shown(f"{name}: {text}" if name else text, longest=120)
