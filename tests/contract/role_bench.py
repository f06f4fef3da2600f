"""The bench of the role contracts: any driver in its role on the simulated world, on either face, every wire watched and
breakable.

What a contract asserts is read from the world's own record (terminal voltage, pulses that left an output, exposures), never
from what a driver believes. A new model is one driver, one persona and one row of FACTS.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from faces import IN_PROCESS, SERVED, Face, make_face
from wire import NEVER_NS, Wire

from drivers import obp
from drivers.link import Link
from drivers.registry import DriverEntry, entries, find
from drivers.roles import (
    BurstProgram,
    ExposureProgram,
    FrameBatch,
    HoldLevel,
    LaserTrigger,
    LevelList,
    PulseOutput,
    SourceLimits,
    Spectrometer,
    VoltageSource,
)
from rig.bench import OPTIONAL_ROLES, default_bench
from sim_instruments.keithley_2400 import Keithley2400Persona, Keithley2400Quirks
from sim_instruments.persona import Persona
from sim_instruments.world import FaultyCable, World

US, MS, S = 1_000, 1_000_000, 1_000_000_000
LIMITS = SourceLimits(-20.0, 20.0, 1e-3)
GPIB, LINE = "GPIB0::7::INSTR", "TCPIP::192.0.2.7::4001::SOCKET"  # with a device clear, and without
SERIAL = "ASRL/dev/ttyUSB7::INSTR"
RAW_USB = "USB0::0x2457::0x1022::USB4C00123::RAW"
USBTMC = "USB0::0x1313::0x8078::P0004711::INSTR"
LINK_NAMES = {GPIB: "gpib", LINE: "line", SERIAL: "serial", RAW_USB: "raw-usb", USBTMC: "usbtmc"}
NAMES = {IN_PROCESS: LINK_NAMES, SERVED: {LINE: "served", SERIAL: "served-serial"}}


@dataclass(frozen=True)
class ModelFacts:
    """What a contract has to know of a model besides its driver.

    Parameters
    ----------
    resources      links it can be on
    question       bytes of a question, complete
    command        bytes of a harmless command, complete; cut short it is half a command
    by_hand        what somebody at the front panel does: output on, fires by itself, or measures without end
    on_a_line      makes the persona for links without a device clear, where it is not the same
    trigger_input  the source's connector for steps, "" when it has none
    settling_s     how long a source takes to walk to a new level; 0 when it is there at once
    reading_a      by how much a source's reading of its current may be wrong (A)
    reply_cut      (old, new) bytes that shorten an answer of a model whose answers have no terminator
    """

    resources: tuple[str, ...]
    question: bytes
    command: bytes
    by_hand: bytes
    on_a_line: Callable[[World], Persona] | None = None
    trigger_input: str = ""
    settling_s: float = 0.0
    reading_a: float = 2e-6
    reply_cut: tuple[bytes, bytes] = (b"\xc5\xc4\xc3\xc2", b"\xc5")


FACTS = {
    "keithley-2400": ModelFacts(
        (GPIB, LINE),
        b"*IDN?\n",
        b":SENS:CURR:NPLC 0.1\n",
        b":SOUR:VOLT:RANG 20;:SOUR:VOLT 15;:OUTP ON\n",
        lambda world: Keithley2400Persona(
            world.terminal, np.random.default_rng(1), quirks=Keithley2400Quirks(serial_link=True)
        ),
        "trigger_link_1",
    ),
    "keithley-2450": ModelFacts(
        (LINE, GPIB),
        b"*IDN?\n",
        b":SENS:CURR:NPLC 0.1\n",
        b":SOUR:VOLT:RANG 20;:SOUR:VOLT 15;:OUTP ON\n",
        trigger_input="digital_io_1",
    ),
    "scpi-supply": ModelFacts((LINE, GPIB), b"*IDN?\n", b"CURR 0.001\n", b"VOLT 15\nOUTP ON\n", settling_s=0.1, reading_a=2e-5),
    "srs-dg645": ModelFacts((LINE, GPIB), b"*IDN?\n", b"BURC 17\n", b"TRAT 1000;TSRC 0\n"),
    "ocean-fx": ModelFacts(
        (LINE,),
        obp.frame(0x000100),
        obp.frame(0x120010, b"\x01\x00"),
        obp.frame(0x100810, b"\x01") + obp.frame(0x110110, b"\x00") + obp.frame(0x100902),
    ),
    "ocean-usb4000": ModelFacts(
        (RAW_USB, LINE),
        b"\x05\x00",
        b"\x02\xf4\x01\x00\x00",
        b"\x02\x00\x12\x7a\x00\x0a\x03\x00\x09",
        reply_cut=(b"USB4C00123", b"USB4C"),
    ),
    "thorlabs-ell14": ModelFacts((SERIAL, LINE), b"0in", b"0ma00004600", b"0ma00008C00"),
    "thorlabs-sc10": ModelFacts((SERIAL, LINE), b"ens?\r", b"rep=17\r", b"ens\r"),
    "thorlabs-fw102c": ModelFacts((SERIAL, LINE), b"pos?\r", b"speed=0\r", b"pos=4\r"),
    "thorlabs-pm100d": ModelFacts(
        (USBTMC, LINE),
        b"*IDN?\n",
        b"SENS:AVER 17\n",
        b"SENS:AVER 300;:SENS:ENER:REF 1E-7;REF:STAT 1;:SENS:CORR 10;WAV 800;ENER 2E5;:SENS:PEAK 50;:CONF:FREQ;:MEAS:FREQ?\n",
    ),
}


def of_role(role: str) -> list[Any]:
    """Parameters (entry, resource, face) for every driver of a role on every link it can be on; sockets and serial lines are
    served too."""
    models = [entry for entry in entries() if entry.role == role and entry.build is not None]
    return [
        pytest.param((entry, resource, face), id=f"{entry.model}-{names[resource]}")
        for face, names in NAMES.items()
        for entry in models
        for resource in FACTS[entry.model].resources
        if resource in names
    ]


OPEN_FACES: list[Face] = []


class RoleBench:
    """Source, laser trigger and spectrometer of the default bench, with `entry` in its role on `resource`.

    The beam is free: of attenuator, shutter and energy meter only the one that `entry` is.

    Parameters
    ----------
    face       "in-process" or "served"; the latter is closed after the test
    timeout_s  of every link (s)
    """

    def __init__(
        self,
        entry: DriverEntry | None = None,
        resource: str = GPIB,
        face: str = IN_PROCESS,
        *,
        seed: int = 1,
        timeout_s: float = 2.0,
    ) -> None:
        description = {key: part for key, part in default_bench().description().items() if key not in OPTIONAL_ROLES}
        description["pump"] = {**description["pump"], "fluence_uj_cm2": 40.0}
        if entry is not None:
            description.setdefault(entry.role, {}).update(model=entry.model, resource=resource)
        trigger_input = FACTS[description["voltage_source"]["model"]].trigger_input
        for cable in [cable for cable in description["cables"] if cable["to"].startswith("voltage_source.")]:
            cable["to"] = f"voltage_source.{trigger_input}"
            if not trigger_input:
                description["cables"].remove(cable)
        self.face = make_face(face, description, seed)
        OPEN_FACES.append(self.face)
        self.world = self.face.world
        self.step_cable = self.world.cable_to(f"voltage_source.{trigger_input}") if trigger_input else None
        self.wires: dict[str, Wire] = {}
        self.log: list[tuple[str, bytes]] = []
        self.entries = {role: find(description[role]["model"], role) for role in self.world.personas}
        self.facts = {role: FACTS[entry.model] for role, entry in self.entries.items()}
        for role, persona in self.world.personas.items():
            facts = self.facts[role]
            if face == IN_PROCESS and self.world.resources[role] == LINE and facts.on_a_line is not None:
                persona = facts.on_a_line(self.world)
            self.wires[role] = Wire(persona, role, self.log, lost_ns=NEVER_NS if face == IN_PROCESS else None)
        for role, wire in self.wires.items():
            self.face.replace(role, wire)
        self.links: dict[str, Link] = {}
        self.instruments: dict[str, Any] = {}
        for role, driver in self.entries.items():
            name = self.world.resources[role]
            self.links[role] = driver.open_link(self.face.manager, name, self.face, timeout_s=timeout_s)
            assert driver.build is not None
            self.instruments[role] = driver.build(self.links[role])

    # --- the instruments

    @property
    def source(self) -> VoltageSource:
        return self.instruments["voltage_source"]

    @property
    def laser(self) -> LaserTrigger:
        return self.instruments["laser_trigger"]

    @property
    def spectrometer(self) -> Spectrometer:
        return self.instruments["spectrometer"]

    def now_ns(self) -> int:
        return self.face.now_ns()

    def wait(self, duration_s: float) -> None:
        self.face.sleep(duration_s)

    def by_hand(self, role: str) -> None:
        """Somebody at the front panel; then a moment for the instrument."""
        self.wires[role].persona.receive(self.facts[role].by_hand, self.now_ns())
        self.wait(0.02)

    def steps_at(self, *t_ns: int) -> None:
        """Edges arrive at the source's step input, if it has one, at these times (negative pulses of 20 us, TTL)."""
        if self.step_cable is not None:
            self.step_cable.fault = FaultyCable(invented_ns=t_ns, idle_v=2.5, active_v=0.0)

    def steps_after(self, *after_s: float) -> list[int]:
        """The same, some time from now (s); returns when."""
        times = [self.now_ns() + round(t * S) for t in after_s]
        self.steps_at(*times)
        return times

    def bursts(
        self, shots: int, period_ns: int = MS, *, outputs: Sequence[PulseOutput] | None = None, first_only: bool = True
    ) -> None:
        """Prepare, load and arm the laser trigger."""
        self.laser.prepare()
        self.laser.load(BurstProgram(period_ns, tuple(USUAL_OUTPUTS if outputs is None else outputs), first_only))
        self.laser.arm(shots)

    def all_frames(self) -> FrameBatch:
        """Everything that waits in the spectrometer, request by request."""
        batches = [self.spectrometer.collect()]
        while len(batches[-1]):
            batches.append(self.spectrometer.collect())
        return FrameBatch(
            *(np.concatenate([getattr(b, field) for b in batches]) for field in ("spectra", "device_time_us", "count"))
        )

    # --- the truth

    @property
    def voltage_v(self) -> float:
        return self.world.terminal.record.voltage_v[-1]

    @property
    def source_facts(self) -> ModelFacts:
        return self.facts["voltage_source"]

    def levels_since(self, t_ns: int) -> list[float]:
        """Levels (V) the terminals stood at or turned at from `t_ns` on; of a source that walks, not what lies between them."""
        voltages = self.voltages_since(t_ns)
        if not self.source_facts.settling_s:
            return voltages
        kept = voltages[:1]
        for before, here, after in zip(voltages, voltages[1:], voltages[2:], strict=False):
            if (here - before) * (after - here) < 0:
                kept.append(here)
        return [*kept, *voltages[1:][-1:]]

    def voltages_since(self, t_ns: int) -> list[float]:
        """Terminal voltages (V) from `t_ns` on, the one at `t_ns` first."""
        record = self.world.terminal.record
        return [
            float(record.at(np.array([t_ns]))[0]),
            *(v for t, v in zip(record.t_ns, record.voltage_v, strict=True) if t > t_ns),
        ]

    def steps_since(self, t_ns: int) -> list[tuple[int, float]]:
        """Changes (time, V) of the terminal voltage after `t_ns`."""
        record = self.world.terminal.record
        return [(t, v) for t, v in zip(record.t_ns, record.voltage_v, strict=True) if t > t_ns]

    def pulses(self, connector: str, role: str = "laser_trigger") -> tuple[list[int], list[int]]:
        """Begins and ends (ns) of everything that left an output."""
        parts = self.wires[role].emitted.get(connector, [])
        return [int(t) for p in parts for t in p.begin_ns], [int(t) for p in parts for t in p.end_ns]

    def pulses_since(self, t_ns: int) -> dict[str, int]:
        """How many pulses began after `t_ns`, per output of the laser trigger, only outputs with some."""
        counts = {name: sum(t > t_ns for t in self.pulses(name)[0]) for name in self.wires["laser_trigger"].emitted}
        return {name: count for name, count in counts.items() if count}

    def light_ns(self) -> list[int]:
        """When the film was hit; nothing that happened before may be looked at with the spectrometer afterwards."""
        self.world.light_path.emit_until(self.now_ns())
        return self.world.light_path.record.pulses["t_ns"].tolist()

    def exposures_ns(self) -> list[int]:
        """When exposures that came to their end were opened."""
        return self.exposures()["open_ns"].tolist()

    def exposures(self) -> dict[str, Any]:
        """Columns of the world's record of exposures that came to their end, (n,) each.

        Left out are exposures of no length: they stand for what the detector holds before it has seen anything.
        """
        self.wires["spectrometer"].persona.receive(b"", self.now_ns())  # it renders when it is spoken to
        record = self.world.light_path.record.exposures
        real = record["close_ns"] > record["open_ns"]
        return {name: record[name][real] for name in ("open_ns", "close_ns", "pulses")}


