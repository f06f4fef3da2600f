import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from rig.analysis.current_voltage import (
    Capacitance,
    ContactLimits,
    Integrated,
    Resistance,
    VoltageStep,
    capacitance_of,
    current_after_step,
    judge_contact,
    resistance_of,
)
from rig.analysis.statistics import Value
from sim_instruments.film.current import Contact
from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.film.variants import device

Floats = NDArray[np.float64]

NOMINAL = FilmParameters.nominal()
CABLE_F = NOMINAL.cable_pf * 1e-12
S, MS = 1_000_000_000, 1_000_000
LEVELS_V = np.tile([0.1, -0.1], 10)


class OpenContact:
    """A contact that never closes again."""

    def at(self, t_ns: int) -> Contact:
        return Contact(2e9)

    def next_ns(self, t_ns: int) -> int | None:
        return None


def leak(film: Film, t_ns: int = 0, seed: int = 1, noise_a: float = 1e-9, limit_a: float = 1e-3) -> Resistance:
    """Readings at +-0.1 V with the source-meter's noise and 3 nA of offset; voltage given way to where the limit is met."""
    rng = np.random.default_rng(seed)
    wanted = np.array([film.current_a(v, t_ns) for v in LEVELS_V])
    limited = np.abs(wanted) > limit_a
    current_a = np.clip(wanted, -limit_a, limit_a)
    voltage_v = LEVELS_V * current_a / wanted
    noisy = current_a + 3e-9 + noise_a * rng.standard_normal(len(wanted))
    return resistance_of(voltage_v + 2e-5 * rng.standard_normal(len(wanted)), noisy, limited)


