"""The output of a plain supply: a loop that follows its setting slowly, a current limit, and a relay."""

import math
from dataclasses import dataclass

from sim_instruments.persona import Terminal

TIME_CONSTANT_S = 5e-3  # of the voltage loop, up and down alike, assumed: makers give 10 to 100 ms for a full step
STEP_NS = 500_000  # how finely the walk to a new level is drawn
LANDED_V = 1e-3  # nearer than a programming step counts as there
_SHARE = -math.expm1(-STEP_NS * 1e-9 / TIME_CONSTANT_S)
_BISECTIONS = 50


@dataclass
class SupplyOutput:
    """Holds a voltage at the terminals while the relay is closed; 0 V while it is open.

    The relay opens at once, and what discharges the film then is the film itself: 0 V (assumed). It closes on a loop that
    starts at 0 V. The current limit acts at once; a real one takes as long as its own loop.

    Parameters
    ----------
    terminal    what hangs on the output; asked and told in time order
    setting_v   programmed voltage (V, 0 or more)
    limit_a     programmed current limit (A)
    ceiling_v   above it the overvoltage protection, when it is on, takes the output to 0 V until it is cleared
    """

    terminal: Terminal
    setting_v: float = 0.0
    limit_a: float = 0.0
    on: bool = False
    limited: bool = False
    voltage_v: float = 0.0
    loop_v: float = 0.0
    ceiling_v: float = math.inf
    protected: bool = False
    tripped: bool = False
    due_ns: int | None = None  # when the next part of a walk is due

    def set(self, t_ns: int, *, voltage_v: float | None = None, limit_a: float | None = None, on: bool | None = None) -> None:
        """Change settings at `t_ns`; a new voltage is walked to."""
        self.setting_v = self.setting_v if voltage_v is None else voltage_v
        self.limit_a = self.limit_a if limit_a is None else limit_a
        if on is not None and on != self.on:
            self.on, self.loop_v = on, 0.0
        walking = self.on and self.loop_v != self.setting_v
        self.due_ns = (self.due_ns or t_ns + STEP_NS) if walking else None
        self.regulate(t_ns)

    def protect(self, t_ns: int, *, ceiling_v: float | None = None, on: bool | None = None) -> None:
        """Set or switch the overvoltage protection; one that is switched off trips no more, but stays tripped."""
        self.ceiling_v = self.ceiling_v if ceiling_v is None else ceiling_v
        self.protected = self.protected if on is None else on
        self.regulate(t_ns)

    def clear_protection(self, t_ns: int) -> None:
        """Let the output on again after a trip; it trips again when the voltage is still too high."""
        self.tripped, self.loop_v = False, 0.0
        self.set(t_ns)

    def walk(self) -> None:
        """Take the step that is due."""
        if self.due_ns is None:
            return
        t_ns = self.due_ns
        self.loop_v += _SHARE * (self.setting_v - self.loop_v)
        landed = abs(self.setting_v - self.loop_v) < LANDED_V
        if landed:
            self.loop_v = self.setting_v
        self.due_ns = None if landed else t_ns + STEP_NS
        self.regulate(t_ns)

    def regulate(self, t_ns: int) -> None:
        """Find the voltage that loop, limit and load agree on, and tell the terminal when it has changed."""
        self.tripped |= self.protected and self.on and self.loop_v > self.ceiling_v
        voltage_v, self.limited = (self.loop_v if self.on and not self.tripped else 0.0), False
        if voltage_v > 0 and self.terminal.current_a(voltage_v, t_ns) > self.limit_a:
            voltage_v, self.limited = self._held_back_v(voltage_v, t_ns), True
        if voltage_v != self.voltage_v:
            self.voltage_v = voltage_v
            self.terminal.set_voltage(voltage_v, t_ns)

    def current_a(self, t_ns: int) -> float:
        """Noise-free current through the output (A)."""
        return self.terminal.current_a(self.voltage_v, t_ns) if self.on else 0.0

    def _held_back_v(self, high_v: float, t_ns: int) -> float:
        """Voltage below `high_v` at which the load draws the limit; its current must rise with voltage."""
        low_v = 0.0
        for _ in range(_BISECTIONS):
            middle_v = (low_v + high_v) / 2
            if self.terminal.current_a(middle_v, t_ns) > self.limit_a:
                high_v = middle_v
            else:
                low_v = middle_v
        return low_v