USUAL_OUTPUTS = (
    PulseOutput("T0", 0, 0, 5.0, high_z=True, positive=False),
    PulseOutput("AB", 300 * US, 10 * US, 2.5, high_z=False, positive=True),
    PulseOutput("EF", 400 * US, 10 * US, 2.5, high_z=False, positive=True),
)


# --- states to start from, per role -------------------------------------------------------------------------------


def _hold(bench: RoleBench) -> None:
    bench.source.prepare(LIMITS)
    bench.source.load(HoldLevel(20.0))
    bench.source.arm()
    bench.wait(bench.source_facts.settling_s)
    assert bench.voltage_v == 20.0


def _list_loaded(bench: RoleBench) -> None:
    if not bench.source.max_list_points:
        pytest.skip("walks no list")
    bench.source.prepare(LIMITS)
    bench.source.load(LevelList((20.0, 10.0, -20.0, 0.0), FIRST_LINE))


def _list_armed(bench: RoleBench) -> None:
    _list_loaded(bench)
    bench.source.arm()
    bench.wait(0.02)


def _list_walking(bench: RoleBench) -> None:
    _list_armed(bench)
    bench.steps_after(0.01)
    bench.wait(0.02)
    assert bench.voltage_v == 20.0


def _list_over(bench: RoleBench) -> None:
    _list_armed(bench)
    bench.steps_after(0.01, 0.03, 0.05, 0.07)
    bench.wait(0.1)


