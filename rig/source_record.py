"""What the source says of itself: single readings while it holds a level, and the record that proves a list."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from drivers.errors import ComplianceReached, ReadbackMismatch
from drivers.roles import SourceReading

WRONG_V = 0.1  # a reading further than this from the planned level is not that level
QUIET_S = 0.006  # between a burst's end and the next edge: longer than edges are uncertain
EDGE_TOLERANCE_S = 2.5e-3  # points of a list must lie where its edges were: 1 ms of stamp, a lost trigger or two
CLOCK_TOLERANCE = 1e-4  # and two instruments' clocks differ by this at most


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement of the source: on the host's clock it was made between `asked_ns` and `t_ns`."""

    asked_ns: int
    t_ns: int
    voltage_v: float
    current_a: float
    in_compliance: bool


@dataclass(frozen=True, slots=True)
class Edge:
    """A planned step of the source: the level it leads to, and when its burst began on two clocks.

    `start_us` is on the spectrometer's clock, None when the burst has no frames; `t_fire_ns` on the host's. `tick_s` is how
    long a microsecond of the spectrometer really lasts, by the shots of the burst.
    """

    voltage_v: float
    start_us: float | None
    t_fire_ns: int
    tick_s: float = 1e-6


class HasLevel(Protocol):
    """A reading of any kind."""

    @property
    def voltage_v(self) -> float:
        """Voltage at the terminals (V)."""
        ...

    @property
    def current_a(self) -> float:
        """Current (A)."""
        ...

    @property
    def in_compliance(self) -> bool:
        """Whether the source limits its current."""
        ...


def demand_level(reading: HasLevel, voltage_v: float) -> None:
    """Raise unless the source holds `voltage_v` (V).

    Raises
    ------
    ComplianceReached  the source limits its current
    ReadbackMismatch   it reads another voltage
    """
    if reading.in_compliance:
        raise compliance_error(reading)
    if not abs(reading.voltage_v - voltage_v) <= WRONG_V:
        raise ReadbackMismatch(
            f"The source reads {reading.voltage_v:.3f} V where {voltage_v:g} V was set.",
            where="voltage source",
            hardware_state="going safe",
            next_step="check the leads and the source's range, then run again",
        )


def compliance_error(reading: HasLevel) -> ComplianceReached:
    """The error that a reading in compliance becomes."""
    return ComplianceReached(
        f"The source reached its current limit: {reading.current_a * 1e3:.3f} mA at {reading.voltage_v:.2f} V.",
        where="voltage source",
        hardware_state="going safe",
        next_step="the film may have broken down: check its resistance at 0.1 V before applying voltage again",
    )


def list_mismatch(points: Sequence[SourceReading], edges: Sequence[Edge], settle_s: float) -> str:
    """Say how the source's own record differs from the levels and edges that were planned; "" when it does not.

    Levels must agree to 0.1 V, intervals between points with the intervals between bursts: those on the spectrometer's clock
    where both bursts have frames, on the host's otherwise. An edge may be late by no more than `settle_s`, in which frames are
    flagged.
    """
    if len(points) != len(edges):
        return f"the source executed {len(points)} of {len(edges)} levels"
    for number, (point, edge) in enumerate(zip(points, edges, strict=True)):
        # a level that is limited is none, and vouches for no frame; the others may still be proven
        if not (point.in_compliance or abs(point.voltage_v - edge.voltage_v) <= WRONG_V):
            return f"level {number} read {point.voltage_v:.3f} V, planned {edge.voltage_v:g} V"
    for number in range(1, len(points)):
        measured_s = points[number].t_source_s - points[number - 1].t_source_s
        before, after = edges[number - 1], edges[number]
        if before.start_us is None or after.start_us is None:
            planned_s = (after.t_fire_ns - before.t_fire_ns) * 1e-9
        else:
            planned_s = (after.start_us - before.start_us) * before.tick_s
        tolerance_s = min(EDGE_TOLERANCE_S + CLOCK_TOLERANCE * planned_s, QUIET_S - 1e-3, settle_s)
        if not abs(measured_s - planned_s) <= tolerance_s:
            return (
                f"levels {number - 1} and {number} lie {measured_s:.4f} s apart on the source's clock, "
                f"their bursts {planned_s:.4f} s"
            )
    return ""
