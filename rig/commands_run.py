"""The command `rig run`: an engine in this process, a terminal that listens to it, and the control channel for others."""

import argparse
import json
import sys
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.table import Table

from drivers.errors import RigError
from rig.commands import SIGNALS, Command, alarms, all_planned, tell, told_to_stop
from rig.compiler import Plan
from rig.control import Ended
from rig.engine import Engine
from rig.engine_host import hosted
from rig.measurements.catalogue import without_record
from rig.run_state import CTRL_C, DONE, STOPPED
from rig.run_view import RunView
from rig.sequence import Sequence


def run(options: argparse.Namespace, words: Console) -> int:
    """Run sequences in order, after all of them have been found possible; stop at the first fault."""
    asked = Asked()
    with told_to_stop(asked):
        session, planned = all_planned(options, options.sequences)
        session.reserve(what for _, what in planned)
        engine = Engine(session, serves=False)
        asked.hand_over(engine)
        with hosted(engine) as channel:
            if channel.trouble and not options.quiet:
                words.print(channel.trouble, markup=False)
            ended, code = run_all(engine, planned, options, words)
        if len(planned) > 1 and not options.quiet:
            words.print(_runs_table([sequence for sequence, _ in planned], ended, code))
        if engine.stopped and code == DONE and len(ended) == len(planned):
            with suppress(OSError):
                late = f"{engine.stopped}: it came when everything was done and off; nothing was cut short."
                alarms().print(late, markup=False)
        if engine.stopped and code in (DONE, STOPPED):
            return CTRL_C if engine.stopped == SIGNALS["SIGINT"] else STOPPED
        return code


class Asked:
    """A stop by signal: kept until there is an engine, then its."""

    def __init__(self) -> None:
        self.why = ""
        self._engine: Engine | None = None

    @property
    def requested(self) -> bool:
        """Get whether a stop was asked for."""
        return bool(self.why)

    def request(self, why: str) -> None:
        """Ask for a stop."""
        self.why = self.why or why
        if self._engine is not None:
            self._engine.end(self.why)

    def hand_over(self, engine: Engine) -> None:
        """From now on ask the engine."""
        self._engine = engine
        if self.why:
            engine.end(self.why)


def run_all(
    engine: Engine, planned: list[tuple[Sequence, Plan]], options: argparse.Namespace, words: Console
) -> tuple[list[tuple[Ended, bool | None]], int]:
    """Run one after the other; return how each ended, whether it switched, and the exit code of the last."""
    ended: list[tuple[Ended, bool | None]] = []
    view = RunView(words, alarms(), quiet=options.quiet)
    engine.listen(view)
    for sequence, what in planned:
        if engine.stopped:
            break
        view.ended = None
        try:
            engine.run(sequence, what)
        except RigError as error:
            view.close()
            return ended, tell(error, options)
        finally:
            view.close()
        if view.ended is None:
            raise RuntimeError("a run ended that nobody was told of")
        unread = without_record(sequence.measurement, view.note)
        results = unread if view.record is None else view.record.as_json()
        ended.append((view.ended, results.get("switched")))
        if options.json:
            said: dict[str, Any] = {} if view.ended.error is None else {"error": view.ended.error.model_dump(mode="json")}
            with suppress(OSError):  # a terminal that is gone changes nothing about the run
                sys.stdout.write(json.dumps({**view.ended.outcome, "results": results, **said}, allow_nan=False) + "\n")
                sys.stdout.flush()
        if view.ended.exit_code != DONE:
            return ended, view.ended.exit_code
    return ended, DONE


def _runs_table(sequences: list[Sequence], ended: list[tuple[Ended, bool | None]], code: int) -> Table:
    table = Table(title="Runs", title_justify="left", box=None, pad_edge=False)
    for name in ("sequence", "state", "assigned", "switched", "file"):
        table.add_column(name, overflow="fold")
    for index, sequence in enumerate(sequences):
        name = str(sequence.path.name if sequence.path else sequence.title)
        if index >= len(ended):
            failed = index == len(ended) and code not in (DONE, STOPPED, CTRL_C) and all(e.error is None for e, _ in ended)
            table.add_row(name, "could not start" if failed else "not run", "", "", "")
            continue
        event, switched = ended[index]
        frames = event.outcome["frames"]
        said = "" if switched is None else "yes" if switched else "no"
        table.add_row(
            name,
            event.state,
            f"{frames['assigned']}/{frames['planned']}",
            said,
            event.file.replace("\\", "/").rpartition("/")[2],
        )
    return table


COMMANDS: dict[str, Command] = {"run": run}
