"""What the runner knows of instruments: roles, their value types and the programs they can be loaded with.

A driver fulfils a role by having its methods (structural typing); the runner never names a model.
Order of calls on every role: prepare() once, then per block load() -> arm() -> ... -> collect(), make_safe() at any time.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Channel = Literal["T0", "AB", "CD", "EF", "GH"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers at a resource."""

    maker: str
    model: str
    serial: str
    firmware: str

    def __str__(self) -> str:
        return f"{self.maker} {self.model}, serial {self.serial or 'not told'}, firmware {self.firmware or 'not told'}"


@dataclass(frozen=True, slots=True)
class SafeReadback:
    """What an instrument says of its own output after it was told to go safe."""

    safe: bool
    detail: str


# --- live quantities ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LiveQuantity:
    """Something an instrument tells of itself now; the unit is in the name, bits are 0 or 1: `board_temperature_c`."""

    name: str
    value: float


@runtime_checkable
class Telling(Protocol):
    """An instrument of any role that tells live quantities, where its model can.

    `interlock_closed` is told only while the instrument's interlock can block it: one that is not in use says nothing.
    """

    live_quantities: tuple[str, ...]  # what it may tell, known before it is opened

    def live(self) -> tuple[LiveQuantity, ...]:
        """Ask for all of them, one short conversation; changes nothing. Not while a list runs or frames are waited for.

        Raises
        ------
        InstrumentError  no answer, or none that fits
        """
        ...


# --- voltage source -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """What the source may do on this bench; checked again in the driver (V, A)."""

    voltage_min_v: float
    voltage_max_v: float
    current_a: float


@dataclass(frozen=True, slots=True)
class HoldLevel:
    """Gated block: one level, held while light is taken; the source stays idle and answers questions."""

    voltage_v: float


@dataclass(frozen=True, slots=True)
class LevelList:
    """Stepped block: a finite list walked on trigger edges; the last level is 0 V and the output goes off after it."""

    levels_v: tuple[float, ...]
    trigger_line: int


SourceProgram = HoldLevel | LevelList


@dataclass(frozen=True, slots=True)
class SourceReading:
    """One measurement of the source: V and I at the terminals, the source's own time stamp (s), the compliance bit."""

    voltage_v: float
    current_a: float
    t_source_s: float
    in_compliance: bool


class VoltageSource(Protocol):
    """A DC source that measures its own voltage and current."""

    off_message: bytes
    step_time_ns: int  # trigger edge to settled level, worst case
    max_list_points: int  # 0: cannot be stepped by trigger edges, gated blocks only
    trigger_connector: str  # name of its trigger inputs without the number: "trigger_link"; "" when it has none
    bipolar: bool  # False: 0 V is its lowest level

    def identify(self) -> Identity:
        """Ask the instrument who it is."""
        ...

    def prepare(self, limits: SourceLimits) -> None:
        """Bring the source from any state to a known one: output off, ranges fixed, current limit set and read back."""
        ...

    def load(self, program: SourceProgram) -> None:
        """Load the program of one block; the output does not change."""
        ...

    def arm(self) -> None:
        """Start the loaded program: switch the level on (HoldLevel) or wait for the first edge (LevelList)."""
        ...

    def measure(self) -> SourceReading:
        """Measure V and I once; never switches the output on; not while a list runs."""
        ...

    def collect(self) -> list[SourceReading]:
        """Read what a list measured, one reading per executed point; ends a list that still waits (abort, output off)."""
        ...

    def errors(self) -> list[str]:
        """Empty the instrument's error queue and return it."""
        ...

    def make_safe(self) -> None:
        """Send off: write-only, valid in every state, output off."""
        ...

    def read_safe(self) -> SafeReadback:
        """Ask whether the output is off; call after make_safe()."""
        ...


# --- laser trigger ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PulseOutput:
    """One pulse per shot on one output of the delay generator; `level_v` is the level at the connected input."""

    channel: Channel
    delay_ns: int
    width_ns: int
    level_v: float
    high_z: bool
    positive: bool


