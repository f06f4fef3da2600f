import math

import numpy as np
import pytest
from numpy.typing import NDArray

from rig.analysis.equivalence import (
    Equivalence,
    equivalence_of,
    equivalence_of_brackets,
    equivalence_of_slope,
    stays_below,
)
from sim_instruments.film.film import Film
from sim_instruments.film.photoluminescence import cw_yield
from sim_instruments.film.variants import device

Floats = NDArray[np.float64]
MARGIN = 0.02


def share_insensitive(true: float, noise: float, count: int, trials: int = 2000) -> float:
    rng = np.random.default_rng(1)
    found = [equivalence_of(true + noise * rng.standard_normal(count), MARGIN) for _ in range(trials)]
    return float(np.mean([one.judgement == "insensitive" for one in found]))


@pytest.mark.parametrize("true", [MARGIN, -MARGIN, 0.03])
@pytest.mark.parametrize("count", [5, 20])
def test_a_change_at_the_margin_is_called_insensitive_at_most_once_in_twenty(true: float, count: int):
    assert share_insensitive(true, 0.01, count) <= 0.062  # 5 % and 2.5 standard errors of 2000 trials


def test_no_change_is_found_when_the_data_are_good_enough_and_only_then():
    assert share_insensitive(0.0, 0.01, 20, 400) > 0.99
    assert share_insensitive(0.0, 0.1, 5, 400) < 0.02


def test_noise_does_not_make_a_change():
    rng = np.random.default_rng(2)
    found = [equivalence_of(0.06 * rng.standard_normal(8), MARGIN).judgement for _ in range(1000)]
    assert found.count("changed") <= 60
    assert found.count("undecided") > 900


@pytest.mark.parametrize("sign", [1, -1])
def test_the_three_judgements(sign: int):
    spread = np.array([-1.0, 1.0, -1.0, 1.0, 0.5, -0.5]) * 0.002
    assert equivalence_of(spread, MARGIN).judgement == "insensitive"
    assert equivalence_of(sign * 0.1 + spread, MARGIN).judgement == "changed"
    at_margin = equivalence_of(sign * MARGIN + spread, MARGIN)
    assert at_margin.judgement == "undecided"
    assert at_margin.p_value == pytest.approx(0.5)
    assert "not told apart" in at_margin.reason


def test_the_judgement_the_interval_and_the_p_value_agree():
    rng = np.random.default_rng(3)
    seen: set[str] = set()
    for _ in range(300):
        found = equivalence_of(rng.uniform(-0.03, 0.03) + 0.01 * rng.standard_normal(8), MARGIN)
        assert found.ci90 is not None
        assert found.p_value is not None
        inside = -MARGIN < found.ci90[0] and found.ci90[1] < MARGIN
        assert inside == (found.judgement == "insensitive") == (found.p_value < 0.05)
        seen.add(found.judgement)
    assert seen == {"insensitive", "changed", "undecided"}


def nothing(found: Equivalence) -> str:
    assert found.judgement == "undecided"
    assert found.change.value is None
    assert found.ci90 is None
    assert found.p_value is None
    return found.reason


def test_what_is_no_measurement_is_undecided():
    assert "at least 5" in nothing(equivalence_of(np.array([0.0, 1e-4, -1e-4, 0.0]), MARGIN))
    assert "finite" in nothing(equivalence_of(np.array([0, 1e-4, math.nan, 0, 1e-4, 2e-4]), MARGIN))
    assert "copies" in nothing(equivalence_of(np.zeros(10), MARGIN))


@pytest.mark.parametrize("margin", [0.0, -0.02, math.nan, math.inf])
def test_a_margin_is_a_positive_number(margin: float):
    with pytest.raises(ValueError, match="margin"):
        equivalence_of(np.arange(6.0), margin)


def brackets(
    pairs: int, change: float, noise: float, drift: float, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.bool_]]:
    place = np.arange(2 * pairs + 1)
    biased = place % 2 == 1
    levels = (1 + change * biased) * (1 + drift * place / len(place))
    return levels * (1 + noise * rng.standard_normal(len(place))), biased


def test_brackets_cancel_a_drift_that_would_pass_for_a_change():
    levels, biased = brackets(10, 0.0, 0.001, 0.2, np.random.default_rng(4))
    found = equivalence_of_brackets(levels, biased, MARGIN)
    assert found.judgement == "insensitive"
    naive = equivalence_of(levels[biased] / levels[0] - 1, MARGIN)
    assert naive.judgement != "insensitive"


