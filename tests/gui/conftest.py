"""The window without a screen, and one short simulated run for all tests of this folder."""

import os

os.environ["QT_QPA_PLATFORM"] = "offscreen"  # before anybody imports Qt

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from replayed_run import ReplayedRun
from short_runs import SHORT as SHORT_RUNS
from watched_feed import Clock, Watched

from gui.run_feed import RunFeed
from rig import OnOff, Session

SHORT = OnOff(on_time_s=0.2, off_time_s=0.2, cycles=2, settle_s=0.05)


@pytest.fixture(scope="session")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 800 shots, two cycles of OFF and ON; do not change it, copy it."""
    folder = tmp_path_factory.mktemp("runs")
    return Session(out=folder, seed=1).run(SHORT).path


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of each of short_runs; do not change them, copy them."""
    folder = tmp_path_factory.mktemp("others")
    return {name: Session(out=folder, seed=3).run(parameters).path for name, parameters in SHORT_RUNS.items()}


@pytest.fixture
def watched(qtbot: QtBot) -> Iterator[Watched]:
    """A feed that has nothing open yet."""
    clock = Clock()
    feed = RunFeed(clock=clock)
    yield Watched(feed, clock)
    feed.close()


@pytest.fixture
def live(run_file: Path, tmp_path: Path) -> Iterator[ReplayedRun]:
    """The run of `run_file` before its first frame; the test lets it go on."""
    made = ReplayedRun(run_file, tmp_path)
    yield made
    made.file.close()
