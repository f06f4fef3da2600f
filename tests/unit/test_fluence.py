"""Malus' law and its fit: there and back, how often the intervals hold the truth, and what is refused; the file of it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import ConfigError, RecordError
from rig.fluence import LEAST_PROBABILITY, SETTING_ERROR, Malus, fit_malus, law_sigma, objections, without_effect
from rig.fluence_calibration import (
    FORMAT,
    EnergyScale,
    FluenceCalibration,
    Point,
    fluence_at,
    read_calibration,
    write_calibration,
)

TRUTH = Malus(1.6, 12.3, 1e-3)
ANGLES = np.arange(15) * 6.0
SEEDS = 300
laws = st.builds(Malus, st.floats(1e-3, 1e4), st.floats(0, 89.999), st.floats(0, 0.3))


def energies_of(law: Malus, angles: Any = ANGLES) -> Any:
    return np.array([law.at(float(angle)) for angle in angles])


def measured(seed: int, law: Malus = TRUTH, angles: Any = ANGLES) -> tuple[Any, Any]:
    """Energies with the floor's scatter and their own, and the standard errors of the latter."""
    rng = np.random.default_rng(seed)
    energies = energies_of(law, angles)
    errors = 0.004 * energies + 1e-5 * law.open
    scatter = SETTING_ERROR * energies * rng.standard_normal(len(angles)) + errors * rng.standard_normal(len(angles))
    return energies + scatter, errors


# --- the law ----------------------------------------------------------------------------------------------------------


@given(law=laws, part=st.floats(0, 1))
@settings(max_examples=300, deadline=None)
def test_angle_and_fluence_lead_back_to_each_other(law: Malus, part: float) -> None:
    value = min(max(law.lowest + part * (law.open - law.lowest), law.lowest), law.open)
    angle_deg = law.angle_deg(value)
    assert law.at(angle_deg) == pytest.approx(value, rel=1e-9, abs=1e-9 * law.open)
    turned = (angle_deg - law.zero_deg) % 360.0
    assert 0 <= turned <= 45.0 + 1e-9 or turned > 360.0 - 1e-9
    assert 0 <= angle_deg < 360


