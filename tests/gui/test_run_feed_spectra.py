from pathlib import Path

import numpy as np
import pytest
from replayed_run import ReplayedRun
from watched_feed import Watched, opened

from rig.runfile import Run, RunFile, open_run


def test_the_latest_spectrum_is_the_newest_frames_light(live: ReplayedRun, watched: Watched) -> None:
    watched.feed.open(live.path)
    live.arrive(50)
    watched.turns(1)
    light = watched.feed.latest_spectrum()
    dark = live.source.dark
    assert dark is not None
    assert light is not None
    good = ~dark.hot
    np.testing.assert_allclose(light[good], (live.spectra[49] - dark.mean)[good], rtol=0.15, atol=3.0)
    live.arrive(1)
    watched.turns(1)
    assert (watched.feed.latest_spectrum() != light).any()


def test_the_waterfall_shows_single_frames_when_near(watched: Watched, run_file: Path) -> None:
    opened(watched, run_file)
    ring = watched.feed.waterfall
    assert ring is not None
    ring.frames_per_row = 64  # as in a run of an hour
    run = open_run(run_file)
    time_s = run.column("time_s")
    seen = watched.feed.waterfall_picture(float(time_s[100]) - 5e-4, float(time_s[199]) + 5e-4, 100)
    assert seen is not None
    single = ring.light(run.spectra(100, 200))
    away = np.abs(seen[:, None, :] - single[None]).max(axis=2)  # of each line to each frame
    assert away.min(axis=1).max() < 0.01
    assert np.abs(away.argmin(axis=1) - np.arange(100)).max() <= 1  # clocks drift against the even axis
    assert len(np.unique(away.argmin(axis=1))) > 80


def test_a_waterfall_that_scrolls_reads_only_the_frames_that_are_new(
    watched: Watched, run_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(watched, run_file)
    ring, traces = watched.feed.waterfall, watched.feed.traces
    assert ring is not None
    assert traces is not None
    ring.frames_per_row = 64
    asked: list[int] = []
    read = Run.spectra

    def spectra(run: Run, start: int = 0, stop: int | None = None, step: int = 1) -> np.ndarray:
        found = read(run, start, stop, step)
        asked.append(len(found))
        return found

    monkeypatch.setattr(Run, "spectra", spectra)
    for first in (100, 110, 110):
        watched.feed.waterfall_picture(float(traces.time_s[first]), float(traces.time_s[first + 80]), 100)
    assert asked[0] == 80
    assert sum(asked[1:]) == 10


def test_pulse_energies_are_shown_on_the_axis_of_the_traces(run_file: Path, tmp_path: Path, watched: Watched) -> None:
    source = open_run(run_file)
    rows = source.frames()
    file = RunFile.create(tmp_path, "energies", source.header, frame_capacity=len(rows), reading_capacity=1, energy_capacity=5)
    file.append_frames(rows, source.spectra())
    file.append_energies(rows["host_time_ns"][[100, 500]], [0.4, 0.5], 0, 0)
    opened(watched, file.path)
    file.close()
    energies = watched.feed.energies
    assert energies is not None
    assert energies.energy_uj.tolist() == [0.4, 0.5]
    np.testing.assert_allclose(energies.time_s, source.column("time_s")[[100, 500]], atol=0.03)


def test_the_scale_of_a_finished_run_fits_at_once_and_that_of_a_live_one_does_not_jump(
    live: ReplayedRun, watched: Watched, run_file: Path
) -> None:
    watched.feed.open(run_file)
    watched.until(lambda: bool(watched.ended), "ended")
    ring = watched.feed.waterfall
    assert ring is not None
    right = ring.levels[1]
    assert right > 0.8 * float(np.percentile(ring.rows.max(axis=1), 99))
    tops: list[float] = []
    watched.feed.open(live.path)
    while live.arrived < len(live.rows):
        live.arrive(10)
        watched.turns(1)
        if watched.feed.waterfall is not None:
            tops.append(watched.feed.waterfall.levels[1])
    assert tops[-1] > 1.5 * tops[0]
    assert max(np.diff(tops)) < 0.15 * right
