"""Two runs side by side: light, mean spectra, numbers with the interval of their difference, and what was asked of which bench.

The interval of a difference is made of the two intervals, side by side of each (square and add). Sources: Newcombe, Stat. Med.
17 (1998) 873; Zou and Donner, Stat. Med. 27 (2008) 1693.
"""

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.errors import RigError
from gui.live_record import LiveRecord
from gui.side_work import Abandoned, check
from rig.analysis.statistics import Value
from rig.analysis.switching import SwitchingResult
from rig.measurements.on_off import OnOff
from rig.runfile import Flag, Run, open_run

Floats = NDArray[np.float64]
BINS = 1000
HIDDEN = Flag.SATURATED | Flag.MISSED_PULSE | Flag.LEAD_IN | Flag.REFERENCE
MAX_LINES = 2000
MAX_LETTERS = 200_000
TEST = (
    "Beyond: the 95 % interval of the difference (square and add of both intervals) does not hold 0. It knows the scatter "
    "inside each run only, not what changes between runs (alignment, film, laser); of 20 equal values one is marked by chance."
)
QUANTITIES: tuple[tuple[str, Callable[[SwitchingResult], Value]], ...] = (
    ("OFF band centre", lambda r: r.off_peak_nm),
    ("OFF width", lambda r: r.off_fwhm_nm),
    ("ON peak", lambda r: r.on_peak_nm),
    ("ON width, as recorded", lambda r: r.on_fwhm_nm),
    ("ON width, deconvolved", lambda r: r.on_fwhm_deconvolved_nm),
    ("535 nm ON/OFF", lambda r: r.contrast_535),
    ("520 nm ON/OFF", lambda r: r.ratio_520),
    ("520/535 correlation", lambda r: r.correlation_520_535),
    ("OFF band drift", lambda r: r.off_drift),
    ("state agreement", lambda r: r.agreement),
)


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of the two runs.

    time_s, at_520, at_535  (n,): the traces from the first frame on, least and greatest of each of BINS pieces
    mean_off, mean_on       (pixels,), None where there are none
    reason                  why there are no numbers, empty when there are
    """

    path: Path
    label: str
    simulated: bool
    time_s: Floats
    at_520: Floats
    at_535: Floats
    wavelength_nm: Floats
    mean_off: Floats | None
    mean_on: Floats | None
    result: SwitchingResult | None
    reason: str
    sequence_toml: str
    bench_toml: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A quantity of both runs, `value` b - a; `beyond` None where an interval is missing."""

    quantity: str
    a: Value
    b: Value
    value: Value
    beyond: bool | None


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two runs compared; the texts' differences as unified lines, empty where they are equal."""

    a: Side
    b: Side
    differences: tuple[Difference, ...]
    sequence: tuple[str, ...]
    bench: tuple[str, ...]


def compare(first: Path, second: Path, abandoned: Abandoned = lambda: False) -> Comparison:
    """Compare two runs, live or finished.

    Raises
    ------
    RigError      one of the files cannot be read
    GivenUpError  nobody wants it any more
    """
    a, b = side(first, abandoned), side(second, abandoned)
    nothing = Value(None, None, "")
    pairs = [
        (name, *(nothing if one.result is None else pick(one.result) for one in (a, b)))  # in the order of QUANTITIES
        for name, pick in QUANTITIES
    ]
    check(abandoned)
    return Comparison(
        a,
        b,
        tuple(difference(name, one, other) for name, one, other in pairs),
        text_difference(a.sequence_toml, b.sequence_toml, (a.label, b.label)),
        text_difference(a.bench_toml, b.bench_toml, (a.label, b.label)),
    )


def side(path: Path, abandoned: Abandoned) -> Side:
    """Read one of the runs; a run without numbers says why. Raises as compare()."""
    run = open_run(path)
    header = run.header
    result, reason, mean_off, mean_on = None, "", None, None
    if header.measurement != OnOff.name:
        reason = f'the numbers of the measurement "{header.measurement}" are not compared here'
    else:
        try:
            record = LiveRecord(path).complete(abandoned).record
        except RigError as error:
            reason = error.what
        else:
            result, reason = record.result, record.reason
            if record.means is not None:
                frames = record.means.frames.sum(axis=0)
                mean_off, mean_on = (record.means.mean(state) if frames[state] else None for state in (0, 1))
    check(abandoned)
    time_s, columns = envelopes(run.column("time_s"), _traces(run))
    return Side(
        path=path,
        label=path.stem,
        simulated=header.simulated,
        time_s=time_s,
        at_520=columns[0],
        at_535=columns[1],
        wavelength_nm=header.wavelength_nm,
        mean_off=mean_off,
        mean_on=mean_on,
        result=result,
        reason=reason,
        sequence_toml=header.sequence_toml,
        bench_toml=header.bench_toml,
    )


def _traces(run: Run) -> tuple[Floats, Floats]:
    """Read both traces, with a gap where a frame shows no light of a known pulse."""
    flags = run.column("flags")
    at_520, at_535 = (run.column(name, 0, len(flags)) for name in ("band_520", "band_535"))
    hidden = (flags & int(HIDDEN)) != 0
    return np.where(hidden, np.nan, at_520), np.where(hidden, np.nan, at_535)


def difference(quantity: str, a: Value, b: Value) -> Difference:
    """Subtract a from b, with the interval of the difference of two independent values."""
    if a.value is None or b.value is None:
        return Difference(quantity, a, b, Value(None, None, a.unit or b.unit), None)
    change = b.value - a.value
    if a.ci95 is None or b.ci95 is None:
        return Difference(quantity, a, b, Value(change, None, b.unit), None)
    lo = change - math.hypot(b.value - b.ci95[0], a.ci95[1] - a.value)
    hi = change + math.hypot(b.ci95[1] - b.value, a.value - a.ci95[0])
    return Difference(quantity, a, b, Value(change, (lo, hi), b.unit), not lo <= 0.0 <= hi)


def envelopes(time_s: Floats, columns: Sequence[Floats], bins: int = BINS) -> tuple[Floats, list[Floats]]:
    """Reduce traces of n frames to the least and greatest value of each of `bins` pieces, or leave short ones as they are."""
    count = min(len(time_s), *map(len, columns))  # a file that grows meanwhile
    time_s, columns = time_s[:count], [column[:count] for column in columns]
    if count <= 2 * bins:
        return time_s, list(columns)
    starts = (np.arange(bins) * count) // bins
    reduced = [
        np.stack([np.fmin.reduceat(column, starts), np.fmax.reduceat(column, starts)], axis=1).reshape(-1) for column in columns
    ]
    return np.repeat(time_s[starts], 2), reduced


def text_difference(a: str, b: str, labels: tuple[str, str]) -> tuple[str, ...]:
    """List the lines in which two texts differ, with two lines around; a text without end is not looked through."""
    if a == b:
        return ()
    long = any(len(text) > MAX_LETTERS or text.count("\n") > MAX_LINES for text in (a, b))
    if long:
        return ("The texts differ; they are too long to be compared line by line here.",)
    return tuple(difflib.unified_diff(a.splitlines(), b.splitlines(), *labels, lineterm="", n=2))
