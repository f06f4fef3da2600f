"""Any sequence of role methods with any values, legal or not, on every model; between them the wires misbehave.

The film may see no voltage beyond the limits that were prepared last; what is off stays off until it is told to be on; and a
driver raises nothing but the errors of drivers/errors.py. Judged by the world's record alone.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from mishaps import OF_MESSAGES, OF_REPLIES, Mishap, Mishaps, put_in
from role_bench import FACTS, GPIB, LINE, SERIAL, US, USBTMC, USUAL_OUTPUTS, RoleBench

from drivers.errors import RigError
from drivers.registry import entries
from drivers.roles import BurstProgram, ExposureProgram, HoldLevel, LevelList, PulseOutput, SourceLimits

MODELS = [
    (entry, resource)
    for entry in entries()
    if entry.build is not None and entry.model in FACTS
    for resource in FACTS[entry.model].resources
    if resource in (GPIB, LINE, SERIAL, USBTMC)
]
KINDS = (*(kind for kind in OF_REPLIES), *(kind for kind in OF_MESSAGES if not kind.startswith("interrupted")))
LIMITS = st.sampled_from([(-20.0, 20.0), (0.0, 20.0), (0.0, 0.5), (-1.0, 1.0), (-20.0, 0.0), (0.0, 1e-4)])
BAD_LIMITS = st.sampled_from([(5.0, 20.0), (20.0, -20.0), (math.nan, 20.0), (0.0, math.inf), (-1e4, 1e4), (-20.0, math.nan)])
ANY_V = st.one_of(
    st.floats(),
    st.floats(-1.0, 1.0),
    st.floats(-25.0, 25.0),
    st.sampled_from((20.0, math.nextafter(20.0, 21.0), -20.0, 0.0, -0.0, math.nan, math.inf, 1e-5, 0.5, 0.500001, 210.0)),
)
LINES = st.integers(-2, 3)  # trigger lines, there or not
SETTLED_S = 0.15


class DriverMachine(RuleBasedStateMachine):
    """One bench with one model in its place, or with all models of the default bench."""

    ops = under_voltage = 0  # calls over all examples, and how many of them found or left a voltage

    @initialize(model=st.sampled_from(MODELS), seed=st.integers(0, 7), limits=LIMITS)
    def connect(self, model: Any, seed: int, limits: tuple[float, float]) -> None:
        self.bench = RoleBench(*model, seed=seed, timeout_s=0.1)
        self.mishaps: dict[str, Mishaps] = {role: put_in(self.bench, role) for role in self.bench.wires}
        self.allowed = self.prepared = (0.0, 0.0)
        self.source_off = self.laser_stopped = self.shutter_closed = True
        self.seen = self.pulses = 0
        self.prepare_source(limits, 1e-3)
        self.burst(20)

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            self.bench.face.close()

    # --- the wires

    @rule(data=st.data(), kind=st.sampled_from(KINDS), after=st.integers(0, 6))
    def a_wire_misbehaves(self, data: st.DataObject, kind: str, after: int) -> None:
        """With the message or reply that comes so many from now on."""
        mishaps = self.mishaps[data.draw(st.sampled_from(sorted(self.mishaps)))]
        number = mishaps.messages if kind in OF_MESSAGES else mishaps.replies
        mishaps.plan, mishaps.happened = Mishap(kind, number + after), False

    @rule(after_s=st.lists(st.floats(0.001, 0.05), min_size=1, max_size=4).map(sorted))
    def edges_come(self, after_s: list[float]) -> None:
        """At the source's trigger input, whether or not it waits for any."""
        self.bench.steps_after(*after_s)
        self._then(lambda: self.bench.wait(0.06))

    @rule(duration_s=st.sampled_from((1e-4, 0.02, 0.5)))
    def wait(self, duration_s: float) -> None:
        self._then(lambda: self.bench.wait(duration_s))

    # --- the source

    @rule(limits=LIMITS | BAD_LIMITS, current_a=st.sampled_from((1e-3, 1e-3, 1e-6, math.nan, 1e9, -1.0)))
    def prepare_source(self, limits: tuple[float, float], current_a: float) -> None:
        good = all(math.isfinite(v) and abs(v) <= 210 for v in limits) and limits[0] <= 0 <= limits[1]
        if good:  # while it is not done, either may hold
            self.allowed = (min(self.prepared[0], limits[0]), max(self.prepared[1], limits[1]))
        if self._then(lambda: self.bench.source.prepare(SourceLimits(*limits, current_a))):
            assert good, f"{limits} were taken for limits"
            self.allowed = self.prepared = limits

    @rule(level_v=ANY_V)
    def load_a_level(self, level_v: float) -> None:
        if self._then(lambda: self.bench.source.load(HoldLevel(level_v))):
            assert self.prepared[0] <= level_v <= self.prepared[1], f"{level_v} V was taken, prepared are {self.prepared}"

    @rule(levels_v=st.lists(ANY_V, max_size=5), ends=st.booleans(), line=LINES)
    def load_a_list(self, levels_v: list[float], ends: bool, line: int) -> None:
        program = LevelList((*levels_v, *([0.0] if ends else [])), line)
        if self._then(lambda: self.bench.source.load(program)):
            inside = all(self.prepared[0] <= v <= self.prepared[1] for v in program.levels_v)
            assert inside, f"{program.levels_v} V was taken, prepared are {self.prepared}"
            assert program.levels_v[-1] == 0.0

    @rule(part=st.floats(0, 1))
    def hold(self, part: float) -> None:
        """A level within the limits, as a run does it."""
        low_v, high_v = self.prepared
        self.load_a_level(low_v + part * (high_v - low_v))
        self.arm_source()

    @rule(parts=st.lists(st.floats(0, 1), min_size=1, max_size=3))
    def walk(self, parts: list[float]) -> None:
        """A list within the limits, its edges, and what it has measured."""
        low_v, high_v = self.prepared
        self.load_a_list([low_v + part * (high_v - low_v) for part in parts], True, 1)
        self.arm_source()
        self.edges_come([0.01 * (number + 1) for number in range(len(parts))])
        self.ask_source("collect")

    @rule()
    def arm_source(self) -> None:
        self.source_off = False
        self._then(self.bench.source.arm)

    @rule(what=st.sampled_from(("measure", "collect", "errors", "read_safe")))
    def ask_source(self, what: str) -> None:
        self._then(getattr(self.bench.source, what))

    @rule()
    def source_goes_safe(self) -> None:
        clean = self._quiet("voltage_source")
        done = self._then(self.bench.source.make_safe)
        self._then(lambda: self.bench.wait(SETTLED_S))
        if clean and done and self._quiet("voltage_source"):
            assert self.bench.voltage_v == 0.0, f"{self.bench.voltage_v} V after going safe"
            self.source_off = True  # where off was lost on its way, a list may still wait for its edges at 0 V

    # --- the delay generator

    @rule()
    def prepare_laser(self) -> None:
        self._then(self.bench.laser.prepare)

    @rule(
        period_ns=st.sampled_from((1_000_000, 50_000, 0, -5, 10**15)),
        level_v=st.sampled_from((2.5, 5.0, 0.0, 60.0, math.nan)),
        first_only=st.booleans(),
    )
    def load_laser(self, period_ns: int, level_v: float, first_only: bool) -> None:
        outputs = (*USUAL_OUTPUTS[:1], PulseOutput("AB", 10 * US, 10 * US, level_v, high_z=False, positive=True))
        self._then(lambda: self.bench.laser.load(BurstProgram(period_ns, outputs, first_only)))

    @rule(shots=st.sampled_from((1, 20, 0, -1, 10**12)))
    def arm_laser(self, shots: int) -> None:
        self._then(lambda: self.bench.laser.arm(shots))

    @rule(shots=st.sampled_from((1, 20)))
    def burst(self, shots: int) -> None:
        """As a run does it."""
        self.prepare_laser()
        self.load_laser(1_000_000, 2.5, True)
        self.arm_laser(shots)
        self.fire_laser()

    @rule()
    def fire_laser(self) -> None:
        self.laser_stopped = False
        self._then(self.bench.laser.fire)

    @rule(what=st.sampled_from(("busy", "errors", "read_safe")))
    def ask_laser(self, what: str) -> None:
        self._then(getattr(self.bench.laser, what))

    @rule()
    def laser_goes_safe(self) -> None:
        clean = self._quiet("laser_trigger")
        done = self._then(self.bench.laser.make_safe)
        self._then(lambda: self.bench.wait(0.01))
        if clean and done and self._quiet("laser_trigger"):
            self.laser_stopped, self.pulses = True, self._count_pulses()

    # --- the others

    @rule(
        integration_ns=st.sampled_from((500_000, 10_000_000, 0, -1, 10**13)),
        trigger=st.sampled_from(("software", "external_edge")),
        what=st.sampled_from(("prepare", "load", "arm", "trigger", "collect", "errors", "make_safe", "read_safe")),
    )
    def use_spectrometer(self, integration_ns: int, trigger: Any, what: str) -> None:
        if what == "load":
            self._then(lambda: self.bench.spectrometer.load(ExposureProgram(integration_ns, trigger)))
        else:
            self._then(getattr(self.bench.spectrometer, what))

    @precondition(lambda self: "shutter" in self.bench.instruments)
    @rule(what=st.sampled_from(("prepare", "open", "close", "errors", "make_safe", "read_safe")))
    def use_shutter(self, what: str) -> None:
        self.shutter_closed = self.shutter_closed and what != "open"
        done = self._then(getattr(self.bench.instruments["shutter"], what))
        if done and what in ("close", "prepare"):
            closed = self.bench.wires["shutter"].blades.closed(self.bench.now_ns())
            assert closed, f"open after {what}()"
            self.shutter_closed = True

    @precondition(lambda self: "attenuator" in self.bench.instruments)
    @rule(angle_deg=st.sampled_from((0.0, 359.9, 12.3, 360.0, -1.0, math.nan, math.inf)), prepare=st.booleans())
    def use_attenuator(self, angle_deg: float, prepare: bool) -> None:
        plate = self.bench.instruments["attenuator"]
        self._then(plate.prepare if prepare else lambda: plate.move_to(angle_deg))

    @precondition(lambda self: "filter_wheel" in self.bench.instruments)
    @rule(position=st.sampled_from((1, 2, 6, 0, 7)), what=st.sampled_from(("prepare", "move_to", "position", "errors")))
    def use_filter_wheel(self, position: int, what: str) -> None:
        wheel = self.bench.instruments["filter_wheel"]
        done = self._then(getattr(wheel, what) if what != "move_to" else lambda: wheel.move_to(position))
        if done and what == "move_to":
            let_through = self.bench.world.beam.filtered(np.array([self.bench.now_ns()]), np.ones(1))[0]
            assert abs(let_through * 10.0 ** (position - 1) - 1) < 0.15, "it stands elsewhere"

    @precondition(lambda self: "energy_meter" in self.bench.instruments)
    @rule(
        wavelength_nm=st.sampled_from((400.0, 0.0, math.nan, 1e9)),
        range_uj=st.sampled_from((1.0, 0.0, math.nan, 1e12)),
        prepare=st.booleans(),
    )
    def use_energy_meter(self, wavelength_nm: float, range_uj: float, prepare: bool) -> None:
        meter = self.bench.instruments["energy_meter"]
        self._then((lambda: meter.prepare(wavelength_nm, range_uj)) if prepare else (lambda: meter.measure(0.05)))

    # --- the judge

    def _quiet(self, role: str) -> bool:
        """Whether nothing is planned to go wrong on a wire, and nothing went wrong that it has not got over."""
        mishaps = self.mishaps[role]
        return mishaps.plan.number < 0 or mishaps.happened

    def _count_pulses(self) -> int:
        return sum(len(part) for parts in self.bench.wires["laser_trigger"].emitted.values() for part in parts)

    def _then(self, act: Callable[[], object]) -> bool:
        """Do it; tell whether it was done, or refused or failed with an error of ours. Then look at the world."""
        type(self).ops += 1
        try:
            act()
            done = True
        except RigError:
            done = False
        self._look()
        type(self).under_voltage += self.bench.voltage_v != 0
        return done

    def _look(self) -> None:
        record = self.bench.world.terminal.record
        new = np.array(record.voltage_v[self.seen :])
        self.seen = len(record.voltage_v)
        low_v, high_v = self.allowed
        assert ((low_v <= new) & (new <= high_v)).all(), f"{new} V at the film, allowed are {self.allowed}"
        assert not (self.source_off and new.any()), f"{new} V, nobody has armed it"
        if self.laser_stopped:
            assert self._count_pulses() == self.pulses, "pulses, nobody has fired"
        if self.shutter_closed and "shutter" in self.bench.wires:
            assert self.bench.wires["shutter"].blades.closed(self.bench.now_ns()), "nobody has opened the shutter"
