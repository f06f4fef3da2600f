"""The picture of a planned run says under which light and in which frames; its first cycle is that of the data."""

from pathlib import Path

import pytest
from PyQt5.QtGui import QColor
from pytestqt.qtbot import QtBot
from short_runs import SHORT

from gui import theme
from gui.form_field import fields_of
from gui.plan_sketch import price_rows, sketch
from gui.timeline_picture import TimelinePicture, light_words, summary
from rig import OnOff, Session
from rig.measurements.catalogue import MEASUREMENTS
from rig.sequence import read_sequence

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("iv", "no light, the laser is not fired", "in each frame of 100000 us no light"),
        ("pl_vs_voltage", "100 pulses add up", "in each frame of 100000 us 100 pulses add up"),
        ("response", "continuous light", "in each frame of 10000 us continuous light"),
    ],
)
def test_the_light_of_a_plan_is_said(name: str, words: str, said: str) -> None:
    drawn = sketch(Session().plan(SHORT[name]))
    assert light_words(drawn) == words
    assert said in summary(drawn)
    assert [row[0] for row in price_rows(drawn.price, frames=drawn.frames)][1] == "Frames"


def test_pulses_are_drawn_where_there_are_pulses(qtbot: QtBot) -> None:
    def alarm_pixels(name: str) -> int:
        picture = TimelinePicture()
        qtbot.addWidget(picture)
        picture.resize(700, 440)
        picture.show_sketch(sketch(Session().plan(SHORT[name])))
        image, wanted = picture.grab().toImage(), QColor(theme.current().alarm)
        return sum(image.pixelColor(x, y) == wanted for x in range(image.width()) for y in range(image.height()))

    assert alarm_pixels("iv") == 0
    assert alarm_pixels("pl_vs_voltage") > 5


def test_reference_frames_are_not_taken_for_the_first_cycle() -> None:
    plain = sketch(Session().plan(OnOff(cycles=3)))
    drawn = sketch(Session().plan(OnOff(cycles=3, reference_frames=100)))
    assert (drawn.light, drawn.first_cycles, drawn.frames) == ("pulses", 1, False)
    volts = [burst.voltage_v for _, _, burst in drawn.first_bursts]
    assert volts == [burst.voltage_v for _, _, burst in plain.first_bursts]
    assert drawn.first_bursts[0][0] == 0.0
    assert drawn.first_bursts[-1][1] == pytest.approx(plain.first_bursts[-1][1])
    assert drawn.start_s[0] == 0.0


def test_cycles_of_one_voltage_each_are_drawn_until_it_changes_each_with_its_own_settling() -> None:
    sequence = read_sequence(EXAMPLES / "pl_vs_voltage.toml", MEASUREMENTS)
    drawn = sketch(Session().plan(sequence))
    volts = [burst.voltage_v for _, _, burst in drawn.first_bursts]
    assert drawn.first_cycles == 2
    assert volts[0] == 0.0
    assert volts[-1] != 0.0
    blocks = Session().plan(sequence).blocks
    assert drawn.settle_s == (blocks[0].block.settle_s, blocks[1].block.settle_s)


def test_choices_and_numbers_that_may_be_missing_have_their_boxes() -> None:
    fields = {(name, one.loc[0]): one for name, model in MEASUREMENTS.items() for one in fields_of(model)}  # type: ignore[arg-type]
    assert fields["response", "light"].choices == ("cw", "pulses")
    assert fields["on_off", "order"].kind == "choice"
    assert fields["on_off", "stop_degraded_percent"].optional
    assert fields["on_off", "stop_degraded_percent"].kind == "number"
    assert fields["control", "reference_current_a"].optional
    assert fields["on_off", "seed"].limits == "0 to 2147483647"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_example_is_drawn(path: Path) -> None:
    drawn = sketch(Session().plan(read_sequence(path, MEASUREMENTS)))
    assert drawn.first_bursts
    assert len(drawn.settle_s) == len(drawn.first_bursts)
    assert drawn.first_bursts[0][0] == 0.0
