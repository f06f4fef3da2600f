"""A small run for the tests of the run file."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rig.runfile import FRAME_DTYPE, RawHandle, RunFile, RunHeader, open_raw

PIXELS = 24
HEADER = RunHeader(
    run_id="run-1",
    title="ASE at 40 uJ/cm2",
    sample="CsPbBr3-07",
    measurement="on_off",
    mode="gated",
    simulated=True,
    seed=7,
    device="pristine",
    sequence_toml="title = 'x'\n",
    bench_toml="[laser]\n",
    programs_json="{}",
    identities_json='{"source": "maker, model"}',
    versions_json="{}",
    environment_json="{}",
    wavelength_nm=np.linspace(350.0, 1000.0, PIXELS),
    nonlinearity=(1.0, -2e-6),
    wall_start_label="2024-05-01T12:00:00+02:00",
    assumed_json="[]",
)


class Usage(NamedTuple):
    """What shutil.disk_usage returns (bytes)."""

    total: int
    used: int
    free: int


def make(
    folder: Path,
    name: str = "run",
    *,
    frames: int = 100,
    header: RunHeader = HEADER,
    event_bytes: int = 4096,
    opener: Callable[[Path], RawHandle] = open_raw,
) -> RunFile:
    return RunFile.create(
        folder, name, header, frame_capacity=frames, reading_capacity=50, event_bytes=event_bytes, opener=opener
    )


def frames(first: int, n: int) -> tuple[NDArray[Any], NDArray[np.uint16]]:
    """Frames whose every number follows from their index."""
    index = np.arange(first, first + n)
    columns = np.zeros(n, dtype=FRAME_DTYPE)
    for place, name in enumerate(FRAME_DTYPE.names or ()):
        columns[name] = (index * (place + 3)) % 101
    columns["device_time_us"] = 5_000_000 + 1000 * index
    columns["pulse_energy_uj"] = math.nan
    spectra = (index[:, None] * 31 + np.arange(PIXELS)) % 65536
    return columns, spectra.astype(np.uint16)


def same(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    """Compare to the last bit, NaN included."""
    return found.shape == expected.shape and found.dtype == expected.dtype and found.tobytes() == expected.tobytes()


def filled(folder: Path, name: str = "run", **options: Any) -> RunFile:
    run = make(folder, name, **options)
    for first in (0, 7, 14):
        run.append_frames(*frames(first, 7))
    run.append_readings([10, 20], [0.0, 20.0], [1e-9, 2e-6], [False, True], 0, [0, 1])
    run.log(10, "first light")
    run.set_dark(np.full(PIXELS, 1500.0), np.full(PIXELS, 9.0), np.arange(PIXELS) == 3, 100)
    run.set_ledger({"triggers": 21, "frames": 21})
    return run
