"""What an Ocean FX can be asked and told: settings, fixed answers and what it lacks, by message type.

Numbers and names as in libseabreeze's OBP constants, pyseabreeze 2.11.0 and two public FX programs; values marked assumed
stand in for what no public source says.
"""

import struct
from dataclasses import dataclass

from sim_instruments.ocean_fx_buffer import CAPACITY, PIXELS

FREE, EXTERNAL_EDGE, INTERNAL_SYNC, DISABLED = 0, 1, 2, 0xFF

U8, U16, U32 = "<B", "<H", "<I"
INTEGRATION_MIN_US, INTEGRATION_MAX_US, INTEGRATION_STEP_US = 10, 10_000_000, 1  # Source: python-seabreeze #237


@dataclass(frozen=True, slots=True)
class Setting:
    """A value that is set and read back.

    Parameters
    ----------
    get, set_      message types
    form           struct format of the value
    default        after power-on, reset and defaults
    allowed        what is not refused
    """

    get: int
    set_: int
    form: str
    default: int
    allowed: range | tuple[int, ...]


SWITCH = (0, 1)
SETTINGS = {
    "buffering": Setting(0x100800, 0x100810, U8, 0, SWITCH),  # default assumed
    "buffer_size": Setting(0x100822, 0x100832, U32, CAPACITY, range(1, CAPACITY + 1)),
    "integration_us": Setting(0x110000, 0x110010, U32, 10_000, range(INTEGRATION_MIN_US, INTEGRATION_MAX_US + 1)),
    "trigger_mode": Setting(0x110100, 0x110110, U8, FREE, (FREE, EXTERNAL_EDGE, INTERNAL_SYNC, DISABLED)),
    "back_to_back": Setting(0x110102, 0x110112, U32, 1, range(1, CAPACITY + 1)),
    "lamp": Setting(0x110400, 0x110410, U8, 0, SWITCH),
    "delay_us": Setting(0x110500, 0x110510, U32, 0, range(335_501)),  # limit from memory, unverified
    "averages": Setting(0x120000, 0x120010, U16, 1, range(1, 5001)),  # limit assumed
    "strobe_delay_us": Setting(0x300000, 0x300010, U32, 0, range(2**32)),
    "strobe_width_us": Setting(0x300001, 0x300011, U32, 10, range(2**32)),
    "strobe": Setting(0x300002, 0x300012, U8, 0, SWITCH),
    "sync_period_us": Setting(0x310000, 0x310010, U32, 10_000, range(1, 60_000_001)),  # limits assumed
    "sync": Setting(0x310001, 0x310011, U8, 0, SWITCH),
}

# Active and dark pixels: the detector's 2048 within 2136 clocks; where they begin is assumed.
FIXED_ANSWERS = {
    0x000080: struct.pack(U8, 1),  # hardware and firmware revision: assumed
    0x000090: struct.pack(U16, 0x0104),
    0x000E00: struct.pack(U16, 0x2457),
    0x000E01: struct.pack(U16, 0x2001),
    0x000E11: b"OceanFX",  # assumed
    0x100820: struct.pack(U32, CAPACITY),
    0x110001: struct.pack(U32, INTEGRATION_MIN_US),
    0x110002: struct.pack(U32, INTEGRATION_MAX_US),
    0x110003: struct.pack(U32, INTEGRATION_STEP_US),
    0x110220: struct.pack(U32, PIXELS),
    0x110221: struct.pack("<2I", 20, 2067),
    0x110222: struct.pack("<2I", 0, 19),
    0x110223: struct.pack("<2I", 2068, PIXELS - 1),
}
# Multicast: the group and port on which these instruments are found; questions may name the interface (assumed).
MULTICAST_ANSWERS = {
    0x000A80: struct.pack(U8, 1),
    0x000A81: bytes((239, 239, 239, 239)),
    0x000A82: struct.pack(U16, 57357),
    0x000A83: struct.pack(U8, 1),
}
TEMPERATURES_C = (32.5, 29.0, 41.0)  # boards and processor: number and values assumed

# Types in the notes or in libseabreeze that this persona answers with "unknown type", as other models' (first group) or because
# nobody on this bench needs them.
KNOWINGLY_ABSENT = {
    0x100928: "one buffered spectrum of 32-bit pixels: QE Pro",
    0x101100: "raw spectrum now: STS",
    0x420004: "detector temperature: no thermoelectric cooler",
    0x420010: "cooler on: no thermoelectric cooler",
    0x420011: "cooler set point: no thermoelectric cooler",
    0x000A90: "set multicast",
    0x000A91: "set multicast group",
    0x000A92: "set multicast port",
    0x000A93: "set multicast hops",
    0x180111: "write a wavelength coefficient",
    0x181111: "write a nonlinearity coefficient",
    0x182000: "irradiance calibration (0x182xxx)",
    0x183100: "stray light (0x183xxx)",
    0x300003: "limits of the single strobe (0x300003 to 0x300008)",
    0x310002: "limits of the continuous strobe (0x310002 to 0x310005)",
}
