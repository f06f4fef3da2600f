"""The fluence of each visit of a sweep, from set points and readings of the energy meter."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rig.analysis.light_curve import NOMINAL_ERROR
from rig.fluence_calibration import EnergyScale
from rig.measurements.fluence_sweep import FluenceSweep
from rig.measurements.sweep_fluence import VisitFluence, visit_fluence
from rig.runfile_layout import ENERGY_DTYPE, FRAME_DTYPE

VISITS = FluenceSweep(points=8, fluence_min_uj_cm2=10.0, fluence_max_uj_cm2=80.0).visits()
ASKED = np.array([visit.fluence_uj_cm2 for visit in VISITS])
SCALE = EnergyScale(
    pickoff_ratio=2.0, spot_area_cm2=0.01, spot_area_uncertainty=0.0, gain_uncertainty=0.0, pickoff_uncertainty=0.0
)


def found(ratio: np.ndarray[Any, Any], *, metered: bool = True) -> VisitFluence:
    """Readings (visit, n) as multiples of the set point; block b is visit b."""
    rows = np.zeros(8 * 5, FRAME_DTYPE)
    rows["cycle"] = rows["block"] = np.repeat(np.arange(8), 5)
    energies = np.zeros(ratio.size, ENERGY_DTYPE)
    energies["block"] = np.repeat(np.arange(8), ratio.shape[1])
    energies["energy_uj"] = (ratio * ASKED[:, None]).ravel() / SCALE.uj_cm2_per_uj
    run: Any = SimpleNamespace(energies=energies, header=SimpleNamespace(timing_json="{}"))
    bench: Any = SimpleNamespace(energy_scale=lambda: SCALE if metered else None)
    return visit_fluence(run, bench, rows, np.ones(len(rows), np.bool_), VISITS)


def test_one_reading_a_visit_gives_one_factor_for_all_set_points() -> None:
    noise = 1 + 0.015 * np.random.default_rng(1).standard_normal((8, 1))
    made = found(1.1 * noise)
    factors = made.uj_cm2 / ASKED
    assert np.ptp(factors) < 1e-12
    assert factors[0] == pytest.approx(1.1, rel=0.02)
    assert (made.error, made.strange) == (NOMINAL_ERROR, ())


def test_many_readings_a_visit_are_better_than_its_set_point() -> None:
    noise = 1 + 0.015 * np.random.default_rng(1).standard_normal((8, 100))
    drift = np.linspace(1.0, 1.05, 8)[:, None]
    made = found(drift * noise)
    assert made.source == "the meter's mean of each visit"
    assert np.allclose(made.uj_cm2, drift[:, 0] * ASKED, rtol=0.006)
    assert made.error == pytest.approx(0.0015, rel=0.2)


def test_a_visit_whose_pump_went_astray_is_named() -> None:
    ratio = np.ones((8, 1))
    ratio[3] = 0.6
    assert found(ratio).strange == (3,)


@pytest.mark.parametrize("metered", [True, False])
def test_without_light_or_meter_set_points_are_what_there_is(metered: bool) -> None:
    made = found(np.zeros((8, 1)), metered=metered)
    assert np.array_equal(made.uj_cm2, ASKED)
    assert ("no light" in made.source) is metered
