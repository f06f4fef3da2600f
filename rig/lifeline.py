"""The run's end of the guard: starts it, gives it signs of life, notices its death, says goodbye.

Signs of life come from the clock that everything in the run waits with, in the run's own thread: one that hangs in a transfer
or in a computation gives none, and a helper thread that lives on proves nothing.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Container, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from drivers.clock import Clock, Deadline, slept_ns
from drivers.errors import InstrumentError, RigError
from drivers.registry import HAZARDS, Role, find
from rig.bench import Bench
from rig.off_switch import Hazard

BEAT_S = 0.05
GUARD_SUFFIX = ".guard.json"  # beside the run file, when the guard had something to do
DEAF_S = 1.0  # a beat is answered within milliseconds, unless the computer is very busy
LISTEN_S = 0.05
START_S = 20.0  # interpreter, PyVISA, drivers and tries of a slow network on a slow disk
BYE_S = 5.0
ACTS_AT_MOST_S = 20.0
SLEPT_S = 0.1  # far above the jitter between two clocks


class Unguarded:
    """In the place of a lifeline where the bench is software in the run's own process, whose world ends with it."""

    reach: tuple[str, ...] = ("none: this bench is software in the run's own process, and ends with it",)

    def guard(self, bench: Bench, roles: Iterable[str]) -> tuple[str, ...]:
        """Say that there is none."""
        return self.reach

    def beating(self, clock: Clock) -> Clock:
        """Return the clock as it is."""
        return clock

    def watch(self, record: Path | None) -> None:
        """Do nothing."""

    def long_step(self, duration_s: float) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    def check(self) -> None:
        """Do nothing."""

    def reason(self, error: BaseException) -> BaseException:
        """Return the error."""
        return error

    def release(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Lifeline:
    """One guard process for one run.

    Parameters
    ----------
    clock      the computer's own; a guard knows no other
    silence_s  how long the run may give no sign of life (s)

    Raises
    ------
    InstrumentError  the process cannot be started
    """

    def __init__(self, clock: Clock, silence_s: float) -> None:
        self.silence_s = silence_s
        self.reach: tuple[str, ...] = ()  # how the guard can reach each instrument, once it guards
        self._clock = clock
        self._owner = threading.get_ident()
        self._ready: queue.SimpleQueue[list[str] | None] = queue.SimpleQueue()
        self._acted = ""
        self._released = self._ended = False
        self._beats = self._answered = 0
        self._beat_ns: int | None = None
        self._unanswered_ns: int | None = None  # when the oldest beat without an answer was given
        self._patience_s: float | None = None  # how long no sign of life is no fault; None: for ever
        self._stood_still_s = 0.0  # longer than that
        self._slept_ns = slept_ns()
        self._process = self._start()
        self._ear = threading.Thread(target=self._listen, name="words of the guard", daemon=True)
        self._ear.start()

    @property
    def pid(self) -> int:
        """Get the guard's process id."""
        return self._process.pid

    # --- before the run

    def guard(self, bench: Bench, roles: Iterable[str]) -> tuple[str, ...]:
        """Tell the guard which roles to switch off; return how it can reach each instrument, once it is ready.

        From now on the end of this process means off. The instruments are open by now, so that a second connection is tried.

        Raises
        ------
        InstrumentError  it does not get ready
        """
        self._say({"library": bench.visa_library, "hazards": [hazard.as_json() for hazard in _hazards(bench, set(roles))]})
        try:
            reach = self._ready.get(timeout=START_S)
        except queue.Empty:
            reach = None
        if reach is None:
            raise _cannot_guard(f"The guard process did not get ready within {START_S:g} s.")
        who = f"process {self._process.pid}; off when the run's process ends, or hangs for {self.silence_s:g} s"
        self.reach = (who, *reach)
        return self.reach

    def beating(self, clock: Clock) -> Clock:
        """Return a clock whose every look and wait is a sign of life."""
        return BeatingClock(clock, self)

    def watch(self, record: Path | None) -> None:
        """From now on silence means off; what the guard does is written to `record`."""
        self.beat()
        self._patience_s, self._slept_ns = self.silence_s, slept_ns()
        self._say({"silence_s": self.silence_s} | ({} if record is None else {"record": str(record.resolve())}))

    # --- during the run

    def beat(self) -> None:
        """Give a sign of life, now and then; only from the thread of the run."""
        if self._ended or threading.get_ident() != self._owner:
            return
        now_ns = self._clock.now_ns()
        if self._beat_ns is not None and now_ns - self._beat_ns < BEAT_S * 1e9:
            return
        if self._patience_s is not None and self._beat_ns is not None and now_ns - self._beat_ns > self._patience_s * 1e9:
            self._stood_still_s = (now_ns - self._beat_ns) * 1e-9
        if self._beats - self._answered > self.silence_s / BEAT_S + 100:
            return  # a guard that does not read must not let the pipe fill up
        self._beat_ns = now_ns
        self._beats += 1
        if self._unanswered_ns is None:
            self._unanswered_ns = now_ns
        self._say(self._beats)

    @contextmanager
    def long_step(self, duration_s: float) -> Generator[None]:
        """Announce a step in which no sign of life may come for so long (s)."""
        before_s, allowed_s = self._patience_s, max(duration_s, self.silence_s)
        self._patience_s = None if before_s is None else allowed_s
        self._say({"allow_s": allowed_s})
        try:
            yield
        finally:
            self.beat()
            self._patience_s = before_s
            self._say({"allow_s": None})

    def check(self) -> None:
        """See that the guard lives, hears and has had nothing to do, and that this computer was awake.

        Raises
        ------
        RigError  it is dead or deaf, or has switched everything off; or both of us stood still, and nobody watched the bench
        """
        late = self._beat_ns is not None and self._clock.now_ns() - self._beat_ns > self.silence_s * 0.5e9
        self.beat()
        deaf_ns = self._deaf_ns()
        if late or deaf_ns or self._stood_still_s:  # this process may have stood still: hear first what was said meanwhile
            self._clock.sleep(LISTEN_S)
            deaf_ns = self._deaf_ns()
        if self._acted:
            raise RigError(
                f"The guard has switched everything off: {self._acted}.",
                where="guard process",
                hardware_state="off was sent by the guard; going safe",
                next_step="find out what held this computer up (sleep, a full disk, another program), then run again",
            )
        if not self._ear.is_alive():  # its pipe has ended
            raise _guard_lost("The guard process has died.")
        if deaf_ns:
            raise _guard_lost(f"The guard process has not answered for {deaf_ns * 1e-9:.1f} s.")
        slept_s = (slept_ns() - self._slept_ns) * 1e-9
        if self._patience_s is not None and (slept_s > SLEPT_S or self._stood_still_s):
            raise _stood_still(max(slept_s, self._stood_still_s))

    def _deaf_ns(self) -> int:
        """For how long the guard has owed an answer (ns), 0 while that is normal."""
        since_ns = self._unanswered_ns
        waited_ns = 0 if since_ns is None else self._clock.now_ns() - since_ns
        return waited_ns if waited_ns > max(DEAF_S, self.silence_s) * 1e9 else 0

    def reason(self, error: BaseException) -> BaseException:
        """Return why a run really failed: what the guard did makes instruments answer in all sorts of ways."""
        if not self._acted or not isinstance(error, Exception):
            return error
        try:
            self.check()
        except RigError as acted:
            if acted is not error:
                acted.__cause__ = error
            return acted
        return error

    # --- after the run

    def release(self) -> None:
        """Say goodbye: everything is off and confirmed, there is nothing to guard any more."""
        self._released = True
        self._say("bye")

    def close(self) -> None:
        """End the guard and wait for it; without `release` it switches everything off first. Harmless when done already."""
        if self._ended:
            return
        self._ended = True
        if not self._released:
            self._say({"ends": "the run has ended, but it did not confirm that everything is off"})
        with suppress(OSError):
            _pipe(self._process.stdin).close()
        try:
            self._process.wait(BYE_S if self._released else ACTS_AT_MOST_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # it has nothing to do any more, or cannot do it
            self._process.wait()
        self._ear.join(1.0)
        _pipe(self._process.stdout).close()

    # --- words

    def _start(self) -> "subprocess.Popen[bytes]":
        root = Path(__file__).resolve().parent.parent
        # a checkout that is not installed has to be found, too; installed packages must not go before the standard library
        more = [] if root.name in ("site-packages", "dist-packages") else [str(root)]
        path = os.pathsep.join([*more, *filter(None, [os.environ.get("PYTHONPATH")])])
        windows = sys.platform == "win32"
        try:
            # a session and a group of its own: Ctrl-C and the end of the terminal are for the run
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "rig.guard"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                env={**os.environ, **({"PYTHONPATH": path} if path else {})},
                start_new_session=not windows,
                creationflags=int(getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)),
            )
        except OSError as error:
            raise _cannot_guard(f"The guard process cannot be started: {error}.") from error

    def _say(self, word: Any) -> None:
        with suppress(OSError, ValueError):  # a guard that is dead is told by check()
            _pipe(self._process.stdin).write(json.dumps(word).encode() + b"\n")

    def _listen(self) -> None:
        rest = b""
        while True:
            try:
                piece = _pipe(self._process.stdout).read(65536)
            except (OSError, ValueError):
                piece = b""
            if not piece:
                break
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._hear(line)
        self._ready.put(None)

    def _hear(self, line: bytes) -> None:
        try:
            word = json.loads(line)
        except ValueError:
            return
        if isinstance(word, int):
            self._answered = max(self._answered, word)
            self._unanswered_ns = None if word >= self._beats else self._beat_ns
        elif isinstance(word, dict):
            if "ready" in word:
                self._ready.put(word["ready"])
            if "acted" in word:
                self._acted = str(word["acted"])


