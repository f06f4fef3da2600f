"""A disk that takes no more: at any write of a run, of its finished copy, really and simulated. Off first, frames kept."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from desk import Desk, told
from failing_file import NEVER, Disk
from killed_runs import LONG, MODES, Reference, judge, judge_recovery, run_files, sequence
from test_runfile_crash import frames

from rig.runfile import open_run, recover

Property = Callable[[str, object], None]
HERE = Path(__file__).parent


@pytest.mark.fault("X7")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", MODES)
def test_disk_full_at_any_write_of_a_run(desk: Desk, disk: Disk, tmp_path: Path, mode: str, record_property: Property) -> None:
    source = str(sequence(tmp_path, mode))
    assert desk.rig("run", source, "--out", "whole", "--quiet").code == 0
    [path] = run_files(Path("whole"))
    reference = Reference.of(open_run(path))
    assert disk.file is not None
    writes, on = disk.file.writes, disk.file.voltage_was_on
    tried = range(writes) if LONG else (3, on.index(True), max(number for number in range(writes) if on[number]), writes - 1)
    safe_in_all = 0
    for number in tried:
        out = Path(f"full_{number}")
        disk.fails_at, disk.number = number, (errno.ENOSPC, errno.EDQUOT)[number % 2]
        said = desk.rig("run", source, "--out", str(out))
        assert said.code == 4
        told(said.err, "FAULT", "the disk is full", "hardware: off, confirmed by", "make room", "rig recover")
        assert desk.bench.is_off()
        if on[number]:
            record_property("off_ms", disk.off_ms())
        [safe] = re.findall(r"(\d+) frames are safe", " ".join(said.err.split()))
        [path] = run_files(out)
        run = judge(path, [], reference, independent=number % 5 == 0)
        assert run.count >= int(safe)
        safe_in_all += int(safe)
        assert desk.rig("recover", str(path)).code == 0
        judge_recovery(path)
    assert safe_in_all > 0
    record_property(
        "kept", f"{safe_in_all} of {safe_in_all} acknowledged frames, full at {len(tried)} of {writes} writes ({mode})"
    )


FULL_RUN = """
import json, resource, sys
sys.path.insert(0, sys.argv[1])
from rig import cli
from rig.runfile import RunFile
from sim_instruments import world as world_module

worlds, batches = [], 0
World, append = world_module.World, RunFile.append_frames

def make(*arguments):
    worlds.append(World(*arguments))
    return worlds[-1]

def told(self, columns, spectra):
    global batches
    batches += 1
    if batches == int(sys.argv[3]):
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        worlds[-1].full_ns = worlds[-1].now_ns()
    append(self, columns, spectra)
    worlds[-1].acknowledged = self.count

world_module.World, RunFile.append_frames = make, told
code = cli.main(["run", sys.argv[2], "--out", "runs"])
record = worlds[-1].terminal.record
pulses = worlds[-1].light_path.record.pulses["t_ns"]
off_ns = max([record.t_ns[-1], *pulses[-1:].tolist()]) - worlds[-1].full_ns
kept = getattr(worlds[-1], "acknowledged", 0)
print(json.dumps({"off_v": record.voltage_v[-1], "off_ms": off_ns * 1e-6, "acknowledged": kept}))
sys.exit(code)
"""


@pytest.mark.fault("X7")
@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
@pytest.mark.parametrize("batch", range(1, 18) if LONG else (1, 9))
def test_program_ends_cleanly_when_its_file_may_not_grow(tmp_path: Path, batch: int, record_property: Property) -> None:
    source = sequence(tmp_path, "gated")
    words = [sys.executable, "-X", "faulthandler", "-c", FULL_RUN, str(HERE), str(source), str(batch)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60)
    assert ended.returncode == 4, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Segmentation" not in ended.stderr
    said = " ".join(ended.stderr.split())
    for words_ in ("the disk is full", "no file may grow beyond a limit", "hardware: off, confirmed by", "rig recover"):
        assert words_ in said
    world = json.loads(ended.stdout.splitlines()[-1])
    assert world["off_v"] == 0.0
    record_property("off_ms", max(0.0, world["off_ms"]))
    [path] = run_files(tmp_path / "runs")
    assert open_run(path).count >= world["acknowledged"]
    assert (world["acknowledged"] > 0) == (batch > 1)
    judge_recovery(path)
    record_property("kept", f"{world['acknowledged']} of {world['acknowledged']} acknowledged frames")


FULL_COPY = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_runfile_crash import create, frames
from drivers.errors import RecordError

run = create(Path(sys.argv[1]), frame_capacity=4000)
run.append_frames(*frames(0, 4000))
resource.setrlimit(resource.RLIMIT_FSIZE, (run.path.stat().st_size - int(sys.argv[3]), resource.RLIM_INFINITY))
run.set_state("done")
try:
    run.finish("done")
except RecordError as error:
    print(error)
"""


