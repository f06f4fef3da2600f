"""What instruments tell of themselves while they work, judged by what was done to them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from faces import IN_PROCESS
from role_bench import FIRST_LINE, LIMITS, RoleBench, of_role

from drivers.errors import InstrumentError
from drivers.registry import DriverEntry, entries
from drivers.roles import ExposureProgram, HoldLevel, LevelList, Telling
from rig.monitor import QUANTITIES

Model = tuple[DriverEntry, str, str]
ROLES = ("voltage_source", "spectrometer", "shutter")
MODELS: list[Model] = [param.values[0] for role in ROLES for param in of_role(role)]
TELLERS = [
    pytest.param((entry, resource, face), id=f"{entry.model}-{resource.partition(':')[0]}")
    for entry, resource, face in MODELS
    if face == IN_PROCESS and hasattr(entry.kind, "live_quantities")
]


def of(name: str, *models: str) -> Any:
    """Every model that may tell a quantity, or those of some names."""
    drivers = [(row, row.values[0][0]) for row in TELLERS]
    rows = [row for row, entry in drivers if name in entry.kind.live_quantities and (not models or entry.model in models)]
    return pytest.mark.parametrize("model", rows)


def told(bench: RoleBench, entry: DriverEntry) -> dict[str, float]:
    return {quantity.name: quantity.value for quantity in bench.instruments[entry.role].live()}


def persona(bench: RoleBench, entry: DriverEntry) -> Any:
    return bench.wires[entry.role].persona


def set_interlock(bench: RoleBench, entry: DriverEntry, *, closed: bool) -> None:
    if entry.role == "shutter":
        persona(bench, entry).set_interlock(bench.now_ns(), tripped=not closed)
    else:
        persona(bench, entry).set_interlock(closed, bench.now_ns())


def prepared(model: Model) -> RoleBench:
    bench = RoleBench(*model)
    if model[0].role == "voltage_source":
        bench.source.prepare(LIMITS)
    else:
        bench.instruments[model[0].role].prepare()
    return bench


def test_what_drivers_can_tell_is_what_monitors_know() -> None:
    names = {name: entry.role for entry in entries() for name in getattr(entry.kind, "live_quantities", ())}
    assert set(names) == {name for name, quantity in QUANTITIES.items() if quantity.asked}
    for entry in entries():
        for name in getattr(entry.kind, "live_quantities", ()):
            assert entry.role in QUANTITIES[name].by


@pytest.mark.parametrize("model", TELLERS)
def test_only_what_was_announced_is_told_and_nothing_changes(model: Model) -> None:
    bench = prepared(model)
    instrument = bench.instruments[model[0].role]
    assert isinstance(instrument, Telling)
    before_ns = bench.now_ns()
    names = [quantity.name for quantity in instrument.live()]
    assert set(names) <= set(instrument.live_quantities)
    assert len(names) == len(set(names)) > 0
    assert bench.now_ns() - before_ns < 50_000_000
    assert instrument.errors() == []
    assert instrument.read_safe().safe
    assert bench.voltages_since(before_ns) == [0.0]


@pytest.mark.fault("I5")
@of("interlock_closed")
def test_an_interlock_is_told_as_it_is(model: Model) -> None:
    entry, bench = model[0], RoleBench(*model)
    if entry.model == "keithley-2400":
        persona(bench, entry).receive(b":OUTP:ENAB 1\n", bench.now_ns())
        bench.wait(0.01)
        bench.source.prepare(LIMITS)
    else:
        bench = prepared(model)
    for closed in (True, False, True):
        set_interlock(bench, entry, closed=closed)
        seen = [told(bench, entry)["interlock_closed"] for _ in range(2)]
        assert seen[-1] == closed


@pytest.mark.fault("I6")
@of("interlock_closed", "keithley-2400")
def test_a_line_that_opened_for_a_moment_is_told_once(model: Model) -> None:
    bench = RoleBench(*model)
    persona(bench, model[0]).receive(b":OUTP:ENAB 1\n", bench.now_ns())
    bench.wait(0.01)
    bench.source.prepare(LIMITS)
    assert told(bench, model[0])["interlock_closed"] == 1.0
    set_interlock(bench, model[0], closed=False)
    set_interlock(bench, model[0], closed=True)
    assert [told(bench, model[0])["interlock_closed"] for _ in range(2)] == [0.0, 1.0]


@pytest.mark.fault("I6")
@of("interlock_closed", "thorlabs-sc10")
def test_a_shutter_that_closed_by_itself_is_told(model: Model) -> None:
    bench = prepared(model)
    bench.instruments["shutter"].open()
    assert told(bench, model[0]) == {"interlock_closed": 1.0}
    set_interlock(bench, model[0], closed=False)
    set_interlock(bench, model[0], closed=True)
    with pytest.raises(InstrumentError, match="tripped for a moment"):
        told(bench, model[0])
    bench.instruments["shutter"].close()
    assert told(bench, model[0]) == {"interlock_closed": 1.0}


@of("interlock_closed", "keithley-2400")
def test_an_output_enable_line_out_of_use_is_no_interlock(model: Model) -> None:
    bench = prepared(model)
    set_interlock(bench, model[0], closed=False)
    assert "interlock_closed" not in told(bench, model[0])


@pytest.mark.fault("I5", "I6")
@of("interlock_closed", "keithley-2400")
def test_preparing_keeps_the_output_enable_line_in_use(model: Model) -> None:
    """*RST puts it out of use: an open lid then kept nothing off any more."""
    bench = RoleBench(*model)
    persona(bench, model[0]).receive(b":OUTP:ENAB 1\n", bench.now_ns())
    bench.wait(0.01)
    bench.source.prepare(LIMITS)
    bench.source.load(HoldLevel(20.0))
    bench.source.arm()
    assert bench.voltage_v == 20.0
    set_interlock(bench, model[0], closed=False)
    assert bench.voltage_v == 0.0
    set_interlock(bench, model[0], closed=True)
    bench.wait(1.0)
    assert bench.voltage_v == 0.0
    set_interlock(bench, model[0], closed=False)
    with pytest.raises(InstrumentError, match="by itself"):
        bench.source.arm()
    bench.source.prepare(LIMITS)
    bench.source.load(HoldLevel(20.0))
    with pytest.raises(InstrumentError, match="802"):
        bench.source.arm()
    assert bench.voltage_v == 0.0


@pytest.mark.fault("I2")
@of("over_temperature")
def test_a_source_that_is_too_hot_says_so_and_is_off(model: Model) -> None:
    bench = prepared(model)
    bench.source.load(HoldLevel(20.0))
    bench.source.arm()
    assert told(bench, model[0])["over_temperature"] == 0.0
    persona(bench, model[0]).set_temperature(True, bench.now_ns())
    assert told(bench, model[0])["over_temperature"] == 1.0
    assert bench.voltage_v == 0.0
    with pytest.raises(InstrumentError, match="by itself"):
        bench.source.arm()
    bench.source.prepare(LIMITS)
    bench.source.load(HoldLevel(20.0))
    with pytest.raises(InstrumentError, match="810"):
        bench.source.arm()
    persona(bench, model[0]).set_temperature(False, bench.now_ns())
    assert told(bench, model[0])["over_temperature"] == 0.0
    bench.wait(1.0)
    assert bench.voltage_v == 0.0


@pytest.mark.parametrize("model", [row for row in TELLERS if row.values[0][0].role == "voltage_source"])
def test_nothing_is_asked_of_a_list_that_runs(model: Model) -> None:
    bench = prepared(model)
    bench.source.load(LevelList((20.0, 0.0), FIRST_LINE))
    bench.source.arm()
    before = len(bench.wires["voltage_source"].traffic)
    with pytest.raises(InstrumentError):
        told(bench, model[0])
    assert len(bench.wires["voltage_source"].traffic) == before


def heat_fx(spectrometer: Any, temperature_c: float) -> None:
    spectrometer.temperatures_c = (21.0, temperature_c, 20.0)


def heat_usb4000(spectrometer: Any, temperature_c: float) -> None:
    spectrometer.temperature = round(temperature_c / 0.003906)


HEAT: dict[str, Callable[[Any, float], None]] = {"ocean-fx": heat_fx, "ocean-usb4000": heat_usb4000}


@of("board_temperature_c")
def test_the_hottest_board_is_told_also_while_it_waits_for_edges(model: Model) -> None:
    bench = prepared(model)
    bench.spectrometer.load(ExposureProgram(500_000, "external_edge"))
    bench.spectrometer.arm()
    for temperature_c in (45.25, 22.0):
        HEAT[model[0].model](persona(bench, model[0]), temperature_c)
        assert told(bench, model[0])["board_temperature_c"] == pytest.approx(temperature_c, abs=0.01)


@of("board_temperature_c", "ocean-fx")
def test_a_temperature_that_is_no_number_is_none(model: Model) -> None:
    bench = prepared(model)
    heat_fx(persona(bench, model[0]), float("nan"))
    assert np.isnan(told(bench, model[0])["board_temperature_c"])
