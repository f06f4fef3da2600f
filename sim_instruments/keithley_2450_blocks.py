"""The blocks a trigger model of a Keithley 2450 is made of, and the maker's ready-made models.

Source: 2461-901-01 rev A and 2450-901-01 rev B, TRIGger:BLOCk and TRIGger:LOAD; block names as TRIGger:BLOCk:LIST? prints them,
of which rev A shows four and the others are from memory. The order of the blocks inside the ready-made models is assumed
where no example of the maker shows it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sim_instruments.scpi import ScpiError, long_and_short

MAX_BLOCKS = 63  # from memory, unverified
MAX_COUNT = 268_435_455
INFINITE = -1
_EVENT_WORDS: dict[str, int] = {  # how many of each kind there are, 0: one without a number
    **{"NONE": 0, "DISPlay": 0, "COMMand": 0, "SLIMit": 0},
    **{"NOTify": 8, "DIGio": 6, "TSPLink": 3, "LAN": 8, "BLENder": 2, "TIMer": 4},
}
_EVENT = re.compile(r"([A-Z]+?)(\d*)", re.IGNORECASE)
_SHORT = {"DIGio": "DIG", "TSPLink": "TSPL"}


def parse_event(text: str) -> str:
    """Short form of a trigger event, e.g. `DIG3`; ScpiError -224 for a word that is none."""
    if not text:
        raise ScpiError(-109)
    match = _EVENT.fullmatch(text)
    for word, many in _EVENT_WORDS.items():
        if match and match[1].upper() in long_and_short(word) and bool(match[2]) == bool(many):
            number = match[2][:3]
            if many and not 1 <= int(number) <= many:
                break
            return re.sub("[a-z]", "", word) + number
    raise ScpiError(-224)


@dataclass(frozen=True, slots=True)
class BufferClear:
    """Empty a reading buffer."""

    buffer: str

    def __str__(self) -> str:
        return f"BUFFER_CLEAR BUFFER: {self.buffer}"


@dataclass(frozen=True, slots=True)
class Recall:
    """Recall from configuration lists: `step` 0 for index given, 1 for the next one, -1 for the one before.

    `lists` are (is it a source list, its name, index from 1).
    """

    step: int
    lists: tuple[tuple[bool, str, int], ...]

    def __str__(self) -> str:
        name = {0: "CONFIG_RECALL", 1: "CONFIG_NEXT", -1: "CONFIG_PREV"}[self.step]
        index = "".join(f" INDEX: {index}" for _, _, index in self.lists if not self.step)
        return f"{name} CONFIG_LIST: {', '.join(listed for _, listed, _ in self.lists)}{index}"


@dataclass(frozen=True, slots=True)
class SourceState:
    """Switch the output."""

    on: bool

    def __str__(self) -> str:
        return f"SOURCE_OUTPUT OUTPUT: {'ON' if self.on else 'OFF'}"


@dataclass(frozen=True, slots=True)
class Measure:
    """Take `count` readings; INFINITE goes on in the background, 0 ends that."""

    buffer: str
    count: int

    def __str__(self) -> str:
        return f"MEASURE BUFFER: {self.buffer} COUNT: {'INF' if self.count == INFINITE else self.count}"


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for one or all of some events; `clears` forgets on entry what was seen before."""

    events: tuple[str, ...]
    clears: bool
    every: bool = False

    def __str__(self) -> str:
        logic = "AND" if self.every else "OR"
        return f"WAIT EVENT: {f' {logic} '.join(self.events)} CLEAR: {'ENTER' if self.clears else 'NEVER'}"


@dataclass(frozen=True, slots=True)
class Delay:
    """Let a time pass."""

    delay_s: float

    def __str__(self) -> str:
        return f"DELAY_CONSTANT DELAY: {self.delay_s:.9f}"


@dataclass(frozen=True, slots=True)
class UserDelay:
    """Let a user delay (1 to 5) of the source or of the measurement pass."""

    of_source: bool
    number: int

    def __str__(self) -> str:
        return f"DELAY_DYNAMIC DELAY: {'SOURCE' if self.of_source else 'MEASURE'}{self.number}"


@dataclass(frozen=True, slots=True)
class BranchCount:
    """Go to a block until this one has been reached `count` times, then on, counting from 0 again."""

    count: int
    target: int

    def __str__(self) -> str:
        return f"BRANCH_COUNTER VALUE: {self.count} BRANCH_BLOCK: {self.target}"


@dataclass(frozen=True, slots=True)
class BranchAlways:
    """Go to a block; 0 ends the model."""

    target: int

    def __str__(self) -> str:
        return f"BRANCH_ALWAYS BRANCH_BLOCK: {self.target}"


