"""A host in front of a simulated Keithley 2450 with a resistor at its terminals, for the tests against the maker's tables."""

import numpy as np

from sim_instruments.keithley_2450 import Keithley2450Persona, Keithley2450Quirks

MS, S = 1_000_000, 1_000_000_000
NO_ERROR = '0,"No error;0;0 0"'


class Resistor:
    resistance_ohm = 60_000.0

    def current_a(self, voltage_v: float, t_ns: int) -> float:
        return voltage_v / self.resistance_ohm

    def set_voltage(self, voltage_v: float, t_ns: int) -> None:
        self.voltage_v = voltage_v


class Host:
    """A host that waits for every answer; `settings` go out one message each."""

    def __init__(self, *settings: str, quirks: Keithley2450Quirks | None = None) -> None:
        self.load = Resistor()
        self.persona = Keithley2450Persona(self.load, np.random.default_rng(1), quirks=quirks)
        self.t_ns = 0
        self.send(*settings)

    def run(self, duration_ns: int) -> None:
        self.t_ns += duration_ns
        self.persona.run_until(self.t_ns)

    def send(self, *messages: str) -> None:
        for message in messages:
            self.persona.receive(message.encode() + b"\n", self.t_ns)
            self.run(MS)

    def ask(self, message: str) -> str:
        self.persona.receive(message.encode() + b"\n", self.t_ns)
        return self.read()

    def read(self) -> str:
        while (ready_ns := self.persona.reply_ready_ns(self.t_ns)) is None or ready_ns > self.t_ns:
            assert ready_ns is not None, "nothing to read"
            self.run(ready_ns - self.t_ns)
        data, ended = self.persona.take(1 << 20, self.t_ns)
        assert ended
        assert data.endswith(b"\n")
        return data[:-1].decode("latin-1")

    def error(self) -> str:
        """The oldest error without its type and time, e.g. `-113,Undefined header`."""
        code, text = self.ask("SYST:ERR?").split(',"')
        return f"{code},{text.split(';')[0].strip(chr(34))}"


def g(value: float) -> str:
    """A real number as the instrument tells a setting."""
    return f"{value:.9G}"
