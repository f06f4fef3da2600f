"""Weak continuous light in whole runs: its frames follow the film's own yield, no pulse is fired, both shutters end closed."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from other_benches import other_bench

from drivers.errors import CompileError, InstrumentError
from rig.measurements.on_off import OnOff
from rig.report.findings import Findings
from rig.report.methods_text import methods_text
from rig.report.run_facts import read_facts
from rig.run_state import FinishReason, Progress
from rig.runfile import Flag, open_run
from rig.safety import Confirmation
from rig.sequence import Block, BlockMode, BlockResult, Exposure, Sequence, State, Stretch
from rig.session import Session
from sim_instruments.film.film import Film
from sim_instruments.film.photoluminescence import cw_frames
from sim_instruments.shutter import LEAKAGE

FRAME_S = 0.01
SHUTTERS = ("shutter", "cw_shutter")


class CwOnOff(OnOff):
    """Switching under weak continuous light, in frames of 10 ms."""

    def max_shots(self, rate_hz: float) -> int:
        return round(self.cycles * (self.on_time_s + self.off_time_s) / FRAME_S)

    def blocks(self, rate_hz: float, mode: BlockMode) -> Generator[Block, BlockResult | None, None]:
        count, levels = round(self.on_time_s / FRAME_S), ((State.OFF, 0.0), (State.ON, self.voltage_on_v))
        for cycle in range(self.cycles):
            pair = tuple(Stretch(state, voltage_v, count, cycle) for state, voltage_v in levels)
            for number, part in enumerate([pair] if mode == "stepped" else [(one,) for one in pair]):
                index = cycle if mode == "stepped" else 2 * cycle + number
                yield Block(index, part, self.settle_s, self.fluence_uj_cm2, Exposure("cw", FRAME_S))


def switched(folder: Path, mode: str, **given: Any) -> tuple[Session, Any]:
    session = Session(out=folder, seed=4)
    wanted = CwOnOff(on_time_s=1.0, off_time_s=1.0, cycles=2)
    return session, session.run(Sequence.of(wanted, mode=mode), **given)  # type: ignore[arg-type]


def own_yield(session: Session, open_ns: np.ndarray, close_ns: np.ndarray) -> np.ndarray:
    """What the film's own law says of frames, from the true voltage at its terminals; the film itself forgets."""
    again, record = Film(session.world.film.parameters), session.world.terminal.record
    for t_ns, voltage_v in zip(record.t_ns[1:], record.voltage_v[1:], strict=True):
        again.set_voltage(voltage_v, t_ns)
    return cw_frames(again, open_ns, close_ns)