@dataclass(frozen=True, slots=True)
class BurstProgram:
    """Counted bursts of shots; T0 may mark the first shot of a burst only.

    `start` says what begins a burst that was fired: the software trigger itself, or the next rising edge at EXT after it, as
    of a laser that is its own clock. The shots of a burst are counted and spaced by the generator either way.
    """

    period_ns: int
    outputs: tuple[PulseOutput, ...]
    t0_on_first_shot_only: bool
    start: Literal["software", "external_edge"] = "software"


class LaserTrigger(Protocol):
    """A delay generator that fires laser, spectrometer and source."""

    off_message: bytes

    def identify(self) -> Identity:
        """Ask the instrument who it is."""
        ...

    def prepare(self) -> None:
        """Bring the generator from any state to a known one in which it cannot fire by itself."""
        ...

    def load(self, program: BurstProgram) -> None:
        """Load period, outputs and burst mode; nothing fires."""
        ...

    def arm(self, shots: int) -> None:
        """Set the length of the next burst (shots); nothing fires."""
        ...

    def fire(self) -> None:
        """Start the armed burst, or let the next external edge start it, as the program says."""
        ...

    def busy(self) -> bool:
        """Ask whether a burst is running."""
        ...

    def errors(self) -> list[str]:
        """Empty the instrument's error queue and return it."""
        ...

    def make_safe(self) -> None:
        """Send stop: write-only, valid in every state; no pulse leaves any output afterwards."""
        ...

    def read_safe(self) -> SafeReadback:
        """Ask whether the generator is stopped; call after make_safe()."""
        ...


# --- spectrometer -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExposureProgram:
    """One exposure per trigger into the instrument's buffer."""

    integration_time_ns: int
    trigger: Literal["software", "external_edge"]


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """Frames as they came: `spectra` uint16 (n, pixels), `device_time_us` uint64 (n,), `count` uint32 (n,)."""

    spectra: NDArray[np.uint16]
    device_time_us: NDArray[np.uint64]
    count: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.count)


@dataclass(frozen=True, slots=True)
class SpectrometerInfo:
    """What a spectrometer says of itself: wavelength per pixel (nm), nonlinearity polynomial, limits.

    `nonlinearity` are the coefficients c_0.. of r(x) = sum c_i x^i with x = raw - dark (counts); light = x / r(x).
    """

    wavelength_nm: NDArray[np.float64]
    nonlinearity: tuple[float, ...]
    saturation_counts: int
    integration_min_ns: int
    integration_max_ns: int
    frame_period_min_ns: int


class Spectrometer(Protocol):
    """A spectrometer with a frame buffer, a frame counter and a microsecond clock of its own.

    One without them (`has_clock` False) may stand in gated blocks only: its driver numbers frames as they arrive and gives them
    the host's time, which proves no edge.
    """

    off_message: bytes
    has_clock: bool
    pixels: int  # in a frame; of a driver for many models the most there can be
    frames_per_request: int
    readout_ns: int  # from the end of an exposure until the next trigger is seen
    frame_period_min_ns: int
    integration_min_ns: int
    integration_max_ns: int

    def identify(self) -> Identity:
        """Ask the instrument who it is."""
        ...

    def prepare(self) -> SpectrometerInfo:
        """Bring the spectrometer from any state to a known idle one, buffer empty."""
        ...

    def load(self, program: ExposureProgram) -> None:
        """Set integration time and trigger; nothing is acquired yet."""
        ...

    def arm(self) -> None:
        """Empty the buffer and wait for triggers."""
        ...

    def trigger(self) -> None:
        """Cause one exposure by software."""
        ...

    def collect(self) -> FrameBatch:
        """Fetch what waits in the buffer, at most one request's worth; an empty batch when nothing waits."""
        ...

    def errors(self) -> list[str]:
        """Return errors the instrument has reported since the last call."""
        ...

    def make_safe(self) -> None:
        """Send stop: write-only, valid in every state; no further exposure starts. Frames in the buffer stay."""
        ...

    def read_safe(self) -> SafeReadback:
        """Ask whether the spectrometer answers and is idle; call after make_safe()."""
        ...


