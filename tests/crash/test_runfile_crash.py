"""Run files whose writer died: at every crash point there is, and by kill -9 at moments nobody chose.

RIG_LONG=1 kills 100 writers.
"""

import bisect
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from rig.runfile import FRAME_DTYPE, Flag, RawHandle, RunFile, RunHeader, open_raw, open_run, recover

PIXELS = 16
KILLS = 100 if os.environ.get("RIG_LONG") else 4
HEADER = RunHeader(
    *("run-1", "title", "sample", "on_off", "gated", True, 7, "pristine", "", "", "{}", "{}", "{}", "{}"),
    wavelength_nm=np.linspace(350.0, 1000.0, PIXELS),
    nonlinearity=(1.0,),
    wall_start_label="2024-05-01T12:00:00",
    assumed_json="[]",
)


def frames(first: int, n: int, *, assigned: bool = False) -> tuple[NDArray[Any], NDArray[np.uint16]]:
    """Frames as they come, or as they are known once the stretch is over; everything follows from the index."""
    index = np.arange(first, first + n)
    columns = np.zeros(n, dtype=FRAME_DTYPE)
    columns["host_time_ns"] = index * 1_000_000
    columns["device_time_us"] = 77 + index * 1000
    columns["frame_count"] = index
    columns["band_520"] = index * 1.5
    columns["shot"] = index if assigned else -1
    columns["state"] = index % 2 if assigned else -1
    columns["planned_voltage_v"] = index % 2 * 20.0
    columns["flags"] = 0 if assigned else Flag.UNASSIGNED
    return columns, ((index[:, None] * 31 + np.arange(PIXELS)) % 65536).astype(np.uint16)


def create(folder: Path, opener: Any = open_raw, frame_capacity: int = 40) -> RunFile:
    capacities = {"frame_capacity": frame_capacity, "reading_capacity": 8, "event_bytes": 512}
    return RunFile.create(folder, "run", HEADER, **capacities, opener=opener)


# --- every crash point ------------------------------------------------------------------------------------------------


class RecordingHandle:
    """The real handle, and a list of every (offset, bytes) it was given."""

    def __init__(self, path: Path) -> None:
        self.real = open_raw(path)
        self.untouched = path.read_bytes()
        self.writes: list[tuple[int, bytes]] = []
        self.place = 0

    def seek(self, offset: int, /) -> int:
        self.place = offset
        return self.real.seek(offset)

    def write(self, data: memoryview, /) -> int | None:
        self.writes.append((self.place, bytes(data)))
        return self.real.write(data)

    def fileno(self) -> int:
        return self.real.fileno()

    def close(self) -> None:
        self.real.close()


