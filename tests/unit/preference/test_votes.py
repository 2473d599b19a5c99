"""Votes and what they add up to, kappa against statsmodels, the regressions against statsmodels."""

import itertools
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falsepromise.core.errors import UserError
from falsepromise.preference import aggregate, agreement, regression
from falsepromise.preference.votes import CHOICES, majority, read_votes
from falsepromise.statistics.agreement import cohen_kappa, fleiss_kappa

INTER_RATER = pytest.importorskip("statsmodels.stats.inter_rater")


def vote(item, rater, choice, **more):
    return {"item": item, "rater": rater, "choice": choice, **more}


def write(path, votes):
    path.write_text("".join(json.dumps(v) + "\n" for v in votes))
    return path


def run(tmp_path, votes, *options):
    write(tmp_path / "votes.jsonl", votes)
    aggregate.main(["--votes", str(tmp_path / "votes.jsonl"), "--output", str(tmp_path / "out.json"), *options])
    return json.loads((tmp_path / "out.json").read_text())


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        (["left", "left", "right"], "left"),
        (["left", "tie", "tie"], "tie"),
        (["left", "tie", "right"], "no_majority"),
        (["left", "right"], "no_majority"),
        (["right"], "right"),
        (["left", "left", "right", "tie"], "no_majority"),
    ],
)
def test_majority_is_more_than_half(choices, expected):
    assert majority(choices) == expected


def test_shares_of_the_items(tmp_path):
    ballots = {"1": "LLR", "2": "LRT", "3": "TTR", "4": "RRR"}
    names = {"L": "left", "R": "right", "T": "tie"}
    votes = [vote(i, f"r{k}", names[c]) for i, ballot in ballots.items() for k, c in enumerate(ballot)]
    metrics = run(tmp_path, votes)["metrics"]
    for name in ("left", "right", "tie", "no_majority"):
        assert metrics[name]["value"] == 0.25
    assert metrics["preferred"]["value"] == 0.25
    assert metrics["equal"]["value"] == 0.5
    assert metrics["equal_or_better"]["value"] == 0.75
    assert metrics["left"]["sd"] == pytest.approx(np.std([1, 0, 0, 0], ddof=1))


@given(st.lists(st.lists(st.integers(0, 2), min_size=3, max_size=3), min_size=2, max_size=30))
def test_kappa_is_statsmodels(ratings):
    table = np.array([[row.count(c) for c in range(3)] for row in ratings])
    ours = fleiss_kappa(table)
    if (table.sum(axis=0) > 0).sum() > 1:
        assert ours == pytest.approx(INTER_RATER.fleiss_kappa(table))
    else:
        assert np.isnan(ours)


def test_kappa_leaves_out_single_ratings():
    assert fleiss_kappa([[3, 0], [0, 3], [1, 0]]) == 1.0
    assert np.isnan(fleiss_kappa([[1, 0], [0, 1]]))


def test_unreadable_votes_are_counted(tmp_path):
    record = run(tmp_path, [vote("1", "a", "left"), vote("2", "a", None, unreadable="cut"), vote("3", "a", "tie")])
    assert record["counts"]["unreadable_by_reason"] == {"cut": 1}
    assert record["metrics"]["left"]["bounds"] == pytest.approx([1 / 3, 2 / 3])
    assert record["counts"]["unreadable_votes"] == 1
    assert record["counts"]["items_without_readable_votes"] == 1
    assert record["metrics"]["left"]["n"] == 2
    assert "fleiss_kappa" not in record["metrics"]
    assert "two raters" in record["absent"]["fleiss_kappa"]
    assert "shown second" in record["absent"]["place"]
    assert "both orders" in record["absent"]["order_flip"]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([*CHOICES, None]), min_size=1, max_size=3), min_size=1, max_size=4).filter(
        lambda items: any(choice for ballot in items for choice in ballot) and None in [c for b in items for c in b]
    )
)
def test_bounds_are_the_extremes_over_all_readings_of_what_is_missing(ballots):
    votes = [vote(i, k, choice, unreadable="refusal") for i, b in enumerate(ballots) for k, choice in enumerate(b)]
    missing = [n for n, v in enumerate(votes) if v["choice"] is None]
    readings = []
    for fill in itertools.islice(itertools.product(CHOICES, repeat=len(missing)), 729):
        read = [dict(v) for v in votes]
        for n, choice in zip(missing, fill, strict=True):
            read[n]["choice"] = choice
        given = aggregate.by_item(read)
        readings.append([majority(g.values()) for g in given.values()])
    for side in ("left", "right"):
        given = aggregate.by_item([{**v, "choice": v["choice"] or side} for v in votes])
        readings.append([majority(g.values()) for g in given.values()])
    result = aggregate.bounds(votes)
    for name in ("left", "right", "equal_or_better"):
        shares = [sum(o in aggregate.OUTCOMES[name] for o in outcomes) / len(ballots) for outcomes in readings]
        assert result[name]["bounds"] == pytest.approx([min(shares), max(shares)])
        low, high = result[name]["bounds_ci95"]
        assert low <= min(shares) <= max(shares) <= high


