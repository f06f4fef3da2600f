"""A run file analysed anew from its raw spectra, by the estimators of this program, and against what was stored with it.

Nothing of the stored traces and results takes part, only raw spectra, dark spectrum and what was known of each frame.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from drivers.errors import RecordError, RigError
from drivers.roles import FrameBatch, SpectrometerInfo
from rig.analysis.correction import DarkStatistics
from rig.bench import Bench, parse_bench
from rig.config_file import parse_document
from rig.measurements.catalogue import Record, reduce_run
from rig.provenance import versions
from rig.reduction import BANDS, FrameReducer, chunks
from rig.runfile import FRAME_DTYPE, Flag, Run

SAME = 1e-9  # relative: another machine adds in another order
IN_THE_SPECTRUM = Flag.SATURATED | Flag.DARK_SHIFT
TRACES = tuple(f"{name}{suffix}" for name in BANDS for suffix in ("", "_sigma"))

Table = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """A number or a text that was stored with the run and is another one by this analysis; `name` as in the JSON."""

    name: str
    stored: Any
    anew: Any

    def __str__(self) -> str:
        return f"{self.name}: {_text(self.stored)} is stored, {_text(self.anew)} by this analysis"


@dataclass(frozen=True, slots=True, eq=False)
class Reanalysis:
    """A run analysed anew.

    results        plain numbers, as of Record.as_json()
    has_stored     whether the file has results: it has none where the run was never finished
    differences    of the results, none without stored ones
    frames_differ  frames whose stored traces or flags are not what their raw spectra give
    made_by        versions of the programs that made the file and are not those of this one
    """

    run: Run
    record: Record
    results: dict[str, Any]
    has_stored: bool
    differences: tuple[Difference, ...]
    frames_differ: int
    made_by: dict[str, str]

    @property
    def lines(self) -> tuple[str, ...]:
        """Say in a few sentences how the file and this analysis agree."""
        words = [f"{self.run.count} frames from their raw spectra; {self._traces}"]
        if not self.has_stored:
            words.append("stored results: none, the run was not finished")
        elif not self.differences:
            words.append("stored results: the same")
        else:
            words.append(f"stored results: {len(self.differences)} differ")
            words += [f"  {one}" for one in self.differences[:8]]
            if len(self.differences) > 8:
                words.append(f"  and {len(self.differences) - 8} more (--json tells all)")
        if self.made_by and (self.differences or self.frames_differ):
            words.append(f"the file was made by {', '.join(f'{name} {which}' for name, which in self.made_by.items())}")
        return tuple(words)

    @property
    def _traces(self) -> str:
        if self.run.dark is None:
            return "no dark spectrum was taken, so there are no traces"
        if not self.frames_differ:
            return "stored traces: the same"
        return f"stored traces: {self.frames_differ} frames differ, and were not used"

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain numbers."""
        header = self.run.header
        return {
            "file": str(self.run.path),
            "run_id": header.run_id,
            "measurement": header.measurement,
            "sample": header.sample,
            "simulated": header.simulated,
            "state": self.run.state,
            "frames": self.run.count,
            "frames_differ": self.frames_differ,
            "stored": "none" if not self.has_stored else "different" if self.differences else "same",
            "differences": [{"name": one.name, "stored": one.stored, "anew": one.anew} for one in self.differences],
            "made_by": self.made_by,
            "results": self.results,
        }


class RetracedRun(Run):
    """A run whose traces, and flags that stand in the spectrum itself, are those of its raw spectra."""

    def __init__(self, path: Path, anew: Table) -> None:
        super().__init__(path)
        self._anew = anew

    def frames(self, start: int = 0, stop: int | None = None) -> Table:
        """Read frames start:stop, an array of FRAME_DTYPE (n,)."""
        return self._anew[start:stop].copy()

    def column(self, name: str, start: int = 0, stop: int | None = None, step: int = 1) -> Table:
        """Read rows start:stop:step of one column, as Run does."""
        if name in (FRAME_DTYPE.names or ()):
            return self._anew[name][start:stop:step].copy()
        return super().column(name, start, stop, step)


