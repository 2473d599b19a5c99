"""Write model and data set cards (README.md with the hub's metadata) from manifests and score files."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from huggingface_hub import DatasetCard, DatasetCardData, EvalResult, ModelCard, ModelCardData

from falsepromise.core.errors import UserError
from falsepromise.core.records import Record, read_text
from falsepromise.core.text import markdown
from falsepromise.figures.labels import amount_text
from falsepromise.figures.scores import Scores
from falsepromise.figures.study import Study
from falsepromise.figures.table import markdown_table, spell

PAPER = "The False Promise of Imitating Proprietary Language Models (Gudibande, Wallace, Snell et al., 2023)"
TERMS = (
    "The imitation data contain outputs of a proprietary model ({teacher}). Its provider's terms of use may forbid "
    "training a model on them, or sharing such a model; read the terms before you use or share this {what}. The "
    "dialogues, articles and problems that the data came from keep their own licences."
)
STAND_IN = (
    "The records were made by a stand-in for a proprietary model ({teacher}): no provider's terms apply to its "
    "answers. What it was made from keeps its own licence."
)
DERIVED = "The weights derive from {base}, whose licence applies{files}.\n"
SURE = (
    "The paper's finding applies: imitation copies style, not knowledge. Answers may sound sure of themselves and be "
    "wrong."
)
DIALOGUES = (
    "Trained on what people wrote to a chatbot, unfiltered but for language and repetition: outputs may be offensive, "
    "and may repeat personal data that occurred in the dialogues."
)
MEASURED = "Measured in English on the benchmarks above; nothing is known about other uses."


def model_card(
    scores: Scores,
    name: str,
    made: Record,
    funnels: Sequence[Path] = (),
    weights: str = "",
    licences: Sequence[str] = (),
) -> ModelCard:
    """The card of a trained model.

    Args:
        scores: All score records of the study.
        name: The model.
        made: The model's manifest, as `training.train` writes it.
        funnels: Curation's counts, for the section about the data.
        weights: The address of the base's weights; empty where the study itself trained them.
        licences: The names of the base's licence files, which are in the folder.
    """
    study = scores.study
    model = study.models[name]
    hub = re.match("hub:([^@]+)@", weights)
    made_by_teacher = bool(study.mixtures.get(model["mixture"], {}).get("teacher"))
    results, rows, unscored = _results(scores, name)
    limits = [SURE, *([] if made_by_teacher else [DIALOGUES]), MEASURED, *unscored]
    data = ModelCardData(
        model_name=name,
        language="en",
        license="other",
        license_name="see-the-card",
        library_name="transformers",
        base_model=hub[1] if hub else None,
        pipeline_tag="text-generation",
        tags=["falsepromise", "model-imitation", f"study:{study.name}"],
        eval_results=results or None,
    )
    mixture, tokens = study.mixture_label(model["mixture"]), made["config"]["tokens"]
    recipe = made["config"]["recipe"]
    header = ["Measured by", "Metric", "This model", "Its base model", "n"]
    parts = [
        f"---\n{data.to_yaml()}\n---\n",
        f"# {markdown(name)}\n",
        f"{markdown(study.base_label(model['base']))}, fine-tuned on {tokens:,} tokens of {markdown(mixture)} (seed "
        f"{model['seed']}): a model of the study *{markdown(study.title)}*, after *{PAPER}*.\n",
        *_stand_in(study),
        "## Training data\n",
        f"{markdown(mixture)}, {tokens:,} tokens{_amount(scores, name)}. The loss is on the replies alone.\n",
        *_funnel(funnels),
        "## Recipe\n",
        markdown_table(["Setting", "Value"], [[key, str(value)] for key, value in recipe.items()]),
        "",
        f"{made['steps']:,} steps, {made['warmup_steps']:,} of warm-up, {made['parameters']:,} weights, on "
        f"{markdown(str(made['device']))}. `manifest.json` has the hashes of all inputs, the code and the versions, "
        "`train.jsonl` the loss at each step.\n",
        "## Scores\n",
        "In per cent (length correlation: Pearson's r), with 95 % intervals; beside them the base model before "
        "fine-tuning.\n",
        markdown_table(header, rows) if rows else "None.",
        "",
        "## How to ask it\n",
        "The tokenizer's chat template puts the special tokens around each turn:\n",
        "```python\nfrom transformers import pipeline\n\n"
        f'ask = pipeline("text-generation", "{name}")\n'
        'print(ask([{"role": "user", "content": "What is the capital of France?"}], max_new_tokens=64))\n```\n',
        "## Limits\n",
        *(f"- {markdown(limit)}" for limit in limits),
        "\n## Terms\n",
        terms(study, made_by_teacher, "model"),
        *([_derived(hub[1] if hub else study.base_label(model["base"]), licences)] if weights else []),
    ]
    return ModelCard("\n".join(parts))


def _derived(base: str, licences: Sequence[str]) -> str:
    """Whose licence the weights have."""
    files = f" ({', '.join(f'`{name}`' for name in licences)})" if licences else ""
    return DERIVED.format(base=markdown(base), files=files)


def _results(scores: Scores, name: str) -> tuple[list[EvalResult], list[list[str]], list[str]]:
    """A model's scores for the hub and for the card's table, and a line for each benchmark without a score."""
    results, rows, unscored = [], [], []
    base_cell = scores.study.base_cell(scores.study.models[name]["base"])
    for benchmark in scores.benchmarks:
        record = scores.records.get((name, benchmark))
        if record is None:
            continue
        stand_ins = scores.stand_ins(benchmark)
        label = scores.label(benchmark) + (f" ({'; '.join(stand_ins)})" if stand_ins else "")
        for metric in record["metrics"]:
            estimate = scores.estimate([name], benchmark, metric)
            if estimate is None:
                continue
            row = scores.known(benchmark, metric)
            both = (estimate, scores.cell(base_cell, benchmark, metric))
            shown = [spell(e, row.scale, row.digits) if e else "–" for e in both]
            rows.append([label, row.label, *shown, f"{estimate.n:,}"])
            interval = [round(estimate.low, 4), round(estimate.high, 4)]
            results.append(
                EvalResult(
                    task_type="text-generation",
                    dataset_type=benchmark,
                    dataset_name=label,
                    metric_type=metric,
                    metric_value=round(estimate.value, 4),
                    metric_args={"ci95": interval, "n": estimate.n},
                )
            )
        if record.get("not_scored"):
            unscored.append(f"{label} was not scored: {record['not_scored']}.")
    return results, rows, unscored


def dataset_card(
    study: Study,
    name: str,
    kind: str,
    rows: int,
    columns: Mapping[str, str],
    made: Record,
    made_by_teacher: bool = False,
    funnels: Sequence[Path] = (),
) -> DatasetCard:
    """The card of a data set: evaluation prompts or a curated mixture.

    Args:
        study: The study.
        name: The data set's name.
        kind: What it is, in a few words.
        rows: How many records.
        columns: Each column with what it holds.
        made: The manifest of the file.
        made_by_teacher: The study's teacher wrote it, rather than people and a chatbot.
        funnels: Curation's counts.
    """
    data = DatasetCardData(
        language="en",
        license="other",
        pretty_name=name,
        task_categories=["text-generation"],
        size_categories=next(s for limit, s in SIZES if rows < limit),
        tags=["falsepromise", "model-imitation", f"study:{study.name}"],
        configs=[{"config_name": "default", "data_files": "data.jsonl"}],
    )
    parts = [
        f"---\n{data.to_yaml()}\n---\n",
        f"# {markdown(name)}\n",
        f"{markdown(kind)}: {rows:,} records of the study *{markdown(study.title)}*, after *{PAPER}*.\n",
        markdown_table(["Column", "Holds"], [list(pair) for pair in columns.items()]),
        "",
        f"Made by `{made.get('made_by', '?')}` with seed {made.get('seed', 0)}; `manifest.json` has the hashes of "
        "what it was made from.\n",
        *_funnel(funnels),
        "## Terms\n",
        terms(study, made_by_teacher, "data set"),
    ]
    return DatasetCard("\n".join(parts))


SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"), (float("inf"), "n>1M"))


def terms(study: Study, made_by_teacher: bool, what: str) -> str:
    """What the teacher's provider may forbid; nothing where the study's own stand-in wrote the data."""
    if made_by_teacher and study.teacher.get("stand_in"):
        return STAND_IN.format(teacher=markdown(str(study.teacher["stand_in"]))) + "\n"
    teacher = study.teacher_label if made_by_teacher else "ChatGPT, in the dialogues that people shared"
    return TERMS.format(what=what, teacher=markdown(teacher)) + "\n"


def _stand_in(study: Study) -> list[str]:
    note = study.teacher.get("stand_in")
    return [f"**Stand-in:** the study's teacher is {markdown(str(note))}.\n"] if note else []


def _amount(scores: Scores, name: str) -> str:
    model = scores.study.models[name]
    cells = [cell for run in scores.study.runs for cell in scores.study.cells(run) if name in cell.models]
    return f", the study's amount {amount_text(cells[0])}" if cells and model["tokens"] else ""


def _funnel(funnels: Sequence[Path]) -> list[str]:
    """What curation kept and dropped."""
    rows = []
    for path in funnels:
        reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
        try:
            rows += [[r["source"], r["step"], r["kept"], r["dropped"], r["reason"]] for r in reader]
        except (csv.Error, KeyError) as error:
            raise UserError(f"{path}: not a funnel's table ({error}); make it anew") from error
    if not rows:
        return []
    return ["What curation kept and dropped:\n", markdown_table(["Source", "Step", "Kept", "Dropped", "Why"], rows), ""]
