"""One shot and its bursts on the nanosecond axis, judged by moving everything shot by shot."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from rig.config_file import dotted
from rig.sequence import State, Stretch
from rig.timeline import (
    PULSE_MARGIN_NS,
    ShotPattern,
    Timeline,
    check_pattern,
    gated_bursts,
    on_time_s,
    shot_pattern,
    stepped_bursts,
    swing_v,
)

US = 1000
OFF, ON = Stretch(State.OFF, 0.0, 3, 0), Stretch(State.ON, 20.0, 4, 0)


def default_pattern(
    *,
    period_us: int = 1000,
    integration_us: int = 500,
    pulse_delay_us: int = 100,
    exposure_delay_us: int = 0,
    step_us: int | None = None,
) -> ShotPattern:
    return shot_pattern(
        period_ns=period_us * US,
        integration_ns=integration_us * US,
        readout_ns=20 * US,
        pulse_delay_ns=pulse_delay_us * US,
        exposure_delay_ns=exposure_delay_us * US,
        source_step_ns=None if step_us is None else step_us * US,
    )


def codes(pattern: ShotPattern) -> set[str]:
    return {reason.code for reason in check_pattern(pattern, dotted)}


def test_the_pulse_is_in_the_middle_of_its_window() -> None:
    pattern = default_pattern()
    assert (pattern.open_ns, pattern.pulse_ns, pattern.close_ns) == (0, 250 * US, 500 * US)
    assert (pattern.spectrometer_ns, pattern.laser_ns) == (0, 150 * US)
    assert pattern.edge_ns is None
    assert codes(pattern) == set()


def test_a_stepped_shot_waits_until_the_source_has_settled() -> None:
    pattern = default_pattern(step_us=400)
    assert (pattern.edge_ns, pattern.settled_ns, pattern.open_ns) == (0, 400 * US, 400 * US)
    assert codes(pattern) == set()


def test_a_spectrometer_that_starts_late_is_triggered_early() -> None:
    pattern = default_pattern(exposure_delay_us=80, step_us=400)
    assert (pattern.spectrometer_ns, pattern.open_ns) == (320 * US, 400 * US)
    early = default_pattern(exposure_delay_us=80)
    assert (early.spectrometer_ns, early.open_ns) == (0, 80 * US)


@pytest.mark.parametrize(
    ("changed", "code", "place"),
    [
        ({"integration_us": 1001}, "window-longer-than-period", "spectrometer.integration_time_s"),
        ({"integration_us": 990}, "spectrometer-too-slow", "spectrometer.integration_time_s"),
        ({"integration_us": 3}, "pulse-outside-window", "laser.pulse_delay_s"),
        ({"pulse_delay_us": 800}, "window-beyond-period", "laser.pulse_delay_s"),
        ({"step_us": 501}, "window-beyond-period", "laser.pulse_delay_s"),
    ],
)
def test_what_does_not_fit_is_refused_where_it_is_written(changed: dict[str, int], code: str, place: str) -> None:
    reasons = check_pattern(default_pattern(**changed), dotted)
    assert (code, place) in [(reason.code, reason.where) for reason in reasons]
    assert all("us" in reason.message for reason in reasons)


@pytest.mark.fault("Y3")
@pytest.mark.parametrize(
    ("edge_us", "settled_us", "code"),
    [(100, 500, "edge-inside-window"), (0, 400, "source-not-settled"), (499, 499, "edge-inside-window")],
)
def test_an_edge_inside_a_window_or_an_unsettled_source_is_refused(edge_us: int, settled_us: int, code: str) -> None:
    fine = default_pattern()
    pattern = ShotPattern(
        fine.period_ns,
        fine.spectrometer_ns,
        fine.laser_ns,
        fine.pulse_ns,
        fine.open_ns,
        fine.close_ns,
        fine.ready_ns,
        edge_us * US,
        settled_us * US,
    )
    assert code in codes(pattern)


def test_a_laser_that_would_have_to_be_fired_before_the_shot_is_refused() -> None:
    fine = default_pattern()
    pattern = ShotPattern(fine.period_ns, 0, -1, fine.pulse_ns, fine.open_ns, fine.close_ns, fine.ready_ns)
    assert codes(pattern) == {"laser-trigger-before-shot"}


def test_all_reasons_come_at_once() -> None:
    assert {"window-longer-than-period", "window-beyond-period"} <= codes(default_pattern(integration_us=1500))


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(
    period_us=st.integers(100, 3000),
    integration_us=st.integers(1, 2500),
    pulse_delay_us=st.integers(0, 2500),
    exposure_delay_us=st.integers(0, 1000),
    step_us=st.none() | st.integers(0, 1500),
)
def test_a_proven_pattern_keeps_every_promise_when_it_is_fired_again_and_again(
    period_us: int, integration_us: int, pulse_delay_us: int, exposure_delay_us: int, step_us: int | None
) -> None:
    pattern = default_pattern(
        period_us=period_us,
        integration_us=integration_us,
        pulse_delay_us=pulse_delay_us,
        exposure_delay_us=exposure_delay_us,
        step_us=step_us,
    )
    assume(not check_pattern(pattern, dotted))
    shots = [number * pattern.period_ns for number in range(4)]
    windows = [(start + pattern.open_ns, start + pattern.close_ns) for start in shots]
    pulses = [start + pattern.laser_ns + pulse_delay_us * US for start in shots]
    triggers = [start + pattern.spectrometer_ns for start in shots]
    for pulse, trigger, (opens, closes) in zip(pulses, triggers, windows, strict=True):
        assert trigger + exposure_delay_us * US == opens
        assert closes - opens == integration_us * US
        assert opens + PULSE_MARGIN_NS <= pulse <= closes - PULSE_MARGIN_NS
        assert sum(start < pulse < end for start, end in windows) == 1
    assert all(before[1] + 20 * US <= after[0] for before, after in pairwise(windows))
    assert all(0 <= pattern.laser_ns and 0 <= trigger for trigger in triggers)
    if step_us is not None:
        for edge in shots:  # the source moves from its edge until it has settled, and nobody looks meanwhile
            assert all(end <= edge or edge + step_us * US <= start for start, end in windows)


def test_a_gated_block_is_one_burst_led_in_by_one_shot() -> None:
    [burst] = gated_bursts(ON)
    assert (burst.shots, burst.lead_in, burst.voltage_v, burst.stretch) == (5, 1, 20.0, 0)


def test_a_stepped_block_is_a_burst_and_a_closing_reading_per_stretch_and_an_edge_back_to_zero() -> None:
    bursts = stepped_bursts((OFF, ON))
    assert [(b.shots, b.lead_in, b.voltage_v, b.stretch) for b in bursts] == [
        (4, 1, 0.0, 0),
        (1, 1, 0.0, None),
        (4, 0, 20.0, 1),
        (1, 1, 20.0, None),
        (1, 1, 0.0, None),
    ]


@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from([0.0, 5.0, -20.0])), min_size=1, max_size=6))
def test_bursts_hold_every_shot_of_data_once_and_end_at_zero(parts: list[tuple[int, float]]) -> None:
    stretches = tuple(Stretch(State(i % 2), volt, shots, i // 2) for i, (shots, volt) in enumerate(parts))
    bursts = stepped_bursts(stretches)
    for index, stretch in enumerate(stretches):
        assert [(b.shots - b.lead_in, b.voltage_v) for b in bursts if b.stretch == index] == [
            (stretch.shots, stretch.voltage_v)
        ]
    assert bursts[-1].voltage_v == 0.0
    timeline = Timeline(default_pattern(step_us=400), bursts, stretches, 0)
    assert timeline.shots == sum(shots for shots, _ in parts) + 2 + len(parts)
    assert timeline.duration_ns == timeline.shots * 1000 * US


@pytest.mark.parametrize(
    ("levels", "largest"),
    [((0.0, 20.0), 20.0), ((20.0, -20.0), 40.0), ((-5.0,), 5.0), ((3.0, 4.0), 4.0)],
)
def test_the_largest_step_counts_the_way_from_and_to_zero(levels: tuple[float, ...], largest: float) -> None:
    assert swing_v(tuple(Stretch(State.ON, level, 1, 0) for level in levels)) == largest


def test_time_under_voltage() -> None:
    assert on_time_s(ON, 1000 * US) == pytest.approx(0.004)
    assert on_time_s(OFF, 1000 * US) == 0.0
