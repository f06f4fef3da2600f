"""Triggers that get lost, doubled or invented on any cable: no frame may ever be filed under a wrong voltage."""

import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent.parent / "run"))
from bench_truth import truth_of, wrong_frames

from rig.measurements.on_off import OnOff
from rig.runfile import open_run
from rig.sequence import Sequence
from rig.session import RunResult, Session
from sim_instruments.faults import FaultyCable
from sim_instruments.world import START_NS

SPECTROMETER, LASER, SOURCE = "spectrometer.trigger", "laser.trigger", "voltage_source.trigger_link_1"
SHORT = {"cycles": 2, "on_time_s": 0.06, "off_time_s": 0.05, "settle_s": 0.01}
SHORT_SHOTS = 220


def run_with(faults: dict[str, FaultyCable], mode: str, folder: Path, **parameters: float) -> tuple[Session, RunResult]:
    def break_cables(world: Any) -> None:
        for target, fault in faults.items():
            world.cable_to(target).fault = fault

    session = Session(out=folder, prepare_world=break_cables)
    return session, session.run(Sequence.of(OnOff(**parameters), mode=mode))


def check(session: Session, result: RunResult) -> None:
    run = open_run(result.path)
    ledger = result.outcome.ledger.as_dict()
    assert ledger["assigned"] + ledger["unassigned"] + ledger["lost"] == ledger["planned"]
    assert ledger["received"] == run.count
    assert wrong_frames(run.frames(), truth_of(session, run)) == 0
    assert session.world.terminal.record.voltage_v[-1] == 0.0
    assert result.outcome.safe.safe


pulse_numbers = st.frozensets(st.integers(0, SHORT_SHOTS + 20), max_size=6)
moments_ns = st.lists(st.integers(START_NS, START_NS + 1_500_000_000), max_size=5).map(sorted)
cables = st.builds(
    FaultyCable, lost=pulse_numbers, doubled=pulse_numbers, invented_ns=moments_ns, gap_ns=st.integers(30_000, 3_000_000)
)
edges = st.builds(
    FaultyCable,
    lost=st.frozensets(st.integers(0, 6), max_size=2),
    doubled=st.frozensets(st.integers(0, 6), max_size=2),
    invented_ns=moments_ns,
    gap_ns=st.integers(30_000, 80_000_000),
    idle_v=st.just(2.0),
    active_v=st.just(0.0),
)


@pytest.mark.fault("Y1", "Y2")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mode=st.sampled_from(["gated", "stepped"]), spectrometer=cables, laser=cables, source=edges)
def test_no_wrong_voltage_whatever_the_cables_do(
    mode: str, spectrometer: FaultyCable, laser: FaultyCable, source: FaultyCable
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(*run_with({SPECTROMETER: spectrometer, LASER: laser, SOURCE: source}, mode, Path(folder), **SHORT))


@pytest.mark.fault("Y1", "Y2")
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(source=edges)
def test_no_wrong_voltage_when_only_the_source_s_edges_are_bad(source: FaultyCable) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(*run_with({SOURCE: source}, "stepped", Path(folder), **SHORT))


@pytest.mark.fault("Y1")
@pytest.mark.parametrize("mode", ["gated", "stepped"])
@pytest.mark.parametrize("number", [0, 1, 500, 999, 1000, 1001, 1500, 2000])
def test_one_lost_spectrometer_trigger_costs_at_most_one_percent(tmp_path: Path, mode: str, number: int) -> None:
    fault = FaultyCable(lost=frozenset([number]))
    session, result = run_with({SPECTROMETER: fault}, mode, tmp_path, cycles=1, on_time_s=1.0, off_time_s=1.0, settle_s=0.01)
    check(session, result)
    assert result.outcome.ledger.assigned >= 0.99 * 2000


@pytest.mark.fault("Y1")
def test_a_lost_source_edge_costs_its_block_and_says_so(tmp_path: Path) -> None:
    session, result = run_with({SOURCE: FaultyCable(lost=frozenset([1]))}, "stepped", tmp_path, **SHORT)
    check(session, result)
    run = open_run(result.path)
    assert result.outcome.ledger.assigned == 110  # the second cycle
    assert set(run.column("block")[run.column("shot") >= 0]) == {1}
    assert any("stay unassigned" in text and "4 of 5 levels" in text for _, text in run.events)


@pytest.mark.fault("Y2")
def test_a_doubled_source_edge_costs_its_block_and_says_so(tmp_path: Path) -> None:
    session, result = run_with({SOURCE: FaultyCable(doubled=frozenset([0]))}, "stepped", tmp_path, **SHORT)
    check(session, result)
    assert result.outcome.ledger.assigned == 110
    assert any("stay unassigned" in text for _, text in open_run(result.path).events)
