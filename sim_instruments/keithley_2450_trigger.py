"""The trigger model of a Keithley 2450: a chain of numbered blocks, executed one after the other.

A wait acts on an event that was seen since the model started or since the wait was last left, unless it clears on entry.
Source: 2461-901-01 rev A, section 3 and TRIGger:BLOCk; how long a block takes is not documented (quirks, assumed).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from sim_instruments.keithley_2450_blocks import (
    INFINITE,
    Block,
    Blocks,
    BranchAlways,
    BranchCount,
    BranchElapsed,
    BranchEvent,
    BranchOnce,
    BufferClear,
    Delay,
    DigitalIo,
    LogEvent,
    Measure,
    Nop,
    Notify,
    Recall,
    SourceState,
    UserDelay,
    Wait,
)

WAITING_NS = 100_000_000  # in the same wait for longer than this: "waiting"


class Worker(Protocol):
    """What the trigger model makes the instrument do, and how long that takes."""

    def duration_ns(self, block: Block, t_ns: int) -> int:
        """How long a block takes when it is entered at `t_ns` (ns); for a measurement one reading."""
        ...

    def latency_ns(self) -> int:
        """From an event to the end of the wait for it (ns)."""
        ...

    def perform(self, block: Block, t_ns: int) -> None:
        """Do what a block is for, at the end of its time."""
        ...

    def limited(self) -> bool:
        """Whether the source is held by its limit."""
        ...

    def consumed(self, event: str) -> None:
        """A block has taken an event."""
        ...

    def ended(self, state: str, t_ns: int) -> None:
        """The model is idle again."""
        ...


@dataclass
class TriggerModel:
    """Blocks and where the execution is; `due_ns` is when something happens by itself, None while it waits or is idle."""

    worker: Worker
    blocks: Blocks = field(default_factory=Blocks)
    running: bool = False
    state: str = "EMPTY"
    current: int = 0
    started_ns: int = 0
    entered_ns: int = 0
    readings_left: int = 0
    seen: dict[int, set[str]] = field(default_factory=dict[int, set[str]])
    counters: dict[int, int] = field(default_factory=dict[int, int])
    passed_once: set[int] = field(default_factory=set[int])
    background: Measure | None = None
    _block_ns: int | None = None
    _background_ns: int | None = None

    @property
    def due_ns(self) -> int | None:
        """Get when something happens next by itself."""
        times = [due_ns for due_ns in (self._block_ns, self._background_ns) if due_ns is not None]
        return min(times) if times else None

    def load(self, blocks: Blocks) -> None:
        """Take over a whole model."""
        self.blocks, self.current = blocks, 0
        self.state = "BUILDING" if blocks else "EMPTY"
        self.counters.clear()

    def set_block(self, number: int, block: Block) -> None:
        """Define one block."""
        self.blocks[number] = block
        self.blocks = dict(sorted(self.blocks.items()))
        self.state = "BUILDING"

    def told(self, t_ns: int) -> str:
        """Reply to TRIG:STAT?: state twice and the block reached last (form for a running model assumed)."""
        waits = isinstance(self.blocks.get(self.current), Wait) and t_ns - self.entered_ns > WAITING_NS
        state = ("WAITING" if waits else "RUNNING") if self.running else self.state
        return f"{state};{state};{self.current}"

    # --- from outside

    def start(self, t_ns: int) -> None:
        """Begin with the first block; nothing seen before counts."""
        self.running, self.started_ns = True, t_ns
        self.seen = {n: set() for n, block in self.blocks.items() if isinstance(block, Wait | BranchEvent)}
        self.counters.clear()
        self.passed_once.clear()
        self._enter(1, t_ns)

    def abort(self, t_ns: int) -> None:
        """Return to idle from anywhere."""
        if self.running:
            self._end("ABORTED", t_ns)

    def fail(self, t_ns: int) -> None:
        """End because a block cannot do what it is for."""
        if self.running:
            self._end("FAILED", t_ns)

    def event(self, name: str, t_ns: int) -> None:
        """A trigger event: every wait and every branch that looks for it remembers it."""
        if not self.running:
            return
        for number, events in self.seen.items():
            block = self.blocks[number]
            looked_for = block.events if isinstance(block, Wait) else (block.event,) if isinstance(block, BranchEvent) else ()
            if name in looked_for:
                events.add(name)
        block = self.blocks.get(self.current)
        if isinstance(block, Wait) and self._block_ns is None and self._satisfied(block):
            self._block_ns = t_ns + self.worker.latency_ns()

    def proceed(self) -> None:
        """Do what is due at `due_ns`."""
        t_ns = self.due_ns
        if t_ns is None:
            return
        measure = self.background
        if measure is None or self._background_ns != t_ns:
            self._finish(self.blocks[self.current], t_ns)
            return
        self._background_ns = t_ns + self.worker.duration_ns(measure, t_ns)
        self.worker.perform(measure, t_ns)

    # --- blocks

    def _enter(self, number: int, t_ns: int) -> None:
        following = next((n for n in self.blocks if n >= number), None) if number else None
        if following is None:
            self._end("IDLE", t_ns)
            return
        self.current, self.entered_ns = following, t_ns
        block = self.blocks[following]
        if isinstance(block, Wait):
            if block.clears:
                self._forget(block)
            self._block_ns = t_ns + self.worker.duration_ns(block, t_ns) if self._satisfied(block) else None
            return
        if isinstance(block, Measure):
            self._stop_background()
            self.readings_left = block.count
            if block.count == INFINITE:
                self.background, self._background_ns = block, t_ns + self.worker.duration_ns(block, t_ns)
            if block.count <= 0:
                block = Nop()
        self._block_ns = t_ns + self.worker.duration_ns(block, t_ns)

    def _finish(self, block: Block, t_ns: int) -> None:
        if isinstance(block, Measure) and self.readings_left > 0:
            self.worker.perform(block, t_ns)
            self.readings_left -= 1
            if self.readings_left and self.running:
                self._block_ns = t_ns + self.worker.duration_ns(block, t_ns)
                return
        elif isinstance(block, BufferClear | Recall | SourceState | DigitalIo | Notify | LogEvent):
            self.worker.perform(block, t_ns)
        elif isinstance(block, Wait):
            self._forget(block)
        if self.running:
            self._enter(self._next(block), t_ns)

    def _next(self, block: Block) -> int:
        onward = self.current + 1
        match block:
            case BranchAlways():
                return block.target
            case BranchCount():
                return block.target if self._counts(block) else onward
            case BranchEvent():
                return block.target if self._has_seen(block) else onward
            case BranchOnce():
                first = self.current not in self.passed_once
                self.passed_once.add(self.current)
                return block.target if first != block.excluded else onward
            case BranchElapsed():
                return block.target if self.entered_ns - self.started_ns < round(block.duration_s * 1e9) else onward
            case Delay() | UserDelay() | Nop() | _:
                return onward

    def _counts(self, block: BranchCount) -> bool:
        """Count; True while there is to go round again."""
        reached = self.counters.get(self.current, 0)
        reached = 1 if reached >= block.count else reached + 1
        self.counters[self.current] = reached
        return reached < block.count

    def _has_seen(self, block: BranchEvent) -> bool:
        """Whether the event was seen; a limit that still holds the source counts too (assumed)."""
        seen = block.event in self.seen[self.current]
        if seen:
            self.worker.consumed(block.event)
            self.seen[self.current].clear()
        return seen or (block.event == "SLIM" and self.worker.limited())

    def _forget(self, block: Wait) -> None:
        for event in block.events:
            self.worker.consumed(event)
        self.seen[self.current].clear()

    def _satisfied(self, block: Wait) -> bool:
        seen = self.seen[self.current]
        gather: Callable[[list[bool]], bool] = all if block.every else any
        return gather([event in seen for event in block.events])

    def _stop_background(self) -> None:
        self.background = self._background_ns = None

    def _end(self, state: str, t_ns: int) -> None:
        self.running, self.state, self._block_ns = False, state, None
        self._stop_background()
        self.worker.ended(state, t_ns)
