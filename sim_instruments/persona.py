"""What every simulated instrument looks like to the world: bytes in, bytes out, edges in, edges out, time an argument.

A persona never looks at a clock and opens no socket. All times are integer nanoseconds of the world's clock. Calls come in
non-decreasing time, and `run_until(t)` has been called before anything else is asked at `t`.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

TimesNs = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Edges:
    """Pulses on one wire, in time order: `rise_ns` and `fall_ns` int64 (n,), levels at the receiving input (V).

    A positive pulse rises before it falls, a negative one falls first; both arrays have the same length.
    """

    rise_ns: TimesNs
    fall_ns: TimesNs
    low_v: float
    high_v: float

    def __len__(self) -> int:
        return len(self.rise_ns)


@dataclass(frozen=True, slots=True)
class OutputPulses:
    """Pulses as they leave an output: begin and end int64 (n,), levels into 50 ohm (V); doubled into a high impedance."""

    begin_ns: TimesNs
    end_ns: TimesNs
    idle_v: float
    active_v: float

    def __len__(self) -> int:
        return len(self.begin_ns)


class Persona(Protocol):
    """One simulated instrument."""

    def run_until(self, t_ns: int) -> dict[str, OutputPulses]:
        """Let everything happen that happens up to and including `t_ns`; return pulses that left outputs since last time."""
        ...

    def receive_edges(self, connector: str, edges: Edges) -> None:
        """Pulses arrive at an input; they may be up to `t_ns` of the current run_until round, never before the last state."""
        ...

    def receive(self, data: bytes, t_ns: int) -> None:
        """Bytes from the host arrive at `t_ns`, in any segmentation."""
        ...

    def reply_ready_ns(self, t_ns: int) -> int | None:
        """When the next unread reply byte is there: <= t_ns now, later in the future, None when none is on its way."""
        ...

    @property
    def reply_is_sent(self) -> bool:
        """Whether the next reply is on the line already, so that only time brings it; else it is foretold, or none."""
        ...

    def take(self, max_bytes: int, t_ns: int) -> tuple[bytes, bool]:
        """Take up to `max_bytes` of what is ready at `t_ns`; the flag says that a message ended with the last byte taken."""
        ...

    def device_clear(self, t_ns: int) -> None:
        """The interface's own clear (GPIB SDC, USBTMC clear); links without one never call it."""
        ...


class Terminal(Protocol):
    """What hangs on the source's output: the film and its cable."""

    def current_a(self, voltage_v: float, t_ns: int) -> float:
        """DC current (A) the load draws at `voltage_v` (V) at `t_ns`, noise-free."""
        ...

    def set_voltage(self, voltage_v: float, t_ns: int) -> None:
        """From `t_ns` on the terminals are at `voltage_v` (V)."""
        ...


class Optics(Protocol):
    """What reaches the spectrometer's detector."""

    def expose(self, open_ns: TimesNs, close_ns: TimesNs) -> NDArray[np.uint16]:
        """Raw counts uint16 (n, pixels) of exposures [open, close), all over by now; called once per exposure, in order."""
        ...

    wavelength_coefficients: tuple[float, float, float, float]
    nonlinearity_coefficients: tuple[float, ...]
