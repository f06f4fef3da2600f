"""What a person at a terminal sees of a run: fed by the engine's events, and at the end by the run file.

The same for the run of this process (`rig run`) and for one of another (`rig attach`).
"""

from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from drivers.errors import Reason, RecordError, RefusedError, RigError, UnsafeStateError, WrongIdentity
from rig.control import Begun, Ended, EngineStatus, ErrorWords, Event, Note, Refused, RunProgress
from rig.measurements.catalogue import Record, record_of
from rig.measurements.switching_record import SwitchingRecord
from rig.report.summary import error_text, frames_table, hardware_text, outcome_text, results_table, wrapped
from rig.run_state import FAULT, REFUSED, UNKNOWN, FinishReason
from rig.safety import Confirmation, SafeReport


class RunView:
    """Prints what happens.

    Parameters
    ----------
    words   where to; alarms go to `alarms`
    quiet   faults only
    draws   write the figure beside the run file when a run is done
    """

    def __init__(self, words: Console, alarms: Console, *, quiet: bool = False, draws: bool = True) -> None:
        self.ended: Ended | None = None
        self.refused: ErrorWords | None = None
        self.record: Record | None = None  # of the run that has ended, when its file can be reduced
        self.note = ""  # why it cannot
        self._words = words
        self._alarms = alarms
        self._quiet = quiet
        self._draws = draws
        self._mode = ""
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __call__(self, event: Event) -> None:
        """Show one event. A terminal that is gone changes nothing about the run, and is tried no more."""
        try:
            self._show(event)
        except OSError:
            self._quiet = True
            with suppress(OSError):
                self.close()

    def close(self) -> None:
        """Let go of the terminal."""
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.stop()

    def _show(self, event: Event) -> None:
        match event:
            case EngineStatus() if event.shots_planned:
                self._mode = event.mode
                if event.state not in ("idle", "latched"):
                    self._begin(event.title or event.measurement, event.simulated, event.shots_planned)
                    self._advance(event.shots_done)
            case Begun():
                self._mode = event.mode
                self._begin(event.title or event.measurement, event.simulated, event.shots_planned)
            case RunProgress():
                self._advance(event.shots_done)
            case Note() if not self._quiet:
                console = self._words if self._bar is None else self._bar.console
                console.print(event.text, markup=False)
            case Ended():
                self._end(event)
            case Refused():
                self.close()
                self.refused = event.error
            case _:
                pass

    # --- while it runs

    def _begin(self, title: str, simulated: bool, shots: int) -> None:
        self.close()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("shots"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self._words, disable=self._quiet, transient=False)
        self._task = self._bar.add_task(f"{'SIMULATED ' if simulated else ''}{title}"[:40], total=shots)
        self._bar.start()

    def _advance(self, shots: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=shots)

    # --- when it has ended

    def _end(self, ended: Ended) -> None:
        """Say how a run ended: results when it is done, what happened and what is kept when it is not."""
        self.ended = ended
        frames: dict[str, Any] = ended.outcome.get("frames", {})
        self._advance(frames.get("assigned", 0) + frames.get("unassigned", 0))
        self.close()
        self._read(Path(ended.file))
        safe = safe_report(ended)
        finished = ended.state == FinishReason.DONE.value and ended.error is None
        figure = draw(self.record, Path(_shown(ended.file)).with_suffix(".png")) if finished and self._draws else ""
        if not self._quiet:
            self._tell(ended, frames, figure, finished, safe)
        if not (finished and safe.safe):
            self._alarm(ended, frames, safe)

    def _read(self, path: Path) -> None:
        self.record, self.note = None, ""
        try:
            self.record = record_of(path)
        except (RigError, OSError, ValueError) as error:
            self.note = str(error)

    def _tell(self, ended: Ended, frames: dict[str, Any], figure: str, finished: bool, safe: SafeReport) -> None:
        words = self._words
        if ended.outcome.get("simulated"):
            words.print("[bold]SIMULATED[/bold] run: no real instrument took part")
        words.print(f"mode: {self._mode}", markup=False)
        words.print(frames_table(frames))
        if finished:
            print_results(self.record, words)
            if figure:
                words.print(figure, markup=False)
            words.print(wrapped(f"hardware: {hardware_text(safe)}"), markup=False)
        words.print(f"file: {_shown(ended.file)}", markup=False)

    def _alarm(self, ended: Ended, frames: dict[str, Any], safe: SafeReport) -> None:
        alarms, hardware = self._alarms, hardware_text(safe)
        kept = f"{frames.get('received', 0)} frames are in the file; look at them with: rig show {_shown(ended.file)}"
        if ended.error is not None:
            known = hardware if safe.safe else "not confirmed, see below"
            alarms.print("[bold red]FAULT[/bold red]")
            alarms.print(error_text(as_error(ended.error), known, alarms.width), markup=False)
            alarms.print(f"  kept:     {kept}", markup=False)
        elif ended.state == FinishReason.STOPPED.value:
            done = frames.get("assigned", 0) + frames.get("unassigned", 0)
            alarms.print(f"[bold]Stopped[/bold] ({ended.why}) after {done} of {frames.get('planned', 0)} shots.")
            alarms.print(f"  hardware: {hardware}", markup=False)
            alarms.print(f"  kept:     {kept}", markup=False)
        try:
            safe.raise_if_unsafe()
        except UnsafeStateError as error:
            alarms.print(f"[bold red]{title_of(error)}[/bold red]")
            alarms.print(error_text(error, hardware, alarms.width), markup=False)


