"""Faults on the whole bench: what every wire shows, and damage that outlives the process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sim_instruments.device_store import DeviceStore
from sim_instruments.faults import FAULTS, Fault, FaultyCable, LooseContact, Misfires, apply, parse_fault
from sim_instruments.film.damage import Wear
from sim_instruments.persona import Edges
from sim_instruments.spectrograph import PIXELS
from sim_instruments.world import START_NS, World

MS = 1_000_000
S = 1_000_000_000
OPEN_NS = 500_000
COMPLIANCE = 1 << 3  # of a reading's status word

DESCRIPTION: dict[str, Any] = {
    "voltage_source": {"model": "keithley-2400", "resource": "GPIB0::24::INSTR"},
    "laser_trigger": {"model": "srs-dg645", "resource": "TCPIP::192.0.2.20::5025::SOCKET"},
    "spectrometer": {"model": "ocean-fx", "resource": "TCPIP::192.0.2.21::57357::SOCKET"},
    "cables": [
        {"from": "laser_trigger.EF", "to": "laser.trigger", "load": "50_ohm"},
        {"from": "laser_trigger.AB", "to": "spectrometer.trigger", "load": "50_ohm"},
    ],
    "pump": {"fluence_uj_cm2": 40.0},
    "laser": {"pulse_delay_s": 100e-6},
}
SET_UP = "*RST;:SENS:FUNC:CONC ON;:SENS:FUNC 'VOLT','CURR';:SENS:CURR:PROT {limit_a};:SENS:CURR:NPLC 0.1;:SOUR:VOLT:RANG 200"


class Bench:
    """A world with a host that talks to the source, and a hand on the laser's trigger."""

    def __init__(self, *faults: str, seed: int = 1, limit_a: float = 1e-3, **device: Any) -> None:
        self.world = World(DESCRIPTION, seed, faults=[parse_fault(text) for text in faults], **device)
        self.say(SET_UP.format(limit_a=limit_a))

    @property
    def now_s(self) -> float:
        return (self.world.now_ns() - START_NS) * 1e-9

    def say(self, text: str) -> str:
        """Send a message and return the replies."""
        source, world, reply = self.world.personas["voltage_source"], self.world, b""
        source.receive(text.encode() + b"\n", world.now_ns())
        world.sleep(2e-3)
        while (ready_ns := source.reply_ready_ns(world.now_ns())) is not None:
            world.advance_to(ready_ns)
            reply += source.take(1 << 16, world.now_ns())[0]
        return reply.decode().strip()

    def bias(self, voltage_v: float) -> None:
        self.say(f":SOUR:VOLT {voltage_v};:OUTP ON")

    def read(self) -> tuple[float, float, int]:
        """Voltage (V), current (A) and status word as the source reports them."""
        values = self.say(":READ?").split(",")
        return float(values[0]), float(values[1]), int(float(values[4]))

    def until(self, after_s: float) -> None:
        """Let time pass until `after_s` from the start."""
        self.world.advance_to(START_NS + round(after_s * S))

    def wear(self) -> Wear:
        return self.world.film.wear(self.world.now_ns())

    @property
    def voltage_v(self) -> float:
        return self.world.terminal.record.voltage_v[-1]

    def shine(self, shots: int, first_s: float) -> np.ndarray:
        """Raw counts of frames at 1 kHz, one pulse in each, from `first_s` after the start on."""
        path, open_ns = self.world.light_path, START_NS + round(first_s * S) + np.arange(shots, dtype=np.int64) * MS
        path.laser_triggered(Edges(open_ns, open_ns + 10_000, 0.0, 5.0))
        self.world.advance_to(int(open_ns[-1]) + MS)
        return path.expose(open_ns, open_ns + OPEN_NS)

    def band(self, raw: np.ndarray, centre_nm: float) -> np.ndarray:
        """Mean counts around a wavelength over the dark level, per frame."""
        near = np.abs(self.world.light_path.spectrograph.true_wavelength_nm - centre_nm) < 1
        return raw[:, near].mean(axis=1) - 1480


