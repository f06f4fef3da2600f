"""Interlocks and monitors in whole runs: what is tampered with is the world, what is judged is its own record.

Nothing is switched on again by itself, no frame is filed wrongly, and every trip stands in the run file with its values.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "run"))
sys.path.insert(0, str(Path(__file__).parent))
from bench_truth import DARK_UJ_CM2
from other_benches import Values, other_bench
from watched_run import WATCHED, WatchedRun, at_time, watched_run, when_dark, when_on

from drivers.errors import InstrumentError, InterlockTripped, ReadbackMismatch, RigError
from rig.measurements.on_off import OnOff
from rig.reduction import usable
from rig.runfile import Flag
from rig.runner import FinishReason
from rig.sequence import Sequence
from rig.session import Session

MODES = ("gated", "stepped")
LATER_NS = 130_000_000  # into the ON stretch
SOURCE = "voltage_source"
CURRENT = {"quantity": "current_a", "state": "on", "between": [5e-5, 9e-4], "max_age_s": 5.0}
Tamper = Callable[[Any], object]


def monitored(*monitors: dict[str, Any]) -> Any:
    def change(tables: Values) -> None:
        tables["monitor"] = list(monitors)

    return other_bench(change)


def enabled(world: Any) -> None:
    """The output-enable line of the source is in use."""
    world.personas[SOURCE].receive(b":OUTP:ENAB 1\n", world.now_ns())


def when(world: Any, role: str, moment: str, act: Callable[[int], None]) -> list[int]:
    """Let something happen to an instrument while dark frames are taken, or while 20 V are on; return when it did."""
    happened = list[int]()

    def once(t_ns: int) -> None:
        if not happened:
            happened.append(t_ns)
            act(t_ns)

    due = at_time(world, role, once)
    if moment == "dark":
        when_dark(world, lambda t_ns: due.append(world.now_ns() + 1_000_000))
    else:
        when_on(world, lambda t_ns: due.append(t_ns + LATER_NS))
    return happened


def trips(run: WatchedRun) -> list[dict[str, Any]]:
    """The values of everything that tripped or was noted, from the event log."""
    found = [re.fullmatch(r"(tripped|monitor): .*? (\{.*\})", line) for line in run.events.splitlines()]
    return [json.loads(match[2]) for match in found if match]


def ends_tripped(run: WatchedRun, quantity: str, since_ns: int, record: Callable[[str, object], None]) -> InterlockTripped:
    """See that the run ended safe by a trip of one quantity; measure how long that took."""
    fault = run.result.outcome.fault
    assert isinstance(fault, InterlockTripped), fault
    assert quantity in fault.what
    assert fault.next_step
    ends_well(run, since_ns, record)
    assert trips(run)[0]["quantity"] == quantity
    return fault


def ends_well(run: WatchedRun, since_ns: int, record: Callable[[str, object], None]) -> None:
    outcome = run.result.outcome
    assert outcome.reason is FinishReason.FAULT
    assert outcome.safe.safe
    record("off_ms", run.off_ms(since_ns))
    record("kept", run.kept())
    assert run.wrong == 0


def never_on(world: Any) -> None:
    world.sleep(1.0)
    world.light_path.emit_until(world.now_ns())
    assert set(world.terminal.record.voltage_v) == {0.0}
    assert world.light_path.record.pulses["fluence_uj_cm2"].max(initial=0.0) < DARK_UJ_CM2


def rises_after(world: Any, t_ns: int) -> list[float]:
    """Voltages other than 0 that came on after a moment."""
    record = world.terminal.record
    return [v for t, v in zip(record.t_ns, record.voltage_v, strict=True) if t > t_ns and v != 0.0]


# --- interlocks -------------------------------------------------------------------------------------------------------


def open_enable_line(world: Any) -> None:
    enabled(world)
    world.personas[SOURCE].set_interlock(False, world.now_ns())


def open_shutter_lid(world: Any) -> None:
    world.personas["shutter"].set_interlock(world.now_ns(), tripped=True)


def overheat(world: Any) -> None:
    world.personas[SOURCE].set_temperature(True, world.now_ns())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("tamper", "quantity", "role"),
    [
        pytest.param(open_enable_line, "interlock_closed", "voltage source", marks=pytest.mark.fault("I5")),
        pytest.param(open_shutter_lid, "interlock_closed", "shutter", marks=pytest.mark.fault("I5")),
        pytest.param(overheat, "over_temperature", "voltage source", marks=pytest.mark.fault("I2")),
    ],
)
def test_nothing_is_switched_on_when_it_is_so_at_the_start(
    tmp_path: Path, tamper: Tamper, quantity: str, role: str, mode: str
) -> None:
    session = Session(simulate=True, out=tmp_path, prepare_world=tamper)
    with pytest.raises(InterlockTripped, match=f"{quantity} of the {role}") as refused:
        session.run(Sequence.of(OnOff(**WATCHED), mode=mode))
    assert refused.value.next_step
    assert "off" in refused.value.hardware_state
    never_on(session.world)
    assert not list(tmp_path.glob("*.h5*"))


@pytest.mark.fault("I5")
def test_an_interlock_that_nobody_uses_is_noted_when_the_bench_file_says_so(tmp_path: Path) -> None:
    bench = monitored({"quantity": "interlock_closed", "of": SOURCE, "policy": "note"})
    run = watched_run(tmp_path, lambda world: world.personas[SOURCE].set_interlock(False, world.now_ns()), bench=bench)
    # the line is not in use: it is not told, and that is what is noted
    assert run.result.outcome.reason is FinishReason.DONE
    assert [(trip["of"], trip["why"], trip["policy"]) for trip in trips(run)] == [(SOURCE, "missing", "note")]


@pytest.mark.parametrize("closes_again", [False, True])
@pytest.mark.parametrize("moment", ["dark", "on"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.fault("I5", "I6")
def test_an_output_enable_line_that_opens_ends_the_run_for_good(
    tmp_path: Path, record_property: Callable[[str, object], None], mode: str, moment: str, closes_again: bool
) -> None:
    happened: list[list[int]] = []

    def tamper(world: Any) -> None:
        enabled(world)
        source = world.personas[SOURCE]

        def lid(t_ns: int) -> None:
            source.set_interlock(False, t_ns)
            if closes_again and moment == "on":
                source.set_interlock(True, t_ns + 1)

        happened.append(when(world, SOURCE, moment, lid))

    run = watched_run(tmp_path, tamper, mode)
    (opened_ns,) = happened[0]
    ends_well(run, opened_ns, record_property)
    assert rises_after(run.world, opened_ns) == []
    fault = run.result.outcome.fault
    assert isinstance(fault, InstrumentError)
    if not (closes_again and moment == "on"):
        assert "interlock_closed" in fault.what or "output-enable line is open" in fault.what
    proven = usable(run.rows["flags"]) & (run.rows["planned_voltage_v"] == 20.0)
    if moment == "dark":
        assert not proven.any()


@pytest.mark.parametrize("closes_again", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.fault("I5", "I6")
def test_a_shutter_interlock_that_trips_ends_the_run_for_good(
    tmp_path: Path, record_property: Callable[[str, object], None], mode: str, closes_again: bool
) -> None:
    happened: list[list[int]] = []

    def tamper(world: Any) -> None:
        shutter = world.personas["shutter"]

        def lid(t_ns: int) -> None:
            shutter.set_interlock(t_ns, tripped=True)
            if closes_again:
                shutter.set_interlock(t_ns + 1, tripped=False)

        happened.append(when(world, "shutter", "on", lid))

    run = watched_run(tmp_path, tamper, mode)
    (opened_ns,) = happened[0]
    pulses = run.world.light_path.record.pulses
    late = pulses["t_ns"] > opened_ns + 30_000_000  # the blades need some ms
    assert pulses["fluence_uj_cm2"][late].max(initial=0.0) < DARK_UJ_CM2
    used = run.rows[usable(run.rows["flags"])]
    assert run.wrong == 0
    assert len(used) < 550
    if not closes_again:
        ends_tripped(run, "interlock_closed", opened_ns, record_property)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.fault("I2")
def test_a_source_that_overheats_stays_off(tmp_path: Path, record_property: Callable[[str, object], None], mode: str) -> None:
    happened: list[list[int]] = []

    def tamper(world: Any) -> None:
        source = world.personas[SOURCE]

        def heat(t_ns: int) -> None:
            source.set_temperature(True, t_ns)

        happened.append(when(world, SOURCE, "on", heat))

    run = watched_run(tmp_path, tamper, mode, cycles=2)
    (hot_ns,) = happened[0]
    ends_well(run, hot_ns, record_property)
    assert rises_after(run.world, hot_ns) == []
    assert "too hot" in str(run.result.outcome.fault) or "over_temperature" in str(run.result.outcome.fault)


# --- what is read back ------------------------------------------------------------------------------------------------


def misread(world: Any, change: Callable[[float], float], from_ns: int = 0) -> None:
    """The source measures another voltage than it puts out, as with a sense lead that has come off."""
    meter = world.personas[SOURCE].meter
    truly = meter._reading

    def reading(t_ns: int) -> Any:
        found = truly(t_ns)
        return found if t_ns < from_ns else found._replace(voltage_v=change(found.voltage_v))

    meter._reading = reading


@pytest.mark.parametrize("change", [lambda v: v + 0.5, lambda v: v * 0.9 + 0.11, lambda v: 9.91e37], ids=["off", "gain", "nan"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.fault("I7")
def test_a_level_that_is_read_back_wrong_is_no_data(
    tmp_path: Path, record_property: Callable[[str, object], None], mode: str, change: Callable[[float], float]
) -> None:
    run = watched_run(tmp_path, lambda world: misread(world, change), mode)
    assert not usable(run.rows["flags"]).any()
    if mode == "gated":  # a list tells its levels when it is over: its frames stay unassigned
        assert isinstance(run.result.outcome.fault, ReadbackMismatch)
        record_property("off_ms", run.off_ms(int(run.run.readings["t_ns"][0])))
    assert run.wrong == 0
    record_property("kept", run.kept())


@pytest.mark.fault("I7")
def test_a_sense_lead_that_comes_off_ends_the_run_at_the_next_reading(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    off_at: list[int] = []

    def tamper(world: Any) -> None:
        def lift(t_ns: int) -> None:
            off_at.append(t_ns + LATER_NS)
            misread(world, lambda v: v * 0.5, t_ns + LATER_NS)

        when_on(world, lift)

    run = watched_run(tmp_path, tamper, "gated")
    assert isinstance(run.result.outcome.fault, ReadbackMismatch)
    ends_well(run, off_at[0], record_property)
    assert run.off_ms(off_at[0]) < 200


PANEL = {"level": b":SOUR:VOLT 5\n", "off": b":OUTP OFF\n", "limit": b":SENS:CURR:PROT 1e-6\n"}


@pytest.mark.parametrize("key", PANEL)
@pytest.mark.fault("I9")
def test_somebody_at_the_front_panel_is_noticed_at_the_next_reading(
    tmp_path: Path, record_property: Callable[[str, object], None], key: str
) -> None:
    happened: list[list[int]] = []

    def tamper(world: Any) -> None:
        source = world.personas[SOURCE]
        happened.append(when(world, SOURCE, "on", lambda t_ns: source.receive(PANEL[key], t_ns)))

    run = watched_run(tmp_path, tamper, "gated")
    (pressed_ns,) = happened[0]
    assert isinstance(run.result.outcome.fault, RigError)
    ends_well(run, pressed_ns, record_property)
    assert run.off_ms(pressed_ns) < 200


@pytest.mark.fault("I3")
@pytest.mark.parametrize("role", [SOURCE, "laser_trigger"])
@pytest.mark.parametrize("errors", [1, 30])
def test_errors_that_come_up_during_a_run_end_it(
    tmp_path: Path, record_property: Callable[[str, object], None], role: str, errors: int
) -> None:
    """More than the queue holds end in an overflow: what was lost is not known, so nothing is taken for granted."""
    happened: list[list[int]] = []

    def tamper(world: Any) -> None:
        happened.append(when(world, role, "on", lambda t_ns: world.personas[role].receive(b":FOO 1\n" * errors, t_ns)))

    run = watched_run(tmp_path, tamper, "gated")
    ends_tripped(run, "errors_reported", happened[0][0], record_property)


# --- monitors of a bench file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.fault("P2")
def test_a_contact_that_lifts_trips_the_current_monitor(
    tmp_path: Path, record_property: Callable[[str, object], None], mode: str
) -> None:
    lifted: list[int] = []

    def tamper(world: Any) -> None:
        from sim_instruments.faults import Fault, apply

        lifted.append(world.now_ns() + 2_500_000_000)
        apply(world, Fault("open-contact", 2.5))

    run = watched_run(tmp_path, tamper, mode, monitored(CURRENT), cycles=4)
    fault = ends_tripped(run, "current_a", lifted[0], record_property)
    assert fault.where == "voltage source"
    told = trips(run)[0]
    assert told["between"] == CURRENT["between"]
    assert abs(told["value"]) < 5e-5


@pytest.mark.fault("P2")
def test_a_contact_that_lifts_unwatched_is_recorded(tmp_path: Path) -> None:
    """The control: without a monitor the run goes on, and its readings show why nothing switches."""
    run = watched_run(tmp_path, lambda world: None, faults=("open-contact@3.5s",), cycles=4)
    assert run.result.outcome.reason is FinishReason.DONE
    readings = run.run.readings
    on = readings["voltage_v"] > 15
    assert abs(readings["current_a"][on][-1]) < 5e-5 < abs(readings["current_a"][on][0])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.fault("I1", "P2")
def test_a_note_goes_on_and_flags_its_frames(tmp_path: Path, mode: str) -> None:
    bench = monitored({**CURRENT, "between": [0.0, 1e-9], "policy": "note"})
    run = watched_run(tmp_path, lambda world: None, mode, bench)
    assert run.result.outcome.reason is FinishReason.DONE
    flagged = run.rows["flags"] & int(Flag.MONITOR) != 0
    assert np.array_equal(flagged, run.rows["state"] == 1)
    assert flagged.sum() == 300
    assert [(trip["quantity"], trip["policy"], trip["why"]) for trip in trips(run)] == [("current_a", "note", "outside")]


@pytest.mark.fault("I1")
def test_the_current_limit_ends_a_run_whatever_a_note_says(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    broken: list[int] = []

    def tamper(world: Any) -> None:
        when_on(world, lambda t_ns: (broken.append(t_ns + LATER_NS), world.add_leak(1000.0, t_ns + LATER_NS)))

    run = watched_run(tmp_path, tamper, "gated", monitored({**CURRENT, "policy": "note"}))
    ends_well(run, broken[0], record_property)
    assert run.off_ms(broken[0]) < 200
    assert "current limit" in str(run.result.outcome.fault)
    assert [trip["policy"] for trip in trips(run)] == ["note"]


def dimmed(world: Any) -> None:
    """The film loses most of its gain after the first cycles, in a step."""
    from sim_instruments.faults import Fault, apply

    apply(world, Fault("loss-drift", 4.8, 8.0, "step"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.fault("P3")
def test_light_that_drifts_away_trips(tmp_path: Path, record_property: Callable[[str, object], None], mode: str) -> None:
    drift = {"quantity": "drift_535", "state": "on", "between": [0.7, 1.4]}
    started: list[int] = []

    def tamper(world: Any) -> None:
        started.append(world.now_ns() + 4_800_000_000)
        dimmed(world)

    run = watched_run(tmp_path, tamper, mode, monitored(drift), cycles=8, on_time_s=0.3, off_time_s=0.3)
    ends_tripped(run, "drift_535", started[0], record_property)
    assert trips(run)[0]["value"] < 0.7
    shots = run.rows["shot"]
    assert 3 * 600 <= shots.max() < 5 * 600  # the history of the film stands in the file


def test_light_that_stays_does_not(tmp_path: Path) -> None:
    drifts = [{"quantity": "drift_535", "state": state, "between": [0.7, 1.4]} for state in ("on", "off")]
    run = watched_run(tmp_path, lambda world: None, "gated", monitored(*drifts), cycles=5)
    assert run.result.outcome.reason is FinishReason.DONE
    assert trips(run) == []


def test_a_spectrometer_that_gets_hot_trips(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    happened: list[list[int]] = []

    def tamper(world: Any) -> None:
        fx = world.personas["spectrometer"]
        happened.append(when(world, "spectrometer", "on", lambda t_ns: setattr(fx, "temperatures_c", (31.0, 71.5))))

    bench = monitored({"quantity": "board_temperature_c", "between": [0.0, 60.0]})
    run = watched_run(tmp_path, tamper, "gated", bench)
    fault = ends_tripped(run, "board_temperature_c", happened[0][0], record_property)
    assert "71.5" in fault.what


def test_pulse_energies_that_stay_away_trip(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """A meter that fails is left alone; whoever watches it wants to know."""
    died: list[list[int]] = []

    def tamper(world: Any) -> None:
        meter = world.personas["energy_meter"]

        def fall_silent(t_ns: int) -> None:
            meter.reply_ready_ns = lambda t: t + 86_400 * 10**9

        died.append(when(world, "energy_meter", "on", fall_silent))

    energy = {"quantity": "pulse_energy_uj", "between": [0.0, 10.0], "max_age_s": 1.5}
    run = watched_run(tmp_path, tamper, "gated", monitored(energy), cycles=4, on_time_s=1.0, off_time_s=1.0)
    ends_tripped(run, "pulse_energy_uj", died[0][0], record_property)
    assert trips(run)[0]["why"] == "too old"


def test_a_bench_with_every_monitor_runs_undisturbed(tmp_path: Path) -> None:
    """The same frames as without any: nothing that is asked for costs a shot."""
    every = monitored(
        CURRENT,
        {"quantity": "voltage_v", "state": "off", "between": [-0.1, 0.1]},
        {"quantity": "pulse_energy_uj", "between": [0.0, 10.0]},
        {"quantity": "board_temperature_c", "between": [0.0, 60.0]},
        {"quantity": "over_temperature"},
        {"quantity": "interlock_closed", "of": "shutter"},
    )
    for mode in MODES:
        run = watched_run(tmp_path, lambda world: None, mode, every)
        assert run.result.outcome.reason is FinishReason.DONE, run.result.outcome.fault
        assert run.result.outcome.ledger.assigned == 550
        assert trips(run) == []
