"""Devices: calibration, spreads, and where each number comes from."""

import numpy as np
import pytest

from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters, Origin

SERIALS = [f"CsPbBr3-{i:02d}" for i in range(20)]


def test_calibration_lands_on_loss_and_coupling_of_the_prototype() -> None:
    device = FilmParameters.nominal()
    assert device.loss_per_cm == pytest.approx(204.26, rel=0.005)
    assert device.pump_coupling == pytest.approx(0.33976, rel=0.005)


def test_a_serial_number_is_a_device() -> None:
    assert FilmParameters.sampled("a") == FilmParameters.sampled("a")
    assert FilmParameters.sampled("a") != FilmParameters.sampled("b")


def test_only_parameters_with_a_spread_vary() -> None:
    nominal, device = FilmParameters.nominal(), FilmParameters.sampled("a")
    for name, origin in FilmParameters.origins().items():
        assert (getattr(device, name) != getattr(nominal, name)) == (origin.spread > 0), name


@pytest.mark.parametrize(
    ("name", "spread"),
    [("gain_per_cm", 0.08), ("loss_per_cm", 0.12), ("shunt_ohm", 0.5), ("trion_ps", 0.04), ("charge_per_s", 0.25)],
)
def test_spread_over_many_serials_is_that_of_the_table(name: str, spread: float) -> None:
    origin, nominal = FilmParameters.origins()[name], getattr(FilmParameters.nominal(), name)
    values = np.array([origin.draw(nominal, z) for z in np.random.default_rng(3).standard_normal(100_000)])
    assert values.mean() == pytest.approx(nominal, rel=0.01)
    assert values.std() / nominal == pytest.approx(spread, rel=0.03)


def test_other_laws_of_spread() -> None:
    assert Origin("assumed", "1", 0.5, "factor").draw(2.0, -1.0) == pytest.approx(2.0 * np.exp(-0.5))
    assert Origin("assumed", "eV", 0.003, "shift").draw(0.0, 2.0) == pytest.approx(0.006)


def test_assumed_lists_what_the_paper_does_not_say() -> None:
    assumed = FilmParameters.assumed()
    assert {"stripe_cm", "area_cm2", "thickness_nm", "mobility_cm2_per_vs", "gap_ev_per_k"} <= set(assumed)
    assert not {"trion_ps", "loss_per_cm", "exciton_ps"} & set(assumed)


def test_twenty_devices_look_like_one_batch() -> None:
    """Medians and 5-95 % ranges of the device population: 56-68-90 and 26-33-45 uJ/cm2, reduction 45-53-57 %."""
    films = [Film(FilmParameters.sampled(serial)) for serial in SERIALS]
    off, on = (np.array([film.native_threshold(voltage) for film in films]) for voltage in (0.0, 20.0))
    assert 60 < np.median(off) < 76
    assert 29 < np.median(on) < 37
    assert 45 < off.min() < off.max() < 110
    assert 20 < on.min() < on.max() < 60
    reduction = 1 - on / off
    assert 0.50 < np.median(reduction) < 0.56
    assert 0.40 < reduction.min() < reduction.max() < 0.62
    assert 0.05 < off.std() / off.mean() < 0.25