def test_a_judge_who_cannot_be_read_at_all_has_no_score(tmp_path):
    record = run(tmp_path, [vote("1", "a", None), vote("2", "a", None)])
    assert record["metrics"] == {}
    assert record["not_scored"] == "none of the 2 votes could be read"
    assert record["counts"]["unreadable_votes"] == record["counts"]["items_without_readable_votes"] == 2


def test_both_orders_of_a_judge(tmp_path):
    def judged(item, first, choice):
        return vote(item, "j", choice, first=first, left="A", right="B")

    votes = [
        *(judged("1", first, "left") for first in ("left", "right")),
        judged("2", "left", "left"),
        judged("2", "right", "right"),
        judged("3", "left", "left"),
        judged("3", "right", "tie"),
        judged("4", "left", "right"),
        judged("4", "right", None),
    ]
    record = run(tmp_path, votes)
    assert {item["id"]: item["majority"] for item in record["items"]} == {
        "1": "left",
        "2": "tie",
        "3": "tie",
        "4": "right",
    }
    assert record["metrics"]["order_flip"]["value"] == pytest.approx(1 / 3)
    assert record["model"] == "A"


def test_the_model_under_study_comes_to_the_left(tmp_path):
    votes = [vote("1", "a", "left", left="A", right="B"), vote("2", "a", "left", left="B", right="A")]
    assert [v["choice"] for v in read_votes([write(tmp_path / "v.jsonl", votes)], "A")] == ["left", "right"]
    assert [v["choice"] for v in read_votes([tmp_path / "v.jsonl"], "B")] == ["right", "left"]
    with pytest.raises(UserError, match="expected C on one side"):
        read_votes([tmp_path / "v.jsonl"], "C")


def test_items_with_one_two_and_three_votes(tmp_path):
    votes = [vote("1", "a", "left"), *(vote("2", r, c) for r, c in (("a", "left"), ("b", "right")))]
    votes += [vote("3", r, c) for r, c in (("a", "tie"), ("b", "tie"), ("c", "left"))]
    record = run(tmp_path, votes)
    assert record["counts"]["votes_per_item"] == {"1": 1, "2": 1, "3": 1}
    assert {item["id"]: item["majority"] for item in record["items"]} == {"1": "left", "2": "no_majority", "3": "tie"}
    assert record["metrics"]["with_majority"]["value"] == pytest.approx(2 / 3)
    assert record["metrics"]["with_majority"]["n"] == 1
    assert record["metrics"]["fleiss_kappa"]["n"] == 2


def test_numbers_for_names_and_choices_in_capitals(tmp_path):
    record = run(tmp_path, [vote(1, 7, "Left"), vote(1, 8, " TIE "), vote(1, " 9 ", "left"), vote(2, 7, "right")])
    assert record["metrics"]["left"]["value"] == record["metrics"]["right"]["value"] == 0.5
    assert [rater["rater"] for rater in record["raters"]] == ["7", "8", "9"]


