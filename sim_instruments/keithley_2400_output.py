"""The output stage of a Keithley 2400: what is at the terminals, under compliance too."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from sim_instruments.keithley_2400_settings import (
    CURR_RANGES,
    FULL_SCALE,
    VOLT_RANGES,
    Settings,
    lowest_range,
)
from sim_instruments.persona import Terminal

_BISECTIONS = 50


class Limited(Enum):
    """Which limit holds the output."""

    NOT = auto()
    COMPLIANCE = auto()
    RANGE_COMPLIANCE = auto()


@dataclass(frozen=True, slots=True)
class Limit:
    """A compliance value (A or V) and which of the two kinds it is."""

    value: float
    kind: Limited

    def __deepcopy__(self, memo: dict[int, Any]) -> "Limit":
        return self


def effective_limit(settings: Settings) -> Limit:
    """Return the compliance that acts: the programmed one, or the full scale of a fixed measuring range below it.

    Source: 2400S-900-01 rev K, section 6, real and range compliance.
    """
    if settings.sourcing_voltage:
        programmed, fixed, nominal = settings.current_limit_a, not settings.sense_curr_auto, settings.sense_curr_range_a
    else:
        programmed, fixed, nominal = settings.voltage_limit_v, not settings.sense_volt_auto, settings.sense_volt_range_v
    real, of_range = abs(programmed), nominal * FULL_SCALE
    if fixed and of_range < real * (1 - 1e-9):
        return Limit(of_range, Limited.RANGE_COMPLIANCE)
    return Limit(real, Limited.COMPLIANCE)


@dataclass
class OutputStage:
    """Holds a level (V, or A when sourcing current) at the terminals while it is on; drives 0 V while it is off.

    The off-states NORM, ZERO and GUAR hold 0 V; HIMP opens a relay, after which the film discharges by itself: 0 V too.
    """

    terminal: Terminal
    on: bool = False
    level: float = 0.0
    voltage_v: float = 0.0
    limited: Limited = Limited.NOT
    protected: bool = False

    def apply(self, settings: Settings, t_ns: int) -> None:
        """Regulate, and tell the terminal when its voltage changes."""
        voltage_v, self.limited, self.protected = 0.0, Limited.NOT, False
        if self.on and settings.sourcing_voltage:
            voltage_v = self._hold_voltage(settings, t_ns)
        elif self.on:
            voltage_v = self._hold_current(settings, t_ns)
        if voltage_v != self.voltage_v:
            self.voltage_v = voltage_v
            self.terminal.set_voltage(voltage_v, t_ns)

    def current_a(self, settings: Settings, t_ns: int) -> float:
        """Noise-free current through the terminals (A)."""
        if not self.on and settings.off_state == "HIMP":
            return 0.0
        return self.terminal.current_a(self.voltage_v, t_ns)

    def source_range(self, settings: Settings) -> float:
        """Nominal source range in use (V or A)."""
        if settings.sourcing_voltage:
            ranges, automatic, fixed = VOLT_RANGES, settings.source_volt_auto, settings.source_volt_range_v
        else:
            ranges, automatic, fixed = CURR_RANGES, settings.source_curr_auto, settings.source_curr_range_a
        return lowest_range(ranges, self.level) if automatic else fixed

    def _hold_voltage(self, settings: Settings, t_ns: int) -> float:
        full_scale = self.source_range(settings) * FULL_SCALE
        bound = min(settings.protection_v, full_scale)
        self.protected = abs(self.level) > settings.protection_v
        target_v = min(max(self.level, -bound), bound)
        limit = effective_limit(settings)
        current_a = self.terminal.current_a(target_v, t_ns)
        if abs(current_a) <= limit.value:
            return target_v
        self.limited = limit.kind
        if target_v >= 0:
            return self._solve(0.0, target_v, limit.value, t_ns)
        return self._solve(target_v, 0.0, -limit.value, t_ns)

    def _hold_current(self, settings: Settings, t_ns: int) -> float:
        limit = effective_limit(settings)
        bound = min(limit.value, settings.protection_v)
        self.protected = settings.protection_v < limit.value
        for end_v, outside in ((bound, 1), (-bound, -1)):
            if (self.level - self.terminal.current_a(end_v, t_ns)) * outside > 0:
                self.limited = limit.kind
                return end_v
        return self._solve(-bound, bound, self.level, t_ns)

    def _solve(self, low_v: float, high_v: float, wanted_a: float, t_ns: int) -> float:
        """Voltage in [low, high] at which the load draws `wanted_a`; its current must rise with voltage."""
        for _ in range(_BISECTIONS):
            middle_v = (low_v + high_v) / 2
            if self.terminal.current_a(middle_v, t_ns) > wanted_a:
                high_v = middle_v
            else:
                low_v = middle_v
        return (low_v + high_v) / 2
