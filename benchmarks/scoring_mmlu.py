"""MMLU, 5-shot: lm-eval over our engine beside lm-eval's own `hf` backend (PyTorch), the same tasks and weights.

    PYTHONPATH=workflow python benchmarks/scoring_mmlu.py --model FOLDER --data MMLU_FOLDER [--items 40]

Both sides get the same lm-eval task objects, so prompts, tokens to compare and predictions are lm-eval's. The peer
needs PyTorch and accelerate (`pip install torch accelerate`); where they are missing the table says so.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import sides

SUBJECTS = ("astronomy", "global_facts", "high_school_computer_science", "professional_medicine")


def main() -> None:
    parser = sides.options(__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, required=True, help="MMLU's folder with dev/ and test/")
    parser.add_argument("--subjects", nargs="+", default=SUBJECTS)
    parser.add_argument("--items", type=int, default=40, help="of each subject, drawn with seed 0")
    parser.add_argument("--batch-size", type=int, default=8, help="of the peer")
    options = parser.parse_args()
    if options.side:
        sides.serve(lambda: side(options))
        return
    found = sides.compare(["engine", "hf"], options)
    rows, ours = [], found["engine"]
    for name, side_ in found.items():
        if side_.missing:
            rows.append({"side": name, "items/s": f"not measured: {side_.missing}", "": ""})
            continue
        n = len(side_.result["right"])
        apart = max(
            abs(a - b) for x, y in zip(side_.result["scores"], ours.result["scores"], strict=True)
            for a, b in zip(x, y, strict=True)
        )  # fmt: skip
        same = sum(a == b for a, b in zip(side_.result["chosen"], ours.result["chosen"], strict=True))
        rows.append({
            "side": name, "items": str(n), "items/s": f"{n / side_.s:.2f}", "times as long": f"{side_.s / ours.s:.1f}",
            "CPU s": f"{side_.cpu_s:.1f}",
            "times the CPU": f"{side_.cpu_s / ours.cpu_s:.1f}", "acc": f"{sum(side_.result['right']) / n:.3f}",
            "equal predictions": f"{same} of {n}",
            "log-probabilities apart at most": f"{apart:.1e}",
            "warm-up, CPU s": f"{side_.first_cpu:.1f}",
        })  # fmt: skip
    sides.table(rows)


def side(options: Any):  # type: ignore[no-untyped-def]
    """The work of one side: all items of all subjects."""
    import lm_eval

    from falsepromise.benchmarks import choices, data, harness
    from falsepromise.benchmarks.model import EngineModel

    def tasks(items: int) -> list[Any]:
        made = []
        for subject in options.subjects:
            test = data.read_mmlu(options.data / "test" / f"{subject}_test.csv")[0]
            shots = data.read_mmlu(options.data / "dev" / f"{subject}_dev.csv")[0][: choices.SHOTS]
            drawn = random.Random(0).sample(test, min(items, len(test)))
            made.append(
                harness.build("falsepromise_mmlu", {"dev": shots, "test": drawn}, alias=f"mmlu_{subject}",
                              description=choices.mmlu_description(subject))
            )  # fmt: skip
        return made

    if options.side == "engine":
        lm: Any = harness.ModelLM(EngineModel.load(options.model))
    else:
        import accelerate  # noqa: F401  (lm-eval needs it)
        import torch
        from lm_eval.models.huggingface import HFLM

        torch.set_num_threads(options.threads)
        lm = HFLM(options.model, device="cpu", dtype="float32", batch_size=options.batch_size)

    def work(items: int = options.items) -> dict[str, Any]:
        found = {task.config.task: task for task in tasks(items)}
        asked = {"tasks": found, "groups": {}, "group_map": {}}
        samples = lm_eval.evaluate(lm, asked, bootstrap_iters=0, log_samples=True)["samples"]
        rows = [row for task in samples.values() for row in sorted(task, key=lambda row: row["doc_id"])]
        scores = [[float(response[0][0]) for response in row["resps"]] for row in rows]
        return {
            "right": [float(row["acc"]) for row in rows],
            "scores": scores,
            "chosen": [values.index(max(values)) for values in scores],
        }

    return (work if options.side == "engine" else lambda: work(1)), work  # PyTorch has nothing to compile


if __name__ == "__main__":
    main()
