import shutil
from pathlib import Path

import numpy as np
import pytest
from replayed_run import ReplayedRun
from watched_feed import Watched, opened, shown


def test_the_end_is_told_once_when_the_finished_copy_is_there(live: ReplayedRun, watched: Watched) -> None:
    watched.feed.open(live.path)
    live.arrive(100)
    live.end_block()
    watched.rest()
    assert watched.ended == []
    live.finish("stopped")
    watched.rest()
    watched.turns(50)
    assert watched.ended == ["stopped"]
    assert watched.failed == []
    shots = watched.feed.numbers.shots
    assert shots.lost == live.ledger.planned - shots.assigned


def test_a_run_that_is_only_being_finished_has_not_ended(live: ReplayedRun, watched: Watched) -> None:
    watched.feed.open(live.path)
    live.arrive(100)
    live.file.set_state("done")  # the finished copy is yet to come
    watched.turns(50)
    assert watched.ended == []
    live.finish()
    watched.rest()
    assert watched.ended == ["done"]


def test_a_dead_writer_is_told_and_its_recovery_too(live: ReplayedRun, watched: Watched) -> None:
    from rig.runfile import recover

    watched.feed.open(live.path)
    live.arrive(100)
    watched.rest()
    live.file.close()  # the lock goes, the state stays
    watched.rest()
    assert watched.ended == ["unfinished"]
    recover(live.path)
    watched.rest()
    assert watched.ended == ["unfinished", "interrupted"]
    assert len(shown(watched, "band_520")) == 100


def test_a_file_that_vanishes_is_told_in_words_and_found_again(live: ReplayedRun, watched: Watched, tmp_path: Path) -> None:
    watched.feed.open(live.path)
    live.arrive(100)
    watched.rest()
    away = live.path.rename(tmp_path / "away.h5")
    watched.turns(100)
    assert len(watched.failed) == 1
    assert str(live.path) in watched.failed[0]
    assert len(shown(watched, "band_520")) == 100
    away.rename(live.path)
    live.arrive(10)
    watched.until(lambda: len(shown(watched, "band_520")) == 110, "found again")
    assert watched.feed.trouble == ""


@pytest.mark.parametrize("bad", ["missing", "empty", "garbage", "cut", "folder"])
def test_what_is_no_run_file_fails_in_words(bad: str, watched: Watched, run_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.h5"
    if bad == "folder":
        path.mkdir()
    elif bad != "missing":
        whole = run_file.read_bytes()
        path.write_bytes({"empty": b"", "garbage": bytes(range(256)) * 100, "cut": whole[: len(whole) // 2]}[bad])
    watched.feed.open(path)
    watched.turns(100)
    assert len(watched.failed) == 1
    assert str(path) in watched.failed[0]


def test_absurd_numbers_in_a_file_raise_nothing(watched: Watched, run_file: Path, tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "absurd.h5"
    shutil.copyfile(run_file, path)
    noise = np.random.default_rng(3)
    with h5py.File(path, "r+") as file:
        for name in ("state", "cycle", "stretch", "block", "flags", "device_time_us", "host_time_ns", "band_520"):
            cell = file[f"entry/frames/{name}"]
            cell[:] = np.frombuffer(noise.bytes(cell.dtype.itemsize * len(cell)), cell.dtype)
        file["entry/dark/mean"][:] = np.nan
        file["entry/spectra/wavelength_nm"][:] = noise.normal(size=len(file["entry/spectra/wavelength_nm"]))
    watched.feed.open(path)
    watched.turns(300)
    watched.feed.waterfall_picture(0.0, 1.0, 100)
    watched.feed.latest_spectrum()
    assert watched.feed.content is not None


def test_another_run_under_the_same_name_is_begun_anew(live: ReplayedRun, watched: Watched, run_file: Path) -> None:
    opened(watched, run_file)
    copy = live.path.with_name("copy.h5")
    shutil.copyfile(run_file, copy)
    opened(watched, copy)
    live.arrive(30)
    live.path.replace(copy)
    watched.turns(100)
    assert len(shown(watched, "band_520")) == 30


def test_opening_another_file_forgets_the_first(live: ReplayedRun, watched: Watched, run_file: Path) -> None:
    opened(watched, run_file)
    live.arrive(10)
    opened(watched, live.path)
    assert len(shown(watched, "band_520")) == 10
    assert watched.feed.numbers.contrast_535.value is None
    assert watched.ended == ["done"]
