"""A form from a parameter model: boxes that keep what is typed, and the TOML text that they make."""

from pathlib import Path
from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from PyQt5.QtCore import QPoint, QPointF, Qt
from PyQt5.QtGui import QWheelEvent
from PyQt5.QtWidgets import QApplication, QCheckBox, QComboBox, QLineEdit
from pytestqt.qtbot import QtBot

from drivers.errors import Reason
from gui.form_field import ABSENT, FormField, fields_of
from gui.parameter_form import ParameterForm
from gui.sequence_draft import SequenceDraft, field_of, same, told
from rig.config_file import ConfigModel, Loc, parse_document
from rig.session import MEASUREMENTS


class Sweep(ConfigModel):
    """A model inside another."""

    steps: int = Field(default=3, ge=1, description="how many")


class Everything(ConfigModel):
    """One field of each kind."""

    name: ClassVar[str] = "everything"

    level_v: float = Field(ge=-210, lt=210, description="a voltage (V)")
    cycles: int = Field(default=6, ge=1)
    order: Literal["up", "down"] = "up"
    paired: bool = False
    limit_s: float | None = Field(default=None, gt=0, description="a time (s)")
    fluences_uj_cm2: tuple[float, ...] = (10.0, 40.0)
    remark: str = ""
    sweep: Sweep = Sweep()


FIELDS = {field.loc[0]: field for field in fields_of(Everything) if len(field.loc) == 1}
WITH_EVERYTHING = {**MEASUREMENTS, "everything": Everything}

FILE = """\
# the film of Tuesday
title = "first"  # a title
sample = 'S1'
measurement = "on_off"

[parameters]
voltage_on_v = 20.0     # as in the paper
cycles = 6
"""


@pytest.fixture
def form(qtbot: QtBot) -> ParameterForm:
    form = ParameterForm()
    qtbot.addWidget(form)
    fields = fields_of(Everything)
    form.set_fields(fields, {field.loc: field.text(field.default) for field in fields})
    return form


def _draft(text: str = FILE) -> SequenceDraft:
    draft = SequenceDraft(WITH_EVERYTHING)  # pyright: ignore[reportArgumentType]
    draft.load(parse_document(text, Path("file.toml")))
    return draft


def _type(draft: SequenceDraft, key: str, text: str) -> None:
    field = next(field for field in (*draft.heading(), *draft.parameters()) if field.key == key)
    draft.set_text(field, text)


# --- fields


def test_unit_limits_and_description_come_from_the_model() -> None:
    level, fluences = FIELDS["level_v"], FIELDS["fluences_uj_cm2"]
    assert (level.label, level.unit, level.limits, level.description) == ("Level", "V", "-210 to below 210", "a voltage (V)")
    assert (fluences.label, fluences.unit) == ("Fluences", "µJ/cm²")
    assert FIELDS["limit_s"].limits == "above 0"


def test_every_parameter_of_every_measurement_has_a_box_and_a_description() -> None:
    for model in MEASUREMENTS.values():
        fields = fields_of(model)  # pyright: ignore[reportArgumentType]
        assert fields
        assert [field.key for field in fields if not field.description or field.kind == "toml"] == []


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("level_v", " 20 ", 20),
        ("level_v", ".5", 0.5),
        ("level_v", "1e3", 1000.0),
        ("level_v", "nan", float("nan")),
        ("level_v", "0,5", "0,5"),  # neither 0.5 nor 5: for the checks to refuse
        ("level_v", "", ABSENT),  # it has no default
        ("cycles", "", ""),  # it has one, which must not come back unseen
        ("cycles", "6.0", 6.0),
        ("cycles", "007", 7),
        ("cycles", "6\nx = 1", "6\nx = 1"),
        ("cycles", "1 # one", 1),
        ("limit_s", "", ABSENT),
        ("fluences_uj_cm2", "10, 20.5", (10, 20.5)),
        ("fluences_uj_cm2", "[1.0]", (1.0,)),
        ("fluences_uj_cm2", "1; 2", "1; 2"),
        ("remark", "", ""),
        ("remark", "6", "6"),
        ("paired", "true", True),
        ("order", "down", "down"),
        ("order", "sideways", "sideways"),
    ],
)
def test_what_is_typed_is_read_as_toml_or_stays_text(key: str, text: str, value: object) -> None:
    assert same(FIELDS[key].value(text), value)


