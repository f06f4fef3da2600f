"""Any plain programmable supply that speaks SCPI: one output that is set, switched and read, and no more.

For supplies of the classes Keysight E36xx and Rigol DP8xx and whatever else knows VOLT, CURR, OUTP, MEAS:VOLT?, MEAS:CURR?,
SYST:ERR?, *IDN?, *CLS and *ESE. It has no trigger input, so it serves gated blocks only; its output is unipolar; it has no
clock. Of a supply with several outputs the one that is selected on it is used: nothing here selects or resets.
Source of commands: SCPI-99 volume 2 (SOURce, OUTPut, MEASure, SYSTem); the makers' programming guides are not quoted. That
OUTP? is answered 0/1 by some and OFF/ON by others: from memory, unverified.
"""

from collections.abc import Sequence
from typing import Any

from pymeasure.adapters import Adapter
from pymeasure.instruments import Instrument, SCPIMixin
from pymeasure.instruments.validators import strict_discrete_set

from drivers.errors import InstrumentError, ReadbackMismatch, Reason, RefusedError
from drivers.link import conversation, regain, send_now
from drivers.registry import DriverEntry
from drivers.roles import HoldLevel, Identity, SafeReadback, SourceLimits, SourceProgram, SourceReading
from drivers.scpi import (
    Fenced,
    drain_errors,
    number,
    parse_error,
    parse_identity,
    prove,
    require_no_errors,
    set_and_confirm,
    unexpected,
)
from drivers.source_checks import check_levels, check_limits, output_stays_off

HIGHEST_V = 1000.0  # beyond the class of instruments meant here
HIGHEST_A = 1000.0
LEVEL_TOLERANCE_V = 0.02  # a setting may be rounded to the supply's own steps, 10 mV on coarse ones
LIMIT_TOLERANCE = 0.05  # a current limit rounded by more is not the one asked for
SETTLED_V = 0.05
LIMIT_REACHED = 0.95  # of the current limit: a supply's own read-back is no better than this near the bottom of its range
SETTLE_QUESTIONS = 200  # a question takes a supply some 10 ms, so this is seconds
MEASURE_TIMEOUT_S = 2.0
ON_OFF = {"0": False, "1": True, "OFF": False, "ON": True}


