"""What every attenuator has to do, judged by the fluence of the pulses that reach the film."""

import numpy as np
import pytest
from role_bench import MS, USUAL_OUTPUTS, RoleBench, S, Wire, of_role

from drivers.errors import InstrumentError, RefusedError
from drivers.registry import DriverEntry
from drivers.roles import Attenuator
from sim_instruments import visa_library
from sim_instruments.attenuator import malus

SHOTS = 400
NEAR = 0.01  # of the fluence: scatter of positioning, and the mean of so many pulses
TIMEOUT_S = 0.2
SERIAL_NUMBER = {"thorlabs-ell14": "11400517"}


@pytest.fixture(autouse=True)
def long_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing happens by itself on these benches: waiting in vain need not take small steps."""
    monkeypatch.setattr(visa_library, "STEP_NS", 2 * MS)


@pytest.fixture(params=of_role("attenuator"))
def model(request: pytest.FixtureRequest) -> tuple[DriverEntry, str, str]:
    return request.param


@pytest.fixture
def bench(model: tuple[DriverEntry, str, str]) -> RoleBench:
    return RoleBench(*model, timeout_s=TIMEOUT_S)


def plate(bench: RoleBench) -> Attenuator:
    return bench.instruments["attenuator"]


def wire(bench: RoleBench) -> Wire:
    return bench.wires["attenuator"]


def fluence(bench: RoleBench, shots: int = SHOTS) -> float:
    """Mean fluence (uJ/cm2) of the pulses of one burst, those left out that the laser missed."""
    before = len(bench.light_ns())
    bench.bursts(shots, outputs=USUAL_OUTPUTS)
    bench.laser.fire()
    bench.wait(shots * 1e-3 + 0.1)
    assert len(bench.light_ns()) == before + shots
    seen = bench.world.light_path.record.pulses["fluence_uj_cm2"][before:]
    return float(seen[seen > 0].mean())


def shown(bench: RoleBench) -> float:
    """Transmission now, as the world has it."""
    return float(bench.world.beam.transmission(np.array([bench.now_ns()]))[0])


def test_says_who_it_is(bench: RoleBench, model: tuple[DriverEntry, str, str]) -> None:
    identity = plate(bench).identify()
    assert identity.serial == SERIAL_NUMBER[model[0].model]
    assert model[0].matches(f"{identity.maker},{identity.model}")


def test_pulses_have_what_malus_lets_through(bench: RoleBench) -> None:
    plate(bench).prepare()
    plate(bench).move_to(0.0)
    full = fluence(bench)
    for angle_deg in (10.0, 22.5, 30.0, 35.0):
        plate(bench).move_to(angle_deg)
        assert fluence(bench) / full == pytest.approx(float(malus(angle_deg)), rel=NEAR)


def test_the_same_angle_gives_the_same_fluence_from_wherever_it_comes(bench: RoleBench) -> None:
    """One side only: with the backlash in play the two sets would differ by 0.5 %."""
    plate(bench).prepare()
    reached: dict[float, list[float]] = {0.0: [], 60.0: []}
    for _ in range(60):
        for detour_deg, found in reached.items():
            plate(bench).move_to(detour_deg)
            plate(bench).move_to(25.0)
            found.append(shown(bench))
    below, above = (np.array(found) for found in reached.values())
    assert below.mean() / above.mean() == pytest.approx(1.0, abs=2e-3)
    assert below.mean() == pytest.approx(float(malus(25.0)), rel=2e-3)


def test_a_move_straight_to_the_angle_would_be_seen(bench: RoleBench) -> None:
    """The control of the test before: without the driver, straight from below, the backlash shows."""
    plate(bench).prepare()
    pulses = round(25.0 / 360 * 143_360)
    reached: list[float] = []
    for _ in range(60):
        for command in (b"0ma%08X" % (pulses - 2000), b"0ma%08X" % pulses):
            wire(bench).persona.receive(command, bench.now_ns())
            bench.wait(0.3)
        reached.append(shown(bench))
    assert float(np.mean(reached)) / float(malus(25.0)) - 1 == pytest.approx(0.005, abs=2e-3)


@pytest.mark.parametrize("angle_deg", [0.0, 0.01, 1.0, 44.9, 90.0, 179.5, 270.0, 357.5, 358.5, 359.99])
def test_every_angle_is_reached_and_read_back(bench: RoleBench, angle_deg: float) -> None:
    plate(bench).prepare()
    found_deg = plate(bench).move_to(angle_deg)
    assert 0 <= found_deg < 360
    assert abs((found_deg - angle_deg + 180) % 360 - 180) < 0.05
    assert plate(bench).angle_deg() == found_deg
    assert shown(bench) == pytest.approx(float(malus(found_deg)), rel=0.012)
    assert plate(bench).errors() == []


def test_it_stands_still_when_it_says_that_it_is_there(bench: RoleBench) -> None:
    plate(bench).prepare()
    for angle_deg in (40.0, 3.0, 41.0):
        plate(bench).move_to(angle_deg)
        arrived = shown(bench)
        bench.wait(1.0)
        assert shown(bench) == arrived


@pytest.mark.parametrize("angle_deg", [-1.0, 360.0, float("nan"), float("inf")])
def test_impossible_angles_move_nothing(bench: RoleBench, angle_deg: float) -> None:
    plate(bench).prepare()
    plate(bench).move_to(20.0)
    before, sent = shown(bench), len(wire(bench).traffic)
    with pytest.raises(RefusedError):
        plate(bench).move_to(angle_deg)
    bench.wait(1.0)
    assert (shown(bench), len(wire(bench).traffic)) == (before, sent)


def prepare_in_the_end(bench: RoleBench, tries: int = 8) -> None:
    """Prepare, as often as it takes."""
    for left in reversed(range(tries)):
        try:
            plate(bench).prepare()
        except InstrumentError:
            if not left:
                raise
        else:
            return


# --- states to start from


def by_hand(bench: RoleBench) -> None:
    bench.by_hand("attenuator")  # still on its way


def turning_without_end(bench: RoleBench) -> None:
    wire(bench).persona.receive(b"0sj00000000", bench.now_ns())
    bench.wait(0.1)
    wire(bench).persona.receive(b"0fw", bench.now_ns())
    bench.wait(0.5)


def searching(bench: RoleBench) -> None:
    wire(bench).persona.receive(b"0s1", bench.now_ns())
    bench.wait(0.1)


def question_unread(bench: RoleBench) -> None:
    bench.links["attenuator"].write_bytes(b"0in")
    bench.wait(0.1)


def half_a_move(bench: RoleBench) -> None:
    wire(bench).cut_at = 10
    with pytest.raises(InstrumentError):
        bench.links["attenuator"].write_bytes(b"0ma00004600")


@pytest.mark.parametrize("before", [by_hand, turning_without_end, searching, question_unread, half_a_move])
def test_it_is_prepared_from_every_state(bench: RoleBench, before: object) -> None:
    assert callable(before)
    before(bench)
    prepare_in_the_end(bench, tries=2)  # what somebody else's move still had to say may be told once
    assert plate(bench).move_to(30.0) == pytest.approx(30.0, abs=0.05)
    assert shown(bench) == pytest.approx(float(malus(30.0)), rel=0.012)


def test_nothing_is_told_or_turned_before_it_is_prepared(bench: RoleBench) -> None:
    before = shown(bench)
    for call in (plate(bench).angle_deg, lambda: plate(bench).move_to(10.0)):
        with pytest.raises(InstrumentError):
            call()
    bench.wait(1.0)
    assert shown(bench) == before


# --- faults of the wire: an angle that is told is true


def lost(bench: RoleBench) -> None:
    wire(bench).lose = 1


def late(bench: RoleBench) -> None:
    wire(bench).late_ns = round(0.3 * S)


def much_too_late(bench: RoleBench) -> None:
    wire(bench).late_ns = 11 * S


def doubled(bench: RoleBench) -> None:
    wire(bench).double = True


def garbled(bench: RoleBench) -> None:
    wire(bench).rewrite = (b"0PO", b"0PQ")


def shifted(bench: RoleBench) -> None:
    wire(bench).rewrite = (b"0PO0000", b"0PO0001")


@pytest.mark.parametrize("trouble", [lost, late, much_too_late, doubled, garbled, shifted])
@pytest.mark.parametrize("answers_before", range(6))
def test_a_fault_of_the_wire_is_survived_or_told_and_no_wrong_angle_believed(
    bench: RoleBench, trouble: object, answers_before: int
) -> None:
    assert callable(trouble)
    plate(bench).prepare()
    persona, seen = wire(bench).persona, 0
    take = persona.take

    def count(max_bytes: int, t_ns: int) -> tuple[bytes, bool]:
        nonlocal seen
        found = take(max_bytes, t_ns)
        seen += found[1]
        if found[1] and seen == answers_before:
            trouble(bench)
        return found

    persona.take = count  # type: ignore[method-assign]
    if answers_before == 0:
        trouble(bench)
    refused = 0
    for angle_deg in (20.0, 35.0, 12.0, 27.0):
        try:
            told_deg = plate(bench).move_to(angle_deg)
        except InstrumentError:
            refused += 1
            wire(bench).rewrite = None
            prepare_in_the_end(bench)
            continue
        assert told_deg == pytest.approx(angle_deg, abs=0.05)
        assert shown(bench) == pytest.approx(float(malus(angle_deg)), rel=0.012)
    assert refused or trouble in (late, doubled)  # these two may be survived
    wire(bench).rewrite = None
    assert plate(bench).move_to(15.0) == pytest.approx(15.0, abs=0.05)
    assert shown(bench) == pytest.approx(float(malus(15.0)), rel=0.012)


def test_a_plate_that_lost_its_power_is_told_before_it_turns(bench: RoleBench) -> None:
    plate(bench).prepare()
    plate(bench).move_to(30.0)
    wire(bench).power_cycle(bench.now_ns())
    before = shown(bench)
    with pytest.raises(InstrumentError, match="prepare") as told:
        plate(bench).move_to(10.0)
    assert "off in between" in told.value.hardware_state
    assert shown(bench) == before


def test_a_plate_that_lost_its_power_does_not_tell_an_angle(bench: RoleBench) -> None:
    """Its counter is zero wherever it stands."""
    plate(bench).prepare()
    plate(bench).move_to(30.0)
    wire(bench).power_cycle(bench.now_ns())
    with pytest.raises(InstrumentError, match="was left at 30"):
        plate(bench).angle_deg()


def test_a_plate_too_hot_to_turn_is_told(bench: RoleBench) -> None:
    plate(bench).prepare()
    wire(bench).overheat(bench.now_ns(), 5.0)
    with pytest.raises(InstrumentError, match="too hot"):
        plate(bench).move_to(30.0)
    assert any("too hot" in error for error in plate(bench).errors())
    bench.wait(6.0)
    plate(bench).prepare()
    assert plate(bench).move_to(30.0) == pytest.approx(30.0, abs=0.05)


def test_pulses_during_a_move_get_what_lies_between(bench: RoleBench) -> None:
    plate(bench).prepare()
    plate(bench).move_to(0.0)
    bench.bursts(300, MS, outputs=USUAL_OUTPUTS)
    before = len(bench.light_ns())
    bench.laser.fire()
    plate(bench).move_to(40.0)
    bench.wait(0.5)
    bench.light_ns()
    seen = bench.world.light_path.record.pulses["fluence_uj_cm2"][before:]
    middle = seen[(seen > 0.2 * seen.max()) & (seen < 0.8 * seen.max())]
    assert len(middle) > 20
    assert seen[:5].max() > 0.9 * seen.max()
    assert seen[-5:].max() < 0.1 * seen.max()
