"""Thorlabs PM100D with a pyroelectric energy head: properties in PyMeasure's idiom, and the role EnergyMeter on top of them.

A measurement is started with INIT and asked for with FETC? only once the operation register says that there is one, so that a
pulse that never comes is no lost answer.
Source: commands as the ThorlabsPM100 package 1.2.2 lists them; bits of the registers, the number for an overload and the flags
of a head from the maker's instrument driver; energy ranges have no automatic choice: PM100D operation manual.
"""

import math
from typing import Any, NoReturn

from pymeasure.adapters import Adapter
from pymeasure.instruments import Instrument

from drivers.clock import Clock, Deadline
from drivers.errors import InstrumentError, ReadbackMismatch, Reason, RefusedError
from drivers.link import clock_of, conversation, regain
from drivers.registry import DriverEntry
from drivers.roles import EnergyMeterInfo, EnergyReading, Identity
from drivers.scpi import (
    Fenced,
    drain_errors,
    integer,
    number,
    parse_error,
    parse_identity,
    prove,
    register,
    require_no_errors,
    set_and_confirm,
    switch,
    unexpected,
)

HEADS_HZ: dict[str, float] = {"ES111C": 40.0, "ES120C": 30.0, "ES145C": 30.0, "ES220C": 30.0, "ES245C": 30.0}
"""Pulses per second that a head can follow (Hz). From memory, unverified: see the data sheet of yours."""

IS_ENERGY_HEAD, RESPONSIVITY_SETTABLE = 2, 16
DATA_READY = 0x200  # of the operation register
POWER_ON = 0x80  # of the standard event register
NO_NUMBER = 9.8e37  # an answer of this size or more is an overload or no number at all
THRESHOLD_PERCENT = 1.0  # of the range; weaker pulses are none
POLL_S = 0.002
RELATIVE_TOLERANCE = 1e-5  # of settings read back with seven digits
RANGE_STEP = 10**0.25  # ranges are decades: several tries per decade find the next one


def _real(command: str, docs: str) -> Any:
    return number(command, docs, -NO_NUMBER, NO_NUMBER, "%.6E")


