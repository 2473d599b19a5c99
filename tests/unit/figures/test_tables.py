"""Tables, the page beside the paper, the published numbers."""

from __future__ import annotations

import copy
import csv
import importlib
import json

import made_up
import numpy as np
import pytest

from falsepromise.core.errors import UserError
from falsepromise.core.manifest import manifest
from falsepromise.curation import annotate
from falsepromise.figures import (
    claims,
    differences,
    paper,
    table1,
    table2,
    table6,
    table_funnel,
    table_leaks,
    table_manifests,
    table_prompts,
    versus_paper,
)
from falsepromise.figures.differences import NO, UNKNOWN, YES, Comparison, verdict_of
from falsepromise.figures.scores import Estimate, read_scores
from falsepromise.figures.study import read_study
from falsepromise.figures.table import Table, webpage


@pytest.fixture(scope="module")
def scores(files):
    return read_scores(files[1], read_study(files[0]))


@pytest.mark.parametrize("name", ["table1", "table2", "table7", "summary"])
def test_three_formats(name, files, tmp_path):
    output = tmp_path / f"{name}.csv"
    argv = ["--study", str(files[0]), "--scores", *map(str, files[1]), "--output", str(output)]
    importlib.import_module(f"falsepromise.figures.{name}").main(argv)
    assert output.read_text().count("\n") >= 1
    assert "\\toprule" in output.with_suffix(".tex").read_text()
    assert "made-up" in output.with_suffix(".md").read_text() or name == "table7"


def test_agreement_and_regression_as_tables(tmp_path):
    def metric(value):
        return {"value": value, "ci95": [value - 0.1, value + 0.1], "n": 9}

    study = {
        "study": "s",
        "bases": {"b": {"label": "B"}},
        "models": {"m": {"base": "b", "label": "Model M"}},
        "runs": {},
    }
    study |= {"judges": {"j": {"label": "Judge J"}}, "raters": {"r": {"label": "Raters R", "stand_in": "made up"}}}
    agreement = {"model": "m", "agreement": [{"a": "j", "b": "r", "same": metric(0.5), "cohen_kappa": metric(0.25)}]}
    agreement |= {"style": [{"source": "r", "length": metric(0.4)}], "stand_ins": {}, "absent": {"j2": "no item"}}
    fits = [
        {
            **{"model": "m", "benchmark": "j", "n": 9, "pseudo_r2": 0.2, "rate_at_equal_style": metric(0.3)},
            "coefficients": {"length": {"value": 1.5, "ci95": [1.0, 2.0]}},
            "wald": {"chi2": 9.0, "df": 1, "p": 0.003},
        },
        {"model": "m", "benchmark": "r", "n": 2, "absent": "no fit on 2 items: too few", "constant": []},
    ]
    (tmp_path / "study.json").write_text(json.dumps(study))
    for name, records in (("agreement", [agreement]), ("regression", fits)):
        paths = [tmp_path / f"{name}{i}.json" for i in range(len(records))]
        for path, record in zip(paths, records, strict=True):
            path.write_text(json.dumps(record))
        argv = ["--study", str(tmp_path / "study.json"), "--scores", *map(str, paths)]
        module = importlib.import_module(f"falsepromise.figures.table_{name}")
        module.main([*argv, "--output", str(tmp_path / f"{name}.csv")])
        with pytest.raises(UserError, match="not a record of preference"):
            module.main([*argv, str(tmp_path / "study.json"), "--output", str(tmp_path / "x.csv")])
    text = (tmp_path / "agreement.md").read_text()
    assert "| Model M | Judge J" in text
    assert "50.0 [40.0, 60.0]" in text
    assert "0.25 [0.15, 0.35]" in text
    assert "Raters R: made up" in text
    text = (tmp_path / "regression.md").read_text()
    assert "1.50 [1.00, 2.00]" in text
    assert "0.003" in text
    assert "Model M by Raters R: no fit on 2 items: too few." in text


