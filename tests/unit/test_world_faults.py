"""Faults on the whole bench: what every wire shows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from world_bench import DESCRIPTION, MS, Bench, S

from sim_instruments.faults import FAULTS, Fault, FaultyCable, LooseContact, Misfires, apply, parse_fault
from sim_instruments.world import START_NS, World

COMPLIANCE = 1 << 3  # of a reading's status word


# --- writing faults down


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("breakdown@3.2s", Fault("breakdown", 3.2)),
        ("missing-pulses@1s:0.05", Fault("missing-pulses", 1.0, 0.05)),
        ("missing-pulses@1s:0.05:double", Fault("missing-pulses", 1.0, 0.05, "double")),
        ("loss-drift:step", Fault("loss-drift", mode="step")),
        (" stray-light@1e-3s:1e-3 ", Fault("stray-light", 1e-3, 1e-3)),
    ],
)
def test_faults_are_written_in_a_line(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("breakdwon@3.2s", "breakdown"),
        ("breakdown@3.2", "NAME"),
        ("", "NAME"),
        ("breakdown@-1s", "0 s or later"),
        ("breakdown@nans", "0 s or later"),
        ("breakdown@infs", "0 s or later"),
        ("missing-pulses:0.5", "0.01 to 0.2"),
        ("missing-pulses:0.05:sideways", "double"),
        ("saturation:double", "none"),
        ("bad-pixels:21", "1 to 20"),
    ],
)
def test_nonsense_is_refused_with_what_there_is(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        parse_fault(text)


def test_the_eight_faults_are_there() -> None:
    assert set(FAULTS) == {
        "breakdown",
        "open-contact",
        "loss-drift",
        "bad-pixels",
        "stray-light",
        "saturation",
        "missing-pulses",
        "contact-intermittent",
    }


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_before_its_onset_a_fault_changes_nothing(name: str) -> None:
    """Readings digit by digit; frames to a count, as light outside the film's bands is summed in another order."""
    sound, faulty = Bench(), Bench(*([f"{name}@30s:1"] if name == "breakdown" else [f"{name}@30s"]))
    for bench in (sound, faulty):
        bench.bias(20.0)
    assert [sound.say(":READ?") for _ in range(3)] == [faulty.say(":READ?") for _ in range(3)]
    one, other = (bench.shine(30, 0.2).astype(int) for bench in (sound, faulty))
    assert np.abs(one - other).max() <= 1
    assert (one != other).mean() < 1e-3


# --- the eight faults on the wires


def test_breakdown_pulls_the_source_into_compliance_at_that_moment() -> None:
    bench = Bench("breakdown@3.2s:1")
    bench.bias(20.0)
    bench.until(2.0)
    sound = bench.read()
    bench.until(3.1)
    bench.until(3.3)
    voltage_v, current_a, status = bench.read()
    assert sound[1] == pytest.approx(310e-6, rel=0.05)
    assert not sound[2] & COMPLIANCE
    assert current_a == pytest.approx(1e-3, rel=0.01)
    assert voltage_v == pytest.approx(1e-3 * (60 + 120), abs=0.15)  # noise of the 200 V range
    assert status & COMPLIANCE
    record = bench.world.terminal.record
    assert record.t_ns[-1] == START_NS + 3_200_000_000
    assert record.voltage_v[-1] == pytest.approx(0.18, rel=0.01)


def test_breakdown_announces_itself_on_the_current() -> None:
    bench = Bench("breakdown@1s:0.9")
    bench.bias(20.0)
    crackling = np.array([bench.read()[1] for _ in range(15)])
    steady = Bench("breakdown@20s:1")
    steady.bias(20.0)
    quiet = np.array([steady.read()[1] for _ in range(15)])
    assert np.diff(crackling[3:]).std() > 2.5 * np.diff(quiet[3:]).std()


