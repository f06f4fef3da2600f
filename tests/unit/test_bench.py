"""Bench files: the default bench, every number, every cable mistake."""

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.errors import ConfigError, Reason
from rig.bench import Bench, default_bench, new_bench_text, parse_bench, read_bench
from rig.config_file import parse_document, render_toml

Values = dict[str, Any]
Change = Callable[[Values], object]


def values() -> Values:
    """Give the default bench with every optional key written out, as plain lists and tables."""
    return json.loads(default_bench().model_dump_json(by_alias=True, exclude_none=True))


def parse(tables: Values) -> Bench:
    return parse_bench(parse_document(render_toml(tables), Path("b.toml")))


def refused(text: str) -> tuple[Reason, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_bench(parse_document(text, Path("b.toml")))
    return caught.value.reasons


def changed(*changes: Change) -> Values:
    tables = values()
    for change in changes:
        change(tables)
    return tables


def test_the_default_bench_is_the_documented_one() -> None:
    bench = default_bench()
    assert "SIMULATED" in bench.source_text
    assert bench.path == Path("default_bench.toml")
    assert bench.description() == {
        "voltage_source": {"model": "keithley-2400", "resource": "GPIB0::24::INSTR"},
        "laser_trigger": {"model": "srs-dg645", "resource": "TCPIP::192.0.2.20::5025::SOCKET"},
        "spectrometer": {
            "model": "ocean-fx",
            "resource": "TCPIP::192.0.2.21::57357::SOCKET",
            "electrons_per_count": 3.0,
            "psf_nm": 1.0,
        },
        "cables": [
            {"from": "laser_trigger.EF", "to": "laser.trigger", "load": "50_ohm"},
            {"from": "laser_trigger.AB", "to": "spectrometer.trigger", "load": "50_ohm"},
            {"from": "laser_trigger.T0", "to": "voltage_source.trigger_link_1", "load": "high_z"},
        ],
        "pump": {"fluence_uj_cm2": 160.0, "spot_area_cm2": 0.01},
        "attenuator": {
            "model": "thorlabs-ell14",
            "resource": "ASRL/dev/ttyUSB0::INSTR",
            "zero_deg": 0.0,
            "extinction": 0.001,
        },
        "shutter": {"model": "thorlabs-sc10", "resource": "ASRL/dev/ttyUSB1::INSTR"},
        "energy_meter": {
            "model": "thorlabs-pm100d",
            "resource": "USB0::0x1313::0x8078::P0004711::INSTR",
            "wavelength_nm": 400.0,
            "pickoff_ratio": 1.0,
            "pickoff_uncertainty": 0.0,
            "gain_uncertainty": 0.02,
        },
        "cw_shutter": {"model": "thorlabs-sc10", "resource": "ASRL/dev/ttyUSB2::INSTR", "wavelength_nm": 405.0},
        "filter_wheel": {
            "model": "thorlabs-fw102c",
            "resource": "ASRL/dev/ttyUSB3::INSTR",
            "transmission": [1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5],
            "transmission_uncertainty": 0.05,
        },
        "laser": {"pulse_delay_s": 100e-6},
        "environment": {"temperature_c": 22.5, "humidity_percent": 41.0, "operator": "simulated"},
    }
    assert json.loads(json.dumps(bench.description())) == bench.description()
    limits = bench.voltage_source.limits
    assert (limits.voltage_v, limits.current_a, limits.step_v, limits.on_time_s, limits.duty) == (
        (-20.0, 20.0),
        0.001,
        20.0,
        60.0,
        0.6,
    )
    step = bench.cable_to("voltage_source.trigger_link_1")
    assert step is not None
    assert (step.source, step.edge, step.load, step.level_v) == ("laser_trigger.T0", "falling", "high_z", 4.0)
    assert bench.cable_to("laser_trigger.EXT") is None


def test_a_bench_keeps_its_text_and_path(tmp_path: Path) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(default_bench().source_text, "utf-8")
    bench = read_bench(path)
    assert (bench.path, bench.source_text) == (path, default_bench().source_text)
    assert bench.where(("laser", "trigger")).startswith("lab.toml:")


def test_a_bench_made_of_values_writes_text_that_reads_back_the_same() -> None:
    made = Bench.model_validate(parse_document(default_bench().source_text, Path("b.toml")).values)
    assert made.path is None
    assert made.source_text != default_bench().source_text
    read = parse_bench(parse_document(made.source_text, Path("b.toml")))
    assert read.model_dump() == made.model_dump() == default_bench().model_dump()


FILLED_IN = {
    "pulse_delay_s": "100e-6",
    "fluence_uj_cm2": "40.0",
    "spot_area_cm2": "0.01",
}


def test_the_template_is_refused_until_it_is_filled_in_and_accepted_then() -> None:
    text = new_bench_text()
    blanks = [row.split(" = ")[0] for row in text.splitlines() if '= "FILL IN"' in row]
    assert {reason.where.split()[1].split(".")[-1] for reason in refused(text)} == set(blanks)
    assert len(refused(text)) == len(blanks) == 6
    filled, addresses = list[str](), iter(("GPIB0::24::INSTR", "TCPIP::h::5025::SOCKET", "TCPIP::h::57357::SOCKET"))
    for row in text.splitlines():
        key = row.split(" = ")[0]
        number = FILLED_IN.get(key)
        blank = '= "FILL IN"' in row
        filled.append(row.replace('"FILL IN"', number or f'"{next(addresses)}"') if blank else row)
    bench = parse_bench(parse_document("\n".join(filled), Path("new.toml")))
    assert bench.spectrometer.resource == "TCPIP::h::57357::SOCKET"


def test_what_the_template_offers_in_comments_is_valid_too() -> None:
    offered = re.compile(r"# (\[\[?\w+\]\]?|\w+ = [^;]*)$")  # prose has semicolons
    rows = [found[1] if (found := offered.match(row)) else row for row in new_bench_text().splitlines()]
    tables, base = tomllib.loads("\n".join(rows)), values()
    for name in ("laser", "pump", "voltage_source", "laser_trigger", "spectrometer"):
        blanks = [key for key, value in tables[name].items() if value == "FILL IN"]
        tables[name] |= {key: base[name][key] for key in blanks}
    bench = parse(tables)
    described = {"pump", "environment", "attenuator", "energy_meter", "monitors"}
    assert bench.model_dump(exclude=described) == default_bench().model_dump(exclude=described)
    assert bench.attenuator is not None
    assert (bench.attenuator.zero_deg, bench.attenuator.calibration) == (0.0, "fluence_calibration.toml")
    assert bench.environment.note == "film in air"
    assert [(monitor.quantity, monitor.state, monitor.window) for monitor in bench.monitors] == [
        ("current_a", "on", (1e-9, 5e-4))
    ]


def numbers(tables: Any, loc: str = "") -> Iterator[tuple[str, float]]:
    entries = tables.items() if isinstance(tables, dict) else enumerate(tables)
    for key, value in entries:
        here = f"{loc}[{key}]" if isinstance(key, int) else f"{loc}.{key}".removeprefix(".")
        if isinstance(value, dict | list):
            yield from numbers(value, here)
        elif isinstance(value, float):
            yield here, value


def put(tables: Values, where: str, value: object) -> None:
    *parents, last = [int(part) if part.isdigit() else part for part in where.replace("[", ".").replace("]", "").split(".")]
    target: Any = tables
    for part in parents:
        target = target[part]
    target[last] = value


NUMBERS = [where for where, _ in numbers(values())]
MAY_BE_NEGATIVE = ("voltage_source.limits.voltage_v[0]", "voltage_source.limits.voltage_v[1]", "environment.temperature_c")
BAD = {
    "nan": "not-finite",
    "inf": "not-finite",
    "-inf": "not-finite",
    "1e400": "not-finite",
    "-1": "out-of-range",
    "true": "wrong-type",
    '"3"': "wrong-type",
    "1e15": "out-of-range",
}


def test_the_table_of_numbers_is_complete() -> None:
    assert len(NUMBERS) == len(set(NUMBERS)) == 37


@pytest.mark.fault("C3")
@pytest.mark.parametrize(
    ("where", "literal"),
    [(where, literal) for where in NUMBERS for literal in BAD if not (literal == "-1" and where in MAY_BE_NEGATIVE)],
)
def test_no_number_is_anything_but_a_plausible_number(where: str, literal: str) -> None:
    tables = values()
    put(tables, where, "HERE")
    text = render_toml(tables)
    line = text[: text.index('"HERE"')].count("\n") + 1
    (reason,) = refused(text.replace('"HERE"', literal))
    assert (reason.where, reason.code) == (f"b.toml:{line} {where}", BAD[literal])


@pytest.mark.fault("C8")
@pytest.mark.parametrize(
    ("where", "value", "unit"),
    [
        ("voltage_source.limits.voltage_v[1]", 20000, "mV"),
        ("voltage_source.limits.voltage_v[0]", -20000, "mV"),
        ("voltage_source.limits.current_a", 1, "mA"),
        ("voltage_source.limits.step_v", 2000, "mV"),
        ("laser.pulse_delay_s", 100, "ms"),
        ("laser_trigger.rate_hz", 0.001, "kHz"),
        ("laser_trigger.rate_hz", 1e6, "mHz"),
        ("spectrometer.integration_time_s", 500, "ms"),
        ("spectrometer.trigger_delay_s", 10, "ms"),
        ("pump.fluence_uj_cm2", 40000, "nJ/cm2"),
        ("pump.spot_area_cm2", 100, "mm2"),
        ("spectrometer.psf_nm", 1000, "pm"),
        ("cable[0].level_v", 4000, "mV"),
    ],
)
def test_a_number_in_another_unit_is_recognised(where: str, value: float, unit: str) -> None:
    tables = values()
    put(tables, where, value)
    (reason,) = refused(render_toml(tables))
    assert reason.code == "wrong-magnitude"
    assert f"is this in {unit}?" in reason.message


def setting(where: str, value: object) -> Change:
    return lambda tables: put(tables, where, value)


def cabled(*cables: dict[str, Any]) -> Change:
    def change(tables: Values) -> None:
        tables["cable"] = list(cables)

    return change


LASER = {"from": "laser_trigger.EF", "to": "laser.trigger"}
SPECTROMETER = {"from": "laser_trigger.AB", "to": "spectrometer.trigger"}
STEP = {"from": "laser_trigger.T0", "to": "voltage_source.trigger_link_1", "edge": "falling", "load": "high_z"}
PAIR = (LASER, SPECTROMETER)
SYNC = {"from": "laser.sync", "to": "laser_trigger.EXT", "level_v": 2.5}


def master(tables: Values) -> None:
    tables["laser"] |= {"trigger": "master", "rate_hz": 1000.0, "clock_ppm": 20.0}
    tables["cable"] = [dict(SPECTROMETER), dict(STEP), dict(SYNC)]


REFUSED: dict[str, tuple[Change, set[tuple[str, str]]]] = {
    "limits reversed": (
        setting("voltage_source.limits.voltage_v", [20.0, -20.0]),
        {("voltage_source.limits.voltage_v", "limits-reversed")},
    ),
    "limits equal": (
        setting("voltage_source.limits.voltage_v", [0.0, 0.0]),
        {("voltage_source.limits.voltage_v", "limits-reversed")},
    ),
    "limits without 0 V": (
        setting("voltage_source.limits.voltage_v", [5.0, 20.0]),
        {("voltage_source.limits.voltage_v", "limits-without-zero")},
    ),
    "beyond 20 V": (
        setting("voltage_source.limits.voltage_v", [-20.0, 20.000000001]),
        {("voltage_source.limits.voltage_v", "breakdown-risk")},
    ),
    "beyond -20 V": (
        setting("voltage_source.limits.voltage_v", [-22.0, 20.0]),
        {("voltage_source.limits.voltage_v", "breakdown-risk")},
    ),
    "no duty": (setting("voltage_source.limits.duty", 0.0), {("voltage_source.limits.duty", "out-of-range")}),
    "exposure of one period": (
        setting("spectrometer.integration_time_s", 0.001),
        {("spectrometer.integration_time_s", "exposure-too-long")},
    ),
    "exposure delayed beyond the period": (
        setting("spectrometer.trigger_delay_s", 500e-6),
        {("spectrometer.integration_time_s", "exposure-too-long")},
    ),
    "pulse after the period": (setting("laser.pulse_delay_s", 0.001), {("laser.pulse_delay_s", "pulse-too-late")}),
    "laser on its own clock": (
        lambda t: (put(t, "laser.trigger", "master"), t.pop("shutter")),
        {
            ("laser.trigger", "laser-is-master"),
            ("laser.trigger", "laser-clock-missing"),
            ("cable", "cable-missing"),
            ("cable[0].to", "laser-trigger-driven"),
        },
    ),
    "laser faster than its shots": (
        lambda t: (master(t), put(t, "laser.rate_hz", 1001.0)),
        {("laser.rate_hz", "laser-rate-differs")},
    ),
    "laser on falling edges": (
        lambda t: (master(t), put(t, "cable[2].edge", "falling")),
        {("cable[2].edge", "cable-edge")},
    ),
    "clock of a laser that has none": (
        lambda t: (put(t, "laser.rate_hz", 1000.0), put(t, "laser.clock_ppm", 20.0)),
        {("laser.rate_hz", "laser-clock-unused"), ("laser.clock_ppm", "laser-clock-unused")},
    ),
    "half of what an angle means": (
        lambda t: t["attenuator"].pop("extinction"),
        {("attenuator.zero_deg", "attenuator-half-known")},
    ),
    "laser on no clock": (setting("laser.trigger", "slaver"), {("laser.trigger", "wrong-choice")}),
    "one resource for two": (
        setting("spectrometer.resource", "tcpip::192.0.2.20::5025::socket"),
        {("spectrometer.resource", "resource-twice")},
    ),
    "model name": (setting("spectrometer.model", "Ocean FX"), {("spectrometer.model", "model-malformed")}),
    "model path": (setting("spectrometer.model", "../x"), {("spectrometer.model", "model-malformed")}),
    "library": (setting("visa_library", "@sim"), {("visa_library", "wrong-choice")}),
    "no library": (setting("visa_library", ""), {("visa_library", "wrong-choice")}),
    "unknown key": (setting("voltage_source.limits.voltag_v", 3), {("voltage_source.limits.voltag_v", "unknown-key")}),
    "unknown key of the surroundings": (setting("environment.temp", 3.0), {("environment.temp", "unknown-key")}),
    "no cables": (cabled(), {("cable", "cable-missing")}),
    "no cable to the laser": (cabled(SPECTROMETER), {("cable", "cable-missing")}),
    "misspelt input": (
        cabled(*PAIR, STEP | {"to": "voltage_source.trigger_link_5"}),
        {("cable[2].to", "cable-end-unknown")},
    ),
    "misspelt output": (cabled(*PAIR, STEP | {"from": "laser_trigger.A"}), {("cable[2].from", "cable-end-unknown")}),
    "cable the wrong way round": (
        cabled(*PAIR, {"from": "spectrometer.trigger", "to": "laser_trigger.CD"}),
        {("cable[2].from", "cable-end-unknown"), ("cable[2].to", "cable-end-unknown"), ("cable[2].from", "cable-both-ways")},
    ),
    "output used twice": (
        cabled(LASER, SPECTROMETER | {"from": "laser_trigger.EF"}),
        {("cable[0].from", "cable-output-twice"), ("cable[1].from", "cable-output-twice")},
    ),
    "input fed twice": (
        cabled(*PAIR, LASER | {"from": "laser_trigger.CD"}),
        {("cable[0].to", "cable-input-twice"), ("cable[2].to", "cable-input-twice")},
    ),
    "line both ways": (
        cabled(*PAIR, STEP, {"from": "voltage_source.trigger_link_1", "to": "laser_trigger.EXT"}),
        {("cable[3].from", "cable-both-ways")},
    ),
    "laser fed by the source": (
        cabled(SPECTROMETER, {"from": "voltage_source.trigger_link_2", "to": "laser.trigger"}),
        {("cable", "cable-missing")},
    ),
    "source stepped on rising edges": (cabled(*PAIR, STEP | {"edge": "rising"}), {("cable[2].edge", "cable-edge")}),
    "spectrometer on falling edges": (cabled(LASER, SPECTROMETER | {"edge": "falling"}), {("cable[1].edge", "cable-edge")}),
    "too low for the source": (cabled(*PAIR, STEP | {"level_v": 1.99}), {("cable[2].level_v", "cable-level")}),
    "too high for the source": (cabled(*PAIR, STEP | {"level_v": 5.01}), {("cable[2].level_v", "cable-level")}),
    "too high for the laser": (cabled(LASER | {"level_v": 6.0}, SPECTROMETER), {("cable[0].level_v", "cable-level")}),
}


@pytest.mark.parametrize(("change", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_true_of_a_bench(change: Change, expected: set[tuple[str, str]]) -> None:
    text = render_toml(changed(change))
    reasons = refused(text)
    assert {(reason.where.split(" ")[1], reason.code) for reason in reasons} == expected
    for reason in reasons:
        label, _, line = reason.where.split(" ")[0].partition(":")
        assert label == "b.toml"
        key = reason.where.split(" ")[1].rsplit(".", 1)[-1]
        assert not line or text.splitlines()[int(line) - 1].startswith((key, f"[[{key}]]", "[[cable]]"))


def test_a_level_beyond_the_generator_is_told_apart_from_one_beyond_the_input() -> None:
    reasons = refused(render_toml(changed(cabled(LASER | {"level_v": 0.4}, SPECTROMETER))))
    assert [("accepts" in reason.message, "gives into 50_ohm" in reason.message) for reason in reasons] == [
        (True, False),
        (False, True),
    ]


ALLOWED: dict[str, Change] = {
    "beyond 20 V on purpose": lambda t: (
        put(t, "voltage_source.limits.voltage_v", [-22.0, 22.0]),
        put(t, "voltage_source.limits.breakdown_accepted", value=True),
    ),
    "limits from 0 V": setting("voltage_source.limits.voltage_v", [0.0, 20.0]),
    "exposure just below a period": setting("spectrometer.integration_time_s", 0.000999),
    "a laser that is its own clock": master,
    "an attenuator that is not calibrated yet": lambda t: (t["attenuator"].pop("zero_deg"), t["attenuator"].pop("extinction")),
    "no attenuator, shutter or meter": lambda t: [t.pop(role) for role in ("attenuator", "shutter", "energy_meter")],
    "no step cable": cabled(*PAIR),
    "continuous program": cabled(
        *PAIR,
        {"from": "voltage_source.trigger_link_2", "to": "laser_trigger.EXT", "load": "high_z"},
        STEP | {"from": "laser_trigger.CD"},
    ),
    "level at both ends of the window": cabled(LASER | {"level_v": 2.0}, SPECTROMETER | {"level_v": 5.0}),
    "integers for floats": setting("pump.fluence_uj_cm2", 40),
    "a library by path": setting("visa_library", "C:\\Windows\\System32\\visa64.dll"),
    "nothing known of the surroundings": lambda t: t.pop("environment"),
    "all of the surroundings": setting("environment.note", "\u202e\x00 any text"),
}


@pytest.mark.parametrize("change", ALLOWED.values(), ids=ALLOWED.keys())
def test_what_may_be(change: Change) -> None:
    tables = changed(change)
    bench = parse(tables)
    assert bench.description()["environment"] == tables.get("environment", {})


def test_all_contradictions_come_at_once() -> None:
    tables = changed(
        setting("voltage_source.limits.voltage_v", [22.0, -22.0]),
        setting("laser_trigger.rate_hz", 2000.0),
        setting("laser.trigger", "master"),
        lambda t: t.pop("shutter"),
        cabled(STEP | {"edge": "rising", "level_v": 9.0}),
    )
    assert {reason.code for reason in refused(render_toml(tables))} == {
        "limits-reversed",
        "breakdown-risk",
        "exposure-too-long",
        "laser-is-master",
        "laser-clock-missing",
        "cable-edge",
        "cable-level",
        "cable-missing",
    }


def test_missing_tables_are_all_named() -> None:
    assert {(reason.where, reason.code) for reason in refused("")} == {
        (f"b.toml {table}", "missing-key") for table in ("laser", "pump", "voltage_source", "laser_trigger", "spectrometer")
    }


@pytest.mark.parametrize(
    ("resource", "valid"),
    [
        ("GPIB0::24::INSTR", True),
        ("gpib::24", True),
        ("GPIB0::30::5::INSTR", True),
        ("GPIB0::31::INSTR", False),
        ("GPIB0::INSTR", False),
        ("TCPIP0::192.0.2.20::5025::SOCKET", True),
        ("TCPIP::dg645.lab::5025::SOCKET", True),
        ("TCPIP::192.0.2.20::65535::SOCKET", True),
        ("TCPIP::192.0.2.20::65536::SOCKET", False),
        ("TCPIP::192.0.2.20::0::SOCKET", False),
        ("TCPIP::192.0.2.20::5025", False),
        ("TCPIP::192.0.2.20::5025::INSTR", False),
        ("TCPIP::192.0.2.20::SOCKET", False),
        ("TCPIP::192.0.2.20::inst0::INSTR", True),
        ("TCPIP::192.0.2.20:5025::SOCKET", False),
        ("ASRL3::INSTR", True),
        ("ASRL/dev/ttyUSB7::INSTR", True),
        ("ASRLsocket://127.0.0.1:4000::INSTR", True),
        ("ASRL", False),
        ("ASRL::INSTR", False),
        ("USB0::0x05E6::0x2450::04412345::INSTR", True),
        ("USB::1510::9296::04412345", True),
        ("USB0::0x05E6::0x2450::INSTR", False),
        ("COM3", False),
        ("192.0.2.20", False),
        (" GPIB0::24::INSTR", False),
        ("GPIB0::24::INSTR\n", False),
        ("", False),
    ],
)
def test_resource_names(resource: str, valid: bool) -> None:
    tables = changed(setting("voltage_source.resource", resource))
    if valid:
        assert parse(tables).voltage_source.resource == resource
    else:
        (reason,) = refused(render_toml(tables))
        assert reason.code == "resource-malformed"
