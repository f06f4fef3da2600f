"""The page of the instruments, before a bench that is really simulated: what a press does to the film, what a refusal says."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from PyQt5.QtCore import QObject, QRectF, Qt, pyqtSignal
from PyQt5.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from drivers.errors import RefusedError
from gui.bench_picture import BenchPicture, cable_text
from gui.engine_link import EngineLink
from gui.instruments_page import InstrumentsPage
from gui.page_context import PageContext
from gui.quantity_text import live_text, value_text
from rig.bench import default_bench
from rig.config_file import parse_document
from rig.control import (
    Answer,
    Begun,
    Command,
    Connect,
    Disconnect,
    EngineStatus,
    ErrorWords,
    HardwareWords,
    InstrumentStates,
    LiveWords,
    Refused,
    SetByHand,
)
from rig.hand_control import HandControl, hardware_words
from rig.measurements.live_view import LiveView
from rig.run_state import StopRequest
from rig.sequence import parse_sequence
from rig.session import MEASUREMENTS, Session


class HandClock:
    def __init__(self) -> None:
        self.t_ns = 10**12

    def now_ns(self) -> int:
        return self.t_ns

    def sleep(self, duration_s: float) -> None:
        self.t_ns += round(duration_s * 1e9)


class LinkedBench(QObject):
    """Stands in for the link and the engine behind it: a command is done before it is answered."""

    said = pyqtSignal(object)
    status_changed = pyqtSignal(object)
    gone = pyqtSignal(str)

    def __init__(self) -> None:
        super().__init__()
        self.status: EngineStatus | None = EngineStatus(state="idle", simulated=True, bench="default")
        self.commands = True
        self.sent: list[Command] = []
        self.refuse: Answer | None = None
        self.session = Session(seed=1)
        self.clock = HandClock()
        self.hand = HandControl(self.session, self.clock, self.said.emit, lambda text: None)

    def send(self, command: Command, heard: Callable[[Answer], None] | None = None) -> None:
        self.sent.append(command)
        answer = self.refuse or self._do(command)
        if heard is not None:
            heard(answer)

    def _do(self, command: Command) -> Answer:
        try:
            match command:
                case Connect():
                    self.hand.connect(StopRequest(), 0)
                    self.hand.turn()
                case Disconnect():
                    self.hand.leave("disconnected")
                case SetByHand():
                    self.hand.set(command)
                case _:
                    raise AssertionError(command)
        except RefusedError as error:
            return Answer(id=0, ok=False, error=ErrorWords.of(error))
        return Answer(id=0, ok=True)

    def become(self, **changes: object) -> None:
        assert self.status is not None
        self.status = self.status.model_copy(update=changes)
        self.status_changed.emit(self.status)

    @property
    def voltage_v(self) -> float:
        return float(self.session.world.terminal.record.voltage_v[-1])


@pytest.fixture
def link() -> Iterator[LinkedBench]:
    one = LinkedBench()
    yield one
    if one.hand.connected:
        one.hand.leave("the test is over")


@pytest.fixture
def page(qtbot: QtBot, link: LinkedBench, tmp_path: Path) -> InstrumentsPage:
    page = InstrumentsPage(PageContext(default_bench(), cast(EngineLink, link), tmp_path, True))
    qtbot.addWidget(page, before_close_func=lambda page: page.close_page())
    page.show()
    return page


def states(page: InstrumentsPage) -> set[str]:
    return {card.shown_state for card in page.cards.values()}


def enter(page: InstrumentsPage, role: str, quantity: Any, text: str) -> None:
    row: Any = page.cards[role].row(quantity)
    row.box.setText(text)
    row.box.returnPressed.emit()


def switch(page: InstrumentsPage, role: str, quantity: Any, *, on: bool) -> None:
    cast(Any, page.cards[role].row(quantity)).press(on)


def test_every_instrument_of_the_bench_is_there_and_nothing_is_claimed_of_it_before_it_is_connected(
    page: InstrumentsPage,
) -> None:
    assert set(page.cards) == set(default_bench().roles())
    assert states(page) == {"not connected"}
    assert "Not connected" in page.state.text()
    assert all(card.live.isHidden() for card in page.cards.values())


def test_connected_it_shows_who_they_are_and_what_they_say(page: InstrumentsPage, link: LinkedBench, qtbot: QtBot) -> None:
    qtbot.mouseClick(page.connect_button, Qt.MouseButton.LeftButton)
    assert states(page) == {"idle"}
    assert "DG645" in page.cards["laser_trigger"].identity.text()
    assert page.cards["spectrometer"].live.text() == "board temperature 41 °C"
    assert not page.connect_button.isEnabled()
    assert link.voltage_v == 0.0


def test_a_voltage_reaches_the_film_by_its_own_two_presses_and_goes_by_one(page: InstrumentsPage, link: LinkedBench) -> None:
    page.connect_instruments()
    enter(page, "voltage_source", "voltage_v", "5")
    assert link.voltage_v == 0.0
    switch(page, "voltage_source", "output_on", on=True)
    assert link.voltage_v == pytest.approx(5.0)
    assert page.cards["voltage_source"].shown_state == "armed"
    assert "voltage source" in page.state.text()
    assert page.cards["voltage_source"].live.text().startswith(("voltage 5.0", "voltage 4.99"))
    switch(page, "voltage_source", "output_on", on=False)
    assert link.voltage_v == 0.0
    assert states(page) == {"idle"}


def test_what_the_bench_refuses_is_said_on_the_card_and_forgotten_when_it_is_put_right(page: InstrumentsPage) -> None:
    page.connect_instruments()
    enter(page, "voltage_source", "voltage_v", "25")
    assert "[voltage-above-limit]" in page.cards["voltage_source"].error.text()
    enter(page, "voltage_source", "voltage_v", "2.5")
    assert page.cards["voltage_source"].error.text() == ""


@pytest.mark.parametrize("text", ["", "5 V", "nan", "1e999", "--1"])
def test_what_is_no_number_is_not_sent(page: InstrumentsPage, link: LinkedBench, text: str) -> None:
    page.connect_instruments()
    before = len(link.sent)
    enter(page, "voltage_source", "voltage_v", text)
    assert len(link.sent) == before
    assert "no number" in page.cards["voltage_source"].error.text()


def test_times_are_entered_in_milliseconds(page: InstrumentsPage, link: LinkedBench) -> None:
    page.connect_instruments()
    enter(page, "spectrometer", "integration_time_s", "0.3")
    [sent] = [one for one in link.sent if isinstance(one, SetByHand)]
    assert sent.value == pytest.approx(3e-4)
    assert link.hand.settings.integration_time_s == pytest.approx(3e-4)


def test_what_is_being_typed_survives_what_the_instruments_say(page: InstrumentsPage, link: LinkedBench) -> None:
    page.connect_instruments()
    row: Any = page.cards["voltage_source"].row("voltage_v")
    row.box.setText("12.")
    link.clock.sleep(1.0)
    link.hand.turn()
    assert row.box.text() == "12."


def test_disconnecting_says_what_is_confirmed_off(page: InstrumentsPage, link: LinkedBench) -> None:
    page.connect_instruments()
    enter(page, "voltage_source", "voltage_v", "5")
    switch(page, "voltage_source", "output_on", on=True)
    page.disconnect_instruments()
    assert link.voltage_v == 0.0
    assert "confirmed off" in page.message.text()
    assert states(page) == {"not connected"}


def test_what_is_not_confirmed_off_is_shouted(page: InstrumentsPage, link: LinkedBench) -> None:
    page.connect_instruments()
    report = link.hand.leave("a fault")
    words = [
        one.model_copy(update={"confirmation": "SENT"}) if one.role == "shutter" else one for one in hardware_words(report)
    ]
    page.heed(InstrumentStates(connected=True, instruments=()))
    page.heed(InstrumentStates(connected=False, why="a fault", instruments=(), hardware=tuple[HardwareWords, ...](words)))
    assert page.message.text() == "NOT CONFIRMED OFF: shutter. Go and look at the bench."


def test_a_run_takes_the_instruments_and_nothing_can_be_set_meanwhile(page: InstrumentsPage, link: LinkedBench) -> None:
    page.connect_instruments()
    link.hand.leave("a run begins")
    link.become(state="running", measurement="on_off")
    assert states(page) == {"in use"}
    assert not page.connect_button.isEnabled()
    assert not page.form.start.isEnabled()
    assert not cast(Any, page.cards["voltage_source"].row("output_on")).on.isEnabled()
    link.become(state="idle")
    assert states(page) == {"not connected"}
    assert page.connect_button.isEnabled()


def test_a_latched_engine_and_one_that_another_commands_are_not_asked(page: InstrumentsPage, link: LinkedBench) -> None:
    link.become(state="latched", latched="a fault")
    assert not page.connect_button.isEnabled()
    assert "acknowledge" in page.state.text()
    link.commands = False
    link.become(state="idle", latched="", commander="rig gui, process 7")
    assert not page.connect_button.isEnabled()
    assert "process 7 commands" in page.state.text()


def test_instruments_that_cannot_be_opened_are_told_and_may_be_tried_again(page: InstrumentsPage, link: LinkedBench) -> None:
    link.refuse = Answer(id=0, ok=True)  # taken; that it failed comes later
    page.connect_instruments()
    assert "Connecting" in page.state.text()
    assert not page.connect_button.isEnabled()
    page.heed(Refused(error=ErrorWords(kind="InstrumentError", what="Nobody answers.", next_step="switch it on")))
    assert "Nobody answers." in page.message.text()
    assert page.connect_button.isEnabled()


def test_an_engine_that_is_gone_leaves_no_value_that_looks_alive(page: InstrumentsPage, link: LinkedBench) -> None:
    page.connect_instruments()
    link.status = None
    link.gone.emit("killed")
    assert states(page) == {"not connected"}
    assert "guard" in page.message.text()
    assert all(card.live.isHidden() for card in page.cards.values())


def test_a_live_view_is_a_sequence_that_the_compiler_takes(page: InstrumentsPage, qtbot: QtBot) -> None:
    page.form.enter("voltage_v", "10")
    page.form.enter("duration_s", "2")
    with qtbot.waitSignal(page.start_asked) as asked:
        page.form.press()
    text, name = cast(list[str], asked.args)
    sequence = parse_sequence(parse_document(text, Path(name)), MEASUREMENTS)
    assert sequence.parameters == LiveView(voltage_v=10.0, duration_s=2.0)
    assert Session().plan(sequence).mode == "gated"


def test_a_live_view_with_a_mistake_is_not_asked_for(page: InstrumentsPage, qtbot: QtBot) -> None:
    page.form.enter("duration_s", "700")
    with qtbot.assertNotEmitted(page.start_asked):
        page.form.press()
    assert "duration_s" in page.form.message.text()


def test_the_spectrum_of_a_live_view_is_shown_as_it_comes(page: InstrumentsPage, qtbot: QtBot, tmp_path: Path) -> None:
    session = Session(out=tmp_path, seed=3)
    path = session.run(session.sequence(LiveView(duration_s=0.3, voltage_v=20.0))).path
    page.heed(
        Begun(
            title="",
            sample="",
            measurement="live_view",
            mode="gated",
            file=str(path),
            shots_planned=1,
            duration_s=1.0,
            simulated=True,
        )
    )
    qtbot.waitUntil(lambda: " nm" in page.spectrum.numbers.text(), timeout=5000)
    peak_nm = float(page.spectrum.numbers.text().split()[-2])
    assert 515 < peak_nm < 540


def test_every_control_has_a_name_a_tooltip_and_takes_keys(page: InstrumentsPage) -> None:
    page.connect_instruments()
    for button in page.findChildren(QPushButton):
        assert button.accessibleName(), button.text()
        assert button.toolTip(), button.text()
        assert button.focusPolicy() & Qt.FocusPolicy.TabFocus, button.text()


def test_the_picture_draws_every_cable_from_its_instrument_to_its_instrument(qtbot: QtBot) -> None:
    bench = default_bench()
    picture = BenchPicture(bench)
    qtbot.addWidget(picture)
    boxes = picture.boxes(QRectF(0, 0, 700, 240))
    routes = picture.routes(boxes)
    assert [route.cable for route in routes] == list(bench.cables)
    for route in routes:
        for end, point in ((route.cable.source, route.points[0]), (route.cable.target, route.points[-1])):
            assert boxes[end.partition(".")[0]].adjusted(-1, -1, 1, 1).contains(point), end
    lanes = [route.points[1].y() for route in routes]
    assert len(set(lanes)) == len(lanes)
    assert cable_text(bench.cables[2]) == "T0 → trigger link 1, falling, high Z"
    solid = list(boxes.values())
    assert not any(one.intersects(other) for at, one in enumerate(solid) for other in solid[at + 1 :])


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("current_a", 2.2e-5, "current 22 µA"),
        ("voltage_v", -20.0, "voltage -20 V"),
        ("interlock_closed", 0.0, "interlock OPEN"),
        ("angle_deg", 30.026, "angle 30.03°"),
        ("board_temperature_c", None, "board temperature no number"),
    ],
)
def test_values_are_told_with_their_units(name: str, value: float | None, text: str) -> None:
    assert live_text(LiveWords(name=name, value=value, age_s=0.0)) == text


def test_small_currents_keep_their_unit() -> None:
    assert value_text(-3.2e-10, "A") == "-320 pA"
    assert value_text(0.0, "A") == "0 A"
