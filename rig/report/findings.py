"""What a measurement brings to a report: the plain values that it is made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

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


@dataclass(frozen=True, slots=True)
class Findings:
    """What a measurement found in a run; everything comes from the run file.

    sentence  what came out, or why nothing did
    tables    the results, with intervals
    drawings  the figures that belong to this measurement; none where there is nothing to draw
    methods   how the results were made and what they are, in the past tense; "" without results
    """

    sentence: str
    tables: Sequence[ResultTable] = ()
    drawings: Sequence[Drawing] = ()
    methods: str = ""
