"""Fetching a real data set's file and checking it."""

from __future__ import annotations

import hashlib

from falsepromise.sources import fetch


def test_real_file_with_its_sha256(real_data, tmp_path):
    path = real_data("gsm8k/test.jsonl")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    fetch.main(["--uri", f"file:{path}", "--sha256", digest, "--output", str(tmp_path / "out")])
    assert (tmp_path / "out").read_bytes() == path.read_bytes()