# --- attenuator ---------------------------------------------------------------------------------------------------


class Attenuator(Protocol):
    """A half-wave plate that turns before a polariser; angles are the motor's own (deg). What they mean is calibration."""

    def identify(self) -> Identity:
        """Ask the instrument who it is."""
        ...

    def prepare(self) -> None:
        """Bring the plate from any state to a known one: homed, so that its angles mean something, and standing still."""
        ...

    def move_to(self, angle_deg: float) -> float:
        """Turn to an angle (deg, 0 to below 360), always approached from the same side; return the angle read back."""
        ...

    def angle_deg(self) -> float:
        """Ask where the plate stands (deg)."""
        ...

    def errors(self) -> list[str]:
        """Return errors the instrument has reported since the last call."""
        ...


# --- energy meter -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EnergyMeterInfo:
    """What a pulse energy meter says of itself: its head, its calibration's date, how often it can measure a pulse (Hz)."""

    head: str
    head_serial: str
    calibrated: str
    max_rate_hz: float
    range_uj: float
    wavelength_nm: float


@dataclass(frozen=True, slots=True)
class EnergyReading:
    """One pulse: its energy (uJ), and between which host times (ns) it must have come."""

    energy_uj: float
    asked_ns: int
    answered_ns: int


class EnergyMeter(Protocol):
    """A meter that measures single pulses, at most `max_rate_hz` of its info a second."""

    def identify(self) -> Identity:
        """Ask the instrument who it is."""
        ...

    def prepare(self, wavelength_nm: float, range_uj: float) -> EnergyMeterInfo:
        """Bring the meter from any state to a known one: pulse energy at this wavelength, in the smallest range that fits."""
        ...

    def measure(self, timeout_s: float) -> EnergyReading | None:
        """Measure the next pulse; None when none came within `timeout_s` (s), the meter is idle again then."""
        ...

    def errors(self) -> list[str]:
        """Empty the instrument's error queue and return it."""
        ...


# --- shutter ------------------------------------------------------------------------------------------------------


class Shutter(Protocol):
    """What lets the pump beam through or not: a shutter, or a laser's own gate."""

    off_message: bytes  # b"" when no single message closes it in every state; make_safe() then has to ask first
    opening_time_s: float  # command to fully open, worst case
    closing_time_s: float

    def identify(self) -> Identity:
        """Ask the instrument who it is."""
        ...

    def prepare(self) -> None:
        """Bring the shutter from any state to a known one: closed, controlled by open() and close() only."""
        ...

    def open(self) -> None:
        """Open, and return when it is open by its own word."""
        ...

    def close(self) -> None:
        """Close, and return when it is closed by its own word."""
        ...

    def errors(self) -> list[str]:
        """Return errors the instrument has reported since the last call."""
        ...

    def make_safe(self) -> None:
        """Close it, from every state, with no more conversation than it takes."""
        ...

    def read_safe(self) -> SafeReadback:
        """Ask whether it is closed; call after make_safe()."""
        ...


# --- filter wheel -------------------------------------------------------------------------------------------------


class FilterWheel(Protocol):
    """A wheel of filters, one of which stands in the beam; positions count from 1. What each lets through the bench says."""

    positions: int  # of the whole wheel; known after prepare()

    def identify(self) -> Identity:
        """Ask the instrument who it is."""
        ...

    def prepare(self) -> None:
        """Bring the wheel from any state to a known one: standing where it stands, turned by move_to() only."""
        ...

    def move_to(self, position: int) -> int:
        """Turn to a position, and return the one read back when it stands there; one that stands there already stays."""
        ...

    def position(self) -> int:
        """Ask where the wheel stands."""
        ...

    def errors(self) -> list[str]:
        """Return errors the instrument has reported since the last call."""
        ...


Instrument = VoltageSource | LaserTrigger | Spectrometer | Attenuator | EnergyMeter | Shutter | FilterWheel
