"""Ocean Optics USB4000 spectrometer: typed properties, and the role Spectrometer on top of them, for gated blocks only.

It has no clock, no frame count and no buffer: one spectrum per request, and a trigger that comes while none is open is lost
without a trace. The driver keeps one request open after arm(), numbers the frames and gives them the host's time of arrival:
that is right to a fraction of a millisecond while somebody collects; a frame that had to wait is stamped when it was fetched.

Over USB through a VISA library that can choose endpoints (untested on hardware), or over one stream of the same bytes.

Source: pyseabreeze 2.11.0 and three public programs for this model; the maker's manual for mode 3. From memory, unverified: the
shortest period of frames that a host can follow, and that bytes behind a command in the same transfer are not read.
"""

import itertools
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymeasure.adapters import Adapter
from pymeasure.instruments import Instrument

from drivers.errors import InstrumentError, ReadbackMismatch, Reason, RefusedError, WrongIdentity
from drivers.link import regain, send_now
from drivers.ooi import FREE, OoiTalk, Spectrum
from drivers.registry import DriverEntry, require_same
from drivers.roles import ExposureProgram, FrameBatch, Identity, LiveQuantity, SafeReadback, SpectrometerInfo

MAKER = "Ocean Optics"
SERIAL_PREFIX = "USB4"
SENT_PIXELS = 3840
ACTIVE = slice(21, 3669)  # the others are shielded, or no pixels at all
HARDWARE_EDGE = 3
TRIGGER_MODES = {"software": FREE, "external_edge": HARDWARE_EDGE}
FINE_US, FINE_STEP_US, COARSE_STEP_US = 655_000, 10, 1000
SATURATION_COUNTS = 2**16 - 1
WAVELENGTH_SLOTS, NONLINEARITY_SLOT, ORDER_SLOT, BENCH_SLOT, AUTONULL_SLOT = range(1, 5), 6, 14, 15, 17
NONLINEARITY_ORDER_MAX = 7
FIRMWARE_REGISTER = 0x04
KELVIN_PER_COUNT = 0.003906
PATIENCE_S = 0.02  # how long collect() waits: the time of arrival is all that tells when a frame was taken


