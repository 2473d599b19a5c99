"""No verb writes over what it reads."""

import ast
import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from falsepromise.core import cli
from falsepromise.core.code import ROOT
from falsepromise.core.errors import UserError
from falsepromise.curation import clean


@pytest.mark.parametrize("funnel", ["in.jsonl", "out.jsonl", "./sub/../in.jsonl"])
def test_an_output_is_no_input_and_no_other_output(tmp_path, monkeypatch, funnel):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    record = {"id": "a", "source": "s", "messages": [{"role": "user", "content": "q"}]}
    (tmp_path / "in.jsonl").write_text(json.dumps(record) + "\n")
    with pytest.raises(UserError, match=r"--(funnel|output) .*is also the file of --(input|output|funnel)"):
        clean.main(["--input", "in.jsonl", "--output", "out.jsonl", "--funnel", funnel])
    assert json.loads((tmp_path / "in.jsonl").read_text()) == record


# Options whose files are only read, and the folders of `falsepromise.command` and of the votes, to which it adds.
READ = set(
    """
    alpaca-eval artifacts base batch blocks cities config countries data database datasets dev dialogues directory
    diversity elements extra-tests facts file folder folders from-shards funnels held-out input judgements marks model
    models paper pool posts preference problems prompt prompts qa-prompt queries query-prompt questions reference
    references replay reports responses results samples scorer-file scores second second-judgements seeds sheet study
    style submissions tally text tokenizer training votes wikipedia
    """.split()  # noqa: SIM905
)


def file_options():
    """Each option of the package that is typed as a file or folder, from the source texts, with its place."""
    for file in sorted(ROOT.joinpath("falsepromise").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            kinds = [ast.unparse(word.value) for word in getattr(node, "keywords", ()) if word.arg == "type"]
            if kinds and kinds[0].split(".")[-1] in ("Path", "FileName") and "add_argument" in ast.unparse(node.func):
                yield node.args[-1].value.removeprefix("--"), f"{file.name}:{node.lineno}"


def test_each_option_for_a_file_is_read_or_one_of_the_outputs():
    """`--export` was none of them: it wrote the export over the database of all ratings, which it had read."""
    found = dict(file_options())
    assert len(found) > 60, "the parsers are read no more"
    written = {name.replace("_", "-") for name in cli.OUTPUTS}
    new = {name: place for name, place in found.items() if name not in READ | written}
    assert not new, "enter it in cli.OUTPUTS if a verb writes there, else in READ"
    assert READ | written <= found.keys(), sorted((READ | written) - found.keys())


VERB = "import gc\nfrom falsepromise.core import cli\nprint(gc.isenabled())\ncli.run(lambda _: print(gc.isenabled()))\n"


def test_a_verbs_imports_are_not_collected_and_its_work_is(tmp_path):
    (tmp_path / "verb.py").write_text(VERB)
    code = "import sys; sys.argv[0] = '-m'; import verb"  # as the interpreter finds a verb
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True"]


def test_imports_later_leave_the_collector_as_it_was():
    assert gc.isenabled()
    with cli.importing():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_the_list_of_verbs_is_a_verb():
    list_of_verbs = [sys.executable, "-m", "falsepromise"]
    said = subprocess.run(f"{' '.join(list_of_verbs)} | head -1", shell=True, capture_output=True, text=True)
    assert (said.stdout, said.stderr) == ("study\n", "")
    said = subprocess.run([*list_of_verbs, "style"], capture_output=True, text=True, check=True)
    assert "falsepromise.style.compare" in said.stdout
    assert "falsepromise.preference.rate" not in said.stdout
    said = subprocess.run([*list_of_verbs, "stile"], capture_output=True, text=True)
    assert said.returncode == 2
    assert "'stile' is no stage; expected one of study," in said.stderr


@pytest.mark.parametrize("level", ["", "loud", "5", "debug", "WARN"])
def test_a_name_that_the_terminal_lacks_and_a_level_that_is_none(tmp_path, level):
    """Both ended in a traceback: of `print`, and of `logging`."""
    code = "from falsepromise.core import cli; cli.run(lambda _: print('ümläut'))"
    own = {
        "FALSEPROMISE_LOG_LEVEL": level,
        "PYTHONIOENCODING": "ascii",
        "PYTHONPATH": str(Path(cli.__file__).parents[2]),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | own, capture_output=True, text=True, check=True
    )
    assert done.stdout == "\\xfcml\\xe4ut\n"
    assert not done.stderr


FULL = """
import resource, signal, sys
import numpy as np
from falsepromise.core import cli
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
cli.run(lambda _: np.save(sys.argv[1], np.zeros(10_000)))
"""


def test_a_full_disk_under_an_array_is_one_line(tmp_path):
    """NumPy's error has no number; the kernel takes a part of the bytes here, as on a full disk."""
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path / "a.npy"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: an array can't be written whole (")
    assert done.stderr.endswith("is the disk full?\n")
