"""Files that stand for more than they are: YAML that multiplies itself, packed text, one endless line, a device."""

import contextlib
import gzip
import os
import re
import sqlite3
import stat
import time
import zipfile

import pytest

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.plainyaml import read_yaml
from falsepromise.core.records import check_response, read_json, read_jsonl, write_json
from falsepromise.curation import messages
from falsepromise.curation.jsonstream import records
from falsepromise.models.chat import load_any
from falsepromise.sources import bundle
from falsepromise.sources.fetch import fetch
from falsepromise.teacher import look, spent
from falsepromise.teacher.store import Store


def ladder(step: str) -> str:
    """Eleven levels of ten references each."""
    return "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} {step.replace('*', f'*a{n - 1}')}\n" for n in range(1, 12))


YAML = {
    "lists of lists": (ladder("[" + "*," * 10 + "]"), "more than 50,000 values"),
    "mappings of mappings": (ladder("{" + "".join(f"k{n}: *, " for n in range(10)) + "}"), "more than 50,000 values"),
    "part of itself": ("a: &a\n  b: *a\n", "refers to what it is in, in line 2"),
    "merged with itself": ("a: &a {<<: *a}\n", "refers to what it is in"),
    "brackets": ("a: " + "[" * 100_000, "deeper than 40 levels, in line 1"),
    "indentation": ("".join(" " * n + "a:\n" for n in range(1000)), "deeper than 40 levels"),
    "many keys": ("".join(f"k{n}: 1\n" for n in range(100_000)), "more than 50,000 values"),
    "digits": ("a: " + "9" * 5000, "digits"),
    "digits of base 16": ("a: 0x" + "f" * 6000, "too many digits"),
    "digits of base 60": ("a: 1" + ":1" * 3000, "in line 1 is a number in base 60"),
    "a number in base 8": ("a:\n  seed: 010", "010 in line 2 is a number in base 8 to YAML; write it without"),
    "a signed number in base 8": ("[-0_17]", "-0_17 in line 1 is a number in base 8"),
    "a time": ("minutes: 1:30", "1:30 in line 1 is a number in base 60 to YAML; .* or a text in quotes"),
    "a time of a key": ("12:30: x", "12:30 in line 1"),
    "no date": ("a: 2001-13-45\n", "month"),
    "an object": ("a: !!python/object/apply:os.system [exit]\n", "could not determine a constructor"),
    "a key that is a list": ("? [a]\n: b\n", "found unhashable key"),
}


@pytest.mark.parametrize("kind", YAML)
def test_yaml_of_strangers_is_one_line(kind, tmp_path):
    text, said = YAML[kind]
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(UserError, match=said):
        read_yaml(tmp_path / "study.yaml")


def test_numbers_in_base_10_and_texts_that_look_like_others_are_read(tmp_path):
    text = "{a: 0, b: 0.05, c: '010', d: '1:30', e: 1_000, f: 10, g: -0, h: 08, i: a:10}"
    (tmp_path / "study.yaml").write_text(text)
    assert read_yaml(tmp_path / "study.yaml") == {
        "a": 0, "b": 0.05, "c": "010", "d": "1:30", "e": 1000, "f": 10, "g": 0, "h": "08", "i": "a:10",
    }  # fmt: skip


@pytest.mark.parametrize("sources", ["[1]", "{a: 1}", "{a: {}}", "{a: {uri: 3}}", "{../a: {uri: 'hub:a/b'}}", "{1: x}"])
def test_sources_of_another_form_are_named(sources, tmp_path):
    (tmp_path / "study.yaml").write_text(f"sources: {sources}\n")
    with pytest.raises(UserError, match=r"study\.yaml: 'sources"):
        bundle.main(["pack", "--config", str(tmp_path / "study.yaml"), "--output", str(tmp_path / "o.tar")])


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.zip"])
def test_a_few_bytes_that_unpack_to_gigabytes(name, tmp_path):
    content = b'{"a": "%s"}\n' % (b"x" * 5000) * (1 << 13)
    if name.endswith("gz"):
        (tmp_path / name).write_bytes(gzip.compress(content))
    else:
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.jsonl", content)
    with pytest.raises(UserError, match=f"{name}.*when unpacked"):
        messages.main([f"--{k}={tmp_path / v}" for k, v in {"input": name, "output": "o", "funnel": "f"}.items()])


def test_a_file_without_a_line_break(tmp_path):
    """Eight gigabytes of nothing, as a disk that was full leaves them."""
    file = tmp_path / "a.jsonl"
    with open(file, "wb") as stream:
        stream.truncate(8 << 30)
    with pytest.raises(UserError, match=r"a\.jsonl, line 1: longer than"):
        list(read_jsonl(file))
    with pytest.raises(UserError, match=r"a\.jsonl: more than 256 MiB"):
        read_json(file)


def test_lines_end_as_bytes_do(tmp_path):
    """JSON may have other line breaks within; the place of a line is found by its line feeds."""
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"a":\r1}\r\n{"a": "\xe2\x80\xa8\xc2\x85"}\n')
    assert [record["a"] for record in read_jsonl(file)] == [1, "\u2028\u0085"]


