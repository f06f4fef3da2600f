"""Sequence files: what is asked for comes through as written, and nothing else comes through."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.errors import ConfigError
from rig.config_file import parse_document, render_toml
from rig.measurements.on_off import OnOff
from rig.sequence import Measurement, Sequence, parse_sequence, read_sequence, slug

EXAMPLE = Path(__file__).parents[2] / "examples" / "on_off.toml"
MEASUREMENTS: dict[str, type[Measurement]] = {"on_off": OnOff}
HEADING = 'title = "t"\nsample = "s"\nmeasurement = "on_off"\n[parameters]\n'


def parse(text: str) -> Sequence:
    return parse_sequence(parse_document(text, Path("s.toml")), MEASUREMENTS)


def codes(text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    found = {reason.where: reason.code for reason in caught.value.reasons}
    assert len(found) == len(caught.value.reasons)
    return found


def test_the_example_is_the_default_measurement() -> None:
    sequence = read_sequence(EXAMPLE, MEASUREMENTS)
    assert sequence.parameters == OnOff()
    assert (sequence.measurement, sequence.mode, sequence.sample) == ("on_off", "auto", "CsPbBr3-07")
    assert sequence.path == EXAMPLE
    assert sequence.source_text == EXAMPLE.read_text("utf-8")
    assert sequence.where(("parameters", "cycles")) == "on_off.toml:13 parameters.cycles"


def test_a_sequence_made_in_python_writes_its_own_text() -> None:
    made = Sequence.of(OnOff(cycles=2), title="t", sample="s", mode="gated")
    read = parse(made.source_text)
    assert read.model_dump() == made.model_dump()
    assert read.parameters == made.parameters
    assert made.path is None
    assert made.where(("parameters", "cycles")) == "parameters.cycles"


NUMBERS = ("voltage_on_v", "voltage_off_v", "on_time_s", "off_time_s", "cycles", "fluence_uj_cm2", "settle_s")
SIGNED = ("voltage_on_v", "voltage_off_v")
BAD = {
    "nan": "not-finite",
    "inf": "not-finite",
    "-inf": "not-finite",
    "1e400": "not-finite",
    "true": "wrong-type",
    '"3"': "wrong-type",
    "[1]": "wrong-type",
    "-1": "out-of-range",
    "1e12": "out-of-range",
}


@pytest.mark.fault("C3")
@pytest.mark.parametrize("literal", BAD)
@pytest.mark.parametrize("key", NUMBERS)
def test_no_number_is_anything_but_a_plausible_number(key: str, literal: str) -> None:
    if literal == "-1" and key in SIGNED:
        assert getattr(parse(f"{HEADING}{key} = -1\n").parameters, key) == -1.0
        return
    # only integers are whole numbers; for them every float is a wrong type
    expected = "wrong-type" if key == "cycles" and literal not in ("-1",) else BAD[literal]
    assert codes(f"{HEADING}\n{key} = {literal}\n") == {f"s.toml:6 parameters.{key}": expected}


@pytest.mark.fault("C8")
@pytest.mark.parametrize(
    ("key", "literal", "unit"),
    [
        ("voltage_on_v", "20000", "mV"),
        ("voltage_off_v", "-5e3", "mV"),
        ("on_time_s", "2000", "ms"),
        ("off_time_s", "2e6", "us"),
        ("settle_s", "500", "ms"),
        ("fluence_uj_cm2", "40000", "nJ/cm2"),
        ("fluence_uj_cm2", "0.00004", "mJ/cm2"),
    ],
)
def test_a_number_in_another_unit_is_recognised(key: str, literal: str, unit: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"{HEADING}{key} = {literal}\n")
    (reason,) = caught.value.reasons
    assert reason.code == "wrong-magnitude"
    assert f"is this in {unit}?" in reason.message


@pytest.mark.fault("C7")
def test_zero_cycles_are_refused_and_one_is_not() -> None:
    assert codes(f"{HEADING}cycles = 0\n") == {"s.toml:5 parameters.cycles": "out-of-range"}
    assert codes(f"{HEADING}cycles = 1000000000000\n") == {"s.toml:5 parameters.cycles": "out-of-range"}
    assert parse(f"{HEADING}cycles = 1\n").parameters == OnOff(cycles=1)


def test_mistakes_of_heading_and_parameters_come_together() -> None:
    text = 'title = 3\nsampel = "s"\nmeasurement = "on_off"\nmode = "steped"\n[parameters]\ncycels = 6\non_time_s = 2000\n'
    assert codes(text) == {
        "s.toml:1 title": "wrong-type",
        "s.toml sample": "missing-key",
        "s.toml:2 sampel": "unknown-key",
        "s.toml:4 mode": "wrong-choice",
        "s.toml:6 parameters.cycels": "unknown-key",
        "s.toml:7 parameters.on_time_s": "wrong-magnitude",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"s.toml title": "missing-key", "s.toml sample": "missing-key", "s.toml measurement": "missing-key"}),
        ('title = ""\nsample = ""\nmeasurement = 3\n', {"s.toml:3 measurement": "wrong-type"}),
        ('title = ""\nsample = ""\nmeasurement = "on_of"\n', {"s.toml:3 measurement": "wrong-choice"}),
        ('title = ""\nsample = ""\nmeasurement = "on_off"\nparameters = 3\n', {"s.toml:4 parameters": "wrong-type"}),
        (f'title = "{"x" * 301}"\nsample = ""\nmeasurement = "on_off"\n', {"s.toml:1 title": "text-too-long"}),
        (f"{HEADING}settle_s = 2\n", {"s.toml:5 parameters.settle_s": "settle-too-long"}),
        (f"{HEADING}\nvoltage_on_v = 0\n", {"s.toml:6 parameters.voltage_on_v": "equal-voltages"}),
        (f"{HEADING}source_text = 'x'\n", {"s.toml:5 parameters.source_text": "unknown-key"}),
        ("_document = 1\n" + HEADING, {"s.toml:1 _document": "unknown-key"}),
    ],
)
def test_what_is_refused(text: str, expected: dict[str, str]) -> None:
    # a settle time that is too long for both stretches gives two reasons at one place
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert {reason.where: reason.code for reason in caught.value.reasons} == expected


def test_an_unknown_measurement_is_answered_with_the_known_ones() -> None:
    for name, words in (("on_of", "did you mean on_off?"), ("zzz", "known are on_off")):
        with pytest.raises(ConfigError, match=r"1 mistake") as caught:
            parse(HEADING.replace("on_off", name))
        assert words in caught.value.reasons[0].message


def test_parameters_may_be_left_out() -> None:
    assert parse('title = ""\nsample = ""\nmeasurement = "on_off"\n').parameters == OnOff()


def test_parameters_of_another_measurement_are_refused() -> None:
    with pytest.raises(ValidationError, match="wrong-parameters"):
        Sequence(title="", sample="", measurement="ladder", parameters=OnOff())
    with pytest.raises(ValidationError, match="parameters"):
        Sequence(title="", sample="", measurement="on_off", parameters={"cycles": 2})  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=300)
HOSTILE = ["../x", "CON", "con", "a:b", "x.", "x ", "...", "", "\u202egnp.exe", "a\x00b", "x" * 300, "LPT1", "COM\u00b9"]


@pytest.mark.fault("C4")
@given(title=ANY_TEXT, sample=st.one_of(ANY_TEXT, st.sampled_from(HOSTILE)))
@settings(max_examples=60, deadline=None)
def test_title_and_sample_are_kept_as_they_are(title: str, sample: str) -> None:
    values: dict[str, Any] = {"title": title, "sample": sample, "measurement": "on_off", "parameters": {"cycles": 2}}
    sequence = parse(render_toml(values))
    assert (sequence.title, sequence.sample) == (title, sample)
    assert tomllib.loads(sequence.source_text) == values


DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


@pytest.mark.fault("C4")
@given(text=st.one_of(ANY_TEXT, st.sampled_from(HOSTILE), st.sampled_from(sorted(DEVICES))))
@settings(max_examples=150, deadline=None)
def test_a_slug_is_a_file_name_everywhere(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    name = slug(text)
    assert 1 <= len(name) <= 64
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    assert name.lower() not in DEVICES
    folder = tmp_path_factory.getbasetemp()
    assert (folder / name).resolve().parent == folder.resolve()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CsPbBr3-07", "CsPbBr3-07"),
        ("ASE switching at 40 µJ/cm²", "ASE-switching-at-40-J-cm2"),
        ("Probe Grün", "Probe-Grun"),
        ("../x", "x"),
        ("", "untitled"),
        ("样品", "untitled"),
        ("CON", "CON-x"),
        ("CON.txt", "CON-txt"),
    ],
)
def test_slugs_stay_readable(text: str, name: str) -> None:
    assert slug(text) == name
