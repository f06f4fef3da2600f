"""The check-up of a bench: what it finds, what it never does, and that everything is as before when it has gone.

Judged by the world's record (voltage at the film, pulses at the laser) and by the instruments' own settings.
"""

import json
import os
import re
import signal
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from desk import Bench, Desk

from rig.bench import read_bench
from rig.checkup import Permissions
from rig.checkup_prescaler import BURSTS, CYCLES, PrescalerFacts, facts_from
from rig.doctor import examine
from sim_instruments.ocean_fx import OceanFxPersona, OceanFxQuirks
from sim_instruments.srs_dg645 import Dg645Persona, Dg645Quirks
from sim_instruments.world import FaultyCable

MS = 1_000_000
TRIGGER, SOURCE, SPECTROMETER = "laser_trigger", "voltage_source", "spectrometer"
# settings that nothing in the rig would choose, chained delays and a negative offset among them
DG645_LEFT = (
    b"PRES 0,3;PRES 1,7;PHAS 1,4;PRES 4,2;ADVT 1;TRAT 12.5;TLVL 1.2;HOLD 1e-5;BURM 1;BURC 77;BURP 2e-4;BURD 1e-6;BURT 1\n"
    b"DLAY 4,3,1e-6;DLAY 2,0,5e-6;DLAY 9,4,-1e-7\nLAMP 3,4.5;LOFF 3,-1.5;LPOL 3,0;LPOL 0,0;LAMP 1,3.3\n"
)
SOURCE_LEFT = (
    b":SENS:CURR:PROT 2e-3;:SOUR:VOLT:RANG 2;:SOUR:VOLT 1.5;:SOUR:VOLT:MODE LIST;:SOUR:DEL 0.25\n",
    b":SOUR:LIST:VOLT 0,1,2;:TRIG:COUN 3;:TRIG:SOUR TLIN;:TRIG:ILIN 4;:ARM:COUN INF;:ARM:SOUR BUS;:SENS:CURR:NPLC 0.5\n",
    b":FORM:ELEM TIME,VOLT;:SENS:FUNC:CONC 0;:SENS:FUNC 'RES';:SENS:AVER 1;:SYST:AZER 0;:SOUR:CLE:AUTO 1\n",
    b":TRAC:POIN 77;:TRAC:TST:FORM DELT;:OUTP:SMOD HIMP;:SOUR:FUNC CURR;:SOUR:CURR:RANG 1e-3;:SENS:VOLT:PROT 2;:SOUR2:TTL 3\n",
    b":SENS:RES:OCOM 1;:SENS:CURR:PROT:RSYN 1;:SOUR2:CLE:AUTO 1;:SOUR:LIST:VOLT:STAR 2;:CALC3:FORM MAX;:SYST:TIME:RES:AUTO 1\n",
    b":SOUR:LIST:CURR 1e-3,0;:SOUR:SWE:DIR DOWN;:SOUR:SWE:POIN 7;:SOUR:VOLT:STAR 1;:SOUR:CURR:STOP 1e-3;:SENS:RES:RANG 200\n",
    b":ARM:OUTP TENT;:ARM:TIM 2;:ARM:DIR SOUR;:TRIG:OUTP SENS;:TRIG:INP NONE;:TRIG:DEL 0.5;:FORM:BORD SWAP;:SYST:RSEN 1\n",
)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less disk and less sleep than a real visit takes."""
    monkeypatch.setattr("rig.checkup_computer.DISK_MB", 1)
    monkeypatch.setattr("rig.checkup_computer.SLEEPS", 2)


def say(role: str, *messages: bytes) -> Callable[[Bench], None]:
    """Let somebody write to an instrument before the doctor comes."""

    def change(bench: Bench) -> None:
        for message in messages:
            bench.world.personas[role].receive(message, bench.world.now_ns())
            bench.world.sleep(0.2)

    return change


def settings(bench: Bench, role: str) -> Any:
    """What an instrument is set to, from inside."""
    persona: Any = bench.world.personas[role]
    if role == TRIGGER:
        return dict(persona._settings._values)
    if role == SPECTROMETER:
        return dict(persona._settings)
    return asdict(persona.meter.settings), asdict(persona.meter.standing)


IN_THE_BEAM = re.compile(r"^\[(attenuator|shutter|energy_meter|cw_shutter|filter_wheel)\].*\n(?:(?!\[).*\n)*", re.MULTILINE)
BARE = IN_THE_BEAM.sub("", (files("rig") / "default_bench.toml").read_text("utf-8"))
SHUTTER = """
[shutter]
model = "thorlabs-sc10"
resource = "ASRL5::INSTR"
"""


def doctor(desk: Desk, *words: str, bench: str = BARE) -> dict[str, Any]:
    """Send for the doctor to a bench; return the report."""
    Path("bench.toml").write_text(bench)
    said = desk.rig("doctor", "--json", "--bench", "bench.toml", "--simulate", *words)
    report = json.loads(said.out)
    failed = any(one["status"] == "fail" for one in report["findings"])
    assert said.code == (4 if failed else 0)
    return report


def found(report: Mapping[str, Any], check: str, instrument: str = "") -> dict[str, Any]:
    [one] = [one for one in report["findings"] if one["check"] == check and instrument in ("", one["instrument"])]
    return one


# --- nothing wrong ----------------------------------------------------------------------------------------------------


def test_a_sound_bench_gets_every_check_and_no_complaint(desk: Desk) -> None:
    report = doctor(desk)
    assert report["simulated"]
    assert {one["status"] for one in report["findings"]} == {"ok", "skipped"}
    for role in (TRIGGER, SOURCE, SPECTROMETER):
        assert found(report, "identity", role)["details"]["serial"]
        latency = found(report, "latency", role)
        assert latency["unit"] == "ms"
        assert sum(latency["details"]["histogram"]) == latency["details"]["queries"] == 100
        assert 0 < latency["value"] <= latency["details"]["p95_ms"] <= latency["details"]["max_ms"]
    assert found(report, "trigger loop")["value"] == 100
    assert found(report, "disk")["value"] > 0
    assert found(report, "clock")["value"] > 0
    assert [path.name for path in Path().iterdir()] == ["bench.toml"]


def test_the_default_bench_is_sound(desk: Desk) -> None:
    said = desk.rig("doctor", "--json")
    assert said.code == 0
    findings = json.loads(said.out)["findings"]
    assert {one["instrument"] for one in findings} - {"bench", "computer"} == set(desk.bench.world.personas)
    assert {one["status"] for one in findings} == {"ok", "skipped"}
    assert desk.bench.untouched()


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_table_fits_the_terminal(desk: Desk, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    said = desk.rig("doctor")
    assert said.code == 0
    assert "SIMULATED" in said.out
    assert max(map(len, said.out.splitlines())) <= int(columns)
    assert "rig doctor --allow-output" in said.out


# --- what it never does -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [(), ("--allow-light",), ("--allow-output",), ("--allow-output", "--allow-light")])
def test_no_voltage_and_no_light_but_what_is_allowed(desk: Desk, words: tuple[str, ...]) -> None:
    report = doctor(desk, *words)
    volts = set(desk.bench.world.terminal.record.voltage_v)
    assert volts == ({0.0, 0.1} if "--allow-output" in words else {0.0})
    assert bool(desk.bench.fired_ns) == ("--allow-light" in words)
    assert found(report, "levels")["status"] == ("ok" if "--allow-output" in words else "skipped")
    assert found(report, "stale frame")["status"] == ("ok" if "--allow-light" in words else "skipped")
    assert desk.bench.is_off()


@pytest.mark.parametrize(
    ("role", "left"),
    [
        (TRIGGER, (b"", DG645_LEFT)),
        (TRIGGER, (b"*IDN?\n",)),
        (SPECTROMETER, ()),
        (SOURCE, ()),
        (SOURCE, (b"", *SOURCE_LEFT)),
    ],
)
def test_every_setting_is_as_before(desk: Desk, role: str, left: tuple[bytes, ...]) -> None:
    before: list[Any] = []

    def tamper(bench: Bench) -> None:
        say(role, *left)(bench)
        if role == SPECTROMETER:
            fx: Any = bench.world.personas[role]
            changed = {
                "integration_us": 1234,
                "averages": 3,
                "delay_us": 5,
                "back_to_back": 2,
                "buffer_size": 99,
                "trigger_mode": 1,
            }
            fx._settings.update(changed)
        before.append(settings(bench, role))

    desk.tamper = tamper
    report = doctor(desk, "--allow-output", "--allow-light")
    checked = {TRIGGER: "prescalers", SPECTROMETER: "trigger loop", SOURCE: "levels"}[role]
    assert found(report, checked)["status"] == "ok"
    assert found(report, "error queue", role)["status"] == "ok"  # what was left had been understood
    assert settings(desk.bench, role) == before[0]


@pytest.mark.parametrize(
    ("role", "left", "why"),
    [
        (SOURCE, (b":SENS:CURR:PROT 1e-3;:SOUR:VOLT 5;:OUTP ON\n",), "output ON"),
        (TRIGGER, (b"TSRC 0;TRAT 10\n",), "trigger source 0"),
        (TRIGGER, (b"TSRC 1\n",), "trigger source 1"),
    ],
)
def test_what_works_for_somebody_is_left_alone(desk: Desk, role: str, left: tuple[bytes, ...], why: str) -> None:
    desk.tamper = say(role, *left)
    report = doctor(desk, "--allow-output")
    assert found(report, "output", role)["status"] == "warn"
    for check in ("trigger loop", "prescalers", "levels"):
        one = found(report, check)
        assert one["status"] == "skipped"
        assert why in one["what"]
    bench = desk.bench
    assert bench.world.terminal.record.voltage_v[-1] == (5.0 if role == SOURCE else 0.0)
    persona: Any = bench.world.personas[TRIGGER]
    assert persona._settings["TSRC", 0] == (5 if role == SOURCE else int(why[-1]))
    assert not bench.world.light_path.record.exposures["open_ns"].size


def test_spectra_that_wait_are_not_thrown_away(desk: Desk) -> None:
    def tamper(bench: Bench) -> None:
        fx: Any = bench.world.personas[SPECTROMETER]
        fx._settings["buffering"] = 1
        fx._simulate_trigger(bench.world.now_ns())
        bench.world.sleep(0.1)

    desk.tamper = tamper
    report = doctor(desk)
    assert found(report, "output", SPECTROMETER)["details"]["spectra_waiting"] == 1
    assert "1 spectra wait" in found(report, "trigger loop")["what"]
    assert len(desk.bench.world.personas[SPECTROMETER]._buffer) == 1  # type: ignore[attr-defined]


def test_a_laser_on_an_output_that_cannot_be_parked_keeps_the_loop_from_running(desk: Desk) -> None:
    bench = BARE.replace('"laser_trigger.T0"', '"laser_trigger.GH"').replace('"laser_trigger.EF"', '"laser_trigger.T0"')
    report = doctor(desk, bench=bench)
    assert "T0" in found(report, "trigger loop")["what"]
    assert {found(report, check)["status"] for check in ("trigger loop", "prescalers")} == {"skipped"}


@pytest.mark.parametrize("is_open", [False, True])
def test_light_is_sent_only_against_a_closed_shutter(desk: Desk, is_open: bool) -> None:
    if is_open:
        desk.tamper = say("shutter", b"ens\r")
    report = doctor(desk, "--allow-light", bench=BARE + SHUTTER)
    assert found(report, "output", "shutter")["status"] == ("warn" if is_open else "ok")
    assert found(report, "trigger loop")["status"] == "ok"
    assert found(report, "trigger loop")["details"]["light"] is not is_open
    assert bool(desk.bench.fired_ns) is not is_open
    persona = desk.bench.world.personas["shutter"]
    persona.receive(b"ens?\r", desk.bench.world.now_ns())
    desk.bench.world.sleep(1.0)
    said = persona.take(100, desk.bench.world.now_ns())[0]
    assert said.split(b"\r")[1] == (b"1" if is_open else b"0")  # as it was found


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [TRIGGER, SOURCE, SPECTROMETER])
def test_a_dead_instrument_fails_and_the_others_are_looked_at(desk: Desk, role: str) -> None:
    desk.tamper = lambda bench: bench.silence(role)
    report = doctor(desk)
    assert found(report, "identity", role)["status"] == "fail"
    assert found(report, "identity", role)["next_step"]
    assert found(report, "latency", role)["status"] == "skipped"
    for other in {TRIGGER, SOURCE, SPECTROMETER} - {role}:
        assert {found(report, check, other)["status"] for check in ("identity", "latency", "output")} == {"ok"}
    assert found(report, "trigger loop")["status"] == ("ok" if role == SOURCE else "skipped")
    assert desk.bench.untouched()


@pytest.mark.fault("I4")
def test_another_instrument_at_the_address_is_asked_nothing_more(desk: Desk) -> None:
    def swap(bench: Bench) -> None:
        personas = bench.world.personas
        personas[TRIGGER], personas[SOURCE] = personas[SOURCE], personas[TRIGGER]

    desk.tamper = swap
    report = doctor(desk)
    for role in (TRIGGER, SOURCE):
        assert found(report, "identity", role)["status"] == "fail"
        assert found(report, "output", role)["status"] == "skipped"
    assert found(report, "identity", SPECTROMETER)["status"] == "ok"


def test_an_address_where_nobody_is(desk: Desk) -> None:
    desk.tamper = lambda bench: bench.world.resources.update(voltage_source="GPIB0::3::INSTR")
    report = doctor(desk)
    assert "GPIB0::24::INSTR" in found(report, "identity", SOURCE)["what"]
    assert found(report, "identity", SOURCE)["status"] == "fail"


@pytest.mark.fault("Y1")
@pytest.mark.parametrize(("fault", "frames"), [(None, 0), (FaultyCable(lost=frozenset({3, 9})), 98)])
def test_a_bad_trigger_cable_shows_in_the_count(desk: Desk, fault: FaultyCable | None, frames: int) -> None:
    def tamper(bench: Bench) -> None:
        cable = bench.world.cable_to("spectrometer.trigger")
        cable.fault = fault
        if fault is None:
            bench.world.cables.remove(cable)

    desk.tamper = tamper
    loop = found(doctor(desk), "trigger loop")
    assert (loop["status"], loop["value"]) == ("fail", frames)
    assert "laser_trigger.AB" in loop["next_step"]


@pytest.mark.fault("Y5")
@pytest.mark.parametrize("stale", [True, False])
def test_a_stale_first_frame_is_seen(desk: Desk, stale: bool) -> None:
    def tamper(bench: Bench) -> None:
        fx = OceanFxPersona(bench.world.light_path, quirks=OceanFxQuirks(stale_first_frame=stale))
        bench.world.personas[SPECTROMETER] = fx

    desk.tamper = tamper
    one = found(doctor(desk, "--allow-light"), "stale frame")
    assert one["details"]["stale_first_frame"] is stale


def test_a_laser_that_gives_no_light_leaves_the_question_open(desk: Desk) -> None:
    desk.tamper = lambda bench: bench.world.cables.remove(bench.world.cable_to("laser.trigger"))
    assert "no light" in found(doctor(desk, "--allow-light"), "stale frame")["what"]


@pytest.mark.fault("I3")
def test_errors_from_before_are_told_with_their_texts(desk: Desk) -> None:
    desk.tamper = say(SOURCE, b"NONSENSE 1\n", b":SOUR:VOLT 999\n")
    one = found(doctor(desk), "error queue", SOURCE)
    assert one["status"] == "warn"
    assert one["details"]["errors"] == ["-113 Undefined header", "-222 Parameter data out of range"]


def open_lid(bench: Bench) -> None:
    say(SOURCE, b":OUTP:ENAB 1\n")(bench)
    source: Any = bench.world.personas[SOURCE]
    source.set_interlock(False, bench.world.now_ns())


@pytest.mark.fault("I5")
@pytest.mark.parametrize(
    ("tamper", "status", "details"),
    [
        (lambda bench: None, "ok", {"watched": False}),
        (say(SOURCE, b":OUTP:ENAB 1\n"), "ok", {"watched": True, "closed": True}),
        (open_lid, "warn", {"watched": True, "closed": False}),
    ],
)
def test_the_interlock_is_told(desk: Desk, tamper: Callable[[Bench], None], status: str, details: dict[str, bool]) -> None:
    desk.tamper = tamper
    one = found(doctor(desk), "interlock", SOURCE)
    assert (one["status"], one["details"]) == (status, details)


def test_a_shorted_film_fails_the_levels(desk: Desk) -> None:
    desk.tamper = lambda bench: bench.world.add_leak(1.0, bench.world.now_ns())
    one = found(doctor(desk, "--allow-output"), "levels")
    assert one["status"] == "fail"
    assert one["details"]["in_compliance"]
    assert desk.bench.is_off()


def test_a_slow_disk_fails(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rig.checkup_computer.written_mb_s", lambda *_: 1.0)
    assert found(doctor(desk), "disk")["status"] == "fail"


@pytest.mark.fault("W8")
def test_a_source_that_falls_silent_while_it_is_on_is_shouted(desk: Desk) -> None:
    def when_on() -> None:
        if desk.bench.world.terminal.record.voltage_v[-1] != 0:
            desk.bench.silence(SOURCE)

    desk.at_conversation = dict.fromkeys(range(1, 3000), when_on)
    said = desk.rig("doctor", "--allow-output")
    assert said.code == 5
    assert "OFF IS NOT CONFIRMED" in said.out


def test_a_bad_bench_file_is_refused(desk: Desk) -> None:
    Path("b.toml").write_text("[laser]\n")
    assert desk.rig("doctor", "--bench", "b.toml").code == 2
    assert not desk.benches


@pytest.mark.parametrize("moment", [1, 350, 860, 1000, 1100, 1400, 1700])
def test_ctrl_c_leaves_everything_as_before_and_off(desk: Desk, moment: int) -> None:
    before: list[Any] = []

    def tamper(bench: Bench) -> None:
        say(TRIGGER, DG645_LEFT)(bench)
        say(SOURCE, *SOURCE_LEFT)(bench)
        before.extend(settings(bench, role) for role in (TRIGGER, SOURCE, SPECTROMETER))

    desk.tamper = tamper
    desk.at_conversation = {moment: lambda: os.kill(os.getpid(), signal.SIGINT)}
    Path("bench.toml").write_text(BARE)
    said = desk.rig("doctor", "--bench", "bench.toml", "--simulate", "--allow-output", "--allow-light")
    assert said.code == 130
    assert [settings(desk.bench, role) for role in (TRIGGER, SOURCE, SPECTROMETER)] == before
    assert desk.bench.is_off()


@pytest.mark.parametrize("moment", [850, 857, 1000, 1150, 1600, 1750])
def test_an_interrupt_between_two_words_leaves_everything_as_before(desk: Desk, moment: int) -> None:
    """As in a notebook, where nobody turns Ctrl-C into a request."""
    before: list[Any] = []

    def tamper(bench: Bench) -> None:
        say(TRIGGER, DG645_LEFT)(bench)
        say(SOURCE, *SOURCE_LEFT)(bench)
        before.extend(settings(bench, role) for role in (TRIGGER, SOURCE, SPECTROMETER))

    def interrupt() -> None:
        raise KeyboardInterrupt

    desk.tamper = tamper
    desk.at_conversation = {moment: interrupt}
    Path("bench.toml").write_text(BARE)
    with pytest.raises(KeyboardInterrupt):
        examine(read_bench(Path("bench.toml")), simulate=True, allowed=Permissions(output=True, light=True))
    assert [settings(desk.bench, role) for role in (TRIGGER, SOURCE, SPECTROMETER)] == before
    assert desk.bench.is_off()


# --- prescalers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cycles", "ordinal", "restart", "refused"), [(c, o, r, c ^ o ^ r) for c, o, r in product([True, False], repeat=3)]
)
def test_what_prescalers_do_is_found_whatever_it_is(
    desk: Desk, cycles: bool, ordinal: bool, restart: bool, refused: bool
) -> None:
    quirks = Dg645Quirks(
        prescalers_count_burst_cycles=cycles,
        phase_is_ordinal=ordinal,
        counters_restart=restart,
        prescale_refused_single_shot=refused,
    )
    desk.tamper = lambda bench: bench.world.personas.update(laser_trigger=Dg645Persona(quirks=quirks))
    one = found(doctor(desk), "prescalers")
    assert one["status"] == "ok"
    assert one["details"] == {
        "count_burst_cycles": cycles,
        "phase_is_ordinal": ordinal if restart else None,
        "restart_at_burst_start": False if cycles else None,
        "restart_at_advt": restart,
        "restart_at_pres": restart,
        "work_in_single_shot": False,
    }
    assert ("every cycle of a burst" in one["what"]) == cycles
    assert desk.bench.untouched()


def passed(first: int) -> tuple[int, ...]:
    return tuple(range(first, CYCLES, 5))


def test_counters_that_begin_anew_with_every_burst() -> None:
    assert facts_from([[passed(2)] * BURSTS] * 5) == PrescalerFacts(True, False, True)
    assert facts_from([[passed(1)] * BURSTS] * 5) == PrescalerFacts(True, True, True)


@pytest.mark.parametrize("burst", [(0, 1), (2, 7, 12), (2,), (3, 9)])
def test_what_follows_no_rule_gives_no_fact(burst: tuple[int, ...]) -> None:
    assert facts_from([[passed(2)] * (BURSTS - 1) + [burst]] + [[passed(2)] * BURSTS] * 4) == PrescalerFacts()


# --- list -------------------------------------------------------------------------------------------------------------


def test_list_asks_nobody_unless_told_to(desk: Desk) -> None:
    said = desk.rig("list", "--simulate", "--json")
    assert said.code == 0
    told = json.loads(said.out)
    assert {one["resource"] for one in told["resources"]} == set(desk.bench.world.resources.values())
    assert {one["role"].replace(" ", "_") for one in told["resources"]} == set(desk.bench.world.personas)
    assert {one["answer"] for one in told["resources"]} == {""}
    assert desk.bench.conversations == 0
    assert told["models"]["laser_trigger"]["srs-dg645"] == {"driver": True, "simulated": True}


def test_list_recognises_who_answers(desk: Desk) -> None:
    told = json.loads(desk.rig("list", "--simulate", "--ask", "--json").out)
    models = {one["role"]: one["model"] for one in told["resources"]}
    assert models.items() >= {"voltage source": "keithley-2400", "laser trigger": "srs-dg645", "spectrometer": ""}.items()


def test_list_of_a_real_library_tells_its_warnings_as_lines(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    def listed(self: object, query: str) -> tuple[str, ...]:
        warnings.warn("install something", stacklevel=1)
        return ("ASRL7::INSTR",)

    monkeypatch.setattr("pyvisa.ResourceManager.list_resources", listed)
    said = desk.rig("list")
    assert said.code == 0
    assert "install something" in said.out
    assert "ASRL7::INSTR" in said.out
