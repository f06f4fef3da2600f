"""A day of shots: memory, handles and threads stay as they are. 2x10^4 shots on the stepped clock; RIG_LONG=1: 10^6.

Per shot the simulated world keeps 56 bytes of its own record by design, which no run on real instruments has.
"""

import os
from pathlib import Path
from typing import Any

import pytest
from long_run import handles, long_run

from rig.runfile import RunFile, open_run
from rig.runner import FinishReason

LONG = bool(os.environ.get("RIG_LONG"))
SHOTS = 1_000_000 if LONG else 20_000
TRACED_SHOTS = 100_000 if LONG else 4000
WORLD_BYTES = 56.0  # of the world's record
RESIDENT_BYTES = 50.0  # more than that per shot; a leaked frame would be 4400, a leaked reading 100
PROGRAM_BYTES = 2.0 if LONG else 40.0  # measured over 20 000 shots: 0.7; what a block holds while it runs blurs a short run


@pytest.mark.fault("X15")
@pytest.mark.timeout(3600)
def test_memory_handles_and_threads_of_a_long_run_stay_as_they_are(tmp_path: Path, record_property: Any) -> None:
    before = handles()
    run = long_run(tmp_path, SHOTS, "gated", traced=False)
    assert run.result.outcome.reason is FinishReason.DONE
    stored = open_run(run.result.path)
    assert stored.count == stored.ledger["received"] >= SHOTS
    assert len(run.weights) >= 20
    assert run.slope("resident_bytes") < WORLD_BYTES + RESIDENT_BYTES
    assert len({weight.handles for weight in run.weights}) == 1
    assert len({weight.threads for weight in run.weights}) == 1
    assert handles() <= before + 1  # the reader of the file, at most
    record_property("kept", f"{stored.count} of {stored.ledger['received']} acknowledged frames")


@pytest.mark.fault("X15")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", ["gated", "stepped"] if LONG else ["gated"])
def test_the_program_itself_holds_no_more_with_every_shot(tmp_path: Path, mode: Any) -> None:
    run = long_run(tmp_path, TRACED_SHOTS, mode)
    assert run.result.outcome.reason is FinishReason.DONE
    assert run.weights[0].program_bytes > 50_000  # something is weighed
    assert run.slope("program_bytes") < PROGRAM_BYTES


def test_a_leak_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: every frame that is stored is kept by somebody, too."""
    kept: list[Any] = []
    append = RunFile.append_frames

    words = "def leak(kept, rows): kept.append(rows.tobytes())"
    source = compile(words, open_run.__code__.co_filename, "exec")
    names: dict[str, Any] = {}
    exec(source, names)  # noqa: S102 - a line that counts as one of rig/

    def leaky(self: RunFile, rows: Any, spectra: Any) -> Any:
        names["leak"](kept, rows)
        return append(self, rows, spectra)

    monkeypatch.setattr(RunFile, "append_frames", leaky)
    run = long_run(tmp_path, 2400, "gated")
    assert run.slope("program_bytes") > 80  # the size of a row, and more
