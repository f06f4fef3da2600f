"""Off from another program while a run has the bench, as real processes against a bench that writes down what happens."""

import subprocess
from pathlib import Path

import pytest
from guarded_run import RIG, GuardedRun, served_bench


@pytest.mark.fault("X11")
def test_rig_off_needs_no_lock_and_a_run_whose_instruments_another_switches_off_ends_safe(tmp_path: Path) -> None:
    with served_bench(tmp_path) as served, GuardedRun(served, "gated") as run:
        run.wait_for_voltage()
        off = subprocess.run([*RIG, "off", "--bench", str(served.bench)], capture_output=True, text=True, timeout=30)
        assert off.returncode == 0, off.stdout + off.stderr
        assert run.end() in (3, 4), run.told
        assert "off, confirmed by" in " ".join(run.told.split())
        assert served.record.off
