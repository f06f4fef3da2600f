"""The families of errors; a family says what may be done next.

Every error carries four sentences: what happened, where, in which state the hardware is, and what to do next.
"""

from dataclasses import dataclass


class RigError(Exception):
    """Something went wrong that a user has to know about.

    Parameters
    ----------
    what            what happened, with the values that matter
    where           the instrument, file, line or key it happened at
    hardware_state  what is known of the outputs ("nothing was touched", "output off, confirmed")
    next_step       what the user can do now
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        hardware_state: str = "nothing was touched",
        next_step: str = "",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hardware_state = hardware_state
        self.next_step = next_step

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where:    {self.where}")
        lines.append(f"  hardware: {self.hardware_state}")
        if self.next_step:
            lines.append(f"  next:     {self.next_step}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for a refusal.

    Parameters
    ----------
    code     stable, like a linter's: "voltage-above-limit"
    where    file, line and key, or the field of a program
    message  the value, the limit and where the limit comes from, in one sentence
    """

    code: str
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message} [{self.code}]" if self.where else f"{self.message} [{self.code}]"


class RefusedError(RigError):
    """Input was refused before anything was touched; all reasons at once."""

    def __init__(self, what: str, reasons: tuple[Reason, ...], *, where: str = "", next_step: str = "") -> None:
        super().__init__(what, where=where, next_step=next_step)
        self.reasons = reasons

    def __str__(self) -> str:
        listed = "\n".join(f"  - {reason}" for reason in self.reasons)
        return f"{super().__str__()}\n{listed}"


class ConfigError(RefusedError):
    """A file of the user's is missing, malformed or says something impossible."""


class CompileError(RefusedError):
    """The sequence is well formed, but this bench cannot run it as asked."""


class InstrumentError(RigError):
    """An instrument did not do what it was asked to; its state must be taken from read-back."""


class LinkTimeout(InstrumentError):  # noqa: N818 - the field's word, and the name says it
    """No (complete) answer before the deadline; nothing more may be believed until a resync."""


class LinkDesync(InstrumentError):  # noqa: N818 - as above
    """An answer belongs to another question, or bytes came that nobody asked for."""


class WrongIdentity(InstrumentError):  # noqa: N818 - as above
    """Another model or serial number answers at this resource."""


class ComplianceReached(InstrumentError):  # noqa: N818 - as above
    """The source limits its current: the film draws more than it should."""


class ReadbackMismatch(InstrumentError):  # noqa: N818 - as above
    """A value read back differs from the value that was set."""


class InterlockTripped(InstrumentError):  # noqa: N818 - as above
    """A quantity that is watched is outside its window, missing or too old; latched until the next run is started."""


class RecordError(RigError):
    """Data cannot be written or read: disk full, folder gone, file damaged."""


class UnsafeStateError(RigError):
    """Off could not be confirmed. The only error that may not be dismissed."""
