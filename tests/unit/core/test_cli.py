"""No verb writes over what it reads."""

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from falsepromise.core import cli
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
