"""What a USB4000 can be told: the lengths of its commands, what its memory slots and registers hold, its status answer.

Sources: pyseabreeze 2.11.0 and three public programs for this model (command numbers and lengths, slots, layout of the status,
pixel ranges, steps of the integration time); the maker's data sheets of its sister models for the status and the slots. What
is marked assumed stands in none of them.
"""

import struct
from dataclasses import dataclass, field

INITIALISE, SET_INTEGRATION, SET_LAMP, READ_SLOT, WRITE_SLOT, REQUEST, SET_TRIGGER = 0x01, 0x02, 0x03, 0x05, 0x06, 0x09, 0x0A
WRITE_REGISTER, READ_REGISTER, READ_TEMPERATURE, STATUS = 0x6A, 0x6B, 0x6C, 0xFE

LENGTHS = {
    INITIALISE: 1,
    SET_INTEGRATION: 5,
    SET_LAMP: 3,
    READ_SLOT: 2,
    WRITE_SLOT: 17,
    REQUEST: 1,
    SET_TRIGGER: 3,
    WRITE_REGISTER: 4,
    READ_REGISTER: 2,
    READ_TEMPERATURE: 1,
    STATUS: 1,
}
"""Bytes of each command with its own; any other byte is skipped alone (assumed)."""

KNOWINGLY_ABSENT: dict[str, str] = {
    "0x06": "what the maker has calibrated is not rewritten; the command is taken and forgotten",
    "0x0A 1": "level trigger, not what a shot needs; the mode is taken and shown, no spectrum comes",
    "0x0A 2": "integration from edge to edge, not what a shot needs; the mode is taken and shown, no spectrum comes",
    "0x0B, 0x0C, 0x0D": "plug-in accessories: none is there, nothing answers",
    "0x60, 0x61, 0x62": "bus to accessories: none is there, nothing answers",
    "0x68, 0x69": "registers of the analogue part, which the maker does not describe; nothing answers",
    "0x6D, 0x6E": "irradiance calibration: light is in counts here; nothing answers",
}

INTEGRATION_US = range(10, 65_535_001)
FINE_US, FINE_STEP_US, COARSE_STEP_US = 655_000, 10, 1000
FIRMWARE, TRIGGER_DELAY = 0x04, 0x28  # 0x28: from memory, unverified
TRIGGER_DELAY_STEP_NS = 500  # from memory, unverified
FIRMWARE_REVISION = 0x2410  # assumed
TEMPERATURE = round(31.5 / 0.003906)
SLOT_BYTES = 15
SATURATION_COUNTS = 65_535  # assumed; real ones are lower and differ
PACKETS = 15  # of 512 bytes in one spectrum, at the speed of USB 2.0
HIGH_SPEED = 0x80


@dataclass(slots=True)
class CommandStream:
    """Cuts a stream of bytes, in any pieces, into commands."""

    _part: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the commands that are complete."""
        self._part += data
        commands: list[bytes] = []
        at = 0
        while at < len(self._part):
            length = LENGTHS.get(self._part[at])
            if length is None:
                at += 1
                continue
            if at + length > len(self._part):
                break
            commands.append(bytes(self._part[at : at + length]))
            at += length
        del self._part[:at]
        return commands

    def clear(self) -> None:
        """Forget what has been received in part."""
        self._part.clear()


def slots(serial: str, wavelength: tuple[float, ...], nonlinearity: tuple[float, ...]) -> list[bytes]:
    """What the memory holds, 15 bytes a slot: serial, wavelength, stray light, nonlinearity and its order, bench, autonull."""
    texts = [serial, *(f"{c:.7e}" for c in wavelength[:4]), "0.0000000e+00"]
    texts += [f"{c:.7e}" for c in (*nonlinearity, *[0.0] * 8)[:8]]
    texts += [str(min(len(nonlinearity), 8) - 1), "1 0 25", "USB4000"]
    autonull = struct.pack("<4xH9x", SATURATION_COUNTS)
    return [
        *(text.encode("ascii")[:SLOT_BYTES].ljust(SLOT_BYTES, b"\0") for text in texts),
        autonull,
        b"9600".ljust(SLOT_BYTES, b"\0"),
    ]


def status(pixels: int, integration_us: int, *, lamp: bool, mode: int, acquiring: bool, spectrum_waits: bool) -> bytes:
    """Build the 16 bytes that tell the state. When byte 8 (acquiring) is set, and how byte 11 counts, is assumed."""
    packets = PACKETS if spectrum_waits else 0
    return struct.pack("<HIBBBBBBxxBx", pixels, integration_us, lamp, mode, acquiring, PACKETS, 1, packets, HIGH_SPEED)


def whole_steps_us(integration_us: int) -> int:
    """Return what is made of an integration time (us): steps of 10 us, above 655 ms of 1 ms, rounded down (assumed)."""
    step_us = FINE_STEP_US if integration_us <= FINE_US else COARSE_STEP_US
    return integration_us - integration_us % step_us