class BeatingClock:
    """A clock whose every look and wait is a sign of life.

    Links take their deadlines from it and drivers wait with it, so each conversation, poll and pause of the run passes here.
    """

    def __init__(self, clock: Clock, lifeline: Lifeline) -> None:
        self._clock = clock
        self._lifeline = lifeline

    def now_ns(self) -> int:
        """Time since an arbitrary start (ns), never going back."""
        self._lifeline.beat()
        return self._clock.now_ns()

    def sleep(self, duration_s: float) -> None:
        """Wait `duration_s` (s), giving signs of life meanwhile."""
        end = Deadline(self._clock, duration_s)
        while (left_s := end.left_s) > 0:
            self._lifeline.beat()
            self._clock.sleep(min(left_s, 2 * BEAT_S))
        self._lifeline.beat()


Guarded = Lifeline | Unguarded


def guard_words(run: Path) -> list[str]:
    """Return what the guard of a run had to do, from the record beside the run file; empty when it had nothing to do."""
    try:
        deeds = json.loads(run.with_suffix(GUARD_SUFFIX).read_text("utf-8"))["guard"]
        return [f"guard: {deed['reason']}. {deed['text']}" for deed in deeds]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError) as error:
        return [f"guard: its record beside the run cannot be read: {error!r}"]


