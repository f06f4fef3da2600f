"""Windows on live quantities: what trips, what only is told, what a bench file may ask for; nothing is simulated here."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import CompileError, ConfigError, InterlockTripped
from drivers.roles import EnergyReading, LiveQuantity, SafeReadback, SourceReading
from rig.bench import Bench, default_bench, parse_bench
from rig.bench_watch import BenchWatch, rules, untold
from rig.compiler import plan
from rig.config_file import parse_document, render_toml
from rig.instruments import facts
from rig.interlocks import Interlocks, Rule
from rig.measurements.on_off import OnOff
from rig.monitor import QUANTITIES
from rig.runfile import FRAME_DTYPE, Flag
from rig.sequence import State

S = 1_000_000_000
CURRENT = Rule("voltage_source", "current_a", 1e-6, 1e-3, "on", 2.0)
LID = Rule("shutter", "interlock_closed", 1, 1, asked=True)
SOURCE, NAN = "voltage_source", math.nan


def tripped(interlocks: Interlocks, t_ns: int, *, asked: bool = False) -> str:
    """What a demand raises, "" when it raises nothing."""
    try:
        interlocks.demand(t_ns, asked=asked)
    except InterlockTripped as error:
        return error.what
    return ""


def heeded(rule: Rule, *values: float | None, state: Any = "on") -> Interlocks:
    interlocks = Interlocks((rule,))
    interlocks.begin(["on"], 0)
    for value in values:
        interlocks.heed(rule.teller, rule.quantity, value, 0, state)
    return interlocks


# --- windows


@pytest.mark.parametrize("value", [1e-6, 1e-3, 5e-4, math.nextafter(1e-6, 1)])
def test_values_within_both_ends_pass(value: float) -> None:
    assert tripped(heeded(CURRENT, value), 0) == ""


@pytest.mark.parametrize(
    "value", [math.nextafter(1e-6, 0), math.nextafter(1e-3, 1), 0.0, -1e-4, NAN, math.inf, -math.inf, None]
)
def test_everything_else_trips_and_says_what_it_was(value: float | None) -> None:
    told = tripped(heeded(CURRENT, value), 0)
    assert "current_a of the voltage source (on)" in told
    assert "allowed 1e-06 to 0.001" in told
    assert ("not a number" in told) == (value is not None and math.isnan(value))
    assert ("not told" in told) == (value is None)


def test_a_value_of_another_state_does_not_count() -> None:
    assert tripped(heeded(CURRENT, 0.0, state="off"), 0) == ""
    assert tripped(heeded(CURRENT, 0.0, state=None), 0) == ""


@pytest.mark.fault("I6")
def test_a_trip_latches() -> None:
    interlocks = heeded(CURRENT, 1e-4, 0.0, 1e-4)
    first = tripped(interlocks, 0)
    interlocks.end(S)
    interlocks.begin(["on"], 5 * S)
    interlocks.heed(SOURCE, "current_a", 1e-4, 5 * S, "on")
    assert first == tripped(interlocks, 5 * S) == tripped(interlocks, 9 * S, asked=True) != ""


def test_the_first_of_several_is_the_reason_and_all_are_told() -> None:
    interlocks = Interlocks((LID, CURRENT))
    interlocks.begin(["on"], 0)
    interlocks.heed(SOURCE, "current_a", 1.0, 1, "on")
    interlocks.heed("shutter", "interlock_closed", 0.0, 2)
    assert "current_a" in tripped(interlocks, 3, asked=True)
    assert [trip.rule.quantity for trip in interlocks.new()] == ["current_a", "interlock_closed"]
    assert interlocks.new() == []


def test_the_same_trip_is_told_once() -> None:
    interlocks = heeded(CURRENT, 0.0, 0.0, NAN, 0.0)
    assert len(interlocks.new()) == 1


@given(st.floats(), st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
@settings(deadline=None)
def test_the_words_and_values_of_any_trip_can_be_written(value: float, low: float, high: float) -> None:
    interlocks = heeded(Rule(SOURCE, "current_a", low, high), value)
    trips = interlocks.new()
    assert bool(trips) == (not low <= value <= high)
    for trip in trips:
        kept = json.loads(json.dumps(trip.as_json(), allow_nan=False))
        assert kept["between"] == [low, high]
        assert kept["value"] == (value if math.isfinite(value) else None)


# --- age


def test_an_old_value_trips_and_a_fresh_one_does_not() -> None:
    interlocks = heeded(CURRENT, 1e-4)
    assert tripped(interlocks, 2 * S) == ""
    assert "2 s old, at most 2 s count; it was 0.0001" in tripped(interlocks, 2 * S + 1)


def test_what_was_never_told_trips_in_time() -> None:
    interlocks = heeded(CURRENT)
    assert tripped(interlocks, 2 * S) == ""
    assert "not told" in tripped(interlocks, 2 * S + 1)


def test_only_time_in_blocks_of_its_state_makes_it_old() -> None:
    interlocks = heeded(CURRENT, 1e-4)
    interlocks.end(S)
    for block in range(10):  # OFF blocks, with pauses between
        begin_ns = 100 * S * (block + 1)
        interlocks.begin(["off"], begin_ns)
        assert tripped(interlocks, begin_ns + 50 * S) == ""
        interlocks.end(begin_ns + 50 * S)
    interlocks.begin(["on"], 2000 * S)
    assert tripped(interlocks, 2001 * S) == ""
    assert "old" in tripped(interlocks, 2001 * S + 1)


def test_a_reading_from_before_now_is_as_old_as_it_is() -> None:
    interlocks = Interlocks((CURRENT,))
    interlocks.begin(["on", "off"], 0)
    interlocks.heed(SOURCE, "current_a", 1e-4, S, "on")  # told at the end of a list, made at its edge
    assert tripped(interlocks, 3 * S) == ""
    assert "2 s old" in tripped(interlocks, 3 * S + 1)


def test_what_is_asked_for_grows_old_whatever_runs_and_is_demanded_when_asked_only() -> None:
    interlocks = Interlocks((LID,))
    assert "not told" in tripped(Interlocks((LID,)), 0, asked=True)
    interlocks.heed("shutter", "interlock_closed", 1.0, 0)
    assert tripped(interlocks, 60 * S) == ""
    assert "old" in tripped(interlocks, 60 * S, asked=True)


def test_what_need_not_be_told_must_go_on_once_it_was() -> None:
    optional = Rule(SOURCE, "interlock_closed", 1, 1, asked=True, optional=True)
    interlocks = Interlocks((optional,))
    interlocks.heed(SOURCE, "interlock_closed", None, 0)
    assert tripped(interlocks, 1, asked=True) == ""
    interlocks.heed(SOURCE, "interlock_closed", 1.0, 2)
    interlocks.heed(SOURCE, "interlock_closed", None, 3)  # somebody took the line out of use
    assert "not told" in tripped(interlocks, 3, asked=True)


# --- notes


def test_a_note_goes_on_flags_and_is_told_twice() -> None:
    interlocks = heeded(Rule(SOURCE, "current_a", 0, 1, "on", policy="note"), 2.0, 3.0)
    assert tripped(interlocks, 0) == ""
    assert interlocks.noted == {"on"}
    interlocks.heed(SOURCE, "current_a", 0.5, 1, "on")
    assert [trip.why for trip in interlocks.new()] == ["outside", "within again"]
    assert interlocks.noted == {"on"}  # this block's frames, all the same
    interlocks.end(2)
    interlocks.begin(["on"], 3)
    assert interlocks.noted == frozenset()


def test_a_note_that_lasts_flags_the_next_block_too() -> None:
    interlocks = heeded(Rule(SOURCE, "current_a", 0, 1, policy="note"), NAN)
    interlocks.end(1)
    interlocks.begin(["off"], 2)
    assert interlocks.noted == {"any"}


# --- bench files

MONITOR = {"quantity": "current_a", "state": "on", "between": [1e-9, 1e-3], "max_age_s": 5.0, "policy": "stop"}


def bench_with(*monitors: dict[str, Any]) -> Bench:
    tables = "".join(
        "\n[[monitor]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in monitor.items()) for monitor in monitors
    )
    return parse_bench(parse_document(default_bench().source_text + tables, Path("b.toml")))


def codes(*monitors: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        bench_with(*monitors)
    assert all("monitor" in reason.where and "b.toml" in reason.where for reason in refused.value.reasons)
    return sorted(reason.code for reason in refused.value.reasons)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"between": [1e-3, 1e-9]}, "monitor-window-empty"),
        ({"between": [0.0, 500.0]}, "monitor-unit"),
        ({"quantity": "board_temperature_c", "state": "any", "between": [250.0, 320.0]}, "monitor-unit"),
        ({"quantity": "drift_535", "state": "any", "between": [0.5, 1.5]}, "monitor-state"),
        ({"quantity": "board_temperature_c", "between": [0.0, 50.0]}, "monitor-state"),
        ({"quantity": "interlock_closed", "state": "any", "between": [1.0, 1.0]}, "monitor-of-a-bit"),
        ({"of": "shutter"}, "quantity-not-told"),
        ({"quantity": "current_ma"}, "wrong-choice"),
        ({"policy": "ignore"}, "wrong-choice"),
    ],
)
def test_a_monitor_that_cannot_be_is_refused(change: dict[str, Any], code: str) -> None:
    assert code in codes({**MONITOR, **change})


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", '"3"', "true"])
@pytest.mark.parametrize("key", ["max_age_s", "between"])
def test_numbers_that_are_none_are_refused(key: str, number: str) -> None:
    text = "".join(f"{k} = {json.dumps(v)}\n" for k, v in MONITOR.items() if k != key)
    value = f"[0.0, {number}]" if key == "between" else number
    with pytest.raises(ConfigError) as refused:
        parse_bench(
            parse_document(f"{default_bench().source_text}\n[[monitor]]\n{text}{key} = {value}\n", Path("b.toml")),
        )
    assert len(refused.value.reasons) == 1
    assert key in refused.value.reasons[0].where


def test_a_monitor_without_its_window_is_refused() -> None:
    assert codes({"quantity": "current_a"}) == ["monitor-without-window"]


def test_all_that_is_wrong_is_told_at_once() -> None:
    bad = {"quantity": "board_temperature_c", "state": "on", "between": [50.0, 20.0], "of": "shutter"}
    assert codes(bad, {**MONITOR, "between": [1.0, 0.0]}) == [
        "monitor-state",
        "monitor-window-empty",
        "monitor-window-empty",
        "quantity-not-told",
    ]


def test_the_same_monitor_twice_is_refused_and_a_note_inside_a_stop_is_not() -> None:
    assert codes(MONITOR, {**MONITOR, "between": [0.0, 1e-4]}) == ["monitor-twice"]
    bench_with(MONITOR, {**MONITOR, "between": [0.0, 1e-4], "policy": "note"}, {**MONITOR, "state": "off"})


def test_a_file_says_the_same_after_it_was_written_anew() -> None:
    bench = bench_with(MONITOR, {"quantity": "interlock_closed", "policy": "note", "of": "shutter"})
    text = render_toml(bench.model_dump(mode="json", by_alias=True, exclude_none=True))
    assert parse_bench(parse_document(text, Path("b.toml"))).monitors == bench.monitors


def kinds_of(bench: Bench) -> dict[str, Any]:
    from drivers.registry import find

    return {role: find(getattr(bench, role).model).kind for role in bench.roles()}


@pytest.mark.parametrize(
    "monitor",
    [
        {"quantity": "pulse_energy_uj", "between": [0.0, 1.0]},
        {"quantity": "board_temperature_c", "between": [0.0, 60.0]},
        {"quantity": "over_temperature"},
        {"quantity": "interlock_closed", "of": "shutter"},
    ],
)
def test_what_nothing_on_the_bench_tells_is_refused_before_anything_is_opened(monitor: dict[str, Any]) -> None:
    bench = bench_with(monitor)
    assert untold(bench, kinds_of(bench)) == []
    poor = bench.model_copy(
        update={
            "energy_meter": None,
            "shutter": None,
            "voltage_source": bench.voltage_source.model_copy(update={"model": "scpi-supply"}),
            "spectrometer": bench.spectrometer.model_copy(update={"model": "ocean-seabreeze"}),
        }
    )
    with pytest.raises(ConfigError) as refused:
        facts(poor)
    assert [reason.code for reason in refused.value.reasons] == ["quantity-not-told"]


def test_a_list_that_would_starve_a_monitor_is_refused_and_gated_blocks_are_not() -> None:
    bench, parameters = bench_with({**MONITOR, "max_age_s": 3.9}), OnOff(on_time_s=2.0, off_time_s=2.0)
    with pytest.raises(CompileError) as refused:
        plan(parameters, "stepped", bench, facts(bench))
    assert [reason.code for reason in refused.value.reasons] == ["monitor-too-quick"]
    assert plan(parameters, "auto", bench, facts(bench)).mode == "gated"
    enough = bench_with({**MONITOR, "max_age_s": 4.0})
    assert plan(parameters, "auto", enough, facts(enough)).mode == "stepped"


def test_what_needs_no_table() -> None:
    bench = default_bench()
    built_in = {(rule.teller, rule.quantity): rule for rule in rules(bench, kinds_of(bench))}
    assert set(built_in) == {
        ("voltage_source", "interlock_closed"),
        ("shutter", "interlock_closed"),
        ("cw_shutter", "interlock_closed"),
        ("voltage_source", "over_temperature"),
        ("voltage_source", "errors_reported"),
        ("voltage_source", "output_on"),
        ("laser_trigger", "errors_reported"),
    }
    assert all(rule.policy == "stop" and rule.optional and rule.asked for rule in built_in.values())


def test_a_monitor_replaces_what_needs_no_table_for_the_instrument_it_names() -> None:
    bench = bench_with({"quantity": "interlock_closed", "policy": "note", "of": "shutter"})
    found = [(rule.teller, rule.policy) for rule in rules(bench, kinds_of(bench)) if rule.quantity == "interlock_closed"]
    assert sorted(found) == [("cw_shutter", "stop"), ("shutter", "note"), ("voltage_source", "stop")]


@pytest.mark.parametrize("name", QUANTITIES)
def test_a_bit_has_a_healthy_value_and_everything_else_a_window(name: Any) -> None:
    low, high = QUANTITIES[name].window
    assert low < high
    healthy = QUANTITIES[name].healthy
    assert healthy is None or low <= healthy <= high


# --- the watch


@dataclass
class Lid:
    """Something with an interlock and errors; notes when it is asked."""

    closed: float | None = 1.0
    live_quantities: tuple[str, ...] = ("interlock_closed",)
    asked: int = 0
    queue: list[str] = field(default_factory=list[str])

    def live(self) -> tuple[LiveQuantity, ...]:
        self.asked += 1
        return () if self.closed is None else (LiveQuantity("interlock_closed", self.closed),)

    def read_safe(self) -> SafeReadback:
        return SafeReadback(False, "output ON")

    def errors(self) -> list[str]:
        found, self.queue = self.queue, []
        return found


@dataclass
class Clock:
    t_ns: int = 10**17

    def now_ns(self) -> int:
        return self.t_ns

    def sleep(self, duration_s: float) -> None:
        self.t_ns += round(duration_s * 1e9)


def watch_on(*watched: Rule, lid: Lid | None = None) -> tuple[BenchWatch, Clock, Lid, list[str]]:
    clock, lid, log = Clock(), lid or Lid(), list[str]()
    queue = Rule("shutter", "errors_reported", 0, 0, asked=True)
    watch = BenchWatch(Interlocks((*watched, queue)), clock, {"shutter": lid}, {"shutter": lid}, energy_scale=0.5)
    watch.log_to(log.append)
    return watch, clock, lid, log


def test_instruments_are_asked_twice_a_second_at_most() -> None:
    watch, clock, lid, _ = watch_on(LID)
    for _ in range(100):
        watch.before_arming([State.ON])
        clock.sleep(0.02)
        watch.check()
        watch.after_block()
    assert lid.asked == 5  # at 0, 0.5, 1, 1.5 and 2 s


def test_a_window_of_time_shorter_than_that_is_kept() -> None:
    watch, clock, lid, _ = watch_on(Rule("shutter", "interlock_closed", 1, 1, max_age_s=0.1, asked=True))
    for _ in range(10):
        watch.before_arming([State.ON])
        clock.sleep(0.1)
        watch.after_block()
    assert lid.asked == 11


@pytest.mark.fault("I5", "I6")
def test_an_open_lid_is_refused_and_stays_refused_when_it_closes_again() -> None:
    watch, clock, _, log = watch_on(LID, lid=Lid(closed=0.0))
    with pytest.raises(InterlockTripped, match="interlock_closed of the shutter is 0, allowed 1"):
        watch.before_arming()
    assert watch.interlocks.tripped is not None
    clock.sleep(60)
    with pytest.raises(InterlockTripped):
        watch.before_arming([State.ON])
    words, _, values = log[0].partition(" {")
    assert words == "tripped: interlock_closed of the shutter is 0, allowed 1"
    kept = json.loads("{" + values)
    assert (kept["of"], kept["value"], kept["between"], kept["policy"]) == ("shutter", 0.0, [1, 1], "stop")
    assert len(log) == 1


@pytest.mark.fault("I3")
@pytest.mark.parametrize("errors", [["-350 Queue overflow"], ["-113 Undefined header"] * 30])
def test_an_error_queue_that_is_not_empty_trips(errors: list[str]) -> None:
    watch, clock, lid, log = watch_on(LID)
    watch.before_arming([State.ON])
    lid.queue = errors
    clock.sleep(1.0)
    with pytest.raises(InterlockTripped, match=errors[0]):
        watch.after_block()
    assert len(log) == 1


@pytest.mark.fault("I8")
def test_an_output_that_is_on_before_the_first_block_trips() -> None:
    rule = Rule(SOURCE, "output_on", 0, 0, max_age_s=math.inf, asked=True, optional=True)
    log: list[str] = []
    watch = BenchWatch(Interlocks((rule,)), Clock(), {}, {SOURCE: Lid()})
    watch.log_to(log.append)
    watch.before_arming()
    with pytest.raises(InterlockTripped, match="output_on of the voltage source is 1, allowed 0: output ON"):
        watch.before_arming([State.OFF])
    assert '"max_age_s": null' in log[0]


def test_a_reading_is_judged_in_its_state_and_raises_only_when_checked() -> None:
    watch, clock, _, log = watch_on(CURRENT)
    watch.before_arming([State.OFF])
    watch.on_reading(SourceReading(0.0, 0.0, 0.0, False), clock.now_ns(), State.OFF)
    watch.check()
    watch.after_block()
    watch.before_arming([State.ON])
    watch.on_reading(SourceReading(20.0, 0.0, 0.0, False), clock.now_ns(), State.ON)
    assert len(log) == 1
    with pytest.raises(InterlockTripped):
        watch.check()


def test_a_pulse_energy_is_judged_at_the_film() -> None:
    watch, clock, _, log = watch_on(Rule("energy_meter", "pulse_energy_uj", 0.4, 0.6))
    watch.before_arming([State.ON])
    watch.on_energy(EnergyReading(1.0, clock.now_ns(), clock.now_ns()), State.ON)
    watch.check()
    watch.on_energy(EnergyReading(0.5, clock.now_ns(), clock.now_ns()), State.ON)
    assert "pulse_energy_uj of the energy meter is 0.25" in log[0]


def frames(cycle: int, light: float, flags: int = 0, count: int = 10) -> np.ndarray:
    rows = np.zeros(count, dtype=FRAME_DTYPE)
    rows["cycle"], rows["state"], rows["band_535"], rows["flags"] = cycle, int(State.ON), light, flags
    return rows


@pytest.mark.fault("P3")
def test_light_is_compared_with_that_of_the_first_cycles() -> None:
    watch, _, _, log = watch_on(Rule("spectra", "drift_535", 0.75, 1.25, "on"))
    watch.before_arming([State.ON])
    for cycle, light in enumerate((100.0, 110.0, 90.0, 110.0, 80.0)):
        watch.on_rows(frames(cycle, light))
        watch.check()
    watch.on_rows(frames(5, 1.0, flags=int(Flag.SETTLING)))  # does not count
    watch.check()
    watch.on_rows(frames(6, 74.0))
    with pytest.raises(InterlockTripped, match=r"drift_535 of the spectra \(on\) is 0.74"):
        watch.check()
    assert len(log) == 1


@pytest.mark.parametrize("light", [NAN, math.inf])
def test_light_that_is_no_number_trips(light: float) -> None:
    watch, *_ = watch_on(Rule("spectra", "drift_535", 0.0, 100.0, "on"))
    watch.before_arming([State.ON])
    with np.errstate(invalid="ignore"):
        watch.on_rows(frames(0, light))
    with pytest.raises(InterlockTripped, match="not a number"):
        watch.check()


def test_a_note_flags_the_frames_of_its_state_only() -> None:
    watch, clock, *_ = watch_on(Rule(SOURCE, "current_a", 0.0, 1e-4, "on", policy="note"))
    watch.before_arming([State.ON, State.OFF])
    watch.on_reading(SourceReading(20.0, 1e-3, 0.0, False), clock.now_ns(), State.ON)
    rows = np.concatenate([frames(0, 1.0), frames(0, 1.0)])
    rows["state"][10:] = int(State.OFF)
    watch.on_rows(rows)
    watch.after_block()
    assert rows["flags"].tolist() == [int(Flag.MONITOR)] * 10 + [0] * 10
