"""Data sets of the hub: its own protocol, mixed types, gates."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import servers

from falsepromise.core.errors import UserError
from falsepromise.sources import fetch, hub

RUNS = """
import json, sys
from falsepromise.core.errors import UserError
from falsepromise.sources import bundle, download, fetch
for options in json.load(sys.stdin):
    try:
        fetch.main(options)
        print("ok", flush=True)
    except UserError as error:
        print(error, flush=True)
"""


def run_with_hub(hub: str, home: Path, *runs: list[str], before: str = "") -> list[str]:
    """What `fetch` says for each of these options, in a process whose hub is at an address."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    paths = {"PYTHONPATH": str(Path(fetch.__file__).resolve().parents[2]), "HF_ENDPOINT": hub, "HF_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", before + RUNS],
        input=json.dumps(runs),
        env=kept | paths,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_hub_through_its_own_protocol(tmp_path):
    """The real `datasets` and `huggingface_hub` against a server of the hub's protocol on this machine."""
    rows = [{"id": "1", "text": "ü"}, {"id": "2", "text": None}]
    files = {
        "README.md": servers.CARD.encode(),
        "train.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(),
        "test.jsonl": b'{"id": "3", "text": "t"}\n',
        "other.jsonl": b'{"id": "4", "when": "2023-05-01T00:00:00"}\n',
        "raw/dump.json": b"[not json, but as it is",
    }
    digest = hashlib.sha256(files["raw/dump.json"]).hexdigest()
    pinned = ["--uri", f"hub:org/name@{servers.COMMIT}"]
    good = {
        "train": pinned,
        "test": ["--split", "test", *pinned],
        "other": ["--uri", "hub:org/name@v1", "--subset", "other"],
        "raw": [*pinned, "--member", "raw/dump.json", "--sha256", digest],
    }
    bad = {
        "Revision Not Found": ["--uri", "hub:org/name@nope"],
        "Repository Not Found": ["--uri", "hub:org/none@v1"],
        "Bad split": [*pinned, "--split", "nope"],
        "Entry Not Found": [*pinned, "--member", "none.json"],
        "SHA-256 is": [*pinned, "--sha256", "0" * 64],
    }
    outputs = [[*options, "--output", str(tmp_path / name)] for name, options in good.items()]
    refused = [[*options, "--output", str(tmp_path / "bad" / "file")] for options in bad.values()]
    with servers.serving(type("Hub", (servers.Hub,), {"files": files})) as url:
        said = run_with_hub(url, tmp_path / "home", *outputs, *refused)
    assert said[: len(good)] == ["ok"] * len(good)
    for expected, message in zip(bad, said[len(good) :], strict=True):
        assert expected in message
        assert message.startswith("hub:org/n")
    assert not (tmp_path / "bad").exists() or not list((tmp_path / "bad").iterdir())
    assert [json.loads(line) for line in (tmp_path / "train").read_text(encoding="utf-8").splitlines()] == rows
    assert json.loads((tmp_path / "test").read_text()) == {"id": "3", "text": "t"}
    assert json.loads((tmp_path / "other").read_text()) == {"id": "4", "when": "2023-05-01T00:00:00"}
    assert (tmp_path / "raw").read_bytes() == files["raw/dump.json"]
    assert json.loads((tmp_path / "other.manifest.json").read_text())["commit"] == servers.COMMIT
    (message,) = run_with_hub(url, tmp_path / "home", refused[0])
    assert "refused" in message, "nobody listens there any more"


FEW = "from falsepromise.sources import hubclient\nhubclient.MOST_PAGES, hubclient.LONGEST_LIST = 9, 4000\n"


def test_folders_may_be_named_like_the_hubs_own_paths(tmp_path):
    """Each file below `tree` was taken for a page of the list, and one below `api` for a list of files."""
    files = {f"{folder}/{i}.bin": b"x" * 5000 for folder in ("tree", "api", "api/tree/tree") for i in range(6)}
    uri = ["--uri", f"hub:org/name@{servers.COMMIT}", "--folder", "--output", str(tmp_path / "all")]
    with servers.serving(type("Hub", (servers.Hub,), {"files": files})) as url:
        assert run_with_hub(url, tmp_path / "home", uri, before=FEW) == ["ok"]
    assert all((tmp_path / "all" / name).read_bytes() == data for name, data in files.items())


