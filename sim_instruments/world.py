"""The bench as physics: personas joined by trigger cables and by light, on one stepped clock.

The world is a function of (description, seed, device and its history, faults) and of what the host writes when. Edges travel in
arrays: one call of `advance_to` moves everything that happens in that stretch of time, whatever its length, and the result
does not depend on how the time was cut.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from sim_instruments.beam import Beam
from sim_instruments.catalogue import Surroundings, find
from sim_instruments.cw_light import ContinuousLight
from sim_instruments.detector_noise import PooledNoise
from sim_instruments.device_store import DeviceRecord, DeviceStore, KeptDevice
from sim_instruments.energy_meter import true_area_cm2
from sim_instruments.faults import Fault, apply
from sim_instruments.faults import FaultyCable as FaultyCable
from sim_instruments.film import variants
from sim_instruments.film.film import Film
from sim_instruments.laser import LaserClock, PumpLaser
from sim_instruments.light_path import LightPath
from sim_instruments.persona import Edges, OutputPulses, Persona, TimesNs
from sim_instruments.spectrograph import Spectrograph

LASER_INPUT_MIN_V = 2.0  # TTL, assumed
BENCH_NAME = "simulated"  # fixes by how much the entered spot area is wrong
START_NS = 1_000_000_000  # the instruments have been on for a second when the host first looks


class WireFault(Protocol):
    """What a bad cable does to the pulses that enter it."""

    def __call__(self, pulses: OutputPulses, since_ns: int, until_ns: int) -> OutputPulses:
        """Pulses that come out at the far end in (since_ns, until_ns]."""
        ...


@dataclass(slots=True)
class Cable:
    """A coaxial cable from an output to an input; into a high impedance a 50 ohm output doubles its level."""

    source: str
    target: str
    high_z: bool
    fault: WireFault | None = None

    def edges(self, pulses: OutputPulses) -> Edges:
        """Rising and falling edges at the far end (levels in V at the input)."""
        gain = 2.0 if self.high_z else 1.0
        idle_v, active_v = gain * pulses.idle_v, gain * pulses.active_v
        if active_v >= idle_v:
            return Edges(pulses.begin_ns, pulses.end_ns, low_v=idle_v, high_v=active_v)
        return Edges(pulses.end_ns, pulses.begin_ns, low_v=active_v, high_v=idle_v)


@dataclass(slots=True)
class VoltageRecord:
    """The true terminal voltage, as the film saw it: from `t_ns[i]` on it was `voltage_v[i]`."""

    t_ns: list[int] = field(default_factory=lambda: [0])
    voltage_v: list[float] = field(default_factory=lambda: [0.0])

    def at(self, t_ns: TimesNs) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Terminal voltage (V) at each time."""
        index = np.searchsorted(np.asarray(self.t_ns), t_ns, side="right") - 1
        return np.asarray(self.voltage_v)[index]


class RecordedTerminal:
    """The source's output terminals: passes everything to the film and remembers the voltage.

    A bias higher than the device has ever seen is on record before the film feels it.
    """

    def __init__(self, film: Film, kept: KeptDevice | None = None) -> None:
        self.film = film
        self.kept = kept
        self.record = VoltageRecord()

    def current_a(self, voltage_v: float, t_ns: int) -> float:
        """DC current (A) drawn at `voltage_v` (V)."""
        return self.film.current_a(voltage_v, t_ns)

    def set_voltage(self, voltage_v: float, t_ns: int) -> None:
        """From `t_ns` on the terminals are at `voltage_v` (V)."""
        if self.kept is not None:
            self.kept.allow(voltage_v, self.film.wear(t_ns), t_ns)
        self.record.t_ns.append(t_ns)
        self.record.voltage_v.append(voltage_v)
        self.film.set_voltage(voltage_v, t_ns)


class Source(Protocol):
    """A voltage source that can be told that its load has changed."""

    def load_changed(self, t_ns: int) -> None:
        """Regulate anew at `t_ns`."""
        ...


REQUIRED_ROLES = ("voltage_source", "laser_trigger", "spectrometer")
OPTIONAL_ROLES = ("attenuator", "shutter", "energy_meter", "cw_shutter", "filter_wheel")
SEEDED = ("attenuator", "shutter", "energy_meter", "laser_trigger", "spectrometer", "cw_shutter", "cw_light", "filter_wheel")
"""Whose noise has which seed: what is new goes to the end, so that everybody else's stays as it is."""
LAST = ("energy_meter", "spectrometer")  # they look at light, which must have left the laser first
MASTER = "laser"  # a laser that is its own clock sends pulses into cables like an instrument, but nobody talks to it