def _hazards(bench: Bench, roles: Container[str]) -> list[Hazard]:
    found: list[Hazard] = []
    there: list[Role] = [role for role in HAZARDS if role in roles]
    for role in there:
        section = getattr(bench, role)
        entry = find(section.model, role)
        line = entry.line_settings(section.resource)
        found.append(Hazard(role, section.model, section.resource, entry.kind.off_message, line))
    return sorted(found, key=lambda hazard: not hazard.off)  # what has to be asked first may be mute: last


def _pipe(pipe: Any) -> Any:
    return pipe


def _guard_lost(what: str) -> RigError:
    return RigError(
        what,
        where="guard process",
        hardware_state="going safe",
        next_step="see what killed it (memory, somebody's kill), then run again: nothing is run without it",
    )


def _stood_still(duration_s: float) -> RigError:
    return RigError(
        f"This computer stood still for {duration_s:.1f} s, the guard too: nobody watched the bench.",
        where="this computer",
        hardware_state="going safe; what was on stayed on meanwhile",
        next_step="see that it does not go to sleep while a run is under way (power settings, lid), then run again",
    )


def _cannot_guard(what: str) -> InstrumentError:
    return InstrumentError(
        what,
        where="guard process",
        hardware_state="instruments were only asked who they are; nothing was set or switched",
        next_step="see what it said above; nothing is run without it",
    )