# --- writing faults down


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("breakdown@3.2s", Fault("breakdown", 3.2)),
        ("missing-pulses@1s:0.05", Fault("missing-pulses", 1.0, 0.05)),
        ("missing-pulses@1s:0.05:double", Fault("missing-pulses", 1.0, 0.05, "double")),
        ("loss-drift:step", Fault("loss-drift", mode="step")),
        (" stray-light@1e-3s:1e-3 ", Fault("stray-light", 1e-3, 1e-3)),
    ],
)
def test_faults_are_written_in_a_line(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("breakdwon@3.2s", "breakdown"),
        ("breakdown@3.2", "NAME"),
        ("", "NAME"),
        ("breakdown@-1s", "0 s or later"),
        ("breakdown@nans", "0 s or later"),
        ("breakdown@infs", "0 s or later"),
        ("missing-pulses:0.5", "0.01 to 0.2"),
        ("missing-pulses:0.05:sideways", "double"),
        ("saturation:double", "none"),
        ("bad-pixels:21", "1 to 20"),
    ],
)
def test_nonsense_is_refused_with_what_there_is(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        parse_fault(text)


def test_the_eight_faults_are_there() -> None:
    assert set(FAULTS) == {
        "breakdown",
        "open-contact",
        "loss-drift",
        "bad-pixels",
        "stray-light",
        "saturation",
        "missing-pulses",
        "contact-intermittent",
    }


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_before_its_onset_a_fault_changes_nothing(name: str) -> None:
    """Readings digit by digit; frames to a count, as light outside the film's bands is summed in another order."""
    sound, faulty = Bench(), Bench(*([f"{name}@30s:1"] if name == "breakdown" else [f"{name}@30s"]))
    for bench in (sound, faulty):
        bench.bias(20.0)
    assert [sound.say(":READ?") for _ in range(3)] == [faulty.say(":READ?") for _ in range(3)]
    one, other = (bench.shine(30, 0.2).astype(int) for bench in (sound, faulty))
    assert np.abs(one - other).max() <= 1
    assert (one != other).mean() < 1e-3


# --- the eight faults on the wires


def test_breakdown_pulls_the_source_into_compliance_at_that_moment() -> None:
    bench = Bench("breakdown@3.2s:1")
    bench.bias(20.0)
    bench.until(2.0)
    sound = bench.read()
    bench.until(3.1)
    bench.until(3.3)
    voltage_v, current_a, status = bench.read()
    assert sound[1] == pytest.approx(310e-6, rel=0.05)
    assert not sound[2] & COMPLIANCE
    assert current_a == pytest.approx(1e-3, rel=0.01)
    assert voltage_v == pytest.approx(1e-3 * (60 + 120), abs=0.15)  # noise of the 200 V range
    assert status & COMPLIANCE
    record = bench.world.terminal.record
    assert record.t_ns[-1] == START_NS + 3_200_000_000
    assert record.voltage_v[-1] == pytest.approx(0.18, rel=0.01)


def test_breakdown_announces_itself_on_the_current() -> None:
    bench = Bench("breakdown@1s:0.9")
    bench.bias(20.0)
    crackling = np.array([bench.read()[1] for _ in range(15)])
    steady = Bench("breakdown@20s:1")
    steady.bias(20.0)
    quiet = np.array([steady.read()[1] for _ in range(15)])
    assert np.diff(crackling[3:]).std() > 2.5 * np.diff(quiet[3:]).std()


def test_breakdown_turns_the_light_off_for_good() -> None:
    bench = Bench("breakdown@0.5s:0.1")
    off = bench.shine(20, 0.05)
    bench.bias(20.0)
    on = bench.shine(20, 0.3)
    after = bench.shine(20, 0.8)
    bench.bias(0.0)
    bench.bias(20.0)
    later = bench.shine(20, 1.2)
    assert bench.band(on, 535).mean() > 5 * bench.band(off, 535).mean()
    for dim in (after, later):
        assert bench.band(dim, 520).mean() / bench.band(off, 520).mean() == pytest.approx(0.6, abs=0.05)
        assert bench.band(dim, 535).mean() < bench.band(off, 535).mean()


def test_an_open_contact_leaves_the_voltage_and_takes_current_and_switching() -> None:
    bench, sound = Bench("open-contact@0.1s"), Bench()
    for each in (bench, sound):
        each.until(0.2)
        each.bias(20.0)
    light, switched = bench.shine(20, 0.5), sound.shine(20, 0.5)
    voltage_v, current_a, status = bench.read()
    assert voltage_v == pytest.approx(20.0, abs=0.2)
    assert abs(current_a) < 0.05 * 322e-6
    assert not status & COMPLIANCE
    assert bench.world.film.current_a(20.0, bench.world.now_ns()) == pytest.approx(10e-9, rel=0.01)
    assert bench.band(light, 535).mean() < 0.2 * bench.band(switched, 535).mean()


def test_a_partly_open_contact_takes_its_share_of_the_current() -> None:
    bench, sound = Bench("open-contact:0.4"), Bench()
    for each in (bench, sound):
        each.bias(20.0)
        each.until(0.2)
    assert bench.read()[1] / sound.read()[1] == pytest.approx(0.6, abs=0.01)


def test_an_intermittent_contact_shows_two_currents_and_mixed_light() -> None:
    bench = Bench("contact-intermittent@0.3s:0.7")
    bench.bias(20.0)
    bench.until(0.3)
    readings = np.array([bench.read()[1] for _ in range(60)])
    off = readings < 1e-6
    assert 0.1 < off.mean() < 0.9
    assert (readings[~off] > 250e-6).all()
    on = bench.band(bench.shine(1000, 1.5), 535)
    steady = Bench()
    steady.bias(20.0)
    assert on.std() > 3 * steady.band(steady.shine(1000, 1.5), 535).std()


def test_an_intermittent_contact_has_the_dwells_it_was_given() -> None:
    contact = LooseContact(0, 0.05, 0.007, np.random.default_rng(1))
    changes = [0]
    while len(changes) < 4001:
        changes.append(contact.next_ns(changes[-1]) or 0)
    lifted_s, closed_s = np.diff(changes)[::2] * 1e-9, np.diff(changes)[1::2] * 1e-9
    assert contact.at(changes[0]).resistance_ohm > 1e8
    assert lifted_s.mean() == pytest.approx(0.007, rel=0.07)
    assert closed_s.mean() == pytest.approx(0.05, rel=0.07)
    again = LooseContact(0, 0.05, 0.007, np.random.default_rng(1))
    assert again.at(changes[2000]) == contact.at(changes[2000])


@pytest.mark.parametrize(("mode", "dims"), [("slow", False), ("step", False), ("alignment", True)])
def test_drifting_loss_is_seen_by_the_optics_alone(mode: str, dims: bool) -> None:
    bench, sound = Bench(f"loss-drift@0.1s:{0.2 if mode == 'step' else 4}:{mode}"), Bench()
    for each in (bench, sound):
        each.bias(20.0)
    assert bench.world.film.current_a(20.0, 3 * S) == sound.world.film.current_a(20.0, 3 * S)
    film, plain = bench.world.film, sound.world.film
    times, pump = np.array([START_NS + 3 * S] * 2), np.array([1.0, 40.0])
    light, was = film.emit(times, pump), plain.emit(times, pump)
    rise = 0.2 if mode == "step" else 4 * 2.9 / 60
    assert light.se_area[0] / was.se_area[0] == pytest.approx(1 / (1 + rise) if dims else 1.0, abs=1e-3)
    assert light.ase[1].sum() < 0.8 * was.ase[1].sum()


@pytest.mark.parametrize("mode", ["dead", "hot", "stuck"])
def test_bad_pixels_are_single_pixels(mode: str) -> None:
    bench, sound = Bench(f"bad-pixels@0.1s:20:{mode}"), Bench()
    frames, good = bench.shine(60, 0.05), sound.shine(60, 0.05)
    assert np.abs(frames[:50].astype(int) - good[:50]).max() <= 1  # the onset is in the 51st frame
    frames, good = frames[51:], good[51:]
    changed = np.flatnonzero(np.abs(frames.astype(int) - good).max(axis=0) > 1)
    assert 1 <= len(changed) <= 20
    if mode == "hot":
        assert_allclose((frames[:, changed].astype(float) - good[:, changed]).mean(axis=0), 3000, rtol=0.03)
        assert len(changed) == 20
    if mode == "stuck":
        assert (frames[:, changed] == frames[0, changed]).all()
        assert len(changed) == 20
    if mode == "dead":
        lit = np.intersect1d(changed, np.flatnonzero(good.mean(axis=0) > 1600))
        assert len(lit)
        assert (np.abs(frames[:, lit].mean(axis=0) - 1480) < 40).all()


def test_a_bad_pixel_may_sit_on_the_line() -> None:
    on_line = []
    for seed in range(20):
        world = Bench().world if not seed else world  # noqa: F821  # one world is enough to draw in
        world.light_path.light_faults.clear()
        apply(world, Fault("bad-pixels", severity=1, mode="dead", seed=seed))
        pixel = world.light_path.light_faults[-1].dead[0]  # pyright: ignore
        on_line.append(abs(world.light_path.spectrograph.true_wavelength_nm[pixel] - 535) < 0.3)
    assert 3 <= sum(on_line) <= 17


def test_stray_light_is_linear_in_the_pump_and_knows_no_voltage() -> None:
    counts = {}
    for fluence in (0.0, 20.0, 40.0):
        for voltage_v in (0.0, 20.0):
            bench = Bench("stray-light:1e-2")
            bench.world.light_path.laser.fluence_uj_cm2 = fluence
            bench.bias(voltage_v)
            raw = bench.shine(60, 0.3)
            counts[fluence, voltage_v] = bench.band(raw, 400).mean(), bench.band(raw, 700).mean(), bench.band(raw, 600).mean()
    line, scatter = (np.array([counts[f, 0.0][i] for f in (0.0, 20.0, 40.0)]) for i in (0, 1))
    assert line[1] > 100
    assert (line[2] - line[0]) / (line[1] - line[0]) == pytest.approx(2, rel=0.03)
    assert (scatter[2] - scatter[0]) / (scatter[1] - scatter[0]) == pytest.approx(2, rel=0.15)
    assert counts[40.0, 20.0][0] == pytest.approx(counts[40.0, 0.0][0], rel=0.02)
    assert counts[0.0, 0.0][2] > counts[0.0, 0.0][1] + 50  # room light, 450 to 650 nm


def test_room_light_flickers_at_100_hz() -> None:
    bench = Bench("stray-light:1e-2")
    room = bench.band(bench.shine(200, 0.1), 600)
    power = np.abs(np.fft.rfft(room - room.mean())) ** 2
    assert power.argmax() == 20  # of 200 frames at 1 kHz


def test_too_much_light_saturates_flat_and_wide() -> None:
    bench, sound = Bench("saturation:20"), Bench()
    for each in (bench, sound):
        each.bias(20.0)
    raw, good = bench.shine(20, 0.3), sound.shine(20, 0.3)
    assert good.max() < 62_000
    full = (raw[0] == 65_535).sum()
    wide = (good[0] > good[0].max() / 2).sum()
    assert full >= 2
    assert (raw[0] > 32_768).sum() > wide or full > wide


@pytest.mark.parametrize("mode", ["dark", "dark-bursts", "double"])
def test_missing_pulses_leave_the_triggers(mode: str) -> None:
    bench, sound = Bench(f"missing-pulses@0.5s:0.1:{mode}"), Bench()
    raw = bench.shine(3000, 0.1)
    good = bench.band(sound.shine(3000, 0.1), 520)
    ratio = bench.band(raw, 520) / good
    bad = ratio > 1.5 if mode == "double" else ratio < 0.3
    assert not bad[:399].any()
    spread = 3 * np.sqrt(0.1 * 0.9 / 2600) * (8 if mode == "dark-bursts" else 1)
    assert bad[400:].mean() == pytest.approx(0.1, abs=spread)
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], bad.astype(int), [0]]))))[::2]
    assert runs.mean() > 5 if mode == "dark-bursts" else runs.mean() < 1.5


