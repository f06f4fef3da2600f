"""Any Ocean spectrometer on USB through python-seabreeze (an optional library), in the role Spectrometer, gated blocks only.

The library's read blocks until a spectrum comes, without a deadline of the caller's (python-seabreeze #146). So a thread of its
own reads, one spectrum after the other, and nobody ever waits for it without a limit: it is a daemon, and ends when trigger
mode 0 makes the spectrometer run free, so that its last read returns. A read that does not even return then is reported, and
the spectrometer is not used any more; the run goes on to its safe end. Setting a mode while another thread reads is sound where
commands and spectra travel on endpoints of their own (the USB4000's family); for others it is in doubt. Untested on hardware.

Source: documentation and code of python-seabreeze 2.x (calls, trigger modes, scaling of the counts).
"""

import importlib
import re
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from drivers.clock import Clock
from drivers.errors import ConfigError, InstrumentError, Reason, RefusedError
from drivers.registry import Closable, DriverEntry
from drivers.roles import ExposureProgram, FrameBatch, Identity, SafeReadback, SpectrometerInfo

T = TypeVar("T")

MODEL = "ocean-seabreeze"
MAKER = "Ocean (seabreeze)"
RESOURCE = re.compile(r"USB\d*::0x2457::[^:]+::(?P<serial>[^:]+)(::\d+)?::RAW", re.IGNORECASE)
FREE = 0
# models whose mode 3 is "hardware" in pyseabreeze; Flame-S and USB2000+ are left out: their users and maker contradict each
# other (python-seabreeze #97)
EXTERNAL_EDGE = {"USB2000": 3, "HR2000": 3, "HR2000PLUS": 3, "HR4000": 3, "USB4000": 3, "QE65000": 3}
FULL_SCALE = 2**16 - 1
PIXELS_MAX = 3840
FRAMES_MAX = 4096  # that nobody has fetched
PATIENCE_S = 0.02
COMMAND_S = 0.2  # a command that takes longer waits for the library
STOP_S = 2.0  # besides an exposure


class Reading:
    """A thread that reads spectra until it is told to end, or has read as many as it should.

    Parameters
    ----------
    device  the library's spectrometer
    clock   stamps the spectra when they arrive
    count   how many to read, None: until `end()`
    """

    def __init__(self, device: Any, clock: Clock, count: int | None) -> None:
        self._device = device
        self._clock = clock
        self._left = count
        self._ending = False
        self._news = threading.Condition()
        self._frames: deque[tuple[NDArray[np.float64], int]] = deque()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._read, name="seabreeze reading", daemon=True)
        self._thread.start()

    def take(self, patience_s: float) -> tuple[NDArray[np.float64], int] | None:
        """Return the oldest spectrum (counts) and when it came (us), None when there is none within `patience_s` (s).

        Raises
        ------
        InstrumentError  reading failed
        """
        with self._news:
            self._news.wait_for(lambda: self._frames or self._failure, patience_s)
            if self._frames:
                return self._frames.popleft()
        if self._failure is not None:
            raise InstrumentError(
                f"The spectrometer could not be read: {self._failure}",
                where="spectrometer",
                hardware_state="as before; the exposure is lost",
                next_step="check its cable and its triggers; unplug it and plug it in again if it stays so",
            ) from self._failure
        return None

    def clear(self) -> None:
        """Throw away what nobody has fetched."""
        with self._news:
            self._frames.clear()

    def end(self) -> None:
        """Let it end after the read that is under way."""
        self._ending = True

    def ended(self, within_s: float) -> bool:
        """Tell whether it has ended within a time (s)."""
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _read(self) -> None:
        try:
            while not self._ending and self._left != 0:
                spectrum = np.asarray(self._device.intensities(), dtype=np.float64)
                at_us = self._clock.now_ns() // 1000
                self._left = None if self._left is None else self._left - 1
                with self._news:
                    if len(self._frames) >= FRAMES_MAX:
                        raise OverflowError(f"{FRAMES_MAX} spectra were not fetched")
                    if not self._ending:
                        self._frames.append((spectrum, at_us))
                        self._news.notify_all()
        except Exception as error:  # noqa: BLE001 - of a library; `take` tells it to whoever waits
            with self._news:
                self._failure = error
                self._news.notify_all()


