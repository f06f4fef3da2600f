"""Host, load, clock and trigger cables around a simulated Keithley 2450, for its tests."""

from collections.abc import Callable, Iterable

import numpy as np

from sim_instruments.keithley_2450 import Keithley2450Persona, Keithley2450Quirks
from sim_instruments.persona import Edges

S, MS, US = 1_000_000_000, 1_000_000, 1_000
NO_ERROR = '0,"No error;0;0 0"'


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

    @property
    def levels(self) -> list[float]:
        return [voltage_v for _, voltage_v in self.history]


class Bench:
    """Host, clock and cables of one persona."""

    def __init__(self, *messages: str, quirks: Keithley2450Quirks | None = None) -> None:
        self.load = Load()
        self.now_ns = 0
        self.load.clock = lambda: self.now_ns
        self.persona = Keithley2450Persona(self.load, np.random.default_rng(1), quirks=quirks)
        self.pulses: dict[str, list[tuple[int, int]]] = {}
        self.write(*messages)

    def run(self, duration_ns: int) -> None:
        self.now_ns += duration_ns
        for connector, out in self.persona.run_until(self.now_ns).items():
            self.pulses.setdefault(connector, []).extend(zip(out.begin_ns.tolist(), out.end_ns.tolist(), strict=True))

    def write(self, *messages: str) -> None:
        for message in messages:
            self.persona.receive(message.encode() + b"\n", self.now_ns)
            self.run(MS)

    def send(self, *messages: str) -> None:
        """Send without waiting."""
        for message in messages:
            self.persona.receive(message.encode() + b"\n", self.now_ns)

    def read(self) -> str:
        while (ready_ns := self.persona.reply_ready_ns(self.now_ns)) is None or ready_ns > self.now_ns:
            assert ready_ns is not None, "no reply on its way"
            assert self.persona.take(1, self.now_ns) == (b"", False), "replied before it said it would"
            self.run(ready_ns - self.now_ns)
        data, end = self.persona.take(10**7, self.now_ns)
        assert end
        assert data.endswith(b"\n")
        return data[:-1].decode("latin-1")

    def ask(self, message: str) -> str:
        self.send(message)
        return self.read()

    def numbers(self, message: str) -> list[float]:
        return [float(text) for text in self.ask(message).split(",")]

    def replies(self) -> list[bytes]:
        """Take everything that is ready."""
        taken: list[bytes] = []
        while (chunk := self.persona.take(10**7, self.now_ns))[0]:
            taken.append(chunk[0])
        return taken

    def silent(self) -> bool:
        return self.persona.reply_ready_ns(self.now_ns) is None

    def errors(self) -> list[int]:
        codes: list[int] = []
        while (entry := self.ask("SYST:ERR?")) != NO_ERROR:
            codes.append(int(entry.split(",")[0]))
        return codes

    def edges(
        self, times_ns: Iterable[int], line: int = 1, width_ns: int = 20 * US, low_v: float = 0.0, high_v: float = 5.0
    ) -> None:
        """Give active-low pulses to a line."""
        fall_ns = np.asarray(list(times_ns), dtype=np.int64)
        self.persona.receive_edges(f"digital_io_{line}", Edges(fall_ns + width_ns, fall_ns, low_v, high_v))
