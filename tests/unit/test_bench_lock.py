"""One program per instrument, and engines that can be found."""

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drivers.errors import RecordError, RefusedError
from rig.bench_lock import BenchLock, lock_name
from rig.engine_file import EngineFile, find_engine, living_engines, new_token, publish_engine
from rig.file_lock import FileLock

SOURCE, TRIGGER = "GPIB0::24::INSTR", "TCPIP::192.0.2.20::5025::SOCKET"
OTHER = """\
import sys
from pathlib import Path
from rig.bench_lock import BenchLock
from rig.engine_file import publish_engine
folder = Path(sys.argv[1])
lock = BenchLock.acquire(sys.argv[2:], "rig run", bench="other.toml", folder=folder / "locks")
engine = dict(port=4711, token="t" * 43, bench=Path("other.toml"), resources=[], simulated=True, started_label="2026-01-31")
with publish_engine(**engine, folder=folder / "engines"):
    print("there", flush=True)
    sys.stdin.read()
"""


@contextmanager
def other_program(folder: Path, *resources: str) -> Generator["subprocess.Popen[bytes]"]:
    """Another process that holds these resources, and is published as an engine."""
    command = [sys.executable, "-c", OTHER, str(folder), *resources]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"there\n"
            yield process
        finally:
            process.kill()


def codes(error: RefusedError) -> list[str]:
    return [reason.code for reason in error.reasons]


@pytest.mark.fault("X12", "X11")
def test_a_bench_in_use_is_refused_with_who_has_it_and_is_free_when_that_is_killed(tmp_path: Path) -> None:
    locks = tmp_path / "locks"
    with other_program(tmp_path, SOURCE, TRIGGER) as other:
        with pytest.raises(RefusedError, match="The bench is in use") as refused:
            BenchLock.acquire([TRIGGER.lower().replace("tcpip", "TCPIP0"), "ASRL7::INSTR"], "rig doctor", folder=locks)
        text = str(refused.value)
        assert f"rig run, process {other.pid} on {socket.gethostname()}, bench other.toml, since 20" in text
        assert "rig attach" in text
        assert "rig stop" in text
        assert codes(refused.value) == ["bench-in-use"]
        BenchLock.acquire(["ASRL7::INSTR"], "rig doctor", folder=locks).release()  # none is kept by a refusal
        other.kill()
        other.wait()
        with BenchLock.acquire([SOURCE, TRIGGER], "rig run", folder=locks):
            pass


def test_a_lock_is_free_when_it_is_given_back_and_leaves_no_file(tmp_path: Path) -> None:
    with BenchLock.acquire([SOURCE], "rig run", folder=tmp_path), pytest.raises(RefusedError, match="this process"):
        BenchLock.acquire([SOURCE], "rig doctor", folder=tmp_path)
    lock = BenchLock.acquire([SOURCE], "rig doctor", folder=tmp_path)
    lock.release()
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_other_instruments_are_free_and_no_instrument_needs_no_folder(tmp_path: Path) -> None:
    with BenchLock.acquire([SOURCE], "a", folder=tmp_path), BenchLock.acquire([TRIGGER, TRIGGER], "b", folder=tmp_path):
        pass
    BenchLock.acquire([], "c", folder=tmp_path / "none").release()
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("GPIB0::24::INSTR", "gpib::24"),
        ("TCPIP::192.0.2.20::5025::SOCKET", " TCPIP0::192.0.2.20::5025::socket"),
        ("TCPIP::bench-dg645::INSTR", "tcpip0::BENCH-DG645::inst0::instr"),
        ("TCPIP::localhost::5::SOCKET", "TCPIP::127.0.0.1::5::SOCKET"),
        ("TCPIP::127.0.0.1::5::SOCKET", "ASRLsocket://127.0.0.1:5::INSTR"),
        ("USB0::0x1313::0x8078::P1::INSTR", "USB::4883::32888::P1::0::INSTR"),
        ("USB0::0x1313::0x8078::P1::INSTR", "USB0::0x1313::0x8078::P1::0::RAW"),
        ("ASRL3::INSTR", "ASRLCOM3::INSTR"),
    ],
)
def test_spellings_of_one_resource_are_one_lock(one: str, same: str) -> None:
    assert lock_name(one) == lock_name(same)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("GPIB0::24::INSTR", "GPIB1::24::INSTR"),
        ("GPIB0::24::INSTR", "GPIB0::24::1::INSTR"),
        ("TCPIP::192.0.2.20::5025::SOCKET", "TCPIP::192.0.2.20::5026::SOCKET"),
        ("USB0::0x1313::0x8078::P1::INSTR", "USB0::0x1313::0x8078::P2::INSTR"),
        ("ASRL3::INSTR", "ASRL4::INSTR"),
        ("ASRL/dev/ttyUSB0::INSTR", "ASRL/dev/ttyUSB1::INSTR"),
        ("something/../else", "something else"),
    ],
)
def test_different_instruments_have_different_locks_with_plain_names(one: str, other: str) -> None:
    assert lock_name(one) != lock_name(other)
    assert Path(lock_name(one)).name == lock_name(one)


@pytest.mark.skipif(sys.platform == "win32", reason="links of POSIX")
def test_a_link_to_a_port_is_that_port(tmp_path: Path) -> None:
    (tmp_path / "tty").write_text("")
    (tmp_path / "by-id").symlink_to(tmp_path / "tty")
    assert lock_name(f"ASRL{tmp_path}/by-id::INSTR") == lock_name(f"ASRL{tmp_path}/tty::INSTR")


