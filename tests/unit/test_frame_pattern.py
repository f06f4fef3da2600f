"""How frames are laid out in time by their light and length: one pulse, many pulses in one frame, frames without any."""

import pytest

from drivers.errors import CompileError
from rig.bench import Bench, default_bench
from rig.compiler import Compiled, Facts, compile_block
from rig.config_file import dotted
from rig.frame_pattern import check_exposure, frame_pattern
from rig.sequence import Block, BlockMode, Exposure, Light, State, Stretch
from rig.timeline import check_pattern

FACTS = Facts(360_000, 2500, 20_000, 10_000, 10_000_000_000)
FREE_NS = 20_000 + 40_000  # read-out, and the guard that is left beside it


def compiled(exposure: Exposure, mode: BlockMode = "gated", bench: Bench | None = None) -> Compiled:
    stretches = (Stretch(State.OFF, 0.0, 30, 0), Stretch(State.ON, 20.0, 30, 0))
    block = Block(0, stretches if mode == "stepped" else stretches[:1], 0.2, 40.0, exposure)
    return compile_block(block, mode, bench or default_bench(), FACTS)


def without(*roles: str) -> Bench:
    return default_bench().model_copy(update=dict.fromkeys(roles))


@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_pulses_of_a_frame_all_lie_inside_its_exposure(mode: BlockMode) -> None:
    pattern = compiled(Exposure(frame_s=0.02), mode).timeline.pattern
    assert (pattern.triggers, pattern.pulses, pattern.period_ns) == (20, 20, 20_000_000)
    pulses_ns = [pattern.pulse_ns + k * 1_000_000 for k in range(20)]
    assert pattern.open_ns < pulses_ns[0]
    assert pulses_ns[-1] == pattern.last_pulse_ns < pattern.close_ns
    assert pattern.pulse_ns + 20_000_000 - pattern.close_ns > 0  # the next frame's first pulse is outside
    assert pattern.ready_ns <= pattern.open_ns + pattern.period_ns


def test_the_spectrometer_is_busy_at_every_edge_of_a_frame_but_the_first() -> None:
    pattern = compiled(Exposure(frame_s=0.02)).timeline.pattern
    edges_ns = [pattern.spectrometer_ns + k * pattern.trigger_period_ns for k in range(1, 20)]
    assert all(pattern.open_ns < edge_ns < pattern.close_ns for edge_ns in edges_ns)


def test_one_pulse_per_frame_is_as_without_any_word_of_it() -> None:
    assert compiled(Exposure()).programs == compiled(Exposure(frame_s=0.001)).programs


@pytest.mark.parametrize("light", ["cw", "none"])
def test_without_pulses_a_frame_is_as_long_as_there_is_room_for_and_the_laser_gets_no_edge(light: Light) -> None:
    bench = default_bench()
    made = frame_pattern(Exposure(light, 0.01), bench, readout_ns=20_000, source_step_ns=None)
    assert made.close_ns - made.open_ns == 10_000_000 - FREE_NS
    assert (made.triggers, made.pulses, check_pattern(made, dotted)) == (1, 0, [])
    laser = bench.cable_to("laser.trigger")
    assert laser is not None
    programs = compiled(Exposure("none", 0.01)).programs
    assert laser.source not in {f"laser_trigger.{one.channel}" for one in programs.trigger.outputs}
    assert programs.plate_deg is None


def test_a_frame_leaves_room_for_the_sources_step() -> None:
    made = frame_pattern(Exposure("none", 0.001), default_bench(), readout_ns=20_000, source_step_ns=400_000)
    assert made.settled_ns == made.open_ns == 400_000
    assert made.ready_ns <= made.period_ns


def test_blocked_pulses_are_fired_and_do_not_reach_the_film() -> None:
    programs, pattern = compiled(Exposure("blocked")).programs, compiled(Exposure("blocked")).timeline.pattern
    assert programs == compiled(Exposure()).programs
    assert (pattern.triggers, pattern.pulses) == (1, 0)


def test_part_of_a_pulse_is_refused() -> None:
    with pytest.raises(CompileError, match=r"10\.5 pulses"):
        compiled(Exposure(frame_s=0.0105))


def test_light_that_the_bench_has_not_is_refused() -> None:
    cw = check_exposure(Exposure("cw", 0.01), without("cw_shutter"), dotted)
    assert [reason.code for reason in cw] == ["no-cw-light"]
    blocked = check_exposure(Exposure("blocked"), without("shutter"), dotted)
    assert [reason.code for reason in blocked] == ["no-shutter"]
    assert not check_exposure(Exposure("blocked"), default_bench(), dotted)


def test_a_frame_longer_than_the_model_can_expose_is_refused() -> None:
    with pytest.raises(CompileError, match="outside this model's"):
        compiled(Exposure(frame_s=11.0))
