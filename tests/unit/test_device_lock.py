"""Locks of devices that broke down: what is kept, what a damaged file means, several programs at once."""

import json
import threading
from pathlib import Path

import pytest

from drivers.errors import ComplianceReached, RecordError, RefusedError
from rig import device_lock
from rig.device_lock import Breakdown, Device, DeviceLocks, lock_broken
from rig.file_lock import FileLock

FILM = Device("B12 / left", simulated=False)
MET = Breakdown("2026-01-02T03:04:05+00:00", "/data/run.h5", 20.0, 0.19, 1e-3)


def file_of(locks: DeviceLocks) -> Path:
    [path] = locks.folder.glob("*.json")
    return path


def test_a_device_is_free_until_it_is_locked_and_after_it_was_unlocked(tmp_path: Path) -> None:
    locks = DeviceLocks(tmp_path)
    locks.require_unlocked(FILM)
    assert not locks.folder.exists(), "asking must not leave anything behind"
    locks.lock(FILM, MET)
    with pytest.raises(RefusedError) as refused:
        DeviceLocks(tmp_path).require_unlocked(FILM)
    said = str(refused.value)
    for word in ("device-locked", "2026-01-02", "/data/run.h5", "20 V were set", "1.000 mA at 0.19 V", "rig unlock"):
        assert word in said
    unlocked = locks.unlock(FILM, "ann on lab", "measured 3 Mohm", "2026-01-03")
    assert unlocked.breakdown == MET
    locks.require_unlocked(FILM)
    assert locks.all() == []


def test_who_and_why_and_every_breakdown_are_kept(tmp_path: Path) -> None:
    locks = DeviceLocks(tmp_path)
    locks.lock(FILM, MET)
    locks.unlock(FILM, "ann on lab", "measured 3 Mohm", "2026-01-03")
    locks.lock(FILM, MET)
    events = json.loads(file_of(locks).read_text("utf-8"))["history"]
    assert [event["event"] for event in events] == ["locked", "unlocked", "locked"]
    assert events[1] == {"event": "unlocked", "when": "2026-01-03", "who": "ann on lab", "why": "measured 3 Mohm"}
    [listed] = locks.all()
    assert (listed.device, listed.breakdown) == (FILM, MET)


@pytest.mark.parametrize("name", ["b12 / LEFT", " B12  / left "])
def test_a_slip_of_the_keyboard_is_no_other_sample(tmp_path: Path, name: str) -> None:
    locks = DeviceLocks(tmp_path)
    locks.lock(FILM, MET)
    assert locks.find(Device(name, simulated=False)) is not None


@pytest.mark.parametrize("other", [Device("B12 / right", False), Device("B12_/_left", False), Device(FILM.name, True)])
def test_another_name_and_a_simulated_one_are_other_devices(tmp_path: Path, other: Device) -> None:
    locks = DeviceLocks(tmp_path)
    locks.lock(FILM, MET)
    assert locks.find(other) is None


def test_serial_numbers_of_simulated_films_differ_by_case_as_their_histories_do(tmp_path: Path) -> None:
    locks = DeviceLocks(tmp_path)
    locks.lock(Device("NC-8", simulated=True), MET)
    assert locks.find(Device("nc-8", simulated=True)) is None


@pytest.mark.parametrize("name", ["", "../../etc", "a\0b", "\ud800", "x" * 300, "C:\\nul"])
def test_any_name_can_be_locked_and_stays_in_the_folder(tmp_path: Path, name: str) -> None:
    locks, device = DeviceLocks(tmp_path), Device(name, simulated=False)
    locks.lock(device, MET)
    assert locks.find(device) is not None
    assert [path.parent for path in tmp_path.rglob("*.json")] == [locks.folder]


