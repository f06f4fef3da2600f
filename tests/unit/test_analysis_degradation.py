"""Losses from cycle to cycle against those that were put in, at equal pulse energy, with errors that hold; stray light."""

import numpy as np
import pytest

from rig.analysis.degradation import CycleLight, Degradation, StateLight, degradation
from rig.analysis.stray_light import stray_light

FRAMES = 200


def cycles(
    losses: list[float],
    seed: int = 0,
    *,
    noise: float = 0.1,
    between: float = 0.0,
    energy_slope: float = 0.0,
    known: bool = True,
) -> list[CycleLight]:
    """Cycles whose ON light has lost so much; their energies drift up by 1 % a cycle when a slope is given."""
    rng, found = np.random.default_rng(seed), list[CycleLight]()
    for number, loss in enumerate(losses):
        common = 1 + between * rng.standard_normal()
        made: list[StateLight] = []
        for level, lost in ((600.0, 0.0), (2400.0, loss)):
            energy = 1 + (0.01 * number if energy_slope else 0.0) + 0.02 * rng.standard_normal(FRAMES)
            light = level * common * (1 - lost) * (1 + energy_slope * (energy - 1) + noise * rng.standard_normal(FRAMES))
            made.append(StateLight.of(light, energy if energy_slope and known else None))
        found.append(CycleLight(number, *made))
    return found


def test_a_loss_is_found_at_its_cycle_with_its_size() -> None:
    found = degradation(cycles([0.0] * 10 + [0.3] * 2), 0.2)
    assert (found.degraded_cycle, found.state, found.cycles) == (10, "ON", 12)
    assert found.on_loss.ci95 is not None
    assert found.on_loss.ci95[0] <= 0.3 <= found.on_loss.ci95[1]
    assert found.on_loss.half_width is not None
    assert found.on_loss.half_width < 0.05
    assert found.off_loss.ci95 is not None
    assert found.off_loss.ci95[0] <= 0.0 <= found.off_loss.ci95[1]


def test_a_slow_loss_is_found_soon_after_it_is_beyond() -> None:
    losses = [0.01 * number for number in range(40)]
    found = degradation(cycles(losses), 0.2)
    assert found.degraded_cycle is not None
    assert 20 <= found.degraded_cycle <= 26  # of the reference 1 % is lost as well


@pytest.mark.parametrize("losses", [[0.0] * 8, [0.0] * 5 + [0.5] + [0.0] * 4, [0.0] * 9 + [0.5]])
def test_a_sound_film_or_a_single_bad_cycle_is_no_degradation(losses: list[float]) -> None:
    found = degradation(cycles(losses), 0.2)
    assert found.degraded_cycle is None
    assert found.state == ""


def test_the_bound_of_the_loss_holds_also_when_cycles_scatter() -> None:
    def holds(found: Degradation, true: float) -> bool:
        return found.loss_bound is not None and found.loss_bound >= true

    for between in (0.0, 0.02):
        seen = [degradation(cycles([0.0] * 3 + [0.03] * 9, seed, between=between), 0.5) for seed in range(200)]
        assert np.mean([holds(one, 0.03) for one in seen]) >= 0.95
        assert np.mean([one.loss_bound for one in seen if one.loss_bound is not None]) < 0.12


def test_too_few_cycles_give_no_loss() -> None:
    found = degradation(cycles([0.0, 0.0, 0.0, 0.9]), 0.2)
    assert (found.degraded_cycle, found.on_loss.value, found.loss_bound) == (None, None, None)
    assert degradation([], 0.2).cycles == 0


def test_a_rising_pulse_energy_hides_no_loss_where_it_is_known() -> None:
    losses = [0.0] * 3 + [0.02 * number for number in range(1, 10)]
    blind, seeing = (degradation(cycles(losses, noise=0.02, energy_slope=3.0, known=known), 0.1) for known in (False, True))
    assert (blind.equal_energy, seeing.equal_energy) == (False, True)
    assert blind.degraded_cycle is None
    assert seeing.degraded_cycle is not None
    true = float(np.mean(losses[-2:]))
    assert seeing.on_loss.ci95 is not None
    assert seeing.on_loss.ci95[0] - 0.02 <= true <= seeing.on_loss.ci95[1] + 0.02


# --- stray light


def test_frames_as_dark_as_the_dark_frames_are_hardly_ever_called_lit() -> None:
    rng = np.random.default_rng(1)
    # the dark spectrum's own error is common to all frames
    found = [stray_light(5 * rng.standard_normal(200) + 0.5 * rng.standard_normal(), 100, 600.0) for _ in range(2000)]
    assert sum(bool(one.lit) for one in found) <= 8
    inside = [one.light.ci95 is not None and one.light.ci95[0] <= 0 <= one.light.ci95[1] for one in found]
    assert 0.93 <= np.mean(inside) <= 0.985


def test_light_is_found_with_its_size_and_share() -> None:
    found = stray_light(12 + 5 * np.random.default_rng(1).standard_normal(200), 100, 600.0)
    assert found.lit
    assert found.light.ci95 is not None
    assert found.light.ci95[0] <= 12 <= found.light.ci95[1]
    assert found.share == pytest.approx(0.02, rel=0.1)


def test_one_frame_or_none_tells_nothing() -> None:
    for count in (0, 1):
        found = stray_light(np.full(count, 100.0), 100, None)
        assert (found.lit, found.light.ci95, found.share) == (None, None, None)