def test_breakdown_turns_the_light_off_for_good() -> None:
    bench = Bench("breakdown@0.5s:0.1")
    off = bench.shine(20, 0.05)
    bench.bias(20.0)
    on = bench.shine(20, 0.3)
    after = bench.shine(20, 0.8)
    bench.bias(0.0)
    bench.bias(20.0)
    later = bench.shine(20, 1.2)
    assert bench.band(on, 535).mean() > 5 * bench.band(off, 535).mean()
    for dim in (after, later):
        assert bench.band(dim, 520).mean() / bench.band(off, 520).mean() == pytest.approx(0.6, abs=0.05)
        assert bench.band(dim, 535).mean() < bench.band(off, 535).mean()


def test_an_open_contact_leaves_the_voltage_and_takes_current_and_switching() -> None:
    bench, sound = Bench("open-contact@0.1s"), Bench()
    for each in (bench, sound):
        each.until(0.2)
        each.bias(20.0)
    light, switched = bench.shine(20, 0.5), sound.shine(20, 0.5)
    voltage_v, current_a, status = bench.read()
    assert voltage_v == pytest.approx(20.0, abs=0.2)
    assert abs(current_a) < 0.05 * 322e-6
    assert not status & COMPLIANCE
    assert bench.world.film.current_a(20.0, bench.world.now_ns()) == pytest.approx(10e-9, rel=0.01)
    assert bench.band(light, 535).mean() < 0.2 * bench.band(switched, 535).mean()


def test_a_partly_open_contact_takes_its_share_of_the_current() -> None:
    bench, sound = Bench("open-contact:0.4"), Bench()
    for each in (bench, sound):
        each.bias(20.0)
        each.until(0.2)
    assert bench.read()[1] / sound.read()[1] == pytest.approx(0.6, abs=0.01)


def test_an_intermittent_contact_shows_two_currents_and_mixed_light() -> None:
    bench = Bench("contact-intermittent@0.3s:0.7")
    bench.bias(20.0)
    bench.until(0.3)
    readings = np.array([bench.read()[1] for _ in range(60)])
    off = readings < 1e-6
    assert 0.1 < off.mean() < 0.9
    assert (readings[~off] > 250e-6).all()
    on = bench.band(bench.shine(1000, 1.5), 535)
    steady = Bench()
    steady.bias(20.0)
    assert on.std() > 3 * steady.band(steady.shine(1000, 1.5), 535).std()


def test_an_intermittent_contact_has_the_dwells_it_was_given() -> None:
    contact = LooseContact(0, 0.05, 0.007, np.random.default_rng(1))
    changes = [0]
    while len(changes) < 4001:
        changes.append(contact.next_ns(changes[-1]) or 0)
    lifted_s, closed_s = np.diff(changes)[::2] * 1e-9, np.diff(changes)[1::2] * 1e-9
    assert contact.at(changes[0]).resistance_ohm > 1e8
    assert lifted_s.mean() == pytest.approx(0.007, rel=0.07)
    assert closed_s.mean() == pytest.approx(0.05, rel=0.07)
    again = LooseContact(0, 0.05, 0.007, np.random.default_rng(1))
    assert again.at(changes[2000]) == contact.at(changes[2000])


@pytest.mark.parametrize(("mode", "dims"), [("slow", False), ("step", False), ("alignment", True)])
def test_drifting_loss_is_seen_by_the_optics_alone(mode: str, dims: bool) -> None:
    bench, sound = Bench(f"loss-drift@0.1s:{0.2 if mode == 'step' else 4}:{mode}"), Bench()
    for each in (bench, sound):
        each.bias(20.0)
    assert bench.world.film.current_a(20.0, 3 * S) == sound.world.film.current_a(20.0, 3 * S)
    film, plain = bench.world.film, sound.world.film
    times, pump = np.array([START_NS + 3 * S] * 2), np.array([1.0, 40.0])
    light, was = film.emit(times, pump), plain.emit(times, pump)
    rise = 0.2 if mode == "step" else 4 * 2.9 / 60
    assert light.se_area[0] / was.se_area[0] == pytest.approx(1 / (1 + rise) if dims else 1.0, abs=1e-3)
    assert light.ase[1].sum() < 0.8 * was.ase[1].sum()


