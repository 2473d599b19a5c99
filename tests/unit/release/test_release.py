"""Folders for the hub: cards from score files, checksums, and an upload to a server that speaks the hub's protocol."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard, ModelCard

from falsepromise.core.errors import UserError
from falsepromise.core.manifest import sha256
from falsepromise.release import data, model, upload

_SPEC = importlib.util.spec_from_file_location("made_up", Path(__file__).parents[1] / "figures" / "made_up.py")
assert _SPEC
assert _SPEC.loader
made_up = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(made_up)

NAME = "small-sharegpt-400000-s0"


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> Path:
    """A model and prompts, gathered."""
    root = tmp_path_factory.mktemp("release")
    study, scores = made_up.write(root / "scores")
    folder = root / "trained" / NAME
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights" * 100)
    (folder / "config.json").write_text("{}")
    (folder / ".snakemake_timestamp").write_text("")
    made = {"made_by": "falsepromise.training.train", "config": {"recipe": {"learning_rate": 0.002}, "tokens": 400_000},
            "steps": 10, "warmup_steps": 4, "parameters": 1_100_000, "device": "1 x cpu", "seed": 0}  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(made))
    funnel = root / "f.funnel.csv"
    funnel.write_text("source,step,kept,dropped,reason,examples\nsharegpt,query,80,20,seen before|twice,\n")
    base = root / "base"
    base.mkdir()
    (base / "source.json").write_text(json.dumps({"uri": "hub:some-lab/Small_1@0123abc"}))  # as sources.weights does
    for name in ("LICENSE.txt", "USE_POLICY.md", "config.json"):
        (base / name).write_text("of the base")
    options = ["--study", str(study), "--scores", *map(str, scores), "--funnels", str(funnel), "--base", str(base)]
    model.main(["--model", str(folder), *options, "--output", str(root / "models" / NAME)])
    (root / "models" / NAME / ".snakemake_timestamp").write_text("")  # as Snakemake leaves it there
    prompts = root / "heldout.jsonl"
    prompts.write_text(json.dumps({"id": "a/0", "messages": [{"role": "user", "content": "hi"}]}) + "\n")
    (root / "heldout.jsonl.manifest.json").write_text(json.dumps({"made_by": "falsepromise.curation.prompts"}))
    data.main(f"--study {study} --kind prompts --data {prompts} --output {root}/prompts/heldout".split())
    return root


def test_a_models_card_has_data_recipe_scores_limits_and_terms(released: Path) -> None:
    folder = released / "models" / NAME
    card = ModelCard.load(folder / "README.md")
    assert card.data.license == "other"
    found = {(r.dataset_type, r.metric_type): r for r in card.data.eval_results}
    score = json.loads((released / "scores" / "facts" / f"{NAME}.json").read_text())["metrics"]["exact_match"]
    assert found["facts", "exact_match"].metric_value == pytest.approx(score["value"], abs=1e-4)
    assert found["facts", "exact_match"].metric_args["n"] == score["n"]
    for wanted in ("400,000 tokens of ShareGPT-Mix", "seen before", "learning_rate", "made-up questions",
                   "HumanEval was not scored: no sandbox", "terms of use", "ChatGPT"):  # fmt: skip
        assert wanted in card.content, wanted
    assert f"{100 * score['value']:.1f} [{100 * score['ci95'][0]:.1f}, {100 * score['ci95'][1]:.1f}]" in card.content
    names = {path.name for path in folder.iterdir()} - {".snakemake_timestamp", ".falsepromise.json"}
    own = {"model.safetensors", "config.json", "manifest.json", "README.md", "SHA256SUMS"}
    assert names == {*own, "LICENSE.txt", "USE_POLICY.md"}
    assert (folder / "config.json").read_text() == "{}", "the model's own"
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert sha256(folder / name) == digest


def test_a_models_card_names_its_base_and_the_bases_licence(released: Path) -> None:
    card = ModelCard.load(released / "models" / NAME / "README.md")
    assert card.data.base_model == "some-lab/Small_1"
    derived = r"The weights derive from some-lab/Small\_1, whose licence applies (`LICENSE.txt`, `USE_POLICY.md`)."
    assert derived.replace("\\_", "_") in card.content


@pytest.mark.parametrize(
    ("file", "content", "origin"),
    [
        ("source.json", '{"uri": "file:/of/mine"}', "file:/of/mine"),
        ("manifest.json", '{"made_by": "falsepromise.training.train"}', ""),
        ("config.json", "{}", "file"),  # as models.gguf leaves it
    ],
)
def test_where_a_base_is_from(tmp_path: Path, file: str, content: str, origin: str) -> None:
    (tmp_path / file).write_text(content)
    assert model.origin(tmp_path) == origin


def test_a_data_sets_card_names_its_columns(released: Path) -> None:
    card = DatasetCard.load(released / "prompts" / "heldout" / "README.md")
    assert card.data.to_dict()["configs"] == [{"config_name": "default", "data_files": "data.jsonl"}]
    assert "| messages" in card.content
    assert "falsepromise.curation.prompts" in card.content


def test_a_base_model_is_not_released(released: Path) -> None:
    with pytest.raises(UserError, match="no fine-tuned model 'small'"):
        model.main(["--study", str(released / "scores/study.json"), "--model", str(released), "--name", "small"])


def test_a_dry_run_says_what_it_would_send_and_sends_nothing(released: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a dry run opened a connection"))
    out = released / "plan.md"
    upload.main(["--models", str(released / "models" / NAME), "--datasets", str(released / "prompts/heldout"),
                 "--prefix", "study-", "--output", str(out)])  # fmt: skip
    assert f"your-name/study-{NAME}" in out.read_text()
    assert "Nothing was sent" in capsys.readouterr().out


def copied(source: Path, folder: Path) -> Path:
    folder.mkdir()
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("config.json", None, "config.json of SHA256SUMS missing"),
        ("SHA256SUMS", None, "SHA256SUMS"),
        ("SHA256SUMS", "\nabc\n", "SHA256SUMS, line 7: is 'abc', expected"),
        ("README.md", "---\na: [\n---\n", "README.md: can't be read as a card: "),
        ("README.md", "---\nmodel-index: 3\n---\n", "README.md: can't be read as a card: "),
    ],
)
def test_a_folder_that_is_not_as_it_was_made_is_not_planned(released, tmp_path, name, damage, said) -> None:
    folder = copied(released / "models" / NAME, tmp_path / "m")
    if damage is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(((folder / name).read_text().strip() if name == "SHA256SUMS" else "") + damage)
    with pytest.raises(UserError, match=re.escape(said)) as error:
        upload.prepare(folder, "me", "model")
    assert "\n" not in str(error.value)


def test_a_pattern_of_the_shell_that_found_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\*: no such folder; `snakemake --cores 2 release`"):
        upload.prepare(tmp_path / "*", "me", "model")


def test_two_folders_do_not_become_one_repository(released: Path, tmp_path: Path) -> None:
    one = released / "models" / NAME
    other = copied(one, tmp_path / NAME.upper())  # the hub tells no capitals apart
    with pytest.raises(UserError, match="2 folders would become this model"):
        upload.main(["--models", str(one), str(other)])


def test_a_hub_that_is_not_there(released: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    with pytest.raises(UserError, match="can't be reached"):
        upload.main(["--models", str(released / "models" / NAME), "--yes", "--namespace", "me",
                     "--endpoint", "http://127.0.0.1:1"])  # fmt: skip


def test_a_damaged_folder_and_a_name_that_the_hub_refuses(released: Path, tmp_path: Path) -> None:
    folder = copied(released / "models" / NAME, tmp_path / "m")
    (folder / "config.json").write_text('{"changed": 1}')
    with pytest.raises(UserError, match=r"config\.json: sha256 is"):
        upload.prepare(folder, "me", "model")
    with pytest.raises(UserError, match="takes no repository"):
        upload.prepare(folder, "me", "model", prefix="a b ")


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as an upload of small files needs."""

    private = True

    def do_GET(self) -> None:
        """What is told of a repository; it is there already where it is public."""
        self.answer(200, {"id": "/".join(self.path.split("/")[3:5]), "private": self.private, "siblings": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.path, self.headers.get("Authorization"), body))  # type: ignore[attr-defined]
        base = f"http://127.0.0.1:{self.server.server_address[1]}"
        if self.path.endswith("/repos/create"):
            answer = {"url": f"{base}/me/{json.loads(body)['name']}", "name": f"me/{json.loads(body)['name']}"}
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            answer = {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
        else:
            repository = "/".join(self.path.split("/")[3:5])  # /api/models/<owner>/<name>/commit/main
            answer = {"commitUrl": f"{base}/{repository}/commit/abc", "commitOid": "abc", "success": True}
        there = self.path.endswith("/repos/create") and not self.private
        self.answer(409 if there else 200, answer)

    def answer(self, status: int, answer: object) -> None:
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        pass


def test_an_upload_makes_a_private_repository_and_commits_every_file(released: Path, monkeypatch, capsys) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.seen = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder = released / "models" / NAME
    options = ["--models", str(folder), "--yes", "--endpoint", f"http://127.0.0.1:{server.server_address[1]}"]
    with pytest.raises(SystemExit):  # whose repository it would be has to be said
        upload.main(options)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(UserError, match="HF_TOKEN"):
        upload.main([*options, "--namespace", "me"])
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    upload.main([*options, "--namespace", "me"])
    server.shutdown()
    paths = [path for path, _, _ in server.seen]  # type: ignore[attr-defined]
    assert paths[0] == "/api/repos/create"
    create = json.loads(server.seen[0][2])  # type: ignore[attr-defined]
    assert create.get("private") is True or create.get("visibility") == "private"
    assert all(key == "Bearer hf_canary" for _, key, _ in server.seen)  # type: ignore[attr-defined]
    lines = [json.loads(line) for line in server.seen[-1][2].splitlines()]  # type: ignore[attr-defined]
    sent = {line["value"]["path"]: line["value"]["content"] for line in lines if line["key"] == "file"}
    assert ".snakemake_timestamp" not in sent
    assert {name: base64.b64decode(text) for name, text in sent.items()} == {
        path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")
    }
    assert "hf_canary" not in capsys.readouterr().out


def test_nothing_private_goes_into_a_public_repository(released: Path, monkeypatch) -> None:
    monkeypatch.setattr(Hub, "private", False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.seen = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    options = ["--models", str(released / "models" / NAME), "--yes", "--namespace", "me"]
    options += ["--endpoint", f"http://127.0.0.1:{server.server_address[1]}"]
    with pytest.raises(UserError, match="is public on the hub; give --public or another --prefix"):
        upload.main(options)
    assert [path for path, _, _ in server.seen] == ["/api/repos/create"]  # type: ignore[attr-defined]
    upload.main([*options, "--public"])
    assert "/commit/" in server.seen[-1][0]  # type: ignore[attr-defined]
    server.shutdown()
