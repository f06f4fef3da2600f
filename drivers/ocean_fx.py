"""Ocean FX spectrometer (Ocean Binary Protocol): typed properties, and the role Spectrometer on top of them.

Source of message numbers: libseabreeze's and pyseabreeze's OBP constants and two public FX programs.
"""

import itertools
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymeasure.adapters import Adapter
from pymeasure.instruments import Instrument

from drivers import obp
from drivers.errors import InstrumentError, ReadbackMismatch, Reason, RefusedError, WrongIdentity
from drivers.link import regain, send_now
from drivers.registry import DriverEntry, require_same
from drivers.roles import ExposureProgram, FrameBatch, Identity, LiveQuantity, SafeReadback, SpectrometerInfo

MAKER = "Ocean Insight"
U8, U16, U32, F32 = "<B", "<H", "<I", "<f"
FREE, EXTERNAL_EDGE, DISABLED = 0, 1, 0xFF
TRIGGER_MODES = {"software": FREE, "external_edge": EXTERNAL_EDGE}

ABORT, CLEAR_BUFFER, BUFFERED, SET_TRIGGER_MODE, SIMULATE_TRIGGER = 0x100000, 0x100830, 0x100980, 0x110110, 0x110120
SERIAL, COEFFICIENT_COUNTS = 0x000100, 0x180100
WAVELENGTH, NONLINEARITY = (0x180100, 0x180101), (0x181100, 0x181101)  # number of coefficients, one coefficient

PIXELS = 2136
RECORDS_PER_REQUEST = 15
BUFFER_RECORDS = 50_000
COEFFICIENTS_AT_MOST = 16
TEMPERATURES, TEMPERATURES_AT_MOST = 0x400002, 16
SATURATION_COUNTS = 2**16 - 1
# One buffered spectrum: 64 bytes of metadata, the pixels, a checksum whose rule is not published
RECORD = np.dtype(
    {
        "names": ["metadata_bytes", "pixel_bytes", "time_us", "integration_us", "pixel_format", "count", "spectrum"],
        "formats": ["<u2", "<u4", "<u8", "<u4", "<u4", "<u4", ("<u2", PIXELS)],
        "offsets": [2, 4, 8, 16, 20, 24, 64],
        "itemsize": 64 + 2 * PIXELS + 4,
    }
)
UINT16_PIXELS = 1