class ScpiSupply(Fenced, SCPIMixin, Instrument):
    """Plain supply as a voltage source for gated blocks.

    A supply walks to a new level in milliseconds and does not say when it is there: arm() asks until it is. In constant
    current its voltage stays below the set one while its current is at the limit, which is how compliance is told.

    Parameters
    ----------
    adapter  a `drivers.link.Link`, or anything PyMeasure takes (then without fences)
    """

    off_message: bytes = b"\nOUTP OFF\nVOLT 0\n"  # the first line end closes a message cut off before it
    step_time_ns: int = 0  # it never steps by itself
    max_list_points: int = 0
    trigger_connector: str = ""
    bipolar: bool = False

    def __init__(self, adapter: Adapter | str | int, name: str = "SCPI supply", **kwargs: Any) -> None:
        kwargs.setdefault("read_termination", "\n")
        kwargs.setdefault("write_termination", "\n")
        super().__init__(adapter, name, **kwargs)
        self._limits: SourceLimits | None = None
        self._program: HoldLevel | None = None
        self._on = False  # switched on by this driver, and not off since
        self._identity: Identity | None = None

    @property
    def output_enabled(self) -> bool:
        """Control whether the output is on (bool)."""
        return self.asked("OUTP?", _on_or_off)

    @output_enabled.setter
    def output_enabled(self, on: bool) -> None:
        self.write(f"OUTP {'ON' if strict_discrete_set(on, (True, False)) else 'OFF'}")

    voltage_setpoint = number("VOLT", "Control the output voltage (V, strictly 0 to 1000).", 0, HIGHEST_V)
    current_limit = number("CURR", "Control the current limit (A, strictly 0 to 1000).", 0, HIGHEST_A)
    voltage = Instrument.measurement("MEAS:VOLT?", "Measure the voltage at the output (V).")
    current = Instrument.measurement("MEAS:CURR?", "Measure the current through the output (A).")
    next_error = Instrument.measurement(  # pyright: ignore[reportIncompatibleMethodOverride] - PyMeasure's own mixin does it
        "SYST:ERR?", "Get and remove the oldest error of the queue (list of str: code, text).", cast=str, maxsplit=1
    )

    def shutdown(self) -> None:
        """Switch the output off, write-only."""
        self.make_safe()
        super().shutdown()

    # --- role VoltageSource

    def identify(self) -> Identity:
        """Ask who answers.

        Raises
        ------
        WrongIdentity  another driver's model, or not the one that answered before
        """
        self._regain()
        self._identity = self._ask_identity()
        return self._identity

    def prepare(self, limits: SourceLimits) -> None:
        """Switch off, set 0 V and the current limit, read both back; errors from before are dropped.

        Raises
        ------
        RefusedError      the limits are impossible for a supply; nothing was sent
        ReadbackMismatch  level or current limit are not as set
        InstrumentError   the instrument reported errors
        """
        self._refuse(check_limits(limits, HIGHEST_V, HIGHEST_A))
        self.make_safe()
        self._regain()
        self._program = None
        self.clear()
        set_and_confirm(self, self.name, "voltage_setpoint", 0.0, LEVEL_TOLERANCE_V)
        set_and_confirm(self, self.name, "current_limit", limits.current_a, LIMIT_TOLERANCE * limits.current_a)
        require_no_errors(self.errors(), self.name, "it was prepared")
        self._limits = limits

    def load(self, program: SourceProgram) -> None:
        """Set up one level; the output does not change: one that is on gets it from arm().

        Raises
        ------
        RefusedError     a list, or a level outside what was prepared or below 0 V
        ReadbackMismatch the level is not as set, or the current limit not as prepared
        InstrumentError  prepare() was not called
        """
        if self._limits is None:
            raise InstrumentError(
                f"{self.name} has no limits yet, or lost them with its link.", where=self.name, next_step="prepare() it first"
            )
        if not isinstance(program, HoldLevel):
            self._refuse([Reason("source-cannot-step", "program", "a plain supply has no trigger input and walks no list")])
        else:
            self._refuse([*check_levels((program.voltage_v,), self._limits), *_check_sign(program.voltage_v)])
            if not self._on:  # so that nothing is left to be said between the decision to switch on and doing it
                self._set_level(program.voltage_v)
            self._program = program

    def arm(self) -> None:
        """Switch the loaded level on and wait until the output has it, or is limited.

        Raises
        ------
        ReadbackMismatch  the level is not as set, or the current limit not as prepared
        InstrumentError   nothing is loaded, the output stays off, or it never comes to the level
        """
        if self._program is None:
            raise InstrumentError(f"{self.name} has nothing loaded to arm.", where=self.name, next_step="load() a program")
        level_v = self._program.voltage_v
        was_on, self._on = self._on, True
        if was_on:
            self._set_level(level_v)
        else:
            self.output_enabled = True
        if not self.output_enabled:
            raise output_stays_off(
                self.name,
                was_on,
                self.errors(),
                "check its protection indicators; a tripped protection is reset on the front panel",
            )
        self._settle(level_v)

    def measure(self) -> SourceReading:
        """Measure V and I once; the time is NaN, a supply has no clock.

        Raises
        ------
        InstrumentError  the output is off: nothing was switched
        """
        if not self.output_enabled:
            raise InstrumentError(
                f"{self.name} was asked to measure while its output is off.",
                where=self.name,
                hardware_state="output off, confirmed",
                next_step="arm() a level first; reading never switches the output on",
            )
        voltage_v, current_a = self._read()
        level_v = self.voltage_setpoint if self._program is None else self._program.voltage_v
        return SourceReading(voltage_v, current_a, float("nan"), self._limited(voltage_v, current_a, level_v))

    def collect(self) -> list[SourceReading]:
        """Return nothing: no list was walked. The output is off afterwards, as after every list."""
        self.make_safe()
        self._regain()
        return []

    def errors(self) -> list[str]:
        """Empty the error queue and return it, oldest first."""
        return drain_errors(lambda: self.asked("SYST:ERR?", parse_error), self.name)

    def make_safe(self) -> None:
        """Send off and 0 V. Write-only, device clear first where the link has one."""
        self._on = False
        send_now(self.adapter, self.off_message)

    def read_safe(self) -> SafeReadback:
        """Ask whether the output is off."""
        self._regain()
        on = self.output_enabled
        return SafeReadback(not on, f"output {'ON' if on else 'off'}")

    # --- parts

    def _ask_identity(self) -> Identity:
        return DRIVER.require(self.asked("*IDN?", parse_identity))

    def _regain(self) -> None:
        if regain(self.adapter, lambda: prove(self, self._ask_identity, self._identity)):
            # it may have been off in between: what was set up is not to be relied on
            self._limits = None
            self._program = None

    def _set_level(self, level_v: float) -> None:
        set_and_confirm(self, self.name, "voltage_setpoint", level_v, LEVEL_TOLERANCE_V)
        self._require_current_limit()  # after the level, which goes with the power, too

    def _require_current_limit(self) -> None:
        """See that the limit is the prepared one: switched on again, a supply has its own, far above what a film bears."""
        limit_a, found_a = 0.0 if self._limits is None else self._limits.current_a, self.current_limit
        if not abs(found_a - limit_a) <= LIMIT_TOLERANCE * limit_a:
            self.make_safe()
            raise ReadbackMismatch(
                f"{self.name} limits its current to {found_a:g} A; it was prepared with {limit_a:g} A.",
                where=self.name,
                hardware_state="off was sent",
                next_step="it was switched off and on, or set by hand: prepare() it again",
            )

    def _read(self) -> tuple[float, float]:
        with conversation(self.adapter, MEASURE_TIMEOUT_S):
            [voltage_v] = self.numbers("MEAS:VOLT?", 1)
            [current_a] = self.numbers("MEAS:CURR?", 1)
        return voltage_v, current_a

    def _limited(self, voltage_v: float, current_a: float, level_v: float) -> bool:
        limit_a = self.current_limit if self._limits is None else self._limits.current_a
        return voltage_v < level_v - SETTLED_V and abs(current_a) >= LIMIT_REACHED * limit_a

    def _settle(self, level_v: float) -> None:
        voltage_v = current_a = float("nan")
        last_v = -float("inf")
        for _ in range(SETTLE_QUESTIONS):
            voltage_v, current_a = self._read()
            # while it still climbs the current into the load's capacitance may be at the limit too
            climbs = voltage_v > last_v + SETTLED_V
            if abs(voltage_v - level_v) <= SETTLED_V or (not climbs and self._limited(voltage_v, current_a, level_v)):
                return
            last_v = voltage_v
        raise InstrumentError(
            f"{self.name} stays at {voltage_v:.3f} V and {current_a:.3g} A; {level_v:g} V was set.",
            where=self.name,
            hardware_state="output on",
            next_step="check the load and the supply's protection settings; without a load it may take long to fall",
        )

    def _refuse(self, reasons: Sequence[Reason]) -> None:
        if reasons:
            raise RefusedError(f"{self.name} refuses what it was given; nothing was sent.", tuple(reasons), where=self.name)


def _on_or_off(word: str) -> bool:
    try:
        return ON_OFF[word.strip().upper()]
    except KeyError:
        raise unexpected("OUTP?", word) from None


def _check_sign(level_v: float) -> list[Reason]:
    if level_v >= 0:
        return []
    return [Reason("voltage-negative", "voltage_v", f"{level_v:g} V; a plain supply is unipolar, 0 V is its lowest level")]


DRIVER = DriverEntry(
    model="scpi-supply",
    role="voltage_source",
    identity=r"ITO-RIG SIMULATED,PLAIN-",
    build=ScpiSupply,
    any_identity=True,
)