def test_a_device_is_written_to_and_stays(tmp_path):
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        write_json(device, {})
    except (OSError, UserError):
        pytest.skip("devices can't be made here")
    assert stat.S_ISCHR(device.stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/zero", "p", "a\0b", "x" * 300])
def test_names_of_no_files(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("p")
    parser = cli.parser("")
    parser.add_argument("--input", type=cli.FileName)
    with pytest.raises(UserError, match=f"--input {name[:200]}: (is a pipe, a socket or a device|can't be a file)"):
        parser.parse_args(["--input", name])


def test_what_the_machine_refuses_is_one_line(tmp_path, capsys):
    def fails(error):
        def main(argv):
            raise error

        with pytest.raises(SystemExit) as ended:
            cli.run(main)
        assert ended.value.code == 1
        return capsys.readouterr().err

    bug = fails(KeyError("a"))
    assert re.fullmatch(r"error: unexpected KeyError.*: 'a' \(at .*test_files\.py:\d+\); a damaged file.*\n", bug)
    panic = type("PanicException", (BaseException,), {})
    assert fails(panic("Onig: retry-limit")).startswith("error: a library gave up: Onig: retry-limit; is")
    assert fails(MemoryError()).startswith("error: out of memory")
    assert fails(OSError(28, "No space left on device", "a.npy")) == "error: a.npy: No space left on device\n"


def test_a_reply_of_a_model_that_is_no_name():
    reply = {"prompt_id": "p", "response": "r"}
    assert check_response(reply) is None
    assert check_response({**reply, "model": [[]]}) == "'model' is [[]], expected text"


GOOD = '{"id": "a", "content": "x y"}'
NESTED = '\n{"k":[' * 800
FILES = {  # what takes time in the square of its length if each beginning of a record is read up to the damage
    "lines and braces": GOOD + "\n" + '\n\n{"\n{"' * 60_000,
    "keys without values": GOOD + "\n" + ']]\n{"id":"\n{"\n{"\n' * 25_000,
    "a nest and a tail": GOOD + "\n" + NESTED + "1," * 300_000 + "X",
    "a nest that ends": GOOD + "\n" + NESTED + "1," * 300_000,
    "records in a nest": GOOD + "\n" + f'\n{{"k":[\n{GOOD},' * 800 + "1," * 300_000 + "X",
    "records cut off": GOOD + ("\n" + GOOD[:-4]) * 30_000,
}


@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_file_takes_no_square_of_its_length(kind, tmp_path):
    file = tmp_path / "a.json"
    file.write_text(FILES[kind])
    lost = []
    before = time.process_time()
    found = list(records(file, ("content", "id"), lambda *place: lost.append(place)))
    assert time.process_time() - before < 5
    assert found[0] == {"id": "a", "content": "x y"}
    assert lost
    if kind == "records in a nest":
        assert sum(value == found[0] for value in found if isinstance(value, dict)) == 801


def test_a_table_whose_rows_are_one_text_again_and_again(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    file = tmp_path / "a.parquet"
    text = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 50_000, pyarrow.int32()), ["x" * 100_000])
    parquet.write_table(pyarrow.table({"id": list(map(str, range(50_000))), "content": text}), file)
    with pytest.raises(UserError, match=r"a\.parquet.*when unpacked"):
        list(records(file, ("content",), lambda *_: None))


def test_a_time_zone_of_mars(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    times = pyarrow.array([1], pyarrow.timestamp("us", "Mars/Olympus"))
    parquet.write_table(pyarrow.table({"content": ["x"], "at": times}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet: not a readable Parquet file"):
        list(records(tmp_path / "a.parquet", ("content",), lambda *_: None))


def test_a_pipe_inside_a_folder_is_not_waited_for(tmp_path):
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        os.mkfifo(tmp_path / name)
    for read in (read_json, lambda path: list(read_jsonl(path))):
        with pytest.raises(UserError, match="is a pipe"):
            read(tmp_path / "config.json")
    with pytest.raises(UserError, match=r"tokenizer\.json: is a pipe"):
        load_any(tmp_path)


@pytest.mark.parametrize(
    "uri", ["https://[", "https://127.0.0.1:99999999/x", "https://\x1b[31m/x", "https://\u0661/", "file:a\0b"]
)
def test_addresses_that_are_none(uri, tmp_path, monkeypatch):
    monkeypatch.setenv("FALSEPROMISE_CACHE", "off")
    with pytest.raises(UserError):
        fetch(uri, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_message_that_quotes_a_whole_file_is_cut(capsys):
    def fails(argv):
        raise UserError("a: " + "x" * 100_000)

    with pytest.raises(SystemExit):
        cli.run(fails)
    said = capsys.readouterr().err
    assert len(said) < 4100
    assert said.startswith("error: a: xxx")
    assert said.endswith("… (96,003 more characters)\n")


def test_a_study_that_is_a_program_is_refused(tmp_path):
    """Snakemake runs the expressions of such a file when it reads it, before any check."""
    (tmp_path / "study.yaml").write_text("__use_yte__: true\ntitle: ?__import__('os').getcwd()\n")
    with pytest.raises(UserError, match="__use_yte__ makes it a program"):
        read_yaml(tmp_path / "study.yaml")


COMPUTING = {
    "view": "DROP TABLE answers; CREATE VIEW answers AS WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 "
    "FROM x) SELECT n AS key, '{}' AS answer, n AS stored FROM x",
    "trigger": "CREATE TRIGGER t AFTER INSERT ON answers BEGIN DELETE FROM answers; END",
}


@pytest.mark.parametrize("kind", COMPUTING)
def test_a_store_that_computes_is_refused(kind, tmp_path):
    """The view has rows without end, the trigger deletes answers that were paid for."""
    Store(tmp_path).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "answers.sqlite")) as db:
        db.executescript(COMPUTING[kind])
    for use in (lambda: Store(tmp_path), lambda: look.main([str(tmp_path)]), lambda: spent.main([str(tmp_path)])):
        with pytest.raises(UserError, match=f"answers.sqlite: has a {kind}, "):
            use()
