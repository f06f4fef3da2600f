"""Stays of a ladder: which are left out as saturated, and which rests belong to which voltage."""

import numpy as np
import pytest

from rig.analysis.bracketed_ladder import Light
from rig.measurements.pl_vs_voltage import PlVsVoltage
from rig.measurements.stay_light import brackets_of, of_purpose, saturated_stays
from rig.runfile import FRAME_DTYPE, Flag

FRAMES = 20


@pytest.mark.parametrize(("bad", "lost"), [(0, []), (2, []), (3, [1]), (20, [1])])
def test_a_stay_is_left_out_when_more_than_a_tenth_of_its_frames_are_saturated(bad: int, lost: list[int]) -> None:
    rows = np.zeros(3 * FRAMES, FRAME_DTYPE)
    rows["cycle"] = np.repeat(np.arange(3), FRAMES)
    rows["flags"][FRAMES : FRAMES + bad] = int(Flag.SATURATED)
    words, found = saturated_stays(rows, np.ones(len(rows), np.bool_), 3)
    assert found == lost
    assert [word.startswith("1 stay left out: saturated frames") for word in words] == [True] * len(lost)


def test_saturated_frames_of_no_stay_cost_nothing() -> None:
    rows = np.zeros(FRAMES, FRAME_DTYPE)
    rows["flags"] = int(Flag.SATURATED)
    assert saturated_stays(rows, np.zeros(FRAMES, np.bool_), 3) == ((), [])


def test_every_voltage_is_paired_with_the_rests_beside_it_and_what_follows_it() -> None:
    stays = PlVsVoltage(passes=2).stays()
    light = [Light(float(number), stay.voltage_v, 100.0, 1.0) for number, stay in enumerate(stays)]
    early = [Light(float(number) - 0.5, 0.0, 99.0, 1.0) for number in range(len(stays))]
    found = brackets_of(stays, light, early)
    assert len(found) == 8
    for one in found:
        assert one.biased.voltage_v != 0
        assert (one.before.voltage_v, one.after.voltage_v) == (0.0, 0.0)
        assert one.early is not None
        assert (one.biased.t_s - one.before.t_s, one.early.t_s - one.biased.t_s, one.after.t_s - one.biased.t_s) == (
            1.0,
            0.5,
            1.0,
        )


def test_a_rest_without_light_costs_both_brackets_beside_it_and_linearity_is_no_rest() -> None:
    stays = PlVsVoltage(passes=2).stays()
    light: list[Light | None] = [Light(float(number), stay.voltage_v, 100.0, 1.0) for number, stay in enumerate(stays)]
    light[4] = None
    assert [one.biased.t_s for one in brackets_of(stays, light)] == [1.0, 7.0, 9.0, 11.0, 13.0, 15.0]
    assert len(of_purpose(stays, light, "rest")) == 8
    assert len(of_purpose(stays, light, "linearity")) == 5
