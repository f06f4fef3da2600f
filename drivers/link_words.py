"""What a link says of itself when something is wrong."""

from drivers.errors import InstrumentError


def cannot_open(
    name: str, resource_name: str, error: Exception, hardware_state: str = "nothing was touched"
) -> InstrumentError:
    """A resource that cannot be opened."""
    return InstrumentError(
        f"{name} cannot be opened at {resource_name}: {error}",
        where=resource_name,
        hardware_state=hardware_state,
        next_step="check the resource name in the bench file, that the instrument is on, and that no other program holds it",
    )


def shown(message: bytes) -> str:
    """Message as a person reads it, cut short."""
    if b"\0" in message:  # no text
        return f"{len(message)} bytes <{message[:16].hex(' ', 4)}>"
    return repr(message[:60].rstrip(b"\r\n"))[1:] + ("..." if len(message) > 60 else "")


def held_elsewhere(name: str, waited_s: float) -> InstrumentError:
    """Another thread does not let go of a link."""
    return InstrumentError(
        f"{name} is held by another conversation, which has not ended within {waited_s:g} s.",
        where=name,
        hardware_state="not known; the other conversation may have changed it",
        next_step="end this program; if something must be off now: rig off",
    )
