"""What every filter wheel has to do, judged by the light that reaches the film."""

import numpy as np
import pytest
from role_bench import MS, USUAL_OUTPUTS, RoleBench, Wire, of_role

from drivers.errors import InstrumentError, RefusedError
from drivers.registry import DriverEntry
from drivers.roles import FilterWheel
from sim_instruments import visa_library

ENGRAVED = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)
WITHIN = 0.15  # of what is engraved: five times the error of a filter


@pytest.fixture(autouse=True)
def long_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing happens by itself on these benches: waiting in vain need not take small steps."""
    monkeypatch.setattr(visa_library, "STEP_NS", MS)


@pytest.fixture(params=of_role("filter_wheel"))
def model(request: pytest.FixtureRequest) -> tuple[DriverEntry, str, str]:
    return request.param


@pytest.fixture
def bench(model: tuple[DriverEntry, str, str]) -> RoleBench:
    return RoleBench(*model, timeout_s=0.2)


def wheel(bench: RoleBench) -> FilterWheel:
    return bench.instruments["filter_wheel"]


def wire(bench: RoleBench) -> Wire:
    return bench.wires["filter_wheel"]


def shown(bench: RoleBench) -> float:
    """What of the pulses reaches the film now, as the world has it."""
    return float(bench.world.beam.filtered(np.array([bench.now_ns()]), np.ones(1))[0])


def test_says_who_it_is(bench: RoleBench, model: tuple[DriverEntry, str, str]) -> None:
    identity = wheel(bench).identify()
    assert model[0].matches(f"{identity.maker},{identity.model}")


def test_every_filter_is_reached_read_back_and_stands_still(bench: RoleBench) -> None:
    wheel(bench).prepare()
    for position in (2, 6, 3, 1, 5, 4, 4):
        assert wheel(bench).move_to(position) == position
        assert wheel(bench).position() == position
        arrived = shown(bench)
        assert arrived == pytest.approx(ENGRAVED[position - 1], rel=WITHIN)
        bench.wait(1.0)
        assert shown(bench) == arrived
    assert wheel(bench).errors() == []


def test_preparing_turns_nothing(bench: RoleBench) -> None:
    wheel(bench).prepare()
    wheel(bench).move_to(3)
    before = shown(bench)
    wheel(bench).prepare()
    assert shown(bench) == before


@pytest.mark.parametrize("position", [0, 7, -1])
def test_impossible_positions_turn_nothing(bench: RoleBench, position: int) -> None:
    wheel(bench).prepare()
    sent = len(wire(bench).traffic)
    with pytest.raises(RefusedError):
        wheel(bench).move_to(position)
    bench.wait(1.0)
    assert (shown(bench), len(wire(bench).traffic)) == (1.0, sent)


def on_its_way(bench: RoleBench) -> None:
    bench.by_hand("filter_wheel")
    assert shown(bench) != pytest.approx(ENGRAVED[3], rel=WITHIN)


def question_unread(bench: RoleBench) -> None:
    bench.links["filter_wheel"].write_bytes(b"pos?\r")
    bench.wait(0.1)


def half_a_move(bench: RoleBench) -> None:
    wire(bench).cut_at = 4
    with pytest.raises(InstrumentError):
        bench.links["filter_wheel"].write_bytes(b"pos=4\r")


@pytest.mark.parametrize("before", [on_its_way, question_unread, half_a_move])
def test_it_is_prepared_from_every_state(bench: RoleBench, before: object) -> None:
    assert callable(before)
    before(bench)
    for left in (1, 0):  # what somebody else's move still had to say may be told once
        try:
            wheel(bench).prepare()
        except InstrumentError:
            if not left:
                raise
    assert wheel(bench).move_to(2) == 2
    assert shown(bench) == pytest.approx(ENGRAVED[1], rel=WITHIN)


def test_the_meter_sees_what_the_film_does_not(bench: RoleBench) -> None:
    """The wheel stands after the pick-off."""
    at_pick_off: list[float] = []
    bench.world.beam.witnesses.append(lambda t_ns, energy_uj: at_pick_off.extend(energy_uj.tolist()))
    wheel(bench).prepare()
    wheel(bench).move_to(3)
    bench.bursts(200, outputs=USUAL_OUTPUTS)
    bench.laser.fire()
    bench.wait(0.5)
    bench.light_ns()
    at_film = bench.world.light_path.record.pulses["fluence_uj_cm2"]
    fluence = np.array(at_pick_off) / bench.world.beam.area_cm2
    assert len(at_film) == len(fluence) == 200
    assert np.median(fluence) == pytest.approx(40.0, rel=0.05)
    np.testing.assert_allclose(at_film, fluence * shown(bench))


def test_pulses_during_a_move_meet_metal_and_filters(bench: RoleBench) -> None:
    wheel(bench).prepare()
    bench.bursts(1500, outputs=USUAL_OUTPUTS)
    before = len(bench.light_ns())
    bench.laser.fire()
    wheel(bench).move_to(3)
    bench.wait(1.0)
    bench.light_ns()
    seen = bench.world.light_path.record.pulses["fluence_uj_cm2"][before:] / 40.0
    found = {round(float(np.log10(value))) if value > 0 else None for value in seen.tolist()}
    assert found == {0, -1, -2, None}


def test_a_button_pressed_in_between_is_seen(bench: RoleBench) -> None:
    wheel(bench).prepare()
    wheel(bench).move_to(3)
    wire(bench).persona.press_button(bench.now_ns())  # type: ignore[attr-defined]
    bench.wait(1.0)
    assert wheel(bench).position() == 4