def test_silent_triggers_are_missing_at_laser_and_spectrometer_alike() -> None:
    world = World(DESCRIPTION, 1, faults=[parse_fault("missing-pulses:0.1:silent")])
    trigger = world.personas["laser_trigger"]
    for text in (b"DLAY 2,0,3E-4", b"DLAY 3,2,1E-5", b"DLAY 6,0,4E-4", b"DLAY 7,6,1E-5", b"TSRC 5;BURM 1;BURP 1E-3;BURC 1000"):
        trigger.receive(text + b"\n", world.now_ns())
        world.sleep(0.05)
    edges: dict[str, int] = {}
    arrived = world.personas["spectrometer"].receive_edges
    world.personas["spectrometer"].receive_edges = lambda name, pulses: (  # type: ignore[method-assign]
        edges.update({name: edges.get(name, 0) + len(pulses)}),
        arrived(name, pulses),
    )[1]
    trigger.receive(b"*TRG\n", world.now_ns())
    world.sleep(1.5)
    world.light_path.emit_until(world.now_ns())
    pulses = world.light_path.record.pulses["t_ns"]
    assert 850 < len(pulses) < 950
    assert edges == {"trigger": len(pulses)}
    with pytest.raises(ValueError, match="has a fault already"):
        apply(world, Fault("missing-pulses", mode="silent"))


