"""The guard: a process of its own that switches everything off when the run's process dies or falls silent.

`python -m rig.guard`, started by rig.lifeline. It is told everything on its standard input, in lines of JSON:

    {"library": ..., "hazards": [...]}  what to switch off; answered by {"ready": [...]} when it can be
    {"silence_s": 2.0}                  from now on a silence of this length means off
    {"allow_s": 30.0}                   until this is said again with null, a silence may be as long as this
    {"ends": "..."}                     why the end is coming without "bye"
    {"record": "/.../run.guard.json"}   where to write what was done
    17                                  a sign of life; answered by the same number
    "bye"                               everything is off, end

The end of the input without "bye" means off at once. It ignores Ctrl-C, hang-up and termination: the run's process is told by
the same signals, and the guard ends after it.
"""

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from drivers.clock import Clock, Deadline, MonotonicClock

SLICE_S = 0.05
SLICE_COUNTS_AT_MOST_S = 0.1  # a guard that was frozen itself must not take that for a silence of the run
SILENT_GIVE_UP_S = 3.0  # a port that the silent run holds is not waited for longer
DEAD_GIVE_UP_S = 10.0
ASK_S = 5.0
FIRST_LOOK_S = 0.5
BYE = "bye"
IGNORED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class _End:
    """The pipe has ended."""


class Words:
    """Lines of JSON from a pipe, read in a thread: Windows cannot wait for a pipe with a timeout. A line cut off is dropped."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="words of the run", daemon=True).start()

    def next(self, timeout_s: float) -> Any:
        """Return the next word, `_End` at the end; raises queue.Empty when none comes in time."""
        return self._said.get(timeout=timeout_s)

    def _listen(self) -> None:
        rest = b""
        while True:
            try:
                piece = os.read(self._pipe, 65536)
            except OSError:
                piece = b""
            if not piece:
                self._said.put(_End)
                return
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                with suppress(ValueError):
                    self._said.put(json.loads(line))


class Guard:
    """Listens to one run.

    Parameters
    ----------
    say   tells the run
    tell  tells the user
    """

    def __init__(self, words: Words, clock: Clock, say: Callable[[Any], None], tell: Callable[[str], None]) -> None:
        self._words = words
        self._clock = clock
        self._say = say
        self._tell = tell
        self._switches: list[Any] = []
        self._silence_s: float | None = None
        self._allowed_s: float | None = None
        self._ends = "the run's process has ended without a word"
        self._record: Path | None = None
        self._done: list[dict[str, Any]] = []
        self._pen = threading.Lock()

    def run(self) -> None:
        """Listen until the run says goodbye or is gone."""
        silent_s, acted = 0.0, False
        while True:
            since_ns = self._clock.now_ns()
            try:
                word = self._words.next(SLICE_S)
            except queue.Empty:
                silent_s += min((self._clock.now_ns() - since_ns) * 1e-9, SLICE_COUNTS_AT_MOST_S)
                limit_s = self._allowed_s or self._silence_s
                if limit_s is not None and silent_s >= limit_s and not acted:
                    acted = True
                    reason = f"the run gave no sign of life for {silent_s:.1f} s"
                    self._say({"acted": reason})
                    self._off(reason, SILENT_GIVE_UP_S, ask=False)  # and go on listening: the run may wake up, or die
                continue
            silent_s, acted = 0.0, False
            if word is _End:
                reporter = self._off(self._ends, DEAD_GIVE_UP_S, ask=True)
                if reporter is not None:
                    reporter.join()
                return
            if word == BYE:
                return
            self._heed(word)

    def _heed(self, word: Any) -> None:
        if isinstance(word, int):
            self._say(word)
        elif isinstance(word, dict):
            if "hazards" in word:
                self._say({"ready": self._learn(word)})
            self._silence_s = word.get("silence_s", self._silence_s)
            self._allowed_s = word.get("allow_s", self._allowed_s)
            self._ends = word.get("ends", self._ends)
            if "record" in word:
                self._record = Path(word["record"])

    def _learn(self, plan: dict[str, Any]) -> list[str]:
        """Load what switching off takes, try what can be tried; return how each instrument can be reached."""
        from pyvisa import ResourceManager

        from rig.off_switch import Hazard, OffSwitch, load_drivers

        hazards = [Hazard.from_json(said) for said in plan["hazards"]]
        manager = ResourceManager(plan["library"])
        if not all(hazard.off for hazard in hazards):
            load_drivers()
        self._switches = [OffSwitch(hazard, manager, self._clock) for hazard in hazards]
        said: dict[str, str] = {}

        def ask(switch: OffSwitch) -> None:
            said[switch.hazard.role] = switch.try_connection()

        threads = [threading.Thread(target=ask, args=(switch,), daemon=True) for switch in self._switches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [f"{hazard.role.replace('_', ' ')} ({hazard.resource}): {said.get(hazard.role, '?')}" for hazard in hazards]

    def _off(self, reason: str, give_up_s: float, *, ask: bool) -> threading.Thread | None:
        """Switch everything off at once, each in a thread; the one that is returned writes down and says what comes of it."""
        if not self._switches:  # nothing was opened yet
            return None
        begun = [switch.begin(give_up_s, ask=ask) for switch in self._switches]
        entry: dict[str, Any] = {"reason": reason}
        self._done.append(entry)

        def report() -> None:
            # first what is known soon: what cannot be reached is tried for long
            for patience_s in (FIRST_LOOK_S, give_up_s + ASK_S):
                looked_by = Deadline(self._clock, patience_s)
                for _, thread in begun:
                    thread.join(looked_by.left_s)
                self._write(entry, [deed for deed, _ in begun])
            self._tell(f"GUARD: {reason}. " + "; ".join(str(deed) for deed, _ in begun))

        reporter = threading.Thread(target=report, name="report", daemon=True)
        reporter.start()
        return reporter

    def _write(self, entry: dict[str, Any], deeds: list[Any]) -> None:
        """Write what was done beside the run; a full disk keeps nothing from being switched off."""
        with self._pen:
            self._note(entry, deeds)

    def _note(self, entry: dict[str, Any], deeds: list[Any]) -> None:
        entry["deeds"] = [
            {
                "role": deed.role,
                "resource": deed.resource,
                "off_sent_ms": None if deed.sent_ms is None else round(deed.sent_ms, 1),
                "confirmed_off": deed.safe,
                "detail": deed.detail,
            }
            for deed in deeds
        ]
        entry["text"] = "; ".join(str(deed) for deed in deeds)
        if self._record is None:
            return
        with suppress(OSError):
            draft = self._record.with_name(self._record.name + ".part")
            draft.write_text(json.dumps({"guard": self._done}, indent=1) + "\n", encoding="utf-8")
            draft.replace(self._record)


def main() -> int:
    """Guard the run at the other end of standard input and output."""
    for name in IGNORED:
        if (number := getattr(signal, name, None)) is not None:
            signal.signal(number, signal.SIG_IGN)

    def say(word: Any) -> None:
        with suppress(OSError):  # the run is gone, which the end of its words will tell
            os.write(1, json.dumps(word).encode() + b"\n")

    def tell(text: str) -> None:
        with suppress(OSError):  # the terminal may be gone, too
            os.write(2, f"\n{text}\n".encode())

    try:
        Guard(Words(0), MonotonicClock(), say, tell).run()
    except BaseException as error:  # the run takes the end of this process as a reason to stop
        tell(f"GUARD: it fails, the run will be stopped: {type(error).__name__}: {error}")
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
