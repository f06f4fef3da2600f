"""What the window knows of one run: built up from its file in small steps, live or from a file that is complete.

Frames come in as rows that nothing is proven of; when their block ends the file's ledger counts them, and from then on their
rows do not change any more. So every row is read twice: as it comes, and once it is final.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.errors import RigError
from gui.band_retrace import BandNm, BandRetrace, is_default
from gui.growing_array import GrowingArray
from gui.run_clock import RunClock
from gui.run_light import run_light
from gui.run_numbers import RunNumbers, ShotCount, grouped, numbers_of, reduced, shot_count
from gui.run_readings import RunReadings
from gui.run_stretches import RunStretches, planned_stretches
from gui.running_means import RunningMeans
from gui.trace_pyramid import TracePyramid
from gui.waterfall_detail import WaterfallDetail
from gui.waterfall_ring import WaterfallRing
from rig.analysis.bands import band_slice
from rig.analysis.correction import fill_hot, light_counts
from rig.bench import Bench, parse_bench
from rig.config_file import parse_document
from rig.reduction import BANDS, usable
from rig.runfile import ENDINGS, Dark, Flag, Run

Floats = NDArray[np.float64]

NEW_ROWS = 8192  # read at a time
SLICE_FRAMES = 128  # spectra read at a time
COLUMN_ROWS = 65_536
GROUPS = 20_000  # of frames per state, at most, that the numbers of a run are computed from while it goes on
WATERFALL_NM = (522.0, 32.0)  # centre, half width
# leave a gap: these frames show no light of a known pulse
HIDDEN = int(Flag.SATURATED | Flag.MISSED_PULSE | Flag.LEAD_IN | Flag.REFERENCE)
BAD = int(Flag.SATURATED | Flag.MISSED_PULSE)
USELESS = BAD | int(Flag.COMPLIANCE | Flag.UNASSIGNED)  # once the rows are final
UNFINISHED = "unfinished"  # the ending of a run whose writer died, before it is recovered


class ReplacedError(ValueError):
    """The file is not the one that was opened."""


class RunContent:
    """One run file and all that is shown of it.

    Everything may raise RecordError (the file is gone or damaged), and ValueError and its like where its numbers are absurd.

    Parameters
    ----------
    run  the opened file
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.header = run.header
        self.wavelength_nm = self.header.wavelength_nm
        self.bench = _bench(run)
        room = run.capacity.frames
        self.traces = TracePyramid(tuple(BANDS), room)
        self.clock = RunClock()
        self.readings = RunReadings(self.clock)
        self.stretches = RunStretches(planned_stretches(self.header))
        self.light = run_light(self.header, self.stretches.planned_voltages)
        self.dark: Dark | None = None
        self.means: RunningMeans | None = None
        self.waterfall: WaterfallRing | None = None
        self.ending = ""  # how the run ended; empty while it goes on
        self.settled = 0  # rows that are final
        self.newest_host_ns = 0
        self.more = False  # new rows are known to wait
        self._detail: WaterfallDetail | None = None
        self._flags = GrowingArray("u2", room)
        self._state = GrowingArray("i1", room)
        self._ledger: Mapping[str, Any] = {}
        self._last_row: NDArray[np.void] | None = None
        self._first_time_us = 0
        self._meant = 0
        self._retrace: BandRetrace | None = None
        self._restore: int | None = None  # rows below have to get the file's own columns back
        self._latest: tuple[int, Floats] | None = None
        self._slice: tuple[int, int, NDArray[np.uint16]] | None = None

    @property
    def frames(self) -> int:
        """Get how many frames are known."""
        return len(self.traces)

    @property
    def shots(self) -> ShotCount:
        """Get the shots by what became of them."""
        known = int(self._ledger.get("planned", 0)) if self.ending else self.stretches.ended_shots
        return shot_count(self._ledger, self.frames, known)

    @property
    def left(self) -> int:
        """Get how many frames wait to be summed, drawn or reduced anew: 0 when all that is shown is up to date."""
        means = self.settled - self._meant if self.means is not None else 0
        fallen = self.frames - self.waterfall.frames if self.waterfall is not None else 0
        again = 0 if self._retrace is None else self._retrace.left(self.frames)
        return max(means, fallen, again, self._restore or 0)

    # --- rows ---------------------------------------------------------------------------------------------------------

    def take_new(self) -> bool:
        """Read some rows that are new; tell whether there were any."""
        first = self.frames
        rows = self.run.frames(first, first + NEW_ROWS)
        self.more = False
        if not len(rows):
            return False
        if first == 0:
            self._first_time_us = int(rows["device_time_us"][0])
        if self.dark is None:
            self._prepare()
        # as the file's own time_s, which would have to be read apart
        time_s: Floats = np.multiply(rows["device_time_us"].astype(np.int64) - self._first_time_us, 1e-6, dtype=np.float64)
        self._flags.append(rows["flags"])
        self._state.append(rows["state"])
        self.traces.append(time_s, self._shown(rows), self._lost_before(rows) | ((rows["flags"] & BAD) != 0))
        axis_s = self.traces.time_s[first:]
        self.clock.add(rows["host_time_ns"], axis_s)
        self.stretches.add(rows, axis_s)
        self.newest_host_ns = int(rows["host_time_ns"][-1])
        self.more = len(rows) == NEW_ROWS
        return True

    def take_settled(self) -> bool:
        """Read some rows again that have become final; tell whether there were any."""
        final = self.frames if self.ending else min(self.frames, self._counted())
        if final <= self.settled:
            return False
        first, stop = self.settled, min(final, self.settled + NEW_ROWS)
        rows = self.run.frames(first, stop)
        if len(rows) != stop - first:
            raise ReplacedError("its file has fewer frames than it had")
        self._flags.put(first, rows["flags"])
        self._state.put(first, rows["state"])
        useless = ((rows["flags"] & USELESS) != 0) & ((rows["flags"] & int(Flag.SURPLUS)) == 0)
        traced = {name: self.traces.trace(name)[first:stop] for name in BANDS}
        shown = self._shown(rows) if self._retrace is None else _without(rows["flags"], traced)
        self.traces.rewrite(first, shown, self.traces.bad[first:stop] | useless)
        self.stretches.prove(rows, self.traces.time_s[first:stop])
        self.settled = stop
        return True

    def take_ledger(self) -> None:
        """Read the file's ledger: how many rows are final, and what became of the shots."""
        self._ledger = self.run.ledger

    def look(self) -> str:
        """See how the run stands; return its ending, empty while somebody writes it."""
        if self.run.count < self.frames:
            raise ReplacedError("its file has fewer frames than it had")
        state = self.run.state
        if state not in ENDINGS:
            self.ending = UNFINISHED if self.run.unfinished else ""
        elif self.run.trimmed or not self.run.writer_lives:
            self.ending = state
        return self.ending

    def _counted(self) -> int:
        found = self._ledger.get("received", 0)
        return found if isinstance(found, int) else 0

    def _shown(self, rows: NDArray[np.void]) -> dict[str, Floats]:
        if self._retrace is not None:
            return {name: np.full(len(rows), np.nan) for name in BANDS}
        return _without(rows["flags"], {name: rows[name] for name in BANDS})

    def _lost_before(self, rows: NDArray[np.void]) -> NDArray[np.bool_]:
        """Frames (bool, (n,)) before which the spectrometer's own count of the burst leaves one out."""
        before = rows[:1] if self._last_row is None else self._last_row
        self._last_row = rows[-1:].copy()
        count, block, stretch = (
            np.diff(np.r_[before[name], rows[name]].astype(np.int64)) for name in ("frame_count", "block", "stretch")
        )
        return (count > 1) & (block == 0) & (stretch == 0)  # of one that does not count all are 0

    def _prepare(self) -> None:
        """Make ready what needs the dark."""
        dark = self.run.dark
        try:
            pixels = band_slice(self.wavelength_nm, *WATERFALL_NM)
        except ValueError:  # a spectrometer that does not see it shows all it has
            pixels = slice(0, len(self.wavelength_nm))
        if dark is None or dark.hot[pixels].all():  # then there are traces, and no spectra
            return
        self.dark = dark
        self.means = RunningMeans(dark.mean, dark.hot, self.header.nonlinearity)
        self.waterfall = WaterfallRing(pixels, dark.mean, dark.hot, float(np.sqrt(np.median(dark.variance))))
        self._detail = WaterfallDetail(self.waterfall)

    # --- spectra ------------------------------------------------------------------------------------------------------

    def take_spectra(self) -> bool:
        """Read a slice of spectra for whatever lags behind; tell whether anything does."""
        took = [self._fall(), self._mean(), self._trace_again(), self._trace_back()]
        return any(took)

    def _fall(self) -> bool:
        ring = self.waterfall
        if ring is None or ring.frames >= self.frames:
            return False
        first = ring.frames
        stop = min(self.frames, first + SLICE_FRAMES)
        ring.add(self._spectra(first, stop), self.traces.time_s[first:stop])
        return True

    def _mean(self) -> bool:
        if self.means is None or self._meant >= self.settled:
            return False
        first, stop = self._meant, min(self.settled, self._meant + SLICE_FRAMES)
        use = usable(self._flags.values[first:stop])
        if use.any():
            self.means.add(self._spectra(first, stop), self._state.values[first:stop], use)
        self._meant = stop
        return True

    def _trace_again(self) -> bool:
        if self._retrace is None or not (rows := self._retrace.next_rows(self.frames, 4 * SLICE_FRAMES)):
            return False
        found = self._retrace.traces(self._spectra(rows.start, rows.stop))
        self._retrace.done(rows)
        self._put_back(rows.start, rows.stop, found)
        return True

    def _trace_back(self) -> bool:
        if not self._restore:
            return False
        stop, first = self._restore, max(0, self._restore - COLUMN_ROWS)
        self._put_back(first, stop, {name: self.run.column(name, first, stop) for name in BANDS})
        self._restore = first or None
        return True

    def _put_back(self, first: int, stop: int, found: Mapping[str, Floats]) -> None:
        self.traces.rewrite(first, _without(self._flags.values[first:stop], found))

    def _spectra(self, first: int, stop: int) -> NDArray[np.uint16]:
        if self._slice is None or self._slice[:2] != (first, stop):  # waterfall and means often go side by side
            spectra = self.run.spectra(first, stop)
            if len(spectra) != stop - first:
                raise ReplacedError("its file has fewer frames than it had")
            self._slice = first, stop, spectra
        return self._slice[2]

    # --- what is shown ------------------------------------------------------------------------------------------------

    @property
    def bands(self) -> dict[str, BandNm]:
        """Get the bands that are shown: name -> centre, half width (nm)."""
        return dict(BANDS) if self._retrace is None else dict(self._retrace.bands)

    def set_bands(self, band_520: BandNm, band_535: BandNm) -> None:
        """Show the light of other bands (centre, half width, nm), from the newest frame back to the first.

        Raises
        ------
        ValueError  that cannot be, and why; nothing has changed
        """
        bands = dict(zip(BANDS, (band_520, band_535), strict=True))
        if bands == self.bands:
            return
        if is_default(bands):
            self._retrace, self._restore = None, self.frames
        elif self.dark is None or self.bench is None:
            what = "has no dark yet" if self.dark is None else "does not tell its bench"
            raise ValueError(f"The bands cannot be moved: the run {what}.")
        else:
            self._retrace = BandRetrace(
                bands,
                self.frames,
                self.wavelength_nm,
                self.dark,
                self.header.nonlinearity,
                self.bench.spectrometer.electrons_per_count,
            )
            self._restore = None
        self.traces.blank()

    def latest_spectrum(self) -> Floats | None:
        """Read the newest frame's light (counts, (pixels,)), raw counts while there is no dark; None before the first."""
        if not self.frames:
            return None
        if self._latest is None or self._latest[0] != self.frames:
            raw = self._spectra(self.frames - 1, self.frames)[0]
            light = raw.astype(np.float64)
            if self.dark is not None:
                light = fill_hot(light_counts(raw, self.dark.mean, self.header.nonlinearity), self.dark.hot)
            self._latest = self.frames, light
        return self._latest[1]

    def waterfall_picture(self, first_s: float, last_s: float, height: int) -> NDArray[np.float32] | None:
        """Lay the waterfall between two times on `height` even lines (counts, (height, pixels)); None without a frame."""
        if self._detail is None:
            return None
        return self._detail.picture(self.run, self.traces.time_s, first_s, last_s, height)

    def numbers(self) -> Callable[[], RunNumbers]:
        """Return what computes the numbers of now; it may take long, and may be called in another thread."""
        shots, means, bench = self.shots, self.means, self.bench
        frames = (0, 0) if means is None else means.frames
        if means is None or bench is None or not all(frames):
            reason = "the file does not tell its bench" if bench is None else "no used frame at OFF and at ON yet"
            return lambda: RunNumbers(shots=shots, frames=frames, reason=reason)
        known = slice(0, self._meant)
        flags, state = self._flags.values[known], self._state.values[known]
        at_520, at_535 = (self.traces.trace(name)[known] for name in BANDS)
        spectra, wavelength_nm = means.means(), self.wavelength_nm

        most = None if self.ending else GROUPS

        def compute() -> RunNumbers:
            use = usable(flags) & np.isfinite(at_520) & np.isfinite(at_535)
            lights = grouped((at_520[use], at_535[use]), state[use], most)
            return numbers_of(reduced(wavelength_nm, spectra, *lights, bench.spectrometer.psf_nm), shots, frames)

        return compute


def _without(flags: NDArray[np.unsignedinteger], columns: Mapping[str, Floats]) -> dict[str, Floats]:
    """Leave a gap where a frame shows no light of a known pulse."""
    hidden = (flags & HIDDEN) != 0
    return {name: np.where(hidden, np.nan, column) for name, column in columns.items()}


def _bench(run: Run) -> Bench | None:
    """Read the bench out of the file, None when it cannot be understood."""
    try:
        return parse_bench(parse_document(run.header.bench_toml, run.path))
    except RigError:
        return None
