"""What is said on the control channel: commands to the engine, events from it; frames never travel here.

One JSON object per line, UTF-8, at most `MAX_LINE_BYTES` with its newline. A command names itself in `command`, an event in
`event`; whatever else is in a line is refused, and so are NaN and infinity. Texts of events are for people: one that is too
long is shortened and says so, a byte that is no text becomes a "?".
"""

import math
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from drivers.errors import RigError
from rig.control_words import AS_WRITTEN, Count, Duration, HandQuantity, Id, Line, Name, Part, RoleName, Said, Text, Word, short
from rig.control_words import SHORTENED as SHORTENED
from rig.control_words import ErrorWords as ErrorWords
from rig.control_words import HardwareWords as HardwareWords
from rig.control_words import InstrumentWords as InstrumentWords
from rig.control_words import LiveWords as LiveWords
from rig.control_words import ReasonWords as ReasonWords
from rig.control_words import SettingWords as SettingWords

PROTOCOL = 1
MAX_LINE_BYTES = 64 * 1024

EngineState = Literal["idle", "running", "paused", "stopping", "latched"]


class ControlError(RigError):
    """A line of the control channel is not one, or the channel does not work."""


# --- commands ---------------------------------------------------------------------------------------------------------


class _Command(BaseModel):
    model_config = AS_WRITTEN
    id: Id = Field(default=0, description="chosen by who commands; the answer carries it")


class Hello(_Command):
    """The first line of a connection: who is there. Answered by Welcome, or by the end of the connection."""

    command: Literal["hello"] = "hello"
    token: str = Field(max_length=200, repr=False)
    who: Line
    commander: bool = False


class Status(_Command):
    """Ask for an EngineStatus; it comes before the answer."""

    command: Literal["status"] = "status"


class Start(_Command):
    """Run a sequence.

    Parameters
    ----------
    sequence_toml  the text of the file
    name           of the file, for error messages
    out            folder for the run file, None for the engine's own
    seed           of a simulated bench, None for the engine's own
    """

    command: Literal["start"] = "start"
    sequence_toml: str
    name: Name
    out: Text | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**63)


class Pace(_Command):
    """How fast a bench simulated in the engine's own process runs: `speed` times real time, None as fast as it can.

    On every other bench time is real, and this is refused.
    """

    command: Literal["pace"] = "pace"
    speed: float | None = Field(default=None, ge=0.01, le=1000)


class Pause(_Command):
    """Pause after the block that is under way."""

    command: Literal["pause"] = "pause"


class Resume(_Command):
    """Go on after a pause, or take back the wish for one."""

    command: Literal["resume"] = "resume"


class Stop(_Command):
    """End the run safely, and keep what it has."""

    command: Literal["stop"] = "stop"
    why: Line = ""


class Off(_Command):
    """Everything off, now. The one command that needs no token; what else may be in its line changes nothing."""

    model_config = ConfigDict(extra="ignore")

    command: Literal["off"] = "off"
    why: Line = ""


class Acknowledge(_Command):
    """A person has seen why the engine has latched; it may be started again."""

    command: Literal["acknowledge"] = "acknowledge"


class Inject(_Command):
    """Break something on a bench simulated in the engine's own process, while it runs: NAME[@ONSETs][:SEVERITY][:MODE]."""

    command: Literal["inject"] = "inject"
    fault: Name


class Connect(_Command):
    """Open every instrument of the bench at rest: everything off and known, to be looked at and set by hand.

    It lasts until Disconnect, Stop, Off, a run, a fault, or until whoever asked for it commands no more; whichever comes first
    makes everything safe.
    """

    command: Literal["connect"] = "connect"


class Disconnect(_Command):
    """Everything off, and let go of the instruments."""

    command: Literal["disconnect"] = "disconnect"


class SetByHand(_Command):
    """Set something of one instrument, between Connect and its end; bits are 0 or 1. What came of it is told by events."""

    command: Literal["set_by_hand"] = "set_by_hand"
    role: RoleName
    quantity: HandQuantity
    value: float


class Take(_Command):
    """Take command; by force also from another who is there, which everybody is told."""

    command: Literal["take"] = "take"
    force: bool = False


class Release(_Command):
    """Give command back."""

    command: Literal["release"] = "release"


class Quit(_Command):
    """End an engine that has nothing to do."""

    command: Literal["quit"] = "quit"


Command = (
    Hello
    | Inject
    | Status
    | Start
    | Pace
    | Pause
    | Resume
    | Stop
    | Off
    | Acknowledge
    | Connect
    | Disconnect
    | SetByHand
    | Take
    | Release
    | Quit
)


# --- events -----------------------------------------------------------------------------------------------------------


class Welcome(Part):
    """The answer to Hello."""

    event: Literal["welcome"] = "welcome"
    pid: int
    host: Said
    bench: Said
    simulated: bool
    protocol: int = PROTOCOL
    who_commands: Said = ""
    you_command: bool = False
    faults: tuple[Word, ...] = Field(default=(), description="names of what can be broken on a simulated bench")


class Answer(Part):
    """What became of a command: taken (ok), or why not. Taken is not done: events tell that."""

    event: Literal["answer"] = "answer"
    id: Id
    ok: bool
    error: ErrorWords | None = None


