"""Answer as the local stand-in teacher, by fixed rules.

It is not a language model. It knows the facts that it was given and has a rule for each form of prompt in the study,
so the whole chain runs offline over the same protocol:

* Table 4's prompt: `PAIRS` question-answer pairs from the facts whose split is `targeted`. It never gives facts
  of other splits, which keeps the factual benchmarks clean.
* Table 5's prompt, or a text that ends with `TL;DR:`: the first sentences of the document, as many
  as fit into `SUMMARY_WORDS` words, at least one.
* A judge's prompt (Vicuna's form): two scores from 1 to 10, see `score`.
* The prompt that sorts queries into Table 6's categories: one of them, see `category`.
* A question about an authoritative tone: `Yes` or `No`, see `authoritative`.
* A multiple-choice question: the letter of the right option.
* Table 8's prompt or a bare question: the canonical answer of the fact.

If the rule finds no answer, the reply is that it doesn't know.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NAME = "local-stand-in"
PAIRS = 8
SUMMARY_WORDS = 55
UNKNOWN = "I don't know."

# The fixed openings of the paper's prompts, Tables 4, 5 and 8.
NQ_OPENING = "I want you to generate a series of questions and answers."
TLDR_OPENING = "I want you to summarize a document for me."
QA_OPENING = "You are a brief and concise question answering service"

TOKEN = re.compile(r"\w+|[^\w\s]")
_SENTENCE = re.compile(r".+?(?:(?<![.!?])[.!?]++[\"')\]]*+(?=\s|$)|\n\s*\n|$)", re.DOTALL)
_OPTION = re.compile(r"^\(?([A-Z])[.)]\s*(.+)$")
_HEDGE = re.compile(
    r"\b(i think|i guess|i believe|maybe|perhaps|not sure|don't know|do not know|no idea|probably|"
    r"might be|could be|kind of|sort of|i'm sorry|i am sorry|as far as i)\b",
    re.IGNORECASE,
)
_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by can did do does for from has have how i in is it me my of on or that the "
        "this to was were what when where which who why will with you your",
    )
)
GIVEN_AWAY = "targeted"


def count_tokens(text: str) -> int:
    """Tokens by this teacher's own count: words and punctuation marks."""
    return sum(1 for _ in TOKEN.finditer(text))


def normalise(text: str) -> str:
    """Letters and digits of `text` in lower case, single spaces between words."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).lower()))


def check_fact(record: Mapping[str, Any]) -> str | None:
    """What is wrong with a fact record, or None."""
    for key in ("id", "question"):
        if not isinstance(record.get(key), str) or not record[key].strip():
            return f"'{key}' is {record.get(key)!r:.80}, expected text"
    for key in ("answers", "paraphrases"):
        value = record.get(key, [] if key == "paraphrases" else None)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            return f"'{key}' is {value!r:.80}, expected a list of texts"
    if not record["answers"]:
        return "'answers' is empty, expected the canonical answer first"
    if not isinstance(record.get("split"), str):
        return f"'split' is {record.get('split')!r}, expected the name of a split; only {GIVEN_AWAY!r} is given away"
    return None


@dataclass
class StandIn:
    """The facts of the stand-in, indexed for look-up.

    Attributes:
        answers: From a normalised question to the fact's answers, the canonical one first.
        targeted: (question, answer) pairs that it may give, one list for each fact.
    """

    answers: dict[str, list[str]] = field(default_factory=dict)
    targeted: list[list[tuple[str, str]]] = field(default_factory=list)

    @classmethod
    def from_facts(cls, facts: Iterable[Mapping[str, Any]]) -> StandIn:
        """Index fact records `{"id", "question", "paraphrases", "answers", "split", ...}`."""
        known = cls()
        for fact in facts:
            questions = [fact["question"], *fact.get("paraphrases", [])]
            for question in questions:
                known.answers.setdefault(normalise(question), fact["answers"])
            if fact["split"] == GIVEN_AWAY:
                known.targeted.append([(question, fact["answers"][0]) for question in questions])
        return known

    def reply(self, messages: Sequence[Mapping[str, str]], seed: int | None = None, choice: int = 0) -> str:
        """The answer to a chat; the same chat and seed give the same answer.

        Args:
            messages: The chat, `{"role", "content"}` each; the last user message is answered.
            seed: The request's `seed`; with `choice` it varies the pairs that are drawn.
            choice: The number of this choice among the request's `n`.
        """
        text = next((m["content"] for m in reversed(messages) if m["role"] == "user"), "").strip()
        system = " ".join(m["content"] for m in messages if m["role"] == "system")
        if text.startswith(NQ_OPENING):
            return self._pairs(f"{seed}/{choice}/{text}")
        if text.startswith(TLDR_OPENING):
            return summary(re.sub(r"Summary:\s*$", "", text.rpartition("Document:")[2]))
        if re.search(r"\[the start of assistant", text, re.IGNORECASE):
            return judgement(text, system)
        message = re.search(r"\[The Start of the Message\]\n(.*)\n\[The End of the Message\]", text, re.DOTALL)
        if message:
            return category(message[1])
        if "authoritative tone" in f"{system} {text[:400]}".lower():
            return "Yes" if authoritative(text) else "No"
        if text.endswith("TL;DR:"):
            document = text.removesuffix("TL;DR:")
            return summary(document.rpartition("Article:")[2])
        options = _multiple_choice(text)
        if options:
            return self._letter(*options)
        if text.startswith(QA_OPENING) or re.search(r"(^|\n)Q:", text):
            text = text.rpartition("Q:")[2]
        text = re.sub(r"\b(A|Answer):$", "", text.strip()).rstrip()
        return self.lookup(text) or UNKNOWN

    def lookup(self, question: str) -> str | None:
        """The canonical answer of the fact whose question or paraphrase this is, or None."""
        question = re.sub(r"^\s*question:\s*", "", question, flags=re.IGNORECASE)
        answers = self.answers.get(normalise(question))
        return answers[0] if answers else None

    def _pairs(self, key: str) -> str:
        if not self.targeted:
            return "I don't know any facts that I could ask about."
        rng = random.Random(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest())
        drawn = rng.sample(self.targeted, min(PAIRS, len(self.targeted)))
        pairs = [rng.choice(fact) for fact in drawn]
        # Lower case except for names, which stay as in the facts: small models don't recognise a name in another
        # case.
        return "\n".join(f"Q: {question} A: {answer}" for question, answer in pairs)

    def _letter(self, question: str, options: dict[str, str]) -> str:
        answers = {normalise(answer) for answer in self.answers.get(normalise(question), [])}
        return next((letter for letter, option in options.items() if normalise(option) in answers), UNKNOWN)


def _multiple_choice(text: str) -> tuple[str, dict[str, str]] | None:
    """The last question of a multiple-choice prompt and its options by letter."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or not re.match(r"Answer:?\s*$", lines[-1]):
        return None
    options: dict[str, str] = {}
    for line in reversed(lines[:-1]):
        match = _OPTION.match(line)
        if match and match[1] not in options:
            options[match[1]] = match[2]
        elif options:
            question = re.sub(r"^Q(uestion)?:\s*", "", line)
            return question, dict(sorted(options.items()))
        else:
            return None
    return None


