"""A user at the terminal with a simulated bench: says words, reads the screen, and finds what was kept."""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import pytest
from test_command_line import Said

from rig import cli
from rig.runfile import open_run
from rig.session import Session
from sim_instruments import world as world_module
from sim_instruments.persona import Edges
from sim_instruments.visa_library import SimulatedVisaLibrary
from sim_instruments.world import World

SCREEN = 25
A_DAY_NS = 86_400 * 10**9
MODES = ("gated", "stepped")
ROLES = ("voltage_source", "laser_trigger", "spectrometer")
Change = Callable[["Bench"], None]


class Bench:
    """A simulated bench under observation: when the laser was fired, and what is done to it at which conversation."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.fired_ns: list[int] = []
        self.conversations = 0
        triggered = world.light_path.laser_triggered

        def witness(edges: Edges) -> None:
            self.fired_ns += edges.rise_ns.tolist()
            triggered(edges)

        world.light_path.laser_triggered = witness  # type: ignore[method-assign]

    def silence(self, role: str, after_ns: int = 0) -> None:
        """From a time on the instrument does what it is told and answers nothing."""
        persona = self.world.personas[role]
        answer = persona.reply_ready_ns
        persona.reply_ready_ns = lambda t_ns: t_ns + A_DAY_NS if t_ns >= after_ns else answer(t_ns)  # type: ignore[method-assign]

    def is_off(self) -> bool:
        """No voltage on the film and no pulse, now and for two more seconds."""
        pulses = len(self.fired_ns)
        self.world.sleep(2.0)
        return self.world.terminal.record.voltage_v[-1] == 0.0 and len(self.fired_ns) == pulses

    def untouched(self) -> bool:
        return not self.fired_ns and set(self.world.terminal.record.voltage_v) == {0.0}


class Desk:
    """A user at the command line: runs commands in a folder of their own, with a bench that somebody tampers with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.benches: list[Bench] = []
        self.tamper: Change = lambda bench: None
        self.at_conversation: Mapping[int, Callable[[], None]] = {}
        self._capfd = capfd
        write = SimulatedVisaLibrary.write

        def make(*arguments: Any) -> World:
            self.benches.append(Bench(World(*arguments)))
            self.tamper(self.benches[-1])
            return self.benches[-1].world

        def counted(library: SimulatedVisaLibrary, session: Any, data: bytes) -> Any:
            bench = self.benches[-1]
            bench.conversations += 1
            self.at_conversation.get(bench.conversations, lambda: None)()
            return write(library, session, data)

        monkeypatch.setattr(world_module, "World", make)
        monkeypatch.setattr(SimulatedVisaLibrary, "write", counted)

    @property
    def bench(self) -> Bench:
        return self.benches[-1]

    def rig(self, *words: str) -> Said:
        self._capfd.readouterr()
        code = cli.main(list(words))
        out, err = self._capfd.readouterr()
        return Said(code, out, err)


def on_from_ns(desk: Desk, name: str) -> int:
    """When an undisturbed run of a sequence first puts a voltage on the film, beyond the look at its contact."""
    Session(out="undisturbed").run(name)
    record = desk.bench.world.terminal.record
    return next(t for t, v in zip(record.t_ns, record.voltage_v, strict=True) if abs(v) > 1.0)


def rows_on_screen(text: str) -> int:
    return sum(max(1, math.ceil(len(line.rstrip()) / 80)) for line in text.splitlines())


def told(message: str, *words: str) -> None:
    """One screen that says what, where, the state of the hardware and what to do, with these words in it."""
    assert rows_on_screen(message) <= SCREEN, message
    assert "Traceback" not in message
    assert re.search(r"^  hardware: +\S", message, re.MULTILINE), message
    for word in words:
        assert word in " ".join(message.split()), message


def refused(said: Said, *codes: str) -> None:
    """Refused with these codes among the reasons, before anything was opened or written."""
    assert said.code == 2
    told(said.err, "Refused", "nothing was touched", *(f"[{code}]" for code in codes))
    assert re.search(r"^  next: +\S", said.err, re.MULTILINE)
    assert not list(Path().glob("runs/*"))


def kept(state: str | None = None) -> Any:
    """The one run file: readable with our reader, with plain h5py, and with `rig show`; return the Run."""
    [path] = Path("runs").glob("*.h5")
    assert not list(Path("runs").glob("*.lock"))
    assert not list(Path("runs").glob("*.part"))
    run = open_run(path)
    if state is not None:
        assert run.state == state
    ledger = run.ledger
    if ledger:
        assert ledger["assigned"] + ledger["unassigned"] + ledger["lost"] == ledger["planned"]
        assert ledger["received"] <= run.count if run.state in ("running", "interrupted") else ledger["received"] == run.count
    with h5py.File(path, "r") as file:
        assert file["entry/spectra/counts"].shape[0] >= run.count
        assert int(file["entry/frames/count"][()]) == run.count
    shots = run.column("shot")
    assert len(set(shots[shots >= 0].tolist())) == int((shots >= 0).sum())
    return run
