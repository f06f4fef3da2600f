"""Host, load, clock and trigger cables around a simulated Keithley 2400, for its tests."""

from collections.abc import Callable, Iterable

import numpy as np

from sim_instruments.keithley_2400 import Keithley2400Persona, Keithley2400Quirks
from sim_instruments.persona import Edges

MS, US = 1_000_000, 1_000
STEP_NS = 275 * US  # trigger edge to settled level
OFF = ":ABOR;:TRIG:CLE;:OUTP OFF"
STEPPED = (
    "*RST",
    ":SENS:CURR:PROT 1e-3;:SOUR:VOLT:RANG 20;:SOUR:DEL 0;:SYST:AZER 0;:SENS:CURR:NPLC 0.01",
    ":SOUR:VOLT:MODE LIST;:TRIG:SOUR TLIN;:TRIG:ILIN 3;:TRIG:INP SOUR",
)


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
    """Host, clock and cable of one persona."""

    def __init__(self, quirks: Keithley2400Quirks | None = None) -> None:
        self.load = Load()
        self.now_ns = 0
        self.load.clock = lambda: self.now_ns
        self.persona = Keithley2400Persona(self.load, np.random.default_rng(1), quirks=quirks)
        self.pulses: dict[str, list[int]] = {}

    def run(self, duration_ns: int) -> None:
        self.now_ns += duration_ns
        for connector, out in self.persona.run_until(self.now_ns).items():
            self.pulses.setdefault(connector, []).extend(out.begin_ns.tolist())

    def write(self, *messages: str) -> None:
        for message in messages:
            self.persona.receive(message.encode() + b"\n", self.now_ns)
            self.run(MS)

    def send(self, *messages: str) -> None:
        """Send without waiting."""
        for message in messages:
            self.persona.receive(message.encode() + b"\n", self.now_ns)

    def read(self) -> str:
        ready_ns = self.persona.reply_ready_ns(self.now_ns)
        assert ready_ns is not None, "no reply on its way"
        if ready_ns > self.now_ns:
            self.run(ready_ns - self.now_ns - 1)
            assert self.persona.take(1, self.now_ns) == (b"", False), "replied before it said it would"
            self.run(1)
        data, end = self.persona.take(10**6, self.now_ns)
        assert end
        assert data.endswith(b"\n")
        return data[:-1].decode("latin-1")

    def ask(self, message: str) -> str:
        self.send(message)
        return self.read()

    def silent(self) -> bool:
        return self.persona.reply_ready_ns(self.now_ns) is None

    def errors(self) -> list[int]:
        codes: list[int] = []
        while (entry := self.ask("SYST:ERR?")) != '0,"No error"':
            codes.append(int(entry.split(",")[0]))
        return codes

    def edges(
        self, times_ns: Iterable[int], line: int = 3, width_ns: int = 20 * US, low_v: float = 0.0, high_v: float = 5.0
    ) -> None:
        """Give active-low pulses to a line."""
        fall_ns = np.asarray(list(times_ns), dtype=np.int64)
        self.persona.receive_edges(f"trigger_link_{line}", Edges(fall_ns + width_ns, fall_ns, low_v, high_v))


def stepped(bench: Bench, levels: str, count: int) -> None:
    bench.write(
        *STEPPED, f":SOUR:LIST:VOLT {levels};:TRIG:COUN {count}", ":TRAC:POIN 2500;:TRAC:FEED:CONT NEXT", "OUTP ON", "INIT"
    )