DAMAGED = {
    "empty": b"",
    "no JSON": b"{",
    "no text": b"\xff\xfe\x00",
    "nested": b"[" * 100_000,
    "a list": b"[]",
    "no history": b'{"format": 1, "device": "B12 / left", "simulated": false, "history": []}',
    "of a later program": b'{"format": 2, "device": "B12 / left", "simulated": false, "history": [{"event": "unlocked"}]}',
    "half an event": b'{"format": 1, "device": "B12 / left", "simulated": false, "history": [{"event": "unlocked"}]}',
    "another device": json.dumps(
        {
            "format": 1,
            "device": "B13",
            "simulated": False,
            "history": [{"event": "unlocked", "when": "", "who": "", "why": ""}],
        }
    ).encode(),
    "not a number": json.dumps(
        {"format": 1, "device": FILM.name, "simulated": False, "history": [{"event": "locked", "set_v": float("nan")}]}
    ).encode(),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_lock_that_cannot_be_read_locks_and_is_set_aside_when_it_is_unlocked(tmp_path: Path, kind: str) -> None:
    locks = DeviceLocks(tmp_path)
    locks.lock(FILM, MET)
    path = file_of(locks)
    path.write_bytes(DAMAGED[kind])
    with pytest.raises(RefusedError, match="cannot be read"):
        locks.require_unlocked(FILM)
    assert [one.breakdown for one in locks.all()] == [None]
    locks.unlock(FILM, "ann", "looked", "2026")
    assert locks.find(FILM) is None
    [aside] = path.parent.glob("*.bad-*")
    assert aside.read_bytes() == DAMAGED[kind]
    assert str(aside) in path.read_text("utf-8")


def test_a_folder_in_the_place_of_a_lock_locks(tmp_path: Path) -> None:
    locks = DeviceLocks(tmp_path)
    (locks.folder / FILM.file_name).mkdir(parents=True)
    assert locks.find(FILM) is not None


def test_a_breakdown_is_written_over_a_damaged_lock(tmp_path: Path) -> None:
    locks = DeviceLocks(tmp_path)
    locks.lock(FILM, MET)
    file_of(locks).write_bytes(b"{")
    locks.lock(FILM, MET)
    found = locks.find(FILM)
    assert found is not None
    assert found.breakdown == MET


@pytest.mark.parametrize("why", ["", "  "])
def test_nothing_is_unlocked_without_a_reason(tmp_path: Path, why: str) -> None:
    locks = DeviceLocks(tmp_path)
    locks.lock(FILM, MET)
    with pytest.raises(RefusedError, match="no-reason"):
        locks.unlock(FILM, "ann", why, "2026")
    assert locks.find(FILM) is not None


def test_what_is_not_locked_cannot_be_unlocked(tmp_path: Path) -> None:
    locks = DeviceLocks(tmp_path)
    with pytest.raises(RefusedError, match="not-locked"):
        locks.unlock(FILM, "ann", "looked", "2026")
    locks.lock(FILM, MET)
    locks.unlock(FILM, "ann", "looked", "2026")
    with pytest.raises(RefusedError, match="not-locked"):
        locks.unlock(FILM, "ann", "looked", "2026")


def test_many_programs_at_once_lose_no_breakdown(tmp_path: Path) -> None:
    locks = DeviceLocks(tmp_path)
    threads = [threading.Thread(target=locks.lock, args=(FILM, MET)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(json.loads(file_of(locks).read_text("utf-8"))["history"]) == 8


def test_a_lock_that_somebody_holds_keeps_the_device_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_lock, "BUSY_TRIES", 2)
    locks = DeviceLocks(tmp_path)
    locks.lock(FILM, MET)
    held = FileLock.acquire(locks.folder / f"{FILM.file_name}.busy")
    assert held is not None
    with pytest.raises(RecordError, match="stays locked"):
        locks.unlock(FILM, "ann", "looked", "2026")
    locks.lock(FILM, MET)  # a breakdown is written all the same
    held.release()
    assert len(json.loads(file_of(locks).read_text("utf-8"))["history"]) == 2


def test_a_breakdown_without_a_readable_file_locks_and_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    fault = ComplianceReached("limit", next_step="look")
    locks = DeviceLocks(tmp_path)
    said = lock_broken(locks, FILM, tmp_path / "gone.h5", fault)
    assert "is locked" in said
    assert fault.next_step == f"look; {said}"
    found = locks.find(FILM)
    assert found is not None
    assert found.breakdown is not None
    assert found.breakdown.voltage_v is None
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    assert "NOT be written down" in lock_broken(DeviceLocks(tmp_path / "file"), FILM, tmp_path / "gone.h5", fault)


def test_any_other_fault_locks_nothing(tmp_path: Path) -> None:
    locks = DeviceLocks(tmp_path)
    assert lock_broken(locks, FILM, tmp_path / "gone.h5", RecordError("disk full")) == ""
    assert locks.all() == []
