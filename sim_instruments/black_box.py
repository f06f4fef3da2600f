"""The black box of a served bench: what really happened at the film, in a file that another process can judge by.

One JSON object per line, written and flushed as soon as the world has moved. Times are the computer's monotonic clock (ns),
which all processes of a computer share on Linux:

    {"t_ns": ..., "voltage_v": ...}                        from then on the terminals were at this voltage
    {"t_ns": ..., "pulses": ..., "first_t_ns": ...}        so many laser pulses, from the first to the last at t_ns
    {"t_ns": ..., "role": ..., "heard": "..."}             bytes came for an instrument, latin-1
"""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sim_instruments.pace import Pace
from sim_instruments.persona import Persona, TimesNs
from sim_instruments.server import BenchServer
from sim_instruments.world import World


class BlackBox:
    """Writes down what happens in a world.

    Parameters
    ----------
    path   file, made anew
    pace   of world time, the real one

    Raises
    ------
    OSError  the file cannot be written
    """

    def __init__(self, path: Path, pace: Pace) -> None:
        self._file = path.open("w", encoding="utf-8", newline="\n")
        self._origin_ns = time.monotonic_ns() - pace.now_ns()
        self._voltages = 0
        self._last_v: float | None = None

    def attach(self, server: BenchServer) -> None:
        """Listen to the pulses of a bench and to what its instruments hear, from now on; before anybody talks to them."""
        server.world.light_path.pulse_faults.append(self._pulses)
        for role, persona in tuple(server.world.personas.items()):
            server.rewire(role, cast(Persona, _Overheard(persona, partial(self._heard, role))))

    def look(self, world: World) -> None:
        """Write down how the terminal voltage has changed since the last look."""
        record = world.terminal.record
        while self._voltages < len(record.t_ns):
            t_ns, voltage_v = record.t_ns[self._voltages], record.voltage_v[self._voltages]
            self._voltages += 1
            if voltage_v != self._last_v:
                self._last_v = voltage_v
                self._write(t_ns=t_ns, voltage_v=voltage_v)

    def close(self) -> None:
        """End the file."""
        self._file.close()

    def _pulses(self, t_ns: TimesNs, fluence: NDArray[np.float64]) -> tuple[TimesNs, NDArray[np.float64]]:
        if len(t_ns):
            self._write(t_ns=int(t_ns[-1]), pulses=len(t_ns), first_t_ns=int(t_ns[0]) + self._origin_ns)
        return t_ns, fluence

    def _heard(self, role: str, data: bytes, t_ns: int) -> None:
        if data:
            self._write(t_ns=t_ns, role=role, heard=data.decode("latin-1"))

    def _write(self, t_ns: int, **what: Any) -> None:
        self._file.write(json.dumps({"t_ns": t_ns + self._origin_ns, **what}) + "\n")
        self._file.flush()


class _Overheard:
    """An instrument on whose line somebody listens."""

    def __init__(self, persona: Persona, hear: Callable[[bytes, int], None]) -> None:
        self._persona = persona
        self._hear = hear

    def __getattr__(self, name: str) -> Any:
        return getattr(self._persona, name)

    def receive(self, data: bytes, t_ns: int) -> None:
        self._hear(data, t_ns)
        self._persona.receive(data, t_ns)
