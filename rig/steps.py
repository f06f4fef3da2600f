"""How the same steps are done on several instruments: one instrument after the other, or all of them at once.

What the steps are is not known here. A step says itself how it went; what this module promises is that none of them keeps the
others waiting longer than it may take.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drivers.clock import Clock, Deadline, MonotonicClock

INTERRUPTS_AT_MOST = 10
LOOK_S = 0.1  # the thread that waits looks at its clock so often: somebody may take that for a sign of life


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to be done to each instrument.

    Parameters
    ----------
    act         does it to the instrument of a role; raises no Exception
    patience_s  how long it may take (s), where time can be cut off
    """

    act: Callable[[str], None]
    patience_s: float


# does all steps on all roles; returns what tried to interrupt it (Ctrl-C), None when nothing did
Walk = Callable[[Sequence[str], Sequence[Step]], BaseException | None]


def one_by_one(roles: Sequence[str], steps: Sequence[Step]) -> BaseException | None:
    """Do a step on every role, then the next; an interrupt makes it begin anew. Raises only what comes after ten of them.

    For a bench on a stepped clock, which knows one thread only; no step can be cut off, the drivers' own deadlines hold.
    """
    interrupt: BaseException | None = None
    for _ in range(INTERRUPTS_AT_MOST):
        try:
            _pass(roles, steps)
        except BaseException as error:  # noqa: BLE001 - Ctrl-C between two steps must not keep anything on
            interrupt = interrupt or error
        else:
            return interrupt
    _pass(roles, steps)
    return interrupt


def side_by_side(roles: Sequence[str], steps: Sequence[Step], clock: Clock | None = None) -> BaseException | None:
    """Do all steps on each role in a thread of its own; return when each has ended or has taken longer than it may.

    A thread that hangs is left behind: it ends with the step it is in, and nobody waits for it. An interrupt reaches the
    waiting thread only, which waits on. Raises only what comes after ten of them. `clock` is one on real time, the computer's
    own unless given.
    """
    lanes = [_Lane(role, steps, clock or MonotonicClock()) for role in roles]
    interrupt: BaseException | None = None
    for _ in range(INTERRUPTS_AT_MOST):
        try:
            _drive(lanes)
            break
        except BaseException as error:  # noqa: BLE001 - Ctrl-C while waiting must not keep anything on
            interrupt = interrupt or error
    else:
        _drive(lanes)
    return interrupt or next((lane.interrupt for lane in lanes if lane.interrupt is not None), None)


def _pass(roles: Sequence[str], steps: Sequence[Step]) -> None:
    for step in steps:
        for role in roles:
            step.act(role)


def _drive(lanes: Sequence["_Lane"]) -> None:
    for lane in lanes:
        lane.begin()
    for lane in lanes:
        lane.wait()


class _Lane:
    """All steps of one instrument, in a thread; begun twice it runs once."""

    def __init__(self, role: str, steps: Sequence[Step], clock: Clock) -> None:
        self.interrupt: BaseException | None = None
        self._role = role
        self._steps = steps
        self._clock = clock
        self._deadline = Deadline(clock, steps[0].patience_s)
        self._claimed = threading.Lock()
        self._moved = threading.Event()  # a step has begun, or all have ended
        self._ended = False
        self._given_up = False

    def begin(self) -> None:
        """Start, unless it has started: an interrupt may come between a thread's start and the news of it."""
        if self._claimed.locked():
            return
        try:
            threading.Thread(target=self._run, name=f"steps of {self._role}", daemon=True).start()
        except RuntimeError:  # no thread to be had, or the interpreter is going down: late is better than not at all
            self._run()

    def wait(self) -> None:
        """Return when all steps are done, or one takes too long; then no further step is begun."""
        while True:
            self._moved.clear()
            if self._ended:
                return
            left_s = self._deadline.left_s  # of the step it is in
            if left_s <= 0:
                self._given_up = True
                return
            self._moved.wait(min(left_s, LOOK_S))

    def _run(self) -> None:
        if not self._claimed.acquire(blocking=False):
            return
        for step in self._steps:
            if self._given_up:
                return
            self._deadline = Deadline(self._clock, step.patience_s)
            self._moved.set()
            try:
                step.act(self._role)
            except BaseException as error:  # noqa: BLE001 - the next step must be tried all the same
                self.interrupt = self.interrupt or error
        self._ended = True
        self._moved.set()
