"""`rig engine`, which owns a bench and waits for commands, and those that talk to one: attach, status, stop, pause, resume."""

import argparse
import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from drivers.clock import Deadline, MonotonicClock
from drivers.errors import RecordError, RigError
from rig.commands import Command, Stoppable, alarms, told_to_stop
from rig.control import Command as Order
from rig.control import Ended, EngineStatus, Pause, Refused, Resume, Status, Stop
from rig.control_client import EngineGone, EngineLine
from rig.engine import Engine
from rig.engine_file import EngineFile, find_engine, living_engines
from rig.engine_host import hosted
from rig.report.summary import duration_text, hardware_text, wrapped
from rig.run_state import DONE, UNKNOWN
from rig.run_view import RunView, error_code, safe_report
from rig.session import Session

LOOK_S = 0.5
STATUS_S = 2.0
STOPPED_WITHIN_S = 30.0  # going safe takes 9 s at most, what the spectrometer holds is fetched after that
_PLAIN: dict[str, Any] = {"title_justify": "left", "box": None, "pad_edge": False, "padding": (0, 2, 0, 0)}


def engine(options: argparse.Namespace, words: Console) -> int:
    """Be the engine of a bench: wait for commands, run what is started; end when nobody is there any more."""
    session = Session(options.bench, simulate=options.simulate, seed=options.seed, out=options.out)
    one = Engine(session)
    with told_to_stop(_Ending(one)), hosted(one) as channel:
        if channel.server is None:
            raise RecordError(channel.trouble, where="engine", next_step="see that ITO_RIG_STATE names a folder of your own")
        words.print(f"engine of {one.status().bench}, port {channel.server.port} of this computer", markup=False)
        if options.json:
            sys.stdout.write(json.dumps(one.welcome("").model_dump(mode="json")) + "\n")
            sys.stdout.flush()
        one.serve(lambda: channel.listeners > 0, options.linger)
        words.print(f"The engine ends: {one.why_it_ended}.", markup=False)
    return DONE


class _Ending(Stoppable):
    """An engine that a signal ends."""

    def __init__(self, one: Engine) -> None:
        self._engine = one

    @property
    def requested(self) -> bool:
        return bool(self._engine.why_it_ended)

    @property
    def why(self) -> str:
        return self._engine.why_it_ended

    def request(self, why: str) -> None:
        self._engine.end(why)


def attach(options: argparse.Namespace, words: Console) -> int:
    """Follow what an engine does until its run has ended; Ctrl-C leaves the run as it is."""
    found = find_engine(options.bench, options.pid)
    view = RunView(words, alarms(), quiet=options.quiet, draws=False)
    with EngineLine.connect(found, "rig attach") as line:
        words.print(f"following {found}; Ctrl-C leaves it as it is, rig stop ends the run", markup=False)
        try:
            while view.ended is None and view.refused is None:
                for event in line.events(LOOK_S):
                    view(event)
                    if isinstance(event, EngineStatus) and event.state == "idle":
                        words.print("It has nothing to do at the moment; what is started will be shown.")
                    if isinstance(event, Ended | Refused):
                        break
        except KeyboardInterrupt:
            words.print("Not following any more; the run goes on.")
            return DONE
        finally:
            view.close()
    if view.ended is not None:
        return view.ended.exit_code
    return DONE if view.refused is None else error_code(view.refused, switches_on=True)


