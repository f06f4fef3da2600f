"""The stop rules of a switching run on made-up frames: when they end it, and what looking again and again costs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rig.analysis.statistics import Value, ratio_of_means
from rig.measurements.on_off import OnOff
from rig.measurements.stop_rule import StopRule
from rig.runfile import FRAME_DTYPE, Flag
from rig.sequence import BlockMode, BlockResult, State, Stretch

OFF_COUNTS, ON_COUNTS = 220.0, 2400.0
SHORT: dict[str, Any] = {"on_time_s": 0.1, "off_time_s": 0.1, "settle_s": 0.0}
Light = Callable[[Stretch, int], float]


def rows_of(stretch: Stretch, rng: np.random.Generator, noise: float, factor: float) -> NDArray[np.void]:
    rows = np.zeros(stretch.shots, FRAME_DTYPE)
    level = ON_COUNTS if stretch.state else OFF_COUNTS
    rows["state"], rows["cycle"], rows["pulse_energy_uj"] = int(stretch.state), stretch.cycle, np.nan
    rows["band_535"] = level * factor * (1 + noise * rng.standard_normal(stretch.shots))
    rows["band_520"] = 600.0 * factor * (1 + noise * rng.standard_normal(stretch.shots))
    return rows


def ran(
    measurement: OnOff, seed: int = 0, *, mode: BlockMode = "gated", noise: float = 0.12, factor: Light = lambda s, c: 1.0
) -> NDArray[np.void]:
    """Run the blocks on made-up frames; return all of them."""
    rng, blocks, rows = np.random.default_rng(seed), measurement.blocks(1000.0, mode), list[NDArray[np.void]]()
    block = next(blocks)
    while True:
        new = np.concatenate([rows_of(one, rng, noise, factor(one, one.cycle)) for one in block.stretches])
        if block.exposure.light == "blocked":
            new["flags"] = int(Flag.REFERENCE)
        rows.append(new)
        try:
            block = blocks.send(BlockResult(new))
        except StopIteration:
            return np.concatenate(rows)


def cycles(rows: NDArray[np.void]) -> int:
    return int(rows["cycle"].max()) + 1


def contrast(rows: NDArray[np.void]) -> Value:
    used = rows[rows["flags"] == 0]
    on, off = (used["band_535"][used["state"] == int(state)] for state in (State.ON, State.OFF))
    return ratio_of_means(on, off)


@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_the_run_ends_after_the_first_cycle_at_which_the_contrast_is_known_well_enough(mode: BlockMode) -> None:
    rows = ran(OnOff(cycles=60, stop_below_percent=1.0, **SHORT), mode=mode)
    count = cycles(rows)
    assert 3 < count < 30
    for seen in range(3, count + 1):
        found = contrast(rows[rows["cycle"] < seen])
        assert found.value is not None
        assert found.half_width is not None
        assert (found.half_width < 0.01 * found.value) == (seen == count)


def test_nothing_ends_a_run_before_its_third_cycle() -> None:
    assert cycles(ran(OnOff(cycles=60, stop_below_percent=100.0, **SHORT))) == 3


def test_abba_ends_with_whole_pairs_of_cycles_only() -> None:
    counts = {cycles(ran(OnOff(cycles=60, order="abba", stop_below_percent=1.2, **SHORT), seed)) for seed in range(10)}
    assert len(counts) > 1
    assert {count % 2 for count in counts} == {0}


def test_a_contrast_that_stays_unknown_takes_all_cycles() -> None:
    assert cycles(ran(OnOff(cycles=7, stop_below_percent=0.01, **SHORT))) == 7


def test_reference_frames_are_taken_at_the_end_of_a_run_that_ends_by_itself_and_count_for_nothing() -> None:
    rows = ran(OnOff(cycles=60, stop_below_percent=100.0, reference_frames=20, **SHORT))
    assert [int((part["flags"] == int(Flag.REFERENCE)).sum()) for part in (rows[:20], rows[20:-20], rows[-20:])] == [20, 0, 20]
    assert cycles(rows) == 3


def test_frames_that_are_flagged_tell_the_rule_nothing() -> None:
    rule = StopRule(100.0, None)
    for number in range(5):
        rows = np.concatenate([rows_of(Stretch(state, 0.0, 50, number), np.random.default_rng(0), 0.1, 1.0) for state in State])
        rows["flags"] = int(Flag.UNASSIGNED)
        rule.take(BlockResult(rows))
        assert not rule.met()


def test_a_film_that_loses_its_on_light_ends_the_run_two_cycles_after_it_is_beyond() -> None:
    measurement = OnOff(cycles=60, stop_degraded_percent=20.0, **SHORT)
    rows = ran(measurement, factor=lambda one, cycle: 0.7 if one.state and cycle >= 10 else 1.0)
    assert cycles(rows) == 12


def test_one_bad_cycle_does_not_end_a_run() -> None:
    measurement = OnOff(cycles=20, stop_degraded_percent=20.0, **SHORT)
    assert cycles(ran(measurement, factor=lambda one, cycle: 0.5 if cycle == 8 else 1.0)) == 20


def test_a_sound_film_is_called_degraded_in_no_run() -> None:
    measurement = OnOff(cycles=20, stop_degraded_percent=2.0, **SHORT)
    assert [cycles(ran(measurement, seed)) for seed in range(40)] == [20] * 40


def test_looking_after_every_cycle_costs_coverage_and_docs_say_how_much(record_property: Callable[[str, object], None]) -> None:
    """Coverage of the 95 % interval, white noise, 200 runs each: at a number of cycles fixed beforehand, and when stopped."""
    true = ON_COUNTS / OFF_COUNTS

    def coverage(measurement: OnOff, first: int) -> float:
        inside = [contrast(ran(measurement, seed, mode="stepped")).ci95 for seed in range(first, first + 200)]
        return float(np.mean([ci95 is not None and ci95[0] <= true <= ci95[1] for ci95 in inside]))

    fixed = coverage(OnOff(cycles=12, **SHORT), 5000)
    stopped = coverage(OnOff(cycles=60, stop_below_percent=1.0, **SHORT), 0)
    paired = coverage(OnOff(cycles=60, order="abba", stop_below_percent=1.0, **SHORT), 0)
    for name, value in (("fixed", fixed), ("stopped", stopped), ("stopped_abba", paired)):
        record_property(name, value)
    assert fixed >= 0.92
    assert 0.88 <= stopped <= fixed
    assert 0.88 <= paired <= fixed
