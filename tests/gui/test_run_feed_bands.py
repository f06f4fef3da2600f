from pathlib import Path

import numpy as np
from replayed_run import ReplayedRun
from watched_feed import Watched, opened, shown

from rig.reduction import BANDS, retrace
from rig.runfile import open_run


def test_other_bands_reduce_the_whole_run_again_and_the_default_ones_bring_the_columns_back(
    watched: Watched, run_file: Path
) -> None:
    opened(watched, run_file)
    before = shown(watched, "band_520").copy()
    assert watched.feed.set_bands((519.0, 2.0), (536.0, 0.5)) == ""
    assert np.isnan(shown(watched, "band_520")).all()
    watched.rest()
    changed = shown(watched, "band_520").copy()
    assert np.isfinite(changed).sum() == np.isfinite(before).sum()
    assert np.nanmax(np.abs(changed / before - 1)) > 1e-3
    assert watched.feed.set_bands(BANDS["band_520"], BANDS["band_535"]) == ""
    watched.rest()
    np.testing.assert_array_equal(shown(watched, "band_520"), before)


def test_bands_by_another_name_for_the_default_give_the_columns_to_the_last_bit(watched: Watched, run_file: Path) -> None:
    opened(watched, run_file)
    before = {name: shown(watched, name).copy() for name in BANDS}
    centre, half = BANDS["band_520"]
    watched.feed.set_bands((centre, half + 1e-9), BANDS["band_535"])  # the same pixels, reduced from the spectra
    assert watched.feed.catching_up == len(before["band_520"])
    watched.rest()
    assert watched.feed.content is not None
    bench = watched.feed.content.bench
    assert bench is not None
    offline = retrace(open_run(run_file), bench.spectrometer.electrons_per_count)
    for name, column in before.items():
        np.testing.assert_array_equal(shown(watched, name), column)
        seen = np.isfinite(column)
        np.testing.assert_array_equal(shown(watched, name)[seen], offline[name][seen])


def test_bands_moved_during_a_run_hold_for_the_frames_to_come(live: ReplayedRun, watched: Watched, run_file: Path) -> None:
    watched.feed.open(live.path)
    live.arrive(150)
    watched.rest()
    watched.feed.set_bands((519.0, 2.0), (536.0, 0.5))
    live.arrive(150)
    watched.turns(1)
    live.end_block()
    live.arrive(10_000)
    live.end_block()
    live.finish()
    watched.rest()
    found = shown(watched, "band_520").copy()
    opened(watched, run_file)
    watched.feed.set_bands((519.0, 2.0), (536.0, 0.5))
    watched.rest()
    np.testing.assert_array_equal(found, shown(watched, "band_520"))


def test_bands_that_cannot_be_are_refused_in_words_and_change_nothing(watched: Watched, run_file: Path) -> None:
    opened(watched, run_file)
    before = shown(watched, "band_520").copy()
    assert "no pixel" in watched.feed.set_bands((5.0, 1.0), (535.0, 1.0))
    np.testing.assert_array_equal(shown(watched, "band_520"), before)
