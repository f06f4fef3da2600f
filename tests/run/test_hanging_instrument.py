"""A run on the served bench in which one instrument falls silent for good: all others are off at once, and it is told."""

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from test_off_command import ON_THE_WIRE_NS, SOON_S, Tap

import rig.safety
from drivers.errors import LinkTimeout
from drivers.link import open_link
from drivers.registry import find
from rig.bench_source import BenchFiles
from rig.measurements.on_off import OnOff
from rig.runfile import open_run
from rig.safety import Confirmation
from rig.session import RunResult, Session
from sim_instruments.server import BenchServer

MODELS = {"voltage_source": "keithley-2400", "laser_trigger": "srs-dg645", "spectrometer": "ocean-fx"}
SILENT = "laser_trigger"  # a run that is without an answer of it goes safe after one deadline
SLOW_S = 0.3  # what it takes to tell it to stop
SHOTS_BEFORE = 350  # with 200 per stretch: while the voltage is on


@dataclass
class Silenced:
    """A run that is over."""

    result: RunResult
    taps: dict[str, Tap]
    voltage_v: float
    shutter_closed: bool
    heard_before: dict[str, int]

    def off_ns(self, role: str) -> int:
        """When the first off message since the silence had arrived whole."""
        off, heard = find(MODELS[role], role).kind.off_message, b""  # type: ignore[arg-type]
        for t_ns, data in self.taps[role].heard[self.heard_before[role] :]:
            heard += data
            if off in heard:
                return t_ns
        raise AssertionError(f"off never reached {role}")


@pytest.fixture(scope="module")
def silenced(tmp_path_factory: pytest.TempPathFactory) -> Generator[Silenced]:
    folder = tmp_path_factory.mktemp("silenced")
    server = BenchServer(BenchFiles().describe(None, {}))
    taps = {name: Tap(persona) for name, persona in server.world.personas.items()}
    for name, tap in taps.items():
        server.rewire(name, tap)  # type: ignore[arg-type]
    (folder / "served.toml").write_text(BenchFiles().served(None, {}, server.resources))
    dumb, heard_before = taps[SILENT], dict[str, int]()

    def fall_silent(progress: object) -> None:
        if getattr(progress, "shots_done", 0) >= SHOTS_BEFORE:
            dumb.cut = True
            for name, tap in taps.items():
                heard_before.setdefault(name, len(tap.heard))
            dumb.reply_ready_ns = lambda t_ns: None  # type: ignore[attr-defined]

    driver = find(MODELS[SILENT]).kind
    stop = driver.make_safe

    def stop_slowly(self: Any) -> None:
        if dumb.cut:
            time.sleep(SLOW_S)  # noqa: TID251 - a slow link in real time
        stop(self)

    with pytest.MonkeyPatch.context() as patch, server:
        patch.setattr(driver, "make_safe", stop_slowly)
        patch.setattr(rig.safety, "CONFIRM_S", SOON_S)
        patch.setitem(open_link.__kwdefaults__, "timeout_s", 0.5)
        result = Session(folder / "served.toml", out=folder).run(
            OnOff(cycles=2, on_time_s=0.2, off_time_s=0.2), observe=fall_silent
        )
        yield Silenced(
            result,
            taps,
            server.call(lambda world: world.terminal.record.voltage_v[-1]),
            server.call(lambda world: taps["shutter"].inside.blades.closed(world.now_ns())),
            heard_before,
        )


@pytest.mark.fault("W8")
def test_the_others_are_off_and_the_silent_one_is_told(silenced: Silenced) -> None:
    known = {name: how for name, (how, _) in silenced.result.outcome.safe.instruments.items()}
    assert known.pop(SILENT) is Confirmation.SENT
    assert set(known.values()) == {Confirmation.CONFIRMED}
    assert silenced.voltage_v == 0.0
    assert silenced.shutter_closed
    assert isinstance(silenced.result.outcome.fault, LinkTimeout)


@pytest.mark.fault("W8")
def test_one_that_takes_long_to_be_told_delays_no_other(silenced: Silenced) -> None:
    others = [silenced.off_ns(role) for role in MODELS if role != SILENT]
    assert max(others) - min(others) <= ON_THE_WIRE_NS
    assert max(others) < silenced.off_ns(SILENT) - SLOW_S * 0.5e9


@pytest.mark.fault("W8")
def test_what_was_measured_is_kept(silenced: Silenced) -> None:
    run = open_run(Path(silenced.result.path))
    assert run.state == "fault"
    assert run.count >= SHOTS_BEFORE - 200