class World:
    """Everything on the bench, moved forward by whoever waits. Fulfils the drivers' Clock by its shape.

    Parameters
    ----------
    description  plain dict: role -> {model, resource}, of which those of OPTIONAL_ROLES may be missing,
                 "cables" -> [{from, to, load}], "pump" -> {fluence_uj_cm2 with nothing in the beam, spot_area_cm2},
                 "laser" -> {pulse_delay_s, trigger, rate_hz and clock_ppm if it is "master"}
    seed         of all noise; the same seed and the same host bytes at the same times give the same replies
    device       serial number of the film; None is the nominal, pristine one, of which nothing is kept
    variant      make of the device, see film/variants.py; None is the bare film
    state_folder where the histories of devices are; None: the device is as made, and nothing is kept
    faults       to put in at the start
    pooled_noise read the spectrometer's noise from a pool, see detector_noise.py: faster, not for long statistics
    wire_time    whether personas simulate the time that transfers take; real wires take their own
    """

    def __init__(
        self,
        description: Mapping[str, Any],
        seed: int,
        device: str | None = None,
        variant: str | None = None,
        state_folder: Path | str | None = None,
        faults: Iterable[Fault] = (),
        pooled_noise: bool = False,
        wire_time: bool = True,
    ) -> None:
        source_rng, laser_seed, light_seed, *other_rngs = np.random.SeedSequence(seed).spawn(3 + len(SEEDED))
        self._kept = None if device is None or state_folder is None else KeptDevice(DeviceStore(state_folder), device)
        parameters = variants.device(device, variant)
        self.film = Film(parameters, None if self._kept is None else self._kept.record.wear, seed)
        self.terminal = RecordedTerminal(self.film, self._kept)
        pump, pump_laser = description["pump"], description["laser"]
        self.beam = Beam(true_area_cm2(float(pump.get("spot_area_cm2", 0.01)), BENCH_NAME))
        laser = PumpLaser(
            int(laser_seed.generate_state(1)[0]),
            float(pump["fluence_uj_cm2"]),
            round(float(pump_laser["pulse_delay_s"]) * 1e9),
            self.beam,
        )
        noise_seed = int(light_seed.generate_state(1)[0])
        geometry = find(description["spectrometer"]["model"], "spectrometer").geometry
        noise = PooledNoise(noise_seed, geometry.pixels) if pooled_noise else None
        spectrograph = Spectrograph(noise_seed, noise=noise, geometry=geometry)
        seeds = {"voltage_source": source_rng, **dict(zip(SEEDED, other_rngs, strict=True))}
        continuous = ContinuousLight(seeds["cw_light"], self.beam.area_cm2) if "cw_shutter" in description else None
        beams = {} if continuous is None else {"cw_shutter": continuous.beam}
        self.light_path = LightPath(laser, self.film, spectrograph, self.beam, continuous)
        roles = [role for role in (*OPTIONAL_ROLES, *REQUIRED_ROLES) if role in REQUIRED_ROLES or role in description]
        self.personas: dict[str, Persona] = {
            role: find(description[role]["model"], role).make(
                Surroundings(
                    self.terminal,
                    self.light_path,
                    beams.get(role, self.beam),
                    np.random.Generator(np.random.PCG64(seeds[role])),
                    description[role],
                    wire_time,
                )
            )
            for role in roles
        }
        self.resources: dict[str, str] = {role: description[role]["resource"] for role in self.personas}
        self._laser_clock = None
        if pump_laser.get("trigger") == "master":
            self._laser_clock = LaserClock(self.light_path, pump_laser["rate_hz"], pump_laser.get("clock_ppm", 20.0), START_NS)
        self.cables: list[Cable] = [
            Cable(cable["from"], cable["to"], cable["load"] == "high_z") for cable in description["cables"]
        ]
        self.pulses_carried = 0  # along all cables so far: whether anything runs
        self._load_changes: list[int] = []
        self._t_ns = self._coasted_ns = START_NS
        self._run(START_NS)
        for fault in faults:
            apply(self, fault)

    def now_ns(self) -> int:
        """World time (ns)."""
        return max(self._t_ns, self._coasted_ns)

    def sleep(self, duration_s: float) -> None:
        """Let `duration_s` (s) pass."""
        if duration_s > 0:
            self.advance_to(self.now_ns() + round(duration_s * 1e9))

    def coast_to(self, t_ns: int) -> None:
        """Let time pass while a reply travels; what happens meanwhile happens when anything is next asked or told."""
        self._coasted_ns = max(self._coasted_ns, t_ns)

    def catch_up(self) -> bool:
        """Let happen what coasting has put off; tell whether there was anything."""
        behind = self._coasted_ns > self._t_ns
        if behind:
            self.advance_to(self._coasted_ns)
        return behind

    def advance_to(self, t_ns: int) -> None:
        """Let everything happen up to `t_ns`; earlier times are a no-op."""
        while (change_ns := self._next_change_ns(max(t_ns, self._t_ns))) is not None:
            self._run(change_ns)
            self._load_changed(change_ns)
        if t_ns > self._t_ns:
            self._run(t_ns)

    def close(self) -> None:
        """Write down the last of what the device has been through."""
        self.catch_up()
        if self._kept is not None:
            self._kept.close(self.film.wear(self._t_ns), self._t_ns, broken=self.film.broken(self._t_ns))

    @property
    def source(self) -> Source:
        """Get the voltage source as what regulates the film's voltage."""
        return cast(Source, self.personas["voltage_source"])

    def history(self) -> dict[str, Any]:
        """What the film has been through so far; all zero for a pristine one."""
        record = DeviceRecord("") if self._kept is None else self._kept.record
        return asdict(record)

    def assumed(self) -> dict[str, str]:
        """What this bench takes for granted because nobody has measured it: name -> value, for the run file."""
        return {name: str(getattr(self.film.parameters, name)) for name in self.film.parameters.assumed()}

    def cable_to(self, target: str) -> Cable:
        """Return the cable that ends at `target` ("spectrometer.trigger"); KeyError when there is none."""
        for cable in self.cables:
            if cable.target == target:
                return cable
        raise KeyError(target)

    def add_leak(self, resistance_ohm: float, t_ns: int) -> None:
        """From `t_ns` (now or later) on a resistance lies across the film; the source regulates at that very moment."""
        self.film.add_leak(resistance_ohm, t_ns)
        self._load_changes = sorted([*self._load_changes, t_ns])

    def _next_change_ns(self, until_ns: int) -> int | None:
        """When, from now to `until_ns`, the load next changes under the present voltage, and take it off the list."""
        film_ns = self.film.next_change_ns(self._t_ns, until_ns)
        if self._load_changes and self._load_changes[0] <= (until_ns if film_ns is None else film_ns):
            return max(self._load_changes.pop(0), self._t_ns)
        return film_ns

    def _load_changed(self, t_ns: int) -> None:
        """Write a breakdown down, then let the source find the new load at `t_ns`."""
        self._note(t_ns)
        self.source.load_changed(t_ns)

    def _note(self, t_ns: int) -> None:
        if self._kept is not None:
            self._kept.note(self.film.wear(t_ns), t_ns, broken=self.film.broken(t_ns))

    def _run(self, t_ns: int) -> None:
        # One role at a time, so that an edge arrives before its receiver's time has moved on. Edges run in circles (source ->
        # delay generator -> source): a source that waits for an edge takes one from earlier in this stretch at its own time.
        # Light is collected last, when every pulse up to t has left the laser.
        due = [role for role in self.personas if role not in LAST]
        faulty = any(cable.fault is not None for cable in self.cables)
        voltages = len(self.terminal.record.t_ns)
        since_ns = dict.fromkeys(due, self._t_ns)
        if self._laser_clock is not None:
            self._carry(MASTER, self._laser_clock.run_until(t_ns), self._t_ns, t_ns)
        while due:
            role = due.pop(0)
            emitted = self.personas[role].run_until(t_ns)
            if not emitted and not faulty:
                continue
            reached = self._carry(role, emitted, since_ns[role], t_ns)
            since_ns[role] = t_ns  # a faulty cable makes pulses of its own once
            due += [other for other in reached if other not in due]
        # A voltage that came up in this stretch may have broken the film in it; unless the source has noticed by itself, it
        # does so now, before the light is collected. Under the old voltage nothing changes: that has been asked before.
        changed = len(self.terminal.record.t_ns) > voltages
        broken_ns = self.film.next_change_ns(self._t_ns, t_ns - 1) if changed else None
        if broken_ns is not None:
            self._load_changed(max(broken_ns, self.terminal.record.t_ns[-1]))
        for role in LAST:
            if role in self.personas:
                self.personas[role].run_until(t_ns)
        self._t_ns = t_ns
        self._note(t_ns)

    def _carry(self, role: str, emitted: Mapping[str, OutputPulses], since_ns: int, t_ns: int) -> list[str]:
        """Take a role's pulses along its cables; return the roles they reach that may send pulses in turn."""
        reached: dict[str, None] = {}
        for cable in self.cables:
            sender, _, connector = cable.source.partition(".")
            if sender != role:
                continue
            pulses = emitted.get(connector, _NOTHING)
            if cable.fault is not None and (len(pulses) or since_ns < t_ns):
                pulses = cable.fault(pulses, since_ns, t_ns)
            if not len(pulses):
                continue
            self.pulses_carried += len(pulses)
            receiver, _, connector = cable.target.partition(".")
            edges = cable.edges(pulses)
            if receiver != "laser":
                self.personas[receiver].receive_edges(connector, edges)
                if receiver not in LAST:
                    reached[receiver] = None
            elif edges.high_v >= LASER_INPUT_MIN_V > edges.low_v:
                self.light_path.laser_triggered(edges)
        return list(reached)


_EMPTY = np.empty(0, dtype=np.int64)
_NOTHING = OutputPulses(_EMPTY, _EMPTY, idle_v=0.0, active_v=2.5)
