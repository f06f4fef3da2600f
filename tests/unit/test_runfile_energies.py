"""The table of pulse energies in a run file: written, trimmed, too small, and absent from older files."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from runfile_case import HEADER

from drivers.errors import RecordError
from rig.runfile import ENERGY_DTYPE, Results, RunFile, open_run, recover


def created(folder: Path, room: int = 10) -> RunFile:
    return RunFile.create(folder, "run", HEADER, frame_capacity=5, reading_capacity=5, energy_capacity=room)


@pytest.mark.parametrize("finished", [False, True])
def test_what_was_measured_is_in_the_file(tmp_path: Path, finished: bool) -> None:
    runfile = created(tmp_path)
    runfile.append_energies(5, 0.4, 0, 1)
    runfile.append_energies([6, 7], [0.5, np.nan], 1, [2, 3])
    if finished:
        runfile.finish("done", Results(), "")
    runfile.close()
    found = open_run(runfile.path).energies
    assert found.dtype == ENERGY_DTYPE
    assert found["t_ns"].tolist() == [5, 6, 7]
    assert found["energy_uj"][:2].tolist() == [0.4, 0.5]
    assert np.isnan(found["energy_uj"][2])
    assert (found["block"].tolist(), found["stretch"].tolist()) == ([0, 1, 1], [1, 2, 3])
    with h5py.File(runfile.path) as opened:
        file: Any = opened
        assert file["entry/energies"].attrs["signal"] == "energy_uj"
        assert file["entry/energies/energy_uj"].attrs["units"] == "uJ"
        assert file["entry/energies/energy_uj"].shape == ((3,) if finished else (10,))


def test_no_room_is_told_and_loses_nothing(tmp_path: Path) -> None:
    runfile = created(tmp_path, room=1)
    runfile.append_energies(5, 0.4, 0, 0)
    with pytest.raises(RecordError, match="room for 1 energies"):
        runfile.append_energies(6, 0.4, 0, 0)
    runfile.finish("done", Results(), "")
    assert len(open_run(runfile.path).energies) == 1


@pytest.mark.parametrize("finished", [False, True])
def test_a_file_from_before_there_were_energies_is_read_and_recovered(tmp_path: Path, finished: bool) -> None:
    runfile = created(tmp_path, room=0)
    if finished:
        runfile.finish("done", Results(), "")
    runfile.close()
    with h5py.File(runfile.path, "r+") as file:
        del file["entry/energies"]
        del file["entry/provenance/calibration_toml"]
    run = open_run(runfile.path)
    assert len(run.energies) == 0
    assert run.header.calibration_toml == ""
    assert run.capacity.energies == 0
    again = recover(runfile.path)
    assert again.trimmed
    assert len(again.energies) == 0
