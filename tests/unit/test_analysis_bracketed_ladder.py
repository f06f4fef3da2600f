"""Ladders of light: drift cancels, intervals cover, what is missing has no value, what is too dark is refused."""

from itertools import pairwise

import numpy as np
import pytest

from rig.analysis.bracketed_ladder import Bracket, Light, exponent, ladder_light, recovery

LEVELS_V = (0.0, 5.0, 10.0, 15.0, 20.0)
TRUE = {0.0: 1.0, 5.0: 0.73, 10.0: 0.42, 15.0: 0.27, 20.0: 0.20}
NOISE = 60.0
LIGHT = 5700.0


def measured(
    seed: int, *, drift: float = 0.0, passes: int = 3, noise: float = NOISE, kept: float = 1.0, early: float = 1.0
) -> tuple[list[Bracket], list[Light]]:
    """A ladder of `TRUE`; light at 0 V falls by `drift` per stay, and to `kept` of it at every stay at 20 V."""
    draw = np.random.default_rng(seed)
    rests: list[Light] = []
    biased: list[Light] = []
    soon: list[Light] = []
    full = LIGHT

    def light(place: int, voltage_v: float, factor: float) -> Light:
        counts = full * (1 - drift * place) * TRUE[voltage_v] * factor
        return Light(20.0 * place, voltage_v, counts + noise * float(draw.standard_normal()), noise)

    order = [v for _ in range(passes) for v in draw.permutation(LEVELS_V[1:]).tolist()]
    rests.append(light(0, 0.0, 1.0))
    for number, voltage_v in enumerate(order):
        biased.append(light(2 * number + 1, voltage_v, 1.0))
        if voltage_v == LEVELS_V[-1]:
            full *= kept
        soon.append(light(2 * number + 2, 0.0, early))
        rests.append(light(2 * number + 2, 0.0, 1.0))
    pairs = zip(pairwise(rests), biased, soon, strict=True)
    return [Bracket(before, one, after, first) for (before, after), one, first in pairs], rests


def test_a_ladder_is_what_it_was_made_of_and_falls() -> None:
    found = ladder_light(*measured(1), LEVELS_V, 0.0)
    for one in found.levels[1:]:
        assert one.relative.ci95 is not None
        assert one.relative.ci95[0] <= TRUE[one.voltage_v] <= one.relative.ci95[1]
        assert one.brackets == 3
    assert found.test is not None
    assert found.test.verdict == "falls"
    assert found.drifted is False


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    hits = 0
    for seed in range(30):
        for one in ladder_light(*measured(seed), LEVELS_V, 0.0).levels[1:]:
            assert one.relative.ci95 is not None
            hits += one.relative.ci95[0] <= TRUE[one.voltage_v] <= one.relative.ci95[1]
    assert 0.9 <= hits / 120 <= 1


def test_a_steady_drift_cancels_and_is_told() -> None:
    found = ladder_light(*measured(2, drift=0.01, noise=20.0), LEVELS_V, 0.0)
    for one in found.levels[1:]:
        assert one.relative.value == pytest.approx(TRUE[one.voltage_v], abs=0.012)
    assert found.drifted is True
    assert found.drift.ci95 is not None
    assert found.drift.ci95[0] <= -0.24 <= found.drift.ci95[1]


def test_the_darks_error_widens_where_light_is_missing() -> None:
    free, shared = (ladder_light(*measured(1), LEVELS_V, error) for error in (0.0, 150.0))
    gained = [
        after.sigma**2 - before.sigma**2
        for before, after in zip(free.levels, shared.levels, strict=True)
        if before.sigma and after.sigma
    ]
    assert gained[0] == 0.0
    assert gained[1:] == sorted(gained[1:])
    assert gained[-1] == pytest.approx((150.0 / LIGHT * 0.8) ** 2, rel=0.05)


def test_a_voltage_without_bracket_has_no_value() -> None:
    brackets, rests = measured(1)
    found = ladder_light([one for one in brackets if one.biased.voltage_v != 20.0], rests, LEVELS_V, 0.0)
    assert found.levels[-1].relative.value is None
    assert (found.levels[-1].sigma, found.levels[-1].brackets) == (None, 0)


@pytest.mark.parametrize(("noise", "dark"), [(2000.0, 0.0), (60.0, 2000.0)])
def test_light_that_is_not_above_its_error_is_refused(noise: float, dark: float) -> None:
    with pytest.raises(ValueError, match="too little light at 0 V"):
        ladder_light(*measured(1, noise=noise), LEVELS_V, dark)


def test_no_stay_at_0_v_is_refused() -> None:
    with pytest.raises(ValueError, match="no stay at 0 V"):
        ladder_light([], [], LEVELS_V, 0.0)


def test_full_recovery_is_found_although_the_film_bleaches() -> None:
    hits = 0
    for seed in range(300):
        found = recovery(measured(seed, drift=0.004, noise=20.0)[0], 20.0)
        assert found.late.ci95 is not None
        assert found.late.half_width is not None
        assert found.late.half_width < 0.03
        hits += found.late.ci95[0] <= 1.0 <= found.late.ci95[1]
    assert 0.92 <= hits / 300 <= 0.99
    rate = recovery(measured(3, drift=0.004, noise=5.0)[0], 20.0).drift_per_s
    assert rate.value == pytest.approx(-0.004 / 20, rel=0.15)


def test_what_does_not_come_back_after_the_highest_voltage_is_told_apart_from_bleaching() -> None:
    found = recovery(measured(4, drift=0.004, kept=0.95, noise=20.0)[0], 20.0)
    assert found.late.ci95 is not None
    assert found.late.ci95[0] <= 0.95 <= found.late.ci95[1] < 0.97


def test_an_early_dip_shows_early_only() -> None:
    found = recovery(measured(5, early=0.97, noise=20.0)[0], 20.0)
    assert found.early.value == pytest.approx(0.97, abs=0.006)
    assert found.late.value == pytest.approx(1.0, abs=0.006)


def test_without_other_voltages_nothing_is_taken_off_and_that_is_told() -> None:
    found = recovery([one for one in measured(6)[0] if one.biased.voltage_v == 20.0], 20.0)
    assert found.drift_per_s.value is None
    assert found.late.value is not None


def stays(power: float, seed: int = 0, sigma: float = 20.0) -> list[Light]:
    draw = np.random.default_rng(seed)
    factors = (0.5, 1.0, 2.0, 1.0, 0.5)
    return [Light(0.0, 0.0, LIGHT * f**power + sigma * float(draw.standard_normal()), sigma, 0.002 * f) for f in factors]


@pytest.mark.parametrize("power", [1.0, 0.9, 1.3])
def test_the_power_of_the_fluence_is_found(power: float) -> None:
    found = exponent(stays(power), 0.005, 10.0)
    assert found.ci95 is not None
    assert found.ci95[0] <= power <= found.ci95[1]
    assert found.half_width is not None
    assert 0.005 < found.half_width < 0.02


def test_no_power_without_light_or_fluences() -> None:
    assert exponent(stays(1.0)[:2], 0.005, 10.0).value is None
    assert exponent(stays(1.0, sigma=3000.0), 0.005, 10.0).value is None
    assert exponent([stays(1.0)[1]] * 4, 0.005, 10.0).value is None
