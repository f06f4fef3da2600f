import numpy as np

from gui.run_clock import RunClock

DRIFT = 20e-6
START_NS = 7_000_000_000_000_000


def test_readings_find_their_place_however_late_frames_came_and_however_clocks_drift() -> None:
    noise = np.random.default_rng(0)
    axis_s = np.arange(0, 3600, 0.01)
    delay_ns = (noise.random(len(axis_s)) * 15e6).astype(np.int64)
    true_ns = START_NS + np.round(axis_s * (1 + DRIFT) * 1e9).astype(np.int64)
    clock = RunClock()
    for part in np.array_split(np.arange(len(axis_s)), 5000):
        clock.add(true_ns[part] + delay_ns[part], axis_s[part])
    found = clock.axis_s(true_ns[::1000])
    assert np.abs(found - axis_s[::1000]).max() < 1.5e-3


def test_before_the_first_frame_no_reading_has_a_place() -> None:
    assert np.isnan(RunClock().axis_s(np.array([5]))).all()
