"""A host on the line of one Thorlabs persona: sends bytes, reads answers, lets time pass."""

import numpy as np

from sim_instruments.thorlabs_ell14 import Ell14Persona, Ell14Quirks
from sim_instruments.thorlabs_fw102c import Fw102cPersona
from sim_instruments.thorlabs_sc10 import Sc10Persona

MS, S = 1_000_000, 1_000_000_000
PATIENCE_NS = 30 * S


class Line:
    """Talks to `persona` from one second after its power-up on."""

    def __init__(self, persona: Ell14Persona | Sc10Persona | Fw102cPersona) -> None:
        self.persona = persona
        self.t_ns = S
        persona.run_until(self.t_ns)

    def run(self, duration_ns: int) -> None:
        self.t_ns += duration_ns
        self.persona.run_until(self.t_ns)

    def send(self, data: bytes) -> None:
        self.persona.receive(data, self.t_ns)

    def read(self, patience_ns: int = PATIENCE_NS) -> bytes | None:
        """One answer, None when none comes in time."""
        end_ns = self.t_ns + patience_ns
        while (ready_ns := self.persona.reply_ready_ns(self.t_ns)) is not None and ready_ns <= end_ns:
            if ready_ns > self.t_ns:
                self.run(ready_ns - self.t_ns)
                continue
            data, ended = self.persona.take(1 << 16, self.t_ns)
            assert ended
            return data
        return None

    def ask(self, data: bytes) -> bytes | None:
        self.send(data)
        return self.read()

    def everything(self, duration_ns: int) -> bytes:
        """All that comes in a while."""
        self.run(duration_ns)
        found = b""
        while (ready_ns := self.persona.reply_ready_ns(self.t_ns)) is not None and ready_ns <= self.t_ns:
            found += self.persona.take(1 << 16, self.t_ns)[0]
        return found


def ell14(*, seed: int = 1, home: bool = True, wire_time: bool = True, quirks: Ell14Quirks | None = None) -> Line:
    """An ELL14 that lands exactly where it is sent, unless `quirks` say otherwise."""
    quirks = quirks or Ell14Quirks(settle_pulses=0)
    line = Line(Ell14Persona(np.random.default_rng(seed), wire_time=wire_time, quirks=quirks))
    if home:
        assert line.ask(b"0ho0") == b"0PO00000000\r\n"
    return line


def sc10(*, wire_time: bool = True) -> Line:
    return Line(Sc10Persona(wire_time=wire_time))
