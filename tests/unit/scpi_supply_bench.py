"""Host, load and clock around a simulated plain supply, for its tests."""

from collections.abc import Callable

import numpy as np

from sim_instruments.scpi_supply import ScpiSupplyPersona

MS = 1_000_000
NO_ERROR = '0,"No error"'


class Load:
    """A resistor that notes every voltage, and complains when time runs backwards or ahead of the clock."""

    def __init__(self) -> None:
        self.resistance_ohm = 60_000.0
        self.history: list[tuple[int, float]] = []
        self.last_ns = 0
        self.clock: Callable[[], int] = lambda: 0

    def current_a(self, voltage_v: float, t_ns: int) -> float:
        assert self.last_ns <= t_ns <= self.clock()
        self.last_ns = t_ns
        return voltage_v / self.resistance_ohm

    def set_voltage(self, voltage_v: float, t_ns: int) -> None:
        assert self.last_ns <= t_ns <= self.clock()
        self.last_ns = t_ns
        self.history.append((t_ns, voltage_v))

    @property
    def voltage_v(self) -> float:
        return self.history[-1][1] if self.history else 0.0


class Bench:
    """Host, clock and load of one supply."""

    def __init__(self, *, has_end: bool = False) -> None:
        self.load = Load()
        self.now_ns = 0
        self.load.clock = lambda: self.now_ns
        self.persona = ScpiSupplyPersona(self.load, np.random.default_rng(1), has_end=has_end)

    def run(self, duration_ns: int) -> None:
        self.now_ns += duration_ns
        assert self.persona.run_until(self.now_ns) == {}

    def send(self, data: bytes) -> None:
        self.persona.receive(data, self.now_ns)

    def write(self, *messages: str) -> None:
        for message in messages:
            self.send(message.encode("latin-1") + b"\n")
            self.run(2 * MS)

    def read(self) -> str:
        ready_ns = self.persona.reply_ready_ns(self.now_ns)
        assert ready_ns is not None, "no reply on its way"
        if ready_ns > self.now_ns:
            self.run(ready_ns - self.now_ns - 1)
            assert self.persona.take(1, self.now_ns) == (b"", False), "replied before it said it would"
            self.run(1)
        data, end = self.persona.take(10**6, self.now_ns)
        assert end
        return data.decode("latin-1").removesuffix("\n")

    def ask(self, message: str) -> str:
        self.send(message.encode("latin-1") + b"\n")
        return self.read()

    def silent(self) -> bool:
        return self.persona.reply_ready_ns(self.now_ns) is None

    def errors(self) -> list[int]:
        codes: list[int] = []
        while (entry := self.ask("SYST:ERR?")) != NO_ERROR:
            codes.append(int(entry.split(",")[0]))
        return codes