class OceanUsb4000(Instrument):
    """USB4000: 3648 active pixels, 16 bits, one exposure per request and trigger.

    Parameters
    ----------
    adapter  a binary `drivers.link.Link`, or anything PyMeasure takes (then without fences)
    """

    # trigger mode 0, again and again: what a command that was cut off is waiting for may swallow 16 bytes, not the rest
    off_message: bytes = struct.pack("<BH", 0x0A, FREE) * 7
    has_clock: bool = False
    pixels: int = ACTIVE.stop - ACTIVE.start
    first_pixel: int = ACTIVE.start  # in the numbering of the wavelength calibration
    frames_per_request: int = 1
    integration_min_ns: int = 10_000
    integration_max_ns: int = 65_535_000_000
    live_quantities: tuple[str, ...] = ("board_temperature_c",)
    readout_ns: int = 5_000_000  # 3.8 ms, the transfer and the next request
    frame_period_min_ns: int = 10_000_000  # the host has to fetch and ask between two triggers, beside its other work

    def __init__(self, adapter: Adapter | str | int, name: str = "USB4000", **kwargs: Any) -> None:
        super().__init__(adapter, name, includeSCPI=False, **kwargs)
        self._talk = OoiTalk(self.adapter, SENT_PIXELS)
        self._numbers = itertools.count(1)
        self._identity: Identity | None = None
        self._prepared = False
        self._program: ExposureProgram | None = None

    # --- who it is

    @property
    def serial_number(self) -> str:
        """Get the serial number (str)."""
        return _text(self._talk.slot(0))

    @property
    def optical_bench(self) -> str:
        """Get grating, filter wavelength and slit as the maker wrote them (str)."""
        return _text(self._talk.slot(BENCH_SLOT))

    @property
    def firmware_revision(self) -> int:
        """Get the revision of the gate array's firmware (0 to 65535)."""
        return self._talk.register(FIRMWARE_REGISTER)

    @property
    def board_temperature_c(self) -> float:
        """Get the temperature of the circuit board (deg C, float; -128 to 128)."""
        return KELVIN_PER_COUNT * struct.unpack("<h", self._talk.ask(b"\x6c", b"\x08", 3))[0]

    # --- acquisition

    @property
    def integration_time_us(self) -> int:
        """Control the integration time (us, 10 to 65535000, in steps of 10, above 655000 of 1000)."""
        return self._talk.status().integration_us

    @integration_time_us.setter
    def integration_time_us(self, value: int) -> None:
        if not _possible(value * 1000):
            raise ValueError(f"{value!r} us is not 10 to 65535000 us in steps of 10 us, above 655 ms of 1 ms")
        self._talk.tell(struct.pack("<BI", 0x02, value))

    @property
    def trigger_mode(self) -> int:
        """Control what starts an exposure (0 nothing, it runs free; 1 level; 2 synchronisation; 3 external edge)."""
        return self._talk.status().trigger_mode

    @trigger_mode.setter
    def trigger_mode(self, value: int) -> None:
        if value not in range(4):
            raise ValueError(f"{value!r} is no trigger mode: 0 to 3")
        self._talk.tell(struct.pack("<BH", 0x0A, value))

    @property
    def lamp_enabled(self) -> bool:
        """Control whether the lamp output is on (bool)."""
        return self._talk.status().lamp

    @lamp_enabled.setter
    def lamp_enabled(self, value: bool) -> None:
        if value not in (True, False):
            raise ValueError(f"{value!r} is neither True nor False")
        self._talk.tell(struct.pack("<BH", 0x03, value))

    @property
    def wavelength_coefficients(self) -> tuple[float, ...]:
        """Get c_0..c_3 of wavelength = sum c_i p^i with pixel p from 0 of all that are sent (nm)."""
        return tuple(self._number(slot) for slot in WAVELENGTH_SLOTS)

    @property
    def nonlinearity_coefficients(self) -> tuple[float, ...]:
        """Get c_0.. of r(x) = sum c_i x^i; light = x / r(x) with x above dark (counts)."""
        order = int(self._number(ORDER_SLOT))
        if not 0 <= order <= NONLINEARITY_ORDER_MAX:
            raise self._unreadable(ORDER_SLOT, str(order))
        return tuple(self._number(NONLINEARITY_SLOT + i) for i in range(order + 1))

    @property
    def saturation_counts(self) -> int:
        """Get the counts at which the detector is full (1 to 65535); 65535 where the maker wrote none."""
        written: int = struct.unpack_from("<4xH", self._talk.slot(AUTONULL_SLOT))[0]
        return written or SATURATION_COUNTS

    def shutdown(self) -> None:
        """Stop, write-only."""
        self.make_safe()
        super().shutdown()

    # --- role Spectrometer

    def identify(self) -> Identity:
        """Ask who answers.

        Raises
        ------
        WrongIdentity  its serial number is no USB4000's, or it is not the one that answered before
        """
        self._regain()
        self._identity = self._ask_identity()
        return self._identity

    def prepare(self) -> SpectrometerInfo:
        """Run free, throw away what is owed, set the lamp off; return what the instrument says of itself.

        Raises
        ------
        InstrumentError   it gives no spectrum, or its calibration cannot be read
        ReadbackMismatch  a setting is not as set
        """
        self.make_safe()
        self._regain()
        self._prepared = False
        self._talk.settle()
        self._confirm("lamp_enabled", False)
        info = SpectrometerInfo(
            wavelength_nm=self._wavelength_nm(),
            nonlinearity=self.nonlinearity_coefficients,
            saturation_counts=self.saturation_counts,
            integration_min_ns=self.integration_min_ns,
            integration_max_ns=self.integration_max_ns,
            frame_period_min_ns=self.frame_period_min_ns,
        )
        self._prepared = True
        return info

    def load(self, program: ExposureProgram) -> None:
        """Set integration time and trigger mode, read back; no spectrum is asked for, so no trigger is seen.

        Raises
        ------
        RefusedError      the integration time is impossible for this model; nothing was sent
        ReadbackMismatch  a setting is not as set
        InstrumentError   prepare() was not called
        """
        if not self._prepared:
            raise InstrumentError(f"{self.name} is not prepared, or lost its link.", where=self.name, next_step="prepare() it")
        if not _possible(program.integration_time_ns):
            raise RefusedError(
                f"{self.name} refuses what it was given; nothing was sent.",
                (
                    Reason(
                        "integration-time-out-of-range",
                        "integration_time_ns",
                        f"{program.integration_time_ns} ns; steps of 10 us (above 655 ms of 1 ms) from "
                        f"{self.integration_min_ns} ns to {self.integration_max_ns} ns are possible",
                    ),
                ),
                where=self.name,
            )
        self._program = None
        if self._talk.owed:
            self._talk.settle()
        # the mode last: it begins a new exposure, so that no light of the old integration time is in the next spectrum
        self._confirm("integration_time_us", program.integration_time_ns // 1000)
        self._confirm("trigger_mode", TRIGGER_MODES[program.trigger])
        self._program = program

    def arm(self) -> None:
        """Throw away what has come; waiting for edges, keep one spectrum asked for from now on.

        Raises
        ------
        InstrumentError  nothing is loaded
        """
        program = self._loaded()
        while self._talk.fetch(0.0) is not None:
            pass
        if program.trigger == "software":
            if self._talk.owed:
                self.load(program)
        elif not self._talk.owed:
            self._talk.request()

    def trigger(self) -> None:
        """Ask for one spectrum while it runs free: the exposure under way, or the next.

        Raises
        ------
        InstrumentError  it waits for edges, or still exposes for the last one
        """
        if self._loaded().trigger != "software" or self._talk.owed:
            raise InstrumentError(
                f"{self.name} cannot be triggered by software now: it waits for an edge, or a spectrum was not collected.",
                where=self.name,
                hardware_state="as before",
                next_step="load() it for software triggers; collect() each spectrum before the next trigger",
            )
        self._talk.request()

    def collect(self) -> FrameBatch:
        """Wait up to 20 ms for the spectrum that was asked for, and ask for the next; (1, 3648) or nothing.

        After make_safe() there is nothing: what still comes was exposed while it ran free.

        Raises
        ------
        LinkDesync  the spectrum does not end where it should
        """
        program = self._program
        spectrum = None if program is None else self._talk.fetch(PATIENCE_S)
        if program is None or spectrum is None:
            return _NOTHING
        if program.trigger == "external_edge":
            self._talk.request()
        return _frame(spectrum, next(self._numbers))

    def errors(self) -> list[str]:
        """Return no errors: this protocol has none."""
        return []

    def live(self) -> tuple[LiveQuantity, ...]:
        """Ask for the board's temperature: one question, also while a spectrum is owed.

        Raises
        ------
        InstrumentError  no answer that fits
        """
        return (LiveQuantity("board_temperature_c", self.board_temperature_c),)

    def make_safe(self) -> None:
        """Send trigger mode 0, write-only: no edge is waited for. What was asked for and not fetched is lost."""
        self._program = None
        send_now(self.adapter, self.off_message)

    def read_safe(self) -> SafeReadback:
        """Ask whether it runs free: then nothing is kept that nobody asks for."""
        self._regain()
        mode = self.trigger_mode
        return SafeReadback(mode == FREE, f"trigger mode {mode}, {FREE} waits for no trigger")

    # --- parts

    def _loaded(self) -> ExposureProgram:
        if self._program is None:
            raise InstrumentError(f"{self.name} has nothing loaded.", where=self.name, next_step="load() a program")
        return self._program

    def _number(self, slot: int) -> float:
        text = _text(self._talk.slot(slot))
        try:
            value = float(text)
        except ValueError:
            raise self._unreadable(slot, text) from None
        if not np.isfinite(value):
            raise self._unreadable(slot, text)
        return value

    def _unreadable(self, slot: int, text: str) -> InstrumentError:
        return InstrumentError(
            f"{self.name}: memory slot {slot} says {text!r}, which is no calibration.",
            where=self.name,
            hardware_state="idle",
            next_step="have the maker's program show its calibration; the memory may be damaged",
        )

    def _wavelength_nm(self) -> NDArray[np.float64]:
        pixel = np.arange(SENT_PIXELS, dtype=np.float64)[ACTIVE]
        wavelength_nm = np.polyval(self.wavelength_coefficients[::-1], pixel).astype(np.float64)
        if not (np.diff(wavelength_nm) > 0).all():
            raise self._unreadable(WAVELENGTH_SLOTS[0], "wavelengths that do not ascend")
        return wavelength_nm

    def _confirm(self, name: str, value: int) -> None:
        setattr(self, name, value)
        found = getattr(self, name)
        if found != value:
            raise ReadbackMismatch(
                f"{self.name}: {name} was set to {value}, the instrument says {found}.",
                where=self.name,
                hardware_state="partly set up, no exposure asked for",
                next_step="this firmware may not know the setting, or not this value; note its revision",
            )

    def _ask_identity(self) -> Identity:
        serial = self.serial_number
        if not serial.startswith(SERIAL_PREFIX):
            raise WrongIdentity(
                f"The serial number {serial!r} is no USB4000's, which begins with {SERIAL_PREFIX}.",
                where=self.name,
                next_step="check the resource name and the model in the bench file; others are driven as ocean-seabreeze",
            )
        return Identity(MAKER, "USB4000", serial, f"{self.firmware_revision:#06x}")

    def _regain(self) -> None:
        if regain(self.adapter, self._prove):
            self._prepared = False  # it may have been off in between
            self._program = None

    def _prove(self) -> None:
        self._talk.fence()
        self._talk.forget()
        require_same(self._ask_identity(), self._identity)


def _text(slot: bytes) -> str:
    return slot.split(b"\0")[0].decode("latin-1").strip()


def _possible(integration_ns: int) -> bool:
    whole_us, rest_ns = divmod(integration_ns, 1000)
    step_us = FINE_STEP_US if whole_us <= FINE_US else COARSE_STEP_US
    in_range = OceanUsb4000.integration_min_ns <= integration_ns <= OceanUsb4000.integration_max_ns
    return rest_ns == 0 and in_range and whole_us % step_us == 0


def _frame(spectrum: Spectrum, number: int) -> FrameBatch:
    return FrameBatch(
        spectra=np.frombuffer(spectrum.data, "<u2")[None, ACTIVE],
        device_time_us=np.array([spectrum.host_time_us], np.uint64),
        count=np.array([number & 0xFFFFFFFF], np.uint32),
    )


_NOTHING = FrameBatch(np.empty((0, OceanUsb4000.pixels), np.uint16), np.empty(0, np.uint64), np.empty(0, np.uint32))

DRIVER = DriverEntry(
    model="ocean-usb4000",
    role="spectrometer",
    identity=r"Ocean (Insight|Optics),USB4000\b",
    build=OceanUsb4000,
    read_termination=None,
    write_termination=None,
)