def crash_points(handle: RecordingHandle) -> Iterator[tuple[int, bytes]]:
    """The file after every prefix of the writes, and with the next write torn at its first byte and in its middle."""
    content = bytearray(handle.untouched)
    for done, (offset, data) in enumerate(handle.writes):
        yield done, bytes(content)
        for torn in {1, len(data) // 2}:
            half = bytearray(content)
            half[offset : offset + torn] = data[:torn]
            yield done, bytes(half)
        content[offset : offset + len(data)] = data
    yield len(handle.writes), bytes(content)


@pytest.mark.fault("X1")
def test_every_crash_point_leaves_a_good_file(tmp_path: Path) -> None:
    handles: list[RecordingHandle] = []

    def opener(path: Path) -> RawHandle:
        handles.append(RecordingHandle(path))
        return handles[0]

    writer = create(tmp_path, opener)
    handle = handles[0]
    acknowledged: list[tuple[int, int, int, int]] = [(0, 0, 0, 0)]  # writes, frames, rows assigned, events
    dark = np.linspace(1400.0, 1600.0, PIXELS)
    for block in range(2):
        for first in (10 * block, 10 * block + 5):
            writer.append_frames(*frames(first, 5))
            acknowledged.append((len(handle.writes), first + 5, 10 * block, block))
        writer.append_readings(block, 20.0, 1e-6, False, block, block)
        writer.set_dark(dark + block, dark, np.zeros(PIXELS, bool), 100)
        writer.rewrite_rows(10 * block, frames(10 * block, 10, assigned=True)[0])
        writer.set_ledger({"frames": 10 * block + 10, "remarks": "x" * (9 - block)})
        writer.log(block, f"block {block} is committed")
        acknowledged.append((len(handle.writes), 10 * block + 10, 10 * block + 10, block + 1))
    writer.set_state("stopping")
    writer.close()

    _, spectra = frames(0, 20)
    late, _ = frames(0, 20, assigned=True)
    ledgers = [{}] + [{"frames": 10 * block + 10, "remarks": "x" * (9 - block)} for block in range(2)]
    dark_taken = False
    crashed = tmp_path / "crashed.h5"
    crashed.write_bytes(handle.untouched)
    run = open_run(crashed)  # HDF5 checks the skeleton afresh at every point; where the datasets lie never changes
    for done, content in crash_points(handle):
        _, sure, assigned, events = acknowledged[bisect.bisect_right(acknowledged, (done, 99, 99, 99)) - 1]
        crashed.write_bytes(content)
        with h5py.File(crashed, "r") as file:
            entry: Any = file["entry"]
            count = int(entry["frames/count"][()])
            assert sure <= count <= sure + 5
            assert (entry["spectra/counts"][:count] == spectra[:count]).all()
            table = {name: entry[f"frames/{name}"][:count] for name in FRAME_DTYPE.names or ()}
        for name, values in table.items():
            assert (values[:assigned] == late[name][:assigned]).all()
            known = table["flags"] == 0  # whoever is not flagged is right in every column
            assert (values[known] == late[name][:count][known]).all(), name
        assert run.events[:events] == [(block, f"block {block} is committed") for block in range(events)]
        assert run.ledger in ledgers
        assert run.ledger.get("frames", 0) >= assigned - 10
        assert run.unfinished
        if run.dark is not None:
            assert (run.dark.variance == dark).all()
            assert np.ptp(run.dark.mean - dark) == pytest.approx(0, abs=1e-9)
            dark_taken = True
    assert dark_taken
    assert len(handle.writes) > 100


# --- kill -9 ----------------------------------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_runfile_crash import create, frames

run = create(Path(sys.argv[1]), frame_capacity=200_000)
for first in range(0, 200_000, 20):
    run.append_frames(*frames(first, 20))
    print(first + 20, flush=True)
    if first % 100 == 0:
        run.rewrite_rows(first, frames(first, 20, assigned=True)[0])
        run.set_ledger({"frames": first + 20})
"""


@pytest.mark.fault("X1")
@pytest.mark.parametrize("seed", range(KILLS))
def test_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path, seed: int) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(random.Random(seed).randrange(1, 400)):
            process.stdout.readline()
        process.kill()
        said = [int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    assert process.returncode == -signal.SIGKILL
    path = tmp_path / "run.h5"
    with h5py.File(path, "r") as file:
        entry: Any = file["entry"]
        count = int(entry["frames/count"][()])
        assert count >= max(said, default=20)
        assert entry["status/state"][()] == b"running"
        assert (entry["spectra/counts"][:count] == frames(0, count)[1]).all()
        assert (entry["frames/frame_count"][:count] == np.arange(count)).all()
    run = open_run(path)
    assert run.unfinished
    recover(path)
    assert (run.state, run.trimmed, run.count) == ("interrupted", True, count)
    assert (run.spectra() == frames(0, count)[1]).all()
    assert [found.name for found in tmp_path.iterdir()] == ["run.h5"]


# --- a disk that is really full ---------------------------------------------------------------------------------------

FULL_DISK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_runfile_crash import create, frames
from drivers.errors import RecordError

run = create(Path(sys.argv[1]), frame_capacity=100_000)
room = run.path.stat().st_size // 3
resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
try:
    for first in range(0, 100_000, 20):
        run.append_frames(*frames(first, 20))
except RecordError as error:
    print(run.count)
    print(error.what)
try:
    run.finish("fault")
except RecordError as error:
    print("told again")
"""


@pytest.mark.fault("X7")
@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_interpreter_ends_cleanly_on_a_disk_that_takes_no_more(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "faulthandler", "-c", FULL_DISK, str(tmp_path), str(Path(__file__).parent)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    count, what, again = ended.stdout.splitlines()
    assert what.endswith(f"{count} frames are safe")
    assert again == "told again"
    run = recover(tmp_path / "run.h5")
    assert run.count == int(count) >= 0
    assert (run.spectra() == frames(0, run.count)[1]).all()