@pytest.mark.parametrize("mode", ["dead", "hot", "stuck"])
def test_bad_pixels_are_single_pixels(mode: str) -> None:
    bench, sound = Bench(f"bad-pixels@0.1s:20:{mode}"), Bench()
    frames, good = (np.concatenate([each.shine(20, 0.05), each.shine(40, 0.07)]) for each in (bench, sound))
    assert np.abs(frames[:50].astype(int) - good[:50]).max() <= 1  # the onset is in the 51st frame
    last = frames[50]
    frames, good = frames[51:], good[51:]
    changed = np.flatnonzero(np.abs(frames.astype(int) - good).max(axis=0) > 1)
    assert 1 <= len(changed) <= 20
    if mode == "hot":
        assert_allclose((frames[:, changed].astype(float) - good[:, changed]).mean(axis=0), 3000, rtol=0.03)
        assert len(changed) == 20
    if mode == "stuck":
        assert (frames[:, changed] == last[changed]).all()
        assert len(changed) == 20
    if mode == "dead":
        lit = np.setdiff1d(changed[good[:, changed].mean(axis=0) > 1600], bench.world.light_path.spectrograph.hot_pixels)
        assert len(lit)
        assert (np.abs(frames[:, lit].mean(axis=0) - 1480) < 40).all()


def test_a_bad_pixel_may_sit_on_the_line() -> None:
    """Every other time; 20 seeds."""
    sound = Bench()
    good = sound.shine(1, 0.1)[0].astype(int)
    line = np.abs(sound.world.light_path.spectrograph.true_wavelength_nm - 535) < 0.3
    on_line = 0
    for seed in range(20):
        bench = Bench()
        apply(bench.world, Fault("bad-pixels", severity=1, mode="hot", seed=seed))
        on_line += bool((bench.shine(1, 0.1)[0][line] - good[line] > 2000).any())
    assert 4 <= on_line <= 16


def test_stray_light_is_linear_in_the_pump_and_knows_no_voltage() -> None:
    counts = {}
    for fluence in (0.0, 20.0, 40.0):
        for voltage_v in (0.0, 20.0):
            bench = Bench("stray-light:1e-2")
            bench.world.light_path.laser.fluence_uj_cm2 = fluence
            bench.bias(voltage_v)
            raw = bench.shine(60, 0.3)
            counts[fluence, voltage_v] = bench.band(raw, 400).mean(), bench.band(raw, 700).mean(), bench.band(raw, 600).mean()
    line, scatter = (np.array([counts[f, 0.0][i] for f in (0.0, 20.0, 40.0)]) for i in (0, 1))
    assert line[1] > 100
    assert (line[2] - line[0]) / (line[1] - line[0]) == pytest.approx(2, rel=0.03)
    assert (scatter[2] - scatter[0]) / (scatter[1] - scatter[0]) == pytest.approx(2, rel=0.15)
    assert counts[40.0, 20.0][0] == pytest.approx(counts[40.0, 0.0][0], rel=0.02)
    assert counts[0.0, 0.0][2] > counts[0.0, 0.0][1] + 50  # room light, 450 to 650 nm


def test_room_light_flickers_at_100_hz() -> None:
    bench = Bench("stray-light:1e-2")
    room = bench.band(bench.shine(200, 0.1), 600)
    power = np.abs(np.fft.rfft(room - room.mean())) ** 2
    assert power.argmax() == 20  # of 200 frames at 1 kHz


def test_too_much_light_saturates_flat_and_wide() -> None:
    bench, sound = Bench("saturation"), Bench()
    for each in (bench, sound):
        each.bias(20.0)
    raw, good = bench.shine(20, 0.3), sound.shine(20, 0.3)
    assert good.max() < 62_000
    line = np.abs(bench.world.light_path.spectrograph.true_wavelength_nm - 535) < 10
    assert ((raw[:, line] == 65_535).sum(axis=1) >= 2).all()

    def pixels_above_half(frames: np.ndarray) -> int:
        mean = frames[:, line].mean(axis=0) - 1480
        return int((mean > mean.max() / 2).sum())

    assert pixels_above_half(raw) > 1.2 * pixels_above_half(good)


