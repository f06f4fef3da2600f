"""A DG645 persona on a bench: commands, replies, pulses, for the tests of it."""

import numpy as np

from sim_instruments.persona import Edges, OutputPulses
from sim_instruments.srs_dg645 import Dg645Persona, Dg645Quirks

MS = 1_000_000
US = 1_000
INSERTION = 85
COMMAND = MS
OUTPUTS = ("T0", "AB", "CD", "EF", "GH")


class Bench:
    """Talks to one persona and keeps what left its outputs."""

    def __init__(self, quirks: Dg645Quirks | None = None, start_ns: int = 0) -> None:
        self.persona = Dg645Persona(quirks=quirks)
        self.t_ns = start_ns
        self.seen: dict[str, list[OutputPulses]] = {name: [] for name in OUTPUTS}
        self.run(0)

    def run(self, duration_ns: int) -> None:
        self.t_ns += duration_ns
        for name, pulses in self.persona.run_until(self.t_ns).items():
            assert len(pulses.begin_ns) == len(pulses.end_ns)
            assert not len(pulses) or pulses.begin_ns[-1] <= self.t_ns
            self.seen[name].append(pulses)

    def send(self, text: str) -> int:
        """Send commands, wait until all are executed; return when the last one was."""
        self.persona.receive(text.encode() + b"\n", self.t_ns)
        self.run(COMMAND * sum(bool(part.strip()) for part in text.split(";")))
        return self.t_ns

    def read(self) -> str | None:
        """Read one reply, advancing time as far as needed; None when none is on its way."""
        ready = self.persona.reply_ready_ns(self.t_ns)
        if ready is None:
            return None
        self.run(max(0, ready - self.t_ns))
        data, ended = self.persona.take(4096, self.t_ns)
        assert ended
        assert data.endswith(b"\r\n")
        return data[:-2].decode()

    def ask(self, text: str) -> str:
        self.persona.receive(text.encode() + b"\n", self.t_ns)
        reply = self.read()
        assert reply is not None
        return reply

    def errors(self) -> list[int]:
        codes: list[int] = []
        while (code := int(self.ask("LERR?"))) != 0:
            codes.append(code)
        return codes

    def edges(self, *rise_ns: int, width_ns: int = US, low_v: float = 0.0, high_v: float = 5.0, to: str = "EXT") -> None:
        rise = np.array(rise_ns, dtype=np.int64)
        self.persona.receive_edges(to, Edges(rise, rise + width_ns, low_v, high_v))

    def begins(self, name: str) -> list[int]:
        return [int(t) for part in self.seen[name] for t in part.begin_ns]

    def ends(self, name: str) -> list[int]:
        return [int(t) for part in self.seen[name] for t in part.end_ns]


def train(first: int, period: int, n: int) -> list[int]:
    return [first + i * period for i in range(n)]