def test_raters_are_described(tmp_path):
    votes = [vote("1", r, c, seconds=s) for r, c, s in (("a", "left", 3), ("b", "left", 5), ("c", "tie", 9))]
    raters = {rater["rater"]: rater for rater in run(tmp_path, votes)["raters"]}
    expected = {"rater": "a", "items": 1, "with_majority": 1.0, "with_others": 0.5, "seconds_median": 3.0}
    assert {key: raters["a"][key] for key in expected} == expected
    assert raters["c"]["with_others"] == 0.0
    assert raters["c"]["with_majority"] == 0.0
    assert run(tmp_path, votes)["seconds"] == {"median": 5.0, "mean": pytest.approx(17 / 3), "n": 3}
    assert run(tmp_path, [vote("1", "a", "left")])["seconds"] is None


@pytest.mark.parametrize(
    ("votes", "message"),
    [
        ([vote("1", "a", "left"), vote("1", "a", "right")], "rater 'a' voted more than once on item '1'"),
        ([vote("1", "a", c) for c in ("left", "left", "tie", "left")], "rater 'a' voted more than once on item '1'"),
        ([vote("1", "a", 1)], "'choice' is 1, expected left, right, tie or null"),
        ([vote("1", "a", "1")], "'choice' is '1', expected left, right, tie or null"),
        ([vote("1", " ", "left")], "'rater' is ' '"),
        ([{"item": "1", "rater": "a"}], "'choice' is None"),
        ([vote("1", "a", "A is better")], "'choice' is 'A is better'"),
        ([{"rater": "a", "choice": "left"}], "'item' is None"),
        ([vote("1", None, "left")], "'rater' is None"),
        ([vote("1", "e\u0301", "left"), vote("1", "\u00e9", "left")], "rater 'é' voted more than once"),
        *(([{**vote("1", "a", "left"), "seconds": s}], "'seconds' is") for s in (10**400, -1, True, "12")),
        ([{**vote("1", "a", "left"), "left": ["m"]}], "'left' is .*expected the model's name"),
        (
            [{**vote(i, "a", "left"), "left": "m", "right": r} for i, r in enumerate("tu")],
            "item '1' compares m with u, others with t",
        ),
    ],
)
def test_bad_votes_are_refused_in_one_line(tmp_path, votes, message):
    with pytest.raises(UserError, match=message):
        run(tmp_path, votes)


def test_cohen_kappa_by_hand():
    a, b = np.array([1, 1, 0, -1]), np.array([1, 0, 0, -1])
    expected = (2 * 1 + 1 * 2 + 1 * 1) / 16
    assert cohen_kappa(a, b) == pytest.approx((0.75 - expected) / (1 - expected))


def test_regression_and_agreement_on_files(tmp_path):
    rng = np.random.default_rng(0)
    style, preference = [], []
    for i in range(80):
        ours, theirs = rng.integers(20, 200, 2)
        style.append(
            {
                "id": str(i),
                "words": int(ours),
                "reference_words": int(theirs),
                "list": bool(rng.integers(2)),
                "reference_list": bool(rng.integers(2)),
                "summary_paragraph": False,
                "reference_summary_paragraph": False,
                "unigram_intersection": float(rng.random()),
            }
        )
        longer = "left" if ours > theirs else "right"
        preference.append({"id": f"x/{i}", "prompt_id": str(i), "majority": longer if rng.random() < 0.8 else "tie"})
    result = regression.regress(preference, style)
    assert result["coefficients"]["length"]["p"] < 0.01
    assert result["coefficients"]["list"]["p"] > 0.001
    assert result["constant"] == ["summary_paragraph"]
    record = {"model": "m", "benchmark": "judge", "items": preference}
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(json.dumps(record))
    (tmp_path / "style.json").write_text(json.dumps({"model": "m", "items": style}))
    files = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    output = tmp_path / "agreement.json"
    agreement.main(["--preference", *files, "--style", str(tmp_path / "style.json"), "--output", str(output)])
    table = json.loads(output.read_text())
    assert table["agreement"][0]["cohen_kappa"]["value"] == 1.0
    assert table["style"][0]["length"]["value"] > 0.4
    alone = ["--preference", files[0], "--style", str(tmp_path / "style.json"), "--output", str(output)]
    agreement.main(alone)
    assert json.loads(output.read_text())["agreement"] == []
    with pytest.raises(UserError, match="expected two different records, or --style"):
        agreement.main(["--preference", files[0], "--output", str(output)])
    (tmp_path / "other.json").write_text(json.dumps({"model": "n", "items": style}))
    with pytest.raises(UserError, match=r"records of 2 models \(m, n\)"):
        regression.main([alone[0], alone[1], alone[2], str(tmp_path / "other.json"), *alone[4:]])
    regression.main(alone)
    assert json.loads(output.read_text())["rate_at_equal_style"]["ci95"][0] < 0.5
    with pytest.raises(UserError, match="have a preference and no style"):
        regression.regress(preference, style[1:])


