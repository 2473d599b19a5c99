"""Studies: what is refused and how it is said, and what they expand to."""

from __future__ import annotations

import copy
import datetime
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from falsepromise.core.errors import UserError
from falsepromise.study import config as keys
from falsepromise.study import costs, preflight, shapes, workflow
from falsepromise.study.expand import load, load_files
from falsepromise.study.stages import bases, benchmarks, curation, examples, figures, preference, teacher
from falsepromise.study.study import Model, amount_name

ROOT = Path(__file__).resolve().parents[3]
STUDIES = ("config.yaml", "laptop.yaml", "one_gpu.yaml", "paper.yaml", "paper_small.yaml", "test.yaml")


@pytest.fixture
def config() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config" / "test.yaml").read_text(encoding="utf-8"))


def put(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(config)
    *parents, last = path.split(".")
    place = changed
    for key in parents:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("bencmarks", {}, "unknown key 'bencmarks'; did you mean 'benchmarks'?"),
        ("training.imitation.learning_rat", 1.0, "'training.imitation.learning_rat'; did you mean 'learning_rate'?"),
        ("runs.amount.token", [5], "unknown key 'runs.amount.token'; did you mean 'tokens'?"),
        ("runs.amount.tokens", [-5], "'runs.amount.tokens.0' is -5, expected at least 1"),
        ("runs.amount.tokens", ["50k"], "'runs.amount.tokens.0' is '50k', expected a whole number"),
        (
            "runs.amount.bases",
            ["tinny"],
            "'runs.amount.bases' names 'tinny', which is not in 'bases'; did you mean 'tiny'?",
        ),
        ("runs.amount.mixtures", ["sharegpt"], "did you mean 'sharegpt_mix'?"),
        ("teacher", None, "the key 'teacher' is missing"),
        ("teacher.url", "localhost", "'teacher.url' is 'localhost'"),
        ("training.imitation.replay_share", 0.001, "'training.imitation.replay_share': 0.001 of a batch of"),
        ("training.imitation.learning_rate", "2e-3", "write 2.0e-3"),
        ("blocks.size", "128", "without quotes; what --config has in braces is all text"),
        ("training.imitation.optimizer", "sgd", "expected one of scaled_adamw, easylm, adamw"),
        ("mixtures.sharegpt_mix.pool", "sharegtp_mix", "'mixtures.sharegpt_mix.pool' names 'sharegtp_mix'"),
        ("mixtures.sharegpt_mix.teacher", "nq_synthetic", "has pool and teacher, expected just one of"),
        ("mixtures.sharegpt_mix", {}, "has no origin, expected just one of"),
        ("mixtures.nq_synthetic.n", None, "'mixtures.nq_synthetic.n' is missing"),
        ("mixtures.nq_synthetic.recipe", "imitatio", "is not in 'training'; did you mean 'imitation'?"),
        ("bases.tiny.weights", "file:model", "needs either 'weights' or 'architecture'"),
        ("bases.tiny.mesh", "fsdp=0", "'bases.tiny.mesh' is 'fsdp=0'"),
        ("bases.tiny", {"label": "x", "weights": "file:m", "parameters": 1, "gpus": 4, "mesh": "fsdp=2"}, "2 devices"),
        ("bases.teacher", {"label": "x", "weights": "file:m", "parameters": 1}, "a name that the workflow reserves"),
        ("sources.sharegpt.format", None, "whose 'format' is missing"),
        ("sources.sharegpt.uri", "sharegpt.json", "'sources.sharegpt.uri' is 'sharegpt.json'"),
        ("facts", None, "needs the section 'facts'"),
        ("benchmarks.nq.data", "nq", "'benchmarks.nq.data' names 'nq', which is not in 'sources'"),
        ("benchmarks.nq.metric", "f1", "'f1', which the task 'nq' doesn't measure; write exact_match"),
        ("benchmarks.nq.metric", "acc", "'acc', which the task 'nq' doesn't measure; write exact_match"),
        ("benchmarks.nq.data", "facts:../../x", "'../../x', which is no file of the facts"),
        ("benchmarks.nq.scorer", "local", "'benchmarks.nq.scorer' is for the task toxicity"),
        ("benchmarks.nq.task", "lm_eval", "'benchmarks.nq.name' is missing: the task of lm-eval"),
        ("benchmarks.nq.shots", 3, "'benchmarks.nq.shots' is for the task lm_eval, this one is nq"),
        ("benchmarks.nq.data", "", "names '', which is not in 'sources'"),
        ("benchmarks.nq.samples", 4, "is for humaneval and toxicity"),
        ("benchmarks.nq.runs", ["amuont"], "which is no group of runs and no base; did you mean 'amount'?"),
        ("prompts.heldout.n", 9, "'prompts.heldout.n' is 9, but the pool sets 8 aside"),
        ("prompts.heldout", {"pool": "sharegpt_mix", "n": 8, "samples": 2}, "without 'temperature' they would all be"),
        (
            "prompts.heldout",
            {"pool": "sharegpt_mix", "n": 8, "samples": 2, "temperature": 1},
            "judges and raters compare",
        ),
        ("mixtures.sharegpt_mix.query_words", [], "'mixtures.sharegpt_mix.query_words'"),
        ("runs.amount.role", "amuont", "expected one of amount, size, targeted"),
        ("title", datetime.date(2024, 1, 2), 'put it in quotes, "2024-01-02"'),
        ("study", "x" * 65, "expected at most 64 characters"),
        ("runs", {"y" * 65: {}}, "expected at most 64 characters"),
        ("runs", 5, "'runs' is 5, expected a mapping"),
        ("title", 2024, 'put it in quotes, "2024"'),
        ("pools.sharegpt_mix.language", False, "YAML reads yes, no, on and off as true and false"),
        ("pools", {False: {"sources": ["sharegpt"]}}, "the key False in 'pools' is not text (YAML reads yes, no"),
        ("seed", True, "'seed' is True, expected a whole number"),
        ("style.prompts", "held-out", "did you mean 'heldout'?"),
        ("prompts.heldout.source", "sharegpt", "'prompts.heldout' needs either 'pool' or 'source'"),
        ("prompts.own", {"source": "sharegpt", "n": 5}, "prompts without replies: set 'references: teacher'"),
        ("prompts.own", {"source": "sharegtp", "n": 5}, "'prompts.own.source' names 'sharegtp'"),
        ("teacher.benchmarks", ["mmlu"], "'teacher.benchmarks' names 'mmlu'"),
        ("raters", {"a": {"label": "A", "prompts": "heldout", "votes": {"tinny": ["v"]}}}, "which is no trained model"),
        ("raters", {"a": {"label": "A", "prompts": "held", "votes": {"t": ["v"]}}}, "'raters.a.prompts' names 'held'"),
        ("raters", {"a": {"label": "A", "prompts": "heldout", "votes": {"t": "v"}}}, "is 'v', expected a list"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(config: dict[str, Any], path: str, value: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        load(put(config, path, value), "study.yaml")
    assert message in str(error.value)
    assert str(error.value).startswith("study.yaml: ")
    assert "\n" not in str(error.value)


def test_a_benchmark_may_be_for_some_bases(config: dict[str, Any]) -> None:
    base, other = list(config["bases"])[:2]
    changed = put(config, "benchmarks.nq.runs", [base])
    study = load(changed, "study.yaml")
    chosen = study.chosen(study.config.benchmarks["nq"].runs)
    assert chosen == [name for name in study.base_models if study.models[name].base == base]
    assert 0 < len(chosen) < len(study.base_models)
    changed["runs"][base] = {"bases": [other], "mixtures": ["sharegpt_mix"], "role": "other"}
    with pytest.raises(UserError, match="a group of runs and a base; rename one"):
        load(changed, "study.yaml")


@pytest.mark.parametrize("name", STUDIES)
def test_the_shipped_studies_are_right(name: str) -> None:
    study = load_files([ROOT / "config" / name])
    assert study.trained
    expanded = study.expanded()
    assert set(expanded["runs"]) <= {"amount", "size", "targeted", "replay", "control"}
    for names in expanded["runs"].values():
        assert set(names) <= set(expanded["models"])


def test_a_model_that_two_runs_share_is_one(config: dict[str, Any]) -> None:
    study = load(config)
    assert "tiny-sharegpt_mix-2k-s0" in study.runs["amount"]
    assert "tiny-sharegpt_mix-2k-s0" in study.runs["size"]
    assert len(study.trained) == len(set(study.trained)) == 6
    assert study.models["tiny-s0"] == Model("tiny", None, 0, 0, "50k")
    assert study.models["tiny-nq_synthetic-all-s0"].tokens is None


def test_a_base_that_is_pre_trained_here_is_drawn_for_each_seed_of_its_runs(config: dict[str, Any]) -> None:
    config["runs"]["amount"]["seeds"] = [2, 5]
    study = load(config)
    assert study.base_models == ["tiny-s0", "tiny-s2", "tiny-s5", "larger-s0"]
    assert study.base_model("tiny", 5) == "tiny-s5"
    config["bases"]["larger"] = {"label": "L", "weights": "file:model", "parameters": 1000}
    assert load(config).base_models == ["tiny-s0", "tiny-s2", "tiny-s5", "larger"]  # weights are what they are


def test_the_test_study_has_the_quickstarts_jobs() -> None:
    """The same DAG at another size: all kinds of parts, and those that the quickstart does without."""
    quickstart, test = (load_files([ROOT / "config" / name]) for name in ("config.yaml", "test.yaml"))
    assert test.config.model_fields_set >= quickstart.config.model_fields_set
    assert set(test.runs) >= set(quickstart.runs)
    assert set(test.config.mixtures) >= set(quickstart.config.mixtures)


def test_the_quickstarts_bases_are_made_of_its_own_text() -> None:
    quickstart, made = (load_files([ROOT / "config" / name]) for name in ("config.yaml", "quickstart_bases.yaml"))
    for section in ("facts", "pretraining", "tokenizer", "blocks", "pools", "sources"):
        assert getattr(made.config, section) == getattr(quickstart.config, section), section
    other = load(yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8")) | {"seed": 5})
    assert bases.text_seed(other) == bases.text_seed(made) == made.seed, "every seed replays what the bases have read"
    assert made.config.mixtures["sharegpt_mix"] == quickstart.config.mixtures["sharegpt_mix"]
    assert made.config.training["pretraining"] == quickstart.config.training["pretraining"]
    for name, base in quickstart.config.bases.items():
        kept = ROOT / "resources" / "bases" / name
        recipe = json.loads((kept / "manifest.json").read_text())["config"]["recipe"]
        assert recipe == made.config.training["pretraining"].model_dump()
        assert base.parameters == made.shape(name).parameters == made.parameters(name)


@pytest.mark.parametrize(
    ("tokens", "name"), [(None, "all"), (300_000, "300k"), (20_000_000, "20M"), (1_500_000, "1500k"), (1234, "1234")]
)
def test_amount_name(tokens: int | None, name: str) -> None:
    assert amount_name(tokens) == name


def test_later_files_change_keys_of_earlier_ones(tmp_path: Path) -> None:
    change = tmp_path / "change.yaml"
    change.write_text("seed: 7\nruns: {amount: {tokens: [500]}}\n")
    study = load_files([ROOT / "config" / "test.yaml", change])
    assert study.seed == 7
    assert study.config.runs["amount"] == keys.Run(bases=["tiny"], mixtures=["sharegpt_mix"], tokens=[500], seeds=[0])


@pytest.mark.parametrize("text", ["title: ~", "title:", "judges: null", "runs: {amount: {role: ~}}"])
def test_an_empty_value_is_named(tmp_path: Path, text: str) -> None:
    change = tmp_path / "change.yaml"
    change.write_text(text)
    with pytest.raises(UserError, match="write a value, or leave the key out"):
        load_files([ROOT / "config" / "test.yaml", change])


def test_a_key_that_is_there_twice_is_named(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("study: s\nmixtures:\n  a: {pool: x}\n  b: {pool: x}\n  a: {pool: y}\n")
    with pytest.raises(UserError, match=r"'mixtures\.a' occurs twice, in lines 3 and 5"):
        load_files([file])


@pytest.mark.parametrize(("text", "message"), [("a: [", "not YAML"), ("- a\n", "expected a study (a mapping)")])
def test_a_file_that_is_no_study(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=r"study\.yaml") as error:
        load_files([file])
    assert message in str(error.value)


def test_check_start_names_a_missing_key(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    preflight.check(load(config))
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        preflight.check(load(put(config, "teacher.url", "https://example.org/v1")))


def test_prompts_stay_away_from_all_that_any_model_is_trained_on(config: dict[str, Any]) -> None:
    config["sources"]["own"] = {"uri": "file:own.jsonl"}
    config["prompts"]["own"] = {"source": "own", "n": 5, "references": "teacher"}
    study = load(config, "study.yaml")
    assert curation.prompts_from(study, "own") == "results/test/sources/own"
    assert curation.prompts_from(study, "heldout") == "results/test/curation/clean/sharegpt_mix.heldout.jsonl"
    trained = {model.mixture for model in study.models.values() if model.mixture}
    dialogues = {name for name in trained if not study.config.mixtures[name].text}
    assert any(study.config.mixtures[name].teacher for name in dialogues), "teacher-written data are among them"
    for prompts in ("own", "heldout"):
        files = curation.prompts_stay_away_from(study, prompts)
        assert {Path(file).name.partition(".s")[0] for file in files} == dialogues
        assert len(files) == len(dialogues), "one order of each mixture"
        again = put(config, "runs.amount.seeds", [8])
        assert curation.prompts_stay_away_from(load(again, "study.yaml"), prompts) == files, "of any seed"
    assert teacher.references(study, "own") == "results/test/teacher/answers/own.jsonl"


@pytest.fixture
def rated(config: dict[str, Any]) -> dict[str, Any]:
    """The test study with a judge of two models, and raters of one of them."""
    judges = {"rule": {"label": "Judge", "prompts": "heldout", "runs": ["amount"], "order": "ours-first"}}
    model = load(config).runs["amount"][0]
    raters = {"desk": {"label": "Raters", "prompts": "heldout", "votes": {model: ["a.jsonl", "b.jsonl"]}}}
    return {**config, "judges": judges, "raters": raters}


def test_raters_stand_beside_judges(rated: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    study = load(rated, "study.yaml")
    one, two = study.runs["amount"]
    folder = "results/test/preference"
    assert preference.scores(study) == [f"{folder}/{who}.json" for who in (f"rule/{one}", f"desk/{one}", f"rule/{two}")]
    assert preference.agreements(study) == [f"{folder}/{one}.agreement.json", f"{folder}/{two}.agreement.json"]
    assert len(preference.regressions(study)) == 3
    assert preference.votes(study, "desk", one) == ["a.jsonl", "b.jsonl"]
    assert preference.scores_on_same_prompts(study, one) == [f"{folder}/rule/{one}.json", f"{folder}/desk/{one}.json"]
    assert preference.style_on_same_prompts(study, one) == [f"results/test/style/{one}.json"]
    assert {"results/figures/fig1.pdf", "results/tables/agreement.csv"} <= set(figures.final(study))
    assert study.expanded()["raters"] == {"desk": {"label": "Raters", "stand_in": None, "prompts": "heldout"}}
    with pytest.raises(UserError, match=r"raters\.desk\.votes\..* names the file 'a\.jsonl', which does not exist"):
        preflight.check(study)


def test_a_name_is_a_judges_or_raters(rated: dict[str, Any]) -> None:
    rated["raters"]["rule"] = rated["raters"].pop("desk")
    with pytest.raises(UserError, match="'rule' is in 'judges' and in 'raters'"):
        load(rated, "study.yaml")


def test_a_judge_with_controls_judges_the_teacher(rated: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert preference.controls(workflow.read_study(rated, ["study.yaml"])) == []
    rated["judges"]["rule"]["controls"] = True
    study = workflow.read_study(rated, ["study.yaml"])
    assert preference.controls(study) == ["results/test/preference/rule/teacher_itself.json"], "answers come once"
    assert "results/tables/preference.csv" in figures.final(study)
    rated["prompts"] = {"heldout": {**rated["prompts"]["heldout"], "references": "teacher"}}
    study = workflow.read_study(rated, ["study.yaml"])
    assert len(preference.controls(study)) == 2


def test_a_panel_adds_up_its_members_votes(rated: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    rated["judges"]["other"] = {**rated["judges"]["rule"], "label": "Other", "rubric": "mine", "stand_in": "x"}
    rated["judges"]["panel"] = {"label": "Panel", "members": ["rule", "other"]}
    study = workflow.read_study(rated, ["study.yaml"])
    two = study.runs["amount"][1]
    folder = "results/test/preference"
    assert preference.votes(study, "panel", two) == [f"{folder}/{who}/{two}.votes.jsonl" for who in ("rule", "other")]
    assert f"{folder}/panel/{two}.json" in preference.scores(study)
    assert preference.scores_on_same_prompts(study, two)[-1] == f"{folder}/panel/{two}.json"
    assert workflow.wildcards(study)["judge"] == "rule|other"
    assert study.expanded()["judges"]["panel"] == {"label": "Panel", "stand_in": "Other: x", "prompts": "heldout"}
    assert preference.rubric(study, "rule") == "prompts/judge_pairwise.txt"
    with pytest.raises(UserError, match=r"judges\.other\.rubric.*prompts/mine\.txt.*does not exist"):
        preference.rubric(study, "other")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"panel": {"label": "P", "members": ["rule", "none"]}}, r"judges\.panel\.members.*none"),
        ({"panel": {"label": "P", "members": ["rule", "two"], "order": "both"}}, "'order' belongs to its members"),
        ({"panel": {"label": "P"}}, "needs either 'prompts' to judge or the 'members' of a panel"),
        ({name: {"label": "P", "members": ["rule", name]} for name in ("two", "own")}, "names a panel"),
        ({"panel": {"label": "P", "members": ["rule", "own"]}}, "judge different prompts or runs"),
    ],
)
def test_a_panel_that_can_not_be_is_refused(rated: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    two = {**rated["judges"]["rule"], "label": "Two"}
    rated["prompts"]["own"] = rated["prompts"]["heldout"]
    rated["judges"] |= {"two": two, "own": {**two, "prompts": "own"}, **changes}
    with pytest.raises(UserError, match=message):
        load(rated, "study.yaml")


def test_roles_and_targets_are_said_not_guessed(config: dict[str, Any]) -> None:
    config["mixtures"]["nq_forum"] = {**config["mixtures"]["sharegpt_mix"], "label": "A forum"}
    config["runs"]["lr_sweep"] = {"bases": ["larger"], "mixtures": ["nq_forum"], "role": "size"}
    config["runs"]["aside"] = {"bases": ["tiny"], "mixtures": ["nq_forum"]}
    config["benchmarks"]["nq"]["runs"] = ["lr_sweep"]
    study = load(config)
    assert study.targets("nq_forum") == []
    assert study.targets("nq_synthetic") == ["nq"]
    assert [study.role(group) for group in ("amount", "lr_sweep", "aside")] == ["amount", "size", "other"]
    assert "larger-nq_forum-all-s0" in study.of_role("size")
    assert benchmarks.scores(study, "nq")[0] == "results/test/benchmarks/nq/larger-nq_forum-all-s0.json"
    assert study.expanded()["benchmarks"]["nq"]["models"] == ["larger-nq_forum-all-s0"]
    assert examples.best(study) == "larger-nq_forum-all-s0", "all of a mixture is more than a budget of 2,000 tokens"


def test_options_quote_and_leave_out() -> None:
    entry = keys.Prompts(n=1, max_bleu=20, single_exchanges=True, pool="a-b", references="teacher")
    words = workflow.options(entry, "max_bleu", "single_exchanges", "max_query_characters", "pool", "temperature")
    assert words == "--max-bleu 20 --single-exchanges --pool a-b --temperature 0"


def test_gpus_and_minutes_grow_with_the_model() -> None:
    study = load(yaml.safe_load((ROOT / "config" / "paper.yaml").read_text()), "paper.yaml")
    assert [costs.gpus_of(study, base) for base in study.config.bases] == [1, 4, 8]
    assert [costs.hosts_of(study, base) for base in study.config.bases] == [1, 1, 1]
    models = [f"llama-13b-sharegpt_mix-{amount}-s0" for amount in ("300k", "20M", "150M")]
    minutes = [costs.need(study, "train", model)["runtime"] for model in models]
    assert minutes == sorted(set(minutes))
    assert costs.need(study, "score", "llama-13b")["mem_mb"] > costs.need(study, "score", "llama-7b")["mem_mb"]


def test_a_mesh_of_the_study_reaches_training_and_its_plan() -> None:
    config = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    config["bases"]["llama-13b"] |= {"mesh": "fsdp=4,tensor=4"}
    study = load(config, "paper.yaml")
    found = costs.need(study, "train", "llama-13b-sharegpt_mix-20M-s0")
    assert (found["mesh"], found["gpu"], found["nodes"]) == ("--mesh fsdp=4,tensor=4", 16, 2)
    # One process a host, with all of its GPUs.
    assert (found["mpi"], found["tasks"], found["gres"]) == ("srun", 2, "gpu:8")
    assert found["launch"].startswith("env JAX_LOCAL_DEVICE_IDS=0,1,2,3,4,5,6,7 srun --ntasks=2 --nodes=2")
    assert costs.plan_training(study, "llama-13b-sharegpt_mix-20M-s0").devices == 16
    assert costs.need(study, "train", "llama-7b-sharegpt_mix-150M-s0")["mesh"] == ""


def test_a_base_may_be_a_gguf_file_of_the_sources() -> None:
    content = yaml.safe_load((ROOT / "config" / "laptop.yaml").read_text())
    study = load(content)
    assert bases.unpacked(study) == ["smollm2-135m-instruct"]
    assert bases.loaded(study) == []
    assert bases.gguf(study, "smollm2-135m-instruct") == ["results/laptop/sources/smollm2.gguf"]
    assert study.shape("smollm2-135m-instruct").parameters == 134_515_008
    wrong = put(content, "bases.smollm2-135m-instruct.weights", "source:smollm.gguf")
    with pytest.raises(UserError, match=r"names 'smollm\.gguf', which is not in 'sources'.*smollm2\.gguf"):
        load(wrong)
    paper = load(yaml.safe_load((ROOT / "config" / "paper.yaml").read_text()))
    assert bases.unpacked(paper) == []
    assert len(bases.loaded(paper)) == 3


@pytest.mark.parametrize("parameters", [134_515_008, 361_821_120, 1_711_376_384])
def test_public_shapes_have_so_many_parameters(parameters: int) -> None:
    assert shapes.of_parameters(parameters).parameters == parameters


def test_turn_tokens_are_for_imitation_models_alone() -> None:
    study = load(yaml.safe_load((ROOT / "config" / "paper.yaml").read_text()))
    models = ("llama-7b", "llama-7b-nq_synthetic-all-s0")
    assert [benchmarks.turn_tokens(study, "nq", model) for model in models] == ["no", "yes"]


def test_a_task_of_lm_eval_is_a_benchmark_like_others() -> None:
    config = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    swag = {"task": "lm_eval", "name": "hellaswag", "metric": "acc_norm", "label": "HellaSwag", "shots": 0}
    study = load(config | {"benchmarks": config["benchmarks"] | {"swag": swag}})
    assert benchmarks.data(study, "swag") == benchmarks.own_task(study, "swag") == []
    assert benchmarks.asked(study, "swag") == "--task lm_eval --lm-eval-task hellaswag"
    assert benchmarks.score_options(study, "swag").startswith("--shots 0 --metric acc_norm")
    assert benchmarks.asked(study, "nq") == "--task nq"
    assert benchmarks.questions(["a b"]) == benchmarks.questions("a b") == "--data 'a b'"
    assert benchmarks.questions([]) == ""
    assert set(benchmarks.scores(study, "swag")) <= set(benchmarks.capabilities(study))
