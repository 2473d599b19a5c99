"""Natural Questions: three shots by Table 8's prompt, greedy, exact match over all aliases.

Data: JSON lines `{"question", "answer": [aliases]}`, as NQ-open has them; other keys are allowed.
"""

from __future__ import annotations

from falsepromise.benchmarks import data
from falsepromise.benchmarks.matching import contains_answer, exact_match
from falsepromise.benchmarks.model import ModelUnderTest
from falsepromise.benchmarks.outcome import Options, Outcome, ask, draw, failures, means, read_template, usable

PROMPT = "table8_natural_questions.txt"
MAX_TOKENS = 32


def question_prompt(template: str, question: str) -> str:
    """A question in the prompt.

    Table 8 ends with "Q:"; the question follows behind one space, and the answer's own line begins
    with "A:", as in the table's examples. A template of another's has `{question}` in it.
    """
    question = question.strip()
    if "{question}" in template:
        return template.replace("{question}", question)
    return f"{template} {question}\nA:"


def evaluate(model: ModelUnderTest, options: Options) -> Outcome:
    """Ask the questions and compare the first line of each answer.

    `contains_answer` (an alias occurs in the answer as whole words) is reported beside
    `exact_match`: chat models answer in sentences.
    """
    records = data.read(options.data, data.check_question)
    records, limits = draw(records, options.limit, options.seed)
    template, path, said = read_template(options, PROMPT, "{question}")
    replies = ask(
        model,
        [question_prompt(template, record["question"]) for record in records],
        options,
        max_tokens=options.max_tokens or MAX_TOKENS,
        stop=("\n",),
    )
    items = []
    for record, reply in zip(records, replies, strict=True):
        if usable(reply):
            aliases = [record["answer"]] if isinstance(record["answer"], str) else record["answer"]
            right = exact_match(reply.text, aliases)
            contained = contains_answer(reply.text, aliases)
            values = {"exact_match": float(right), "contains_answer": float(contained)}
            items.append({"id": record["id"], **values, "response": reply.text.strip()})
    return Outcome(
        items,
        means(items, ("exact_match", "contains_answer"), options.seed),
        limits=[*limits, *said, *failures(replies)],
        config={"shots": 3, "prompt": path.name, "stop": "newline", "max_tokens": options.max_tokens or MAX_TOKENS},
        inputs=[path],
    )
