"""Small files are whole or as they were, private if asked, and never deleted when they make no sense."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rig.small_file import UNFINISHED, private_folder, read_small, set_aside, write_whole

posix = pytest.mark.skipif(sys.platform == "win32", reason="rights of POSIX")
WRITER = """\
import sys
from pathlib import Path
from rig.small_file import write_whole
number = 0
while True:
    number += 1
    write_whole(Path(sys.argv[1]), str(number % 10) * 50_000)
    print(number, flush=True)
"""


def test_text_and_bytes_are_replaced_as_a_whole_and_leave_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    write_whole(path, "µ = 1\n")
    write_whole(path, b"x")
    assert read_small(path) == b"x"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_is_killed_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "queue.json"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(5):
            writer.stdout.readline()
        seen = {len(path.read_bytes()) for _ in range(200)}
        writer.kill()
    text = path.read_text()
    assert seen == {50_000}
    assert len(text) == 50_000
    assert len(set(text)) == 1


def test_a_write_that_fails_leaves_the_old_file_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    write_whole(path, "old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rig.small_file.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@posix
def test_a_private_file_is_for_its_user_from_the_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    fsync = os.fsync

    def watched(handle: int) -> None:
        modes.append(stat.S_IMODE(os.fstat(handle).st_mode))
        fsync(handle)

    monkeypatch.setattr("rig.small_file.os.fsync", watched)
    path = tmp_path / "token"
    path.write_text("open to all")
    path.chmod(0o644)
    write_whole(path, "secret", private=True)
    assert modes[0] == 0o600
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@posix
def test_a_file_for_all_has_the_rights_that_the_user_gives_files(tmp_path: Path) -> None:
    (tmp_path / "ordinary").write_text("")
    write_whole(tmp_path / "a", "")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 1001)
    assert len(read_small(path, 1001)) == 1001
    with pytest.raises(ValueError, match="larger than 1000 bytes"):
        read_small(path, 1000)


@posix
def test_a_pipe_is_no_file_to_wait_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no plain file"):
        read_small(tmp_path / "pipe")


def test_files_that_make_no_sense_are_kept_each_under_a_name_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "queue.json"
    names: list[str] = []
    for text in ("first", "second"):
        path.write_text(text)
        names.append(set_aside(path).name)
        assert not path.exists()
    assert names == ["queue.json.bad-1", "queue.json.bad-2"]
    assert [(tmp_path / name).read_text() for name in names] == ["first", "second"]


def test_a_file_that_is_not_there_cannot_be_set_aside_and_takes_no_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        set_aside(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@posix
def test_a_folder_that_was_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "engines"
    folder.mkdir(mode=0o755)
    assert stat.S_IMODE(private_folder(folder).stat().st_mode) == 0o700


@posix
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rig.small_file.os.geteuid", lambda: os.getuid() + 1)
    with pytest.raises(PermissionError, match="another user"):
        private_folder(tmp_path)


def test_a_draft_that_a_crash_has_left_does_not_stand_in_the_way(tmp_path: Path) -> None:
    (tmp_path / f"a{UNFINISHED}1-ab").write_text("torn")
    write_whole(tmp_path / "a", "whole")
    assert read_small(tmp_path / "a") == b"whole"
