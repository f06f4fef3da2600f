"""A run as CSV for other programs: every number keeps its unit in the header line."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from drivers.errors import RecordError
from rig.analysis.correction import MeanSpectra
from rig.runfile import Run

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
    """Write RUN_traces.csv (one line per frame) and RUN_spectra.csv (mean OFF and ON light); return their paths.

    Raises
    ------
    RecordError  a file cannot be written
    """
    rows = run.frames()
    t_us = rows["device_time_us"].astype(np.int64)
    columns: dict[str, Sequence[object]] = {name: rows[name].tolist() for name in TRACE_COLUMNS if name != "time_s"}
    columns["time_s"] = ((t_us - t_us[0]) * 1e-6).tolist() if len(t_us) else []
    columns["state"] = [STATES.get(state, "") for state in rows["state"].tolist()]
    simulated = ("SIMULATED ",) if run.header.simulated else ()
    note = f"# {''.join(simulated)}{run.header.run_id}"
    stem = run.path.stem
    traces = zip(*(columns[name] for name in TRACE_COLUMNS), strict=True)
    written = [_write(folder / f"{stem}_traces.csv", note, tuple(TRACE_COLUMNS.values()), traces)]
    if means is not None:
        spectra = zip(run.wavelength_nm.tolist(), means.mean(0).tolist(), means.mean(1).tolist(), strict=True)
        written.append(_write(folder / f"{stem}_spectra.csv", note, SPECTRUM_COLUMNS, spectra))
    return written


def _write(path: Path, note: str, header: Sequence[str], lines: Iterable[Sequence[object]]) -> Path:
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            file.write(note + "\n")
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(lines)
    except OSError as error:
        raise RecordError(
            f"{path.name} cannot be written: {error.strerror}.", where=str(path), next_step="choose another folder with --out"
        ) from error
    return path