@given(law=laws, one=st.floats(0, 1), other=st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_more_light_is_a_smaller_turn(law: Malus, one: float, other: float) -> None:
    low, high = sorted(law.lowest + part * (law.open - law.lowest) for part in (one, other))
    if low < high <= law.open:
        assert (law.angle_deg(high) - law.zero_deg) % 360 <= (law.angle_deg(low) - law.zero_deg) % 360 + 1e-9


def test_both_ends_are_reached_exactly() -> None:
    assert TRUTH.angle_deg(TRUTH.open) == pytest.approx(12.3)
    assert TRUTH.angle_deg(TRUTH.lowest) == pytest.approx(57.3)


@pytest.mark.parametrize("value", [1.6 * (1 + 1e-12), 1.6e-3 * (1 - 1e-12), 0.0, -1.0, float("nan"), float("inf")])
def test_what_cannot_be_reached_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not within"):
        TRUTH.angle_deg(value)


# --- the fit ----------------------------------------------------------------------------------------------------------


def test_one_sigma_holds_the_truth_two_times_in_three() -> None:
    held = np.zeros(3)
    at_30 = 0
    for seed in range(SEEDS):
        fit = fit_malus(ANGLES, *measured(seed))
        off = np.array([fit.law.open - TRUTH.open, fit.law.zero_deg - TRUTH.zero_deg, fit.law.extinction - TRUTH.extinction])
        held += np.abs(off) <= np.sqrt(np.diag(fit.covariance))
        again = TRUTH.at(30.0) * (1 + SETTING_ERROR * np.random.default_rng(10_000 + seed).standard_normal())
        at_30 += abs(fit.law.at(30.0) - again) <= law_sigma(fit.law, fit.covariance, 30.0)
    # 0.683 of 300, four standard deviations either way
    assert np.all(np.abs(held / SEEDS - 0.683) <= 0.11), held / SEEDS
    assert abs(at_30 / SEEDS - 0.683) <= 0.11


def test_a_true_law_is_hardly_ever_objected_to() -> None:
    against = 0
    for seed in range(SEEDS):
        energies, errors = measured(seed)
        against += bool(objections(fit_malus(ANGLES, energies, errors), ANGLES, energies, "here"))
    assert against <= max(1, 10 * LEAST_PROBABILITY * SEEDS)


def test_an_extinction_of_nothing_stays_at_nothing() -> None:
    law = Malus(1.0, 40.0, 0.0)
    fits = [fit_malus(ANGLES, *measured(seed, law)) for seed in range(20)]
    assert all(0 <= fit.law.extinction < 1e-3 for fit in fits)
    assert any(fit.law.extinction == 0 for fit in fits)


DISTURBED: dict[str, tuple[Any, str]] = {
    "a meter that saturates": (lambda angles: np.minimum(energies_of(TRUTH, angles), 1.2), "fit-does-not-describe"),
    "a turning polariser": (lambda angles: 1.6 * np.cos(np.radians(angles)) ** 2 + 1e-3, "wrong-harmonic"),
    "a plate with twice the effect": (lambda angles: 1.6 * np.cos(4 * np.radians(angles)) ** 2 + 1e-3, "wrong-harmonic"),
    "a plate that skipped once": (
        lambda angles: energies_of(TRUTH, np.where(np.arange(len(angles)) < 8, angles, angles + 5.0)),
        "fit-does-not-describe",
    ),
}


@pytest.mark.parametrize("name", DISTURBED)
def test_what_is_not_malus_law_is_not_taken_for_it(name: str) -> None:
    disturb, code = DISTURBED[name]
    energies = disturb(ANGLES)
    found = objections(fit_malus(ANGLES, energies, 0.004 * energies + 1e-5), ANGLES, energies, "here")
    assert [reason.code for reason in found] == [code]
    assert any(digit.isdigit() for digit in found[0].message)


@pytest.mark.parametrize("energies", [1.6 + 0.01 * np.cos(ANGLES), 0.0 * ANGLES, [1.6, 0.6], [1.6] * 15])
def test_a_plate_without_effect_is_told(energies: Any) -> None:
    [reason] = without_effect(energies, "here")
    assert reason.code == "plate-without-effect"
    assert without_effect(energies_of(TRUTH), "here") == []


@pytest.mark.parametrize("energies", [0.0 * ANGLES, 0.0 * ANGLES + 1.6])
def test_nothing_to_fit_is_no_fit(energies: Any) -> None:
    with pytest.raises(ValueError, match="energy"):
        fit_malus(ANGLES, energies, 0.01 * energies)


@pytest.mark.parametrize(
    ("angles", "energy"), [([0, 10, 20], [1, 1, 1]), ([0, 90, 180, 270], [1] * 4), ([0, 10, 20, 30], [1, 1, 1, np.nan])]
)
def test_too_little_is_no_fit(angles: list[float], energy: list[float]) -> None:
    with pytest.raises(ValueError, match="four different"):
        fit_malus(angles, energy, [0.1] * len(angles))


# --- the file ---------------------------------------------------------------------------------------------------------


def calibration(**changes: Any) -> FluenceCalibration:
    fit = fit_malus(ANGLES, *measured(1))
    values: dict[str, Any] = {
        "format": FORMAT,
        "simulated": True,
        "calibrated_at": "2026-01-31T12:00:00+01:00",
        "bench": "b.toml",
        "energy_open_uj": fit.law.open,
        "zero_deg": fit.law.zero_deg,
        "extinction": fit.law.extinction,
        "covariance": tuple(tuple(row) for row in fit.covariance.tolist()),
        "chi2": fit.chi2,
        "degrees_of_freedom": fit.freedom,
        "probability": fit.probability,
        "spot_area_cm2": 0.01,
        "pickoff_ratio": 1.0,
        "wavelength_nm": 400.0,
        "rate_hz": 20.0,
        "identities": {"attenuator": "Thorlabs ELL14, serial 1, firmware 17"},
        "serials": {"attenuator": "1"},
        "point": tuple(
            Point(angle_deg=angle, energy_uj=1.0, standard_error_uj=0.01, residual_uj=0.0, pulses=20)
            for angle in ANGLES.tolist()
        ),
    }
    return FluenceCalibration.model_validate({**values, **changes})


def test_the_file_gives_back_every_bit(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    write_calibration(path, calibration())
    assert read_calibration(path) == calibration()
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.toml"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.toml"
    write_calibration(path, calibration())

    def broken(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(RecordError, match="No space left"):
        write_calibration(path, calibration(bench="another"))
    assert read_calibration(path) == calibration()
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.toml"]


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("format", "something else", "invalid-value"),
        ("calibrated_at", "yesterday", "date-malformed"),
        ("energy_open_uj", -1.0, "out-of-range"),
        ("extinction", 1.0, "out-of-range"),
        ("unknown", 1.0, "unknown-key"),
    ],
)
def test_a_file_that_says_something_impossible_is_refused(tmp_path: Path, key: str, value: object, code: str) -> None:
    path = tmp_path / "c.toml"
    text = f"{key} = {value!r}".replace("'", '"')
    lines = [line for line in calibration().text().splitlines() if not line.startswith(f"{key} =")]
    path.write_text("\n".join([text, *lines]), "utf-8")
    with pytest.raises(ConfigError) as caught:
        read_calibration(path)
    assert code in {reason.code for reason in caught.value.reasons}


def test_systematic_uncertainty_is_shared_and_kept_apart() -> None:
    scale = EnergyScale(2.0, 0.01, 0.05, 0.03, 0.04)
    full = fluence_at(calibration(), scale, calibration().zero_deg)
    half = fluence_at(calibration(), scale, calibration().zero_deg + 22.5)
    assert full.value == pytest.approx(1.6 * 2.0 / 0.01, rel=0.02)
    assert full.systematic / full.value == half.systematic / half.value == pytest.approx(np.sqrt(0.05**2 + 0.03**2 + 0.04**2))
    assert 0 < full.statistical < 0.02 * full.value


def test_age_is_told_between_two_labels() -> None:
    now = datetime(2026, 2, 1, 11, tzinfo=UTC).isoformat()
    assert calibration().age_s(now) == 86_400
    assert np.isnan(calibration().age_s("2026-02-01T11:00:00"))
