"""A bench set by hand: what is refused and why, what is really at the film, and that every way out leaves everything off."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hand_desk import Desk, bench_with, limits, wish

from drivers.errors import CompileError, InstrumentError, RefusedError, RigError
from rig import engine as engine_module
from rig.bench import Bench, default_bench
from rig.control import (
    Acknowledge,
    Answer,
    Command,
    Connect,
    Disconnect,
    Ended,
    Event,
    InstrumentStates,
    Off,
    Refused,
    Start,
    Stop,
)
from rig.control_words import HandQuantity
from rig.engine import Engine
from rig.measurements.on_off import OnOff
from rig.sequence import Sequence
from rig.session import Session

SHORT = Sequence.of(OnOff(on_time_s=0.1, off_time_s=0.1, cycles=1, settle_s=0.02)).source_text


@pytest.fixture
def desk() -> Iterator[Desk]:
    one = Desk().connect()
    yield one
    if one.hand.connected:
        one.hand.leave("the test is over")


# --- at rest


def test_connected_everything_is_known_and_off(desk: Desk) -> None:
    states = {one.role: one.state for one in desk.told[-1].instruments}
    assert states == dict.fromkeys(desk.session.bench.roles(), "idle")
    assert all(one.identity.count(",") == 2 for one in desk.told[-1].instruments)
    assert {one.name for one in desk.card("spectrometer").live} == {"board_temperature_c"}
    assert desk.voltage_v == 0.0
    assert desk.shutter_closed


def test_instruments_are_asked_again_after_half_a_second_and_their_values_grow_old_in_between(desk: Desk) -> None:
    before = len(desk.told)
    desk.after(0.4)
    assert len(desk.told) == before
    desk.after(0.2)
    assert len(desk.told) == before + 1
    assert all(one.age_s < 0.1 for one in desk.card("shutter").live)


def test_the_time_of_a_simulated_bench_goes_on_as_fast_as_ours(desk: Desk) -> None:
    before_ns = desk.session.world.now_ns()
    for _ in range(10):
        desk.after(0.2)
    assert 2.0 <= (desk.session.world.now_ns() - before_ns) * 1e-9 < 3.0  # conversations take their own time


# --- refusals

REFUSED: list[tuple[HandQuantity, float, str]] = [
    ("voltage_v", 20.1, "voltage-above-limit"),
    ("voltage_v", -20.1, "voltage-above-limit"),
    ("fluence_uj_cm2", 161.0, "fluence-out-of-reach"),
    ("rate_hz", 2e4, "wrong-magnitude"),
    ("rate_hz", 2500.0, "exposure-too-long"),
    ("integration_time_s", 1e-3, "exposure-too-long"),
    ("integration_time_s", 1e-6, "integration-time-out-of-range"),
    ("output_on", 0.5, "wrong-choice"),
]


@pytest.mark.parametrize(("quantity", "value", "code"), REFUSED)
def test_what_the_bench_does_not_allow_is_refused_with_the_compilers_codes(
    desk: Desk, quantity: HandQuantity, value: float, code: str
) -> None:
    before = desk.hand.settings
    with pytest.raises(RefusedError) as refused:
        desk.set(quantity, value)
    assert code in [reason.code for reason in refused.value.reasons]
    assert desk.hand.settings == before
    assert desk.hand.connected


def test_a_voltage_is_refused_in_the_words_of_the_compiler(desk: Desk) -> None:
    sequence = Sequence.of(OnOff(voltage_on_v=25.0))
    with pytest.raises(CompileError) as compiled:
        desk.session.plan(sequence)
    [of_compiler] = [one.message for one in compiled.value.reasons if one.code == "voltage-above-limit"]
    [by_hand] = desk.hand.reasons_against(wish("voltage_v", 25.0))
    assert by_hand.message == of_compiler


def test_a_quantity_of_another_instrument_is_refused(desk: Desk) -> None:
    [reason] = desk.hand.reasons_against(wish("voltage_v", 1.0, "shutter"))
    assert reason.code == "not-settable"
    [reason] = Desk(bench_with(lambda tables: tables.pop("shutter"))).hand.reasons_against(wish("open", 1.0))
    assert reason.code == "no-such-instrument"


def test_a_step_is_counted_from_where_the_output_is_now() -> None:
    desk = Desk(limits(step_v=5.0)).connect()
    desk.set("voltage_v", 8.0)  # off: nothing steps
    with pytest.raises(RefusedError, match="step-above-limit"):
        desk.set("output_on", 1)
    desk.set("voltage_v", 4.0)
    desk.set("output_on", 1)
    with pytest.raises(RefusedError, match="step-above-limit"):
        desk.set("voltage_v", -4.0)
    desk.set("voltage_v", 8.0)
    assert desk.voltage_v == pytest.approx(8.0)
    desk.hand.leave("over")


def test_a_bench_whose_fluence_nobody_knows_can_still_be_given_a_voltage() -> None:
    def forget(tables: dict[str, Any]) -> None:
        tables["attenuator"].pop("zero_deg")
        tables["attenuator"].pop("extinction")

    desk = Desk(bench_with(forget)).connect()
    assert desk.hand.reasons_against(wish("voltage_v", 5.0)) == []
    [reason] = desk.hand.reasons_against(wish("fluence_uj_cm2", 40.0))
    assert reason.code == "fluence-not-available"
    assert [one.quantity for one in desk.card("attenuator").settings] == []
    desk.hand.leave("over")


# --- settings


def test_a_level_reaches_the_film_only_with_the_output_on_and_is_read_back(desk: Desk) -> None:
    desk.set("voltage_v", 5.0)
    assert desk.voltage_v == 0.0
    assert desk.card("voltage_source").state == "idle"
    desk.set("output_on", 1)
    assert desk.voltage_v == pytest.approx(5.0)
    assert desk.card("voltage_source").state == "armed"
    live = {one.name: one.value for one in desk.card("voltage_source").live}
    assert live["voltage_v"] == pytest.approx(5.0, abs=0.05)
    desk.set("output_on", 0)
    assert desk.voltage_v == 0.0
    assert desk.card("voltage_source").state == "idle"


def test_the_shutter_opens_and_closes(desk: Desk) -> None:
    desk.set("open", 1)
    assert not desk.shutter_closed
    assert desk.card("shutter").state == "armed"
    desk.set("open", 0)
    assert desk.shutter_closed
    assert desk.card("shutter").state == "idle"


def test_the_continuous_light_has_a_shutter_of_its_own(desk: Desk) -> None:
    desk.set("cw_open", 1)
    assert (desk.blades_closed("cw_shutter"), desk.shutter_closed) == (False, True)
    assert (desk.card("cw_shutter").state, desk.card("shutter").state) == ("armed", "idle")
    desk.set("open", 1)
    desk.set("cw_open", 0)
    assert (desk.blades_closed("cw_shutter"), desk.shutter_closed) == (True, False)
    desk.set("cw_open", 1)
    desk.hand.leave("that was all")
    assert desk.blades_closed("cw_shutter")
    assert desk.shutter_closed


def test_rate_and_integration_time_are_loaded_and_bound_each_other(desk: Desk) -> None:
    desk.set("rate_hz", 400.0)
    desk.set("integration_time_s", 2e-3)
    assert desk.hand.settings.integration_time_s == 2e-3
    with pytest.raises(RefusedError, match="exposure-too-long"):
        desk.set("rate_hz", 1000.0)
    bounds = {one.quantity: one.high for role in ("laser_trigger", "spectrometer") for one in desk.card(role).settings}
    assert 400 < bounds["rate_hz"] < 500
    assert 2e-3 < bounds["integration_time_s"] < 2.5e-3
    assert len(desk.session.world.light_path.record.pulses) == 0, "a pulse was fired"


def test_the_fluence_turns_the_plate(desk: Desk) -> None:
    desk.set("fluence_uj_cm2", 40.0)
    [angle] = [one.value for one in desk.card("attenuator").live if one.name == "angle_deg"]
    law = desk.session.bench.fluence_law()
    assert law is not None
    assert angle is not None
    assert law.at(angle) == pytest.approx(40.0, rel=0.01)


# --- what watches


def test_the_output_goes_off_when_it_has_been_on_for_as_long_as_the_bench_allows_and_the_film_has_to_rest() -> None:
    desk = Desk(limits(on_time_s=3.0, duty=0.6)).connect()
    desk.set("voltage_v", 5.0)
    desk.set("output_on", 1)
    desk.after(2.8)
    assert desk.voltage_v == pytest.approx(5.0)
    desk.after(0.2)
    assert desk.voltage_v == 0.0
    assert any("on_time_s allows 3 s" in note for note in desk.notes)
    with pytest.raises(RefusedError, match="duty-above-limit"):
        desk.set("output_on", 1)
    desk.after(3.0 * 0.4 / 0.6)
    desk.set("output_on", 1)
    assert desk.voltage_v == pytest.approx(5.0)
    desk.hand.leave("over")


def test_a_film_that_breaks_down_is_a_fault() -> None:
    desk = Desk(faults=["breakdown@8s"]).connect()
    desk.set("voltage_v", 20.0)
    desk.set("output_on", 1)
    with pytest.raises(RigError, match="current limit"):
        desk.wait(10.0)
    assert desk.card("voltage_source").state == "fault"
    assert "current limit" in desk.card("voltage_source").error
    desk.hand.leave("a fault")
    assert desk.voltage_v == 0.0
    assert desk.card("voltage_source").state == "fault"


def test_an_open_lid_harms_nobody_at_rest_but_nothing_is_switched_on_then(desk: Desk) -> None:
    world = desk.session.world
    world.personas["shutter"].set_interlock(world.now_ns(), tripped=True)
    desk.after(0.6)
    assert desk.hand.connected
    desk.set("voltage_v", 5.0)
    for quantity in ("open", "output_on"):
        with pytest.raises(RefusedError, match="interlock"):
            desk.set(quantity, 1)
    assert desk.voltage_v == 0.0
    assert desk.shutter_closed
    world.personas["shutter"].set_interlock(world.now_ns(), tripped=False)
    desk.set("output_on", 1)
    world.personas["shutter"].set_interlock(world.now_ns(), tripped=True)
    with pytest.raises(InstrumentError, match="interlock_closed of the shutter"):
        desk.after(0.6)


def test_an_output_that_somebody_else_switched_on_is_a_fault(desk: Desk) -> None:
    world = desk.session.world
    world.personas["voltage_source"].receive(b":SOUR:VOLT 3;:OUTP ON\n", world.now_ns())
    with pytest.raises(InstrumentError, match="nobody here has switched it on"):
        desk.after(0.6)
    desk.hand.leave("a fault")
    assert desk.voltage_v == 0.0


def test_once_a_stop_is_asked_for_nothing_is_switched_on(desk: Desk) -> None:
    desk.set("voltage_v", 5.0)
    desk.stop.request("test")
    desk.set("output_on", 1)
    desk.set("open", 1)
    assert desk.voltage_v == 0.0
    assert desk.shutter_closed


def test_a_bench_that_cannot_be_prepared_is_left_safe_and_not_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    from drivers.thorlabs_ell14 import Ell14

    def stuck(plate: Ell14) -> None:
        raise InstrumentError("The plate is stuck.", where="attenuator")

    monkeypatch.setattr(Ell14, "prepare", stuck)
    desk = Desk()
    with pytest.raises(InstrumentError, match="stuck") as error:
        desk.hand.connect(desk.stop, 0)
    assert "output off" in error.value.hardware_state
    assert not desk.hand.connected
    assert (desk.told[-1].connected, desk.told[-1].why) == (False, "The plate is stuck.")


# --- through the engine


class Served:
    """An engine that serves in this thread: before each look at its queue the next step of a test is done."""

    def __init__(self, bench: Bench | None = None, **simulated: Any) -> None:
        self.session = Session(bench or default_bench(), simulate=True, **simulated)
        self.engine = Engine(self.session)
        self.lease = 1
        self.events: list[Event] = []
        self.engine.commanded_by(lambda: self.lease)
        self.engine.listen(self.events.append)
        self.there = True

    def submit(self, command: Command) -> Answer:
        return self.engine.submit(command, "me")

    def run(self, *steps: Callable[[], object]) -> None:
        left = [step for one in steps for step in (one, lambda: None, lambda: None)]  # two turns for what was asked

        def anybody() -> bool:
            if left:
                left.pop(0)()
            else:
                self.engine.end("the test is over")
            return self.there

        self.engine.serve(anybody, 60.0)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def switch_on(self) -> list[Callable[[], object]]:
        on = [Connect(), wish("voltage_v", 5.0), wish("output_on", 1), wish("open", 1)]
        return [lambda command=command: self.taken(command) for command in on]

    def taken(self, command: Command) -> None:
        answer = self.submit(command)
        assert answer.ok, answer.error

    @property
    def voltage_v(self) -> float:
        return float(self.session.world.terminal.record.voltage_v[-1])

    def expect_on(self) -> None:
        assert self.voltage_v == pytest.approx(5.0)
        assert self.engine.status().connected


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "LOOK_S", 0.01)


def _lose_the_lease(served: Served) -> None:
    served.lease += 1


def _leave_alone(served: Served) -> None:
    served.there = False


def _open_the_lid(served: Served) -> None:
    served.session.world.personas["shutter"].set_interlock(served.session.world.now_ns(), tripped=True)
    served.submit(wish("voltage_v", 4.0))  # the bench is asked anew


WAYS_OUT: dict[str, Callable[[Served], object]] = {
    "disconnect": lambda served: served.taken(Disconnect()),
    "stop": lambda served: served.taken(Stop()),
    "off": lambda served: served.taken(Off()),
    "the commander is gone": _lose_the_lease,
    "nobody is there": _leave_alone,
    "the engine ends": lambda served: served.engine.end("signal"),
    "a fault": _open_the_lid,
}


@pytest.mark.parametrize("way", WAYS_OUT)
def test_every_way_out_leaves_everything_off_and_says_what_was_confirmed(way: str) -> None:
    served = Served()
    served.run(*served.switch_on(), served.expect_on, lambda: WAYS_OUT[way](served))
    assert served.voltage_v == 0.0
    last = served.of(InstrumentStates)[-1]
    assert not last.connected
    assert last.why
    assert {one.role: one.confirmation for one in last.hardware} == dict.fromkeys(
        ("laser_trigger", "voltage_source", "spectrometer", "shutter", "cw_shutter"), "CONFIRMED"
    )
    assert not served.engine.status().connected


def test_a_fault_latches_the_engine(tmp_path: Path) -> None:
    served = Served()
    answers: list[Answer] = []
    served.run(
        *served.switch_on(),
        lambda: _open_the_lid(served),
        lambda: answers.append(served.submit(Connect())),
        lambda: served.taken(Acknowledge()),
        lambda: served.taken(Connect()),
    )
    [error] = [one.error for one in served.of(Refused)]
    assert "interlock_closed" in error.what
    assert "output off" in error.hardware_state
    assert answers[0].error is not None
    assert answers[0].error.reasons[0].code == "latched"


def test_a_run_takes_over_after_everything_is_off(tmp_path: Path) -> None:
    served = Served(out=tmp_path)
    start = Start(sequence_toml=SHORT, name="short.toml")
    worlds: list[Any] = []

    def begin() -> None:
        worlds.append(served.session.world)
        served.taken(start)

    served.run(*served.switch_on(), begin)
    assert worlds[0].terminal.record.voltage_v[-1] == 0.0
    assert [one.why for one in served.of(InstrumentStates) if not one.connected] == ["a run begins"]
    [ended] = served.of(Ended)
    assert (ended.state, ended.error) == ("done", None)
    order = [type(one) for one in served.events if isinstance(one, InstrumentStates | Ended)]
    assert order[-1] is Ended


def test_without_a_connection_nothing_can_be_set(tmp_path: Path) -> None:
    served = Served()
    answer = served.submit(wish("output_on", 1))
    assert answer.error is not None
    assert answer.error.reasons[0].code == "not-connected"


def test_who_commands_no_more_sets_nothing() -> None:
    served = Served()
    answers: list[Answer] = []

    def overtake() -> None:
        served.lease += 1
        answers.append(served.submit(wish("voltage_v", 1.0)))

    served.run(*served.switch_on()[:1], overtake)
    assert answers[0].error is not None
    assert answers[0].error.reasons[0].code == "not-connected"


def test_a_stop_before_the_bench_is_open_keeps_it_closed() -> None:
    served = Served()

    def both() -> None:
        served.taken(Connect())
        served.taken(Stop())

    served.run(both)
    assert served.of(InstrumentStates) == []
    assert served.session.world is None


def test_a_flood_of_wishes_is_refused() -> None:
    served = Served()
    answers: list[Answer] = []
    served.run(*served.switch_on()[:1], lambda: answers.extend(served.submit(wish("voltage_v", 1.0)) for _ in range(60)))
    codes = [one.error.reasons[0].code for one in answers if one.error is not None]
    assert set(codes) == {"too-many-wishes"}
    assert len(codes) >= 20