FIRST_LINE = 1


def _laser_loaded(bench: RoleBench) -> None:
    bench.bursts(5000)


def _laser_bursting(bench: RoleBench) -> None:
    bench.bursts(8000)
    bench.laser.fire()
    bench.wait(0.05)
    assert len(bench.pulses("EF")[0]) > 40


def _laser_done(bench: RoleBench) -> None:
    bench.bursts(20)
    bench.laser.fire()
    bench.wait(0.05)


def _exposures_loaded(bench: RoleBench) -> None:
    bench.spectrometer.prepare()
    bench.spectrometer.load(ExposureProgram(500 * US, "external_edge"))


def _exposures_armed(bench: RoleBench) -> None:
    _exposures_loaded(bench)
    bench.spectrometer.arm()


def _exposing_a_train(bench: RoleBench) -> None:
    _exposures_armed(bench)
    bench.bursts(400, 20 * MS)
    bench.laser.fire()
    bench.wait(0.1)


def _exposing_for_long(bench: RoleBench) -> None:
    bench.spectrometer.prepare()
    bench.spectrometer.load(ExposureProgram(8 * S, "software"))
    bench.spectrometer.arm()
    bench.spectrometer.trigger()
    bench.wait(0.1)


State = Callable[[RoleBench], None]
STATES: dict[str, dict[str, State]] = {
    "voltage_source": {
        "fresh": lambda bench: None,
        "by hand": lambda bench: bench.by_hand("voltage_source"),
        "prepared": lambda bench: bench.source.prepare(LIMITS),
        "holding": _hold,
        "list loaded": _list_loaded,
        "list armed": _list_armed,
        "list walking": _list_walking,
        "list over": _list_over,
    },
    "laser_trigger": {
        "fresh": lambda bench: None,
        "by hand": lambda bench: bench.by_hand("laser_trigger"),
        "prepared": lambda bench: bench.laser.prepare(),
        "armed": _laser_loaded,
        "bursting": _laser_bursting,
        "burst over": _laser_done,
    },
    "spectrometer": {
        "fresh": lambda bench: None,
        "by hand": lambda bench: bench.by_hand("spectrometer"),
        "prepared": lambda bench: bench.spectrometer.prepare(),
        "loaded": _exposures_loaded,
        "armed": _exposures_armed,
        "exposing a train": _exposing_a_train,
        "exposing for long": _exposing_for_long,
    },
}


def states_of(role: str) -> list[Any]:
    """Parameters, one per state of a role."""
    return [pytest.param(state, id=name) for name, state in STATES[role].items()]
