"""Parts of what is said on the control channel: texts of bounded length, errors, and what is known of instruments.

Texts are for people: one that is too long is shortened and says so, a byte that is no text becomes a "?".
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from drivers.errors import RefusedError, RigError

MAX_WORDS = 4000  # characters of one sentence of an error
MAX_REASONS = 40
REASON_WORDS = 300
SHORTENED = " ... (shortened)"


def short(text: str, most: int = REASON_WORDS) -> str:
    """Return a text that is not too long (characters) and can be encoded."""
    plain = text.encode("utf-8", "replace").decode()  # names of files may hold anything
    return plain if len(plain) <= most else plain[: most - len(SHORTENED)] + SHORTENED


def _told(value: Any) -> Any:
    return short(value, MAX_WORDS) if isinstance(value, str) else value


def _printable(value: Any) -> Any:
    """Keep what others' terminals would obey out of what they show."""
    if not isinstance(value, str):
        return value
    return "".join(letter if letter.isprintable() else "?" for letter in short(value))


def _told_shortly(value: Any) -> Any:
    return short(value) if isinstance(value, str) else value


RoleName = Literal[
    "voltage_source", "laser_trigger", "spectrometer", "attenuator", "energy_meter", "shutter", "cw_shutter", "filter_wheel"
]
InstrumentState = Literal["not connected", "idle", "armed", "fault"]
HandQuantity = Literal["voltage_v", "output_on", "integration_time_s", "rate_hz", "open", "cw_open", "fluence_uj_cm2"]
Name = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=MAX_WORDS)]
Count = Annotated[int, Field(ge=0)]
Duration = Annotated[float, Field(ge=0)]
Id = Annotated[int, Field(ge=0, lt=2**53)]
Said = Annotated[str, BeforeValidator(_told)]
Word = Annotated[str, BeforeValidator(_told_shortly)]
Line = Annotated[str, BeforeValidator(_printable)]

AS_WRITTEN = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Part(BaseModel):
    """A part of a message, or one: typed, frozen, nothing else in it."""

    model_config = AS_WRITTEN


class ReasonWords(Part):
    """One reason for a refusal, as in drivers.errors.Reason."""

    code: Word
    where: Word
    message: Word


class ErrorWords(Part):
    """An error as it travels: the four sentences, its kind (name of its class) and the reasons of a refusal."""

    kind: Word
    what: Said
    where: Said = ""
    hardware_state: Said = ""
    next_step: Said = ""
    reasons: tuple[ReasonWords, ...] = ()

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """Take the words of an error; what is too long for one line of the channel is shortened and says so."""
        given = error.reasons if isinstance(error, RefusedError) else ()
        reasons = [ReasonWords(code=r.code, where=r.where, message=r.message) for r in given[:MAX_REASONS]]
        if len(given) > MAX_REASONS:
            reasons.append(ReasonWords(code="more", where="", message=f"and {len(given) - MAX_REASONS} more"))
        kind = type(error).__name__
        if not isinstance(error, RigError):
            return cls(kind=kind, what=str(error) or kind)
        state, next_step = error.hardware_state, error.next_step
        return cls(
            kind=kind, what=error.what, where=error.where, hardware_state=state, next_step=next_step, reasons=tuple(reasons)
        )

    def __str__(self) -> str:
        lines = [self.what]
        lines += [f"  {name} {text}" for name, text in (("where:   ", self.where), ("hardware:", self.hardware_state)) if text]
        lines += [f"  next:     {self.next_step}"] if self.next_step else []
        return "\n".join([*lines, *(f"  - {r.where}{': ' if r.where else ''}{r.message} [{r.code}]" for r in self.reasons)])


class HardwareWords(Part):
    """What one instrument says of its being off: role, one of the words of rig.safety.Confirmation, and the detail."""

    role: Word
    confirmation: Word
    detail: Said


class LiveWords(Part):
    """Something an instrument said of itself, so long ago (s); the unit is in the name, bits are 0 or 1."""

    name: Word
    value: float | None = Field(description="None when what it said is no number")
    age_s: Duration


class SettingWords(Part):
    """What can be set by hand: how it stands, and within which bounds it may be moved on this bench; bits go from 0 to 1."""

    quantity: HandQuantity
    value: float
    low: float
    high: float


class InstrumentWords(Part):
    """One instrument of the bench; `armed`: its output is on, or it lets light through."""

    role: RoleName
    model: Word
    state: InstrumentState
    identity: Said = ""
    detail: Word = ""
    live: tuple[LiveWords, ...] = Field(default=(), max_length=20)
    settings: tuple[SettingWords, ...] = Field(default=(), max_length=10)
    error: Word = Field(default="", description="the last one, its first sentence")