def _shown(file: str) -> str:
    """A path as seen from the folder one is in."""
    path, here = Path(file), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def safe_report(ended: Ended) -> SafeReport:
    """What the instruments said of being off."""
    return SafeReport({one.role: (Confirmation[one.confirmation], one.detail) for one in ended.hardware})


def as_error(words: ErrorWords) -> RigError:
    """Make an error again of the words that travelled."""
    reasons = tuple(Reason(one.code, one.where, one.message) for one in words.reasons)
    if reasons:
        return RefusedError(words.what, reasons, where=words.where, next_step=words.next_step)
    kind = UnsafeStateError if words.kind == UnsafeStateError.__name__ else RigError
    return kind(words.what, where=words.where, hardware_state=words.hardware_state, next_step=words.next_step)


def title_of(error: BaseException) -> str:
    """The heading of an error on the terminal."""
    if isinstance(error, UnsafeStateError):
        return "THE STATE OF THE HARDWARE IS NOT CONFIRMED"
    if isinstance(error, RefusedError | WrongIdentity):
        return "Refused"
    return "Cannot be done" if isinstance(error, RecordError) else "FAULT"


def error_code(words: ErrorWords, *, switches_on: bool) -> int:
    """What a program ends with that met this error before a run began."""
    if words.kind == UnsafeStateError.__name__:
        return UNKNOWN
    return REFUSED if words.reasons or words.kind == WrongIdentity.__name__ or not switches_on else FAULT


@runtime_checkable
class _InLines(Protocol):
    """A record that says its results in sentences of its own."""

    @property
    def lines(self) -> tuple[str, ...]:
        """Get them."""
        ...


def print_results(record: Record | None, words: Console) -> None:
    """Print what the record says: claims and whether the film switched, or thresholds in lines of its own."""
    if record is None:
        return
    if isinstance(record, _InLines):
        for line in record.lines:
            words.print(line, markup=False)
        return
    if record.fluence is not None:
        words.print(record.fluence.text(), markup=False)
    if record.result is None:
        words.print(f"No results: {record.reason}", markup=False)
        return
    if isinstance(record, SwitchingRecord):
        words.print(results_table(record.verdicts))
        words.print(outcome_text(record.result))
        for line in record.notes:
            words.print(line, markup=False)


def draw(record: Record | None, path: Path) -> str:
    """Draw the figure if there is one to draw; return what to say of it."""
    if record is None or record.result is None:
        return ""
    try:
        record.figure().savefig(path, dpi=150)
    except (OSError, ValueError) as error:  # ValueError: nothing to draw, or an ending matplotlib does not know
        return f"The figure could not be written to {path}: {error}"
    return f"figure: {path}"
