"""Fluence asked for, set, measured and stored, judged by what the world let through to the film."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_truth import truth_of, wrong_frames
from other_benches import at_rate, nothing_in_the_beam, other_bench

from drivers.errors import ConfigError, InstrumentError, RefusedError, UnsafeStateError
from drivers.roles import EnergyReading
from rig import cli
from rig.bench import Bench, read_bench
from rig.fluence_calibration import fluence_at, write_calibration
from rig.measurements.catalogue import record_of
from rig.measurements.on_off import OnOff
from rig.runfile import open_run
from rig.runner import FinishReason, StopRequest
from rig.sequence import Sequence
from rig.session import RunResult, Session

SHORT = {"cycles": 1, "on_time_s": 1.0, "off_time_s": 1.0}


def run_on(folder: Path, bench: Bench, mode: str, **parameters: float) -> tuple[Session, RunResult]:
    session = Session(bench, simulate=True, out=folder, seed=4)
    return session, session.run(Sequence.of(OnOff(**{**SHORT, **parameters}), mode=mode))


def pulses(session: Session) -> Any:
    """Fluence of every pulse that really reached the film while the shutter was open."""
    fluence = session.world.light_path.record.pulses["fluence_uj_cm2"]
    return fluence[fluence > 0.05]


def attenuator_at(zero_deg: float) -> Any:
    """A plate whose zero nobody knows; the simulated one has it where its description says."""

    def change(tables: dict[str, Any]) -> None:
        tables["attenuator"] |= {"zero_deg": zero_deg, "extinction": 0.001}

    return change


def watched(world: Any) -> None:
    """Keep the energy (uJ) of every pulse behind plate and shutter, also while no spectrometer looks."""
    world.seen_uj = []
    world.beam.witnesses.append(lambda t_ns, energy_uj: world.seen_uj.extend(energy_uj.tolist()))


# --- calibration ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Any, Path]:
    """A bench whose plate has its zero at 31.7 deg, calibrated; bench file and calibration beside each other."""
    folder = tmp_path_factory.mktemp("lab")
    session = Session(other_bench(attenuator_at(31.7)), simulate=True, seed=2, prepare_world=watched)
    calibration = session.calibrate_fluence()
    assert calibration is not None
    write_calibration(folder / "c.toml", calibration)
    tables = other_bench(attenuator_at(31.7), lambda t: t["attenuator"].update(calibration="c.toml"))
    (folder / "lab.toml").write_text(tables.source_text, "utf-8")
    return session, calibration, folder


def test_a_calibration_finds_the_world_s_truth(calibrated: tuple[Session, Any, Path]) -> None:
    session, calibration, _ = calibrated
    spread = np.sqrt(np.diag(calibration.covariance))
    assert calibration.probability > 1e-3
    assert (calibration.zero_deg - 31.7 + 45) % 90 - 45 == pytest.approx(0.0, abs=3 * spread[1])
    assert calibration.extinction == pytest.approx(0.001, abs=3 * spread[2])
    assert spread[1] < 0.05
    scale = session.bench.energy_scale()
    assert scale is not None
    full = fluence_at(calibration, scale, calibration.zero_deg)
    # 5 % of the area and 2 % of the meter are systematic: no number of pulses finds them, and the interval says so
    assert abs(full.value - 160.0) <= 2 * np.hypot(full.statistical, full.systematic)
    wrong = session.world.beam.area_cm2 / 0.01 * session.world.personas["energy_meter"].detector.gain
    assert full.value == pytest.approx(160.0 * wrong, abs=3 * full.statistical)
    assert abs(wrong - 1) * 160 > 3 * full.statistical  # so the statistical interval alone would have been a lie


def test_the_scan_spares_the_film_and_ends_dark(calibrated: tuple[Session, Any, Path]) -> None:
    session, calibration, _ = calibrated
    fired = len(session.world.seen_uj)
    assert 15 * 20 <= fired <= 15 * 25  # at the meter's rate, not at the bench's 1000 a second
    assert set(session.world.terminal.record.voltage_v) == {0.0}
    session.world.sleep(2.0)
    assert len(session.world.seen_uj) == fired
    assert session.world.personas["shutter"].blades.closed(session.world.now_ns())
    assert len({point.angle_deg for point in calibration.points}) == len(calibration.points) >= 12


def test_a_run_uses_the_calibration_it_is_given(calibrated: tuple[Session, Any, Path], tmp_path: Path) -> None:
    _, calibration, folder = calibrated
    session, result = run_on(tmp_path, read_bench(folder / "lab.toml"), "gated", fluence_uj_cm2=50.0)
    assert result.outcome.fault is None
    fluence = result.record.fluence  # type: ignore[union-attr]
    assert fluence.mean_uj_cm2 == pytest.approx(50.0, rel=0.02)  # by the meter that calibrated
    assert pulses(session).mean() == pytest.approx(50.0 / 1.04, rel=0.03)  # what the wrong area makes of it
    assert open_run(result.path).header.calibration_toml == calibration.text()
    assert record_of(result.path).fluence == fluence  # the file alone says it


def test_a_calibration_of_other_instruments_is_refused_before_anything_moves(
    calibrated: tuple[Session, Any, Path], tmp_path: Path
) -> None:
    _, calibration, folder = calibrated
    changed = calibration.model_copy(update={"serials": {**calibration.serials, "energy_head": "1501013"}})
    write_calibration(tmp_path / "c.toml", changed)
    (tmp_path / "lab.toml").write_text((folder / "lab.toml").read_text("utf-8"), "utf-8")
    session = Session(tmp_path / "lab.toml", simulate=True, out=tmp_path / "runs")
    with pytest.raises(RefusedError) as caught:
        session.run(Sequence.of(OnOff(**SHORT)))
    assert [reason.code for reason in caught.value.reasons] == ["calibration-of-another-instrument"]
    assert "1501013" in caught.value.reasons[0].message
    assert not len(session.world.light_path.record.pulses)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda t: t["pump"].update(spot_area_cm2=0.011), "calibration-of-another-bench"),
        (lambda t: t["energy_meter"].update(pickoff_ratio=1.1), "calibration-of-another-bench"),
        (lambda t: t["pump"].update(fluence_uj_cm2=300.0), "calibration-disagrees"),
    ],
)
def test_a_calibration_of_another_bench_is_refused(calibrated: Any, tmp_path: Path, change: Any, code: str) -> None:
    folder = calibrated[2]
    text = other_bench(lambda t: t["attenuator"].update(calibration="c.toml"), change).source_text
    (tmp_path / "lab.toml").write_text(text, "utf-8")
    (tmp_path / "c.toml").write_text((folder / "c.toml").read_text("utf-8"), "utf-8")
    with pytest.raises(ConfigError) as caught:
        Session(tmp_path / "lab.toml", simulate=True).plan(OnOff(**SHORT))
    assert {reason.code for reason in caught.value.reasons} == {code}


@pytest.mark.fault("R5")
def test_a_simulated_calibration_is_not_for_a_real_bench(calibrated: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Session(calibrated[2] / "lab.toml").plan(OnOff(**SHORT))
    assert [reason.code for reason in caught.value.reasons] == ["calibration-simulated"]


def meter_says(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """What the driver of the meter returns, of what it would have measured; None: nothing came."""
    from drivers.thorlabs_pm100d import Pm100d

    measure = Pm100d.measure

    def other(meter: Any, timeout_s: float) -> EnergyReading | None:
        return answer(measure(meter, timeout_s))

    monkeypatch.setattr(Pm100d, "measure", other)


def saturated(reading: EnergyReading | None) -> EnergyReading | None:
    return reading and EnergyReading(min(reading.energy_uj, 0.8), reading.asked_ns, reading.answered_ns)


def stuck(reading: EnergyReading | None) -> EnergyReading | None:
    return reading and EnergyReading(0.8, reading.asked_ns, reading.answered_ns)


@pytest.mark.parametrize(
    ("answer", "code"),
    [(saturated, "fit-does-not-describe"), (stuck, "plate-without-effect"), (lambda reading: None, "no-pulses")],
)
def test_what_is_no_calibration_is_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: Any, code: str
) -> None:
    meter_says(monkeypatch, answer)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["calibrate", "fluence", "--points", "12", "--pulses", "5", "--json"]) == 2
    said = capsys.readouterr()
    told = json.loads(said.out.splitlines()[-1])["error"]
    assert [reason["code"] for reason in told["reasons"]] == [code]
    assert "confirmed" in told["hardware_state"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("role", ["attenuator", "energy_meter", "shutter"])
def test_a_calibration_that_fails_half_way_leaves_everything_off(role: str) -> None:
    def tamper(world: Any) -> None:
        watched(world)
        persona = world.personas[role]
        ready = persona.reply_ready_ns
        persona.reply_ready_ns = lambda t_ns: None if t_ns > 6_000_000_000 else ready(t_ns)

    session = Session(simulate=True, prepare_world=tamper)
    # a shutter that says nothing is not known to be closed, and that is told louder than anything
    with pytest.raises(UnsafeStateError if role == "shutter" else InstrumentError):
        session.calibrate_fluence()
    fired = len(session.world.seen_uj)
    assert fired > 0
    session.world.sleep(3.0)
    assert len(session.world.seen_uj) == fired
    assert set(session.world.terminal.record.voltage_v) == {0.0}


def test_a_stopped_calibration_stores_nothing_and_is_off(tmp_path: Path) -> None:
    stop = StopRequest()
    session = Session(simulate=True, prepare_world=watched)
    seen: list[int] = []

    def observe(done: int, total: int) -> None:
        seen.append(done)
        if done == 3:
            stop.request("enough")

    assert session.calibrate_fluence(stop=stop, observe=observe) is None
    assert seen == [1, 2, 3]
    assert 0 < len(session.world.seen_uj) <= 3 * 25
    assert session.world.personas["shutter"].blades.closed(session.world.now_ns())


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_a_block_gets_the_fluence_it_asks_for_and_says_what_was_measured(tmp_path: Path, mode: str) -> None:
    session, result = run_on(tmp_path, other_bench(), mode, fluence_uj_cm2=80.0)
    assert pulses(session).mean() == pytest.approx(80.0, rel=0.015)
    run, fluence = open_run(result.path), result.record.fluence  # type: ignore[union-attr]
    assert np.isnan(run.column("pulse_energy_uj")).all()  # 1000 pulses a second are beyond the meter
    blocks = 2 if mode == "gated" else 1
    assert [(one.block, one.asked_uj_cm2) for one in fluence.blocks] == [(block, 80.0) for block in range(blocks)]
    for one in fluence.blocks:
        of_block = run.energies["energy_uj"][run.energies["block"] == one.block]
        assert len(of_block) == one.readings >= 2
        assert one.measured_uj_cm2 == pytest.approx(of_block.mean() / 0.01)
        assert one.standard_error_uj_cm2 == pytest.approx(of_block.std(ddof=1) / np.sqrt(len(of_block)) / 0.01)
    assert abs(fluence.mean_uj_cm2 - 80.0) <= 2 * np.hypot(fluence.standard_error_uj_cm2, fluence.systematic_uj_cm2)
    assert fluence.systematic_uj_cm2 == pytest.approx(fluence.mean_uj_cm2 * np.hypot(0.05, 0.02))
    stored = run.results["fluence"]
    assert stored == json.loads(json.dumps(fluence.as_json()))


@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_at_20_hz_every_frame_has_the_energy_of_its_own_pulse(tmp_path: Path, mode: str) -> None:
    settle = {"settle_s": 0.3}
    session, result = run_on(tmp_path, other_bench(at_rate(20.0)), mode, on_time_s=2.0, off_time_s=2.0, **settle)
    run = open_run(result.path)
    rows = run.frames()
    truth = truth_of(session, run)
    energy = rows["pulse_energy_uj"]
    data = rows["shot"] >= 0
    assert np.isfinite(energy[data]).mean() > 0.9
    assert wrong_frames(rows, truth) == 0
    really = really_uj(session, rows)
    gain = session.world.personas["energy_meter"].detector.gain
    known = np.isfinite(energy)
    # the meter scatters by 0.5 %, the pulses by 1.5 %: a reading filed one shot off would show
    assert np.std(energy[known] / really[known]) < 0.008
    assert np.mean(energy[known] / really[known]) == pytest.approx(gain, rel=0.003)
    control = np.roll(energy, 1)
    both = known & np.isfinite(control)
    assert np.std(control[both] / really[both]) > 0.015


def really_uj(session: Session, rows: Any) -> Any:
    """Energy of the pulse that each frame really caught (uJ at the film)."""
    record, world = session.world.light_path.record, session.world
    opened_us = world.personas["spectrometer"].device_clock.at(record.exposures["open_ns"]).astype(np.int64)
    place = np.searchsorted(opened_us, rows["device_time_us"].astype(np.int64))
    return record.pulses["fluence_uj_cm2"][record.exposures["first_pulse"][place]] * world.beam.area_cm2


@pytest.mark.parametrize("rate_hz", [20.0, 1000.0])
def test_nothing_is_invented_when_the_meter_sees_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate_hz: float
) -> None:
    meter_says(monkeypatch, lambda reading: None)
    _, result = run_on(tmp_path, other_bench(at_rate(rate_hz)), "gated", settle_s=0.3)
    run = open_run(result.path)
    assert result.outcome.reason is FinishReason.DONE
    assert np.isnan(run.column("pulse_energy_uj")).all()
    assert len(run.energies) == 0
    fluence = result.record.fluence  # type: ignore[union-attr]
    assert (fluence.mean_uj_cm2, fluence.readings) == (None, 0)
    assert all(one.measured_uj_cm2 is None and one.asked_uj_cm2 == 40.0 for one in fluence.blocks)
    assert "not measured" in fluence.text()
    assert sum("measured no pulse" in text for _, text in run.events) == 2


def test_a_meter_that_dies_ends_the_readings_and_not_the_run(tmp_path: Path) -> None:
    def tamper(world: Any) -> None:
        persona = world.personas["energy_meter"]
        ready = persona.reply_ready_ns
        persona.reply_ready_ns = lambda t_ns: None if t_ns > 3_500_000_000 else ready(t_ns)

    session = Session(out=tmp_path, prepare_world=tamper)
    result = session.run(Sequence.of(OnOff(cycles=1, on_time_s=2.0, off_time_s=2.0), mode="gated"))
    run = open_run(result.path)
    assert result.outcome.fault is None
    assert result.outcome.ledger.assigned == 4000
    assert 1 <= len(run.energies) <= 4
    assert sum("not asked any more" in text for _, text in run.events) == 1
    assert wrong_frames(run.frames(), truth_of(session, run)) == 0


def test_a_bench_with_nothing_in_its_beam_runs_as_before(tmp_path: Path) -> None:
    session, result = run_on(tmp_path, other_bench(nothing_in_the_beam), "gated")
    run = open_run(result.path)
    assert result.outcome.fault is None
    assert pulses(session).mean() == pytest.approx(40.0, rel=0.01)
    assert set(result.outcome.safe.instruments) == {"laser_trigger", "voltage_source", "spectrometer"}
    assert len(run.energies) == 0
    assert np.isnan(run.column("pulse_energy_uj")).all()
    assert result.as_json()["results"]["fluence"] is None
    assert wrong_frames(run.frames(), truth_of(session, run)) == 0


def test_the_plate_moves_only_when_the_fluence_changes_and_never_under_pulses(tmp_path: Path) -> None:
    moves: list[int] = []

    def tamper(world: Any) -> None:
        plate = world.personas["attenuator"].plate
        turn = plate.turn

        def watched(angle_deg: float, t_ns: int, arrival_ns: int) -> None:
            moves.extend((t_ns, arrival_ns))
            turn(angle_deg, t_ns, arrival_ns)

        plate.turn = watched

    session = Session(out=tmp_path, prepare_world=tamper)
    session.run(Sequence.of(OnOff(cycles=2, on_time_s=0.2, off_time_s=0.2), mode="gated"))
    first_pulse = session.world.light_path.record.pulses["t_ns"][0]
    assert moves
    assert max(moves) < first_pulse


def test_the_shutter_is_closed_before_and_after(tmp_path: Path) -> None:
    session, result = run_on(tmp_path, other_bench(), "gated", on_time_s=0.2, off_time_s=0.2)
    blades, record = session.world.personas["shutter"].blades, session.world.light_path.record
    first, last = record.pulses["t_ns"][0], record.pulses["t_ns"][-1]
    assert blades.closed(int(first) - 200_000_000)
    assert blades.closed(session.world.now_ns())
    assert not blades.closed(int(first))
    assert not blades.closed(int(last))
    assert result.outcome.safe.safe
    assert "shutter" in result.outcome.safe.instruments


@pytest.mark.fault("I10")
def test_a_shutter_that_does_not_open_is_a_fault_that_ends_dark(tmp_path: Path) -> None:
    def tamper(world: Any) -> None:
        world.personas["shutter"].blades.move = lambda t_ns, *, to_open: None

    session = Session(out=tmp_path, prepare_world=tamper)
    result = session.run(Sequence.of(OnOff(**SHORT), mode="gated"))
    assert result.outcome.reason is FinishReason.FAULT
    assert "shutter" in str(result.outcome.fault).lower()
    assert len(pulses(session)) == 0
    assert session.world.terminal.record.voltage_v[-1] == 0.0
