"""The simulated bench as physics: cables, faults of cables, and time that may be cut anywhere."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.obp import frame
from sim_instruments.persona import OutputPulses
from sim_instruments.world import START_NS, Cable, FaultyCable, World

US, MS = 1_000, 1_000_000
GAP_NS = 300 * US

Description = dict[str, Any]


def description(*extra: dict[str, str], step: bool = True, laser_load: str = "50_ohm") -> Description:
    cables = [
        {"from": "laser_trigger.EF", "to": "laser.trigger", "load": laser_load},
        {"from": "laser_trigger.AB", "to": "spectrometer.trigger", "load": "50_ohm"},
    ]
    if step:
        cables.append({"from": "laser_trigger.T0", "to": "voltage_source.trigger_link_1", "load": "high_z"})
    return {
        "voltage_source": {"model": "keithley-2400", "resource": "GPIB0::24::INSTR"},
        "laser_trigger": {"model": "srs-dg645", "resource": "TCPIP::192.0.2.20::5025::SOCKET"},
        "spectrometer": {"model": "ocean-fx", "resource": "TCPIP::192.0.2.21::57357::SOCKET"},
        "cables": [*cables, *extra],
        "pump": {"fluence_uj_cm2": 40.0},
        "laser": {"pulse_delay_s": 100e-6},
    }


def tell(world: World, role: str, data: bytes) -> None:
    world.personas[role].receive(data, world.now_ns())


def times(*t_ns: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(t_ns, dtype=np.int64)


def train(*begin_ns: int, width_ns: int = 10 * US, idle_v: float = 0.0, active_v: float = 2.5) -> OutputPulses:
    return OutputPulses(times(*begin_ns), times(*begin_ns) + width_ns, idle_v, active_v)


# --- time


def test_time_begins_and_goes_forward_only() -> None:
    world = World(description(), seed=1)
    assert world.now_ns() == START_NS
    world.sleep(0.25)
    assert world.now_ns() == START_NS + 250 * MS
    world.advance_to(START_NS)
    world.sleep(0.0)
    world.sleep(-1.0)
    assert world.now_ns() == START_NS + 250 * MS


# --- cables


@pytest.mark.parametrize(
    ("high_z", "idle_v", "active_v", "low_v", "high_v"),
    [(False, 0.0, 2.5, 0.0, 2.5), (True, 0.0, 2.5, 0.0, 5.0), (True, -0.5, 2.0, -1.0, 4.0), (False, 2.5, 0.0, 0.0, 2.5)],
)
def test_levels_at_the_input(high_z: bool, idle_v: float, active_v: float, low_v: float, high_v: float) -> None:
    edges = Cable("a.b", "c.d", high_z).edges(train(100, idle_v=idle_v, active_v=active_v))
    assert (edges.low_v, edges.high_v) == (low_v, high_v)


def test_a_negative_pulse_falls_first() -> None:
    positive = Cable("a.b", "c.d", False).edges(train(100, 900, width_ns=50))
    negative = Cable("a.b", "c.d", False).edges(train(100, 900, width_ns=50, idle_v=2.5, active_v=0.0))
    assert positive.rise_ns.tolist() == negative.fall_ns.tolist() == [100, 900]
    assert positive.fall_ns.tolist() == negative.rise_ns.tolist() == [150, 950]


@pytest.mark.parametrize(
    ("load", "level", "flashes"), [("50_ohm", "2.5", 1), ("50_ohm", "1.5", 0), ("high_z", "1.5", 1), ("high_z", "0.9", 0)]
)
def test_the_laser_needs_a_ttl_level_at_its_input(load: str, level: str, flashes: int) -> None:
    world = World(description(laser_load=load), seed=1)
    tell(world, "laser_trigger", f"LAMP 3,{level};*TRG\n".encode())
    world.sleep(0.1)
    world.light_path.emit_until(world.now_ns())
    assert len(world.light_path.record.pulses) == flashes


def test_a_cable_is_found_by_its_end() -> None:
    world = World(description(), seed=1)
    assert world.cable_to("laser.trigger").source == "laser_trigger.EF"
    with pytest.raises(KeyError):
        world.cable_to("laser.nothing")


def test_without_a_cable_nothing_arrives() -> None:
    world = World(description(step=False) | {"cables": []}, seed=1)
    tell(world, "laser_trigger", b"*TRG\n")
    world.sleep(0.1)
    world.light_path.emit_until(world.now_ns())
    assert len(world.light_path.record.pulses) == 0


# --- faulty cables


def through(fault: FaultyCable, pulses: OutputPulses, cuts: Sequence[int]) -> list[int]:
    """Begins of what comes out when the pulses come in the rounds that end at `cuts`."""
    out: list[int] = []
    since_ns = 0
    for until_ns in cuts:
        chosen = (pulses.begin_ns > since_ns) & (pulses.begin_ns <= until_ns)
        part = OutputPulses(pulses.begin_ns[chosen], pulses.end_ns[chosen], pulses.idle_v, pulses.active_v)
        some = fault(part, since_ns, until_ns)
        assert (some.end_ns > some.begin_ns).all()
        assert all(since_ns < t <= until_ns for t in some.begin_ns)
        out += some.begin_ns.tolist()
        since_ns = until_ns
    return out


FIVE = train(*(MS * i for i in range(1, 6)))
FAULTS: dict[str, tuple[Callable[[], FaultyCable], list[int]]] = {
    "nothing": (FaultyCable, [MS, 2 * MS, 3 * MS, 4 * MS, 5 * MS]),
    "lost": (lambda: FaultyCable(lost=frozenset({0, 3})), [2 * MS, 3 * MS, 5 * MS]),
    "doubled": (
        lambda: FaultyCable(doubled=frozenset({1, 4}), gap_ns=GAP_NS),
        [MS, 2 * MS, 2 * MS + GAP_NS, 3 * MS, 4 * MS, 5 * MS, 5 * MS + GAP_NS],
    ),
    "invented": (
        lambda: FaultyCable(invented_ns=[MS // 2, 2 * MS + 1, 7 * MS]),
        [MS // 2, MS, 2 * MS, 2 * MS + 1, 3 * MS, 4 * MS, 5 * MS, 7 * MS],
    ),
    "lost, its double alone": (lambda: FaultyCable(lost=frozenset({2}), doubled=frozenset({2})), [
        MS, 2 * MS, 3 * MS + GAP_NS, 4 * MS, 5 * MS,
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_faults_do_what_they_say(name: str) -> None:
    fault, expected = FAULTS[name]
    assert through(fault(), FIVE, [10 * MS]) == expected


@pytest.mark.parametrize("name", FAULTS)
@given(cuts=st.sets(st.integers(1, 10 * MS), max_size=12))
@settings(deadline=None, max_examples=40, derandomize=True)
def test_faults_do_the_same_however_time_is_cut(name: str, cuts: set[int]) -> None:
    fault, expected = FAULTS[name]
    assert through(fault(), FIVE, [*sorted(cuts - {10 * MS}), 10 * MS]) == expected


def test_a_faulty_cable_on_the_bench() -> None:
    world = World(description(), seed=1)
    tell(world, "laser_trigger", b"BURM 1;BURC 10;BURP 1E-3\n")
    world.sleep(0.02)
    stray_ns = world.now_ns() + 500 * MS
    world.cable_to("laser.trigger").fault = FaultyCable(lost=frozenset({2}), doubled=frozenset({5}), invented_ns=[stray_ns])
    tell(world, "laser_trigger", b"*TRG\n")
    world.sleep(1.0)
    world.light_path.emit_until(world.now_ns())
    flashes = world.light_path.record.pulses["t_ns"] - world.light_path.laser.pulse_delay_ns
    begin_ns = int(flashes[0])
    expected = [begin_ns + i * MS for i in range(10) if i != 2] + [begin_ns + 5 * MS + GAP_NS, stray_ns]
    assert flashes.tolist() == sorted(expected)


# --- the same world however its time is cut


END_NS = START_NS + 400 * MS
TRIGGER_MODE, BUFFERING, INTEGRATION, READ_BUFFER = 0x110110, 0x100810, 0x110010, 0x100980
LIST_SET_UP = (
    b":SOUR:VOLT:RANG 20;:SOUR:VOLT:MODE LIST;:SOUR:LIST:VOLT 20,0,-15,0\n"
    b":SOUR:DEL 0;:SENS:CURR:PROT 1E-3;:SENS:CURR:NPLC 0.01\n"
    b":SOUR:CLE:AUTO:MODE TCO;:SOUR:CLE:AUTO 1;:TRIG:COUN 4;:TRIG:SOUR TLIN;:TRIG:INP SOUR;:TRIG:ILIN 1\n"
)
TRAIN_SET_UP = b"BURM 1;BURP 1E-3;BURC 12;LPOL 0,0;DLAY 2,0,3E-4;DLAY 3,2,1E-5;DLAY 6,0,4E-4;DLAY 7,6,1E-5"
SPECTRUM_SET_UP = frame(BUFFERING, b"\x01") + frame(INTEGRATION, (500).to_bytes(4, "little")) + frame(TRIGGER_MODE, b"\x01")
# host's words at their times (ms): a list stepped by the first shot of each burst
STEPPED = [
    (0, "voltage_source", LIST_SET_UP),
    (0, "laser_trigger", TRAIN_SET_UP + b";BURT 1\n"),
    (0, "spectrometer", SPECTRUM_SET_UP),
    (100, "voltage_source", b":INIT\n"),
    *((ms, "laser_trigger", b"*TRG\n") for ms in (120, 160, 200, 240)),
    (
        320,
        "voltage_source",
        b":SOUR:CLE:AUTO 0;:SOUR:VOLT:MODE FIX;:TRIG:SOUR IMM;:TRIG:COUN 1;:SOUR:VOLT 5;:OUTP ON;:READ?\n",
    ),
]
# the source starts the train that steps it: edges run in a circle
CIRCLE = [
    (0, "voltage_source", LIST_SET_UP + b":ARM:OUTP TENT;:ARM:OLIN 2\n"),
    (0, "laser_trigger", TRAIN_SET_UP + b";TSRC 2;TLVL 1\n"),
    (0, "spectrometer", SPECTRUM_SET_UP),
    (100, "voltage_source", b":INIT\n"),
]
CIRCLE_CABLE = {"from": "voltage_source.trigger_link_2", "to": "laser_trigger.EXT", "load": "high_z"}
SCENES: dict[str, tuple[Description, list[tuple[int, str, bytes]], FaultyCable | None]] = {
    "stepped": (description(), STEPPED, None),
    "circle": (description(CIRCLE_CABLE), CIRCLE, None),
    "bad cable": (
        description(),
        STEPPED,
        FaultyCable(
            lost=frozenset({7}),
            doubled=frozenset({2, 20}),
            gap_ns=550 * US,
            invented_ns=[START_NS + 150 * MS, START_NS + 230_123_456],
        ),
    ),
}

Outcome = tuple[bytes, ...]


def play(name: str, cuts: Sequence[int], seed: int = 1) -> Outcome:
    """Everything there is to know of a scene: terminal voltage, pulses, exposures, and the bytes of all replies."""
    bench, script, fault = SCENES[name]
    world = World(bench, seed)
    if fault is not None:
        world.cable_to("spectrometer.trigger").fault = FaultyCable(
            fault.lost, fault.doubled, fault.invented_ns, gap_ns=fault.gap_ns
        )
    words = [(START_NS + ms * MS, role, data) for ms, role, data in script]
    for t_ns in sorted({*cuts, *(t for t, _, _ in words), END_NS}):
        world.advance_to(t_ns)
        for _, role, data in (word for word in words if word[0] == t_ns):
            tell(world, role, data)
    reading, _ = world.personas["voltage_source"].take(1 << 20, END_NS)
    spectra = b""
    for i in range(1, 6):
        world.advance_to(END_NS + i * 10 * MS)
        tell(world, "spectrometer", frame(READ_BUFFER, (15).to_bytes(4, "little")))
        world.advance_to(END_NS + i * 10 * MS + 5 * MS)
        reply, _ = world.personas["spectrometer"].take(1 << 20, world.now_ns())
        spectra += reply
    record, light = world.terminal.record, world.light_path.record
    tables = [light.pulses[name] for name in ("t_ns", "fluence_uj_cm2", "voltage_v")]
    tables += [light.exposures[name] for name in ("open_ns", "close_ns", "first_pulse", "pulses")]
    return (
        np.array(record.t_ns).tobytes(),
        np.array(record.voltage_v).tobytes(),
        *(np.asarray(table).tobytes() for table in tables),
        reading,
        spectra,
    )


@cache
def whole(name: str) -> Outcome:
    return play(name, [])


@pytest.mark.parametrize(("name", "steps", "frames"), [("stepped", 6, 48), ("circle", 5, 12), ("bad cable", 6, 51)])
def test_the_scenes_are_worth_comparing(name: str, steps: int, frames: int) -> None:
    outcome = whole(name)
    assert len(outcome[0]) // 8 >= steps
    assert len(outcome[-1]) > (frames - 4) * 4340
    if name != "circle":
        assert outcome[-2].count(b",") == 4
    levels = set(np.frombuffer(outcome[1]).tolist())
    assert {20.0, -15.0, 0.0} <= levels


@pytest.mark.parametrize("name", SCENES)
@given(cuts=st.lists(st.integers(START_NS, END_NS), max_size=30))
@settings(deadline=None, max_examples=10, derandomize=True)
def test_it_does_not_matter_how_time_is_cut(name: str, cuts: list[int]) -> None:
    assert play(name, cuts) == whole(name)


@pytest.mark.parametrize("name", SCENES)
def test_nor_does_it_when_time_is_cut_very_finely(name: str) -> None:
    assert play(name, range(START_NS + 99 * MS, START_NS + 260 * MS, 97 * US)) == whole(name)


def test_the_same_seed_gives_the_same_world_and_another_seed_another() -> None:
    again, other = play("stepped", []), play("stepped", [], seed=2)
    assert again == whole("stepped")
    assert other[0] == again[0]  # what the instruments do is no matter of chance
    assert other[3] != again[3]
    assert other[-1] != again[-1]
    assert other[-2] != again[-2]


# --- what the world says of itself


def test_voltages_can_be_looked_up() -> None:
    world = World(description(), seed=1)
    world.terminal.set_voltage(20.0, START_NS + 10)
    world.terminal.set_voltage(0.0, START_NS + 20)
    at = [0, START_NS + 9, START_NS + 10, START_NS + 19, START_NS + 20, START_NS + MS]
    assert world.terminal.record.at(times(*at)).tolist() == [0.0, 0.0, 20.0, 20.0, 0.0, 0.0]


def test_what_is_assumed_is_told() -> None:
    assumed = World(description(), seed=1).assumed()
    assert assumed
    assert all(isinstance(value, str) for value in assumed.values())


def test_films_differ_and_the_nominal_one_does_not() -> None:
    nominal, again = World(description(), 1).film.parameters, World(description(), 2).film.parameters
    assert nominal == again
    one, other = World(description(), 1, "CsPbBr3-07").film.parameters, World(description(), 1, "CsPbBr3-08").film.parameters
    assert one != other
    assert one == World(description(), 2, "CsPbBr3-07").film.parameters


def test_an_edge_for_a_connector_that_does_not_exist_is_an_error() -> None:
    world = World(description({"from": "laser_trigger.GH", "to": "voltage_source.nowhere", "load": "high_z"}), seed=1)
    tell(world, "laser_trigger", b"*TRG\n")
    with pytest.raises(KeyError):
        world.sleep(0.1)
