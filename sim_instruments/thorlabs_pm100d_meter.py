"""The measuring part of a PM100D with a pyroelectric head: settings, and one measurement at a time.

Source: command descriptions of the ThorlabsPM100 package 1.2.2, which repeat the manual's; bits and the number for an overload
from the maker's instrument driver. Assumed: values after *RST and limits; an average of n is that of n pulses
that follow one another; a frequency is that of two pulses; settings changed while a measurement runs act on its result.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from sim_instruments.scpi import ScpiError
from sim_instruments.thorlabs_pm100d_head import PUMP_NM, VOLTAGE_RANGES_V, Detector, Peak
from sim_instruments.thorlabs_pm100d_status import (
    OPER_DATA,
    OPER_WAITING,
    OPERATION_COMPLETE,
    QUES_ENERGY,
    SETTINGS_CONFLICT,
    STALE,
    Status,
)

OVERLOAD = 9.9e37
ENERGY, ENERGY_DENSITY, VOLTAGE, FREQUENCY = "ENER", "EDEN", "VOLT", "FREQ"
WAVELENGTH_DEFAULT_NM = 1064.0
LOSS_LIMITS_DB = (-60.0, 60.0)
BEAM_LIMITS_MM, BEAM_DEFAULT_MM = (0.1, 100.0), 9.5
THRESHOLD_LIMITS_PERCENT, THRESHOLD_DEFAULT_PERCENT = (0.1, 99.9), 1.0
FREQUENCY_LIMITS_HZ = (1.0, 3000.0)


class NotYetError(Exception):
    """The measurement whose result is asked for still runs."""


@dataclass(slots=True)
class Settings:
    """What *RST brings back."""

    function: str = ENERGY
    wavelength_nm: float = WAVELENGTH_DEFAULT_NM
    responsivity_v_per_j: float = 1.0
    loss_db: float = 0.0
    beam_mm: float = BEAM_DEFAULT_MM
    threshold_percent: float = THRESHOLD_DEFAULT_PERCENT
    range_v: float = VOLTAGE_RANGES_V[-1]
    average: int = 1
    reference_j: float = 0.0
    reference_v: float = 0.0
    relative_energy: bool = False
    relative_voltage: bool = False


@dataclass(slots=True)
class Preferences:
    """What *RST leaves alone. The calendar stands still."""

    brightness: float = 1.0
    contrast: float = 0.5
    line_hz: int = 50
    beeper: bool = True
    date: tuple[int, int, int] = (2026, 1, 1)
    time: tuple[int, int, int] = (12, 0, 0)
    adapter: str = "PYR"


@dataclass(slots=True)
class _Run:
    """A measurement under way."""

    function: str
    voltages_v: list[float] = field(default_factory=list[float])
    last_peak_ns: int | None = None


class Meter:
    """Head, settings, status and the measurement that runs.

    Parameters
    ----------
    detector  what sees the light
    identity  answer to *IDN?
    """

    def __init__(self, detector: Detector, identity: str) -> None:
        self.detector = detector
        self.identity = identity
        self.status = Status()
        self.preferences = Preferences()
        self.message_available: Callable[[], bool] = lambda: False
        self.complete_later = False
        self._run: _Run | None = None
        self._result: float | None = None
        self.settings = Settings()
        self.reset()

    # --- settings

    def reset(self) -> None:
        """*RST."""
        self.abort()
        self.complete_later = False
        self.settings = Settings()
        self.set_wavelength(WAVELENGTH_DEFAULT_NM)
        self.refresh()

    def set_wavelength(self, wavelength_nm: float) -> None:
        """Look up the responsivity at a wavelength (nm); one that was entered by hand is forgotten (assumed)."""
        self.settings.wavelength_nm = wavelength_nm
        self.settings.responsivity_v_per_j = self.detector.head.responsivity(wavelength_nm)

    def refresh(self) -> None:
        """Let the trigger level follow range and percentage."""
        self.detector.threshold_v = self.settings.threshold_percent / 100 * self.settings.range_v

    @property
    def j_per_v(self) -> float:
        """Get the energy (J) before the entered attenuation that makes 1 V."""
        return 10 ** (self.settings.loss_db / 10) / self.settings.responsivity_v_per_j

    # --- measuring

    @property
    def running(self) -> bool:
        """Get whether a measurement waits for pulses."""
        return self._run is not None

    def configure(self, function: str) -> None:
        """Choose what is measured; a measurement that runs ends."""
        self.abort()
        self.settings.function = function

    def initiate(self) -> None:
        """Start a measurement."""
        if self._run is not None:
            raise ScpiError(-213)
        self._result = None
        self._run = _Run(self.settings.function)
        self.status.operation.change(OPER_DATA, on=False)
        self.status.operation.change(OPER_WAITING, on=True)

    def restart(self) -> None:
        """Start a measurement whatever runs."""
        self.abort()
        self.initiate()

    def abort(self) -> None:
        """End the measurement that runs; there is no result then."""
        if self._run is not None:
            self._run = None
            self._completed()
        self._result = None
        self.status.operation.change(OPER_DATA | OPER_WAITING, on=False)

    def fetch(self) -> str:
        """Return the result. Raises NotYetError while it is measured, ScpiError -230 when there is none."""
        if self._run is not None:
            raise NotYetError
        if self._result is None:
            raise ScpiError(STALE)
        return f"{self._result:.6E}"

    def advance(self, until_ns: int) -> int | None:
        """Let pulses up to `until_ns` come; stop where a measurement ends and return when that was."""
        while self._run is not None:
            peak = self.detector.next_peak(until_ns)
            if peak is None:
                return None
            if self._take(self._run, peak):
                return peak.t_ns
        self.detector.pass_until(until_ns)
        return None

    def _take(self, run: _Run, peak: Peak) -> bool:
        """Add a peak to a measurement; tell whether that was the last it needs."""
        if run.function == FREQUENCY:
            before_ns, run.last_peak_ns = run.last_peak_ns, peak.t_ns
            if before_ns is None or before_ns == peak.t_ns:
                return False
            self._finish(1e9 / (peak.t_ns - before_ns), overload=False)
            return True
        if peak.voltage_v is None:
            return False
        run.voltages_v.append(peak.voltage_v)
        if len(run.voltages_v) < self.settings.average:
            return False
        mean_v = math.fsum(run.voltages_v) / len(run.voltages_v)
        overload = max(run.voltages_v) > self.settings.range_v
        self._finish(OVERLOAD if overload else self._in_units(run.function, mean_v), overload=overload)
        return True

    def _in_units(self, function: str, voltage_v: float) -> float:
        settings = self.settings
        if function == VOLTAGE:
            return voltage_v - settings.reference_v * settings.relative_voltage
        energy_j = voltage_v * self.j_per_v
        if function == ENERGY_DENSITY:
            return energy_j / (math.pi / 4 * (settings.beam_mm / 10) ** 2)
        return energy_j - settings.reference_j * settings.relative_energy

    def _finish(self, result: float, *, overload: bool) -> None:
        self._run, self._result = None, result
        self.status.questionable.change(QUES_ENERGY, on=overload)
        self.status.operation.change(OPER_WAITING, on=False)
        self.status.operation.change(OPER_DATA, on=True)
        self._completed()

    def _completed(self) -> None:
        if self.complete_later:
            self.complete_later = False
            self.status.standard_event |= OPERATION_COMPLETE

    @staticmethod
    def refuse_sensor() -> None:
        """Refuse what a pyroelectric head cannot do. The number of the error is assumed."""
        raise ScpiError(SETTINGS_CONFLICT)


def default_responsivity(meter: Meter) -> float:
    """Responsivity in the head's memory at the wavelength that is set (V/J)."""
    return meter.detector.head.responsivity(meter.settings.wavelength_nm or PUMP_NM)