def several(choices):
    """Items of prompts, with the choices of each prompt."""
    names = {"L": "left", "R": "right", "T": "tie"}
    return [
        {"id": f"p{p}/{s}", "prompt_id": f"p{p}", "majority": names[choice]}
        for p, given in enumerate(choices)
        for s, choice in enumerate(given)
    ]


def test_items_of_one_prompt_are_items_of_their_own():
    """The last of a prompt stood for all: of these two, which agree on a third, all were the same."""
    judge, crowd = several(["LLL", "RRR"] * 20), several(["RRL", "LLR"] * 20)
    row = agreement.agree(judge, crowd)
    assert row["same"]["value"] == pytest.approx(1 / 3)
    assert row["same"]["n"] == row["cohen_kappa"]["n"] == 120
    alike = agreement.agree(several(["LLL", "RRR"] * 20), several(["LLL", "RRR"] * 19 + ["LLL", "LLL"]))
    low, high = alike["same"]["ci95"]
    alone = agreement.agree(several(["L", "R"] * 20), several(["L", "R"] * 19 + ["L", "L"]))["same"]
    assert [low, high] == pytest.approx(alone["ci95"], abs=0.03), "three alike of a prompt say no more than one"
    assert alike["same_without_ties"]["value"] == 117 / 120


def test_records_without_a_shared_id_share_prompts():
    one, other = several("LRLR"), [{**item, "id": f"desk/{item['id']}"} for item in several("LRLL")]
    assert agreement.agree(one, other)["same"]["value"] == 0.75
    with pytest.raises(UserError, match=r"^j and c: share no item's id, and one has 2 items of prompt 'p0'"):
        agreement.agree(several(["LL", "R"]), other, where="j and c")


def test_the_kappa_of_a_few_that_agree_is_unsure():
    kappa = agreement.agree(several("LLRR"), several("LLRR"))["cohen_kappa"]
    assert kappa["value"] == 1.0
    low, high = kappa["ci95"]
    assert high == 1.0
    # Wilson's lower end of 4 of 4 (0.510 in tables), put for the share that agrees, with chance 1/2
    assert low == pytest.approx((0.510 - 0.5) / 0.5, abs=0.002)
    votes = [vote(str(i), rater, "left" if i % 2 else "tie") for i in range(4) for rater in "ab"]
    assert aggregate.aggregate(votes)["metrics"]["fleiss_kappa"]["ci95"] == pytest.approx([low, 1.0])


def test_a_prompt_that_is_null_and_one_with_several_items(tmp_path):
    votes = [vote(i, "a", c, prompt_id=None) for i, c in (("x", "left"), ("y", "right"))]
    assert [item["prompt_id"] for item in run(tmp_path, votes)["items"]] == ["x", "y"]
    votes = [vote(f"p/{i}", "a", "left", prompt_id="p") for i in range(3)]
    for side in "ab":
        replies = [{"prompt_id": "p", "sample": i, "response": side * (10 + 5 * i)} for i in range(3)]
        write(tmp_path / side, replies)
    found = run(tmp_path, votes, "--responses", str(tmp_path / "a"), "--reference", str(tmp_path / "b"))
    assert "length_controlled" not in found["metrics"]
    assert found["absent"]["length_controlled"] == "prompt 'p' has 3 items, and its replies have one length"