def charging(
    film: Film, seed: int = 1, *, aperture_ns: int = 200_000, dead_ns: int = 0, cycles: int = 4, noise_a: float = 3e-9
) -> tuple[Integrated, list[VoltageStep]]:
    """0 V and 1 V in turn, 50 ms each, in readings of one aperture each."""
    steps: list[VoltageStep] = []
    for number in range(2 * cycles):
        to_v = float(number % 2 == 0)
        steps.append(VoltageStep((number + 1) * 0.05, 1 - to_v, to_v))
        film.set_voltage(to_v, (number + 1) * 50 * MS)
    open_ns = np.arange(30_000, (2 * cycles + 1) * 50 * MS - aperture_ns, aperture_ns + dead_ns)
    current_a = np.empty(len(open_ns))
    for index, since_ns in enumerate(open_ns.tolist()):
        until_ns = since_ns + aperture_ns
        edge_ns = min(max(since_ns, until_ns // (50 * MS) * 50 * MS), until_ns)  # a step in between, or an end
        direct = 0.0
        for begin_ns, end_ns in ((since_ns, edge_ns), (edge_ns, until_ns)):
            at_v = float(film.voltage_v(np.array([begin_ns]))[0])
            direct += (end_ns - begin_ns) / aperture_ns * film.current_a(at_v, begin_ns)
        current_a[index] = direct + film.displacement_a(since_ns, until_ns)
    current_a += noise_a * np.random.default_rng(seed).standard_normal(len(open_ns))
    open_s, close_s = (np.multiply(t_ns, 1e-9, dtype=np.float64) for t_ns in (open_ns, open_ns + aperture_ns))
    return Integrated(open_s, close_s, current_a), steps


def covers(value: Value, truth: float) -> bool:
    return value.ci95 is not None and value.ci95[0] <= truth <= value.ci95[1]


def low_field_ohm(film: Film, t_ns: int = 0) -> float:
    return 0.2 / (film.current_a(0.1, t_ns) - film.current_a(-0.1, t_ns))


# --- leakage


def test_the_films_leak_comes_out_and_its_interval_covers():
    film = Film(NOMINAL)
    truth = low_field_ohm(film)
    found = [leak(film, seed=seed) for seed in range(200)]
    assert found[0].resistance.value == pytest.approx(truth, rel=0.03)
    assert 180 <= sum(covers(one.resistance, truth) for one in found) <= 198
    offset_a = 3e-9 + 0.5 * (film.current_a(0.1, 0) + film.current_a(-0.1, 0))  # the film rectifies a little
    assert 180 <= sum(covers(one.offset_a, offset_a) for one in found) <= 198


def test_a_resistance_without_an_upper_end_still_has_a_lower_one():
    film = Film(replace(NOMINAL, shunt_ohm=1e13, injected_share=0.0))
    found = [leak(film, seed=seed) for seed in range(100)]
    unbounded = [one for one in found if one.resistance.value is None]
    assert len(unbounded) >= 90
    for one in unbounded:
        assert one.at_least_ohm is None or one.at_least_ohm > 5e7
    assert sum(one.at_least_ohm is not None for one in unbounded) >= 90


def test_the_meters_gain_error_widens_the_interval():
    current_a = LEVELS_V / 1e6 * (1 + 1e-6 * np.arange(20))
    none = np.zeros(20, np.bool_)
    found = resistance_of(LEVELS_V, current_a, none, gain_error=0.01)
    assert found.resistance.half_width == pytest.approx(1e4, rel=0.02)


@pytest.mark.parametrize(
    ("voltage_v", "current_a", "words"),
    [
        (LEVELS_V[:4], LEVELS_V[:4], "at least 6"),
        (np.abs(LEVELS_V), LEVELS_V, "both signs"),
        (LEVELS_V, np.full(20, 9.9e37), "no number"),
        (LEVELS_V, np.full(20, math.nan), "no number"),
        (LEVELS_V, -LEVELS_V / 1e5, "against the voltage"),
    ],
)
def test_readings_that_say_nothing_are_refused(voltage_v: Floats, current_a: Floats, words: str):
    found = resistance_of(voltage_v, current_a, np.zeros(len(current_a), np.bool_))
    assert words in found.reason
    assert found.resistance.value is None
    assert found.at_least_ohm is None


# --- current in time


def test_the_falling_current_of_the_film_meets_its_claim():
    """C59: 5 to 20 % in 30 s at 20 V, in seconds."""
    film, rng = Film(NOMINAL), np.random.default_rng(1)
    film.set_voltage(20.0, 0)
    since_s = np.arange(0.1, 30.0, 0.05)
    current_a = np.array([film.current_a(20.0, round(t * S)) for t in since_s])
    current_a += 2e-7 * rng.standard_normal(len(since_s))
    found = current_after_step(since_s, current_a)
    truth = 1 - film.current_a(20.0, 30 * S) / film.current_a(20.0, 100 * MS)
    assert found.fall.value == pytest.approx(truth, abs=0.01)
    assert found.fall.ci95 is not None
    assert 0.05 < found.fall.ci95[0] < found.fall.ci95[1] < 0.20
    assert found.tau_s.ci95 is not None
    assert 2.0 < found.tau_s.ci95[0] < found.tau_s.ci95[1] < 10.0


def test_a_current_that_stays_or_is_not_there_has_no_fall():
    rng = np.random.default_rng(2)
    since_s = np.arange(0.1, 30.0, 0.05)
    steady = current_after_step(since_s, 1e-6 + 1e-9 * rng.standard_normal(len(since_s)))
    assert "nothing slow" in steady.reason
    assert steady.fall.value is None
    assert "no number" in current_after_step(since_s, np.full(len(since_s), 9.9e37)).reason


# --- capacitance


@pytest.mark.parametrize("variant", ["bare", "pmma"])
def test_the_films_capacitance_comes_out(variant: str):
    film = Film(device(variant=variant))
    found = capacitance_of(*charging(film), settle_s=1e-3)
    assert found.reason == ""
    assert found.farad.value == pytest.approx(film.capacitance_f, rel=0.01)
    assert covers(found.farad, film.capacitance_f)


def test_the_capacitances_interval_covers_also_where_leakage_hides_the_charge():
    readings, steps = charging(Film(NOMINAL), noise_a=0.0)
    truth = Film(NOMINAL).capacitance_f
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(300):
        noisy = readings.current_a + 2e-7 * rng.standard_normal(len(readings.current_a))
        hits += covers(capacitance_of(replace(readings, current_a=noisy), steps, 1e-3).farad, truth)
    assert 275 <= hits  # conservative: the wider of two errors
    assert hits < 300


def test_an_uncertain_instant_of_the_step_costs_what_the_leak_could_carry_in_it():
    readings, steps = charging(Film(NOMINAL))
    sure, unsure = (capacitance_of(readings, [replace(s, error_s=e) for s in steps], 1e-3) for e in (0.0, 1e-4))
    step_a = Film(NOMINAL).current_a(1.0, 0)
    assert unsure.farad.half_width == pytest.approx((sure.farad.half_width or 0.0) + step_a * 1e-4, rel=0.2)
    moved = capacitance_of(readings, [replace(s, t_s=s.t_s + 8e-5, error_s=1e-4) for s in steps], 1e-3)
    assert covers(moved.farad, Film(NOMINAL).capacitance_f)


def test_charge_that_may_have_passed_unseen_is_not_guessed():
    readings, steps = charging(Film(NOMINAL), dead_ns=450_000)
    assert "gaps" in capacitance_of(readings, steps, 1e-3).reason
    assert capacitance_of(readings, steps, 1e-3).farad.value is None


def test_an_overflow_or_too_few_readings_are_refused():
    readings, steps = charging(Film(NOMINAL))
    current_a = readings.current_a.copy()
    current_a[np.searchsorted(readings.close_s, steps[2].t_s)] = 9.9e37
    found = capacitance_of(replace(readings, current_a=current_a), steps, 1e-3)
    assert found.reason.startswith("step 3 of 8: a reading is no number")
    assert "0 after" in capacitance_of(readings, [VoltageStep(0.449, 0.0, 1.0)], 1e-3).reason
    with pytest.raises(ValueError, match="0 V"):
        capacitance_of(readings, [VoltageStep(0.05, 1.0, 1.0)], 1e-3)
    with pytest.raises(ValueError, match="no step"):
        capacitance_of(readings, [], 1e-3)
    with pytest.raises(ValueError, match="overlap"):
        capacitance_of(replace(readings, close_s=readings.close_s + 1e-4), steps, 1e-3)


# --- the verdict


def verdict(film: Film, limits: ContactLimits, t_ns: int = 0) -> str:
    leaking = leak(film, t_ns)
    return judge_contact(leaking, capacitance_of(*charging(film), settle_s=1e-3), limits).condition


LIMITS = ContactLimits(cable_f=CABLE_F)


@pytest.mark.parametrize("variant", ["bare", "pmma"])
def test_films_as_made_are_sound(variant: str):
    assert verdict(Film(device(variant=variant)), LIMITS) == "sound"


@pytest.mark.parametrize("number", range(10))
def test_other_films_are_sound_too(number: int):
    assert verdict(Film(FilmParameters.sampled(f"NC-{number:03d}")), LIMITS) == "sound"


def test_a_broken_film_is_a_short():
    film = Film(NOMINAL)
    film.break_down(0)
    for limit_a in (1e-3, 1e-5):  # within its limit, and with the source in compliance
        found = judge_contact(leak(film, S, limit_a=limit_a), Capacitance(Value(None, None, "F"), 0, "not measured"))
        assert found.condition == "short"
    assert "20 readings in compliance" in found.reasons[0]


def test_an_open_contact_is_open_once_the_cable_is_known_and_never_sound():
    def opened() -> Film:
        film = Film(NOMINAL)
        film.add_contact(OpenContact(), 0)
        return film

    assert verdict(opened(), LIMITS, 1) == "open"
    assert verdict(opened(), ContactLimits(), 1) == "undecided"  # 120 pF of cable are within C04's own limits


def given(
    resistance_ohm: tuple[float, float] | None, farad: tuple[float, float] | None, limited: int = 0
) -> tuple[str, tuple[str, ...]]:
    none = Value(None, None, "A")
    ohm = Value(None, None, "ohm") if resistance_ohm is None else Value(sum(resistance_ohm) / 2, resistance_ohm, "ohm")
    least = None if resistance_ohm is None else resistance_ohm[0]
    store = Value(None, None, "F") if farad is None else Value(sum(farad) / 2, farad, "F")
    reason = "not measured"
    found = judge_contact(
        Resistance(none, ohm, least, none, limited, reason if resistance_ohm is None else ""),
        Capacitance(store, 4, reason if farad is None else ""),
        LIMITS,
    )
    return found.condition, found.reasons


GOOD_F = (0.80e-9, 0.82e-9)


@pytest.mark.parametrize(
    ("resistance_ohm", "farad", "limited", "condition"),
    [
        ((1.01e5, 1.2e5), GOOD_F, 0, "sound"),
        ((0.9e5, 1.2e5), GOOD_F, 0, "undecided"),
        ((0.9e5, 0.99e5), GOOD_F, 0, "short"),
        ((0.9e5, 0.99e5), (1e-10, 1.1e-10), 0, "short"),
        ((1e6, 2e6), GOOD_F, 3, "undecided"),
        ((1e6, 2e6), (0.21e-9, 0.23e-9), 0, "undecided"),
        ((1e6, 2e6), (0.13e-9, 0.21e-9), 0, "open"),
        ((1e6, 2e6), (9e-9, 10.2e-9), 0, "undecided"),
        ((1e6, 2e6), (20e-9, 21e-9), 0, "undecided"),
        (None, GOOD_F, 0, "undecided"),
        ((1e6, 2e6), None, 0, "undecided"),
        (None, (0.13e-9, 0.14e-9), 0, "undecided"),
    ],
)
def test_whole_intervals_decide(
    resistance_ohm: tuple[float, float] | None, farad: tuple[float, float] | None, limited: int, condition: str
):
    found, reasons = given(resistance_ohm, farad, limited)
    assert found == condition
    assert len(reasons) == 2
    for missing, reason in zip((resistance_ohm, farad), reasons, strict=True):
        assert ("not measured" in reason) == (missing is None)