@given(st.floats(allow_nan=False) | st.integers(-(10**30), 10**30))
def test_a_number_is_the_same_after_it_was_shown(number: float) -> None:
    field = FIELDS["level_v"]
    assert same(field.value(field.text(number)), number)


# --- boxes


def test_each_kind_has_its_box_with_name_and_tooltip(form: ParameterForm) -> None:
    kinds = {
        ("level_v",): QLineEdit,
        ("order",): QComboBox,
        ("paired",): QCheckBox,
        ("fluences_uj_cm2",): QLineEdit,
        ("sweep", "steps"): QLineEdit,
    }
    for loc, kind in kinds.items():
        assert isinstance(form.box(loc), kind)
    for field in form.fields:
        assert field.key in form.box(field.loc).toolTip()
        assert field.label in form.box(field.loc).accessibleName()


def test_a_value_out_of_range_stays_as_it_was_typed(form: ParameterForm, qtbot: QtBot) -> None:
    box, loc = form.box(("level_v",)), ("level_v",)
    told: list[tuple[FormField, str]] = []
    form.edited.connect(lambda field, text: told.append((field, text)))
    qtbot.keyClicks(box, "1e99")
    form.mark({loc: [Reason("out-of-range", "", "too much")]})
    box.clearFocus()
    assert form.text(loc) == "1e99"
    assert form.marks(loc) == "✖ too much [out-of-range]"
    assert [text for _, text in told] == ["1", "1e", "1e9", "1e99"]
    form.mark({})
    assert form.marks(loc) == ""


def test_every_box_is_reached_and_set_with_keys_alone(form: ParameterForm, qtbot: QtBot) -> None:
    form.show()
    qtbot.waitExposed(form)
    form.activateWindow()
    form.box(("level_v",)).setFocus()
    reached: list[Loc] = []
    for _ in form.fields:
        focus = form.focusWidget()
        loc = next(field.loc for field in form.fields if form.box(field.loc) is focus)
        reached.append(loc)
        if loc == ("order",):
            qtbot.keyClick(focus, Qt.Key.Key_Down)
        if loc == ("paired",):
            qtbot.keyClick(focus, Qt.Key.Key_Space)
        qtbot.keyClick(focus, Qt.Key.Key_Tab)
    assert reached == [field.loc for field in form.fields]
    assert (form.text(("order",)), form.text(("paired",))) == ("down", "true")


