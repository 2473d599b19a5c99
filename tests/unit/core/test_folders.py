"""A folder is replaced only where it is empty or ours; other files survive."""

import json
import os
from pathlib import Path

import pytest

from falsepromise.core.errors import UserError
from falsepromise.core.folders import MARK, begin, check_apart, finish, new_folder, remove


def write(folder: Path, **files: str) -> None:
    with new_folder(folder, "test") as new:
        for name, text in files.items():
            (new / name).write_text(text)


def test_our_own_folder_is_replaced(tmp_path):
    write(tmp_path / "out", a="1", b="2")
    write(tmp_path / "out", a="3")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [MARK, "a"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("marked", [True, False])
def test_other_files_survive(tmp_path, marked):
    if marked:
        write(tmp_path / "out", a="1")
    (tmp_path / "out" / "deep").mkdir(parents=True, exist_ok=True)
    (tmp_path / "out" / "deep" / "thesis.tex").write_text("years")
    with pytest.raises(UserError, match=r"1 files .*deep/thesis\.tex.*another --output"):
        write(tmp_path / "out", a="2")
    assert (tmp_path / "out" / "deep" / "thesis.tex").read_text() == "years"


def test_files_that_come_while_it_is_made_survive(tmp_path):
    new = begin(tmp_path / "out", "test")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes").write_text("x")
    with pytest.raises(UserError, match="notes"):
        finish(new, tmp_path / "out", "test")
    assert (tmp_path / "out" / "notes").exists()


@pytest.mark.parametrize("mark", ["{}", "[1", '{"made_by": "other", "files": ["notes"]}'])
def test_a_mark_that_was_copied_or_downloaded_says_nothing(tmp_path, mark):
    """A folder of ours that somebody published has one: its files count, not what it lists."""
    with new_folder(tmp_path / "out", "test") as new:
        (new / MARK).write_text(mark)
        (new / "a").write_text("1")
    assert json.loads((tmp_path / "out" / MARK).read_text()) == {"made_by": "test", "files": ["a"]}
    write(tmp_path / "out", a="2")
    (tmp_path / "out" / "notes").write_text("x")
    with pytest.raises(UserError, match="notes"):
        write(tmp_path / "out", a="3")


def test_nothing_is_left_of_a_folder_that_could_not_be_finished(tmp_path, monkeypatch):
    """The disk refuses the last step: the old folder is in its place again."""
    write(tmp_path / "out", a="1")
    moves = []

    def refuse(source, target):
        moves.append(target)
        if len(moves) == 2:
            raise OSError("refused")
        os.rename(source, target)

    monkeypatch.setattr(os, "replace", lambda s, t: refuse(s, t) if Path(s).is_dir() else os.rename(s, t))
    with pytest.raises(OSError, match="refused"):
        write(tmp_path / "out", a="2")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "a").read_text() == "1"


def test_a_file_and_a_foreign_unfinished_folder_survive(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is not a folder"):
        write(tmp_path / "file", a="1")
    (tmp_path / ".out.part").mkdir()
    (tmp_path / ".out.part" / "theirs").write_text("x")
    with pytest.raises(UserError, match="needs this name"):
        write(tmp_path / "out", a="1")


def test_a_killed_runs_leftovers_go(tmp_path):
    (begin(tmp_path / "out", "test") / "half").write_text("x")
    write(tmp_path / "out", a="1")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("half", [[], [f".{MARK}.abc.part"]])
def test_a_run_that_was_killed_as_it_began_is_no_obstacle(tmp_path, half):
    (tmp_path / ".out.part").mkdir()
    for name in half:
        (tmp_path / ".out.part" / name).write_text("{")
    write(tmp_path / "out", a="1")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_failure_leaves_the_old_folder(tmp_path):
    write(tmp_path / "out", a="1")
    with pytest.raises(RuntimeError), new_folder(tmp_path / "out", "test"):
        raise RuntimeError
    assert (tmp_path / "out" / "a").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    write(tmp_path / "out", a="1")
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "disk" / "a").exists()


@pytest.mark.parametrize(("output", "other"), [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("link", "a"), ("a/../a", "a")])
def test_overlaps_are_refused(tmp_path, output, other):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(UserError, match="overlaps"):
        check_apart(tmp_path / output, [None, tmp_path / other])
    check_apart(tmp_path / "c", [tmp_path / "a"])


def test_files_get_the_users_permissions(tmp_path):
    old = os.umask(0o027)
    try:
        with new_folder(tmp_path / "out", "test") as new:
            (new / "w").write_text("x")
            (new / "w").chmod(0o600)
    finally:
        os.umask(old)
    assert (tmp_path / "out" / "w").stat().st_mode & 0o777 == 0o640


def test_remove_takes_only_what_it_names(tmp_path):
    (tmp_path / "c" / "steps").mkdir(parents=True)
    (tmp_path / "c" / "mine").write_text("x")
    remove(tmp_path / "c", ["steps", "absent"])
    assert [p.name for p in (tmp_path / "c").iterdir()] == ["mine"]
    remove(tmp_path / "c", ["mine"])
    assert not (tmp_path / "c").exists()