@pytest.mark.parametrize("member", ["..", "../..", "a/../../..", "/"])
def test_a_folder_of_the_hub_is_no_folder_around_the_download(tmp_path, member):
    """Its files would be moved: the user's own."""
    (tmp_path / "out").mkdir()
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(UserError, match="expected a folder of the repository"):
        hub.folder("org/name", servers.COMMIT, member, tmp_path / "out")
    assert (tmp_path / "mine").read_text() == "kept"
    assert not list((tmp_path / "out").iterdir())


ODD = [
    {"id": "1", "text": "ü", "turns": [{"from": "human", "value": "q"}], "when": "2023-05-01T00:00:00", "n": 1.5},
    {"id": "2", "text": {"a": [1]}, "turns": [{"from": "gpt", "value": ["x"]}], "when": None, "n": None},
    {"id": "3", "text": 7, "turns": [], "when": None, "n": 2.0},
]

WHOLE = """
import json, sys, datasets
datasets.disable_progress_bars()
rows = datasets.load_dataset("org/name", "default", revision=sys.argv[1], split="train")
print(json.dumps(list(rows), default=lambda value: value.isoformat()))
"""


def test_a_hub_data_set_with_mixed_types_is_what_datasets_says(tmp_path):
    """Streamed rows, over two shards, are those that `datasets` gives when it loads all of them."""
    card = servers.CARD.replace("path: train.jsonl", "path: 'train-*.jsonl'")
    shards = "- {config_name: shards, data_files: 'shards-*.jsonl'}\n"
    card = card.replace("- config_name: other", shards + "- config_name: other")
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in ODD]
    files = {
        "README.md": card.encode(),
        "train-0.jsonl": "".join(lines).encode(),
        "train-1.jsonl": lines[0].encode() * 3,
        "shards-0.jsonl": b'{"id": "0", "text": "a"}\n' * 3,
        "shards-1.jsonl": b'{"id": "1", "text": {"odd": 1}}\n{"id": "2", "text": "b"}\n',
        "test.jsonl": lines[0].encode(),
        "other.jsonl": b'{"id": "3", "text": "t", "score": NaN}\n{"id": "4", "text": "t", "score": 1.5}\n',
    }
    uri = f"hub:org/name@{servers.COMMIT}"
    runs = [
        ["--uri", uri, "--output", str(tmp_path / "all")],
        ["--uri", "hub:org/name", "--columns", "id", "text", "--output", str(tmp_path / "some")],
        ["--uri", uri, "--subset", "other", "--output", str(tmp_path / "nan")],
        ["--uri", uri, "--subset", "shards", "--output", str(tmp_path / "shards")],
        ["--uri", uri, "--columns", "nope", "--output", str(tmp_path / "bad")],
    ]
    with servers.serving(type("Hub", (servers.Hub,), {"files": files})) as url:
        said = run_with_hub(url, tmp_path / "home", *runs)
        whole = subprocess.run(
            [sys.executable, "-c", WHOLE, servers.COMMIT],
            env={**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "home2")},
            capture_output=True, text=True,
        )  # fmt: skip
        assert not whole.returncode, whole.stderr[-1500:]
    assert said[:4] == ["ok"] * 4
    assert "no column nope" in said[4]
    shards = [json.loads(line)["text"] for line in (tmp_path / "shards").read_text().splitlines()]
    assert shards == ["a", "a", "a", {"odd": 1}, "b"], "an odd value in a later file leaves the others as they are"
    expected = json.loads(whole.stdout.splitlines()[-1])
    found = [json.loads(line) for line in (tmp_path / "all").read_text(encoding="utf-8").splitlines()]
    assert found == expected
    assert [row["text"] for row in found[:3]] == ["ü", {"a": [1]}, 7]
    second = (tmp_path / "some").read_text(encoding="utf-8").splitlines()[1]
    assert json.loads(second) == {"id": "2", "text": {"a": [1]}}
    assert json.loads((tmp_path / "nan").read_text().splitlines()[0])["score"] is None
    manifest = json.loads((tmp_path / "some.manifest.json").read_text())
    assert manifest["commit"] == servers.COMMIT, "a revision that wasn't pinned is resolved once and recorded"