def status(options: argparse.Namespace, words: Console) -> int:
    """Say which engines there are and what they do."""
    rows: list[tuple[EngineFile, EngineStatus | None, str]] = []
    for found in living_engines():
        try:
            with EngineLine.connect(found, "rig status") as line:
                rows.append((found, _status_of(line), ""))
        except RigError as error:
            rows.append((found, None, error.what))
    if options.json:
        told = [
            {
                "pid": found.pid,
                "bench": found.bench,
                "simulated": found.simulated,
                "since": found.started_label,
                "status": None if said is None else said.model_dump(mode="json"),
                "error": trouble,
            }
            for found, said, trouble in rows
        ]
        sys.stdout.write(json.dumps({"engines": told}, allow_nan=False) + "\n")
    if not rows:
        words.print("No engine is running on this computer (of yours).")
        return DONE
    table = Table(title="Engines", **_PLAIN)
    for name in ("pid", "bench", "state", "run", "shots", "left"):
        table.add_column(name, overflow="fold")
    for found, said, trouble in rows:
        table.add_row(*_row(found, said, trouble))
    words.print(table)
    return DONE


def _row(found: EngineFile, said: EngineStatus | None, trouble: str) -> tuple[str, ...]:
    bench = f"{'SIMULATED ' if found.simulated else ''}{found.bench or 'default'}"
    if said is None:
        return str(found.pid), bench, trouble, "", "", ""
    left = "" if said.left_s is None else duration_text(said.left_s)
    shots = f"{said.shots_done}/{said.shots_planned}" if said.shots_planned else ""
    state = f"latched: {said.latched}" if said.latched else f"{said.state}{', pauses after this block' if said.pausing else ''}"
    return str(found.pid), bench, state, said.title or said.file, shots, left


def _status_of(line: EngineLine) -> EngineStatus | None:
    line.order(Status(), STATUS_S)
    for event in line.events(STATUS_S):
        if isinstance(event, EngineStatus):
            return event
    return None


def stop(options: argparse.Namespace, words: Console) -> int:
    """Stop the run of an engine and say what is confirmed to be off; exit code 5 when that is not all."""
    found = find_engine(options.bench, options.pid)
    with EngineLine.connect(found, "rig stop") as line:
        before = _status_of(line)
        if before is None or before.state in ("idle", "latched"):
            words.print(f"{found} runs nothing.", markup=False)
            return DONE
        line.order(Stop(why=options.why or "rig stop"))
        words.print("Stopping safely; what was measured is kept.")
        return _ended(line, words)


def _ended(line: EngineLine, words: Console) -> int:
    """Wait until the run has ended, and say how."""
    clock = MonotonicClock()
    end = Deadline(clock, STOPPED_WITHIN_S)
    try:
        while not end.over:
            for event in line.events(LOOK_S):
                if isinstance(event, Ended):
                    safe = safe_report(event)
                    words.print(wrapped(f"hardware: {hardware_text(safe)}"), markup=False)
                    words.print(f"file: {event.file}", markup=False)
                    return DONE if safe.safe else UNKNOWN
                if isinstance(event, Refused):
                    words.print(str(event.error), markup=False)
                    return UNKNOWN if error_code(event.error, switches_on=True) == UNKNOWN else DONE
    except EngineGone:
        alarms().print("The engine has ended before it said what is off: look at the bench, and use: rig off", markup=False)
        return UNKNOWN
    alarms().print(f"It has not ended within {STOPPED_WITHIN_S:g} s: look at the bench, and use: rig off", markup=False)
    return UNKNOWN


def pause(options: argparse.Namespace, words: Console) -> int:
    """Pause a run after the block that is under way: everything off, the run goes on when it is told to."""
    return _order(options, Pause(), words, "It pauses after this block, with everything off; go on with: rig resume")


def resume(options: argparse.Namespace, words: Console) -> int:
    """Go on after a pause."""
    return _order(options, Resume(), words, "It goes on.")


def _order(options: argparse.Namespace, order: Order, words: Console, done: str) -> int:
    found = find_engine(options.bench, options.pid)
    with EngineLine.connect(found, f"rig {options.command}") as line:
        line.order(order)
    words.print(done)
    return DONE


COMMANDS: dict[str, Command] = {
    "engine": engine,
    "attach": attach,
    "status": status,
    "stop": stop,
    "pause": pause,
    "resume": resume,
}