def _within(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: low <= value <= high


class OceanFx(Instrument):
    """Ocean FX: one exposure per trigger into a buffer of 50 000 spectra with a frame count and a microsecond clock.

    Parameters
    ----------
    adapter  a binary `drivers.link.Link`, or anything PyMeasure takes (then without fences)
    """

    off_message: bytes = obp.frame(ABORT) + obp.frame(SET_TRIGGER_MODE, bytes([DISABLED]))  # no ACK asked: no answer
    has_clock: bool = True
    pixels: int = PIXELS
    frames_per_request: int = RECORDS_PER_REQUEST
    integration_min_ns: int = 10_000
    integration_max_ns: int = 10_000_000_000  # Source: python-seabreeze issue 237
    frame_period_min_ns: int = 222_223  # 4500 spectra/s
    live_quantities: tuple[str, ...] = ("board_temperature_c",)
    readout_ns: int = 20_000  # from the end of an exposure to the next trigger that is seen: assumed

    def __init__(self, adapter: Adapter | str | int, name: str = "Ocean FX", **kwargs: Any) -> None:
        super().__init__(adapter, name, includeSCPI=False, **kwargs)
        self._numbers = itertools.count(1)
        self._refusals: list[str] = []
        self._identity: Identity | None = None
        self._prepared = False

    # --- who it is

    serial_number = obp.text(SERIAL, "Get the serial number (str).")
    device_string = obp.text(0x000E11, "Get the instrument's name for itself (str).")
    hardware_revision = obp.measurement(0x000080, U8, "Get the hardware revision (0 to 255).")
    firmware_revision = obp.measurement(0x000090, U16, "Get the firmware revision (0 to 65535).")
    pixel_count = obp.measurement(0x110220, U32, "Get the number of pixels in a spectrum (2136).")

    @property
    def temperatures_c(self) -> tuple[float, ...]:
        """Get the temperatures of its boards and chips (deg C, 1 to 16 of them); which is which is not published."""
        data = self.get(TEMPERATURES)
        count, rest = divmod(len(data), struct.calcsize(F32))
        if rest or not 1 <= count <= TEMPERATURES_AT_MOST:
            raise obp.desync(f"{len(data)} bytes of temperatures")
        return struct.unpack(f"<{count}f", data)

    # --- acquisition

    integration_time_us = obp.control(
        0x110000,
        0x110010,
        U32,
        "Control the integration time (us, strictly 10 to 10000000).",
        _within(integration_min_ns // 1000, integration_max_ns // 1000),
    )
    integration_time_min_us = obp.measurement(0x110001, U32, "Get the shortest integration time (us).")
    integration_time_max_us = obp.measurement(0x110002, U32, "Get the longest integration time (us).")
    integration_time_step_us = obp.measurement(0x110003, U32, "Get the step of the integration time (us).")
    trigger_mode = obp.control(
        0x110100,
        SET_TRIGGER_MODE,
        U8,
        "Control what starts an exposure (0 software, 1 external edge, 2 internal sync, 255 nothing).",
        lambda mode: mode in (0, 1, 2, DISABLED),
    )
    back_to_back = obp.control(
        0x110102, 0x110112, U32, "Control the spectra per trigger (1 to 50000).", _within(1, BUFFER_RECORDS)
    )
    acquisition_delay_us = obp.control(
        0x110500,
        0x110510,
        U32,
        "Control the delay from trigger to exposure (us, 0 to 335500; limit from memory, unverified).",
        _within(0, 335_500),
    )
    scans_to_average = obp.control(
        0x120000, 0x120010, U16, "Control how many scans make one spectrum (1 to 5000; limit assumed).", _within(1, 5000)
    )

    # --- buffer

    buffering_enabled = obp.control(
        0x100800, 0x100810, "<?", "Control whether spectra go into the buffer (bool).", lambda on: on in (True, False)
    )
    buffer_capacity = obp.control(
        0x100822, 0x100832, U32, "Control the active size of the buffer (spectra, 1 to 50000).", _within(1, BUFFER_RECORDS)
    )
    buffer_capacity_max = obp.measurement(0x100820, U32, "Get the largest possible size of the buffer (spectra).")
    spectra_waiting = obp.measurement(0x100900, U32, "Get the number of spectra in the buffer (0 to 50000).")

    @property
    def wavelength_coefficients(self) -> tuple[float, ...]:
        """Get c_0.. of wavelength = sum c_i p^i with pixel p from 0 (nm)."""
        return self._coefficients(*WAVELENGTH)

    @property
    def nonlinearity_coefficients(self) -> tuple[float, ...]:
        """Get c_0.. of r(x) = sum c_i x^i; light = x / r(x) with x above dark (counts)."""
        return self._coefficients(*NONLINEARITY)

    # --- messages

    def get(self, message_type: int, data: bytes = b"") -> bytes | memoryview:
        """Ask and return the data of the answer, not copied.

        Raises
        ------
        InstrumentError  the instrument refuses; the error is also kept for `errors()`
        LinkDesync       the answer belongs to another message
        """
        return self._exchange(message_type, data, 0)

    def put(self, message_type: int, data: bytes = b"") -> None:
        """Set and wait for the acknowledgement.

        Raises
        ------
        InstrumentError  the instrument refuses; the error is also kept for `errors()`
        LinkDesync       the answer belongs to another message
        """
        self._exchange(message_type, data, obp.ACK_REQUESTED)

    def shutdown(self) -> None:
        """Stop, write-only."""
        self.make_safe()
        super().shutdown()

    # --- role Spectrometer

    def identify(self) -> Identity:
        """Ask who answers.

        Raises
        ------
        WrongIdentity  it is not an FX (by its pixels), or not the one that answered before
        """
        self._regain()
        self._identity = self._ask_identity()
        return self._identity

    def prepare(self) -> SpectrometerInfo:
        """Stop, empty the buffer, buffer one spectrum per trigger; return what the instrument says of itself.

        Raises
        ------
        WrongIdentity     the number of pixels is not an FX's
        ReadbackMismatch  a setting is not as set
        """
        self.make_safe()
        self._regain()
        self._refusals.clear()
        self._require_pixels()
        self.put(ABORT)
        self._confirm("buffering_enabled", True)
        self._confirm("buffer_capacity", BUFFER_RECORDS)
        self._confirm("back_to_back", 1)
        self._confirm("scans_to_average", 1)
        self._confirm("acquisition_delay_us", 0)
        self.put(CLEAR_BUFFER)
        info = SpectrometerInfo(
            wavelength_nm=self._wavelength_nm(),
            nonlinearity=self.nonlinearity_coefficients,
            saturation_counts=SATURATION_COUNTS,
            integration_min_ns=self.integration_time_min_us * 1000,
            integration_max_ns=self.integration_time_max_us * 1000,
            frame_period_min_ns=self.frame_period_min_ns,
        )
        self._prepared = True
        return info

    def load(self, program: ExposureProgram) -> None:
        """Set integration time and trigger mode, read back; what triggers before arm() is thrown away by it.

        Raises
        ------
        RefusedError      the integration time is impossible for this model; nothing was sent
        ReadbackMismatch  a setting is not as set
        InstrumentError   prepare() was not called
        """
        if not self._prepared:
            raise InstrumentError(f"{self.name} is not prepared, or lost its link.", where=self.name, next_step="prepare() it")
        whole_us, rest_ns = divmod(program.integration_time_ns, 1000)
        if rest_ns or not self.integration_min_ns <= program.integration_time_ns <= self.integration_max_ns:
            raise RefusedError(
                f"{self.name} refuses what it was given; nothing was sent.",
                (
                    Reason(
                        "integration-time-out-of-range",
                        "integration_time_ns",
                        f"{program.integration_time_ns} ns; whole microseconds from {self.integration_min_ns} ns "
                        f"to {self.integration_max_ns} ns are possible",
                    ),
                ),
                where=self.name,
            )
        self.put(ABORT)
        self._confirm("integration_time_us", whole_us)
        self._confirm("trigger_mode", TRIGGER_MODES[program.trigger])

    def arm(self) -> None:
        """Empty the buffer; from now on every trigger makes a frame."""
        self.put(CLEAR_BUFFER)

    def trigger(self) -> None:
        """Cause one exposure by software."""
        self.put(SIMULATE_TRIGGER)

    def collect(self) -> FrameBatch:
        """Fetch up to 15 frames; spectra (n, 2136) uint16 are a read-only view of the answer, not a copy.

        Raises
        ------
        InstrumentError  the records are not those of an FX
        """
        data = self.get(BUFFERED, struct.pack(U32, RECORDS_PER_REQUEST))
        records = _records(data)
        return FrameBatch(
            spectra=records["spectrum"],
            device_time_us=records["time_us"].astype(np.uint64),
            count=records["count"].astype(np.uint32),
        )

    def errors(self) -> list[str]:
        """Return what the instrument has refused since the last call; it keeps no queue of its own."""
        found, self._refusals = self._refusals, []
        return found

    def live(self) -> tuple[LiveQuantity, ...]:
        """Ask for the highest of its temperatures: one question. One that is no number makes it NaN.

        Raises
        ------
        InstrumentError  no answer that fits
        """
        return (LiveQuantity("board_temperature_c", float(np.max(self.temperatures_c))),)

    def make_safe(self) -> None:
        """Send abort and trigger mode "nothing", write-only. Frames in the buffer stay."""
        send_now(self.adapter, self.off_message)

    def read_safe(self) -> SafeReadback:
        """Ask whether any trigger would be taken."""
        self._regain()
        mode = self.trigger_mode
        return SafeReadback(mode == DISABLED, f"trigger mode {mode}, {DISABLED} takes none")

    # --- parts

    def _exchange(self, message_type: int, data: bytes, flags: int) -> bytes | memoryview:
        reply = obp.exchange(self.adapter, message_type, data, flags=flags, regarding=self._number())
        if reply.refusal is not None:
            told = f"message {message_type:#08x} refused: {reply.refusal}"
            self._refusals.append(told)
            raise InstrumentError(
                f"{self.name}: {told}.",
                where=self.name,
                hardware_state="as before this message",
                next_step="this firmware may not know the message, or the value is not possible now",
            )
        return reply.data

    def _number(self) -> int:
        return next(self._numbers) & 0xFFFFFFFF

    def _coefficients(self, count_type: int, one_type: int) -> tuple[float, ...]:
        count = obp.unpack(U8, self.get(count_type), count_type)
        if not count <= COEFFICIENTS_AT_MOST:
            raise obp.desync(f"{count} coefficients announced by {count_type:#08x}")
        return tuple(obp.unpack(F32, self.get(one_type, bytes([i])), one_type) for i in range(count))

    def _wavelength_nm(self) -> NDArray[np.float64]:
        pixel = np.arange(PIXELS, dtype=np.float64)
        return np.polyval(self.wavelength_coefficients[::-1], pixel).astype(np.float64)

    def _confirm(self, name: str, value: int) -> None:
        setattr(self, name, value)
        found = getattr(self, name)
        if found != value:
            raise ReadbackMismatch(
                f"{self.name}: {name} was set to {value}, the instrument says {found}.",
                where=self.name,
                hardware_state="partly set up, no exposure started by this",
                next_step="this firmware may not know the setting, or not this value; note its revision",
            )

    def _require_pixels(self) -> None:
        if (pixels := self.pixel_count) != PIXELS:
            raise WrongIdentity(
                f"A spectrometer with {pixels} pixels answers; an Ocean FX has {PIXELS}.",
                where=self.name,
                next_step="check the resource name and the model in the bench file",
            )

    def _ask_identity(self) -> Identity:
        self._require_pixels()
        return Identity(MAKER, f"Ocean FX ({self.device_string})", self.serial_number, f"{self.firmware_revision:#06x}")

    def _regain(self) -> None:
        if regain(self.adapter, self._prove):
            self._prepared = False  # it may have been off in between

    def _prove(self) -> None:
        obp.fence(self.adapter, SERIAL, regarding=self._number())
        require_same(self._ask_identity(), self._identity)


def _records(data: bytes | memoryview) -> NDArray[np.void]:
    """Spectra with their metadata from the answer to a request; shape (n,), a view."""
    count, rest = divmod(len(data), RECORD.itemsize)
    if rest or not count <= RECORDS_PER_REQUEST:
        raise _nonsense(f"{len(data)} bytes are not up to {RECORDS_PER_REQUEST} records of {RECORD.itemsize}")
    records: NDArray[np.void] = np.frombuffer(data, dtype=RECORD)
    for field, value in (("metadata_bytes", 64), ("pixel_bytes", 2 * PIXELS), ("pixel_format", UINT16_PIXELS)):
        if (records[field] != value).any():
            raise _nonsense(f"{field} is {records[field].tolist()} instead of {value}")
    return records


def _nonsense(what: str) -> InstrumentError:
    return InstrumentError(
        f"The spectrometer's buffered spectra make no sense: {what}.",
        where="spectrometer",
        hardware_state="as before; the spectra of this answer are lost",
        next_step="note the firmware revision; this firmware may use another record",
    )


DRIVER = DriverEntry(
    model="ocean-fx",
    role="spectrometer",
    identity=r"Ocean (Insight|Optics),Ocean ?FX\b",
    build=OceanFx,
    read_termination=None,
    write_termination=None,
)
