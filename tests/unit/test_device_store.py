"""Histories of devices on the disk: they grow, survive, and are never taken for new."""

import json
import os
from dataclasses import astuple, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.device_store import DeviceRecord, DeviceStore, KeptDevice
from sim_instruments.film.damage import Wear

USED = DeviceRecord("NC-7", damage=0.2, bleached=0.1, hazard=0.5, breakdowns=0, greatest_bias_v=20.0)
S = 1_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> DeviceStore:
    return DeviceStore(tmp_path / "devices")


def only_file(store: DeviceStore) -> Path:
    (path,) = store.folder.iterdir()
    return path


def test_a_new_serial_number_is_as_made(store: DeviceStore) -> None:
    assert store.load("NC-7") == DeviceRecord("NC-7")
    assert store.records() == []
    assert not store.folder.exists()


def test_what_was_saved_is_loaded(store: DeviceStore) -> None:
    store.save(USED)
    assert DeviceStore(store.folder).load("NC-7") == USED
    content = json.loads(only_file(store).read_text())
    assert content["simulated"] is True
    assert content["serial"] == "NC-7"


@pytest.mark.parametrize("name", ["damage", "bleached", "hazard", "greatest_bias_v"])
def test_smaller_numbers_are_refused(store: DeviceStore, name: str) -> None:
    store.save(USED)
    worse = replace(USED, breakdowns=1)
    healed = replace(worse, **{name: getattr(USED, name) / 2})
    with pytest.raises(ValueError, match="does not heal"):
        store.save(healed)
    assert store.load("NC-7") == USED


def test_a_breakdown_is_not_undone(store: DeviceStore) -> None:
    store.save(replace(USED, breakdowns=1))
    with pytest.raises(ValueError, match="does not heal"):
        store.save(USED)


@settings(max_examples=30, deadline=None)
@given(records=st.lists(st.tuples(*[st.floats(0, 0.99)] * 3, st.integers(0, 1), st.floats(0, 210)), max_size=6))
def test_no_order_of_writing_lowers_anything(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[float, ...]]
) -> None:
    store = DeviceStore(tmp_path_factory.mktemp("devices"))
    before = store.load("a")
    for values in records:
        damage, bleached, hazard, breakdowns, bias_v = values
        record = DeviceRecord("a", damage, bleached, hazard, int(breakdowns), bias_v)
        try:
            store.save(record)
        except ValueError:
            assert before.merged(record) != record
        after = DeviceStore(store.folder).load("a")
        assert all(new >= old for new, old in zip(astuple(after)[1:], astuple(before)[1:], strict=True))
        before = after


@pytest.mark.parametrize(
    "values", [(-0.1, 0, 0), (float("nan"), 0, 0), (0, 1.0, 0), (0, 0, float("inf")), (0, float("nan"), 0)]
)
def test_impossible_histories_are_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="cannot be the history"):
        DeviceRecord("a", *values)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"format": 1}', '{"format": 99, "serial": "NC-7"}', '{"format": 1, "serial": "NC-7", "damage": "0"}'],
)
def test_an_unreadable_history_is_not_a_new_device(store: DeviceStore, content: str) -> None:
    store.save(USED)
    only_file(store).write_text(content)
    for ask in (lambda: store.load("NC-7"), store.records, lambda: store.save(USED)):
        with pytest.raises(ValueError, match="not readable as the history"):
            ask()
    assert only_file(store).read_text() == content


def test_a_crash_before_renaming_loses_nothing(store: DeviceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save(USED)
    worse = replace(USED, damage=0.7, breakdowns=1)

    def crash(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            store.save(worse)
    assert store.load("NC-7") == worse
    assert store.records() == [worse]
    with pytest.raises(ValueError, match="does not heal"):
        store.save(USED)


def test_a_crash_while_writing_leaves_the_last_history(store: DeviceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save(USED)

    def torn(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("sim_instruments.device_store.json.dump", torn)
        with pytest.raises(KeyboardInterrupt):
            store.save(replace(USED, damage=0.7))
    assert store.load("NC-7") == USED
    assert store.records() == [USED]


def test_the_file_is_on_the_disk_before_it_gets_its_name(store: DeviceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append("sync"), fsync(handle))[1])
    monkeypatch.setattr(Path, "replace", lambda self, target: (done.append("rename"), rename(self, target))[1])
    store.save(USED)
    assert done[:2] == ["sync", "rename"]


def test_serial_numbers_are_told_apart_whatever_the_file_system(store: DeviceStore) -> None:
    serials = ["a", "A", "a/b", "a b", "../a", "", "*", "ä", "x" * 500]
    for i, serial in enumerate(serials):
        store.save(DeviceRecord(serial, damage=0.01 * (i + 1)))
    assert [store.load(serial).damage for serial in serials] == pytest.approx([0.01 * (i + 1) for i in range(len(serials))])
    assert [record.serial for record in store.records()] == sorted(serials)
    names = [path.name.lower() for path in store.folder.iterdir()]
    assert len(set(names)) == len(serials)
    assert max(map(len, names)) < 128


def test_a_device_is_written_before_it_is_biased_higher_than_ever(store: DeviceStore) -> None:
    kept = KeptDevice(store, "NC-7")
    kept.allow(-20.0, Wear(), 0)
    assert store.load("NC-7").greatest_bias_v == 20.0
    written = only_file(store).stat().st_mtime_ns
    kept.allow(20.0, Wear(), 1)
    kept.allow(0.0, Wear(), 2)
    assert only_file(store).stat().st_mtime_ns == written
    kept.allow(20.1, Wear(damage=0.01), 3)
    assert store.load("NC-7") == DeviceRecord("NC-7", damage=0.01, greatest_bias_v=20.1)


def test_ageing_is_written_as_it_happens(store: DeviceStore) -> None:
    kept = KeptDevice(store, "NC-7")
    kept.note(Wear(), 0, broken=False)
    assert not store.folder.exists()
    kept.note(Wear(bleached=1e-6), S, broken=False)
    kept.note(Wear(bleached=2e-6), S + S // 2, broken=False)
    assert not store.folder.exists()
    kept.note(Wear(bleached=3e-6), 2 * S, broken=False)  # a second of it
    assert store.load("NC-7").bleached == 3e-6
    kept.note(Wear(0, 4e-6, 0.01), 2 * S + 1, broken=False)  # much of it
    assert store.load("NC-7").hazard == 0.01
    kept.note(Wear(0.5, 4e-6, 0.01), 2 * S + 2, broken=True)
    assert store.load("NC-7").breakdowns == 1
    kept.close(Wear(0.5, 5e-6, 0.01), 2 * S + 3, broken=True)
    assert store.load("NC-7").bleached == 5e-6


def test_a_deleted_history_comes_back_with_the_next_entry(store: DeviceStore) -> None:
    kept = KeptDevice(store, "NC-7")
    kept.close(Wear(damage=0.3), 0, broken=True)
    only_file(store).unlink()
    kept.close(Wear(damage=0.3), 1, broken=False)
    assert store.load("NC-7") == DeviceRecord("NC-7", damage=0.3, breakdowns=1)


def test_what_another_program_has_added_stays(store: DeviceStore) -> None:
    one, other = KeptDevice(store, "NC-7"), KeptDevice(store, "NC-7")
    one.close(Wear(damage=0.3), 0, broken=True)
    other.close(Wear(bleached=0.2), 0, broken=False)
    assert store.load("NC-7") == DeviceRecord("NC-7", damage=0.3, bleached=0.2, breakdowns=1)
