"""What a Keithley 2400 answers when it is asked for a reading or for its conditions: questions and their reading.

Source: Keithley 2400 Series user's manual 2400S-900-01 rev K, command reference, table 18-4 and the status structure.
"""

from collections.abc import Sequence

from drivers.roles import LiveQuantity, SourceReading
from drivers.scpi import unexpected, whole

READING = ("VOLT", "CURR", "TIME", "STAT")
MEASURE = ":OUTP?;:READ?"
LIVE = ":OUTP:ENAB?;:OUTP:ENAB:TRIP?;:STAT:MEAS:COND?;:STAT:MEAS?"
STATUS_COMPLIANCE = 1 << 3
CLOSED_AGAIN, TOO_HOT = 1 << 11, 1 << 12  # of the measurement register: both are kept as events until they are read
NOT_A_READING = 9.9e37  # +9.91E37 not measured, +9.9E37 overflow


def measured(answer: str) -> SourceReading | None:
    """Read the answer to MEASURE; None when the output is off."""
    output, _, elements = answer.partition(";")
    if output.strip() == "0" and not elements:
        return None
    try:
        numbers = [float(element) for element in elements.split(",")]
    except ValueError:
        numbers = []
    if output.strip() != "1" or len(numbers) != len(READING):
        raise unexpected(MEASURE, answer)
    return reading_of(numbers)


def reading_of(numbers: Sequence[float]) -> SourceReading:
    """One reading from its elements in the order of READING; what was not measured or overflowed is NaN."""
    voltage_v, current_a, t_s, status = (value if abs(value) < NOT_A_READING else float("nan") for value in numbers)
    if not status >= 0:
        raise unexpected(MEASURE, numbers)
    return SourceReading(voltage_v, current_a, t_s, bool(int(status) & STATUS_COMPLIANCE))


def conditions(answer: str) -> tuple[LiveQuantity, ...]:
    """Read the answer to LIVE; the output-enable line is told only while it is in use.

    What has been since the last time counts as well: a line that has closed was open, and what was too hot may be again.
    """
    try:
        used, closed, condition, event = (whole(text) for text in answer.split(";"))
    except (ValueError, OverflowError):
        raise unexpected(LIVE, answer) from None
    if not {used, closed} <= {0, 1}:
        raise unexpected(LIVE, answer)
    hot = LiveQuantity("over_temperature", float(bool((condition | event) & TOO_HOT)))
    return (LiveQuantity("interlock_closed", float(closed and not event & CLOSED_AGAIN)), hot) if used else (hot,)


def blocked_by(told: Sequence[LiveQuantity]) -> list[str]:
    """Say what holds the output off, as far as its conditions tell."""
    reasons = {
        ("interlock_closed", 0.0): "its output-enable line is open, or was",
        ("over_temperature", 1.0): "it is too hot, or was",
    }
    return [reasons[name, value] for name, value in ((one.name, one.value) for one in told) if (name, value) in reasons]
