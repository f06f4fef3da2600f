"""Weak continuous light in raw frames: its level, its law, its blades, and that nothing depends on how time is cut."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from world_bench import DESCRIPTION

from sim_instruments.cw_light import AREA_PER_S, NOISE, ContinuousLight
from sim_instruments.film.emission import EdgeEmission
from sim_instruments.film.film import KEPT_NS, Film
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.film.photoluminescence import cw_frames
from sim_instruments.laser import PumpLaser
from sim_instruments.light_path import LightPath
from sim_instruments.persona import Edges
from sim_instruments.shutter import CLOSING_DELAY_NS, CLOSING_NS, OPENING_DELAY_NS, OPENING_NS, Blades
from sim_instruments.spectrograph import Spectrograph
from sim_instruments.world import World

MS = 1_000_000
S = 1_000_000_000
FRAME_NS = 10 * MS
NOMINAL = FilmParameters.nominal()
WITH_SHUTTER = {**DESCRIPTION, "shutter": {"model": "thorlabs-sc10", "resource": "ASRL1::INSTR"}}
WITH_CW = {**WITH_SHUTTER, "cw_shutter": {"model": "thorlabs-sc10", "resource": "ASRL2::INSTR"}}


def lamp(*blades: Blades) -> ContinuousLight:
    light = ContinuousLight(np.random.SeedSequence(3), 0.01)
    light.beam.elements += blades
    return light


def path_of(light: ContinuousLight | None, parameters: FilmParameters = NOMINAL) -> LightPath:
    return LightPath(PumpLaser(1, 40.0, 0), Film(parameters), Spectrograph(2), None, light)


def frames(first: int, count: int, period_ns: int = FRAME_NS) -> np.ndarray:
    return np.arange(first, first + count, dtype=np.int64) * period_ns


def test_a_frame_of_10_ms_peaks_at_some_3000_counts() -> None:
    path, dark = path_of(lamp()), path_of(None)
    open_ns = frames(0, 100)
    lit, unlit = (each.expose(open_ns, open_ns + FRAME_NS).mean(axis=0) for each in (path, dark))
    assert 2500 < (lit - unlit).max() < 3500
    assert_allclose(path.record.exposures["continuous"], 1.0, atol=4 * NOISE)
    assert_array_equal(dark.record.exposures["continuous"], 0.0)


def test_the_lamp_is_noisy_by_what_is_said_of_it() -> None:
    power = lamp().power(np.arange(0, 1000 * S, 10 * MS, dtype=np.int64))
    assert power.mean() == pytest.approx(1.0, abs=1e-4)
    assert power.std() == pytest.approx(NOISE, rel=0.1)


def test_its_light_follows_voltage_as_that_of_very_weak_pulses_does() -> None:
    """Area and shift of the band, from the emission law at a millionth of the threshold; 0.3 % are the lamp's noise."""
    path, edge = path_of(lamp()), EdgeEmission(NOMINAL)
    path.film.set_voltage(20.0, 1 * S)
    open_ns = frames(0, 150, 20 * MS)
    state = path.film.state(open_ns + FRAME_NS // 2)
    weak = edge.emit(np.full(150, 1e-5), state, np.zeros(150))
    shining = lamp().seen(path.film, open_ns, open_ns + FRAME_NS, np.empty(0), np.zeros(150, np.intp))
    assert shining is not None
    settled = np.abs(open_ns - S) > 50 * MS
    share = shining.area / (AREA_PER_S * 0.01)
    assert_allclose(share[settled], (weak.se_area / weak.se_area[0])[settled], rtol=4 * NOISE)
    assert_allclose((shining.area_ev / shining.area)[settled], weak.shift_ev[settled], atol=1e-7)
    assert weak.shift_ev[-1] > 2e-5  # there is something to see


def test_light_of_pulses_and_of_the_lamp_adds_up() -> None:
    open_ns = frames(0, 60)
    seen: list[np.ndarray] = []
    for light, fires in ((lamp(), True), (lamp(), False), (None, True), (None, False)):
        path = path_of(light)
        if fires:
            path.laser_triggered(Edges(open_ns + MS, open_ns + 2 * MS, 0.0, 5.0))
        seen.append(path.expose(open_ns, open_ns + FRAME_NS).astype(float).mean(axis=0))
    both, weak, strong, dark = seen
    assert (strong - dark).max() > 500
    assert (weak - dark).max() > 2500
    assert_allclose(both - dark, weak + strong - 2 * dark, atol=50)  # noise, and the detector bends


def test_pulses_before_a_frame_have_bleached_it() -> None:
    path = path_of(lamp())
    open_ns = frames(0, 200)
    rise_ns = np.arange(S, S + 400 * MS, MS // 50, dtype=np.int64)  # 20 000 pulses
    path.laser.fluence_uj_cm2 = 4000.0  # type: ignore[misc]
    path.laser_triggered(Edges(rise_ns, rise_ns + 1000, 0.0, 5.0))
    path.expose(open_ns, open_ns + FRAME_NS)
    share, left = path.record.exposures["continuous"], 1 - path.film.bleached_fraction
    assert left < 0.9
    assert_allclose(share[:100], 1.0, atol=4 * NOISE)
    assert_allclose(share[150:], left, atol=4 * NOISE)


def test_while_the_blades_move_a_part_comes_through() -> None:
    """Commands at 100 ms and 300 ms: what is missing of the time between is the area of the two ramps."""
    blades = Blades()
    path = path_of(lamp(blades))
    blades.move(100 * MS, to_open=True)
    blades.move(300 * MS, to_open=False)
    open_ns = frames(0, 500, MS)
    path.expose(open_ns, open_ns + MS)
    share = path.record.exposures["continuous"]
    begin_ns, end_ns = 100 * MS + OPENING_DELAY_NS, 300 * MS + CLOSING_DELAY_NS
    assert not share[: begin_ns // MS].any()
    assert not share[(end_ns + CLOSING_NS) // MS :].any()
    open_for_ms = (end_ns - begin_ns - OPENING_NS / 2 + CLOSING_NS / 2) / MS
    assert share.sum() == pytest.approx(open_for_ms, rel=0.005)


def test_an_opening_shorter_than_an_exposure_is_seen() -> None:
    blades = Blades()
    path = path_of(lamp(blades))
    blades.move(100 * MS, to_open=True)
    blades.move(120 * MS, to_open=False)
    path.expose(np.array([0]), np.array([S]))
    assert path.record.exposures["continuous"][0] == pytest.approx(0.021, rel=0.1)


def test_closed_blades_cost_no_bit() -> None:
    """Behind closed blades frames are those of a bench without such light."""
    open_ns = frames(0, 300, MS)
    seen: list[np.ndarray] = []
    for light in (lamp(Blades()), None):
        path = path_of(light)
        path.laser_triggered(Edges(open_ns, open_ns + MS // 2, 0.0, 5.0))
        seen.append(path.expose(open_ns, open_ns + MS // 2))
    assert_array_equal(seen[0], seen[1])


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 599), max_size=5, unique=True))
def test_the_result_does_not_depend_on_how_time_is_cut(cuts: list[int]) -> None:
    def run(parts: list[int]) -> np.ndarray:
        path, open_ns, found = path_of(lamp()), frames(0, 600), list[np.ndarray]()
        path.film.set_voltage(20.0, 2 * S)
        path.laser_triggered(Edges(open_ns[::7] + MS, open_ns[::7] + 2 * MS, 0.0, 5.0))
        for first, end in zip([0, *parts], [*parts, 600], strict=True):
            found.append(path.expose(open_ns[first:end], open_ns[first:end] + FRAME_NS - MS))
        return np.concatenate(found)

    assert_array_equal(run(sorted(cuts)), run([]))


def test_what_lies_long_behind_the_light_is_forgotten_and_what_has_been_seen_stays() -> None:
    path = path_of(lamp())
    path.film.set_voltage(20.0, 0)
    open_ns = frames(0, 1000)
    path.expose(open_ns, open_ns + FRAME_NS)
    end_ns = int(open_ns[-1]) + FRAME_NS
    path.film.state(np.array([end_ns - KEPT_NS]))
    with pytest.raises(ValueError, match="forgotten"):
        path.film.state(np.array([end_ns - 2 * KEPT_NS]))
    with pytest.raises(ValueError, match="has been given"):
        path.film.set_voltage(0.0, end_ns - MS)
    path.film.set_voltage(0.0, end_ns)


def test_a_long_frame_sees_the_charging_as_short_ones_do() -> None:
    """0.1 s from the edge on, in one frame or in hundred."""
    film = Film(NOMINAL)
    film.set_voltage(20.0, S)
    short_ns = S + frames(0, 100, MS)
    nothing, one = np.empty(0), np.zeros(1, np.intp)
    long = lamp().seen(film, np.array([S]), np.array([S + 100 * MS]), nothing, one)
    assert long is not None
    assert long.share[0] == pytest.approx(cw_frames(film, short_ns, short_ns + MS).mean(), rel=0.01)


def bytes_of(description: dict[str, Any], *said: tuple[str, bytes]) -> tuple[World, bytes]:
    """What a source and a spectrometer say on a bench, and 100 frames."""
    world, heard = World(description, 7), b""
    for role, message in said:
        world.personas[role].receive(message, world.now_ns())
        world.sleep(0.5)
        heard += world.personas[role].take(1 << 16, world.now_ns())[0]
    open_ns = world.now_ns() + frames(0, 100)
    world.sleep(2.0)
    return world, heard + world.light_path.expose(open_ns, open_ns + FRAME_NS).tobytes()


def test_a_bench_that_has_such_light_is_the_same_bench_otherwise() -> None:
    source = ("voltage_source", b":OUTP ON;:READ?\n"), ("voltage_source", b":SOUR:VOLT 5;:READ?\n")
    assert bytes_of(WITH_CW, *source)[1] == bytes_of(WITH_SHUTTER, *source)[1]


def test_its_controller_opens_its_own_blades_only() -> None:
    world, _ = bytes_of(WITH_CW, ("cw_shutter", b"ens\r"))
    assert world.light_path.record.exposures["continuous"].min() > 0.98
    pump: Any = world.personas["shutter"]
    assert pump.blades.closed(world.now_ns())
    other, _ = bytes_of(WITH_CW, ("shutter", b"ens\r"))
    assert other.light_path.record.exposures["continuous"].max() == 0
