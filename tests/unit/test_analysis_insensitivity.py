"""Statements about a control device: a shift inside its margin, one outside, and what cannot be said."""

import numpy as np
import pytest

from rig.analysis.bracketed_ladder import Bracket, Light
from rig.analysis.equivalence import stays_below
from rig.analysis.insensitivity import Insensitivity, light_change, light_slope, peak_change

WAVELENGTH_NM = np.linspace(485.0, 565.0, 390)


def spectra(seed: int, shift_nm: float, count: int = 13, peak_counts: float = 480.0) -> list[np.ndarray | None]:
    draw = np.random.default_rng(seed)
    centres = 520.0 + shift_nm * (np.arange(count) % 2)
    lines = peak_counts * np.exp(-0.5 * ((WAVELENGTH_NM - centres[:, None]) / 10.6) ** 2)
    return list(lines + draw.normal(0.0, 2.7, lines.shape))


def levels(seed: int, change: float, noise: float, count: int = 13) -> list[float]:
    draw = np.random.default_rng(seed)
    return [1.0 + change * (place % 2) + noise * float(draw.standard_normal()) for place in range(count)]


def brackets(change_full: float) -> list[Bracket]:
    draw = np.random.default_rng(2)
    found: list[Bracket] = []
    for voltage_v in (5.0, 10.0, 15.0, 20.0) * 2:
        counts = 1000.0 * (1 + change_full * voltage_v / 20.0) + float(draw.standard_normal())
        found.append(Bracket(Light(0.0, 0.0, 1000.0, 1.0), Light(1.0, voltage_v, counts, 1.0), Light(2.0, 0.0, 1000.0, 1.0)))
    return found


@pytest.mark.parametrize(
    ("shift_nm", "judgement"), [(0.0, "insensitive"), (0.15, "insensitive"), (-0.8, "changed"), (0.8, "changed")]
)
def test_a_shift_of_the_peak_is_judged_in_nanometres(shift_nm: float, judgement: str) -> None:
    found = peak_change(WAVELENGTH_NM, spectra(1, shift_nm), 0.3)
    assert found.judgement == judgement
    assert (found.change.unit, found.margin) == ("nm", 0.3)
    assert found.change.ci95 is not None
    assert found.change.ci95[0] <= shift_nm <= found.change.ci95[1]
    assert found.change.half_width is not None
    assert found.change.half_width < 0.1


def test_a_missing_or_dark_spectrum_leaves_the_peak_undecided_with_its_reason() -> None:
    taken = spectra(1, 0.0)
    for place, words in ((None, "no spectrum"), (np.zeros(390), "no light above the noise")):
        found = peak_change(WAVELENGTH_NM, [place, *taken[1:]], 0.3)
        assert (found.judgement, found.change.value) == ("undecided", None)
        assert words in found.reason


def test_few_noisy_data_do_not_prove_insensitivity() -> None:
    assert light_change(levels(1, 0.0, 0.05), 0.02).judgement == "undecided"
    assert light_change(levels(1, 0.0, 0.002), 0.02).judgement == "insensitive"
    assert light_change(levels(1, -0.8, 0.002), 0.02).judgement == "changed"


def test_a_change_along_the_voltages_is_found() -> None:
    assert light_slope(brackets(0.0), 20.0, 0.02).judgement == "insensitive"
    found = light_slope(brackets(-0.1), 20.0, 0.02)
    assert found.judgement == "changed"
    assert found.change.value == pytest.approx(-0.1, abs=0.003)


def whole(light: float, current: float | None) -> Insensitivity:
    draw = np.random.default_rng(3)
    ceiling = None if current is None else stays_below(current + 1e-9 * draw.standard_normal(6), 3e-6, "A")
    change = light_change(levels(1, light, 0.002), 0.02)
    return Insensitivity(
        change, light_slope(brackets(0.0), 20.0, 0.02), peak_change(WAVELENGTH_NM, spectra(1, 0.0), 0.3), ceiling
    )


@pytest.mark.parametrize(
    ("light", "current", "judgement"),
    [
        (0.0, 2e-7, "insensitive"),
        (0.0, None, "insensitive"),
        (0.0, 3e-4, "changed"),
        (0.0, 3e-6, "undecided"),
        (-0.8, 3e-6, "changed"),
    ],
)
def test_one_change_is_enough_and_one_doubt_too(light: float, current: float | None, judgement: str) -> None:
    assert whole(light, current).judgement == judgement