def reanalyse(run: Run) -> Reanalysis:
    """Analyse a run that nobody writes any more: finished, stopped, ended by a fault, or killed.

    Raises
    ------
    RecordError  the file is being written, is damaged, or its frames do not fit together
    ConfigError  the bench or the sequence in it cannot be understood
    """
    if run.writer_lives:
        raise RecordError(
            "the run is still going on", where=str(run.path), next_step=f"wait for its end, or: rig show {run.path}"
        )
    bench = parse_bench(parse_document(run.header.bench_toml, run.path))
    try:
        stored_rows = run.frames()
        rows = retraced(run, bench, stored_rows)
        record = reduce_run(RetracedRun(run.path, rows), bench)
        results = cast(dict[str, Any], json.loads(json.dumps(record.as_json(), allow_nan=False)))
    except RigError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, ArithmeticError) as error:
        raise RecordError(f"the frames in it do not fit together ({error})", where=str(run.path)) from error
    stored = run.results
    found = tuple(_differences("", stored, results)) if stored else ()
    return Reanalysis(run, record, results, bool(stored), found, _unlike(stored_rows, rows), _made_by(run))


def retraced(run: Run, bench: Bench, stored: Table) -> Table:
    """Return rows with traces and flags by the raw spectra; as they are where no dark spectrum was taken."""
    dark, rows = run.dark, stored.copy()
    if dark is None:
        return rows
    info = SpectrometerInfo(run.wavelength_nm, run.header.nonlinearity, 65535, 0, 0, 0)
    reducer = FrameReducer(info, bench.spectrometer.electrons_per_count)
    reducer.use_dark(DarkStatistics(dark.mean, dark.variance, dark.hot))
    rows["flags"] &= np.uint16(~int(IN_THE_SPECTRUM) & 0xFFFF)
    for part, spectra in chunks(run, len(rows)):
        some = rows[part]
        reducer.rows(FrameBatch(spectra, some["device_time_us"], some["frame_count"]), some)
    return rows


def _unlike(stored: Table, anew: Table) -> int:
    unlike = stored["flags"] != anew["flags"]
    for name in TRACES:
        close = np.isclose(stored[name], anew[name], rtol=SAME, atol=0.0, equal_nan=True)
        unlike |= ~close
    return int(unlike.sum())


def _differences(name: str, stored: Any, anew: Any) -> Iterator[Difference]:
    """Compare plain numbers, texts, lists and tables, as deep as they go."""
    if isinstance(stored, dict) and isinstance(anew, dict):
        one, other = cast(dict[str, Any], stored), cast(dict[str, Any], anew)
        for key in dict.fromkeys([*one, *other]):
            yield from _differences(f"{name}.{key}".lstrip("."), one.get(key), other.get(key))
    elif isinstance(stored, list) and isinstance(anew, list) and len(cast(list[Any], stored)) == len(cast(list[Any], anew)):
        for number, pair in enumerate(zip(cast(list[Any], stored), cast(list[Any], anew), strict=True)):
            yield from _differences(f"{name}[{number}]", *pair)
    elif not _alike(stored, anew):
        yield Difference(name, stored, anew)


def _alike(stored: Any, anew: Any) -> bool:
    numbers: Callable[[Any], bool] = lambda one: isinstance(one, int | float) and not isinstance(one, bool)  # noqa: E731
    if numbers(stored) and numbers(anew):
        return math.isclose(stored, anew, rel_tol=SAME)
    return type(stored) is type(anew) and stored == anew


def _made_by(run: Run) -> dict[str, str]:
    """Name versions in the file that are not those of this program."""
    try:
        then: Any = json.loads(run.header.versions_json)
    except ValueError:
        return {}
    if not isinstance(then, dict):
        return {}
    here = versions()
    return {str(name): str(which) for name, which in cast(dict[str, Any], then).items() if here.get(str(name)) != which}


def _text(value: Any) -> str:
    if value is None:
        return "nothing"
    text = f"{value:.6g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:117]}..."