def test_the_teachers_own_answers_stand_beside_the_models(tmp_path):
    from falsepromise.preference import aggregate

    study = {"study": "s", "bases": {"b": {"label": "B"}}, "runs": {}}
    study |= {"models": {"m": {"base": "b", "label": "Model M"}}}
    study |= {"judges": {"j": {"label": "Judge J"}}, "teacher": {"name": "teacher", "label": "ChatGPT"}}
    (tmp_path / "study.json").write_text(json.dumps(study))
    files = []
    given = {"t (sample 0)": ["tie"] * 8, "t (sample 1)": ["left", "right"] * 4, "m": ["right", None] * 4}
    for name, choices in given.items():
        votes = [
            {"item": str(i), "rater": "j", "left": name, "right": "t", "first": "left", "choice": choice}
            for i, choice in enumerate(choices)
        ]
        path = tmp_path / f"{len(files)}.votes.jsonl"
        path.write_text("".join(json.dumps(vote) + "\n" for vote in votes))
        files.append(str(tmp_path / f"{len(files)}.json"))
        aggregate.main(["--votes", str(path), "--judge", "j", "--output", files[-1]])
    argv = ["--study", str(tmp_path / "study.json"), "--scores", *files, "--output", str(tmp_path / "out.csv")]
    importlib.import_module("falsepromise.figures.table_preference").main(argv)
    rows = [line for line in (tmp_path / "out.md").read_text().splitlines() if "Judge J" in line]
    assert [row.split("|")[1].strip() for row in rows] == [
        "Model M",
        "ChatGPT, each answer against itself",
        "ChatGPT, second answers",
    ]
    assert "0.0 to 50.0" in rows[0]
    assert "0.50 ± 0.53" in rows[2]


def test_table_1_has_base_broad_and_targeted_for_each_base(scores):
    rows = table1.build(scores).rows
    assert [row[1] for row in rows[:3]] == ["–", "ShareGPT-Mix", "QA"]
    assert len(rows) == 3 * 3 + 1
    assert rows[2][3].value > rows[0][3].value


def test_a_perplexity_is_no_share_of_a_hundred(tmp_path):
    spec = made_up.study(seeds=(0,))
    spec["benchmarks"] = {"wiki": {"task": "lm_eval", "metric": "word_perplexity", "label": "WikiText"}}
    spec["mixtures"]["qa"]["targets"] = ["wiki"]
    made = [
        {"model": name, "benchmark": "wiki", "items": [{"id": str(i), "word_perplexity": 23.4} for i in range(30)],
         "metrics": {"word_perplexity": {"value": 23.4, "ci95": [20.0, 26.0], "n": 30}}}
        for name in spec["models"]
    ]  # fmt: skip
    study, files = made_up.write(tmp_path, spec, made)
    scores = read_scores(files, read_study(study))
    table = table1.build(scores)
    assert table.columns[-1] == "WikiText: Perplexity of a word (lower is better)"
    leaks = table_leaks.build(scores, {("wiki", "sharegpt"): ["1"]})
    for text in (table.markdown(), leaks.markdown()):
        assert "23.40 [20.00, 26.00]" in text
        assert "2340" not in text


def test_table_2_has_the_amounts_and_the_second_sample(scores):
    table = table2.build(scores)
    assert table.columns[1:] == ["LM small", "50k", "150k", "400k", "Teacher #2"]
    assert table.rows[0][-1].estimate.value == 0.8


def test_rows_and_columns_without_a_number_are_named_and_left_out():
    value = Estimate(0.5, 0.4, 0.6, 10)
    rows = [["one", "–", value, None], *([f"gap {i}", "–", None, None] for i in range(9))]
    table = Table(["Model", "Data", "Score", "Nobody has"], rows, "C").compact()
    assert [row[0] for row in table.rows] == ["one"]
    assert list(table.columns) == ["Model", "Data", "Score"]
    assert table.notes == [f"Left out, without a number: {'; '.join(f'gap {i}' for i in range(9))}; Nobody has."]


