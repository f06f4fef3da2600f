"""A response as blocks: edges with frames on both sides, the host's time taken off, and what is refused."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers.errors import CompileError
from rig.bench import parse_bench
from rig.config_file import check, parse_document
from rig.measurements.catalogue import MEASUREMENTS
from rig.measurements.response import Part, Response, lost_time_s
from rig.runfile import FRAME_DTYPE
from rig.sequence import Block, BlockMode, BlockResult, State, read_sequence
from rig.session import Session

EXAMPLE = Path(__file__).parents[2] / "examples" / "response.toml"
RATE_HZ = 1000.0


def probed(lost_s: float, stretches: int = 3, frames: int = 20, frame_s: float = 0.01) -> Any:
    """Rows of stretches that each take `lost_s` longer than their frames."""
    rows = np.zeros(stretches * frames, FRAME_DTYPE)
    number, frame = np.divmod(np.arange(len(rows)), frames)
    rows["stretch"], rows["shot"] = number, np.arange(len(rows))
    rows["device_time_us"] = np.rint(1e6 * (number * (frames * frame_s + lost_s) + frame * frame_s)) + 77
    return rows


def made(one: Response, mode: BlockMode = "stepped", lost_s: float | None = None) -> list[tuple[Part, Block]]:
    parts, sent, found = one.parts(mode), None, list[tuple[Part, Block]]()
    while True:
        try:
            found.append(parts.send(sent))
        except StopIteration:
            return found
        sent = None if lost_s is None or found[-1][0] is not Part.PROBE else BlockResult(probed(lost_s))


def test_the_wave_is_one_block_with_every_edge_inside() -> None:
    [wave] = [block for part, block in made(Response(cycles=12)) if part is Part.WAVE]
    changes = [after.voltage_v - before.voltage_v for before, after in pairwise(wave.stretches)]
    assert changes == [20.0, -20.0] * 12
    assert {stretch.shots for stretch in wave.stretches} == {100}
    assert wave.exposure == made(Response())[0][1].exposure


def test_gated_blocks_hold_one_stretch_each_of_the_same_wave() -> None:
    stepped, gated = (made(Response(hold_s=0), mode) for mode in ("stepped", "gated"))
    assert all(len(block.stretches) == 1 for _, block in gated)
    assert [s for _, block in gated for s in block.stretches] == [s for _, block in stepped for s in block.stretches]
    assert [block.index for _, block in gated] == list(range(len(gated)))


def test_the_hold_is_in_pieces_at_one_level_between_two_rests() -> None:
    [hold] = [block for part, block in made(Response()) if part is Part.HOLD]
    assert (hold.stretches[0].state, hold.stretches[-1].state) == (State.OFF, State.OFF)
    assert {stretch.voltage_v for stretch in hold.stretches[1:-1]} == {20.0}
    assert len(hold.stretches) == 32
    assert sum(stretch.shots for stretch in hold.stretches[1:-1]) == 3000
    assert [block for part, block in made(Response(hold_s=0)) if part is Part.HOLD] == []


@pytest.mark.parametrize("lost_s", [0.0, 0.0426, 0.17])
def test_stretches_are_shorter_by_what_the_host_takes_so_that_edges_stay_in_time(lost_s: float) -> None:
    [wave] = [block for part, block in made(Response(), lost_s=lost_s) if part is Part.WAVE]
    ends_s = np.cumsum([stretch.shots * 0.01 + lost_s for stretch in wave.stretches])
    assert np.abs(ends_s - np.arange(1, len(ends_s) + 1)).max() <= 0.0051


def test_the_lost_time_is_read_from_frames_and_shots_also_where_frames_are_missing() -> None:
    rows = probed(0.0426)
    assert lost_time_s(rows, 0.01) == pytest.approx(0.0426, abs=2e-6)
    assert lost_time_s(rows[np.arange(len(rows)) % 20 != 7], 0.01) == pytest.approx(0.0426, abs=2e-6)
    assert lost_time_s(rows[:20], 0.01) == 0.0


def test_no_result_makes_more_frames_than_were_declared() -> None:
    one = Response()
    for mode in ("gated", "stepped"):
        for lost_s in (None, 0.0, 0.0003, 0.0426, 5.0):
            blocks = [block for _, block in made(one, mode, lost_s)]
            assert sum(block.shots for block in blocks) <= one.max_shots(RATE_HZ)
            assert all(stretch.shots >= 1 for block in blocks for stretch in block.stretches)
    assert sum(block.shots for block in one.blocks(RATE_HZ, "stepped")) == one.max_shots(RATE_HZ)


def test_the_example_has_the_defaults_and_fits_the_default_bench() -> None:
    sequence = read_sequence(EXAMPLE, MEASUREMENTS)
    assert sequence.parameters == Response()
    planned = Session().plan(sequence)
    assert planned.mode == "stepped"
    assert planned.price.on_duty <= 0.6


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"voltage_on_v": 0.0}, "equal-voltages"),
        ({"half_period_s": 0.2}, "too-few-frames"),
        ({"hold_s": 0.1}, "too-few-frames"),
        ({"cycles": 9}, "out-of-range"),
    ],
)
def test_waves_that_cannot_be_reduced_are_refused(given: dict[str, Any], code: str) -> None:
    reasons = check(Response, given, lambda loc: ".".join(str(part) for part in loc))
    assert isinstance(reasons, tuple)
    assert code in {reason.code for reason in reasons}


def test_a_bench_without_continuous_light_is_refused_and_one_with_pulses_is_not() -> None:
    text = Session().bench.source_text
    first = text.index("[cw_shutter]")
    without = parse_bench(parse_document(text[:first] + text[text.index("[", first + 1) :], Path("bench.toml")))
    bench = Session(without, simulate=True)
    with pytest.raises(CompileError) as refused:
        bench.plan(Response())
    assert "no-cw-light" in {reason.code for reason in refused.value.reasons}
    assert bench.plan(Response(light="pulses")).planned_shots > 0
