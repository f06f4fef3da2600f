"""Every message and every reply of every conversation goes wrong once, in every way: told, or survived, and never believed.

A story is one use of a role. Wherever a mishap falls into it, either an error comes, or what the driver says and does is what the
world's own record says. Afterwards going safe must make it safe in truth, and the same instrument must be of use again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from mishaps import OF_MESSAGES, OF_REPLIES, Mishap, Mishaps, put_in
from role_bench import FACTS, FIRST_LINE, LIMITS, LINK_NAMES, MS, US, USUAL_OUTPUTS, RoleBench

from drivers.errors import InstrumentError
from drivers.registry import DriverEntry, entries
from drivers.roles import BurstProgram, ExposureProgram, FrameBatch, HoldLevel, LevelList, PulseOutput, SourceReading
from rig.safety import Confirmation, make_safe
from sim_instruments import visa_library
from sim_instruments.attenuator import malus
from sim_instruments.world import FaultyCable

TIMEOUT_S = 0.2
AT_MOST = 8  # numbers of one kind of mishap in a story, spread over it
READING_V, READING_A = 0.05, 2e-5
LEAK_OHM = 2e3  # at 20 V ten times the current limit
PREPARATIONS = 4
ON_A_STREAM = ("doubled", "cut", "noise before")  # a link that marks the ends of messages does not do that
INTEGRATION_NS = 500 * US
EF = PulseOutput("EF", 100 * US, 10 * US, 2.5, high_z=False, positive=True)
WAVELENGTH_NM, RANGE_UJ = 400.0, 0.8


@dataclass(frozen=True)
class Story:
    """One use of an instrument.

    Parameters
    ----------
    before  brings the prepared instrument to where the story begins
    act     is what goes wrong
    judge   looks whether what `act` returned is true
    """

    name: str
    act: Callable[[RoleBench], Any]
    judge: Callable[[RoleBench, Any], None]
    before: Callable[[RoleBench], object] = lambda bench: None


# --- voltage source ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """What a source said, and the voltages (V) there were while it was asked."""

    reading: SourceReading
    truth_v: list[float]


def measured(bench: RoleBench) -> Measured:
    asked_ns = bench.now_ns()
    reading = bench.source.measure()
    return Measured(reading, bench.voltages_since(asked_ns))


def hold(bench: RoleBench, voltage_v: float) -> Measured:
    bench.source.load(HoldLevel(voltage_v))
    bench.source.arm()
    return measured(bench)


def is_true(bench: RoleBench, told: Measured, voltage_v: float) -> None:
    """What is read was there; and it was the level asked for, unless it is limited or was off in between."""
    currents_a = [bench.world.terminal.current_a(truth_v, bench.now_ns()) for truth_v in told.truth_v]
    assert min(abs(told.reading.voltage_v - truth_v) for truth_v in told.truth_v) < READING_V
    assert min(abs(told.reading.current_a - current_a) for current_a in currents_a) < READING_A
    assert told.reading.in_compliance or {0.0, voltage_v} & set(told.truth_v)


def held(bench: RoleBench, told: Measured) -> None:
    """And the current limit is in force."""
    is_true(bench, told, 20.0)
    bench.world.add_leak(LEAK_OHM, bench.now_ns())
    bench.wait(0.2)
    assert abs(bench.voltage_v) / LEAK_OHM <= 1.1 * LIMITS.current_a


def walked(bench: RoleBench) -> list[SourceReading]:
    bench.source.load(LevelList((20.0, 10.0, 0.0), FIRST_LINE))
    bench.source.arm()
    bench.steps_after(0.01, 0.03, 0.05)
    bench.wait(0.08)
    return bench.source.collect()


def is_the_list(bench: RoleBench, points: list[SourceReading]) -> None:
    """One that is short of points proves nothing, nor does a limited point, and the run says so."""
    if len(points) == 3 and not any(point.in_compliance for point in points):
        assert [point.voltage_v for point in points] == pytest.approx([20.0, 10.0, 0.0], abs=READING_V)
    assert bench.voltage_v == 0.0


def two_errors(bench: RoleBench) -> None:
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
    Story("errors", lambda bench: bench.source.errors(), lambda bench, found: len_is(found, 2), two_errors),
]


def len_is(found: list[Any], count: int) -> None:
    assert len(found) == count


# --- laser trigger ----------------------------------------------------------------------------------------------------


def burst(bench: RoleBench, shots: int = 20) -> int:
    bench.laser.load(BurstProgram(MS, USUAL_OUTPUTS, True))
    bench.laser.arm(shots)
    begin_ns = bench.now_ns()
    bench.laser.fire()
    bench.wait(0.05)
    return begin_ns


def no_more_than_asked(bench: RoleBench, begin_ns: int) -> None:
    """Fewer (it was off in between) shows in the frames; more, or others, would not."""
    begins = [t for t in bench.pulses("EF")[0] if t > begin_ns]
    assert len(begins) in (1, 20)
    assert set(np.diff(begins)) <= {MS}


def running(bench: RoleBench) -> None:
    bench.laser.load(BurstProgram(MS, (EF,), False))
    bench.laser.arm(1_000_000)
    bench.laser.fire()
    bench.wait(0.02)


def still_runs(bench: RoleBench) -> bool:
    before = len(bench.pulses("EF")[0])
    bench.wait(0.02)
    return len(bench.pulses("EF")[0]) > before


def is_true_of_the_burst(bench: RoleBench, told: bool) -> None:
    assert told == still_runs(bench)


LASER = [
    Story("prepare", lambda bench: bench.laser.prepare(), lambda bench, _: no_more_than_asked(bench, burst(bench))),
    Story("burst", burst, no_more_than_asked),
    Story("busy", lambda bench: bench.laser.busy(), is_true_of_the_burst, running),
]


# --- spectrometer -----------------------------------------------------------------------------------------------------


@dataclass
class Rendered:
    """Every spectrum that the light path has made, in order."""

    spectra: list[bytes]

    def places(self, frames: FrameBatch, first_pixel: int) -> list[int]:
        """Where each frame is among them."""
        width = frames.spectra.shape[1]
        cut = [spectrum[2 * first_pixel :][: 2 * width] for spectrum in self.spectra]
        return [cut.index(frame.tobytes()) for frame in frames.spectra]


def rendered(bench: RoleBench) -> Rendered:
    """What the light path makes is written down, from the first time this is asked for."""
    optics = bench.world.light_path
    if "rendered" in bench.__dict__:
        return bench.__dict__["rendered"]
    log = bench.__dict__["rendered"] = Rendered([])
    expose = type(optics).expose

    def written_down(open_ns: Any, close_ns: Any) -> Any:
        spectra = expose(optics, open_ns, close_ns)
        log.spectra += [spectrum.tobytes() for spectrum in spectra]
        return spectra

    optics.expose = written_down  # type: ignore[method-assign]
    return log


def frames(bench: RoleBench) -> tuple[Rendered, FrameBatch]:
    log = rendered(bench)
    bench.spectrometer.load(ExposureProgram(INTEGRATION_NS, "external_edge"))
    bench.spectrometer.arm()
    first_ns = bench.now_ns() + 10 * MS
    bench.world.cable_to("spectrometer.trigger").fault = FaultyCable(invented_ns=[first_ns + i * 20 * MS for i in range(3)])
    found = [bench.spectrometer.collect() for _ in wait_out(bench, 0.1)]
    return log, joined(found)


def wait_out(bench: RoleBench, duration_s: float) -> Iterator[None]:
    end_ns = bench.now_ns() + round(duration_s * 1e9)
    while bench.now_ns() < end_ns:
        yield
        bench.wait(5e-3)


def joined(found: list[FrameBatch]) -> FrameBatch:
    return FrameBatch(*(np.concatenate([getattr(b, name) for b in found]) for name in ("spectra", "device_time_us", "count")))


def by_software(bench: RoleBench) -> tuple[Rendered, FrameBatch]:
    log, found = rendered(bench), []
    bench.spectrometer.load(ExposureProgram(INTEGRATION_NS, "software"))
    bench.spectrometer.arm()
    for _ in range(2):
        bench.spectrometer.trigger()
        bench.wait(0.01)
        found.append(bench.spectrometer.collect())
    return log, joined(found)


def each_once_and_in_order(bench: RoleBench, told: tuple[Rendered, FrameBatch]) -> None:
    log, found = told
    places = log.places(found, getattr(bench.spectrometer, "first_pixel", 0))
    assert places == sorted(set(places))
    assert (np.diff(found.count.astype(np.int64)) >= 1).all()
    assert (np.diff(found.device_time_us.astype(np.int64)) > 0).all()


def info_is_true(bench: RoleBench, info: Any) -> None:
    optics = bench.world.light_path
    pixel = np.arange(len(info.wavelength_nm)) + getattr(bench.spectrometer, "first_pixel", 0)
    assert info.wavelength_nm == pytest.approx(np.polynomial.Polynomial(optics.wavelength_coefficients)(pixel), abs=1e-3)
    assert info.nonlinearity == pytest.approx(optics.nonlinearity_coefficients, rel=1e-6)


SPECTROMETER = [
    Story("prepare", lambda bench: bench.spectrometer.prepare(), info_is_true),
    Story("frames", frames, each_once_and_in_order),
    Story("software", by_software, each_once_and_in_order),
]


# --- what stands in the beam ------------------------------------------------------------------------------------------


def shown(bench: RoleBench) -> float:
    """Transmission of the beam now, as the world has it."""
    return float(bench.world.beam.transmission(np.array([bench.now_ns()]))[0])


def plate(bench: RoleBench) -> Any:
    return bench.instruments["attenuator"]


def stands_at(bench: RoleBench, told_deg: float, angle_deg: float) -> None:
    assert told_deg == pytest.approx(angle_deg, abs=0.05)
    assert shown(bench) == pytest.approx(float(malus(angle_deg)), rel=0.012)


ATTENUATOR = [
    Story("prepare", lambda bench: plate(bench).prepare(), lambda bench, _: stands_at(bench, plate(bench).move_to(30), 30)),
    Story("move", lambda bench: plate(bench).move_to(25.0), lambda bench, told: stands_at(bench, told, 25.0)),
    Story(
        "ask",
        lambda bench: plate(bench).angle_deg(),
        lambda bench, told: stands_at(bench, told, 35.0),
        lambda bench: plate(bench).move_to(35.0),
    ),
]


def shutter(bench: RoleBench) -> Any:
    return bench.instruments["shutter"]


def transmits(part: float) -> Callable[[RoleBench, Any], None]:
    def judge(bench: RoleBench, told: Any) -> None:
        assert shown(bench) == pytest.approx(part, abs=1e-3)

    return judge


SHUTTER = [
    Story("prepare", lambda bench: shutter(bench).prepare(), transmits(0.0)),
    Story("open", lambda bench: shutter(bench).open(), transmits(1.0)),
    Story("close", lambda bench: shutter(bench).close(), transmits(0.0), lambda bench: shutter(bench).open()),
]


# --- energy meter -----------------------------------------------------------------------------------------------------


def meter(bench: RoleBench) -> Any:
    return bench.instruments["energy_meter"]


def prepare_meter(bench: RoleBench) -> Any:
    return meter(bench).prepare(WAVELENGTH_NM, RANGE_UJ)


def some_pulses(bench: RoleBench) -> None:
    bench.laser.prepare()
    bench.laser.load(BurstProgram(50 * MS, (EF,), False))
    bench.laser.arm(60)
    bench.laser.fire()


def is_a_pulse(bench: RoleBench, reading: Any) -> None:
    if reading is None:
        return
    times = np.array(bench.light_ns())
    energies = bench.world.light_path.record.pulses["fluence_uj_cm2"] * bench.world.beam.area_cm2
    within = energies[(times >= reading.asked_ns) & (times <= reading.answered_ns)]
    assert len(within)
    assert np.abs(reading.energy_uj / within - 1).min() < 0.1


METER = [
    Story("prepare", prepare_meter, lambda bench, info: len_is([info.range_uj >= RANGE_UJ], 1)),
    Story("measure", lambda bench: meter(bench).measure(0.3), is_a_pulse, some_pulses),
    Story("no pulse", lambda bench: meter(bench).measure(0.02), lambda bench, told: len_is([told], 1)),
]


# --- all --------------------------------------------------------------------------------------------------------------

WHO = Story("identify", lambda bench: the_one(bench).identify(), lambda bench, told: knows(bench, told))
SAFE = Story("read_safe", lambda bench: the_one(bench).read_safe(), lambda bench, told: not_safe(told), lambda bench: at_work(bench))
OFF = Story("make_safe", lambda bench: off(bench), lambda bench, told: len_is([told], 1), lambda bench: at_work(bench))
STORIES = {
    "voltage_source": [WHO, SAFE, OFF, *SOURCE],
    "laser_trigger": [WHO, SAFE, OFF, *LASER],
    "spectrometer": [WHO, *SPECTROMETER],
    "attenuator": [WHO, *ATTENUATOR],
    "shutter": [WHO, SAFE, OFF, *SHUTTER],
    "energy_meter": [WHO, *METER],
}
PREPARE: dict[str, Callable[[RoleBench], Any]] = {
    "voltage_source": lambda bench: bench.source.prepare(LIMITS),
    "energy_meter": prepare_meter,
}
# what an instrument loses with its power, and nobody can know of: that it was at work, its errors; a spectrometer begins its
# count and its clock anew, by which the run knows; a plate whose counter is lost between two parts of one move
FORGETS = {
    *((role, "read_safe") for role in ("voltage_source", "laser_trigger", "shutter")),
    ("voltage_source", "errors"),
    ("spectrometer", "frames"),
    ("spectrometer", "software"),
    ("attenuator", "move"),
}
AT_WORK: dict[str, Callable[[RoleBench], Any]] = {
    "voltage_source": lambda bench: hold(bench, 20.0),
    "laser_trigger": running,
    "shutter": lambda bench: shutter(bench).open(),
}


def the_one(bench: RoleBench) -> Any:
    """The instrument that the story is about."""
    return bench.instruments[bench.role]  # type: ignore[attr-defined]


def knows(bench: RoleBench, told: Any) -> None:
    assert bench.entries[bench.role].matches(f"{told.maker},{told.model},")  # type: ignore[attr-defined]


def at_work(bench: RoleBench) -> None:
    AT_WORK[bench.role](bench)  # type: ignore[attr-defined]


def not_safe(told: Any) -> None:
    assert not told.safe


def off(bench: RoleBench) -> None:
    """Go safe; what it reports is true."""
    report = make_safe({bench.role: the_one(bench)})  # type: ignore[attr-defined]
    bench.wait(0.2)
    confirmation, detail = report.instruments[bench.role]  # type: ignore[attr-defined]
    told = f"{confirmation.value}: {detail}"
    assert not works(bench) or confirmation is not Confirmation.CONFIRMED, told
    assert not works(bench) or bench.mishaps.plan.kind in LOSE_OFF, told  # type: ignore[attr-defined]
    assert confirmation is Confirmation.CONFIRMED or "very late" in bench.mishaps.plan.kind, told  # type: ignore[attr-defined]
    if report.interrupt is not None:
        raise report.interrupt


def works(bench: RoleBench) -> bool:
    """Whether it does harm at this moment, in truth."""
    if bench.role == "voltage_source":  # type: ignore[attr-defined]
        return abs(bench.voltage_v) > 1e-3
    if bench.role == "laser_trigger":  # type: ignore[attr-defined]
        return still_runs(bench)
    return bench.role == "shutter" and shown(bench) > 1e-3  # type: ignore[attr-defined]


def prepare(bench: RoleBench) -> None:
    """Prepare, as often as it takes; what was late has come by the end."""
    role = bench.role  # type: ignore[attr-defined]
    for left in reversed(range(PREPARATIONS)):
        try:
            PREPARE.get(role, lambda bench: the_one(bench).prepare())(bench)
        except InstrumentError:
            if not left:
                raise
            bench.wait(0.5)
        else:
            return


def spread(count: int) -> list[int]:
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, AT_MOST))}) if count else []


def begun(bench: RoleBench, story: Story, mishaps: Mishaps) -> None:
    mishaps.forget()
    bench.world.film._leaks.clear()
    bench.world.cable_to("spectrometer.trigger").fault = None
    prepare(bench)
    story.before(bench)


def go_through(bench: RoleBench, story: Story, mishaps: Mishaps, plan: Mishap) -> None:
    begun(bench, story, mishaps)
    mishaps.expect(plan)
    try:
        told = story.act(bench)
        assert not (plan.kind.startswith("interrupted") and mishaps.happened), "an interrupt was swallowed"
        if not (plan.kind == "off and on before" and (bench.role, story.name) in FORGETS):
            story.judge(bench, told)
    except (InstrumentError, KeyboardInterrupt):
        pass  # told
    if hasattr(the_one(bench), "make_safe"):
        off(bench)


def models() -> list[Any]:
    return [
        pytest.param(entry, resource, story, id=f"{entry.model}-{LINK_NAMES[resource]}-{story.name}")
        for entry in entries()
        if entry.build is not None
        for resource in FACTS[entry.model].resources
        for story in STORIES[entry.role]
        if not (story.name == "walk" and not entry.kind.max_list_points)
    ]


@pytest.mark.parametrize(("entry", "resource", "story"), models())
def test_wherever_a_mishap_falls_it_is_told_or_survived(
    monkeypatch: pytest.MonkeyPatch, entry: DriverEntry, resource: str, story: Story
) -> None:
    monkeypatch.setattr(visa_library, "STEP_NS", MS)
    bench = RoleBench(entry, resource, timeout_s=TIMEOUT_S)
    bench.role = entry.role  # type: ignore[attr-defined]
    mishaps = put_in(bench, entry.role)
    begun(bench, story, mishaps)
    mishaps.forget()
    told = story.act(bench)
    counts = {kind: mishaps.replies for kind in OF_REPLIES} | {kind: mishaps.messages for kind in OF_MESSAGES}
    story.judge(bench, told)
    if bench.links[entry.role].has_device_clear:
        counts |= dict.fromkeys(ON_A_STREAM, 0)
    found: list[str] = []
    for plan in [Mishap(kind, number) for kind, count in counts.items() for number in spread(count)]:
        try:
            go_through(bench, story, mishaps, plan)
        except Exception as error:  # noqa: BLE001 - all of them at once
            found.append(f"{plan.kind} {plan.number} of {counts[plan.kind]}: {type(error).__name__} {str(error)[:300]}")
    assert not found, "\n".join(found)
