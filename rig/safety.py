"""make_safe(): every output off, then the proof by read-back. Knows roles, never models; needs no file and no sequence.

What is done, and what it means, is said here; whether to all instruments at once is an argument (rig.steps).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from drivers.errors import InstrumentError, UnsafeStateError
from drivers.registry import HAZARDS
from drivers.roles import SafeReadback
from rig.steps import Step, Walk, one_by_one

SEND_S = 4.0  # longer than any driver tries to send off, a dead shutter that has to be asked first included
CONFIRM_S = 5.0  # two lost answers and the link proved anew; more would only put off the alarm


class Confirmation(Enum):
    """How sure we are that an instrument is safe."""

    CONFIRMED = "confirmed by read-back"
    SENT = "off was sent, read-back failed"
    UNKNOWN = "off could not be sent"
    STILL_ON = "NOT OFF by its own word, although off was sent twice"


class SafeInstrument(Protocol):
    """What going safe needs of an instrument."""

    def make_safe(self) -> None:
        """Send off, write-only."""
        ...

    def read_safe(self) -> SafeReadback:
        """Ask whether it is off."""
        ...


@dataclass(frozen=True, slots=True)
class SafeReport:
    """What make_safe() achieved: role -> (confirmation, what the instrument said or why it could not be asked).

    `interrupt` is what tried to interrupt it (Ctrl-C), for the caller to raise again or to report. `left_behind` are the roles
    on whose link a conversation may still hang: whoever talks to them waits for it.
    """

    instruments: Mapping[str, tuple[Confirmation, str]]
    interrupt: BaseException | None = None
    left_behind: frozenset[str] = frozenset()

    @property
    def safe(self) -> bool:
        """Get whether every instrument confirmed."""
        return all(confirmation is Confirmation.CONFIRMED for confirmation, _ in self.instruments.values())

    def __str__(self) -> str:
        if not self.instruments:
            return "no instrument was open"
        return "; ".join(
            f"{role.replace('_', ' ')}: {confirmation.value} ({detail})"
            for role, (confirmation, detail) in self.instruments.items()
        )

    def raise_if_unsafe(self) -> None:
        """Raise UnsafeStateError unless everything was confirmed."""
        if not self.safe:
            raise UnsafeStateError(
                "Off could not be confirmed on every instrument.",
                where=", ".join(
                    r.replace("_", " ") for r, (c, _) in self.instruments.items() if c is not Confirmation.CONFIRMED
                ),
                hardware_state=str(self),
                next_step="switch the source's output off at its front panel and close the laser shutter by hand, now",
            )


def make_safe(instruments: Mapping[str, SafeInstrument], walk: Walk = one_by_one) -> SafeReport:
    """Send off to everything first, then read everything back, and what is still on once more; no failing step blocks the next.

    An interrupt is kept in the report; raises only what comes after ten of them. Every step may be done twice.

    Parameters
    ----------
    walk  one_by_one on a stepped clock; side_by_side on the real one, where a step also has a deadline and an instrument that
          hangs delays no other
    """
    going = _GoingSafe(instruments)
    interrupt = walk(_ordered(instruments), (Step(going.send, SEND_S), Step(going.confirm, CONFIRM_S)))
    return SafeReport(dict(going.known), interrupt, frozenset(instruments) - frozenset(going.ended))


@dataclass(slots=True)
class _GoingSafe:
    """What is known of each instrument at any moment, before a step the worst: the step may never end."""

    instruments: Mapping[str, SafeInstrument]
    known: dict[str, tuple[Confirmation, str]] = field(default_factory=dict[str, tuple[Confirmation, str]])
    ended: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        for role in _ordered(self.instruments):
            self.known[role] = (Confirmation.UNKNOWN, "nothing was sent")

    def send(self, role: str) -> None:
        self.known[role] = (Confirmation.UNKNOWN, f"sending off had not ended after {SEND_S:g} s")
        try:
            self.instruments[role].make_safe()
        except Exception as error:  # noqa: BLE001 - the other instruments must still go off
            self.known[role] = (Confirmation.UNKNOWN, _first_line(error))
        else:
            self.known[role] = (Confirmation.SENT, f"it had not said that it is off after {CONFIRM_S:g} s")

    def confirm(self, role: str) -> None:
        try:
            answer = _confirm(self.instruments[role])
        except Exception as error:  # noqa: BLE001 - the other instruments must still be asked
            if self.known[role][0] is Confirmation.SENT:
                self.known[role] = (Confirmation.SENT, _first_line(error))
        else:
            # an instrument that says it is off is off, however it got there
            self.known[role] = (Confirmation.CONFIRMED if answer.safe else Confirmation.STILL_ON, answer.detail)
        self.ended.add(role)


def _ordered(instruments: Mapping[str, SafeInstrument]) -> list[str]:
    """Roles in the order of going off; what has to be asked before it can be told comes last, as it may be mute."""
    known = [role for role in HAZARDS if role in instruments] + [role for role in instruments if role not in HAZARDS]
    return sorted(known, key=lambda role: not getattr(instruments[role], "off_message", b"?"))


def _confirm(instrument: SafeInstrument) -> SafeReadback:
    """Ask whether it is off; when it is not, the message may have been lost: send it once more and ask again."""
    answer = _read_safe(instrument)
    if answer.safe:
        return answer
    try:
        instrument.make_safe()
        return _read_safe(instrument)
    except Exception:  # noqa: BLE001 - what it has said of itself stands
        return answer


def _read_safe(instrument: SafeInstrument) -> SafeReadback:
    """Ask; one message or answer may get lost, come late or twice: the second question proves the link anew."""
    try:
        return instrument.read_safe()
    except InstrumentError:
        return instrument.read_safe()


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
