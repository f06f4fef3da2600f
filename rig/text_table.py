"""A text table of unknown making: which bytes are characters, where the cells end, what the decimal sign is."""

import codecs
import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drivers.errors import ConfigError, Reason

MOST_BYTES = 50_000_000
COMMENTS = ("#", "%", "//", "!")
DELIMITERS = ("\t", ";", ",")
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_POINT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_COMMA = re.compile(r"[-+]?(\d+(,\d*)?|,\d+)([eE][-+]?\d+)?")
_THOUSANDS = re.compile(r"[-+]?\d{1,3},\d{3}")


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells as text: header ((), when there is none), lines of equal length, their numbers in the file; delimiter; remarks."""

    where: str
    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...]
    delimiter: str
    notes: tuple[str, ...] = ()


def read_cells(path: Path, least_columns: int = 2) -> Cells:
    """Read a table: comment lines, at most one header line, then lines that begin with a number or (one column) are one.

    Raises
    ------
    ConfigError  no such file, no text, no table, lines of different length
    """
    text, notes = _text(path)
    kept = [
        (at, line)
        for at, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith(COMMENTS)
    ]
    if not kept:
        raise _refusal(path, [Reason("empty", path.name, "there is nothing in it but comments and empty lines")])
    delimiter = _delimiter([line for _, line in kept], least_columns)
    if delimiter is None:
        text = "its lines are not divided by tabs, semicolons or commas into a column of wavelengths and columns of light"
        raise _refusal(path, [Reason("no-table", path.name, text)])
    rows = [(at, _cut(line, delimiter)) for at, line in kept]
    first = rows[0][1]
    has_header = not _is_number(first[0])
    if least_columns == 1:  # a name before its number, or a number with its unit, is no header
        last = first[len(first) - 1]
        has_header = has_header and not re.search(r"[0-9]", re.sub(r"m\s*\^?-?2", "", last))
    header: tuple[str, ...] = first if has_header else ()
    lines = rows[1:] if has_header else rows
    if not lines:
        raise _refusal(path, [Reason("empty", path.name, "there is a header and nothing below it")])
    width = len(header) or len(lines[0][1])
    uneven = [
        Reason("uneven-lines", f"{path.name}, line {at}", f"{len(row)} cells where {width} are expected")
        for at, row in lines
        if len(row) != width
    ]
    if uneven:
        more = [Reason("uneven-lines", path.name, f"{len(uneven) - 3} more such lines")] if len(uneven) > 3 else []
        raise _refusal(path, [*uneven[:3], *more])
    return Cells(path.name, header, tuple(row for _, row in lines), tuple(at for at, _ in lines), delimiter, tuple(notes))


def decimal_sign(cells: Cells, reasons: list[Reason]) -> str:
    """Point or comma; a reason where the table does not tell, or has both."""
    flat = [cell.strip() for line in cells.lines for cell in line]
    points = any("." in cell and _POINT.fullmatch(cell) for cell in flat)
    commas = [cell for cell in flat if "," in cell and _COMMA.fullmatch(cell)]
    if not commas:
        return "."
    if points:
        text = f"numbers with a decimal point and numbers with a comma ({commas[0]!r}) in one table"
        reasons.append(Reason("decimal-sign", cells.where, text))
    elif all(_THOUSANDS.fullmatch(cell) for cell in commas) and not any(
        "," in line[0] for line in cells.lines if len(line) > 1
    ):
        text = f"{commas[0]!r} may be a decimal or a thousands comma: write numbers without thousands separators"
        reasons.append(Reason("decimal-sign", cells.where, text))
    return ","


def number(cell: str, sign: str) -> float:
    """Return the number in a cell, NaN when there is none: digits, one sign, one exponent, one decimal sign, nothing else."""
    cell = cell.strip()
    pattern = _COMMA if sign == "," else _POINT
    return float(cell.replace(",", ".")) if pattern.fullmatch(cell) else math.nan


def _text(path: Path) -> tuple[str, list[str]]:
    """Characters of a file, and a remark when they were not UTF-8."""
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise _refusal(path, [Reason("too-large", path.name, f"{size / 1e6:.0f} MB; at most {MOST_BYTES / 1e6:.0f} MB")])
        data = path.read_bytes()
    except OSError as error:
        raise _refusal(path, [Reason("unreadable", path.name, error.strerror or str(error))]) from error
    for mark, coding in _BOMS:
        if data.startswith(mark):
            return _decoded(path, data[len(mark) :], coding), []
    try:
        text = _decoded(path, data, "utf-8")
    except ConfigError:
        if b"\0" in data:
            raise
        return data.decode("latin-1"), ["the file is not UTF-8; it was read as Latin-1"]
    if "\0" in text:
        raise _refusal(path, [Reason("not-text", path.name, "it has zero bytes: not a text table")])
    return text, []


def _decoded(path: Path, data: bytes, coding: str) -> str:
    try:
        return data.decode(coding)
    except UnicodeDecodeError as error:
        raise _refusal(path, [Reason("not-text", path.name, f"byte {error.start} is no {coding}: not a text table")]) from error


def _delimiter(lines: Sequence[str], least_columns: int) -> str | None:
    """Return the first delimiter by which the middle line, which is data, has enough cells; "" for a single column."""
    middle = lines[len(lines) // 2]
    for delimiter in DELIMITERS:
        cut = _cut(middle, delimiter)
        if len(cut) >= max(least_columns, 2) and (delimiter != "," or not _is_one_number(middle, least_columns)):
            return delimiter
    return "" if least_columns == 1 else None


def _is_one_number(line: str, least_columns: int) -> bool:
    return least_columns == 1 and _COMMA.fullmatch(line.strip()) is not None


def _cut(line: str, delimiter: str) -> tuple[str, ...]:
    if not delimiter:
        return (line.strip(),)
    try:
        row = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
    except csv.Error:  # a cell of more than 100 kB
        return (line,)
    while len(row) > 1 and not row[-1]:  # a delimiter at the end of the line
        row.pop()
    return tuple(row)


def _is_number(cell: str) -> bool:
    cell = cell.strip()
    return bool(_POINT.fullmatch(cell) or _COMMA.fullmatch(cell)) or cell.lower() in ("nan", "inf", "-inf")


def _refusal(path: Path, reasons: Sequence[Reason]) -> ConfigError:
    next_step = "export a text table: wavelengths in the first column, one column of light per fluence"
    return ConfigError(f"{path.name} cannot be read as a table.", tuple(reasons), where=str(path), next_step=next_step)
