"""Devices on the bench: breakdown by itself, and damage that outlives the process."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world_bench import Bench, S

from sim_instruments.device_store import DeviceStore
from sim_instruments.film.damage import Wear
from sim_instruments.world import START_NS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.mark.parametrize("steps", [1, 7, 400])
def test_a_film_that_breaks_by_itself_is_noticed_at_once(steps: int) -> None:
    """However time is cut, also when the voltage came up in the same stretch."""
    bench = Bench(limit_a=0.01)
    source = bench.world.personas["voltage_source"]
    source.receive(b":SOUR:VOLT 29;:OUTP ON\n", bench.world.now_ns())
    end_ns = bench.world.now_ns() + 4 * S
    for part in range(1, steps + 1):
        bench.world.advance_to(end_ns - 4 * S * (steps - part) // steps)
    record = bench.world.terminal.record
    assert record.voltage_v == [0.0, 29.0, pytest.approx(1.8, rel=0.01)]
    assert bench.world.film.broken(record.t_ns[2])
    assert not bench.world.film.broken(record.t_ns[2] - 1)
    again = Bench(limit_a=0.01)
    again.bias(29.0)
    again.until(4.0)
    assert again.world.terminal.record.t_ns == record.t_ns
    assert again.world.terminal.record.voltage_v == record.voltage_v


def test_a_bias_is_on_record_before_it_acts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench, order = Bench(device="NC-7", state_folder=folder), list[str]()
    save, step = DeviceStore.save, bench.world.film.set_voltage
    monkeypatch.setattr(DeviceStore, "save", lambda *args: (order.append("record"), save(*args))[1])
    monkeypatch.setattr(bench.world.film, "set_voltage", lambda *args: (order.append(f"{args[0]:g} V"), step(*args))[1])
    bench.bias(15.0)
    bench.bias(20.0)
    bench.bias(0.0)
    bench.bias(20.0)
    assert order == ["record", "15 V", "record", "20 V", "0 V", "20 V"]
    assert DeviceStore(folder).load("NC-7").greatest_bias_v == 20.0


def test_a_bias_that_cannot_be_recorded_does_not_act(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(device="NC-7", state_folder=folder)

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(DeviceStore, "save", full)
    with pytest.raises(OSError, match="no space"):
        bench.bias(25.0)
    assert bench.voltage_v == 0.0
    assert bench.world.film.voltage_v(np.array([bench.world.now_ns()]))[0] == 0.0


def test_a_breakdown_is_on_record_before_the_source_notices(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench("breakdown@0.5s:0.1", device="NC-7", state_folder=folder)
    bench.bias(20.0)
    noticed: list[int] = []
    source: Any = bench.world.personas["voltage_source"]
    notice = source.load_changed
    monkeypatch.setattr(
        source, "load_changed", lambda t: (noticed.append(DeviceStore(folder).load("NC-7").breakdowns), notice(t))
    )
    bench.until(1.0)
    assert noticed == [0, 1]  # weak spot, breakdown
    assert Bench(device="NC-7", state_folder=folder, seed=5).world.film.broken(START_NS)


def test_also_when_the_voltage_came_up_in_the_same_stretch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(device="NC-7", state_folder=folder)
    noticed: list[int] = []
    source: Any = bench.world.personas["voltage_source"]
    monkeypatch.setattr(source, "load_changed", lambda _: noticed.append(DeviceStore(folder).load("NC-7").breakdowns))
    source.receive(b":SOUR:VOLT 40;:OUTP ON\n", bench.world.now_ns())
    bench.world.sleep(1.0)
    assert noticed == [1]


def test_a_device_goes_on_ageing_where_it_was(folder: Path) -> None:
    first = Bench(device="NC-7", state_folder=folder)
    first.bias(20.0)
    first.shine(200, 0.1)
    first.until(3.0)
    first.bias(0.0)
    first.world.close()
    reached = first.wear()
    assert min(reached) > 0
    second = Bench(device="NC-7", state_folder=folder, seed=9)
    assert second.wear() == reached


def test_without_a_device_or_a_folder_nothing_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    for bench in (Bench(state_folder=folder), Bench(device="NC-7")):
        bench.bias(25.0)
        bench.until(2.0)
        bench.world.close()
    assert not list(folder.parent.iterdir())
    assert Bench(state_folder=folder).wear() == Wear()


def test_the_variant_is_the_device_on_the_bench() -> None:
    bench = Bench(variant="pmma")
    bench.bias(20.0)
    bench.until(0.5)
    assert bench.world.film.current_a(20.0, bench.world.now_ns()) == pytest.approx(0.2e-6, rel=0.01)
    with pytest.raises(ValueError, match="pmma"):
        Bench(variant="glass")


COMMANDS = ("*RST", ":OUTP OFF", ":OUTP ON", ":SYST:PRES", ":ABOR", "*CLS", ":SENS:CURR:PROT 1", "restart", "kill", "pulses")


@settings(max_examples=8, deadline=None)
@given(
    commands=st.lists(
        st.one_of(
            st.sampled_from(COMMANDS),
            st.floats(-35, 35).map(lambda v: f":SOUR:VOLT:RANG 200;:SOUR:VOLT {v:.2f};:OUTP ON"),
        ),
        min_size=3,
        max_size=8,
    ),
    seed=st.integers(0, 1000),
)
def test_no_command_heals(tmp_path_factory: pytest.TempPathFactory, commands: list[str], seed: int) -> None:
    folder = tmp_path_factory.mktemp("state")
    store, on_record = DeviceStore(folder), DeviceStore(folder).load("NC-7")
    bench = Bench(device="NC-7", state_folder=folder, seed=seed)
    before = bench.wear()
    for command in commands:
        if command in ("restart", "kill"):
            if command == "restart":
                bench.world.close()
            floor = before if command == "restart" else store.load("NC-7").wear
            seed += 1
            bench = Bench(device="NC-7", state_folder=folder, seed=seed)
            before = floor
        elif command == "pulses":
            bench.shine(20, bench.now_s + 0.01)
        else:
            bench.say(command)
            bench.world.sleep(0.5)
        now, recorded = bench.wear(), store.load("NC-7")
        assert all(new >= old for new, old in zip(now, before, strict=True)), command
        assert recorded.merged(on_record) == recorded, command
        before, on_record = now, recorded


OVERVOLT = """
import sys
sys.path.insert(0, {here!r})
from world_bench import Bench
bench = Bench(device="NC-7", state_folder={folder!r}, limit_a=0.1)
bench.bias(28.0)
for step in range(1, 1000):
    bench.until(0.05 * step)
    print(*bench.wear(), bench.world.film.broken(bench.world.now_ns()), flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def killed(folder: Path) -> tuple[Wear, Path]:
    """Return what a process had done to its film when it was killed during an over-voltage."""
    script = OVERVOLT.format(here=str(Path(__file__).parent), folder=str(folder))
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        words: list[str] = []
        for _ in range(12):
            process.stdin.write("\n")
            process.stdin.flush()
            words = process.stdout.readline().split()
    finally:
        process.kill()  # SIGKILL
        process.wait()
        process.stdin.close()
        process.stdout.close()
    return Wear(*map(float, words[:3])), folder


def test_damage_outlives_a_process_killed_during_an_over_voltage(killed: tuple[Wear, Path]) -> None:
    reached, folder = killed
    record = DeviceStore(folder).load("NC-7")
    assert record.greatest_bias_v == 28.0
    assert reached.hazard > 0.01
    assert record.hazard >= reached.hazard - 1e-3
    assert record.damage >= reached.damage - 2e-5
    bench = Bench(device="NC-7", state_folder=folder, seed=77)
    assert bench.wear() == record.wear