def exposures_of(session: Session, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The world's record of the exposures that made these frames, by the device's clock."""
    exposures, clock = session.world.light_path.record.exposures, session.world.personas["spectrometer"].device_clock
    device_us = clock.at(exposures["open_ns"]).astype(np.int64)
    place = np.searchsorted(device_us, rows["device_time_us"].astype(np.int64))
    return {name: exposures[name][place] for name in ("open_ns", "close_ns", "continuous", "pulses")}


def closed_through(session: Session, role: str, times_ns: np.ndarray) -> bool:
    return bool((session.world.personas[role].blades.transmission(times_ns) <= LEAKAGE).all())


def told_off(result: Any) -> dict[str, Confirmation]:
    return {role: result.outcome.safe.instruments[role][0] for role in SHUTTERS}


@pytest.mark.parametrize("mode", ["stepped", "gated"])
def test_light_falls_and_rises_with_the_voltage_as_the_film_says(tmp_path: Path, mode: str) -> None:
    session, result = switched(tmp_path, mode)
    assert (result.outcome.reason, result.plan.mode) == (FinishReason.DONE, mode)
    rows = open_run(result.path).frames()
    rows = rows[(rows["flags"] & int(Flag.LEAD_IN | Flag.UNASSIGNED)) == 0]
    exposed = exposures_of(session, rows)
    own = own_yield(session, exposed["open_ns"], exposed["close_ns"])
    assert abs(exposed["continuous"] / own - 1).max() < 0.01  # the lamp's slow noise
    light, unbiased = rows["band_520"], np.median(rows["band_520"][:100])
    assert abs(light / unbiased - own).max() < 0.015
    for edge, low, high in ((100, 0.19, 0.21), (200, 0.96, 1.015), (300, 0.19, 0.21)):
        after = light[edge + 20 : edge + 100] / unbiased
        assert low < after.min() <= after.max() < high
    assert 2500 < unbiased < 3500  # counts of the band, a tenth of the converter's range
    dead_ns = np.diff(exposed["open_ns"])[:99] - (exposed["close_ns"] - exposed["open_ns"])[:99]
    assert dead_ns.max() < 1_000_000


def test_no_pulse_leaves_the_laser_and_only_the_other_shutter_opens(tmp_path: Path) -> None:
    session, result = switched(tmp_path, "stepped")
    world = session.world
    assert len(world.light_path.record.pulses) == 0
    exposures = world.light_path.record.exposures
    assert len(exposures) > 400
    assert closed_through(session, "shutter", exposures["open_ns"])
    assert not closed_through(session, "cw_shutter", exposures["open_ns"])
    assert told_off(result) == dict.fromkeys(SHUTTERS, Confirmation.CONFIRMED)
    world.sleep(1.0)
    assert all(closed_through(session, role, np.array([world.now_ns()])) for role in SHUTTERS)


def test_a_fault_closes_both_shutters(tmp_path: Path) -> None:
    def bad_luck(progress: Progress) -> None:
        if progress.shots_done > 50:
            raise InstrumentError("somebody pulled a plug")

    session, result = switched(tmp_path, "stepped", observe=bad_luck)
    world = session.world
    assert result.outcome.reason is FinishReason.FAULT
    opened_ns = world.light_path.record.exposures["open_ns"]
    assert not closed_through(session, "cw_shutter", opened_ns[-20:])  # it was open when that happened
    assert told_off(result) == dict.fromkeys(SHUTTERS, Confirmation.CONFIRMED)
    assert all(closed_through(session, role, np.array([world.now_ns()])) for role in SHUTTERS)


def test_the_light_is_shut_out_of_blocks_that_do_not_ask_for_it(tmp_path: Path) -> None:
    class ByTurns(CwOnOff):
        def blocks(self, rate_hz: float, mode: BlockMode) -> Generator[Block, BlockResult | None, None]:
            for index, light in enumerate(("cw", "none", "cw")):
                stretches = (Stretch(State.OFF, 0.0, 30, index),)
                yield Block(index, stretches, 0.0, self.fluence_uj_cm2, Exposure(light, FRAME_S))  # type: ignore[arg-type]

        def max_shots(self, rate_hz: float) -> int:
            return 90

    session = Session(out=tmp_path, seed=4)
    result = session.run(Sequence.of(ByTurns(cycles=1), mode="gated"))
    assert result.outcome.fault is None
    rows = open_run(result.path).frames()
    for light, number in (("cw", 0), ("none", 1), ("cw", 2)):
        frames = exposures_of(session, rows[(rows["block"] == number) & ((rows["flags"] & int(Flag.LEAD_IN)) == 0)])
        assert len(frames["open_ns"]) == 30
        assert (frames["continuous"] > 0.9 if light == "cw" else frames["continuous"] == 0).all()


def test_a_report_says_under_which_light_and_how_long_each_frame_was(tmp_path: Path) -> None:
    _, result = switched(tmp_path, "stepped")
    text = methods_text(read_facts(open_run(result.path)), Findings("a test"))
    assert "under weak continuous light at 405 nm" in text
    assert "one every 10 ms with an exposure of 9.54 ms" in text
    assert "laser pulse" not in text


def test_without_that_light_on_the_bench_a_measurement_that_wants_it_is_refused(tmp_path: Path) -> None:
    bench = other_bench(lambda tables: tables.pop("cw_shutter"))
    with pytest.raises(CompileError) as refused:
        Session(bench, simulate=True, out=tmp_path).run(Sequence.of(CwOnOff(cycles=1)))
    assert [reason.code for reason in refused.value.reasons] == ["no-cw-light"]
