"""What a measurement brings to a report: one Protocol, and the plain values that it is made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Tone = Literal["good", "bad", "open"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A word that says how something came out; the tone colours it and never says more than the word."""

    text: str
    tone: Tone


Cell = str | Mark


@dataclass(frozen=True, slots=True)
class ResultTable:
    """A table of results: texts with their units; `note` says what the numbers mean."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure, drawn when it is asked for.

    name     part of the file's name (letters, digits and _)
    caption  what is to be seen, with units
    draw     makes the figure; ValueError when there is nothing to draw
    """

    name: str
    caption: str
    draw: "Callable[[], Figure]"


class Findings(Protocol):
    """What a measurement found in a run; everything comes from the run file."""

    @property
    def sentence(self) -> str:
        """Say in one sentence what came out, or why nothing did."""
        ...

    @property
    def tables(self) -> Sequence[ResultTable]:
        """Get the results, with intervals."""
        ...

    @property
    def drawings(self) -> Sequence[Drawing]:
        """Get the figures that belong to this measurement; none where there is nothing to draw."""
        ...

    @property
    def methods(self) -> str:
        """Say in the past tense how the results were made and what they are; "" without results."""
        ...


@dataclass(frozen=True, slots=True)
class NoFindings:
    """Findings of a run that cannot be reduced."""

    sentence: str
    tables: tuple[ResultTable, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    methods: str = ""