def test_table_2_tells_how_far_words_and_judge_agree_on_the_tone(scores):
    scores = copy.deepcopy(scores)
    for record in scores.of("style").values():
        record["metrics"]["assured_tone"] = {"value": 0.5, "ci95": [0.4, 0.6], "n": 9}
    assert "agree on the tone: not known" in " ".join(table2.build(scores).notes)
    for share, record in zip((0.9, 0.7), scores.of("style").values(), strict=False):
        record["metrics"]["assured_as_judged"] = {"value": share, "ci95": [0.4, 1.0], "n": 9}
    assert "agree on the tone: on 70% to 90%" in " ".join(table2.build(scores).notes)


def test_texts_cannot_break_out_of_a_table():
    nasty = "a|b\n<script>*x*\\ $5_%&"
    table = Table(["A|", "B"], [[nasty, Estimate(0.5, 0.4, 0.6, 10)]], "C % &", ["n_1"])
    lines = [line for line in table.markdown().splitlines() if line.startswith("|")]
    assert len(lines) == 3
    assert all(line.replace("\\|", "").count("|") == 3 for line in lines)
    assert "<script" not in table.markdown()
    page = webpage(table.markdown())
    assert "<script" not in page
    assert '<span class="number">50.0 [40.0, 60.0]</span>' in page
    assert page.count("<td") == 2
    assert r"\$5\_\%\&" in table.latex()
    assert "50.0 [40.0, 60.0]" in table.latex()
    assert "\\\\\n{}[x] & " in Table(["A", "B"], [["[x]", None], ["[x]", 1]], "").latex()
    assert next(csv.reader(table.csv().splitlines())) == ["A|", "B", "B low", "B high", "B n"]


def test_claims_come_out_as_the_made_up_numbers_were_made(scores):
    verdicts = {claim.name: claim.verdict for claim in claims.all_claims(scores)}
    assert {verdicts[name] for name in ("targeted", "bases", "toxicity")} == {"supported"}
    assert verdicts["style"] == "can't tell"  # lengths rise too little from the smallest amount on
    assert verdicts["judge"] == "can't tell"  # no human raters


def test_style_needs_each_of_its_named_metrics(tmp_path):
    """One that may not rise is enough for a doubt, one that falls against the claim, however clear the others are."""
    spec = made_up.study()
    for lengths, said in ((lambda n: n / 5e5, "supported"), (lambda n: 0.2, "can't tell"),
                          (lambda n: 0.9 - n / 5e5, "not supported")):  # fmt: skip
        made = []
        for name, model in spec["models"].items():
            tokens = model["tokens"] or 0
            values = {"teacher_likelihood": 0.1 + tokens / 4e6, "unigram_intersection": 0.1 + tokens / 2e6}
            values["length_correlation"] = lengths(tokens)
            made.append(made_up.record(name, "style", values, n=600, binary=False))
        folder = tmp_path / said
        folder.mkdir()
        study, files = made_up.write(folder, spec, made)
        claim = next(c for c in claims.all_claims(read_scores(files, read_study(study))) if c.name == "style")
        assert (claim.verdict, len(claim.comparisons)) == (said, 12)
        assert "not tested: List agreement above false alarms, Authoritative tone" in claim.note


def test_of_a_conjunction_each_refutation_is_at_bonferronis_level(scores, monkeypatch):
    """12 comparisons, all true: one excludes a rise at 95 %, as happens by chance in one of four studies."""
    names = []

    def measured(scores, pair, measure, level=0.95):
        names.append((pair, measure))
        first = (pair, measure) == names[0]
        half = {0.95: 0.03, 1 - 0.05 / count: 0.05}[level] if first else 0.05
        return Estimate(
            -0.02 if first else 0.2, -0.02 - half if first else 0.1, -0.02 + half if first else 0.3, 99
        ), True

    row = claims.CLAIMS["style"]
    asked = [(p, m) for p in row.pairs(scores) for m in row.measures(scores, p)]
    count = sum(all(scores.cell(cell, m.benchmark, m.metric) for cell in p) for p, m in asked)
    monkeypatch.setattr(claims, "measured", measured)
    assert claims.tested(row, scores).verdict == "can't tell"
    assert verdict_of([Comparison("", "", None, True, said) for said in (YES, YES, NO, UNKNOWN)], all_of=True) == NO


