"""The pages of the window: their names, keys, and how each is made when it is looked at for the first time."""

from collections.abc import Callable
from dataclasses import dataclass

from PyQt5.QtWidgets import QWidget

from gui.page_context import PageContext


@dataclass(frozen=True, slots=True)
class PageEntry:
    """One page.

    Parameters
    ----------
    name     remembered with the layout: never change it
    title    on its tab
    key      shows it
    purpose  one line
    make     imports and makes it
    """

    name: str
    title: str
    key: str
    purpose: str
    make: Callable[[PageContext], QWidget]


def _run(context: PageContext) -> QWidget:
    from gui.run_page import RunPage

    return RunPage(context)


def _instruments(context: PageContext) -> QWidget:
    from gui.instruments_page import InstrumentsPage

    return InstrumentsPage(context)


def _sequence(context: PageContext) -> QWidget:
    from gui.run_queue import RunQueue, queue_file
    from gui.sequence_page import SequencePage

    queue = RunQueue(queue_file(context.bench.path if context.bench.path and context.bench.path.is_file() else None))
    return SequencePage(context.bench, simulate=context.simulated and not context.bench.simulated, queue=queue)


def _runs(context: PageContext) -> QWidget:
    from gui.runs_page import RunsPage

    return RunsPage(context)


def _results(context: PageContext) -> QWidget:
    from gui.results_page import ResultsPage

    return ResultsPage(context)


PAGES = (
    PageEntry("run", "Run", "Ctrl+1", "the run that is under way, or the one that was opened", _run),
    PageEntry("instruments", "Instruments", "Ctrl+2", "every instrument, and the bench's cables", _instruments),
    PageEntry("sequence", "Sequence", "Ctrl+3", "what to run: form, check, price, queue", _sequence),
    PageEntry("runs", "Runs", "Ctrl+4", "all runs of the output folder; compare two", _runs),
    PageEntry("results", "Results", "Ctrl+5", "what a run says: claims, fits, curves", _results),
)
