"""What is done with an instrument of each role while something goes wrong, and how it is seen whether it was told the truth.

What is true is read from the world's own record: terminal voltage, pulses, spectra as they were rendered, the beam.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from mishaps import Mishaps, put_in
from role_bench import FIRST_LINE, LIMITS, MS, US, USUAL_OUTPUTS, RoleBench

from drivers.registry import DriverEntry
from drivers.roles import BurstProgram, ExposureProgram, FrameBatch, HoldLevel, LevelList, PulseOutput, SourceReading
from rig.safety import Confirmation, make_safe
from sim_instruments.attenuator import malus
from sim_instruments.world import FaultyCable

TIMEOUT_S = 0.2
READING_V, READING_A = 0.05, 2e-5
LEAK_OHM = 2e3  # at 20 V ten times the current limit
INTEGRATION_NS = 500 * US
EF = PulseOutput("EF", 100 * US, 10 * US, 2.5, high_z=False, positive=True)
WAVELENGTH_NM, RANGE_UJ = 400.0, 0.8


@dataclass
class Rendered:
    """Every spectrum that the light path has made, in order."""

    spectra: list[bytes] = field(default_factory=list[bytes])

    def places(self, frames: FrameBatch, first_pixel: int) -> list[int]:
        """Where each frame is among them."""
        width = frames.spectra.shape[1]
        cut = [spectrum[2 * first_pixel :][: 2 * width] for spectrum in self.spectra]
        return [cut.index(frame.tobytes()) for frame in frames.spectra]


class Stage(RoleBench):
    """A bench with one instrument to which mishaps happen."""

    def __init__(self, entry: DriverEntry, resource: str) -> None:
        super().__init__(entry, resource, timeout_s=TIMEOUT_S)
        self.role = entry.role
        self.one: Any = self.instruments[entry.role]
        self.mishaps: Mishaps = put_in(self, entry.role)
        self.rendered = Rendered()
        expose = self.world.light_path.expose

        def written_down(open_ns: Any, close_ns: Any) -> Any:
            spectra = expose(open_ns, close_ns)
            self.rendered.spectra += [spectrum.tobytes() for spectrum in spectra]
            return spectra

        self.world.light_path.expose = written_down  # type: ignore[method-assign]

    @property
    def first_pixel(self) -> int:
        return getattr(self.spectrometer, "first_pixel", 0)


@dataclass(frozen=True)
class Story:
    """One use of an instrument.

    Parameters
    ----------
    act      is what goes wrong
    judge    looks whether what `act` returned is true
    before   brings the prepared instrument to where the story begins
    powered  the power does not fail in it: what is lost with it nobody can know of by what the instrument says
    """

    name: str
    act: Callable[[Stage], Any]
    judge: Callable[[RoleBench, Any], None]
    before: Callable[[Stage], object] = lambda bench: None
    powered: bool = False


# --- voltage source ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """What a source said, and the voltages (V) there were while it was asked."""

    reading: SourceReading
    truth_v: list[float]


def measured(bench: Stage) -> Measured:
    asked_ns = bench.now_ns()
    reading = bench.source.measure()
    return Measured(reading, bench.voltages_since(asked_ns))


def hold(bench: Stage, voltage_v: float) -> Measured:
    bench.source.load(HoldLevel(voltage_v))
    bench.source.arm()
    return measured(bench)


def is_true(bench: Stage, told: Measured, voltage_v: float) -> None:
    """What is read was there; and it was the level asked for, unless it is limited or was off in between."""
    currents_a = [bench.world.terminal.current_a(truth_v, bench.now_ns()) for truth_v in told.truth_v]
    assert min(abs(told.reading.voltage_v - truth_v) for truth_v in told.truth_v) < READING_V
    assert min(abs(told.reading.current_a - current_a) for current_a in currents_a) < READING_A
    assert told.reading.in_compliance or {0.0, voltage_v} & set(told.truth_v)


def held(bench: Stage, told: Measured) -> None:
    """And the current limit is in force."""
    is_true(bench, told, 20.0)
    bench.world.add_leak(LEAK_OHM, bench.now_ns())
    bench.wait(0.2)
    assert abs(bench.voltage_v) / LEAK_OHM <= 1.1 * LIMITS.current_a


def walked(bench: Stage) -> list[SourceReading]:
    bench.source.load(LevelList((20.0, 10.0, 0.0), FIRST_LINE))
    bench.source.arm()
    bench.steps_after(0.01, 0.03, 0.05)
    bench.wait(0.08)
    return bench.source.collect()


def is_the_list(bench: Stage, points: list[SourceReading]) -> None:
    """One that is short of points proves nothing, nor does a limited point, and the run says so."""
    if len(points) == 3 and not any(point.in_compliance for point in points):
        assert [point.voltage_v for point in points] == pytest.approx([20.0, 10.0, 0.0], abs=READING_V)
    assert bench.voltage_v == 0.0


def two_errors(bench: Stage) -> None:
    for _ in range(2):
        bench.wires["voltage_source"].persona.receive(b"NONSENSE 1\n", bench.now_ns())
        bench.wait(0.05)


SOURCE = [
    Story("prepare", lambda bench: bench.source.prepare(LIMITS), lambda bench, _: held(bench, hold(bench, 20.0))),
    Story("hold", lambda bench: hold(bench, 20.0), held),
    Story("measure", measured, lambda bench, told: is_true(bench, told, 20.0), lambda bench: hold(bench, 20.0)),
    Story(
        "two levels",
        lambda bench: (hold(bench, 20.0), hold(bench, 10.0)),
        lambda bench, told: [is_true(bench, one, voltage_v) for one, voltage_v in zip(told, (20.0, 10.0), strict=True)],
    ),
    Story("walk", walked, is_the_list),
    Story("errors", lambda bench: bench.source.errors(), lambda bench, found: len_is(found, 2), two_errors, powered=True),
]


def len_is(found: list[Any], count: int) -> None:
    assert len(found) == count


# --- laser trigger ----------------------------------------------------------------------------------------------------


def burst(bench: Stage, shots: int = 20) -> int:
    bench.laser.load(BurstProgram(MS, USUAL_OUTPUTS, True))
    bench.laser.arm(shots)
    begin_ns = bench.now_ns()
    bench.laser.fire()
    bench.wait(0.05)
    return begin_ns


def no_more_than_asked(bench: Stage, begin_ns: int) -> None:
    """Fewer (it was off in between) shows in the frames; more, or others, would not."""
    begins = [t for t in bench.pulses("EF")[0] if t > begin_ns]
    assert len(begins) in (1, 20)
    assert set(np.diff(begins)) <= {MS}


def running(bench: Stage) -> None:
    bench.laser.load(BurstProgram(MS, (EF,), False))
    bench.laser.arm(1_000_000)
    bench.laser.fire()
    bench.wait(0.02)


def still_runs(bench: Stage) -> bool:
    before = len(bench.pulses("EF")[0])
    bench.wait(0.02)
    return len(bench.pulses("EF")[0]) > before


def is_true_of_the_burst(bench: Stage, told: bool) -> None:
    assert told == still_runs(bench)


LASER = [
    Story("prepare", lambda bench: bench.laser.prepare(), lambda bench, _: no_more_than_asked(bench, burst(bench))),
    Story("burst", burst, no_more_than_asked),
    Story("busy", lambda bench: bench.laser.busy(), is_true_of_the_burst, running),
]


# --- spectrometer -----------------------------------------------------------------------------------------------------


def frames(bench: Stage) -> FrameBatch:
    bench.spectrometer.load(ExposureProgram(INTEGRATION_NS, "external_edge"))
    bench.spectrometer.arm()
    first_ns = bench.now_ns() + 10 * MS
    bench.world.cable_to("spectrometer.trigger").fault = FaultyCable(invented_ns=[first_ns + i * 20 * MS for i in range(3)])
    found = [bench.spectrometer.collect() for _ in wait_out(bench, 0.1)]
    return joined(found)


def wait_out(bench: Stage, duration_s: float) -> Iterator[None]:
    end_ns = bench.now_ns() + round(duration_s * 1e9)
    while bench.now_ns() < end_ns:
        yield
        bench.wait(5e-3)


def joined(found: list[FrameBatch]) -> FrameBatch:
    return FrameBatch(*(np.concatenate([getattr(b, name) for b in found]) for name in ("spectra", "device_time_us", "count")))


def by_software(bench: Stage) -> FrameBatch:
    found: list[FrameBatch] = []
    bench.spectrometer.load(ExposureProgram(INTEGRATION_NS, "software"))
    bench.spectrometer.arm()
    for _ in range(2):
        bench.spectrometer.trigger()
        bench.wait(0.01)
        found.append(bench.spectrometer.collect())
    return joined(found)


def each_once_and_in_order(bench: Stage, found: FrameBatch) -> None:
    places = bench.rendered.places(found, bench.first_pixel)
    assert places == sorted(set(places))
    assert (np.diff(found.count.astype(np.int64)) >= 1).all()
    assert (np.diff(found.device_time_us.astype(np.int64)) > 0).all()


def info_is_true(bench: Stage, info: Any) -> None:
    optics = bench.world.light_path
    pixel = np.arange(len(info.wavelength_nm)) + bench.first_pixel
    assert info.wavelength_nm == pytest.approx(np.polynomial.Polynomial(optics.wavelength_coefficients)(pixel), abs=1e-3)
    assert info.nonlinearity == pytest.approx(optics.nonlinearity_coefficients, rel=1e-6)


SPECTROMETER = [
    Story("prepare", lambda bench: bench.spectrometer.prepare(), info_is_true),
    # its count and its clock begin anew, by which a run knows
    Story("frames", frames, each_once_and_in_order, powered=True),
    Story("software", by_software, each_once_and_in_order, powered=True),
]


# --- what stands in the beam ------------------------------------------------------------------------------------------


def shown(bench: Stage) -> float:
    """Transmission of the beam now, as the world has it."""
    return float(bench.world.beam.transmission(np.array([bench.now_ns()]))[0])


def plate(bench: Stage) -> Any:
    return bench.instruments["attenuator"]


def stands_at(bench: Stage, told_deg: float, angle_deg: float) -> None:
    assert told_deg == pytest.approx(angle_deg, abs=0.05)
    assert shown(bench) == pytest.approx(float(malus(angle_deg)), rel=0.012)


ATTENUATOR = [
    Story("prepare", lambda bench: plate(bench).prepare(), lambda bench, _: stands_at(bench, plate(bench).move_to(30), 30)),
    Story("move", lambda bench: plate(bench).move_to(25.0), lambda bench, told: stands_at(bench, told, 25.0), powered=True),
    Story(
        "ask",
        lambda bench: plate(bench).angle_deg(),
        lambda bench, told: stands_at(bench, told, 35.0),
        lambda bench: plate(bench).move_to(35.0),
    ),
]


def shutter(bench: Stage) -> Any:
    return bench.instruments["shutter"]


def transmits(part: float) -> Callable[[RoleBench, Any], None]:
    def judge(bench: Stage, told: Any) -> None:
        assert shown(bench) == pytest.approx(part, abs=1e-3)

    return judge


SHUTTER = [
    Story("prepare", lambda bench: shutter(bench).prepare(), transmits(0.0)),
    Story("open", lambda bench: shutter(bench).open(), transmits(1.0)),
    Story("close", lambda bench: shutter(bench).close(), transmits(0.0), lambda bench: shutter(bench).open()),
]


def wheel(bench: Stage) -> Any:
    return bench.instruments["filter_wheel"]


def stands_in_the_beam(bench: Stage, told: int, position: int) -> None:
    """What the film gets is what the filter of that position lets through, and nothing moves any more."""
    assert told == position
    for wait_s in (0.0, 2.0):
        bench.wait(wait_s)
        let_through = bench.world.beam.filtered(np.array([bench.now_ns()]), np.ones(1))[0]
        assert let_through == pytest.approx(10.0 ** (1 - position), rel=0.15)


FILTER_WHEEL = [
    Story(
        "prepare", lambda bench: wheel(bench).prepare(), lambda bench, _: stands_in_the_beam(bench, wheel(bench).move_to(3), 3)
    ),
    Story("move", lambda bench: wheel(bench).move_to(4), lambda bench, told: stands_in_the_beam(bench, told, 4)),
    Story("stay", lambda bench: wheel(bench).move_to(1), lambda bench, told: stands_in_the_beam(bench, told, 1)),
    Story(
        "ask",
        lambda bench: wheel(bench).position(),
        lambda bench, told: stands_in_the_beam(bench, told, 6),
        lambda bench: wheel(bench).move_to(6),
        powered=True,
    ),
]


# --- energy meter -----------------------------------------------------------------------------------------------------


def meter(bench: Stage) -> Any:
    return bench.instruments["energy_meter"]


def prepare_meter(bench: Stage) -> Any:
    return meter(bench).prepare(WAVELENGTH_NM, RANGE_UJ)


def some_pulses(bench: Stage) -> None:
    bench.laser.prepare()
    bench.laser.load(BurstProgram(50 * MS, (EF,), False))
    bench.laser.arm(60)
    bench.laser.fire()


def is_a_pulse(bench: Stage, reading: Any) -> None:
    if reading is None:
        return
    times = np.array(bench.light_ns())
    energies = bench.world.light_path.record.pulses["fluence_uj_cm2"] * bench.world.beam.area_cm2
    within = energies[(times >= reading.asked_ns) & (times <= reading.answered_ns)]
    assert len(within)
    assert np.abs(reading.energy_uj / within - 1).min() < 0.1


def is_ready(bench: Stage, info: Any) -> None:
    assert info.range_uj >= RANGE_UJ
    assert info.max_rate_hz > 1
    some_pulses(bench)
    reading = meter(bench).measure(0.3)
    assert reading is not None
    is_a_pulse(bench, reading)


def is_nothing(told: Any) -> None:
    assert told is None


METER = [
    Story("prepare", prepare_meter, is_ready),
    Story("measure", lambda bench: meter(bench).measure(0.3), is_a_pulse, some_pulses),
    Story("no pulse", lambda bench: meter(bench).measure(0.02), lambda bench, told: is_nothing(told)),
]


# --- all --------------------------------------------------------------------------------------------------------------


def harms(bench: Stage) -> bool:
    """Whether it has its output on, fires, or lets light through at this moment, in truth."""
    if bench.role == "voltage_source":
        return abs(bench.voltage_v) > 1e-3
    if bench.role == "laser_trigger":
        return still_runs(bench)
    return bench.role == "shutter" and shown(bench) > 1e-3


def go_off(bench: Stage) -> None:
    """Go safe: it is off afterwards, and reported so unless an answer is still on its way."""
    report = make_safe({bench.role: bench.one})
    bench.wait(0.2)
    confirmation, detail = report.instruments[bench.role]
    told = f"{confirmation.value}: {detail}"
    assert not harms(bench), told
    assert confirmation is Confirmation.CONFIRMED or bench.mishaps.plan.kind == "very late", told
    if report.interrupt is not None:
        raise report.interrupt


def says_who_it_is(bench: Stage, told: Any) -> None:
    assert bench.entries[bench.role].matches(f"{told.maker},{told.model},")
    assert "\ufffd" not in str(told)


def tells_whether_it_is_off(bench: Stage, told: Any) -> None:
    assert told.safe is not harms(bench)


def nothing_more(bench: Stage, told: Any) -> None:
    """What it does has been judged by itself."""


def at_work(bench: Stage) -> None:
    AT_WORK[bench.role](bench)


AT_WORK: dict[str, Callable[[Stage], Any]] = {
    "voltage_source": lambda bench: hold(bench, 20.0),
    "laser_trigger": running,
    "shutter": lambda bench: shutter(bench).open(),
}
PREPARE: dict[str, Callable[[Stage], Any]] = {
    "voltage_source": lambda bench: bench.source.prepare(LIMITS),
    "energy_meter": prepare_meter,
}
WHO = Story("identify", lambda bench: bench.one.identify(), says_who_it_is)
SAFE = [
    Story("read_safe", lambda bench: bench.one.read_safe(), tells_whether_it_is_off, at_work),
    Story("make_safe", go_off, nothing_more, at_work),
]
STORIES = {
    "voltage_source": [WHO, *SAFE, *SOURCE],
    "laser_trigger": [WHO, *SAFE, *LASER],
    "spectrometer": [WHO, *SPECTROMETER],
    "attenuator": [WHO, *ATTENUATOR],
    "shutter": [WHO, *SAFE, *SHUTTER],
    "energy_meter": [WHO, *METER],
    "filter_wheel": [WHO, *FILTER_WHEEL],
}
