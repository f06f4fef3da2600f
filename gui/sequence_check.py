"""What the compiler says of a sequence text, asked in a thread of its own; only the newest question is answered."""

import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PyQt5.QtCore import QObject, pyqtSignal

from drivers.errors import Reason, RefusedError, RigError
from gui.plan_sketch import PlanSketch, sketch
from gui.sequence_draft import FORM_NAME
from rig.bench import Bench
from rig.config_file import Where, dotted, parse_document
from rig.sequence import Block, BlockMode, parse_sequence
from rig.session import MEASUREMENTS, Session


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a check: every reason against the text, or none and the sketch of its plan."""

    text: str
    reasons: tuple[Reason, ...] = ()
    sketch: PlanSketch | None = None


class _Abandoned(BaseException):
    """Nobody on the way may catch it."""


class _Abandonable:
    """A measurement that gives up between two blocks when nobody wants its plan any more."""

    def __init__(self, measurement: Any, abandoned: Callable[[], bool]) -> None:
        self.name = measurement.name
        self._measurement = measurement
        self._abandoned = abandoned

    def __getattr__(self, name: str) -> Any:
        return getattr(self._measurement, name)  # whatever else the compiler asks a measurement: a limit of its dose, its keys

    def check(self, rate_hz: float, where: Where = dotted) -> list[Reason]:
        return self._measurement.check(rate_hz, where)

    def max_shots(self, rate_hz: float) -> int:
        return self._measurement.max_shots(rate_hz)

    def blocks(self, rate_hz: float, mode: BlockMode) -> Generator[Block, object, None]:
        for block in self._measurement.blocks(rate_hz, mode):
            if self._abandoned():
                raise _Abandoned
            yield block


def check_sequence(text: str, session: Session, abandoned: Callable[[], bool] = lambda: False) -> Verdict | None:
    """Ask the compiler about a sequence; None when it was abandoned. Raises nothing."""
    try:
        sequence = parse_sequence(parse_document(text, Path(FORM_NAME)), MEASUREMENTS)
        measurement: Any = _Abandonable(sequence.parameters, abandoned)
        plan = session.plan(sequence.model_copy(update={"parameters": measurement}))
        return None if abandoned() else Verdict(text, (), sketch(plan))
    except _Abandoned:
        return None
    except RefusedError as error:
        return Verdict(text, error.reasons or (Reason("refused", "", error.what),))
    except RigError as error:
        return Verdict(text, (Reason(type(error).__name__, error.where, error.what),))
    except Exception as error:  # noqa: BLE001 - the thread goes on, and the form says what is wrong with the program
        return Verdict(text, (Reason("defect", "", f"the check itself failed, a defect of the program: {error!r}"),))


class SequenceChecker(QObject):
    """Checks texts one at a time; a newer one makes it give up the older.

    Parameters
    ----------
    bench     what it is checked against
    simulate  as of Session
    """

    checked = pyqtSignal(object)  # Verdict

    def __init__(self, bench: Bench, *, simulate: bool, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = Session(bench, simulate=simulate)
        self._condition = threading.Condition()
        self._asked: str | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="sequence-check", daemon=True)
        self._thread.start()

    @property
    def simulated(self) -> bool:
        """Get whether no real instrument is behind the bench."""
        return self._session.simulated

    def ask(self, text: str) -> None:
        """Have a text checked; `checked` tells, unless a newer one comes."""
        with self._condition:
            self._asked = text
            self._condition.notify()

    def close(self) -> None:
        """End the thread, in the middle of a check too."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join()

    def _abandoned(self) -> bool:
        return self._closing or self._asked is not None

    def _work(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(self._abandoned)
                if self._closing:
                    return
                text, self._asked = self._asked, None
            verdict = check_sequence(text or "", self._session, self._abandoned)
            if verdict is not None and not self._abandoned():
                self.checked.emit(verdict)