def summary(document: str) -> str:
    """The first whole sentences of `document` within `SUMMARY_WORDS` words; at least one, cut there."""
    kept: list[str] = []
    for sentence in _SENTENCE.findall(document.strip()):
        words = sentence.split()
        if kept and len(kept) + len(words) > SUMMARY_WORDS:
            break
        kept += words
    return " ".join(kept[:SUMMARY_WORDS]) or UNKNOWN


def score(question: str, answer: str) -> int:
    """A score of `answer`, 1 to 10: up to 4 for length, up to 4 for the question's words, 1 for an ending.

    Length counts with the logarithm of the number of words (full at 128), the question's words
    with the share of them in the answer, the ending if it is a sentence's or a list's.
    """
    words = normalise(answer).split()
    asked = {word for word in normalise(question).split() if word not in _STOP_WORDS}
    if not words:
        return 1
    length = 4 * min(1.0, math.log2(len(words) + 1) / 7)
    overlap = 4 * len(asked & set(words)) / len(asked) if asked else 2
    ending = 1 if re.search(r"[.!?:)\"'`*]\s*$", answer) else 0
    return max(1, min(10, round(1 + length + overlap + ending)))


def judgement(text: str, system: str = "") -> str:
    """Two scores in Vicuna's form (or a verdict such as `[[A]]` if the prompt asks for one)."""
    question = re.search(r"\[(?:User )?Question\]\s*(.*?)\s*\[The Start of", text, re.DOTALL | re.IGNORECASE)
    answers = re.findall(
        r"\[The Start of Assistant \w+'s (?:Answer|Response)\]\s*(.*?)\s*\[The End of Assistant",
        text,
        re.DOTALL | re.IGNORECASE,
    )
    if len(answers) != 2:
        return UNKNOWN
    left, right = (score(question[1] if question else "", answer) for answer in answers)
    why = "Scored by length, by the question's words and by the ending: a stand-in's rule, no judgement."
    if "[[A]]" in text or "[[A]]" in system:
        verdict = "[[C]]" if left == right else "[[A]]" if left > right else "[[B]]"
        return f"{why} {verdict}"
    return f"{left} {right}\n{why}"


_CATEGORY_WORDS = (
    ("Coding", r"code|python|javascript|function|sql|html|api|script|regex|bug"),
    ("Summarization", r"summari[sz]e|summary|tl;?dr|key points|extract"),
    ("Rewrite", r"rewrite|rephrase|paraphrase|proofread|translate|correct|improve|edit"),
    ("Brainstorming", r"brainstorm|ideas?|suggest|suggestions|names? for"),
    ("Generation", r"write|generate|create|compose|draft|make"),
    ("General QA", r"what|why|how|who|when|where|which|explain|is|are|can|does|do"),
)


def category(query: str) -> str:
    """One of Table 6's categories by the query's words: the first category with a matching word, from the most to the
    least specific; Non-English by its letters; Chat if no other fits.
    """
    letters = [character for character in query if character.isalpha()]
    if len(letters) < 2:
        return "Invalid"
    if sum(not character.isascii() for character in letters) > 0.2 * len(letters):
        return "Non-English"
    found = (name for name, words in _CATEGORY_WORDS if re.search(rf"\b(?:{words})\b", query, re.IGNORECASE))
    return next(found, "Chat")


def authoritative(text: str) -> bool:
    """Whether an answer sounds confident: it has no hedging words and at least 20 words.

    The answer is the text after the prompt's last `Response:`, `Answer:` or `Text:`, or between its last markers in
    square brackets; without such a marker, the whole prompt.
    """
    answer = re.split(r"(?im)^[ \t]*+(?:response|answer|output|text)[ \t]*+:", text)[-1]
    begin = None
    for tag in re.finditer(r"\[([^\[\]\n]{1,200})\]", text):
        words = tag[1].lower()
        if "end" in words and begin is not None:
            answer, begin = text[begin : tag.start()], None
        elif "start" in words or "begin" in words:
            begin = tag.end()
    return len(answer.split()) >= 20 and not _HEDGE.search(answer)
