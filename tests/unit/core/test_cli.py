"""No verb writes over what it reads."""

import json

import pytest

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
