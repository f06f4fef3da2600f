"""The look at the contact before a run: verdicts by resistance, and what the source is told on the way."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from drivers.errors import InstrumentError
from drivers.roles import HoldLevel, SourceLimits, SourceReading
from rig.contact_check import MARK, ContactCheck, contact_in
from rig.lifeline import Unguarded
from rig.run_state import StopRequest

BENCH = SourceLimits(-20.0, 20.0, 1e-3)
NOISE_A, NOISE_V = 1.2e-9, 4e-5  # of a source-meter's 1 uA and 0.2 V ranges


class StillClock:
    """A clock that only counts."""

    t_ns = 0

    def now_ns(self) -> int:
        return self.t_ns

    def sleep(self, duration_s: float) -> None:
        self.t_ns += round(duration_s * 1e9)


@dataclass
class Resistor:
    """A source across a resistance; every call is written down."""

    ohm: float
    seed: int = 0
    bipolar: bool = True
    offset_a: float = 3e-9
    noise_a: float = NOISE_A
    told: list[Any] = field(default_factory=list[Any])
    level_v: float = 0.0
    limit_a: float = 0.0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def prepare(self, limits: SourceLimits) -> None:
        self.told.append(limits)
        self.limit_a = limits.current_a

    def load(self, program: HoldLevel) -> None:
        self.level_v = program.voltage_v

    def arm(self) -> None:
        self.told.append(self.level_v)

    def measure(self) -> SourceReading:
        wanted_a = self.level_v / self.ohm
        limited = abs(wanted_a) > self.limit_a
        true_a = math.copysign(self.limit_a, wanted_a) if limited else wanted_a
        current_a = true_a + (0 if limited else self.offset_a) + self.noise_a * self.rng.standard_normal()
        return SourceReading(true_a * self.ohm + NOISE_V * self.rng.standard_normal(), current_a, math.nan, limited)

    @property
    def levels_v(self) -> list[float]:
        return [one for one in self.told if isinstance(one, float)]


def looked(source: Resistor, limits: SourceLimits = BENCH, policy: Any = "note", stop: StopRequest | None = None) -> list[str]:
    lines: list[str] = []
    check = ContactCheck(source, limits, StillClock(), policy)  # type: ignore[arg-type]
    check.run(stop or StopRequest(), Unguarded(), lines.append)
    return lines


def verdict(source: Resistor, limits: SourceLimits = BENCH) -> str:
    return looked(source, limits)[-1].removeprefix(MARK).split(";")[0]


@pytest.mark.parametrize(
    ("ohm", "expected"),
    [
        (0.01, "short"),
        (60.0, "short"),
        (5e3, "short"),
        (90e3, "short"),
        (110e3, "sound"),
        (2e6, "sound"),
        (100e6, "sound"),
        (300e6, "sound"),
        (2e9, "open"),
        (1e15, "open"),
    ],
)
def test_a_contact_is_called_by_its_resistance_whatever_the_noise(ohm: float, expected: str) -> None:
    assert {verdict(Resistor(ohm, seed)) for seed in range(200)} == {expected}


def test_the_resistances_interval_holds_the_true_one() -> None:
    inside = 0
    for seed in range(200):
        found = contact_in([(0, looked(Resistor(2e6, seed))[-1])])
        assert found is not None
        assert found.resistance.ci95 is not None
        inside += found.resistance.ci95[0] <= 2e6 <= found.resistance.ci95[1]
    assert inside >= 186  # 95 %, and what the gain may be off besides


@pytest.mark.parametrize(("ohm", "levels_v"), [(60.0, [0.1, -0.1]), (2e6, [0.1, -0.1]), (1e12, [0.1, -0.1, 1.0, -1.0])])
def test_only_where_0_1_v_found_no_short_and_no_leak_1_v_is_applied(ohm: float, levels_v: list[float]) -> None:
    source = Resistor(ohm)
    looked(source)
    assert source.levels_v == levels_v


def test_every_level_has_limits_of_its_own_and_the_benchs_come_back() -> None:
    source = Resistor(1e12)
    looked(source)
    assert source.told == [
        SourceLimits(-0.1, 0.1, 1e-6),
        0.1,
        -0.1,
        SourceLimits(-1.0, 1.0, 1e-6),
        1.0,
        -1.0,
        BENCH,
    ]


@pytest.mark.parametrize(("ohm", "word"), [(100.0, "short"), (1e12, "open")])
def test_a_bad_contact_is_refused_and_told_with_what_to_do(ohm: float, word: str) -> None:
    source = Resistor(ohm)
    with pytest.raises(InstrumentError, match=f"contact is {word}, no further voltage") as caught:
        looked(source, policy="demand")
    assert caught.value.next_step
    assert source.told[-1] == BENCH  # prepared anew, that is off


def test_a_note_is_no_refusal_and_off_touches_nothing() -> None:
    assert looked(Resistor(100.0), policy="note")[-1].startswith("contact: short")
    source = Resistor(100.0)
    assert looked(source, policy="off") == []
    assert source.told == []


@pytest.mark.parametrize(
    ("limits", "levels_v"),
    [
        (SourceLimits(0.0, 20.0, 1e-3), [0.1, 0.0]),
        (SourceLimits(-20.0, 0.0, 1e-3), [0.0, -0.1]),
        (SourceLimits(-0.05, 0.05, 1e-3), [0.05, -0.05]),
    ],
)
def test_no_level_is_beyond_the_benchs_limits(limits: SourceLimits, levels_v: list[float]) -> None:
    source = Resistor(2e6)
    assert verdict(source, limits) == "sound"
    assert source.levels_v == levels_v
    assert source.told[0].current_a == 1e-6


def test_a_bench_with_a_lower_current_limit_keeps_it() -> None:
    source = Resistor(2e6)
    looked(source, SourceLimits(-20.0, 20.0, 2e-7))
    assert source.told[0].current_a == 2e-7


@pytest.mark.parametrize(("ohm", "expected"), [(60.0, "short"), (1e3, "short"), (2e6, "undecided"), (1e12, "undecided")])
def test_a_supply_finds_a_short_and_decides_nothing_else(ohm: float, expected: str) -> None:
    source = Resistor(ohm, bipolar=False, noise_a=5e-6)
    assert verdict(source) == expected
    assert min(source.levels_v) == 0.0


def test_a_meter_that_says_no_numbers_leaves_it_undecided() -> None:
    source = Resistor(2e6)
    source.measure = lambda: SourceReading(0.1, 9.9e37, math.nan, False)  # type: ignore[method-assign]
    assert verdict(source) == "undecided"
    assert 1.0 not in source.levels_v


@pytest.mark.parametrize("after", range(0, 12))
def test_after_a_stop_nothing_is_switched_on_any_more(after: int) -> None:
    source, stop = Resistor(1e12), StopRequest()
    measure, count = source.measure, [0]

    def measured() -> SourceReading:
        count[0] += 1
        if count[0] == after:
            stop.request("enough")
        return measure()

    source.measure = measured  # type: ignore[method-assign]
    if after == 0:
        stop.request("enough")
    assert looked(source, stop=stop) == []
    assert count[0] == after
    assert len(source.levels_v) == [0, *[1] * 5, *[2] * 5, 3][after]


def test_what_was_found_is_read_back_from_the_event_log() -> None:
    [line] = looked(Resistor(2e6))
    found = contact_in([(0, "guard: none"), (5, line), (9, "done")])
    assert found is not None
    assert found.event == line
    assert (found.condition, found.readings, found.looked_v) == ("sound", 10, 0.1)
    assert contact_in([(0, "guard: none")]) is None


def test_the_capacitance_is_said_not_to_be_measured() -> None:
    [line] = looked(Resistor(2e6))
    assert "capacitance: not measurable with this source; use an LCR meter" in line
