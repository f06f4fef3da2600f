"""The simulated bench without the rig: a host that talks to the source, and a hand on the laser's trigger."""

from typing import Any

import numpy as np

from sim_instruments.faults import parse_fault
from sim_instruments.film.damage import Wear
from sim_instruments.persona import Edges
from sim_instruments.world import START_NS, World

MS = 1_000_000
S = 1_000_000_000
OPEN_NS = 500_000

DESCRIPTION: dict[str, Any] = {
    "voltage_source": {"model": "keithley-2400", "resource": "GPIB0::24::INSTR"},
    "laser_trigger": {"model": "srs-dg645", "resource": "TCPIP::192.0.2.20::5025::SOCKET"},
    "spectrometer": {"model": "ocean-fx", "resource": "TCPIP::192.0.2.21::57357::SOCKET"},
    "cables": [
        {"from": "laser_trigger.EF", "to": "laser.trigger", "load": "50_ohm"},
        {"from": "laser_trigger.AB", "to": "spectrometer.trigger", "load": "50_ohm"},
    ],
    "pump": {"fluence_uj_cm2": 40.0},
    "laser": {"pulse_delay_s": 100e-6},
}
SET_UP = "*RST;:SENS:FUNC:CONC ON;:SENS:FUNC 'VOLT','CURR';:SENS:CURR:PROT {limit_a};:SENS:CURR:NPLC 0.1;:SOUR:VOLT:RANG 200"


class Bench:
    """A world with a host that talks to the source, and a hand on the laser's trigger."""

    def __init__(self, *faults: str, seed: int = 1, limit_a: float = 1e-3, **device: Any) -> None:
        self.world = World(DESCRIPTION, seed, faults=[parse_fault(text) for text in faults], **device)
        self.say(SET_UP.format(limit_a=limit_a))

    @property
    def now_s(self) -> float:
        return (self.world.now_ns() - START_NS) * 1e-9

    def say(self, text: str) -> str:
        """Send a message and return the replies."""
        source, world, reply = self.world.personas["voltage_source"], self.world, b""
        source.receive(text.encode() + b"\n", world.now_ns())
        world.sleep(2e-3)
        while (ready_ns := source.reply_ready_ns(world.now_ns())) is not None:
            world.advance_to(ready_ns)
            reply += source.take(1 << 16, world.now_ns())[0]
        return reply.decode().strip()

    def bias(self, voltage_v: float) -> None:
        self.say(f":SOUR:VOLT {voltage_v};:OUTP ON")

    def read(self) -> tuple[float, float, int]:
        """Voltage (V), current (A) and status word as the source reports them."""
        values = self.say(":READ?").split(",")
        return float(values[0]), float(values[1]), int(float(values[4]))

    def until(self, after_s: float) -> None:
        """Let time pass until `after_s` from the start."""
        self.world.advance_to(START_NS + round(after_s * S))

    def wear(self) -> Wear:
        return self.world.film.wear(self.world.now_ns())

    @property
    def voltage_v(self) -> float:
        return self.world.terminal.record.voltage_v[-1]

    def shine(self, shots: int, first_s: float) -> np.ndarray:
        """Raw counts of frames at 1 kHz, one pulse in each, from `first_s` after the start on."""
        path, open_ns = self.world.light_path, START_NS + round(first_s * S) + np.arange(shots, dtype=np.int64) * MS
        path.laser_triggered(Edges(open_ns, open_ns + 10_000, 0.0, 5.0))
        self.world.advance_to(int(open_ns[-1]) + MS)
        return path.expose(open_ns, open_ns + OPEN_NS)

    def band(self, raw: np.ndarray, centre_nm: float) -> np.ndarray:
        """Mean counts around a wavelength over the dark level, per frame."""
        near = np.abs(self.world.light_path.spectrograph.true_wavelength_nm - centre_nm) < 1
        return raw[:, near].mean(axis=1) - 1480