@pytest.mark.parametrize("mode", ["dark", "dark-bursts", "double"])
def test_missing_pulses_leave_the_triggers(mode: str) -> None:
    bench, sound = Bench(f"missing-pulses@0.5s:0.1:{mode}"), Bench()
    raw = bench.shine(3000, 0.1)
    good = bench.band(sound.shine(3000, 0.1), 520)
    ratio = bench.band(raw, 520) / good
    bad = ratio > 1.5 if mode == "double" else ratio < 0.3
    assert not bad[:399].any()
    spread = 3 * np.sqrt(0.1 * 0.9 / 2600) * (8 if mode == "dark-bursts" else 1)
    assert bad[400:].mean() == pytest.approx(0.1, abs=spread)
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], bad.astype(int), [0]]))))[::2]
    pulses = bench.world.light_path.record.pulses
    pairs = np.diff(pulses["t_ns"]) == 1000
    assert pairs.sum() == (bad.sum() if mode == "double" else 0)
    assert_array_equal(pulses["fluence_uj_cm2"][1:][pairs], pulses["fluence_uj_cm2"][:-1][pairs])
    assert runs.mean() > 5 if mode == "dark-bursts" else runs.mean() < 1.5


def test_silent_triggers_are_missing_at_laser_and_spectrometer_alike() -> None:
    world = World(DESCRIPTION, 1, faults=[parse_fault("missing-pulses:0.1:silent")])
    trigger = world.personas["laser_trigger"]
    for text in (b"DLAY 2,0,3E-4", b"DLAY 3,2,1E-5", b"DLAY 6,0,4E-4", b"DLAY 7,6,1E-5", b"TSRC 5;BURM 1;BURP 1E-3;BURC 1000"):
        trigger.receive(text + b"\n", world.now_ns())
        world.sleep(0.05)
    edges: dict[str, int] = {}
    arrived = world.personas["spectrometer"].receive_edges
    world.personas["spectrometer"].receive_edges = lambda name, pulses: (  # type: ignore[method-assign]
        edges.update({name: edges.get(name, 0) + len(pulses)}),
        arrived(name, pulses),
    )[1]
    trigger.receive(b"*TRG\n", world.now_ns())
    world.sleep(1.5)
    world.light_path.emit_until(world.now_ns())
    pulses = world.light_path.record.pulses["t_ns"]
    assert 850 < len(pulses) < 950
    assert edges == {"trigger": len(pulses)}
    with pytest.raises(ValueError, match="has a fault already"):
        apply(world, Fault("missing-pulses", mode="silent"))


def test_misfires_do_not_depend_on_how_pulses_come() -> None:
    times = np.arange(500, dtype=np.int64)
    whole = Misfires(100, 0.1, 30.0, 3).next(times)
    parts = Misfires(100, 0.1, 30.0, 3)
    assert_array_equal(np.concatenate([parts.next(part) for part in np.split(times, [7, 7, 180])]), whole)
    assert whole.any()
    assert not whole[:100].any()


def test_a_fault_of_another_seed_is_another_fault() -> None:
    stray = []
    for seed in (1, 1, 2):
        bench = Bench()
        apply(bench.world, Fault("stray-light", seed=seed))
        stray.append(bench.shine(5, 0.2))
    assert_array_equal(stray[0], stray[1])
    assert (stray[0] != stray[2]).any()


def test_a_faulty_cable_can_still_be_put_in() -> None:
    world = World(DESCRIPTION, 1)
    world.cable_to("spectrometer.trigger").fault = FaultyCable(invented_ns=[START_NS + MS])
    world.sleep(0.01)
