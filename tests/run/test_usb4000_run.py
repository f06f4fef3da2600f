"""A gated run with a spectrometer that has no clock, no frame count and no buffer, judged by the bench's own record."""

from collections.abc import Iterable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from bench_truth import shifted, truth_of, wrong_frames

from drivers.errors import CompileError
from drivers.keithley_2400 import Keithley2400
from drivers.link import Link
from drivers.roles import SourceReading
from rig.bench import read_bench
from rig.measurements.on_off import OnOff
from rig.reduction import usable
from rig.runfile import Flag, Run, open_run
from rig.sequence import Sequence
from rig.session import RunResult, Session
from sim_instruments.world import FaultyCable, World

RATE_HZ = 100.0
SHOTS = 40  # per stretch
STRETCHES = 4


BENCH = """
visa_library = "@py"
[laser]
trigger = "slave"
pulse_delay_s = 100e-6
[pump]
fluence_uj_cm2 = 40.0
spot_area_cm2 = 0.01
source = "simulated"
[voltage_source]
model = "keithley-2400"
resource = "GPIB0::24::INSTR"
limits = {{ voltage_v = [-20.0, 20.0], current_a = 0.001, step_v = 20.0, on_time_s = 60.0, duty = 0.6 }}
[laser_trigger]
model = "srs-dg645"
resource = "TCPIP::192.0.2.20::5025::SOCKET"
rate_hz = {rate_hz}
[spectrometer]
model = "ocean-usb4000"
resource = "USB0::0x2457::0x1022::USB4C00123::RAW"
integration_time_s = 500e-6
[[cable]]
from = "laser_trigger.EF"
to = "laser.trigger"
[[cable]]
from = "laser_trigger.AB"
to = "spectrometer.trigger"
[environment]
temperature_c = 22.5
humidity_percent = 41.0
operator = "simulated"
"""


def usb4000_bench(folder: Path, rate_hz: float) -> Path:
    path = folder / "bench.toml"
    path.write_text(BENCH.format(rate_hz=rate_hz))
    return path


def wrong_shots(session: Session, run: Run) -> int:
    """Frames whose shot is not the one whose pulse they show; every stretch begins with a lead-in."""
    rows, exposures = run.frames(), session.world.light_path.record.exposures
    session.world.light_path.emit_until(session.world.now_ns())  # pulses that no exposure saw are on record, too
    assert len(session.world.light_path.record.pulses) == STRETCHES * (SHOTS + 1)
    place = np.searchsorted(exposures["close_ns"], rows["device_time_us"].astype(np.int64) * 1000) - 1
    stretch, number = np.divmod(exposures["first_pulse"][place], SHOTS + 1)
    assigned = rows["shot"] >= 0
    return int((rows["shot"] != stretch * SHOTS + number - 1)[assigned].sum())


def run_one(folder: Path, *, rate_hz: float = RATE_HZ, lost: Iterable[int] = ()) -> tuple[Session, RunResult, Run]:
    def lose(world: World) -> None:
        if lost:
            world.cable_to("spectrometer.trigger").fault = FaultyCable(lost=frozenset(lost))

    bench = read_bench(usb4000_bench(folder, rate_hz))
    session = Session(bench, simulate=True, out=folder, seed=3, prepare_world=lose)
    stretch_s = SHOTS / rate_hz
    parameters = OnOff(on_time_s=stretch_s, off_time_s=stretch_s, cycles=STRETCHES // 2, settle_s=0.1)
    result = session.run(Sequence.of(parameters, title="test", sample="film", mode="gated"))
    assert result.outcome.fault is None
    return session, result, open_run(result.path)


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 12.5])
def test_every_shot_has_its_frame(tmp_path: Path, rate_hz: float) -> None:
    session, result, run = run_one(tmp_path, rate_hz=rate_hz)
    ledger = result.as_json()["frames"]
    assert ledger["planned"] == STRETCHES * SHOTS
    assert ledger["assigned"] == STRETCHES * SHOTS
    assert ledger["surplus"] == 0
    rows, truth = run.frames(), truth_of(session, run)
    assert wrong_frames(rows, truth) == 0
    assert wrong_shots(session, run) == 0
    assert wrong_frames(shifted(rows, 1), truth) >= STRETCHES - 1  # the judge sees one shot of error at every edge
    assert usable(rows["flags"]).sum() > 0.7 * STRETCHES * SHOTS
    assert run.spectra(0, 1).shape == (1, 3648)


