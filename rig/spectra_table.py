"""Spectra that other software exported: a text table with a column of wavelengths and one column of light per pump fluence.

What is understood: comma, semicolon or tab between cells; point or comma as decimal sign; comment lines (#, %, //, !) before
the table; a byte order mark; the fluence with its unit in each column's header, or in a second table. What is not certain is
refused, with every reason at once: nothing is guessed, filled in or left out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigError, Reason
from rig.text_table import Cells, decimal_sign, number, read_cells

Floats = NDArray[np.float64]

NEEDED_NM = (500.0, 541.0)
LEAST_PIXELS = 20
COARSEST_NM = 1.2
DARK_NM = ((440.0, 478.0), (580.0, 640.0))
DARK_NOTED, DARK_REFUSED = 0.03, 0.2
FLAT_PIXELS = 3
ROUNDING_STEPS = 4.0
USUAL_UJ_CM2 = (1e-2, 5e3)  # pulses that excite such a film and leave it whole

UNITS = {"nJ/cm2": 1e-3, "uJ/cm2": 1.0, "mJ/cm2": 1e3, "J/cm2": 1e6, "uJ/m2": 1e-4, "mJ/m2": 0.1, "J/m2": 100.0}
"""uJ/cm2 in one of each."""

WAVELENGTHS = {"nm": 1.0, "um": 1e3, "angstrom": 0.1, "a": 0.1}
NOT_WAVELENGTHS = ("ev", "cm-1", "1/cm", "thz", "pixel", "px")
_FLUENCE = re.compile(
    r"(?<![a-z])(?P<prefix>[numk]?)j[\s_]*(?:/|per|\s|_|\*)?[\s_]*(?P<length>c?m)(?:\^?-?2|sq)\b", re.IGNORECASE
)
_OTHER_UNIT = re.compile(r"(?<![a-z])(?P<unit>[pnum]?[jw](?:/cm2?|/m2?)?|%|deg|v|ma)(?![a-z0-9])", re.IGNORECASE)
_NUMBER = r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[-+]?\d+)?"
_BEFORE_UNIT = re.compile(rf"(?<![\w.,+-])({_NUMBER})[\s_]*$", re.IGNORECASE)
_AFTER_UNIT = re.compile(rf"[\s)\]=:]*({_NUMBER})\s*", re.IGNORECASE)
_ALONE = re.compile(rf"\s*(?:(?:pump\s*)?fluence|f)?\s*[=:]?\s*({_NUMBER})\s*", re.IGNORECASE)
_THOUSANDS = re.compile(r"[-+]?\d{1,3}[.,]\d{3}")


@dataclass(frozen=True, slots=True)
class SpectraTable:
    """Light (n, pixels) at `wavelength_nm` (pixels, ascending) and `fluence_uj_cm2` (n, ascending); column names; remarks."""

    wavelength_nm: Floats
    light: Floats
    fluence_uj_cm2: Floats
    names: tuple[str, ...]
    notes: tuple[str, ...]


def read_spectra(
    path: Path,
    fluences: Path | None = None,
    *,
    unit: str | None = None,
    any_order: bool = False,
    saturation_counts: float | None = None,
) -> SpectraTable:
    """Read a table of spectra.

    Parameters
    ----------
    path               the table
    fluences           a second table: one fluence per line in the order of the columns, or a column's name and its fluence
    unit               of fluences that stand without one, a key of `UNITS`; None: such fluences are refused
    any_order          fluences may go up and down (random order, both directions); they are sorted
    saturation_counts  light at or above it is saturated; without it, flat tops are recognised

    Raises
    ------
    ConfigError  the table cannot be read, or is not what it has to be; with every reason
    """
    cells = read_cells(path)
    reasons: list[Reason] = []
    sign = decimal_sign(cells, reasons)
    values = _values(cells, sign, reasons)
    wavelength_nm = _wavelength(cells, values[:, 0], reasons)
    names = _names(cells)
    fluence = (
        _header_fluences(cells, names, unit, sign, reasons) if fluences is None else _listed(fluences, names, unit, reasons)
    )
    if fluence is not None:
        _check_fluences(names, fluence, any_order, cells.where, reasons)
    notes: list[str] = []
    if not reasons:
        _check_light(wavelength_nm, values[:, 1:].T, names, saturation_counts, cells.where, reasons, notes)
    if fluence is not None and not reasons:
        _note_unusual(fluence, notes)
    if reasons or fluence is None:
        raise ConfigError(
            f"{path.name} cannot be analysed.",
            tuple(reasons),
            where=str(path),
            next_step="correct the export, or name what is missing (rig analyze threshold --help)",
        )
    rows, columns = np.argsort(wavelength_nm, kind="stable"), np.argsort(fluence, kind="stable")
    light = np.ascontiguousarray(values[rows][:, 1:].T[columns])
    ordered = tuple(names[k] for k in columns)
    return SpectraTable(wavelength_nm[rows], light, fluence[columns], ordered, (*cells.notes, *notes))


# --- numbers ----------------------------------------------------------------------------------------------------------


def _values(cells: Cells, sign: str, reasons: list[Reason]) -> Floats:
    """All cells as numbers (lines, columns), NaN where there is none; one reason per column that has such cells."""
    values = np.array([[number(cell, sign) for cell in line] for line in cells.lines], np.float64)
    for column in np.flatnonzero(~np.isfinite(values).all(axis=0)).tolist():
        bad = np.flatnonzero(~np.isfinite(values[:, column]))
        first = int(bad[0])
        name = cells.header[column] if cells.header else f"column {column + 1}"
        what = f"{len(bad)} of {len(values)} cells are no numbers; the first is {cells.lines[first][column]!r}"
        reasons.append(Reason("not-a-number", f"{cells.where}, line {cells.numbers[first]}, column {name!r}", what))
    return values


def _wavelength(cells: Cells, values: Floats, reasons: list[Reason]) -> Floats:
    """First column in nm."""
    header = cells.header[0] if cells.header else ""
    where = f"{cells.where}, column {header or 1!r}"
    words = re.findall(r"[a-z0-9/\-]+", _plain(header).lower())
    wrong = [word for word in words if word in NOT_WAVELENGTHS]
    known = [word for word in words if word in WAVELENGTHS]
    if wrong:
        text = f"the first column is in {wrong[0]}: it has to be the wavelength, in nm (light per eV is not light per nm)"
        reasons.append(Reason("wavelength-unit", where, text))
        return values
    wavelength_nm = values * (WAVELENGTHS[known[-1]] if known else 1.0)
    if not np.isfinite(wavelength_nm).all():
        return wavelength_nm
    step = np.diff(wavelength_nm)
    if not ((step > 0).all() or (step < 0).all()):
        at = int(np.flatnonzero(np.sign(step) != np.sign(np.median(step)))[0]) + 1
        text = f"wavelengths neither rise nor fall throughout: {values[at]:g} follows {values[at - 1]:g}"
        reasons.append(Reason("wavelength-order", f"{where}, line {cells.numbers[at]}", text))
        return wavelength_nm
    lo, hi = float(wavelength_nm.min()), float(wavelength_nm.max())
    if not (lo <= NEEDED_NM[0] and NEEDED_NM[1] <= hi):
        text = f"the spectra go from {lo:g} to {hi:g} nm; {NEEDED_NM[0]:g} to {NEEDED_NM[1]:g} nm are needed"
        reasons.append(Reason("wavelength-range", where, text))
        return wavelength_nm
    pitch = float(np.abs(step[(wavelength_nm[1:] >= NEEDED_NM[0]) & (wavelength_nm[1:] <= NEEDED_NM[1])]).max())
    if not pitch <= COARSEST_NM or len(values) < LEAST_PIXELS:
        text = f"wavelengths are up to {pitch:g} nm apart; a line of 3 nm takes at most {COARSEST_NM:g} nm"
        reasons.append(Reason("too-coarse", where, text))
    return wavelength_nm


# --- fluences ---------------------------------------------------------------------------------------------------------


def _names(cells: Cells) -> tuple[str, ...]:
    count = len(cells.lines[0])
    return tuple(cells.header[1:]) if cells.header else tuple(f"column {k}" for k in range(2, count + 1))


def _header_fluences(cells: Cells, names: Sequence[str], unit: str | None, sign: str, reasons: list[Reason]) -> Floats | None:
    if not cells.header:
        text = "the table has no header, so no spectrum has a fluence: name a second table with --fluences"
        reasons.append(Reason("fluence-missing", cells.where, text))
        return None
    found = [_fluence(name, unit, sign, f"{cells.where}, column {name!r}", reasons) for name in names]
    return np.array(found, np.float64)


def _listed(path: Path, names: Sequence[str], unit: str | None, reasons: list[Reason]) -> Floats | None:
    """Fluences of a second table, in the order of `names`."""
    cells = read_cells(path, least_columns=1)
    sign = decimal_sign(cells, reasons)
    columns = len(cells.lines[0])
    if columns > 2:
        text = f"{columns} columns: one (fluence) or two (column name, fluence) expected"
        reasons.append(Reason("fluence-table", cells.where, text))
        return None
    stated = unit_of(cells.header[-1]) if cells.header else None
    if stated is None and cells.header and _OTHER_UNIT.search(_plain(cells.header[-1])):
        text = f"{cells.header[-1]!r} names no fluence: energy per area is needed ({', '.join(UNITS)})"
        reasons.append(Reason("fluence-unit", cells.where, text))
        return None
    values = [
        _fluence(line[-1], stated or unit, sign, f"{cells.where}, line {at}", reasons)
        for line, at in zip(cells.lines, cells.numbers, strict=True)
    ]
    if columns == 2:
        return _by_name(cells, values, names, reasons)
    if len(values) != len(names):
        reasons.append(Reason("fluence-count", cells.where, f"{len(values)} fluences for {len(names)} spectra"))
        return None
    return np.array(values, np.float64)


def _by_name(cells: Cells, values: Sequence[float], names: Sequence[str], reasons: list[Reason]) -> Floats | None:
    given = [line[0].strip() for line in cells.lines]
    table = dict(zip(given, values, strict=True))
    missing = [name for name in names if name not in table]
    unknown = [name for name in table if name not in names]
    if len(set(names)) < len(names) or len(table) < len(given):
        reasons.append(Reason("fluence-names", cells.where, "a column name stands twice: fluences cannot be assigned by name"))
    if missing:
        text = f"no fluence for {len(missing)} of {len(names)} spectra, the first is column {missing[0]!r}"
        reasons.append(Reason("fluence-missing", cells.where, text))
    if unknown:
        reasons.append(
            Reason("fluence-names", cells.where, f"no spectrum is called {unknown[0]!r} ({len(unknown)} such names)")
        )
    return None if missing else np.array([table[name] for name in names], np.float64)


def _fluence(text: str, unit: str | None, sign: str, where: str, reasons: list[Reason]) -> float:
    """Return uJ/cm2, NaN (and a reason) where the text does not say it for certain."""

    def refuse(code: str, why: str) -> float:
        reasons.append(Reason(code, where, f"{text.strip()!r} {why}"))
        return np.nan

    plain = _plain(text)
    match, stated = _FLUENCE.search(plain), unit_of(text)
    if match is not None and stated is None:
        return refuse("fluence-unit", f"is in none of {', '.join(UNITS)}")
    if match is not None:
        found = _BEFORE_UNIT.search(plain[: match.start()]) or _AFTER_UNIT.fullmatch(plain[match.end() :])
    elif other := _OTHER_UNIT.search(plain):
        return refuse(
            "fluence-unit", f"is in {other['unit']}, which is no fluence: energy per area is needed ({', '.join(UNITS)})"
        )
    else:
        found = _ALONE.fullmatch(plain)
    if found is None:
        return refuse("fluence-missing", "is not a fluence: a number with its unit is expected, as 40 uJ/cm2")
    if stated is None and unit is None:
        return refuse("fluence-unit", f"has no unit: write one of {', '.join(UNITS)} there, or give --unit")
    digits = found[1]
    foreign = "." if sign == "," else ","
    if foreign in digits and (foreign == "," or _THOUSANDS.fullmatch(digits)):
        return refuse("decimal-sign", f"has a {foreign!r} where the decimal sign of this table is {sign!r}")
    return float(digits.replace(",", ".")) * UNITS[stated or unit or ""]


def unit_of(text: str) -> str | None:
    """Unit of fluence that stands in `text`, a key of `UNITS`, or None. A capital M is not milli."""
    match = _FLUENCE.search(_plain(text))
    if match is None:
        return None
    unit = f"{match['prefix']}J/{match['length'].lower()}2"
    return unit if unit in UNITS else None


def _plain(text: str) -> str:
    """Units in one spelling: micro signs as u, superscripts as digits."""
    return text.translate(str.maketrans({"µ": "u", "μ": "u", "²": "2", "⁻": "-", "−": "-", "·": " ", "Å": "angstrom"}))


def _check_fluences(names: Sequence[str], fluence: Floats, any_order: bool, where: str, reasons: list[Reason]) -> None:
    if not np.isfinite(fluence).all():
        return  # said already
    dark = [name for name, value in zip(names, fluence, strict=True) if not value > 0]
    if dark:
        text = f"{len(dark)} fluences are not above zero, the first is {dark[0]!r}: leave dark spectra out"
        reasons.append(Reason("fluence-range", where, text))
    step = np.diff(fluence)
    if not any_order and not ((step >= 0).all() or (step <= 0).all()):
        up = bool(np.median(step) > 0)
        at = int(np.flatnonzero(step < 0 if up else step > 0)[0])
        text = (
            f"fluences go up and down: {names[at + 1]!r} ({fluence[at + 1]:g} uJ/cm2) follows {names[at]!r} ({fluence[at]:g}); "
            "if they were measured in that order, say so with --any-order"
        )
        reasons.append(Reason("fluence-order", where, text))


def _note_unusual(fluence: Floats, notes: list[str]) -> None:
    """Remark what is perhaps another unit; it is used as it stands there."""
    lo, hi = float(fluence.min()), float(fluence.max())
    if not (USUAL_UJ_CM2[0] <= lo and hi <= USUAL_UJ_CM2[1]):
        notes.append(f"fluences of {lo:.3g} to {hi:.3g} uJ/cm2 are unusual for such a film: see that their unit is right")


# --- light ------------------------------------------------------------------------------------------------------------


def _check_light(
    wavelength_nm: Floats,
    light: Floats,
    names: Sequence[str],
    saturation_counts: float | None,
    where: str,
    reasons: list[Reason],
    notes: list[str],
) -> None:
    for name, spectrum in zip(names, light, strict=True):
        said = _saturated(spectrum, saturation_counts)
        if said:
            reasons.append(Reason("saturated", f"{where}, column {name!r}", said))
    dark_pixels = np.any([(lo <= wavelength_nm) & (wavelength_nm <= hi) for lo, hi in DARK_NM], axis=0)
    if not dark_pixels.any():
        notes.append("no pixels beside the light: whether the dark spectrum is subtracted was not checked")
        return
    dark = np.median(light[:, dark_pixels], axis=1)
    share = np.abs(dark) / np.maximum(light.max(axis=1) - dark, 1e-300)
    worst = int(np.argmax(share))
    text = f"{dark[worst]:.4g} counts where no light is expected, {share[worst]:.0%} of the maximum: subtract the dark spectrum"
    if share[worst] > DARK_REFUSED:
        reasons.append(Reason("dark-not-subtracted", f"{where}, column {names[worst]!r}", text))
    elif share[worst] > DARK_NOTED:
        notes.append(f"column {names[worst]!r}: {text}")


def _saturated(spectrum: Floats, limit: float | None) -> str:
    """Why a spectrum counts as saturated, or nothing."""
    top = float(spectrum.max())
    if limit is not None:
        over = int((spectrum >= limit).sum())
        return f"{over} pixels at or above {limit:g} counts" if over else ""
    bounds = np.flatnonzero(np.diff(np.r_[False, spectrum == top, False].astype(np.int8)))
    first, end = max(zip(bounds[::2].tolist(), bounds[1::2].tolist(), strict=True), key=lambda run: run[1] - run[0])
    beside = spectrum[[max(first - 1, 0), min(end, len(spectrum) - 1)]]
    steps = np.abs(np.diff(spectrum))
    finest = float(steps[steps > 0].min(initial=np.inf))
    # a band that was averaged and rounded is flat at its top too, but falls by one step of the rounding beside it
    if end - first >= FLAT_PIXELS and top - float(beside.min()) > ROUNDING_STEPS * finest:
        return f"{end - first} pixels in a row at exactly {top:g}: a flat top, so the detector or the converter was full"
    return ""
