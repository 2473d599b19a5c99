"""Run the quickstart's study with other seeds, and count how often each of the paper's claims comes out.

A seed changes what is drawn for the study: which subjects are asked about, the order of the imitation data and of the
replayed text, the held-out prompts. The base models and the text that they have read are the same. Finished jobs are
kept, so a run that was stopped goes on where it was.

    python benchmarks/quickstart_seeds.py --seeds 1 2 3 4 5       # run and collect
    python benchmarks/quickstart_seeds.py --seeds 1 2 3 4 5 --collect   # collect what is there
"""

from __future__ import annotations

import argparse
import csv
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from scipy.stats import t as student

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow"))

from falsepromise.core.records import read_json, write_json  # noqa: E402
from falsepromise.figures.claims import Claim, all_claims  # noqa: E402
from falsepromise.figures.differences import verdict_of  # noqa: E402
from falsepromise.figures.scores import Scores, read_scores  # noqa: E402
from falsepromise.figures.study import read_study  # noqa: E402
from falsepromise.figures.table import markdown_table  # noqa: E402
from falsepromise.study.expand import load  # noqa: E402
from falsepromise.study.stages.figures import evaluations  # noqa: E402
from falsepromise.study.study import Study  # noqa: E402


def study_of(seed: int) -> dict[str, Any]:
    """The quickstart's study at another seed, under a name of its own."""
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
    config |= {"study": f"quickstart-seed{seed}", "seed": seed}
    for run in config["runs"].values():
        count = len(run.get("seeds", [0]))
        run["seeds"] = [seed * count + index for index in range(count)]
    return config


def run(seed: int, cores: int) -> None:
    """Make the scores of one seed; what it cost is kept beside them."""
    config = study_of(seed)
    file = ROOT / "results" / config["study"] / "config.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    study = load(config, str(file))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "snakemake", "--configfile", str(file), "--cores", str(cores), "--quiet", "rules"]
    targets = [*evaluations(study), f"{study.results}/study.json"]
    subprocess.run([*command, "--", *targets], cwd=ROOT, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    cost = file.with_name("cost.json")
    seconds = (read_json(cost)["cpu_s"] if cost.exists() else 0.0) + spent
    write_json(cost, {"cpu_s": round(seconds, 1)})


def collected(seed: int) -> tuple[Study, Scores] | None:
    """The scores of one seed, or None where some are missing."""
    config = study_of(seed)
    study = load(config)
    files = [ROOT / file for file in (f"{study.results}/study.json", *evaluations(study))]
    if not all(file.exists() for file in files):
        return None
    return study, read_scores(files[1:], read_study(files[0]))


def key(claim: Claim, index: int) -> str:
    return f"{claim.comparisons[index].benchmark}: {claim.comparisons[index].text}"


def spell(claim: Claim, index: int) -> str:
    d = claim.comparisons[index].difference
    return f"{100 * d.value:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}]"


def by_measure(claim: Claim) -> dict[str, str]:
    """What a claim's comparisons say of each measure alone: all of them are needed, as for the claim."""
    names = dict.fromkeys(c.benchmark for c in claim.comparisons)
    return {n: verdict_of([c for c in claim.comparisons if c.benchmark == n], all_of=True) for n in names}


def over_seeds(differences: list[float]) -> str:
    """Mean of the seeds' differences with Student's 95 % interval: each seed is one independent draw."""
    n = len(differences)
    if n < 2:
        return "–"
    mean, error = statistics.mean(differences), statistics.stdev(differences) / n**0.5
    half = float(student.ppf(0.975, n - 1)) * error
    return f"{100 * mean:+.1f} [{100 * (mean - half):+.1f}, {100 * (mean + half):+.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--collect", action="store_true", help="run nothing; collect the seeds that are finished")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "quickstart_seeds_results.md")
    args = parser.parse_args()
    claims: dict[int, list[Claim]] = {}
    costs: dict[int, float] = {}
    for seed in args.seeds:
        if not args.collect:
            run(seed, args.cores)
        found = collected(seed)
        if found is None:
            print(f"seed {seed}: not finished, left out", file=sys.stderr)
            continue
        claims[seed] = [claim for claim in all_claims(found[1]) if claim.comparisons]
        cost = ROOT / found[0].results / "cost.json"
        costs[seed] = read_json(cost)["cpu_s"] if cost.exists() else float("nan")
        write(args.output, claims, costs, [other for other in args.seeds if other not in claims])
    print(args.output.read_text(encoding="utf-8") if claims else "no seed is finished")


def write(output: Path, claims: dict[int, list[Claim]], costs: dict[int, float], missing: list[int]) -> None:
    """The page, and every comparison of every seed as CSV beside it."""
    seeds = list(claims)
    titles = [claim.title for claim in claims[seeds[0]]]
    by_title = {seed: {claim.title: claim for claim in claims[seed]} for seed in seeds}
    rows = []
    for title in titles:
        said = {title: [by_title[seed][title].verdict for seed in seeds]}
        if by_title[seeds[0]][title].all_of:  # each of its measures by itself, too
            for seed in seeds:
                for measure, verdict in by_measure(by_title[seed][title]).items():
                    said.setdefault(f"– {measure}", []).append(verdict)
        for name, verdicts in said.items():
            counts = [str(verdicts.count(v)) for v in ("supported", "not supported", "can't tell")]
            rows.append([name, *counts, *verdicts])
    header = ["Claim", "supported", "not supported", "can't tell", *(f"seed {seed}" for seed in seeds)]
    minutes = ", ".join(f"{costs[seed] / 60:.1f}" for seed in seeds)
    parts = [
        "# The quickstart with other seeds\n",
        f"`benchmarks/quickstart_seeds.py`, beside the quickstart's own 0: {', '.join(map(str, seeds))}. Each draws "
        "facts, imitation data and prompts anew; the base models and their text are the same. The study and the tests "
        f"were fixed before the first of them was looked at. Processor minutes (all jobs, user and system): {minutes}."
        + (f" Planned and not finished: {', '.join(map(str, missing))}." if missing else "")
        + "\n",
        "## How often each claim comes out\n",
        markdown_table(header, rows),
        "\n## Each comparison\n",
        "Differences in points of a hundred with 95 % intervals: of a seed over its items and its two runs, in the "
        "last column over the seeds (Student's t), which the verdicts above don't use.\n",
    ]
    records = []
    for title in titles:
        lines: dict[str, dict[int, str]] = {}
        found: dict[str, list[float]] = {}
        for seed in seeds:
            claim = by_title[seed][title]
            for index, comparison in enumerate(claim.comparisons):
                lines.setdefault(key(claim, index), {})[seed] = spell(claim, index)
                d = comparison.difference
                found.setdefault(key(claim, index), []).append(d.value)
                numbers = [d.value, d.low, d.high, d.n]
                records.append([seed, title, comparison.benchmark, comparison.text, *numbers, comparison.verdict])
        table = [
            [name, *(values.get(seed, "–") for seed in seeds), over_seeds(found[name])]
            for name, values in lines.items()
        ]
        header = ["Compared", *(f"seed {seed}" for seed in seeds), "over these seeds"]
        parts += [f"### {title}\n", markdown_table(header, table), ""]
    output.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
    with open(output.with_suffix(".csv"), "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["seed", "claim", "metric", "compared", "difference", "low", "high", "n", "says"])
        writer.writerows(records)


if __name__ == "__main__":
    main()