@pytest.mark.fault("Y1")
def test_a_lost_trigger_costs_its_own_shot(tmp_path: Path) -> None:
    """Triggers are counted over the run; every stretch begins with a lead-in."""
    session, result, run = run_one(tmp_path, lost=(7, 19, 20, (SHOTS + 1) + 30))
    ledger = result.as_json()["frames"]
    assert (ledger["assigned"], ledger["lost"]) == (STRETCHES * SHOTS - 4, 4)
    rows, truth = run.frames(), truth_of(session, run)
    assert wrong_frames(rows, truth) == 0
    missing = set(range(STRETCHES * SHOTS)) - set(rows["shot"].tolist())
    assert wrong_shots(session, run) == 0
    assert missing == {6, 18, 19, SHOTS + 29}


@pytest.mark.fault("Y1")
def test_a_trigger_lost_at_an_end_leaves_the_alignment_of_its_stretch_uncertain_by_one(tmp_path: Path) -> None:
    session, result, run = run_one(tmp_path, lost=(SHOTS,))  # the last of the first stretch
    ledger = result.as_json()["frames"]
    assert (ledger["assigned"], ledger["unassigned"], ledger["lost"]) == (STRETCHES * SHOTS - 2, 1, 1)
    rows, truth = run.frames(), truth_of(session, run)
    assert wrong_frames(rows, truth) == 0
    unassigned = np.flatnonzero(rows["flags"] & int(Flag.UNASSIGNED))
    assert set(rows["stretch"][unassigned]) == {0}


def test_a_rate_that_the_host_cannot_follow_is_refused(tmp_path: Path) -> None:
    session = Session(read_bench(usb4000_bench(tmp_path, 125.0)), simulate=True, out=tmp_path)
    with pytest.raises(CompileError) as refused:
        session.run(Sequence.of(OnOff(), title="test", sample="film", mode="gated"))
    assert [reason.code for reason in refused.value.reasons] == ["spectrometer-too-slow"]
    assert session.world is None


def test_the_price_follows_the_pixels(tmp_path: Path) -> None:
    sequence = Sequence.of(OnOff(), title="test", sample="film", mode="gated")
    usb4000 = Session(read_bench(usb4000_bench(tmp_path, RATE_HZ)), simulate=True).plan(sequence)
    assert usb4000.price.file_bytes == usb4000.frame_capacity * (2 * 3648 + 109)


@pytest.mark.fault("Y4")
@pytest.mark.parametrize("busy_s", [0.006, 0.010, 0.020])
def test_a_host_that_is_busy_elsewhere_loses_frames_and_files_none_under_a_wrong_voltage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, busy_s: float
) -> None:
    """A frame that waited for a whole period may get the next shot's number: the host's time proves no more."""
    measure = Keithley2400.measure

    def slow(source: Keithley2400) -> SourceReading:
        reading = measure(source)
        cast(Link, source.adapter).clock.sleep(busy_s)
        return reading

    monkeypatch.setattr(Keithley2400, "measure", slow)
    session, result, run = run_one(tmp_path)
    ledger = result.as_json()["frames"]
    assert 0 < ledger["lost"] < 0.4 * STRETCHES * SHOTS
    assert ledger["assigned"] > 0.6 * STRETCHES * SHOTS
    assert wrong_frames(run.frames(), truth_of(session, run)) == 0