class SeabreezeSpectrometer:
    """One spectrometer behind python-seabreeze: one exposure per request and trigger, times are the host's.

    Parameters
    ----------
    device  an open `seabreeze.spectrometers.Spectrometer`
    clock   stamps the frames

    The limits of the class are the widest of all models, those of an object its own.
    """

    off_message: bytes = b""  # the library takes no bytes
    has_clock: bool = False
    pixels: int = PIXELS_MAX
    frames_per_request: int = 1
    readout_ns: int = 5_000_000  # assumed, as of the USB4000
    frame_period_min_ns: int = 10_000_000  # assumed, as of the USB4000
    integration_min_ns: int = 10_000
    integration_max_ns: int = 65_535_000_000

    def __init__(self, device: Any, clock: Clock, name: str = "Ocean spectrometer") -> None:
        self.name = name
        self._device = device
        self._clock = clock
        self._reading: Reading | None = None
        self._command: threading.Thread | None = None
        self._not_free: Exception | None = None  # why trigger mode 0 was not taken
        self._program: ExposureProgram | None = None
        self._prepared = False
        self._count = 0
        self._exposure_s = 0.0
        low_us, high_us = device.integration_time_micros_limits
        self.integration_min_ns, self.integration_max_ns = int(low_us) * 1000, int(high_us) * 1000
        self.pixels = len(device.wavelengths())

    # --- role Spectrometer

    def identify(self) -> Identity:
        """Return what the library says the spectrometer is.

        Raises
        ------
        InstrumentError  it cannot say
        """
        return self._do("asked", lambda: Identity(MAKER, str(self._device.model), str(self._device.serial_number), "unknown"))

    def prepare(self) -> SpectrometerInfo:
        """Stop, run free; return what the spectrometer says of itself.

        Raises
        ------
        RefusedError     its spectra do not fit 16 bits
        InstrumentError  it hangs in an earlier read, or does not say what it is
        """
        self._stop()
        full_scale = float(self._device.max_intensity)
        if not full_scale <= FULL_SCALE:
            self._refuse("too-many-bits", "model", f"counts go up to {full_scale:.0f}; frames hold 16 bits")
        wavelength_nm = self._do("asked", lambda: np.asarray(self._device.wavelengths(), dtype=np.float64))
        if not (np.diff(wavelength_nm) > 0).all():
            raise InstrumentError(
                f"{self.name}: its wavelengths do not ascend.", where=self.name, next_step="its memory may be damaged"
            )
        self._prepared = True
        return SpectrometerInfo(
            wavelength_nm=wavelength_nm,
            nonlinearity=self._do("asked", self._nonlinearity),
            saturation_counts=int(full_scale),
            integration_min_ns=self.integration_min_ns,
            integration_max_ns=self.integration_max_ns,
            frame_period_min_ns=self.frame_period_min_ns,
        )

    def load(self, program: ExposureProgram) -> None:
        """Set integration time and trigger mode; nothing is read yet. The library reads neither back.

        Raises
        ------
        RefusedError     impossible for this model; nothing was set
        InstrumentError  not prepared, or it hangs in an earlier read
        """
        if not self._prepared:
            raise InstrumentError(f"{self.name} is not prepared.", where=self.name, next_step="prepare() it")
        time_ns, model = program.integration_time_ns, str(self._device.model)
        if time_ns % 1000 or not self.integration_min_ns <= time_ns <= self.integration_max_ns:
            self._refuse(
                "integration-time-out-of-range",
                "integration_time_ns",
                f"{time_ns} ns; whole microseconds, {self.integration_min_ns} ns to {self.integration_max_ns} ns, are possible",
            )
        if program.trigger == "external_edge" and model not in EXTERNAL_EDGE:
            self._refuse(
                "trigger-mode-unknown",
                "trigger",
                f"which mode of a {model} waits for an edge is not known; known are {', '.join(EXTERNAL_EDGE)}",
            )
        self._stop()
        self._do("set", lambda: self._device.integration_time_micros(time_ns // 1000))
        mode = FREE if program.trigger == "software" else EXTERNAL_EDGE[model]
        self._do("set", lambda: self._device.trigger_mode(mode))
        self._program, self._exposure_s = program, time_ns * 1e-9

    def arm(self) -> None:
        """Throw away what has come; waiting for edges, read one spectrum after the other from now on.

        Raises
        ------
        InstrumentError  nothing is loaded, or it hangs in an earlier read
        """
        program = self._loaded()
        if program.trigger == "software":
            self._finish_reading()
        elif self._reading is None:
            self._reading = Reading(self._device, self._clock, None)
        else:
            self._reading.clear()

    def trigger(self) -> None:
        """Read one spectrum while it runs free.

        Raises
        ------
        InstrumentError  it waits for edges, or the last read is still under way
        """
        if self._loaded().trigger != "software":
            raise InstrumentError(f"{self.name} waits for edges.", where=self.name, next_step="load() it for software triggers")
        self._finish_reading()
        self._reading = Reading(self._device, self._clock, 1)

    def collect(self) -> FrameBatch:
        """Wait up to 20 ms for a spectrum; (1, pixels) or nothing. Counts above 16 bits are as saturated as 65535.

        Raises
        ------
        InstrumentError  reading failed
        """
        found = None if self._reading is None or self._program is None else self._reading.take(PATIENCE_S)
        if found is None:
            return FrameBatch(np.empty((0, self.pixels), np.uint16), np.empty(0, np.uint64), np.empty(0, np.uint32))
        counts, at_us = found
        if not (counts >= 0).all():
            raise InstrumentError(
                f"{self.name} gave counts that are no counts (lowest {counts.min()}).",
                where=self.name,
                hardware_state="as before; this spectrum is lost",
                next_step="note the library's version",
            )
        self._count += 1
        # the library stretches the counts so that the detector's own saturation comes out as full scale
        spectrum = np.minimum(np.rint(counts), FULL_SCALE).astype(np.uint16)
        return FrameBatch(spectrum[None], np.array([at_us], np.uint64), np.array([self._count & 0xFFFFFFFF], np.uint32))

    def errors(self) -> list[str]:
        """Return no errors: the library raises them."""
        return []

    def make_safe(self) -> None:
        """Stop reading and set trigger mode 0, without waiting for a read that is under way; what comes is thrown away."""
        self._program = None
        if self._reading is not None:
            self._reading.end()
            self._reading.clear()
        self._command = threading.Thread(target=self._run_free, name="seabreeze off", daemon=True)
        self._command.start()
        self._command.join(COMMAND_S)  # the library may hold a lock of its own while it waits

    def read_safe(self) -> SafeReadback:
        """Tell whether trigger mode 0 was taken and nothing is being read; the library cannot ask for the mode."""
        if self._idle():
            if self._not_free is not None:
                return SafeReadback(False, f"trigger mode {FREE} was not taken: {self._not_free}")
            return SafeReadback(True, f"trigger mode {FREE} was taken, nothing is being read")
        return SafeReadback(False, "it still waits for a spectrum, although it should run free")

    def shutdown(self) -> None:
        """Stop."""
        self.make_safe()

    def close(self) -> None:
        """End the connection, unless a read still hangs in it."""
        if self._reading is not None:
            self._reading.end()
        if self._idle():
            self._device.close()

    # --- parts

    def _run_free(self) -> None:
        try:
            self._device.trigger_mode(FREE)
        except Exception as error:  # noqa: BLE001 - going safe goes on; read_safe() tells
            self._not_free = error
        else:
            self._not_free = None

    def _idle(self) -> bool:
        if self._command is not None:
            self._command.join(STOP_S)
            if self._command.is_alive():
                return False
        if self._reading is not None and self._reading.ended(STOP_S + self._exposure_s):
            self._reading = None
        return self._reading is None

    def _stop(self) -> None:
        self.make_safe()
        if not self._idle():
            raise self._hangs()

    def _finish_reading(self) -> None:
        """Wait for the last software exposure."""
        if self._reading is not None:
            self._reading.end()
            if not self._idle():
                raise self._hangs()

    def _hangs(self) -> InstrumentError:
        return InstrumentError(
            f"{self.name} does not return from a read, although it should run free.",
            where=self.name,
            hardware_state="trigger mode unknown; a spectrometer does no harm by itself",
            next_step="give it one trigger pulse, or unplug it and plug it in again",
        )

    def _do(self, what: str, act: Callable[[], T]) -> T:
        try:
            return act()
        except Exception as error:
            raise InstrumentError(
                f"{self.name} could not be {what}: {error}",
                where=self.name,
                hardware_state="perhaps partly set up; a spectrometer does no harm by itself",
                next_step="check that it is still plugged in",
            ) from error

    def _loaded(self) -> ExposureProgram:
        if self._program is None:
            raise InstrumentError(f"{self.name} has nothing loaded.", where=self.name, next_step="load() a program")
        return self._program

    def _nonlinearity(self) -> tuple[float, ...]:
        feature = self._device.f.nonlinearity_coefficients
        return (1.0,) if feature is None else tuple(float(c) for c in feature.get_nonlinearity_coefficients())

    def _refuse(self, code: str, where: str, message: str) -> None:
        raise RefusedError(
            f"{self.name} refuses what it was given; nothing was set.", (Reason(code, where, message),), where=self.name
        )


def open_seabreeze(resource_name: str, clock: Clock) -> tuple[SeabreezeSpectrometer, Closable]:
    """Open the spectrometer with the serial number that the resource names: "USB0::0x2457::0x1022::USB4C00123::RAW".

    Raises
    ------
    ConfigError      the library is not installed, or the resource names no serial number
    InstrumentError  no such spectrometer is connected, or another program holds it
    """
    named = RESOURCE.fullmatch(resource_name)
    if named is None:
        raise ConfigError(
            "The spectrometer's resource does not say which one it is.",
            (
                Reason(
                    "resource-without-serial",
                    "spectrometer.resource",
                    f"{resource_name!r} is not USB0::0x2457::...::SERIAL::RAW",
                ),
            ),
            next_step="the serial number stands on the instrument; the part before it does not matter",
        )
    try:
        library = importlib.import_module("seabreeze.spectrometers")
    except ImportError as error:
        raise ConfigError(
            f"The model {MODEL} needs the library python-seabreeze, which cannot be loaded: {error}",
            (Reason("library-missing", "spectrometer.model", "python-seabreeze is not part of a plain installation"),),
            next_step='pip install "ito-rig[seabreeze]"',
        ) from error
    try:
        device = library.Spectrometer.from_serial_number(named["serial"])
        spectrometer = SeabreezeSpectrometer(device, clock, f"{device.model} {device.serial_number}")
    except Exception as error:  # the library's errors have no common base but this
        raise InstrumentError(
            f"The spectrometer {named['serial']} cannot be opened: {error}",
            where=resource_name,
            next_step="check that it is plugged in, that this user may use it, and that no other program holds it",
        ) from error
    return spectrometer, spectrometer


DRIVER = DriverEntry(
    model=MODEL,
    role="spectrometer",
    identity=re.escape(MAKER) + ",",
    build=None,
    open_alone=open_seabreeze,
    instrument=SeabreezeSpectrometer,
)
