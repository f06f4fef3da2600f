"""A whole run over TCP against the served bench, wire to file: the same as in-process, within noise."""

import json
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from rig.measurements.on_off import OnOff
from rig.runfile import open_run
from rig.session import RunResult, Session

SEQUENCE = OnOff(cycles=2, on_time_s=0.3, off_time_s=0.3)
QUANTITIES = ("off_peak_nm", "off_fwhm_nm", "on_peak_nm", "on_fwhm_nm", "contrast_535", "ratio_520", "correlation_520_535")


@pytest.fixture(scope="module")
def served_run(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunResult]:
    folder = tmp_path_factory.mktemp("served")
    words = [sys.executable, "-m", "rig.cli", "sim", "serve", "--json", "--bench-out", str(folder / "served.toml")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert json.loads(server.stdout.readline())
            yield Session(folder / "served.toml", out=folder).run(SEQUENCE)
            server.send_signal(signal.SIGINT)
            assert server.wait(30) == 0
        finally:
            server.kill()


def test_every_frame_arrives_and_is_assigned(served_run: RunResult) -> None:
    frames = served_run.outcome.ledger.as_dict()
    assert frames["assigned"] == frames["planned"] == 1200
    assert (frames["lost"], frames["surplus"], frames["unassigned"]) == (0, 0, 0)
    assert served_run.outcome.fault is None
    assert served_run.outcome.safe.safe


def test_it_took_as_long_as_the_shots_do(served_run: RunResult) -> None:
    assert served_run.outcome.wall_s >= 1.2


def test_results_agree_with_the_in_process_bench(served_run: RunResult, tmp_path: Path) -> None:
    in_process = Session(out=tmp_path).run(SEQUENCE)
    one, other = (run.as_json()["results"] for run in (served_run, in_process))
    for name in QUANTITIES:
        assert _overlap(one[name], other[name]), (name, one[name], other[name])
    assert one["switched"] is other["switched"] is True


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Each value within the other's own interval."""
    return all(a["ci95"][0] <= b["value"] <= a["ci95"][1] for a, b in ((one, other), (other, one)))


@pytest.mark.fault("R5")
def test_the_run_says_simulated_although_real_sockets_were_open(served_run: RunResult) -> None:
    assert served_run.simulated
    assert served_run.as_json()["seed"] is None  # the server's, which the run does not know
    header = open_run(served_run.path).header
    assert header.simulated
    assert "simulated = true" in header.bench_toml
    assert "127.0.0.1" in header.bench_toml
