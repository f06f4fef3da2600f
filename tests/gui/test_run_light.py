"""Runs of long frames, continuous light or none: what the numbers of the run page say, on which time axis."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from replayed_run import ReplayedRun
from watched_feed import Watched, opened

from gui.number_panel import fluence_shown, run_shown, shots_shown
from gui.run_light import RunLight, run_light
from gui.run_numbers import RunNumbers, ShotCount
from rig.analysis.statistics import Value
from rig.runfile import open_run

SWITCHED = RunNumbers(contrast_535=Value(0.4, (0.3, 0.5), ""), ratio_520=Value(0.5, (0.4, 0.6), ""), switched=False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("iv", RunLight("none", 0.1, 0, 5, switching=False)),
        ("pl_vs_voltage", RunLight("pulses", 0.1, 100, 1, switching=False)),
        ("control", RunLight("pulses", 0.1, 100, 3, switching=False)),
        ("response", RunLight("cw", 0.01, 0, 1, switching=False)),
    ],
)
def test_light_and_length_of_frames_come_from_the_file(watched: Watched, runs, name: str, expected: RunLight) -> None:
    content = opened(watched, runs[name]).feed.content
    assert content is not None
    assert content.light == expected
    assert content.light.frames


def test_one_pulse_per_frame_is_what_it_was(run_file: Path) -> None:
    found = run_light(open_run(run_file).header, 1)
    assert found == RunLight("pulses", 0.001, 1, 1, switching=True)
    assert not found.frames


@pytest.mark.parametrize("text", ["", "no json", "[1]", '{"light": 7, "period_ns": "x", "pulses": null}'])
def test_a_header_that_tells_no_timing_is_read_as_one_pulse_per_frame(run_file: Path, text: str) -> None:
    assert run_light(replace(open_run(run_file).header, timing_json=text), 1) == RunLight()


def test_long_frames_lie_as_far_apart_on_the_time_axis_as_they_were_taken(watched: Watched, runs) -> None:
    traces = opened(watched, runs["pl_vs_voltage"]).feed.traces
    assert traces is not None
    steps_s = np.diff(traces.time_s)
    assert len(steps_s) > 20
    assert np.median(steps_s) == pytest.approx(0.1, abs=1e-3)


def test_readings_lie_beside_the_long_frames_that_they_were_made_in(watched: Watched, runs) -> None:
    feed = opened(watched, runs["iv"]).feed
    assert feed.readings is not None
    assert feed.content is not None
    volts, time_s = feed.readings.voltage_v, feed.readings.time_s
    top = [one for one in feed.content.stretches.all if one.voltage_v == 20.0]
    inside = (time_s >= top[0].first_s - 0.2) & (time_s <= top[0].last_s + 0.2) & (volts > 19)
    assert inside.sum() >= 5


def test_a_run_in_the_dark_has_no_contrast_and_says_why() -> None:
    shown = run_shown(SWITCHED, RunLight("none"))
    assert (shown["contrast"].text, shown["peak"].text, shown["fwhm"].text) == ("–", "–", "–")
    assert shown["contrast"].more == "no light reaches the film in this run"
    assert run_shown(SWITCHED)["contrast"].text == "0.40 ± 0.10"


def test_a_mean_over_several_voltages_says_so_and_is_not_judged() -> None:
    ladder = run_shown(SWITCHED, RunLight(voltages=4, switching=False))["contrast"]
    assert ladder.more.startswith("mean of 4 voltages; at 520 nm: 0.50")
    assert (ladder.kind, run_shown(SWITCHED)["contrast"].kind) == ("text", "warning")


def test_frames_are_counted_as_frames() -> None:
    shots = ShotCount(assigned=3)
    assert shots_shown(shots, 616, RunLight("pulses", 1.0, 1000))["done"].more == "of 616 frames of 1 s"
    assert shots_shown(shots, 616, RunLight("pulses", 0.001, 1))["done"].more == "of 616"


@pytest.mark.parametrize(
    ("light", "text", "more"),
    [
        ("pulses", "40 µJ/cm²", "asked for, not measured"),
        ("cw", "–", "continuous light, no pulses"),
        ("none", "–", "the laser is not fired"),
        ("blocked", "–", "the shutter stays closed"),
    ],
)
def test_a_fluence_is_told_of_pulses_alone(light: str, text: str, more: str) -> None:
    shown = fluence_shown(40.0, None, 0, RunLight(light))
    assert (shown.text, shown.more) == (text, more)


def test_a_reading_has_no_age_before_the_first_frame(live: ReplayedRun, watched: Watched) -> None:
    watched.feed.open(live.path)
    live.read(slice(0, 1))  # as the contact check does, minutes before the dark is taken
    watched.turns(10)
    assert watched.feed.readings is not None
    assert len(watched.feed.readings.voltage_v) == 1
    assert watched.feed.reading_age_s is None
