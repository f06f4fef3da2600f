"""A network whose delays vary by up to 2 s: a run may become slow, refuse or fail, but no frame is filed wrongly.

Judged by the bench's own record: the voltage at the terminals at the pulse of every frame that is assigned and not flagged.
The delays begin with the first burst (before, nothing is on), in both directions of every link, and are mostly short: with a
mean of a second no run gets beyond its first burst, and nothing is proved. Scripts are seeded; RIG_LONG=1 tries many.
"""

import os
import random
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "run"))
from bench_truth import shifted, wrong_frames
from proxy import MESSAGE, REPLY, Jitter
from wired_bench import Wired, WiredBench, WiredRun

from rig.runfile import open_run

MOST_S = 2.0
LONG = bool(os.environ.get("RIG_LONG"))
CASES = 100 if LONG else 1
POWERS = (200.0, 12.0, 40.0, 20.0, 400.0)  # mean delays of 10, 154, 49, 95 and 5 ms
Tell = Callable[[str, object], None]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Generator[WiredBench]:
    bench = WiredBench(tmp_path_factory.mktemp("jitter"))
    with bench.server:
        yield bench


def jittery_run(wired: Wired, mode: str, seed: int) -> WiredRun:
    chance = random.Random(seed)
    jitter = Jitter(MOST_S, POWERS[seed % len(POWERS)], chance)

    def begin() -> None:
        for role in wired.proxy.ports:
            for way in (MESSAGE, REPLY):
                wired.proxy.on(role, way, jitter, times=None)

    wired.at_burst(0, begin)
    return wired.run(mode, on_s=0.3, off_s=0.25, cycles=2 if LONG else 1)


@pytest.mark.fault("W9")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_no_frame_is_filed_wrongly_whatever_the_network_does(bench: WiredBench, mode: str, record_property: Tell) -> None:
    wrong = assigned = ended = 0
    for seed in range(CASES):
        with bench.wired(seed) as wired:
            run = jittery_run(wired, mode, seed)
            assert run.code in (0, 4, 5), run.told
            if run.code != 5:  # a network too slow for off to be confirmed is shouted
                assert bench.off_ns() <= run.ended_ns
            assert run.path is not None
            run.kept()
            found = bench.wrong(run.path)
            wrong, assigned, ended = wrong + found[0], assigned + found[1], ended + (run.code == 0)
            assert wrong == 0, f"seed {seed}"
    assert assigned > 0
    record_property("kept", f"{assigned} frames assigned in {CASES} {mode} runs ({ended} to their end), {wrong} wrong")


def test_the_judge_sees_labels_that_are_one_shot_off(bench: WiredBench) -> None:
    """The control."""
    with bench.wired() as wired:
        run = wired.run("stepped", on_s=0.3, off_s=0.25)
        assert run.path is not None
        truth = bench.truth(run.path)
        rows = open_run(run.path).frames()
        assert wrong_frames(rows, truth) == 0
        assert wrong_frames(shifted(rows, 1), truth) > 0
