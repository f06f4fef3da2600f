"""What shows the results of one measurement: a reduction that works in a thread, and a widget that shows what it found.

A new measurement brings a ResultKind and a line in gui.results_page.KINDS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PyQt5.QtWidgets import QWidget

from gui.side_work import Abandoned


class Found(Protocol):
    """What a reduction hands to its view."""

    @property
    def ending(self) -> str:
        """Get how the run ended, empty while it goes on."""
        ...

    @property
    def left(self) -> int:
        """Get how many frames that could be used were not looked at yet: the page asks again at once."""
        ...

    @property
    def reason(self) -> str:
        """Get why there are no results, empty when there are some."""
        ...


class Reduction(Protocol):
    """The results of one run file, growing with it. Used by one thread, never the GUI's."""

    def update(self, abandoned: Abandoned) -> Any:
        """Look at what is new, for some 2 s at most, and return a Found.

        Raises
        ------
        RigError      the file cannot be read
        GivenUpError  nobody wants it any more
        """
        ...


class ResultView(Protocol):
    """Shows the results of one measurement."""

    @property
    def widget(self) -> QWidget:
        """Get what is put on the page."""
        ...

    def show_found(self, found: Any) -> None:
        """Show what the reduction found; not called when there is a reason why there is nothing."""
        ...


@dataclass(frozen=True, slots=True)
class ResultKind:
    """How one measurement is reduced and shown: `reduction` is called in a thread (raises RigError), `view` in the GUI's."""

    reduction: Callable[[Path], Reduction]
    view: Callable[[], ResultView]