@pytest.mark.parametrize("pairs", [5, 15])
def test_the_interval_of_brackets_covers_though_neighbours_share_a_reference(pairs: int):
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(1000):
        found = equivalence_of_brackets(*brackets(pairs, -0.3, 0.01, 0.0, rng), MARGIN)
        assert found.change.ci95 is not None
        hits += found.change.ci95[0] <= -0.3 <= found.change.ci95[1]
    assert 930 <= hits <= 975


def test_brackets_refuse_what_does_not_alternate_or_gives_no_light():
    levels, biased = brackets(6, 0.0, 0.01, 0.0, np.random.default_rng(6))
    for wrong in (~biased, np.roll(biased, 1), biased[:-1]):
        with pytest.raises(ValueError, match="alternate"):
            equivalence_of_brackets(levels[: len(wrong)], wrong, MARGIN)
    assert "no light" in nothing(equivalence_of_brackets(-levels, biased, MARGIN))
    levels[3] = np.nan
    assert "not finite" in nothing(equivalence_of_brackets(levels, biased, MARGIN))


@pytest.mark.parametrize(("variant", "judgement"), [("pmma", "insensitive"), ("bare", "changed")])
def test_the_films_of_claim_c62_are_told_apart(variant: str, judgement: str):
    """1 s at 0 V, 1 s at 20 V, six times; light at the end of each second with 0.3 % noise."""
    film = Film(device(variant=variant))
    for second in range(1, 13):
        film.set_voltage(20.0 * (second % 2), second * 1_000_000_000)
    seen = cw_yield(film.parameters, film.state(np.arange(13) * 1_000_000_000 + 900_000_000))
    levels = seen * (1 + 0.003 * np.random.default_rng(7).standard_normal(13))
    found = equivalence_of_brackets(levels, np.arange(13) % 2 == 1, MARGIN)
    assert found.judgement == judgement
    if variant == "pmma":
        assert found.change.value == pytest.approx(-0.0015, abs=0.005)


def test_a_slope_is_the_change_at_the_full_voltage():
    rng = np.random.default_rng(8)
    voltage_v = rng.permutation(np.repeat([0.0, 5.0, 10.0, 15.0, 20.0], 4))
    hits = 0
    for _ in range(300):
        values = 50 * (1 - 0.1 * voltage_v / 20 + 0.01 * rng.standard_normal(20))
        found = equivalence_of_slope(voltage_v, values, 20.0, MARGIN)
        assert found.change.ci95 is not None
        hits += found.change.ci95[0] <= -0.1 <= found.change.ci95[1]
    assert 273 <= hits <= 297
    falling = 50 * (1 - 0.1 * voltage_v / 20 + 0.01 * rng.standard_normal(20))
    assert equivalence_of_slope(voltage_v, falling, 20.0, MARGIN).judgement == "changed"
    flat = 50 * (1 + 0.002 * rng.standard_normal(20))
    assert equivalence_of_slope(voltage_v, flat, 20.0, MARGIN).judgement == "insensitive"


def test_a_slope_needs_voltages_and_light():
    voltage_v, values = np.array([0.0, 20, 0, 20, 0, 20]), np.array([1.0, 1.01, 0.99, 1, 1.01, 0.98])
    assert "3 different voltages" in nothing(equivalence_of_slope(voltage_v, values, 20.0, MARGIN))
    ladder = np.array([0.0, 10, 20, 0, 10, 20])
    assert "no light at 0 V" in nothing(equivalence_of_slope(ladder, values - 1, 20.0, MARGIN))
    with pytest.raises(ValueError, match="full voltage"):
        equivalence_of_slope(ladder, values, 0.0, MARGIN)


def test_a_ceiling_is_judged_by_one_sided_bounds():
    samples = 0.0006 + 1e-5 * np.array([1.0, -1, 2, -2, 0, 1, -1])  # PMMA current over bare current
    found = stays_below(samples, 0.01)
    assert found.below is True
    assert found.upper is not None
    assert 0.0006 < found.upper < 0.00062
    assert stays_below(samples + 0.5, 0.01).below is False
    assert stays_below(samples, 0.0006).below is None
    assert stays_below(samples[:3], 0.01).below is None
    assert stays_below(np.array([0.0, 1, math.inf, 1, 2]), 9.0).below is None
    with pytest.raises(ValueError, match="finite"):
        stays_below(samples, math.nan)


def test_a_ceiling_is_passed_wrongly_at_most_once_in_twenty():
    rng = np.random.default_rng(9)
    wrong = sum(stays_below(1 + 0.1 * rng.standard_normal(6), 1.0).below is True for _ in range(2000))
    assert 60 <= wrong <= 125  # 5 % and 2.5 standard errors