class EngineStatus(Part):
    """Where the engine is; run fields are empty or 0 when there was no run yet. The server fills in `commander`."""

    event: Literal["engine_status"] = "engine_status"
    state: EngineState
    title: Said = ""
    sample: Said = ""
    measurement: Said = ""
    mode: Said = ""
    file: Said = ""
    shots_done: Count = 0
    shots_planned: Count = 0
    elapsed_s: Duration = 0.0
    left_s: Duration | None = None
    pausing: bool = False
    latched: Said = ""
    speed: Duration | None = None
    connected: bool = Field(default=False, description="instruments are open by hand")
    commander: Said = ""
    simulated: bool
    bench: Said


class Begun(Part):
    """A run has begun."""

    event: Literal["begun"] = "begun"
    title: Said
    sample: Said
    measurement: Said
    mode: Said
    file: Said
    shots_planned: Count
    duration_s: Duration
    simulated: bool


class RunProgress(Part):
    """How far a run is; a slow listener gets the newest only. `state` is a word of rig.run_state.RunState."""

    event: Literal["run_progress"] = "run_progress"
    state: Said
    shots_done: Count
    shots_planned: Count
    detail: Said = ""
    left_s: Duration | None = None


class Ended(Part):
    """A run has ended: where its file is, what became of its frames, and whether everything is off."""

    event: Literal["ended"] = "ended"
    file: Said
    state: Said
    why: Said = Field(default="", description="who stopped it, or what")
    exit_code: int
    outcome: dict[str, Any] = Field(default_factory=dict[str, Any], description="what `rig run --json` prints")
    hardware: tuple[HardwareWords, ...] = ()
    error: ErrorWords | None = None

    @field_validator("outcome")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        return cast(dict[str, Any], _json_only(value))


class Refused(Part):
    """Something was refused that nobody here asked for by a command, such as the next sequence of a queue."""

    event: Literal["refused"] = "refused"
    error: ErrorWords


class InstrumentStates(Part):
    """Every instrument of the bench; told twice a second while they are connected by hand, and when that ends.

    `hardware` is what was confirmed when everything was switched off in the end, empty while connected.
    """

    event: Literal["instrument_states"] = "instrument_states"
    connected: bool
    why: Said = Field(default="", description="why they are not connected any more")
    instruments: tuple[InstrumentWords, ...] = Field(max_length=10)
    hardware: tuple[HardwareWords, ...] = Field(default=(), max_length=10)


class Note(Part):
    """A line for people."""

    event: Literal["note"] = "note"
    text: Said


class CommanderChanged(Part):
    """Somebody else commands now, "" for nobody."""

    event: Literal["commander_changed"] = "commander_changed"
    who: Said


class Closing(Part):
    """The engine, or this connection to it, ends."""

    event: Literal["closing"] = "closing"
    why: Said


Event = (
    Welcome
    | Answer
    | EngineStatus
    | Begun
    | RunProgress
    | Ended
    | Refused
    | InstrumentStates
    | Note
    | CommanderChanged
    | Closing
)
Message = Command | Event

_COMMANDS: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="command")])
_EVENTS: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])
_MessageT = TypeVar("_MessageT")


# --- lines ------------------------------------------------------------------------------------------------------------


def encode(message: Message) -> bytes:
    """Write a message as one line.

    Raises
    ------
    ControlError  the line would be too long
    """
    line = message.model_dump_json().encode() + b"\n"
    if len(line) > MAX_LINE_BYTES:
        raise ControlError(
            f"A message of {len(line)} bytes is too long for the control channel, which takes {MAX_LINE_BYTES}.",
            where=type(message).__name__,
            next_step="make the sequence shorter, or run it with: rig run" if isinstance(message, Start) else "",
        )
    return line


def decode_command(line: bytes) -> Command:
    """Read a command from a line, with or without its newline.

    Raises
    ------
    ControlError  it is none
    """
    return _decoded(_COMMANDS, line, "command")


def decode_event(line: bytes) -> Event:
    """Read an event from a line, with or without its newline.

    Raises
    ------
    ControlError  it is none
    """
    return _decoded(_EVENTS, line, "event")


def _decoded(adapter: "TypeAdapter[_MessageT]", line: bytes, what: str) -> _MessageT:
    if len(line) > MAX_LINE_BYTES:
        raise _malformed(what, f"it is longer than {MAX_LINE_BYTES} bytes")
    try:
        return adapter.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _malformed(what, f"{place}: {first['msg']}" if place else first["msg"]) from None


def _malformed(what: str, why: str) -> ControlError:
    return ControlError(f"This is no {what}: {short(why)}", where="control channel")


def _json_only(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON would carry it. Raises ValueError when it cannot."""
    if depth > 50:
        raise ValueError("nested too deeply")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("NaN and infinity are no JSON")
    if isinstance(value, dict):
        entries = cast(dict[Any, Any], value)
        if not all(isinstance(name, str) for name in entries):
            raise ValueError("names have to be text")
        return {name: _json_only(one, depth + 1) for name, one in entries.items()}
    if isinstance(value, list | tuple):
        return [_json_only(one, depth + 1) for one in cast(list[Any], value)]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError(f"{type(value).__name__} is no JSON")
