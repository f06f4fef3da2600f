"""A host in front of a simulated Keithley 2400 with a resistor at its terminals, for the tests against the maker's tables."""

import re

import numpy as np

from sim_instruments.keithley_2400 import Keithley2400Persona, Keithley2400Quirks

MS, S = 1_000_000, 1_000_000_000
NO_ERROR = '0,"No error"'


class Resistor:
    resistance_ohm = 60_000.0

    def current_a(self, voltage_v: float, t_ns: int) -> float:
        return voltage_v / self.resistance_ohm

    def set_voltage(self, voltage_v: float, t_ns: int) -> None:
        self.voltage_v = voltage_v


class Host:
    """A host that waits for every answer; `settings` go out one message each."""

    def __init__(self, *settings: str, quirks: Keithley2400Quirks | None = None) -> None:
        self.load = Resistor()
        self.persona = Keithley2400Persona(self.load, np.random.default_rng(1), quirks=quirks)
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
        ready_ns = self.persona.reply_ready_ns(self.t_ns)
        assert ready_ns is not None, "nothing to read"
        self.run(max(0, ready_ns - self.t_ns))
        data, ended = self.persona.take(1 << 20, self.t_ns)
        assert ended
        assert data.endswith(b"\n")
        return data[:-1].decode("latin-1")

    def error(self) -> str:
        return self.ask("SYST:ERR?")


def e(value: float) -> str:
    """A real number as the instrument writes it."""
    return f"{value:+.6E}"


def spellings(spec: str) -> list[str]:
    """Short, long with every optional node, mixed case, leading colon; the optional nodes left out of all but the long one."""
    nodes = re.findall(r"(\[)?:?(\*?[A-Z]+)([a-z]*)(\[1\])?([2-9])?\]?", spec)
    short = ":".join(capitals + number for optional, capitals, _, _, number in nodes if not optional)
    long = ":".join(capitals + small.upper() + number + ("1" if suffix else "") for _, capitals, small, suffix, number in nodes)
    word = ":".join(capitals + small + number for optional, capitals, small, _, number in nodes if not optional)
    mixed = "".join(c.upper() if i % 2 else c.lower() for i, c in enumerate(word))
    return [short, long, mixed, ":" + short, short.lower()]
