"""The results of a switching run that grow with its file: every frame is summed up once, and only after its block has ended.

The functions are those of rig.analysis, so that at the end the numbers are those of the report.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.clock import Clock, MonotonicClock
from drivers.errors import RecordError
from gui.growing_array import GrowingArray
from gui.running_means import RunningMeans
from gui.side_work import Abandoned, check
from rig.analysis.correction import ROWS_PER_PASS, MeanSpectra, fill_hot, light_counts
from rig.analysis.switching import reduce_switching
from rig.bench import Bench, parse_bench
from rig.config_file import parse_document
from rig.fluence_record import fluence_record
from rig.measurements.live_view import REASON, LiveView
from rig.measurements.switching_record import SwitchingRecord
from rig.reduction import CHUNK_FRAMES, usable
from rig.runfile import ENDINGS, Dark, Run, RunHeader, open_run

BUDGET_S = 2.0  # of one update of a long file, before it shows what it has
COLUMNS = {"band_520": "f8", "band_535": "f8", "state": "i1", "cycle": "i4", "flags": "u2"}
UNFINISHED = "unfinished"  # the writer died and the file was not recovered


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """How the results stand: `ending` is empty while the run goes on; `left` final frames have not been looked at yet."""

    record: SwitchingRecord
    header: RunHeader
    ending: str
    frames: int
    left: int


@dataclass(slots=True, eq=False)
class _CycleSums:
    """Sum and number of frames per (cycle, state)."""

    sums: dict[tuple[int, int], NDArray[np.float64]] = field(default_factory=dict[tuple[int, int], NDArray[np.float64]])
    frames: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])

    def add(self, key: tuple[int, int], light: NDArray[np.float64]) -> None:
        total = light.sum(axis=0)
        self.sums[key] = self.sums[key] + total if key in self.sums else total
        self.frames[key] = self.frames.get(key, 0) + len(light)

    def means(self, parts: tuple[NDArray[np.float64], NDArray[np.float64]], dark: Dark) -> MeanSpectra:
        """Make of them what a reduction takes."""
        cycles = sorted({cycle for cycle, _ in self.sums})
        frames = np.array([[self.frames.get((c, s), 0) for s in (0, 1)] for c in cycles], np.int64).reshape(-1, 2)
        nothing = np.full(len(dark.mean), np.nan)
        light = [[self.sums[c, s] / self.frames[c, s] if (c, s) in self.sums else nothing for s in (0, 1)] for c in cycles]
        per_cycle = np.array(light).reshape(-1, 2, len(dark.mean))
        return MeanSpectra(np.array(cycles, np.int64), fill_hot(per_cycle, dark.hot), frames, parts)


class LiveRecord:
    """One switching run, reduced as far as its blocks have ended.

    Raises
    ------
    RecordError  also of update(): the file is gone or damaged, or another run was put in its place
    ConfigError  the bench that the file tells of cannot be understood
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._clock = clock or MonotonicClock()
        self.run: Run = open_run(path)
        self.header = self.run.header
        self._bench: Bench = parse_bench(parse_document(self.header.bench_toml, path))
        self._dark: Dark | None = None
        self._means: RunningMeans | None = None
        self._cycles = _CycleSums()
        self._columns = {name: GrowingArray(dtype) for name, dtype in COLUMNS.items()}

    @property
    def frames(self) -> int:
        """Get how many frames were looked at."""
        return len(self._columns["state"])

    def update(self, abandoned: Abandoned, budget_s: float = BUDGET_S) -> Standing:
        """Look at what is new, for at most about `budget_s`, and reduce.

        Raises
        ------
        GivenUpError  nobody wants it any more
        """
        ending = self._ending()
        final = self._final(ended=bool(ending))
        end_ns = self._clock.now_ns() + round(budget_s * 1e9)
        if self._dark is None and (dark := self.run.dark) is not None:
            self._dark, self._means = dark, RunningMeans(dark.mean, dark.hot, self.header.nonlinearity)
        while self._dark is not None and self.frames < final:
            check(abandoned)
            self._take(self.frames, min(final, self.frames + CHUNK_FRAMES))
            if self._clock.now_ns() >= end_ns:
                break
        left = final - self.frames if self._dark is not None else 0
        return Standing(self._record(ending), self.header, ending, self.frames, left)

    def complete(self, abandoned: Abandoned) -> Standing:
        """Look at everything that is final."""
        while (standing := self.update(abandoned)).left:
            pass
        return standing

    def _ending(self) -> str:
        state = self.run.state
        if state not in ENDINGS:
            return UNFINISHED if self.run.unfinished else ""
        return state if self.run.trimmed or not self.run.writer_lives else ""

    def _final(self, *, ended: bool) -> int:
        """Count the rows that nobody writes again: the ledger counts a block's frames once they are assigned."""
        count = self.run.count
        if count < self.frames:
            raise RecordError("another run was put in the place of this file", where=str(self.run.path))
        received = self.run.ledger.get("received", 0)
        return count if ended else min(count, received if isinstance(received, int) else 0)

    def _take(self, first: int, stop: int) -> None:
        rows, spectra = self.run.frames(first, stop), self.run.spectra(first, stop)
        if not len(rows) == len(spectra) == stop - first:
            raise RecordError("the file has fewer frames than it had", where=str(self.run.path))
        dark, means = self._dark, self._means
        if dark is None or means is None:  # update() asks first
            return
        use = usable(rows["flags"]) & np.isin(rows["state"], (0, 1))
        means.add(spectra, rows["state"], use)
        used = np.flatnonzero(use)
        labels = np.stack([rows["cycle"][used], rows["state"][used]])
        breaks = np.flatnonzero((np.diff(labels) != 0).any(axis=0)) + 1
        for piece in np.split(used, breaks) if len(used) else ():
            key = (int(rows["cycle"][piece[0]]), int(rows["state"][piece[0]]))
            for start in range(0, len(piece), ROWS_PER_PASS):  # a pass stays in the processor's cache
                few = piece[start : start + ROWS_PER_PASS]
                self._cycles.add(key, light_counts(spectra[few], dark.mean, self.header.nonlinearity))
        for name, column in self._columns.items():
            column.append(rows[name])

    def _record(self, ending: str) -> SwitchingRecord:
        fluence = fluence_record(self.run, self._bench)
        if self.header.measurement == LiveView.name:
            return SwitchingRecord(self.run, None, None, REASON, fluence)
        if self._dark is None or self._means is None:
            why = "the run ended before its dark frames were taken" if ending else "the dark frames are not taken yet"
            return SwitchingRecord(self.run, None, None, why, fluence)
        if not self._cycles.sums:
            why = "no frame is assigned to a shot, settled and unflagged" if ending else "no block has ended yet"
            return SwitchingRecord(self.run, None, None, why, fluence)
        column = {name: values.values for name, values in self._columns.items()}
        means = self._cycles.means(self._means.means().parts, self._dark)
        use = usable(column["flags"]) & np.isin(column["state"], (0, 1))
        result = reduce_switching(
            self.run.wavelength_nm,
            means,
            column["band_520"],
            column["band_535"],
            column["state"],
            column["cycle"],
            use,
            psf_fwhm_nm=self._bench.spectrometer.psf_nm,
        )
        return SwitchingRecord(self.run, means, result, "", fluence)