def test_buses_of_two_computers_with_one_home_are_two_and_the_network_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    here = lock_name(SOURCE), lock_name(TRIGGER), lock_name("TCPIP::127.0.0.1::5::SOCKET")
    monkeypatch.setattr("rig.bench_lock.socket.gethostname", lambda: "another-computer")
    there = lock_name(SOURCE), lock_name(TRIGGER), lock_name("TCPIP::127.0.0.1::5::SOCKET")
    assert [a == b for a, b in zip(here, there, strict=True)] == [False, True, False]


def test_a_holder_that_has_said_nonsense_still_holds(tmp_path: Path) -> None:
    held = FileLock.acquire(tmp_path / lock_name(SOURCE))
    assert held is not None
    held.write(b"\xff" * 100)
    with pytest.raises(RefusedError, match="has not said who it is"):
        BenchLock.acquire([SOURCE], "rig run", folder=tmp_path)
    held.release()


@pytest.mark.skipif(sys.platform == "win32", reason="rights and links of POSIX")
def test_a_lock_never_follows_a_link_that_somebody_has_put_there(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / lock_name(SOURCE)).symlink_to(victim)
    with pytest.raises(RefusedError) as refused:
        BenchLock.acquire([SOURCE], "rig run", folder=tmp_path)
    assert codes(refused.value) == ["bench-lock-impossible"]
    assert victim.read_text() == "precious"


def test_a_folder_that_cannot_be_made_refuses_the_run_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RefusedError, match="nobody else") as refused:
        BenchLock.acquire([SOURCE], "rig run", folder=tmp_path / "file" / "locks")
    assert codes(refused.value) == ["bench-lock-impossible"]
    assert "ITO_RIG_STATE" in refused.value.next_step


def test_of_many_who_take_and_release_a_lock_never_two_have_it(tmp_path: Path) -> None:
    """Each adds to a number while it holds the lock; with two holders at once additions would be lost."""
    script = (
        "import sys; from pathlib import Path; from rig.file_lock import FileLock\n"
        "folder = Path(sys.argv[1]); done = 0\n"
        "while done < 100:\n"
        "    lock = FileLock.acquire(folder / 'lock')\n"
        "    if lock is None: continue\n"
        "    count = int((folder / 'count').read_text()); (folder / 'count').write_text(str(count + 1))\n"
        "    lock.release(); done += 1\n"
    )
    (tmp_path / "count").write_text("0")
    racers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(3)]
    assert [racer.wait(30) for racer in racers] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "300"


# --- where engines are found


@contextmanager
def published(folder: Path, bench: Path | None = None) -> Generator[EngineFile]:
    token = new_token()
    with publish_engine(
        port=5, token=token, bench=bench, resources=[SOURCE], simulated=True, started_label="2026-02-01", folder=folder
    ) as engine:
        yield engine


def test_a_published_engine_is_found_and_gone_afterwards(tmp_path: Path) -> None:
    with published(tmp_path, Path("b.toml")) as engine:
        assert living_engines(tmp_path) == [engine]
        assert find_engine(folder=tmp_path) == engine
        assert find_engine(Path("b.toml"), os.getpid(), folder=tmp_path) == engine
        assert engine.token not in repr(engine) + str(engine)
    assert living_engines(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="rights of POSIX")
def test_nobody_else_can_read_the_token(tmp_path: Path) -> None:
    folder = tmp_path / "engines"
    with published(folder):
        [path] = folder.glob("*.json")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.fault("X12")
def test_an_engine_that_was_killed_is_not_found_and_its_file_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "engines"
    with other_program(tmp_path) as other:
        assert [engine.pid for engine in living_engines(folder)] == [other.pid]
        other.kill()
        other.wait()
        assert list(folder.glob("*.json"))
        assert living_engines(folder) == []
        assert list(folder.iterdir()) == []


def test_two_engines_have_to_be_told_apart(tmp_path: Path) -> None:
    folder = tmp_path / "engines"
    with other_program(tmp_path) as other, published(folder, Path("b.toml")) as mine:
        with pytest.raises(RefusedError, match="2 engines are running") as refused:
            find_engine(folder=folder)
        assert str(other.pid) in refused.value.next_step
        assert find_engine(pid=mine.pid, folder=folder) == mine
        assert find_engine(Path("other.toml"), folder=folder).pid == other.pid
        with pytest.raises(RefusedError, match="No engine is running for process 1 ") as refused:
            find_engine(pid=1, folder=folder)
        assert str(mine.pid) in refused.value.next_step


def test_without_an_engine_it_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="No engine is running") as refused:
        find_engine(folder=tmp_path / "none")
    assert "rig engine" in refused.value.next_step


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b"\xff\xfe", b'{"pid": 1}', b"x" * 100_000, b"[" * 60_000])
def test_garbage_among_the_files_hides_no_engine_and_is_left_alone(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "a.json").write_bytes(garbage)
    (tmp_path / "folder.json").mkdir()
    with published(tmp_path) as engine:
        assert living_engines(tmp_path) == [engine]
    assert (tmp_path / "a.json").read_bytes() == garbage


def test_a_file_of_another_computer_with_the_same_home_is_left_alone(tmp_path: Path) -> None:
    with published(tmp_path) as engine:
        there = {**engine.model_dump(), "host": "another-computer"}
        path = tmp_path / f"another-computer-{engine.pid}.json"
        path.write_text(json.dumps(there))
        assert living_engines(tmp_path) == [engine]
    assert path.exists()


def test_a_process_is_published_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rig.engine_file.LOCK_PATIENCE_S", 0.05)
    with published(tmp_path) as engine:
        with pytest.raises(RecordError, match="already"), published(tmp_path):
            pass
        assert living_engines(tmp_path) == [engine]


def test_tokens_are_long_and_never_the_same() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 43
