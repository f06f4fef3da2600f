"""make_safe(): every output off, then the proof by read-back. Knows roles, never models; needs no file and no sequence."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from drivers.errors import LinkDesync, LinkTimeout, UnsafeStateError
from drivers.roles import SafeReadback

# light first: without pulses nothing is measured under a wrong voltage while the source goes down
ORDER = ("laser_trigger", "shutter", "voltage_source", "spectrometer")
INTERRUPTS_AT_MOST = 10


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

    `interrupt` is what tried to interrupt it (Ctrl-C), for the caller to raise again or to report.
    """

    instruments: Mapping[str, tuple[Confirmation, str]]
    interrupt: BaseException | None = None

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


def make_safe(instruments: Mapping[str, SafeInstrument]) -> SafeReport:
    """Send off to everything first, then read everything back, and what is still on once more; no failing step blocks the next.

    An interrupt makes it begin anew (every step may be done twice); it is kept in the report. Raises only what comes after ten
    of them.
    """
    interrupt: BaseException | None = None
    for _ in range(INTERRUPTS_AT_MOST):
        try:
            return SafeReport(_all_off(instruments), interrupt)
        except BaseException as error:  # noqa: BLE001 - Ctrl-C between two steps must not keep anything on
            interrupt = interrupt or error
    return SafeReport(_all_off(instruments), interrupt)


def _all_off(instruments: Mapping[str, SafeInstrument]) -> dict[str, tuple[Confirmation, str]]:
    roles = _ordered(instruments)
    unsent: dict[str, str] = {}
    for role in roles:
        try:
            instruments[role].make_safe()
        except Exception as error:  # noqa: BLE001 - the other instruments must still go off
            unsent[role] = _first_line(error)
    report: dict[str, tuple[Confirmation, str]] = {}
    for role in roles:
        try:
            answer = _confirm(instruments[role])
        except Exception as error:  # noqa: BLE001 - the other instruments must still be asked
            confirmation = Confirmation.UNKNOWN if role in unsent else Confirmation.SENT
            report[role] = (confirmation, unsent.get(role, _first_line(error)))
        else:
            # an instrument that says it is off is off, however it got there
            report[role] = (Confirmation.CONFIRMED if answer.safe else Confirmation.STILL_ON, answer.detail)
    return report


def _ordered(instruments: Mapping[str, SafeInstrument]) -> list[str]:
    """Roles in the order of going off; what has to be asked before it can be told comes last, as it may be mute."""
    known = [role for role in ORDER if role in instruments] + [role for role in instruments if role not in ORDER]
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
    """Ask; one answer may get lost, come late or twice: the second question proves the link anew."""
    try:
        return instrument.read_safe()
    except (LinkTimeout, LinkDesync):
        return instrument.read_safe()


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