@pytest.mark.fault("X7")
@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
@pytest.mark.parametrize("missing", range(500, 680_000, 20_000) if LONG else (1000, 100_000, 640_000))
def test_program_survives_a_disk_that_takes_no_finished_copy(tmp_path: Path, missing: int) -> None:
    """HDF5 that hears of a full disk ends the interpreter with a segmentation fault."""
    command = [sys.executable, "-X", "faulthandler", "-c", FULL_COPY, str(tmp_path), str(HERE), str(missing)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "the disk is full" in ended.stdout
    assert "nothing is lost" in ended.stdout
    path = tmp_path / "run.h5"
    assert {left.name for left in tmp_path.iterdir()} == {path.name}
    run = open_run(path)
    assert (run.state, run.trimmed) == ("done", False)
    recover(path)
    assert (run.state, run.trimmed) == ("done", True)
    assert (run.spectra() == frames(0, 4000)[1]).all()


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of its own with so many bytes; skips where none may be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    ).returncode
    if mounted != 0:
        pytest.skip("no file system may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


on_linux = pytest.mark.skipif(sys.platform != "linux" or not shutil.which("mount"), reason="mounts a small disk")


@pytest.mark.fault("X7")
@on_linux
def test_disk_too_small_is_foretold(desk: Desk, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4 << 20) as small:
        said = desk.rig("run", str(sequence(tmp_path, "gated")), "--out", str(small))
        assert said.code == 2
        told(said.err, "disk-space", "nothing was touched")
        assert list(small.iterdir()) == []
    assert desk.benches == []


@pytest.mark.fault("X7")
@on_linux
def test_disk_filled_by_others_meanwhile_costs_only_the_finished_copy(
    desk: Desk, disk: Disk, tmp_path: Path, record_property: Property
) -> None:
    """Room for the run itself was reserved when its file was made."""
    with small_disk(tmp_path / "disk", 40 << 20) as small:
        greedy = small / "greedy"

        def fill() -> None:
            with greedy.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(small).free)

        disk.strikes_at, disk.strike = 120, fill
        said = desk.rig("run", str(sequence(tmp_path, "gated")), "--out", str(small))
        assert disk.failed_ns is not None
        assert said.code == 4
        told(said.err, "could not be trimmed: the disk is full", "nothing is lost", "rig recover")
        assert desk.bench.is_off()
        [path] = run_files(small)
        assert {left.name for left in small.iterdir()} == {path.name, greedy.name}
        run = open_run(path)
        count = run.count
        assert (run.state, run.trimmed, run.ledger["received"]) == ("done", False, count)
        assert desk.rig("recover", str(path)).code != 0
        greedy.unlink()
        assert desk.rig("recover", str(path)).code == 0
        assert (run.state, run.trimmed, run.count) == ("done", True, count)
    assert disk.fails_at == NEVER
    record_property("kept", f"{count} of {count} acknowledged frames")
