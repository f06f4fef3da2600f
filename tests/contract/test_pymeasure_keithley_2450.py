"""PyMeasure's own Keithley 2450 driver, unchanged, on the simulated bench. A persona is right when such programs run on it.

PyMeasure says of its buffer functions that they need the instrument's 2400 emulation; in SCPI they fail here as they do there.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from pymeasure.adapters import VISAAdapter
from pymeasure.instruments.keithley import buffer, keithley2450
from pymeasure.instruments.keithley.keithley2450 import Keithley2450

from rig.bench import default_bench
from sim_instruments.visa_library import library_for
from sim_instruments.world import World

RESOURCES = ["TCPIP::192.0.2.22::5025::SOCKET", "USB0::0x05E6::0x2450::04412345::INSTR"]


@pytest.fixture(params=RESOURCES, ids=["socket", "usb"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> World:
    """The bench with a 2450 as its source; PyMeasure sleeps on its clock."""
    description = dict(default_bench().description())
    description["voltage_source"] = {**description["voltage_source"], "model": "keithley-2450", "resource": request.param}
    description["cables"] = [cable for cable in description["cables"] if "voltage_source" not in cable["to"]]
    world = World(description, seed=3)
    clock = SimpleNamespace(sleep=world.sleep, time=lambda: world.now_ns() * 1e-9)
    monkeypatch.setattr(keithley2450, "time", clock)
    monkeypatch.setattr(buffer, "sleep", clock.sleep)
    monkeypatch.setattr(buffer, "time", clock.time)
    return world


@pytest.fixture
def meter(world: World) -> Keithley2450:
    resource = world.resources["voltage_source"]
    ends = {"read_termination": "\n", "write_termination": "\n"}
    return Keithley2450(VISAAdapter(resource, visa_library=library_for(world), timeout=5000, **ends))


def voltage_v(world: World) -> float:
    world.sleep(0.1)  # messages are executed one after the other, about a millisecond each
    return world.terminal.record.voltage_v[-1]


def ready(meter: Keithley2450, level_v: float) -> None:
    meter.reset()
    meter.apply_voltage(voltage_range=20, compliance_current=1e-3)
    meter.measure_current(nplc=0.01, current=1e-3, auto_range=False)
    meter.source_voltage = level_v
    meter.enable_source()


def test_identity(meter: Keithley2450) -> None:
    assert meter.id.startswith("KEITHLEY INSTRUMENTS,MODEL 2450,")


def test_apply_a_voltage_and_measure_the_current(world: World, meter: Keithley2450) -> None:
    ready(meter, 20)
    assert voltage_v(world) == pytest.approx(20.0)
    assert meter.source_enabled is True
    assert meter.current == pytest.approx(322e-6, rel=0.05)
    meter.measure_voltage(nplc=0.1)
    assert meter.voltage == pytest.approx(20.0, abs=0.01)
    meter.measure_resistance()
    assert meter.resistance == pytest.approx(20.0 / 322e-6, rel=0.05)
    meter.disable_source()
    assert voltage_v(world) == 0.0
    assert meter.check_errors() == []


def test_the_limit_holds_the_film(world: World, meter: Keithley2450) -> None:
    meter.reset()
    meter.apply_voltage(voltage_range=20, compliance_current=1e-5)
    meter.source_voltage = 20
    meter.enable_source()
    assert 0 < voltage_v(world) < 20
    assert meter.current == pytest.approx(1e-5, rel=1e-3)
    assert meter.check_errors() == []


AFTER_RESET = {
    "source_mode": "voltage",
    "source_enabled": False,
    "current_nplc": 1,
    "compliance_current": 1.05e-4,
    "source_current": 0,
    "source_current_delay": 0,
    "source_current_delay_auto": True,
    "voltage_nplc": 1,
    "compliance_voltage": 21,
    "source_voltage": 0,
    "source_voltage_delay": 0,
    "source_voltage_delay_auto": True,
    "resistance_nplc": 1,
    "wires": 2,
    "buffer_points": 100_000,
    "current_filter_type": "REP",
    "current_filter_count": 10,
    "voltage_filter_type": "REP",
    "voltage_filter_count": 10,
    "current_output_off_state": "NORM",
    "voltage_output_off_state": "NORM",
}


def test_everything_can_be_asked_after_a_reset(meter: Keithley2450) -> None:
    meter.reset()
    assert {name: getattr(meter, name) for name in AFTER_RESET} == AFTER_RESET
    assert meter.check_errors() == []


SETTABLE = {
    "source_mode": ("current", "voltage"),
    "current_range": (1e-3, 1e-6),
    "current_nplc": (0.01, 10),
    "compliance_current": (1e-3, 0.1),
    "source_current": (1e-6,),
    "source_current_range": (1e-3,),
    "source_current_delay": (0.5,),
    "source_current_delay_auto": (False, True),
    "voltage_range": (2, 20),
    "voltage_nplc": (0.01, 10),
    "compliance_voltage": (10, 15),
    "source_voltage": (1.5,),
    "source_voltage_range": (2, 20),
    "source_voltage_delay": (0.25,),
    "source_voltage_delay_auto": (False, True),
    "resistance_range": (2e3,),
    "resistance_nplc": (0.1,),
    "wires": (4, 2),
    "buffer_points": (20, 1000),
    "current_filter_type": ("MOV", "REP"),
    "current_filter_count": (1, 100),
    "voltage_filter_type": ("MOV", "REP"),
    "voltage_filter_count": (5,),
    "current_output_off_state": ("HIMP", "ZERO", "GUAR", "NORM"),
    "voltage_output_off_state": ("HIMP", "ZERO", "GUAR", "NORM"),
}


def test_what_is_set_is_read_back(meter: Keithley2450) -> None:
    meter.reset()
    for name, values in SETTABLE.items():
        for value in values:
            setattr(meter, name, value)
            assert getattr(meter, name) == value, name
            assert meter.check_errors() == [], name


def test_current_source(world: World, meter: Keithley2450) -> None:
    meter.reset()
    meter.apply_current(current_range=1e-3, compliance_voltage=10)
    meter.measure_voltage()
    meter.source_current = 1e-5
    meter.enable_source()
    assert meter.voltage == pytest.approx(voltage_v(world), abs=0.01)
    assert 0.1 < voltage_v(world) < 10
    assert world.terminal.current_a(voltage_v(world), world.now_ns()) == pytest.approx(1e-5, rel=0.01)
    meter.shutdown()
    assert voltage_v(world) == 0.0
    assert meter.check_errors() == []


def test_statistics_of_the_buffer(meter: Keithley2450) -> None:
    ready(meter, 5)
    meter.write(":TRAC:CLE;:SENS:COUN 10")
    meter.current  # noqa: B018  # takes the readings
    assert meter.minimums <= meter.means <= meter.maximums
    assert meter.standard_devs < 1e-6
    assert meter.check_errors() == []


def test_the_older_buffer_functions_need_another_language(meter: Keithley2450) -> None:
    ready(meter, 5)
    meter.stop_buffer()
    assert meter.check_errors() == []
    meter.disable_buffer()  # sends TRAC:FEED:CONT NEV, which no 2450 has in this language
    assert int(meter.next_error[0]) == -113


def test_a_ramp_takes_thirty_steps(world: World, meter: Keithley2450) -> None:
    ready(meter, 0)
    meter.ramp_to_voltage(12, steps=30, pause=20e-3)
    assert voltage_v(world) == pytest.approx(12.0)
    levels = np.array(world.terminal.record.voltage_v[-29:])
    times_ns = np.array(world.terminal.record.t_ns[-29:])
    assert np.diff(levels) == pytest.approx(12 / 29, rel=1e-4)
    assert np.diff(times_ns) == pytest.approx(20e6, rel=0.1)


def test_shutdown_ends_at_zero(world: World, meter: Keithley2450) -> None:
    ready(meter, 5)
    assert voltage_v(world) == pytest.approx(5.0)
    meter.shutdown()
    assert voltage_v(world) == 0.0
    meter.enable_source()  # the level was ramped down, not only switched off
    assert voltage_v(world) == 0.0
    assert meter.check_errors() == []


def test_sundries(meter: Keithley2450) -> None:
    meter.reset()
    meter.beep(400, 0.5)
    meter.use_rear_terminals()
    meter.use_front_terminals()
    meter.auto_range_source()
    meter.trigger()
    assert meter.check_errors() == []
    meter.write(":SOUR:VOLT 300")
    assert int(meter.next_error[0]) == -222