def test_the_regression_is_statsmodels_with_robust_errors():
    api = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(3)
    style = [
        {
            **{"id": str(i), "words": int(rng.integers(20, 200)), "reference_words": int(rng.integers(20, 200))},
            **{name: bool(rng.integers(2)) for name in ("list", "reference_list")},
            **{name: bool(rng.integers(2)) for name in ("summary_paragraph", "reference_summary_paragraph")},
            "unigram_intersection": float(rng.random()),
        }
        for i in range(150)
    ]
    names = ("left", "right", "tie", "no_majority")
    preference = [{"id": item["id"], "majority": names[rng.integers(4)]} for item in style]
    result = regression.regress(preference, style)
    features, _ = regression.design(style)
    features = features / features.std(axis=0)
    features[:, 3] -= features[:, 3].mean()
    wins = np.array([regression.WIN[item["majority"]] for item in preference])
    model = api.GLM(wins, api.add_constant(features), family=api.families.Binomial()).fit(cov_type="HC0")
    ours = list(result["coefficients"].values())
    np.testing.assert_allclose([c["value"] for c in ours], model.params, rtol=1e-6)
    np.testing.assert_allclose([c["se"] for c in ours], model.bse, rtol=1e-5)
    wald = model.wald_test(np.eye(5)[1:], scalar=True)
    assert result["wald"]["chi2"] == pytest.approx(float(wald.statistic), rel=1e-4)
    assert result["wald"]["p"] == pytest.approx(float(wald.pvalue), rel=1e-3)


def two_lengths(n):
    """Style records of which every second is longer than its reference, alike else."""
    return [
        {
            **{"id": str(i), "words": 100 * (i % 2), "reference_words": 50, "unigram_intersection": 0.5},
            **dict.fromkeys(("list", "reference_list", "summary_paragraph", "reference_summary_paragraph"), False),
        }
        for i in range(n)
    ]


@pytest.mark.parametrize("majorities", [["left"] * 6, ["left", "right"] * 3])
def test_outcomes_that_style_separates_have_a_finite_and_wide_fit(majorities):
    result = regression.regress([{"id": str(i), "majority": m} for i, m in enumerate(majorities)], two_lengths(6))
    low, high = result["rate_at_equal_style"]["ci95"]
    assert "Firth" in result["method"]
    assert all(np.isfinite(c["value"]) for c in result["coefficients"].values())
    assert high - low > 0.3
    if majorities[1] == "right":
        assert result["coefficients"]["length"]["value"] < -1
        assert result["coefficients"]["length"]["ci95"][1] < 0


@pytest.mark.parametrize(
    ("majorities", "why"),
    [(["left"] * 2, "fewer items"), (["left"], "style does not vary"), ([], "no item could be judged")],
)
def test_where_there_is_no_fit_the_record_says_why(majorities, why):
    result = regression.regress([{"id": str(i), "majority": m} for i, m in enumerate(majorities)], two_lengths(6))
    assert why in result["absent"]
    assert "coefficients" not in result


def test_choices_are_the_contracts():
    assert CHOICES == ("left", "right", "tie")


@pytest.mark.parametrize(
    ("preference", "style", "message"),
    [
        ([{"id": "1", "majority": "A"}], [], "item '1' has the majority 'A', expected left, right, tie, no_majority"),
        ([{"id": "1"}], [], "item '1' has the majority None"),
        ([{"id": "1", "majority": "tie"}] * 2, [], "p.json: has item '1' 2 times, expected each once"),
        ([{"id": ["1"], "majority": "tie"}], [], "p.json: not a score record"),
        (["1"], [], "p.json: not a score record with 'model' and 'items', as preference.aggregate writes it"),
        ([{"id": "1", "majority": "tie"}], [{"id": "1", "words": 3}], "s.json: item '1' has no 'reference_words'"),
    ],
)
def test_other_records_are_refused(tmp_path, preference, style, message):
    for name, items in (("p", preference), ("s", style)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"model": "m", "benchmark": name, "items": items}))
    paths = ["--preference", str(tmp_path / "p.json"), "--style", str(tmp_path / "s.json")]
    for verb in (agreement, regression):
        with pytest.raises(UserError, match=re.escape(message)):
            verb.main([*paths, "--output", str(tmp_path / "out.json")])