def test_json_rows_are_those_of_the_file(tmp_path):
    """`datasets` gives a column one type, and each text of it in quotes if one value is none; dates became times; a
    second file of other types, and nulls in the first rows, ended in an error."""
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    rows = [{"id": n, "system": None, "turns": turns, "day": "2023-05-01", "big": 10**25} for n in range(9)]
    odd = [{"id": "x", "system": "s", "turns": [{"from": "gpt", "value": ["a"], "weight": 0}], "day": None}]
    lines = "".join(json.dumps(row, indent=n % 2 or None) + "\n" for n, row in enumerate(rows))
    packed, indented = gzip.compress(json.dumps(odd).encode()), b"\xef\xbb\xbf " + json.dumps(odd, indent=1).encode()
    files = {"a.json": json.dumps(rows + odd).encode(), "b.json": indented, "c.json": lines.encode(),
             "d.json.gz": packed, "e.json": b" [ ]\n"}  # fmt: skip
    bad = {"org/cut": b'[{"a": 1}, {"a": "' + b"x" * 3000, "org/numbers": b"[1, 2]", "org/ends": b'[{"a": 1},\n'}
    more = {"org/json": (servers.COMMIT, files)} | {n: (servers.COMMIT, {"x.json": d}) for n, d in bad.items()}
    runs = [["--uri", f"hub:{name}@{servers.COMMIT}", "--output", str(tmp_path / name)] for name in more]
    runs += [[*runs[0][:-1], str(tmp_path / "some"), "--columns", "id", "big"]]
    with servers.serving(type("Hub", (servers.Hub,), {"files": {}, "more": more})) as url:
        said = run_with_hub(url, tmp_path / "home", *runs)
    found = [json.loads(line) for line in (tmp_path / "org/json").read_text(encoding="utf-8").splitlines()]
    assert found == rows + odd + odd + rows + odd
    assert "x.json: record 2 is not JSON (Unterminated string" in said[1]
    assert "record 1 is no JSON object, but 1" in said[2]
    assert "x.json: record 2 is not JSON" in said[3]  # the list was cut off between two of its objects
    assert json.loads((tmp_path / "some").read_text().splitlines()[9]) == {"id": "x", "big": None}


def test_a_tables_words_stay_words(tmp_path):
    """pandas takes `None`, `NA` and `null` for cells without a value: replies and choices were lost."""
    card = "---\nconfigs:\n- config_name: own\n  na_values: ['-']\n  data_files: own.csv\n- config_name: default\n"
    files = {
        "README.md": f"{card}  data_files: all.csv\n---\n".encode(),
        "all.csv": b"\xef\xbb\xbfprompt,response,note\nq,None,\nr,N/A,\ns,null,\nt,,\nu,a,\nv,a,late\n",
        "own.csv": b"prompt,response\nq,-\n",
    }
    uri = f"hub:org/name@{servers.COMMIT}"
    runs = [["--uri", uri, "--output", str(tmp_path / "all")],
            ["--uri", uri, "--subset", "own", "--output", str(tmp_path / "own")],
            ["--uri", uri, "--columns", "nope", "--output", str(tmp_path / "bad")]]  # fmt: skip
    with servers.serving(type("Hub", (servers.Hub,), {"files": files})) as url:
        said = run_with_hub(url, tmp_path / "home", *runs)
    rows = [json.loads(line) for line in (tmp_path / "all").read_text().splitlines()]
    assert [row["response"] for row in rows] == ["None", "N/A", "null", None, "a", "a"]
    assert [row["note"] for row in rows] == [None] * 5 + ["late"], "a column may begin with empty cells"
    assert json.loads((tmp_path / "own").read_text()) == {"prompt": "q", "response": None}
    assert "no column nope; it has note, prompt, response" in said[2]