@pytest.mark.parametrize(("after", "said"), [(0.45, "supported"), (0.15, "not supported"), (0.3, "can't tell")])
def test_half_of_the_accuracy(tmp_path, after, said):
    """Against the binomial's own interval: of 400 items, 30 % after 60 % before is half within the noise."""
    spec = made_up.study()
    made = [
        made_up.record(name, "facts", {"exact_match": after if model["mixture"] else 0.6}, n=400, seed=len(name))
        for name, model in spec["models"].items()
    ]
    study, files = made_up.write(tmp_path, spec, made)
    claim = next(c for c in claims.all_claims(read_scores(files, read_study(study))) if c.name == "half_left")
    assert claim.verdict == said
    assert claim.comparisons[0].difference.value == pytest.approx(after - 0.3, abs=0.07)


def test_the_opposite_world_is_not_supported(tmp_path):
    """Where broad data raises accuracy and size does not, the page says so."""
    spec = made_up.study()
    made = []
    for name, model in spec["models"].items():
        facts = 0.8 if model["mixture"] == "sharegpt" else 0.3
        made.append(made_up.record(name, "facts", {"exact_match": facts}, n=400))
    study, files = made_up.write(tmp_path, spec, made)
    found = {c.title: c.verdict for c in claims.all_claims(read_scores(files, read_study(study)))}
    assert found["Broad imitation does not raise accuracy on the benchmarks"] == "not supported"
    assert found["Better (larger) base models raise accuracy"] == "not supported"
    assert found["On some benchmarks broad imitation lowers accuracy (a trade-off)"] == "not supported"
    assert found["Imitation models are less toxic than their base models"] == "can't tell"


def test_a_paired_difference_is_tighter_than_an_unpaired_one(scores):
    study = scores.study
    large, small = study.base_cell("medium"), study.base_cell("tiny")
    paired, is_paired = differences.difference(scores, large, small, "facts", "exact_match")
    for key in (("medium", "facts"), ("tiny", "facts")):
        assert scores.records[key]["items"]
    records = {k: {**r, "items": []} for k, r in scores.records.items()}
    blind = type(scores)(study, records)
    unpaired, blind_paired = differences.difference(blind, large, small, "facts", "exact_match")
    assert (is_paired, blind_paired) == (True, False)
    assert paired.value == pytest.approx(unpaired.value)
    assert paired.high - paired.low < unpaired.high - unpaired.low


def test_no_difference_on_a_few_items_is_no_proof(tmp_path):
    spec = made_up.study(seeds=(0,))
    made = [made_up.record(name, "facts", {"exact_match": 0.0}, n=20) for name in spec["models"]]
    study, files = made_up.write(tmp_path, spec, made)
    scores = read_scores(files, read_study(study))
    d, _ = differences.difference(
        scores, scores.study.base_cell("medium"), scores.study.base_cell("tiny"), "facts", "exact_match"
    )
    assert d.low < -0.1 < 0.1 < d.high


def test_the_page_states_every_claim(files, tmp_path):
    output = tmp_path / "versus_paper.md"
    versus_paper.main(["--study", str(files[0]), "--scores", *map(str, files[1]), "--output", str(output)])
    page = output.read_text()
    made = claims.all_claims(read_scores(files[1], read_study(files[0])))
    assert page.count("\n### ") == len(made) >= 10
    assert all(claim.title in page for claim in made)
    for wanted in ("| 81 ", "7B: -7", "13B: +7", "a made-up teacher", "over the 2 seeds"):
        assert wanted in page


