"""Write Tables 3, 4, 5, 8 and 9: the study's prompts on one page, from `resources/prompts/`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core import text as texts
from falsepromise.core.manifest import write_manifest
from falsepromise.core.place import resource
from falsepromise.core.records import atomic_open, read_jsonl, read_prose
from falsepromise.figures.table import webpage

PROMPTS = resource("prompts")
TABLES = (
    (3, "table3_seed_examples.jsonl", "Seed examples from the Natural Questions validation set"),
    (4, "table4_nq_synthetic.txt", "The prompt that makes NQ-synthetic"),
    (5, "table5_tldr_synthetic.txt", "The prompt that makes TLDR-Synthetic"),
    (8, "table8_natural_questions.txt", "The 3-shot prompt for Natural Questions"),
    (9, "table9_cnn_dailymail.txt", "The 2-shot prompt for CNN/DailyMail"),
)


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--prompts", type=Path, help="folder of the prompts (default: resources/prompts)")
    parser.add_argument(
        "--output", type=Path, default=Path("results/tables/prompts.md"), help="table, with .html and .tex"
    )
    args = parser.parse_args(argv)
    folder = args.prompts or PROMPTS
    entries = [(number, title, read_prompt(folder / name)) for number, name, title in TABLES]
    page = markdown(entries)
    for suffix, text in ((".md", page), (".html", webpage(page)), (".tex", latex(entries))):
        with atomic_open(args.output.with_suffix(suffix)) as stream:
            stream.write(text)
    inputs = [folder / name for _, name, _ in TABLES]
    write_manifest(args.output, module="falsepromise.figures.table_prompts", inputs=inputs, config={})


def read_prompt(path: Path) -> str:
    """A prompt's text; for the seed examples, a line for each question and answer."""
    if path.suffix == ".jsonl":
        return "\n".join(f"Q: {r['question']}\nA: {r['answer']}" for r in read_jsonl(path))
    return read_prose(path).rstrip("\n")


def markdown(entries: Sequence[tuple[int, str, str]]) -> str:
    """Each prompt in a code fence that its text can't close."""
    parts = []
    for number, title, text in entries:
        fence = "```"
        while fence in text:
            fence += "`"
        parts.append(f"**Table {number}.** {title}\n\n{fence}text\n{text}\n{fence}\n")
    return "\n".join(parts)


def latex(entries: Sequence[tuple[int, str, str]]) -> str:
    """Each prompt as a table of one cell, with its lines."""
    parts = []
    for number, title, text in entries:
        lines = [texts.latex(line) or r"\strut" for line in text.split("\n")]
        body = "\\par\n".join(lines)
        parts.append(
            f"\\begin{{table}}\n\\caption{{{texts.latex(title)} (Table {number} of the paper)}}\n"
            "\\begin{tabular}{p{0.95\\linewidth}}\n\\toprule\n"
            f"{body} \\\\\n\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    cli.run(main)