PACKED = {
    "a line without an end": gzip.compress(b'{"a": "' + b"x" * (1 << 26), 1),
    "the same row again": gzip.compress((b'{"a": "' + b"x" * 900 + b'"}\n') * 20_000),
    "cut off": gzip.compress(os.urandom(1000).hex().encode() + b"\n")[:-20],
}


def test_packed_rows_have_the_limits_of_other_packed_text(tmp_path):
    repositories = {f"org/{name.replace(' ', '-')}": data for name, data in PACKED.items()}
    runs = [["--uri", f"hub:{name}@{servers.COMMIT}", "--output", str(tmp_path / "x")] for name in repositories]
    more = {name: (servers.COMMIT, {"train.jsonl.gz": data}) for name, data in repositories.items()}
    with servers.serving(type("Hub", (servers.Hub,), {"files": {}, "more": more})) as url:
        said = run_with_hub(url, tmp_path / "home", *runs)
    for line, expected in zip(said, ("times as large", "times as large", "Error"), strict=True):
        assert expected in line
        assert "train.jsonl.gz" in line
    assert not (tmp_path / "x").exists()


def test_gates_and_scripts_are_one_line(tmp_path):
    files = {"name.py": b"import datasets\n", "README.md": b"---\n---\n"}
    options = ["--uri", f"hub:org/name@{servers.COMMIT}", "--output", str(tmp_path / "x")]
    with servers.serving(type("Hub", (servers.Hub,), {"files": files})) as url:
        (said,) = run_with_hub(url, tmp_path / "home", options)
    assert "script" in said or "No (supported) data files" in said
    with servers.serving(type("Hub", (servers.Hub,), {"files": files, "gated": True})) as url:
        (said,) = run_with_hub(url, tmp_path / "home2", options)
    assert "it is gated: accept its terms" in said


def test_shards_of_parquet_may_differ(tmp_path):
    """`datasets` takes a split's columns and types from its first file: a column that is empty there, or that a later
    file lacks or has more, ended in an error. The reference is pyarrow, file by file."""

    def table(rows):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), out := io.BytesIO())
        return out.getvalue()

    shards = [
        [{"id": "1", "system": None, "score": 1, "turns": []}],
        [{"id": "2", "system": "s", "score": 0.5, "turns": [{"from": "human", "value": "q"}]}],
        [{"id": "3", "score": None, "late": "l"}],
    ]
    files = {f"data/train-{n:05}-of-00003.parquet": table(rows) for n, rows in enumerate(shards)}
    uri = f"hub:org/name@{servers.COMMIT}"
    runs = [["--uri", uri, "--output", str(tmp_path / "all")],
            ["--uri", uri, "--columns", "id", "system", "late", "--output", str(tmp_path / "some")],
            ["--uri", uri, "--columns", "nope", "--output", str(tmp_path / "bad")],
            ["--uri", uri, "--split", "test", "--output", str(tmp_path / "test")]]  # fmt: skip
    last = [*files][-1]
    cut = {"org/cut": (servers.COMMIT, {**files, last: files[last][:-9]})}
    runs.append(["--uri", f"hub:org/cut@{servers.COMMIT}", "--output", str(tmp_path / "cut")])
    with servers.serving(type("Hub", (servers.Hub,), {"files": files, "more": cut})) as url:
        said = run_with_hub(url, tmp_path / "home", *runs)
    assert said[:2] == ["ok"] * 2
    expected = [row for data in files.values() for row in pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist()]
    assert [json.loads(line) for line in (tmp_path / "all").read_text().splitlines()] == expected
    some = [tuple(json.loads(line).values()) for line in (tmp_path / "some").read_text().splitlines()]
    assert some == [("1", None, None), ("2", "s", None), ("3", None, "l")]
    assert "no column nope; it has id, late, score, system, turns" in said[2]
    assert "Bad split: test" in said[3]
    assert f"{last}: ArrowInvalid" in said[4]
    assert not (tmp_path / "cut").exists()