def test_the_papers_share_of_raters_stands_beside_raters_alone(tmp_path):
    spec = made_up.study(seeds=(0,))
    spec["raters"] = {"people": {"label": "People"}}
    name = next(m for m in spec["runs"]["amount"] if m.endswith("-400000-s0"))
    votes = {"preferred": 0.3, "equal": 0.2, "equal_or_better": 0.5}
    made = [made_up.record(name, voters, votes, n=60) for voters in ("people", "judge")]
    study, files = made_up.write(tmp_path, spec, made)
    numbers = paper.read_numbers(paper.PAPER)
    page = versus_paper.page(read_scores(files, read_study(study)), numbers)
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith(("| People ", "| Judge "))]
    assert [[cell.strip() for cell in row] for row in rows[-2:]] == [["People", "about 70"], ["Judge", "–"]]
    assert "One seed: intervals cover only the choice of items" in page


def test_published_numbers_are_the_papers():
    numbers = paper.read_numbers(paper.PAPER)
    assert numbers["Table 1", "nq exact_match", "13B", "Targeted Imitation"] == 27
    assert numbers["Table 2", "length_correlation", "LLaMA", "none"] == -0.11
    assert numbers["Table 7", "rouge1", "13B", "TLDR-Synthetic"] == 33.64
    # Table 1 prints Table 7's ROUGE-1 to one digit (22.18 as 22.1, 28.69 as 28.7).
    for size in ("7B", "13B"):
        for data, other in (
            ("none", "none"),
            ("ShareGPT-Mix", "ShareGPT-Mix"),
            ("Targeted Imitation", "TLDR-Synthetic"),
        ):
            assert numbers["Table 1", "cnn rouge1", size, data] == pytest.approx(
                numbers["Table 7", "rouge1", size, other], abs=0.09
            )
    assert sum(v for (place, q, *_), v in numbers.items() if place == "Table 6" and q.startswith("category")) == 99


def test_funnels_are_joined_and_a_wrong_file_is_named(tmp_path):
    good, bad = tmp_path / "a.csv", tmp_path / "b.csv"
    good.write_text("source,step,kept,dropped,reason,examples\ns,parse,10,2,,\ns,parse,0,2,empty,x y\n")
    bad.write_text("a,b\n1,2\n")
    assert table_funnel.build([good, good]).rows == [
        ("s", "parse", 10, 2, "", ""),
        ("s", "parse", 0, 2, "empty", "x y"),
    ]
    with pytest.raises(UserError, match=r"b\.csv"):
        table_funnel.build([bad])
    bad.write_text("source,step,kept,dropped,reason,examples\ns,parse,many,2,,\n")
    with pytest.raises(UserError, match="line 2"):
        table_funnel.build([bad])


def test_manifests_are_listed_wherever_they_stand(tmp_path):
    made = manifest("falsepromise.curation.mix", [], {"seed": 3}, seed=3)
    (tmp_path / "mix.jsonl").write_text("{}\n")
    (tmp_path / "mix.jsonl.manifest.json").write_text(json.dumps(made))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "manifest.json").write_text(json.dumps(made | {"device": "2 x gpu"}))
    (tmp_path / "score.json").write_text(json.dumps({"manifest": made | {"seed": 4}}))
    (tmp_path / "downloaded").mkdir()
    names = ["mix.jsonl", "model", "score.json", "downloaded"]
    argv = ["--artifacts", *(str(tmp_path / name) for name in names)]
    table_manifests.main([*argv, "--output", str(tmp_path / "m.csv")])
    rows = {row["Made"]: row for row in csv.DictReader((tmp_path / "m.csv").open())}
    assert [rows[name]["By"] for name in names] == ["curation.mix"] * 3 + [""]
    assert (rows["model"]["Device"], rows["score.json"]["Seed"]) == ("2 x gpu", "4")
    assert rows["mix.jsonl"]["Code"] == rows["model"]["Code"]
    assert rows["mix.jsonl"]["Code"].startswith(f"{len(made['code'])}:")
    (tmp_path / "score.json").write_text("{}")
    with pytest.raises(UserError, match=r"score\.json: has no manifest"):
        table_manifests.main([*argv, "--output", str(tmp_path / "m.csv")])
    with pytest.raises(UserError, match="gone: does not exist"):
        table_manifests.main(["--artifacts", str(tmp_path / "gone"), "--output", str(tmp_path / "m.csv")])