class Pm100d(Fenced, Instrument):
    """Thorlabs PM100D as a meter of single pulses.

    Parameters
    ----------
    adapter  a `drivers.link.Link`, or anything PyMeasure takes (then without fences, on the computer's own clock)
    """

    def __init__(self, adapter: Adapter | str | int, name: str = "Thorlabs PM100D", **kwargs: Any) -> None:
        kwargs.setdefault("read_termination", "\n")
        kwargs.setdefault("write_termination", "\n")
        super().__init__(adapter, name, includeSCPI=False, **kwargs)
        self._identity: Identity | None = None
        self._range_uj = math.nan

    # --- settings

    wavelength_nm = _real("SENS:CORR:WAV", "Control the wavelength that the head is calibrated for (nm, within its range).")
    range_j = _real("SENS:ENER:RANG:UPP", "Control the highest energy (J, above 0); the instrument takes a range that is near.")
    loss_db = number("SENS:CORR:LOSS:INP:MAGN", "Control the attenuation before the head (dB, strictly -60 to 60).", -60, 60)
    responsivity_v_per_j = _real("SENS:CORR:ENER:PYRO:RESP", "Control the responsivity (V/J).")
    relative = switch("SENS:ENER:REF:STAT", "Control whether a reference energy is taken off (bool).")
    threshold_percent = number(
        "SENS:PEAK:THR", "Control the trigger level (% of the range, strictly 0.1 to 99.9).", 0.1, 99.9, "%.2f"
    )
    averages = integer("SENS:AVER:COUN", "Control how many pulses make one answer (1 to 10000).", 1, 10_000)
    rising_filter = integer("STAT:OPER:PTR", "Control which rising operation bits are events (0 to 32767).", 0, 32767)
    falling_filter = integer("STAT:OPER:NTR", "Control which falling operation bits are events (0 to 32767).", 0, 32767)
    function = Instrument.measurement("CONF?", "Get what is measured (str: ENER, EDEN, VOLT, FREQ, POW).", cast=str)
    event_status = register("*ESR", "Get and clear the standard event register (0 to 255; bit 7: switched on since).")
    operation_event = register("STAT:OPER", "Get and clear the operation events (bit 9: a measurement can be fetched).")
    operation_condition = register("STAT:OPER:COND", "Get the operation condition (bits: 5 waiting, 8 head, 9 result).")
    energy_j = Instrument.measurement("MEAS:ENER?", "Measure the energy of the next pulse (J, from 0); no answer before it.")

    # --- actions

    def clear(self) -> None:
        """Clear the event registers and the error queue."""
        self.write("*CLS")

    def reset(self) -> None:
        """Restore defaults; a measurement ends."""
        self.write("*RST")

    def abort(self) -> None:
        """End a measurement."""
        self.write("ABOR")

    def check_errors(self) -> list[str]:
        """Empty the error queue and return it."""
        return self.errors()

    @property
    def wavelength_limits_nm(self) -> tuple[float, float]:
        """Get the shortest and longest wavelength the head is calibrated for (nm)."""
        return self._limits("SENS:CORR:WAV")

    @property
    def range_limits_j(self) -> tuple[float, float]:
        """Get the smallest and largest range (J, a pair of 2)."""
        return self._limits("SENS:ENER:RANG:UPP")

    # --- role EnergyMeter

    def identify(self) -> Identity:
        """Ask who answers.

        Raises
        ------
        WrongIdentity  it is not a PM100D, or not the one that answered before
        """
        self._regain()
        self._identity = self._ask_identity()
        return self._identity

    def prepare(self, wavelength_nm: float, range_uj: float) -> EnergyMeterInfo:
        """Reset, then pulse energy at `wavelength_nm` (nm) in the smallest range of at least `range_uj` (uJ), each read back.

        Pulses below 1 % of the range are not seen. Errors from before are dropped.

        Raises
        ------
        RefusedError      no energy head, a head whose rate is not known here, or no such wavelength or range
        ReadbackMismatch  a setting is not as set
        InstrumentError   the instrument reported errors
        """
        self._range_uj = math.nan
        self._regain()
        self.abort()
        self.clear()
        self.reset()
        head, serial, calibrated, flags = self._require_head()
        self._set_wavelength(wavelength_nm)
        set_and_confirm(self, self.name, "loss_db", 0.0)
        if flags & RESPONSIVITY_SETTABLE:
            self.write("SENS:CORR:ENER:PYRO:RESP DEF")
        chosen_uj = self._set_range(range_uj)
        set_and_confirm(self, self.name, "threshold_percent", THRESHOLD_PERCENT, THRESHOLD_PERCENT * RELATIVE_TOLERANCE)
        set_and_confirm(self, self.name, "averages", 1)
        set_and_confirm(self, self.name, "relative", False)
        set_and_confirm(self, self.name, "rising_filter", DATA_READY)
        set_and_confirm(self, self.name, "falling_filter", 0)
        self.write("CONF:ENER")
        function = self.function
        if function != "ENER":
            self._mismatch("function", "ENER", function)
        require_no_errors(self.errors(), self.name, "it was prepared")
        self._refuse_new_start()
        self._range_uj = chosen_uj
        return EnergyMeterInfo(head, serial, calibrated, HEADS_HZ[head], chosen_uj, wavelength_nm)

    def measure(self, timeout_s: float) -> EnergyReading | None:
        """Measure the next pulse; None when none came within `timeout_s` (s), nothing is measured any more then.

        Raises
        ------
        InstrumentError  not prepared, switched off and on since, or the pulse was stronger than the range (or no number
                         came for it)
        """
        if self._regain() or math.isnan(self._range_uj):
            self._range_uj = math.nan
            self._unprepared()
        self._refuse_new_start()
        self.ask("ABOR;:STAT:OPER?")  # whatever was ready before is forgotten
        deadline = Deadline(self._clock, timeout_s)
        asked_ns = self._clock.now_ns()
        self.write("INIT")
        while True:
            over = deadline.over  # before the question: what came until then counts
            if self.operation_event & DATA_READY:
                break
            if over:
                self.abort()
                self._prove()
                return None
            self._clock.sleep(min(POLL_S, deadline.left_s))
        answered_ns = self._clock.now_ns()
        (energy_j,) = self.numbers("FETC?", 1)
        if not 0 <= energy_j < NO_NUMBER:
            self._overloaded(energy_j)
        return EnergyReading(energy_j * 1e6, asked_ns, answered_ns)

    def errors(self) -> list[str]:
        """Empty the error queue and return it, oldest first."""
        return drain_errors(lambda: self.asked("SYST:ERR?", parse_error), self.name)

    # --- parts

    @property
    def _clock(self) -> Clock:
        return clock_of(self.adapter)

    def _ask_identity(self) -> Identity:
        return DRIVER.require(self.asked("*IDN?", parse_identity))

    def _prove(self) -> None:
        prove(self, self._ask_identity, self._identity)

    def _regain(self) -> bool:
        return regain(self.adapter, self._prove)

    def _limits(self, command: str) -> tuple[float, float]:
        with conversation(self.adapter):
            (low,), (high,) = self.numbers(f"{command}? MIN", 1), self.numbers(f"{command}? MAX", 1)
        return low, high

    def _require_head(self) -> tuple[str, str, str, int]:
        """Return name, serial number, calibration date and flags of an energy head whose rate is known."""
        fields = self.asked("SYST:SENS:IDN?", _sensor_fields)
        head, serial, calibrated = fields[:3]
        flags = int(fields[5])
        if not flags & IS_ENERGY_HEAD:
            self._refuse("no-energy-head", "head", f"{head or 'no head'!r} does not measure pulse energy")
        if head not in HEADS_HZ:
            # a rate that is guessed too high makes wrong readings, one too low makes a calibration last for hours
            self._refuse(
                "energy-head-unknown",
                "head",
                f"how often a {head} can measure is not known; add its data sheet's rate to HEADS_HZ in {__name__}",
            )
        return head, serial, calibrated, flags

    def _set_wavelength(self, wavelength_nm: float) -> None:
        low, high = self.wavelength_limits_nm
        if not low <= wavelength_nm <= high:
            self._refuse(
                "wavelength-impossible",
                "wavelength_nm",
                f"{wavelength_nm:g} nm; this head is calibrated from {low:g} to {high:g} nm",
            )
        set_and_confirm(self, self.name, "wavelength_nm", wavelength_nm, wavelength_nm * RELATIVE_TOLERANCE)

    def _set_range(self, range_uj: float) -> float:
        """Choose the smallest range that holds `range_uj`; return it (uJ)."""
        _, highest_j = self.range_limits_j
        if not 0 < range_uj <= highest_j * 1e6 * (1 + RELATIVE_TOLERANCE):
            message = f"{range_uj:g} uJ; the largest range of this head is {highest_j * 1e6:g} uJ"
            self._refuse("energy-range-impossible", "range_uj", message)
        wanted_j = tried_j = min(range_uj * 1e-6, highest_j)
        while True:
            self.range_j = tried_j
            found_j = self.range_j
            if found_j >= wanted_j * (1 - RELATIVE_TOLERANCE):
                return found_j * 1e6
            if tried_j >= highest_j:
                self._mismatch("range_j", f"{wanted_j:g} or more", f"{found_j:g}")
            # it has rounded down to the range below
            tried_j = min(tried_j * RANGE_STEP, highest_j)

    def _mismatch(self, name: str, wanted: str, found: object) -> NoReturn:
        raise ReadbackMismatch(
            f"{self.name}: {name} should be {wanted}, the instrument says {found}.",
            where=self.name,
            hardware_state="partly set up",
            next_step="see the instrument's error queue; nothing is measured until prepare() succeeds",
        )

    def _refuse_new_start(self) -> None:
        """See that what prepare() has set is still there: switched on again, it is calibrated for another wavelength."""
        if self.event_status & POWER_ON:
            self._range_uj = math.nan
            raise InstrumentError(
                f"{self.name} was switched off and on since it was prepared.",
                where=self.name,
                hardware_state="wavelength and range are its own defaults; nothing is measured",
                next_step="prepare() it again",
            )

    def _unprepared(self) -> NoReturn:
        raise InstrumentError(
            f"{self.name} is not prepared; nothing was measured.", where=self.name, next_step="prepare() it first"
        )

    def _overloaded(self, energy_j: float) -> NoReturn:
        raise InstrumentError(
            f"{self.name} measured a pulse but gives no energy for it ({energy_j:g} J): it is beyond the range of "
            f"{self._range_uj:g} uJ.",
            where=self.name,
            hardware_state="the head has seen more than its range; it measures nothing now",
            next_step="prepare() it with a larger range, or attenuate the beam",
        )

    def _refuse(self, code: str, where: str, message: str) -> NoReturn:
        error = RefusedError(f"{self.name} refuses what it was given.", (Reason(code, where, message),), where=self.name)
        error.hardware_state = "reset and partly set up; it measures nothing"
        raise error


def _sensor_fields(answer: str) -> list[str]:
    fields = [field.strip().strip('"') for field in answer.split(",")]
    if len(fields) != 6 or not fields[5].isdecimal():
        raise unexpected("SYST:SENS:IDN?", answer)
    return fields


DRIVER = DriverEntry(
    model="thorlabs-pm100d",
    role="energy_meter",
    identity=r"Thorlabs,PM100D\b",
    build=Pm100d,
    serial_line={"baud_rate": 115_200},
)
