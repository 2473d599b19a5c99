"""Remove what isn't said from turns: a chat page's buttons, counters and errors, marks of sources, reasoning.

All patterns are anchored or fixed texts, so they take linear time.
"""

from __future__ import annotations

import re

BUTTON = "a page's button or counter removed"
ERROR = "a page's error text removed"
MARKS = "marks of sources removed"
REASONING = "reasoning left out"

# The page writes "2 / 2", with blanks; "3/4" and "12/25" are fractions and dates.
_COUNTER = re.compile(r"\A\d{1,3} / \d{1,3}[ \t]*\n|\n[ \t]{0,20}\d{1,3} / \d{1,3}\Z")
_ONLY_COUNTER = re.compile(r"\A\d{1,3} / \d{1,3}\Z")
_COPY = re.compile(r"(?m)^([A-Za-z+#]{0,15})Copy code$\n?")
_SHARE = "Share Prompt"
_POLICY = "This content may violate our content policy."
# Beginnings of the site's own messages; each message ends with its paragraph.
_ERRORS = (
    "Something went wrong. If this issue persists please contact us",
    "Something went wrong, please try reloading the conversation",
    "Something went wrong while generating the response",
    "Something went wrong\N{HORIZONTAL ELLIPSIS}",
    "Something went wrong...",
    "Hmm...something seems to have gone wrong.",
    "There was an error generating a response",
    "An error occurred. If this issue persists please contact us",
    "An error occurred. Either the engine you requested does not exist",
    "An error occurred while generating the response",
    "Oops, an error occurred!",
    "The server experienced an error while processing your request",
    "The server had an error while processing your request",
    "Error in message stream",
    "Error in body stream",
    "Error in input stream",
    "Conversation not found",
    "Unable to load conversation",
    "Too many requests in 1 hour. Try again later.",
    "Too many requests, please slow down",
    "Our systems are a bit busy at the moment",
    "Our systems have detected unusual activity",
    "Only one message at a time. Please allow any other responses to complete",
    "You've reached our limit of messages per hour",
    "You've reached the current usage cap for GPT-4",
    "The message you submitted was too long, please reload the conversation",
    "The previous model used in this conversation is unavailable",
    "That model is currently overloaded with other requests",
    "Failed to fetch",
    "Load failed",
    "network error",
    "Request timed out",
    "Internal server error",
)
# ChatGPT's marks of what it found, which its page shows as links; of an entity it shows the name.
_MARK = re.compile(
    "[ \t]?(?:\ue200[^\ue200\ue201]{0,4000}\ue201|\N{LEFT BLACK LENTICULAR BRACKET}[0-9:]{1,9}\N{DAGGER}"
    "[^\N{RIGHT BLACK LENTICULAR BRACKET}\n]{0,300}\N{RIGHT BLACK LENTICULAR BRACKET})"
)
_ENTITY = re.compile('(.?)\ue200entity\ue202\\["[^"]{0,200}", ?"([^"]{0,200})"')
_LONGEST_ERROR = 400
_ENDS = 40  # a counter is within so many characters of a turn's ends


def split_thoughts(text: str) -> tuple[str, str]:
    """The reasoning at a reply's head, `<think>...</think>`, and the reply without it.

    Some chat templates say the opening mark themselves. Without it the closing one must stand alone on its line or
    end a paragraph, and not in a block of code: a reply may be about such marks.
    """
    head = text.lstrip()
    for name in ("think", "thinking"):
        opening, closing = f"<{name}>", f"</{name}>"
        before, found, after = text.partition(closing)
        alone = after.startswith(("\n\n", "\r\n\r\n")) or not (
            before.rpartition("\n")[2].strip() or after.partition("\n")[0].strip()
        )
        unopened = bool(found) and alone and not (opening in before or closing in after or before.count("```") % 2)
        if head.startswith(opening) or unopened:
            return before.strip().removeprefix(opening).strip(), after.lstrip()
    return "", text


def without_marks(reply: str) -> str:
    """A reply without ChatGPT's marks of its sources, and the blanks before them; entities become their names."""

    def shown(mark: re.Match[str]) -> str:
        entity = _ENTITY.match(mark[0])
        return entity[1] + entity[2] if entity else ""

    return _MARK.sub(shown, reply) if "\ue200" in reply or "\N{DAGGER}" in reply else reply


def without_leftovers(text: str, reply: bool) -> tuple[str, list[str]]:
    """A turn without the page's own texts.

    Args:
        text: The turn.
        reply: Whether the assistant wrote it. Error texts are removed only from replies, as whole paragraphs at
            their end, because a user may quote one.

    Returns:
        The text, which may be empty, and the names of what was removed.
    """
    found = []
    stripped = text.strip()
    if reply:
        kept = _without_errors(stripped)
        if kept != stripped:
            found.append(ERROR)
            stripped = kept
        kept = _COPY.sub(lambda match: match[1] and match[1] + "\n", stripped) if "Copy code" in text else stripped
        kept = "" if _ONLY_COUNTER.match(kept) else kept
    else:
        kept = stripped.removesuffix(_SHARE) if stripped != _SHARE else stripped
        if (at := kept.rfind(_POLICY)) > 0 and len(kept) - at < _LONGEST_ERROR:
            kept = kept[:at]
    if "/" in kept[:_ENDS] or "/" in kept[-_ENDS:]:
        kept = _COUNTER.sub("", kept)
    kept = kept.strip()
    if kept != stripped:
        found.append(BUTTON)
    return (kept, found) if found else (text, [])


def _without_errors(text: str) -> str:
    """A reply without error texts as its last paragraphs."""
    while text:
        at = max(text.rfind("\n") + 1, 0)
        last = text[at:].lstrip("! \t")
        if len(last) > _LONGEST_ERROR or not last.startswith(_ERRORS):
            break
        if len(last) < 60 and at and not text[:at].endswith("\n\n"):
            break  # a line of a text about errors, not a paragraph of the page's
        text = text[:at].rstrip()
        text = "" if text == "!" else text.removesuffix("\n!").rstrip()
    return text