def test_the_wheel_over_a_choice_without_focus_changes_nothing(form: ParameterForm) -> None:
    box = form.box(("order",))
    nowhere = QPointF(1, 1)
    turn = QWheelEvent(
        nowhere, nowhere, QPoint(0, 0), QPoint(0, -120), Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(box, turn)
    assert form.text(("order",)) == "up"


def test_a_wrong_choice_of_a_file_is_shown_not_replaced(form: ParameterForm) -> None:
    texts = {field.loc: field.text(field.default) for field in form.fields}
    form.set_fields(form.fields, {**texts, ("order",): "sideways"})
    assert form.text(("order",)) == "sideways"


# --- text


def test_the_text_of_a_file_stays_as_it_is_while_nothing_changes() -> None:
    draft = _draft()
    for field in (*draft.heading(), *draft.parameters()):
        draft.set_text(field, draft.text_of(field))
    _type(draft, "parameters.cycles", "7")
    _type(draft, "parameters.cycles", "6")
    assert draft.toml() == FILE
    assert not draft.changed


def test_a_change_leaves_the_comments_where_they_are() -> None:
    draft = _draft()
    _type(draft, "parameters.voltage_on_v", "15.5")
    _type(draft, "sample", 'S "2" #3')
    _type(draft, "parameters.settle_s", "0.2")
    _type(draft, "mode", "gated")
    assert draft.toml() == (
        FILE.replace("20.0  ", "15.5  ")
        .replace("'S1'", '"S \\"2\\" #3"')
        .replace("= 6\n", "= 6\nsettle_s = 0.2\n")
        .replace('"on_off"\n', '"on_off"\nmode = "gated"\n')
    )
    assert not draft.loses_comments


def test_a_key_that_goes_back_to_its_default_leaves_the_file_again() -> None:
    draft = _draft()
    _type(draft, "parameters.settle_s", "0.2")
    _type(draft, "parameters.settle_s", "0.1")
    assert draft.toml() == FILE


WINDOWS = FILE.replace("\n", "\r\n")
DOTTED = (
    FILE.replace("[parameters]\n", "").replace("voltage_on_v", "parameters.voltage_on_v").replace("cycles", "parameters.cycles")
)


@pytest.mark.parametrize("text", [WINDOWS, DOTTED])
def test_other_ways_to_write_a_file_are_changed_in_place_or_anew_but_never_wrongly(text: str) -> None:
    draft = _draft(text)
    _type(draft, "parameters.cycles", "9")
    values = parse_document(draft.toml(), Path("x")).values
    assert values["parameters"]["cycles"] == 9
    assert values["parameters"]["voltage_on_v"] == 20.0
    assert "# as in the paper" in draft.toml()


@given(title=st.text(st.characters(blacklist_categories=("Cs",)), max_size=40), cycles=st.text(max_size=12))
def test_whatever_is_typed_the_text_says_just_that(title: str, cycles: str) -> None:
    draft = _draft()
    _type(draft, "title", title)
    _type(draft, "parameters.cycles", cycles)
    values = parse_document(draft.toml(), Path("x")).values
    assert values["title"] == title
    field = next(field for field in draft.parameters() if field.key == "parameters.cycles")
    assert same(values["parameters"]["cycles"], 6 if cycles == "6" else field.value(cycles))
    assert values["parameters"]["voltage_on_v"] == 20.0


def test_a_file_that_cannot_be_changed_in_place_is_written_anew_and_says_so() -> None:
    draft = _draft('# why\nmeasurement = "on_off"\nparameters = { cycles = 6, voltage_on_v = 20.0 }\n')
    assert not draft.loses_comments
    _type(draft, "parameters.cycles", "9")
    assert draft.loses_comments
    assert parse_document(draft.toml(), Path("x")).values["parameters"] == {"cycles": 9, "voltage_on_v": 20.0}


def test_each_measurement_keeps_what_was_typed_for_it() -> None:
    draft = _draft()
    _type(draft, "measurement", "everything")
    assert [field.loc[-1] for field in draft.parameters()] == [field.loc[-1] for field in fields_of(Everything)]
    _type(draft, "parameters.sweep.steps", "5")
    assert parse_document(draft.toml(), Path("x")).values["parameters"]["sweep"] == {"steps": 5}
    _type(draft, "measurement", "on_off")
    assert draft.toml() == FILE


def test_keys_that_nobody_knows_stay_until_they_are_taken_out() -> None:
    draft = _draft(FILE + "cicles = 7\n")
    _type(draft, "parameters.cycles", "8")
    assert "cicles = 7" in draft.toml()
    assert draft.unknown() == (("parameters", "cicles"),)
    draft.drop_unknown()
    assert draft.toml() == FILE.replace("= 6", "= 8")


# --- reasons


@pytest.mark.parametrize(
    ("where", "key"),
    [
        ("form:8 parameters.cycles", "parameters.cycles"),
        ("form parameters.cycles[3]", "parameters.cycles"),
        ("form:2 title", "title"),
        ("form:6 parameters", None),
        ("form:3", None),
        ("form:9 parameters.cycles_of_another", None),
        ("default_bench.toml:20 spectrometer.integration_time_s", None),
        ("", None),
    ],
)
def test_a_reason_finds_its_box_or_none(where: str, key: str | None) -> None:
    draft = _draft()
    found = field_of(Reason("code", where, "m"), (*draft.heading(), *draft.parameters()))
    assert (found and found.key) == key


def test_a_reason_about_the_bench_says_where_one_about_the_form_does_not() -> None:
    assert told(Reason("duty", "form:6 parameters", "too much")) == "too much [duty]"
    assert told(Reason("slow", "b.toml:3 laser.x", "too slow")) == "b.toml:3 laser.x: too slow [slow]"
    assert told(Reason("unknown-key", "form:9 parameters.cicles", "unknown")) == "parameters.cicles: unknown [unknown-key]"
