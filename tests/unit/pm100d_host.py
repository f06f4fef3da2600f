"""A PM100D persona on a desk: a host that talks to it, and pulses that come when the test says."""

import numpy as np

from sim_instruments.thorlabs_pm100d import Pm100dPersona

MS = 1_000_000
AT_400_NM = "SENS:CORR:WAV 400;:SENS:ENER:RANG 1E-6"


class Host:
    """Talks to one persona; pulses have 0.4 uJ unless the test says otherwise."""

    def __init__(self, *commands: str, serial_line: bool = False, wire_time: bool = True, seed: int = 1) -> None:
        self.persona = Pm100dPersona(seed=seed, serial_line=serial_line, wire_time=wire_time)
        self.t_ns = 0
        self.run(0)
        self.send(AT_400_NM, *commands)

    @property
    def gain(self) -> float:
        return self.persona.detector.gain

    def run(self, duration_ns: int) -> None:
        self.t_ns += duration_ns
        assert self.persona.run_until(self.t_ns) == {}

    def write(self, text: str) -> None:
        self.persona.receive(text.encode() + b"\n", self.t_ns)

    def send(self, *commands: str) -> None:
        for command in commands:
            self.write(command)
            self.run(MS)

    def read(self) -> str | None:
        """Read what is there by now."""
        data, ended = self.persona.take(1 << 16, self.t_ns)
        if not data:
            return None
        assert ended
        assert data.endswith(b"\n")
        return data[:-1].decode()

    def ask(self, question: str) -> str:
        """Ask what needs no pulse."""
        self.write(question)
        ready_ns = self.persona.reply_ready_ns(self.t_ns)
        assert ready_ns is not None, f"no answer to {question}"
        self.run(max(0, ready_ns - self.t_ns))
        answer = self.read()
        assert answer is not None, f"no answer to {question}"
        return answer

    def measure(self, question: str, *after_ms: float, energy_uj: float = 0.4) -> float:
        """Ask what pulses answer; they come after so many ms."""
        self.write(question)
        self.pulses(*after_ms, energy_uj=energy_uj)
        self.run(round(max(after_ms) * MS))
        answer = self.read()
        assert answer is not None, f"no answer to {question}"
        return float(answer)

    def pulses(self, *after_ms: float, energy_uj: float = 0.4) -> None:
        """Announce pulses so many ms from now."""
        times = self.t_ns + np.rint(np.array(after_ms) * MS).astype(np.int64)
        self.persona.detector.witness(times, np.full(len(times), energy_uj))

    def errors(self) -> list[int]:
        codes: list[int] = []
        while (code := int(self.ask("SYST:ERR?").split(",")[0])) != 0:
            codes.append(code)
        return codes