def test_misfires_do_not_depend_on_how_pulses_come() -> None:
    times = np.arange(500, dtype=np.int64)
    whole = Misfires(100, 0.1, 30.0, 3).next(times)
    parts = Misfires(100, 0.1, 30.0, 3)
    assert_array_equal(np.concatenate([parts.next(part) for part in np.split(times, [7, 7, 180])]), whole)
    assert whole.any()
    assert not whole[:100].any()


def test_a_fault_of_another_seed_is_another_fault() -> None:
    stray = []
    for seed in (1, 1, 2):
        bench = Bench()
        apply(bench.world, Fault("stray-light", seed=seed))
        stray.append(bench.shine(5, 0.2))
    assert_array_equal(stray[0], stray[1])
    assert (stray[0] != stray[2]).any()


def test_a_faulty_cable_can_still_be_put_in() -> None:
    world = World(DESCRIPTION, 1)
    world.cable_to("spectrometer.trigger").fault = FaultyCable(invented_ns=[START_NS + MS])
    world.sleep(0.01)


# --- breakdown by itself, and what is kept


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.mark.parametrize("steps", [1, 7, 400])
def test_a_film_that_breaks_by_itself_is_noticed_at_once(steps: int) -> None:
    """However time is cut; the voltage came up in the same stretch."""
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
    assert record.t_ns[1:] == [START_NS + 3_000_000, 1_560_797_871] or (record.t_ns[2] - record.t_ns[1]) * 1e-9 > 0.1
    again = Bench(limit_a=0.01)
    again.bias(29.0)
    again.until(4.0)
    assert again.world.terminal.record.t_ns == record.t_ns


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
    for device in ({"state_folder": folder}, {"device": "NC-7"}):
        bench = Bench(**device)
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


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
from test_world_faults import Bench
bench = Bench(device="NC-7", state_folder={folder!r}, limit_a=0.1)
bench.bias(28.0)
for step in range(1, 1000):
    bench.until(0.05 * step)
    print(*bench.wear(), bench.world.film.broken(bench.world.now_ns()), flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def killed(folder: Path) -> Iterator[tuple[Wear, Path]]:
    """What a process had done to its film when it was killed during an over-voltage."""
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
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdin.close()
        process.stdout.close()
    yield Wear(*map(float, words[:3])), folder


def test_damage_outlives_a_process_killed_during_an_over_voltage(killed: tuple[Wear, Path]) -> None:
    reached, folder = killed
    record = DeviceStore(folder).load("NC-7")
    assert record.greatest_bias_v == 28.0
    assert reached.hazard > 0.01
    assert record.hazard >= reached.hazard - 1e-3
    assert record.damage >= reached.damage - 2e-5
    bench = Bench(device="NC-7", state_folder=folder, seed=77)
    assert bench.wear() == record.wear


def test_pixels_of_a_frame() -> None:
    assert Bench("bad-pixels").shine(2, 0.1).shape == (2, PIXELS)