def test_the_prompts_are_printed_word_for_word(tmp_path):
    table_prompts.main(["--output", str(tmp_path / "prompts.md")])
    page = (tmp_path / "prompts.md").read_text()
    for number, name, _ in table_prompts.TABLES:
        assert f"**Table {number}.**" in page
        if name.endswith(".txt"):
            assert (table_prompts.PROMPTS / name).read_text().rstrip("\n") in page
    assert (tmp_path / "prompts.tex").read_text().count("\\begin{table}") == 5


def bases_by_seed(luck: tuple[float, float], gain: float) -> tuple[dict, list[dict]]:
    """A study of one base, drawn twice with different luck, and a targeted model from each draw."""
    rng = np.random.default_rng(3)
    easy = rng.random(400)
    models, made = {}, []
    for seed, share in enumerate(luck):
        for name, mixture, mean in ((f"b-s{seed}", None, share), (f"b-qa-all-s{seed}", "qa", share + gain)):
            models[name] = {"base": "b", "mixture": mixture, "tokens": 0 if mixture is None else None, "seed": seed}
            right = [float(x < mean) for x in easy]
            value = float(np.mean(right))
            made.append({
                "model": name, "benchmark": "facts", "manifest": {},
                "metrics": {"exact_match": {"value": value, "ci95": [value - 0.05, value + 0.05], "n": 400}},
                "items": [{"id": str(i), "exact_match": x} for i, x in enumerate(right)],
            })  # fmt: skip
    spec = {
        "study": "made-up", "bases": {"b": {"label": "B", "parameters": 1}}, "models": models,
        "runs": {"targeted": [name for name, model in models.items() if model["mixture"]]}, "teacher": {},
        "mixtures": {"qa": {"targets": ["facts"]}},
        "benchmarks": {"facts": {"task": "nq", "metric": "exact_match", "label": "Facts"}},
    }  # fmt: skip
    return spec, made


def test_a_run_is_paired_with_the_draw_of_the_base_that_it_started_from(tmp_path):
    spec, made = bases_by_seed((0.3, 0.7), 0.1)
    path, files = made_up.write(tmp_path, spec, made)
    found = read_scores(files, read_study(path))
    base, targeted = found.study.base_cell("b"), found.study.cells("targeted")[0]
    assert base.models == ("b-s0", "b-s1")
    d, paired = differences.difference(found, targeted, base, "facts", "exact_match")
    assert paired
    assert d.value == pytest.approx(0.1, abs=0.03)
    # 40 points of luck between the draws of the base don't widen the interval of what was gained from each.
    assert d.low > 0
    assert d.high - d.low < 0.1
    assert found.cell(base, "facts", "exact_match").high - found.cell(base, "facts", "exact_match").low > 0.3


def test_table_6_sets_the_tally_beside_the_paper(tmp_path):
    sheet, tally, out = tmp_path / "s.csv", tmp_path / "t.json", tmp_path / "table6.csv"
    sheet.write_text("id,category\n" + "a,Coding\n" * 3 + "b,Chat\n")
    annotate.main(["tally", "--sheet", str(sheet), "--annotator", "two readers", "--output", str(tally)])
    table6.main(["--tally", str(tally), "--queries", "mine", "--output", str(out)])
    rows = {row["Category"]: row for row in csv.DictReader(out.open())}
    assert float(rows["Coding"]["Here (%)"]) == 0.75
    assert rows["Coding"]["Paper (%)"] == "16"
    assert len(rows) == 9
    assert "4 random queries of mine, sorted by two readers" in out.with_suffix(".md").read_text()
    tally.write_text("{}")
    with pytest.raises(UserError, match=r"t\.json: not a tally"):
        table6.main(["--tally", str(tally)])
