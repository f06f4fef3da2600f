"""One message or reply of one instrument goes wrong somewhere in a whole run, with everything that can stand in the beam.

Whatever it is: at the end the film is at 0 V, no light falls on it, and no frame is filed under a voltage that was not there.
One moment is tried for each; RIG_LONG=1 tries many, in both modes, with a laser that is fired and one that never stops.
"""

import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "run"))
sys.path.insert(0, str(Path(__file__).parent.parent / "contract"))
from bench_truth import truth_of, wrong_frames
from mishaps import OF_MESSAGES, Mishap, Mishaps, renewed_in
from other_benches import laser_as_master, other_bench

from drivers.errors import RigError
from rig.bench import default_bench
from rig.measurements.on_off import OnOff
from rig.runfile import open_run
from rig.runner import FinishReason
from rig.sequence import Sequence
from rig.session import Session

ROLES = (
    "voltage_source",
    "laser_trigger",
    "spectrometer",
    "attenuator",
    "shutter",
    "energy_meter",
    "filter_wheel",
    "cw_shutter",
)
KINDS = ("lost", "late", "corrupt", "another", *OF_MESSAGES)
SHORT = {"cycles": 1, "on_time_s": 0.3, "off_time_s": 0.25, "settle_s": 0.005}
MOMENTS = (0.1, 0.2, 0.35, 0.5, 0.6, 0.75, 0.85, 0.95)  # of a run's messages or replies
DARK_UJ_CM2 = 0.1
Setting = tuple[str, bool]  # mode, and whether the laser is its own clock
SETTINGS: list[Setting] = [("gated", False), ("stepped", False), ("gated", True), ("stepped", True)]
LONG = bool(os.environ.get("RIG_LONG"))


def run(folder: Path, setting: Setting, role: str, plan: Mishap | None = None) -> tuple[Session, Any, Mishaps]:
    """Run once; the world is looked at after the end, whatever that was."""
    mode, never_stops = setting
    bench = other_bench(laser_as_master()) if never_stops else default_bench()
    put: list[Mishaps] = []

    def prepare(world: Any) -> None:
        settings = bench.description()[role]
        mishaps = Mishaps(world.personas[role], lambda: renewed_in(world, role, settings, mishaps.persona))
        if plan is not None:
            mishaps.expect(plan)
        world.personas[role] = mishaps
        put.append(mishaps)

    session = Session(bench, simulate=True, out=folder, prepare_world=prepare)
    try:
        result: Any = session.run(Sequence.of(OnOff(**SHORT), mode=mode))
    except (RigError, KeyboardInterrupt) as error:
        result = error
    return session, result, put[0]


def ends_well(session: Session, result: Any) -> None:
    world = session.world
    world.sleep(1.0)
    end_ns = world.now_ns()
    world.sleep(1.0)
    world.light_path.emit_until(world.now_ns())
    assert world.terminal.record.voltage_v[-1] == 0.0
    pulses = world.light_path.record.pulses
    assert pulses["fluence_uj_cm2"][pulses["t_ns"] > end_ns].max(initial=0.0) < DARK_UJ_CM2
    if not isinstance(result, BaseException):
        stored = open_run(result.path)
        assert wrong_frames(stored.frames(), truth_of(session, stored)) == 0


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Setting, str, str], int]:
    """How many messages, or replies, an instrument has in a run in which nothing goes wrong."""

    @cache
    def count(setting: Setting, role: str) -> Mishaps:
        session, result, mishaps = run(tmp_path_factory.mktemp("runs"), setting, role)
        assert result.outcome.reason is FinishReason.DONE
        ends_well(session, result)
        return mishaps

    def of_kind(setting: Setting, role: str, kind: str) -> int:
        return count(setting, role).messages if kind in OF_MESSAGES else count(setting, role).replies

    return of_kind


@pytest.mark.fault("W1", "W2", "W4", "W11", "W12")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ROLES)
def test_a_run_ends_safe_and_files_nothing_wrong(
    tmp_path: Path, counted: Callable[[Setting, str, str], int], role: str, kind: str
) -> None:
    if (role, kind) == ("spectrometer", "off and on before"):
        pytest.skip("the judge knows one clock of one spectrometer")
    place = KINDS.index(kind) + ROLES.index(role)
    plans = [(s, m) for s in SETTINGS for m in MOMENTS] if LONG else [(SETTINGS[place % 4], MOMENTS[place % len(MOMENTS)])]
    for setting, moment in plans:
        plan = Mishap(kind, round(moment * counted(setting, role, kind)))
        session, result, mishaps = run(tmp_path, setting, role, plan)
        assert mishaps.happened
        ends_well(session, result)
