import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from square_wave import Chain, long_hold, parts_of_hold, square_wave, true_times

from rig.analysis.step_response import Duration, EdgeResponse, Edges, StepResponse, Trace, reduce_step_response, slow_part
from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.film.variants import device

Floats = NDArray[np.float64]

NOMINAL = FilmParameters.nominal()
LN9 = math.log(9.0)


def made(
    tau_s: float,
    *,
    exposure_s: float = 0.01,
    spacing_s: float = 0.01003,
    cycles: int = 10,
    noise: float = 0.002,
    seed: int = 1,
    levels: tuple[float, float] = (1000.0, 200.0),
    half_s: float = 1.0,
) -> tuple[Trace, Edges]:
    """Frames of light that goes exponentially, in both directions, between two levels (counts), ON at odd half periods."""
    rng = np.random.default_rng(seed)
    open_s = np.arange(rng.uniform(0, spacing_s), (2 * cycles + 1) * half_s - exposure_s, spacing_s)
    t_s = np.arange(1, 2 * cycles + 1).astype(np.float64) * half_s
    on = np.arange(2 * cycles) % 2 == 0
    inner_s = open_s[:, None] + exposure_s * (np.arange(64) + 0.5) / 64
    since_s = inner_s % half_s
    number = (inner_s // half_s).astype(np.intp)
    start, end = np.where((number % 2 == 1)[..., None], levels, levels[::-1]).transpose(2, 0, 1)
    light = end + (start - end) * np.exp(-since_s / tau_s)
    light[number == 0] = levels[0]
    light = light.mean(axis=1) + noise * abs(levels[0] - levels[1]) * rng.standard_normal(len(open_s))
    return Trace(open_s, light, np.zeros(len(open_s), np.bool_), exposure_s), Edges(np.asarray(t_s, np.float64), on)


@cache
def nominal(exposure_s: float) -> tuple[StepResponse, dict[bool, tuple[float, float, float]]]:
    trace, edges, film = square_wave(NOMINAL, 2021, Chain(exposure_s))
    return reduce_step_response(trace, edges), {on: true_times(film, edges, on) for on in (True, False)}


def covers(found: Duration, truth: float) -> bool:
    interval = found.time_s.ci95
    return interval is not None and interval[0] <= truth <= interval[1]


def value_of(found: Duration) -> float:
    assert found.time_s.value is not None
    return found.time_s.value


def refused(response: EdgeResponse) -> str:
    """The reason, and that there is no number beside it."""
    for found in (response.rise, response.efold, response.settle):
        assert found.time_s.value is None
        assert found.bound_s is None
        assert found.upper_s is None
    assert response.seen_s.value is None
    return response.reason


def test_frames_of_10_ms_bound_the_nominal_films_on_below_15_ms():
    response, truth = nominal(0.01)
    assert response.on.reason == ""
    assert response.on.rise.time_s.value is None
    assert response.on.rise.bound_s is not None
    assert truth[True][0] <= response.on.rise.bound_s < 0.015
    assert response.on.efold.bound_s is not None
    assert response.on.efold.bound_s >= truth[True][1]


@pytest.mark.parametrize(("exposure_s", "on"), [(0.01, False), (0.001, False), (0.001, True)])
def test_times_of_the_nominal_film_are_within_15_percent_and_their_intervals(exposure_s: float, on: bool):
    response, truth = nominal(exposure_s)
    edge = response.on if on else response.off
    for found, true_s in zip((edge.rise, edge.efold, edge.settle), truth[on], strict=True):
        assert value_of(found) == pytest.approx(true_s, rel=0.15)
        assert abs(value_of(found) - true_s) <= 1.5 * (found.time_s.half_width or 0.0)
    assert edge.rise.upper_s is not None
    assert edge.rise.upper_s < 0.1  # claim C58


def test_the_step_itself_and_the_period_come_out():
    response, _ = nominal(0.01)
    assert response.period_s.value == pytest.approx(2.0, abs=0.001)
    assert response.period_s.half_width is not None
    assert response.period_s.half_width < 0.005
    assert response.on.step.value == pytest.approx(-0.8, abs=0.01)
    assert response.off.step.value == pytest.approx(0.8, abs=0.01)
    assert response.on.edges == response.off.edges == 10


def test_the_period_is_the_lights_own():
    trace, edges = made(0.02)
    late = Edges(edges.t_s + 1e-4 * np.arange(len(edges.t_s)), edges.on)  # a bench whose edges are labelled 100 us/s too slowly
    assert reduce_step_response(trace, late).period_s.value == pytest.approx(2.0, abs=5e-5)


@pytest.mark.parametrize("levels", [(1000.0, 200.0), (200.0, 1000.0)])
def test_the_frames_length_is_taken_out(levels: tuple[float, float]):
    trace, edges = made(0.012, levels=levels)
    found = reduce_step_response(trace, edges).on
    assert value_of(found.rise) == pytest.approx(0.012 * LN9, rel=0.03)
    assert value_of(found.efold) == pytest.approx(0.012, rel=0.05)
    assert value_of(found.settle) == pytest.approx(0.012 * math.log(20), rel=0.08)
    assert found.seen_s.value is not None
    assert found.seen_s.value > 1.04 * 0.012 * LN9  # what would be said without


@pytest.mark.parametrize("noise", [0.002, 0.03])
def test_intervals_cover(noise: float):
    hits = {"rise": 0, "efold": 0, "settle": 0}
    rng = np.random.default_rng(3)
    for seed in range(30):
        tau_s = float(rng.uniform(0.02, 0.04))
        found = reduce_step_response(*made(tau_s, seed=seed, noise=noise)).off
        for name, factor in (("rise", LN9), ("efold", 1.0), ("settle", math.log(20))):
            hits[name] += covers(getattr(found, name), factor * tau_s)
    assert min(hits.values()) >= 25, hits  # of 30: 0.3 % chance of fewer at 95 %


@pytest.mark.parametrize("tau_s", [1e-5, 0.001, 0.003])
def test_what_is_shorter_than_a_frame_is_bounded_from_above(tau_s: float):
    found = reduce_step_response(*made(tau_s)).on
    for duration, factor in ((found.rise, LN9), (found.efold, 1.0), (found.settle, math.log(20))):
        assert duration.time_s.value is None
        assert duration.bound_s is not None
        assert factor * tau_s <= duration.bound_s < 0.025


def test_frames_locked_to_the_wave_do_not_claim_what_lies_between_them():
    """Every edge meets the frames in the same phase: nothing is known on a finer scale than the frames' distance."""
    found = reduce_step_response(*made(0.004, spacing_s=0.0125)).on
    assert found.reason == ""
    assert found.rise.time_s.value is None
    assert found.rise.bound_s is not None
    assert found.rise.bound_s > 0.004 * LN9


def test_an_offset_between_the_axes_widens_the_times_from_the_edge_only():
    trace, edges = made(0.03)
    sure, unsure = (reduce_step_response(trace, replace(edges, error_s=e)).off for e in (0.0, 0.004))
    assert unsure.efold.time_s.half_width == pytest.approx((sure.efold.time_s.half_width or 0) + 0.004, abs=0.001)
    assert unsure.rise.time_s.half_width == pytest.approx(sure.rise.time_s.half_width, abs=0.001)
    shifted = reduce_step_response(trace, Edges(edges.t_s + 0.003, edges.on, 0.004)).off
    assert covers(shifted.efold, 0.03)
    assert covers(shifted.rise, 0.03 * LN9)


def test_missing_frames_here_and_there_change_nothing():
    trace, edges = made(0.02)
    light = trace.light.copy()
    light[np.random.default_rng(5).random(len(light)) < 0.1] = np.nan
    found = reduce_step_response(replace(trace, light=light), edges).off
    assert found.edges == 10
    assert value_of(found.rise) == pytest.approx(0.02 * LN9, rel=0.03)


def test_a_saturated_or_incomplete_edge_is_dropped_and_counted():
    trace, edges = made(0.02, cycles=12)
    saturated = trace.saturated.copy()
    saturated[np.searchsorted(trace.open_s, 5.1)] = True  # after the third ON edge
    light = trace.light.copy()
    light[(trace.open_s > 7.05) & (trace.open_s < 7.5)] = np.nan
    found = reduce_step_response(replace(trace, light=light, saturated=saturated), edges).on
    assert found.dropped == {"saturated": 1, "frames missing": 1}
    assert found.edges == 10
    assert covers(found.rise, 0.02 * LN9)


def test_nine_edges_are_too_few():
    response = reduce_step_response(*made(0.02, cycles=9))
    assert refused(response.on).startswith("9 usable edges, at least 10 are needed")
    assert response.period_s.value is None


def test_a_saturated_plateau_is_no_plateau():
    trace, edges = made(0.02)
    response = reduce_step_response(replace(trace, saturated=trace.light > 900), edges)
    assert "10 dropped: saturated" in refused(response.on)
    assert "10 dropped: saturated" in refused(response.off)


def test_a_stretch_without_frames_leaves_too_few_edges():
    trace, edges = made(0.02)
    kept = trace.open_s < 15.0
    response = reduce_step_response(Trace(trace.open_s[kept], trace.light[kept], trace.saturated[kept], 0.01), edges)
    assert "frames missing" in refused(response.on)


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_step(seed: int):
    trace, edges = made(0.02, seed=seed)
    light = 1000 + 30 * np.random.default_rng(seed).standard_normal(len(trace.light))
    response = reduce_step_response(replace(trace, light=light), edges)
    assert "no step" in refused(response.on)
    assert "no step" in refused(response.off)


def test_the_control_device_has_no_step_to_time():
    trace, edges, _ = square_wave(device(variant="pmma"), 7, Chain(0.01, pump_noise=0.01))
    assert "no step" in refused(reduce_step_response(trace, edges).on)


@pytest.mark.parametrize(("per_s", "words"), [(100.0, "more than it steps"), (-45.0, "within half a period")])
def test_light_that_drifts_is_refused(per_s: float, words: str):
    trace, edges = made(0.02)
    drifting = replace(trace, light=trace.light + per_s * trace.open_s)
    assert words in refused(reduce_step_response(drifting, edges).on)


@pytest.mark.parametrize("share", [-0.1, 0.1])
def test_a_drift_that_is_let_through_leaves_the_time_within_5_percent(share: float):
    """0.5 % of the step per half period, as a bleaching film or a warming laser makes it."""
    trace, edges = made(0.02)
    drifting = replace(trace, light=trace.light * (1 + share * trace.open_s / trace.open_s[-1]))
    for found in (reduce_step_response(drifting, edges).on, reduce_step_response(drifting, edges).off):
        assert value_of(found.rise) == pytest.approx(0.02 * LN9, rel=0.05)


def test_edges_at_the_wrong_times_are_refused():
    trace, edges = made(0.02)
    for shift_s, words in ((0.1, "follow"), (0.3, "follow"), (-0.1, "later"), (-0.3, "later")):
        moved = reduce_step_response(trace, Edges(edges.t_s + shift_s, edges.on))
        assert words in refused(moved.on), shift_s


def test_light_that_does_not_come_to_rest_is_refused():
    assert "does not come to rest" in refused(reduce_step_response(*made(0.16)).off)
    for tau_s in (0.25, 1.0):
        assert refused(reduce_step_response(*made(tau_s)).off)


def test_steps_of_both_signs_are_refused():
    trace, edges = made(0.02)
    mixed = Edges(edges.t_s, np.arange(len(edges.t_s)) % 4 < 2)
    assert "no step" in refused(reduce_step_response(trace, mixed).on)


def test_no_frames_or_edges_at_all_are_refused():
    trace, edges = made(0.02)
    nothing = Trace(np.zeros(0), np.zeros(0), np.zeros(0, np.bool_), 0.01)
    assert "0 usable edges" in refused(reduce_step_response(nothing, edges).on)
    assert "0 usable edges" in refused(reduce_step_response(trace, Edges(np.zeros(0), np.zeros(0, np.bool_))).off)
    dark = replace(trace, light=np.full(len(trace.light), np.nan))
    assert "frames missing" in refused(reduce_step_response(dark, edges).on)
    constant = replace(trace, light=np.full(len(trace.light), 7.0))
    assert "no step" in refused(reduce_step_response(constant, edges).on)


@pytest.mark.parametrize(
    "change",
    [
        {"open_s": np.array([0.0, 2.0, 1.0])},
        {"open_s": np.array([0.0, math.nan, 1.0])},
        {"light": np.zeros(2)},
        {"exposure_s": 0.0},
        {"exposure_s": math.nan},
    ],
)
def test_arrays_that_do_not_fit_are_errors(change: dict[str, object]):
    good = Trace(np.array([0.0, 1.0, 2.0]), np.zeros(3), np.zeros(3, np.bool_), 0.01)
    edges = Edges(np.array([1.0]), np.ones(1, np.bool_))
    reduce_step_response(good, edges)
    with pytest.raises(ValueError, match=r"differ|ascend|no such time"):
        reduce_step_response(replace(good, **change), edges)


# --- the slow component


def test_the_slow_part_of_a_known_law_comes_out():
    rng = np.random.default_rng(2)
    since_s = np.arange(0.3, 30.0, 0.01)
    hits = 0
    for _ in range(40):
        before = 1000 + 2 * rng.standard_normal(100)
        after = 200 - 24 * np.exp(-since_s / 4) + 2 * rng.standard_normal(len(since_s))  # fast step 824
        found = slow_part(before, since_s, after)
        assert found.tau_s.value == pytest.approx(4.0, rel=0.1)
        assert found.share.value == pytest.approx(24 / 824, rel=0.05)
        assert found.fast_fraction.value == pytest.approx(824 / 848, abs=0.002)
        assert found.tau_s.ci95 is not None
        hits += found.tau_s.ci95[0] <= 4.0 <= found.tau_s.ci95[1]
    assert hits >= 35


@pytest.mark.parametrize(("edge", "low", "high"), [("on", 0.003, 0.10), ("off", 0.01, 0.05)])
def test_the_films_slow_part_meets_its_claims(edge: str, low: float, high: float):
    found = slow_part(*parts_of_hold(*long_hold(NOMINAL, 3), edge))
    assert found.tau_s.value == pytest.approx(NOMINAL.ion_s, rel=0.2)
    assert found.share.ci95 is not None
    assert low < found.share.ci95[0] < found.share.ci95[1] < high  # claim C59
    assert found.fast_fraction.ci95 is not None
    assert found.fast_fraction.ci95[0] > 0.9  # claim C60


def test_a_slow_part_that_is_not_there_or_does_not_end_is_refused():
    rng = np.random.default_rng(4)
    since_s = np.arange(0.3, 30.0, 0.01)
    before = 1000 + 2 * rng.standard_normal(100)
    noise = 2 * rng.standard_normal(len(since_s))
    assert "nothing slow" in slow_part(before, since_s, 200 + noise).reason
    assert "too short" in slow_part(before, since_s, 200 + 5 * since_s + noise).reason
    endless = slow_part(before, since_s, 200 - 50 * np.exp(-since_s / 40) + noise)
    assert "too short" in endless.reason
    assert endless.share.value is None
    slow = 200 - 24 * np.exp(-since_s / 4) + noise
    assert "no plateau" in slow_part(np.zeros(0), since_s, slow).reason
    assert "fast step" in slow_part(176.0 + 2 * rng.standard_normal(100), since_s, slow).reason
    assert "not finite" in slow_part(before, since_s, np.full(len(since_s), np.nan)).reason
    assert "at least 20" in slow_part(before, since_s[:5], slow[:5]).reason


def test_a_film_at_rest_has_no_slow_part():
    film = Film(NOMINAL)
    open_s, counts = Chain().frames(film, 30.0, np.random.default_rng(6))
    assert slow_part(counts[:100], open_s[100:], counts[100:]).reason
