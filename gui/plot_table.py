"""The numbers of a plot with their units, and what run they are of; as CSV."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROWS_AT_ONCE = 4096
SIMULATED = "SIMULATED"


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column of numbers (n,) with its unit."""

    name: str
    unit: str
    values: NDArray[np.float64] | NDArray[np.int64]

    @property
    def title(self) -> str:
        """Get what stands above it."""
        return f"{self.name} ({self.unit})"


@dataclass(frozen=True, slots=True, eq=False)
class PlotTable:
    """The numbers of one plot, columns of equal length."""

    name: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class RunLabel:
    """What a plot is of: what stands above a picture and in the first lines of a table."""

    run: str = ""
    title: str = ""
    sample: str = ""
    simulated: bool = False
    remark: str = ""  # such as: other bands than the file's

    @property
    def line(self) -> str:
        """Get it in one line."""
        words = (SIMULATED if self.simulated else "", self.title, self.sample, self.run, self.remark)
        return " · ".join(word for word in words if word)


def csv_bytes(table: PlotTable, label: RunLabel) -> bytes:
    """Write numbers as text that reads back as the same numbers; "#" begins the lines that say what they are of."""
    about = [("run", label.run), ("title", label.title), ("sample", label.sample), ("remark", label.remark)]
    lines = [f"# {SIMULATED}"] if label.simulated else []
    lines += [f"# {name}: {_one_line(text)}" for name, text in about if text]
    lines.append(",".join(f'"{column.title}"' for column in table.columns))
    rows = min((len(column.values) for column in table.columns), default=0)
    for first in range(0, rows, ROWS_AT_ONCE):  # in pieces, so that the window gets its turn
        parts = [_texts(column.values[first : first + ROWS_AT_ONCE]) for column in table.columns]
        lines += map(",".join, zip(*parts, strict=True))
    return ("\n".join(lines) + "\n").encode()


def _texts(values: NDArray[np.float64] | NDArray[np.int64]) -> list[str]:
    return ["" if one != one else repr(one) for one in values.tolist()]  # NaN: nothing is there


def _one_line(text: str) -> str:
    return " ".join(text.split())