@dataclass(frozen=True, slots=True)
class BranchEvent:
    """Go to a block when an event has been seen since the model started or this block last took it."""

    event: str
    target: int

    def __str__(self) -> str:
        return f"BRANCH_ON_EVENT EVENT: {self.event} BRANCH_BLOCK: {self.target}"


@dataclass(frozen=True, slots=True)
class BranchOnce:
    """Go to a block the first time only, or every time but the first."""

    target: int
    excluded: bool

    def __str__(self) -> str:
        return f"BRANCH_ONCE{'_EXCLUDED' if self.excluded else ''} BRANCH_BLOCK: {self.target}"


@dataclass(frozen=True, slots=True)
class BranchElapsed:
    """Go to a block until a time has passed since the model started; only the ready-made duration loop has it."""

    duration_s: float
    target: int

    def __str__(self) -> str:
        return f"BRANCH_ON_TIME DURATION: {self.duration_s:.9f} BRANCH_BLOCK: {self.target}"


@dataclass(frozen=True, slots=True)
class DigitalIo:
    """Set digital lines."""

    pattern: int
    mask: int

    def __str__(self) -> str:
        return f"DIGITAL_IO PATTERN: {self.pattern} MASK: {self.mask}"


@dataclass(frozen=True, slots=True)
class Notify:
    """Give off a notify event."""

    number: int

    def __str__(self) -> str:
        return f"NOTIFY ID: {self.number}"


@dataclass(frozen=True, slots=True)
class LogEvent:
    """Write into the event log, under one of four event numbers per kind; ABORT also ends the model."""

    kind: int
    message: str
    aborts: bool
    code: int

    def __str__(self) -> str:
        return f"LOG_EVENT MESSAGE: {self.message}"


@dataclass(frozen=True, slots=True)
class Nop:
    """Nothing."""

    def __str__(self) -> str:
        return "NOP"


Branch = BranchCount | BranchAlways | BranchEvent | BranchOnce | BranchElapsed
Block = BufferClear | Recall | SourceState | Measure | Wait | Delay | UserDelay | Branch | DigitalIo | Notify | LogEvent | Nop
Blocks = dict[int, Block]


def _numbered(blocks: Sequence[Block]) -> Blocks:
    return dict(enumerate(blocks, start=1))


# --- ready-made models ----------------------------------------------------------------------------------------------


def simple_loop(count: int, delay_s: float, buffer: str) -> Blocks:
    """TRIG:LOAD "SimpleLoop"."""
    return _numbered((BufferClear(buffer), Delay(delay_s), Measure(buffer, 1), BranchCount(count, 2)))


def duration_loop(duration_s: float, delay_s: float, buffer: str) -> Blocks:
    """TRIG:LOAD "DurationLoop"; the maker says that it turns the output on."""
    loop = (Delay(delay_s), Measure(buffer, 1), BranchElapsed(duration_s, 3))
    return _numbered((BufferClear(buffer), SourceState(True), *loop, SourceState(False)))


def logic_trigger(line_in: int, count: int, clears: bool, delay_s: float, buffer: str) -> Blocks:
    """TRIG:LOAD "LogicTrigger": the wait is block 1, the notify event 1 stimulates the output line."""
    wait = Wait((f"DIG{line_in}",), clears)
    return _numbered((wait, Delay(delay_s), Measure(buffer, 1), Notify(1), BranchCount(count, 1)))


def config_list(measured: str, sourced: str, points: int, delay_s: float, buffer: str) -> Blocks:
    """TRIG:LOAD "ConfigList"."""
    first = Recall(0, ((True, sourced, 1), (False, measured, 1)))
    coming = Recall(1, ((True, sourced, 1), (False, measured, 1)))
    loop = (coming, Delay(delay_s), Measure(buffer, 1), BranchCount(points, 5))
    return _numbered((BufferClear(buffer), first, SourceState(True), BranchAlways(6), *loop, SourceState(False)))


def sweep(listed: str, start: int, points: int, delay_s: float, count: int, fail_abort: bool, buffer: str) -> Blocks:
    """SOURce:SWEep: walk `points` indexes of a source list from `start`, `count` times (0: without end), and switch off."""
    loop: tuple[Block, ...] = (Recall(1, ((True, listed, 1),)), Delay(delay_s))
    end: Block = SourceState(False)
    length = 8 + (2 if fail_abort else 1)
    again: Block = BranchCount(count, 2) if count else BranchAlways(2)
    blocks: list[Block] = [BufferClear(buffer), Recall(0, ((True, listed, start),)), SourceState(True), BranchAlways(6), *loop]
    if fail_abort:
        blocks.append(BranchEvent("SLIM", length + 1))
    return _numbered((*blocks, Measure(buffer, 1), BranchCount(points, 5), again, end))
