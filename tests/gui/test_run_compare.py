"""Two runs compared: their difference with its interval, their traces, their texts."""

import numpy as np
import pytest

from gui.run_compare import BINS, compare, difference, envelopes, text_difference
from rig import OnOff, Session
from rig.analysis.statistics import Value
from rig.measurements.catalogue import record_of
from rig.runfile import Flag, RunFile, open_run


@pytest.fixture(scope="module")
def weaker(tmp_path_factory):
    """A run at 12 V, where the film does not switch."""
    parameters = OnOff(voltage_on_v=12.0, on_time_s=0.2, off_time_s=0.2, cycles=2, settle_s=0.05)
    return Session(out=tmp_path_factory.mktemp("weaker"), seed=5).run(parameters).path


def test_the_interval_of_a_difference_is_made_of_the_facing_sides_of_both():
    a, b = Value(10.0, (9.7, 10.1), "nm"), Value(10.6, (10.2, 11.4), "nm")

    found = difference("x", a, b)

    # 0.6 - hypot(0.4, 0.1), 0.6 + hypot(0.8, 0.3)
    assert found.value.value == pytest.approx(0.6)
    assert found.value.ci95 == pytest.approx((0.6 - np.sqrt(0.17), 0.6 + np.sqrt(0.73)))
    assert found.beyond is True


@pytest.mark.parametrize(("shift", "beyond"), [(0.0, False), (0.14, False), (0.15, True), (-0.15, True)])
def test_a_difference_is_beyond_when_its_interval_does_not_hold_zero(shift, beyond):
    a, b = Value(1.0, (0.9, 1.1), ""), Value(1.0 + shift, (0.9 + shift, 1.1 + shift), "")

    assert difference("x", a, b).beyond is beyond


@pytest.mark.parametrize("missing", [Value(None, None, ""), Value(1.0, None, "")])
def test_without_an_interval_nothing_is_said_of_a_difference(missing):
    assert difference("x", missing, Value(1.0, (0.9, 1.1), "")).beyond is None
    assert difference("x", Value(1.0, (0.9, 1.1), ""), missing).beyond is None


def test_a_run_does_not_differ_from_itself(run_file):
    found = compare(run_file, run_file)

    assert [one.beyond for one in found.differences if one.value.value is not None].count(True) == 0
    assert found.sequence == found.bench == ()


def test_a_run_that_switches_differs_from_one_that_does_not(run_file, weaker):
    found = compare(run_file, weaker)

    contrast = next(one for one in found.differences if one.quantity == "535 nm ON/OFF")
    assert contrast.a == record_of(run_file).result.contrast_535
    assert contrast.b.value == pytest.approx(record_of(weaker).result.contrast_535.value)
    assert contrast.beyond is True
    peak = next(one for one in found.differences if one.quantity == "ON peak")
    assert (peak.b.value, peak.value.value, peak.beyond) == (None, None, None)
    assert any(line.startswith("+") and "12" in line for line in found.sequence)
    assert found.bench == ()


def test_traces_begin_together_and_leave_out_frames_without_light_of_a_known_pulse(run_file):
    side = compare(run_file, run_file).a
    rows = open_run(run_file).frames()
    hidden = (rows["flags"] & int(Flag.LEAD_IN | Flag.MISSED_PULSE | Flag.SATURATED)) != 0

    assert side.time_s[0] == 0.0
    assert hidden.any()
    assert np.isnan(side.at_535[hidden]).all()
    assert np.array_equal(side.at_535[~hidden], rows["band_535"][~hidden])


def test_a_long_trace_keeps_the_least_and_greatest_value_of_every_piece():
    time_s = np.arange(100_000) * 1e-3
    values = np.zeros(100_000)
    values[54_321], values[54_322] = 7.0, -3.0

    axis, (reduced,) = envelopes(time_s, (values,))

    assert len(axis) == len(reduced) == 2 * BINS
    assert (reduced.max(), reduced.min()) == (7.0, -3.0)
    assert axis[reduced == 7.0][0] == pytest.approx(54.3, abs=0.11)


def test_a_run_of_another_measurement_is_drawn_and_says_why_it_has_no_numbers(run_file, tmp_path):
    from dataclasses import replace

    header = replace(open_run(run_file).header, measurement="threshold_curve")
    with_other = RunFile.create(tmp_path, "other", header, frame_capacity=10, reading_capacity=10)
    with_other.close()

    found = compare(run_file, with_other.path)

    assert "threshold_curve" in found.b.reason
    assert all(one.beyond is None for one in found.differences)


def test_texts_that_differ_name_their_lines_and_endless_ones_are_not_looked_through():
    assert text_difference("a = 1\n", "a = 1\n", ("A", "B")) == ()
    assert text_difference("a = 1\nb = 2\n", "a = 1\nb = 3\n", ("A", "B"))[-2:] == ("-b = 2", "+b = 3")
    assert "too long" in text_difference("x\n" * 100_000, "y", ("A", "B"))[0]
