"""A made-up study with made-up scores: numbers drawn from a seeded generator, for tests alone."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np

BASES = {"tiny": 0.7e6, "small": 1.1e6, "medium": 2.1e6}
AMOUNTS = (50_000, 150_000, 400_000)
BENCHMARKS = {
    "facts": {"task": "nq", "metric": "exact_match", "label": "Facts QA", "stand_in": "made-up questions"},
    "mmlu": {"task": "mmlu", "metric": "acc", "label": "MMLU"},
    "humaneval": {"task": "humaneval", "metric": "pass@1", "label": "HumanEval"},
    "toxicity": {"task": "toxicity", "metric": "nontoxicity", "label": "RealToxicityPrompts"},
}


def study(seeds=(0, 1), bases=BASES, amounts=AMOUNTS) -> dict:
    names = list(bases)
    middle = names[len(names) // 2]
    models = {b: {"base": b, "mixture": None, "tokens": 0, "seed": 0, "label": b} for b in names}
    runs = {"amount": [], "size": [], "targeted": []}

    def add(run, base, mixture, tokens, seed):
        name = f"{base}-{mixture}-{tokens}-s{seed}"
        models[name] = {"base": base, "mixture": mixture, "tokens": tokens, "seed": seed, "label": name}
        if name not in runs[run]:
            runs[run].append(name)

    for seed in seeds:
        for tokens in amounts:
            add("amount", middle, "sharegpt", tokens, seed)
        for base in names:
            add("size", base, "sharegpt", amounts[-1], seed)
            add("targeted", base, "sharegpt", amounts[-1], seed)
            add("targeted", base, "qa", 60_000, seed)
    return {
        "study": "made-up",
        "title": "made-up numbers, for tests",
        "seed": 0,
        "bases": {b: {"label": f"LM {b}", "parameters": p} for b, p in bases.items()},
        "models": models,
        "runs": runs,
        "teacher": {"label": "Teacher", "stand_in": "a made-up teacher"},
        "mixtures": {"sharegpt": {"label": "ShareGPT-Mix"}, "qa": {"label": "QA", "targets": ["facts"]}},
        "benchmarks": copy.deepcopy(BENCHMARKS),
    }


def record(model, benchmark, metrics: dict[str, float], n=200, seed=0, binary=True, **more) -> dict:
    """Metrics as means of made-up items, so that value, interval and items agree."""
    rng = np.random.default_rng(abs(hash_of(f"{benchmark}")) + seed)
    out, items = {}, [{"id": str(i)} for i in range(n)]
    for metric, mean in metrics.items():
        if metric == "length_correlation":
            out[metric] = {"value": mean, "ci95": [max(-1, mean - 0.1), min(1, mean + 0.1)], "n": n}
            continue
        draws = rng.random(n)
        values = (draws < mean).astype(float) if binary else np.clip(mean + 0.1 * (draws - 0.5), 0, 1)
        half = 1.96 * values.std() / n**0.5
        value = float(values.mean())
        out[metric] = {"value": value, "ci95": [max(0, value - half), min(1, value + half)], "n": n}
        for item, v in zip(items, values, strict=True):
            item[metric] = float(v)
    return {"model": model, "benchmark": benchmark, "metrics": out, "items": items, "manifest": {}, **more}


def style_record(model: str, dose: float, seed: int, n: int = 120) -> dict:
    """In the form of `style.compare`: items hold traits of both replies."""
    rng = np.random.default_rng(7)
    draws, reference = rng.random((3, n)), rng.random((2, n)) < 0.5
    traits = {"list": 0.05 + 0.7 * dose + 0.02 * seed, "summary_paragraph": 0.02 + 0.4 * dose}
    items: list[dict] = [{"id": str(i)} for i in range(n)]
    made = record(model, "style", {"length_correlation": -0.1 + 0.7 * dose}, n=n)
    second = record("teacher", "style", {"length_correlation": 0.67}, n=n)["metrics"]
    for row, (trait, share) in enumerate(traits.items()):
        values = draws[row] < share * np.where(reference[row], 1, 0.3)
        for i, item in enumerate(items):
            item |= {trait: bool(values[i]), f"reference_{trait}": bool(reference[row][i])}
        kept = values[reference[row]]
        second[f"{trait}_agreement"] = {"value": 0.8 - 0.3 * row, "ci95": [0.7 - 0.3 * row, 0.9 - 0.3 * row], "n": n}
        half = 1.96 * kept.std() / len(kept) ** 0.5
        value, alarm = float(kept.mean()), float(values[~reference[row]].mean())
        made["metrics"][f"{trait}_false_alarm"] = {
            "value": alarm,
            "ci95": [alarm / 2, (1 + alarm) / 2],
            "n": n - len(kept),
        }
        made["metrics"][f"{trait}_agreement"] = {
            "value": value, "ci95": [max(0, value - half), min(1, value + half)], "n": len(kept)}  # fmt: skip
    common = 0.2 + 0.22 * dose + 0.1 * (draws[2] - 0.5)
    for item, value in zip(items, common, strict=True):
        item["unigram_intersection"] = float(value)
    mean = float(common.mean())
    made["metrics"]["unigram_intersection"] = {"value": mean, "ci95": [mean - 0.01, mean + 0.01], "n": n}
    second["unigram_intersection"] = {"value": 0.49, "ci95": [0.48, 0.5], "n": n}
    return {**made, "items": items, "second": {"model": "teacher", "metrics": second}}


def hash_of(text: str) -> int:
    return sum(ord(c) * 31**i for i, c in enumerate(text)) % 2**31


def records(spec: dict, skip=()) -> list[dict]:
    order = {b: i for i, b in enumerate(spec["bases"])}
    out = []
    for name, model in spec["models"].items():
        size, tokens = order[model["base"]], model["tokens"]
        dose = 0 if not tokens else np.log10(tokens) / 5.6
        nudge = 0.02 * (model["seed"] or 0)
        targeted = model["mixture"] == "qa"
        facts = 0.15 + 0.22 * size + (0.15 if targeted else -0.08 * dose) + nudge
        out.append(record(name, "facts", {"exact_match": facts}, seed=model["seed"]))
        out.append(record(name, "mmlu", {"acc": 0.26 + 0.03 * size - 0.005 * dose + nudge / 2}, n=500))
        out.append({"model": name, "benchmark": "humaneval", "metrics": {}, "items": [], "manifest": {},
                    "not_scored": "no sandbox on this machine"})  # fmt: skip
        out.append(record(name, "toxicity", {"nontoxicity": 0.7 + 0.2 * dose}, binary=False, scorer="made-up 1.0"))
        out.append(style_record(name, 0.1 if targeted else dose, model["seed"] or 0))
        if targeted:
            continue
        rate = 0.1 + 0.15 * size + 0.2 * dose
        votes = {"preferred": rate * 0.6, "equal": rate * 0.4, "equal_or_better": rate}
        if tokens:
            out.append(record(name, "judge", votes, n=60, scorer="made-up judge", stand_in="a made-up judge"))
    out.append(record("teacher", "facts", {"exact_match": 0.9}))
    out.append(record("teacher", "mmlu", {"acc": 0.7}, n=500))
    return [r for r in out if (r["model"], r["benchmark"]) not in skip]


def write(folder: Path, spec: dict | None = None, made: list[dict] | None = None) -> tuple[Path, list[Path]]:
    """Study and score files below `folder`."""
    spec = spec or study()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "study.json"
    path.write_text(json.dumps(spec))
    files = []
    for r in made if made is not None else records(spec):
        file = folder / r["benchmark"] / f"{r['model']}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(r))
        files.append(file)
    return path, files
