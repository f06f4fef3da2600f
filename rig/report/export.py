"""A run as CSV for other programs: every number keeps its unit in the header line."""

import csv
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from drivers.errors import RecordError
from rig.analysis.correction import MeanSpectra
from rig.runfile import Flag, Run

STATES = {-1: "", 0: "OFF", 1: "ON"}
TRACE_COLUMNS = {
    "time_s": "time (s)",
    "shot": "shot",
    "cycle": "cycle",
    "state": "state",
    "flags": "flags (bits)",
    "planned_voltage_v": "planned voltage (V)",
    "measured_voltage_v": "measured voltage (V)",
    "measured_current_a": "measured current (A)",
    "measured_age_s": "reading age (s)",
    "band_520": "520 nm light (counts)",
    "band_520_sigma": "520 nm error (counts)",
    "band_535": "535 nm light (counts)",
    "band_535_sigma": "535 nm error (counts)",
}
SPECTRUM_COLUMNS = ("wavelength (nm)", "mean OFF (counts)", "mean ON (counts)")


def write_csv(run: Run, means: MeanSpectra | None, folder: Path) -> list[Path]:
    """Write RUN_traces.csv (one line per frame) and RUN_spectra.csv (mean OFF and ON light) into `folder`.

    The folder is made when it is missing; return the paths. Lines before the header begin with "#".

    Raises
    ------
    RecordError  a file cannot be written
    """
    rows = run.frames()
    t_us = rows["device_time_us"].astype(np.int64)
    columns: dict[str, Sequence[object]] = {name: rows[name].tolist() for name in TRACE_COLUMNS if name != "time_s"}
    columns["time_s"] = ((t_us - t_us[0]) * 1e-6).tolist() if len(t_us) else []
    columns["state"] = [STATES.get(state, "") for state in rows["state"].tolist()]
    note = f"# {run.header.shown_id}"
    bits = ", ".join(f"{flag.value} {(flag.name or '').lower().replace('_', ' ')}" for flag in Flag)
    stem = run.path.stem
    traces = zip(*(columns[name] for name in TRACE_COLUMNS), strict=True)
    written = [
        _write(folder / f"{stem}_traces.csv", f"{note}\n# bits of the flags: {bits}", tuple(TRACE_COLUMNS.values()), traces)
    ]
    if means is not None:
        spectra = zip(run.wavelength_nm.tolist(), means.mean(0).tolist(), means.mean(1).tolist(), strict=True)
        written.append(_write(folder / f"{stem}_spectra.csv", note, SPECTRUM_COLUMNS, spectra))
    return written


def _write(path: Path, note: str, header: Sequence[str], lines: Iterable[Sequence[object]]) -> Path:
    part = path.with_name(f"{path.name}.part")  # half a table looks like a whole one
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8", newline="") as file:
            file.write(note + "\n")
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(lines)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise RecordError(
            f"{path.name} cannot be written: {error.strerror}.", where=str(path), next_step="choose another folder with --out"
        ) from error
    return path
