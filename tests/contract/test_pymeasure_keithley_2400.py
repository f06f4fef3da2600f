"""PyMeasure's own Keithley 2400 drivers, unchanged, on the simulated bench. A persona is right when such programs run on it.

Values after *RST and settings that are read back: as PyMeasure's test on a real instrument expects them.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from pymeasure.adapters import VISAAdapter
from pymeasure.instruments.keithley import buffer, keithley2400, keithley2400_legacy
from pymeasure.instruments.keithley.keithley2400 import Keithley2400
from pymeasure.instruments.keithley.keithley2400_legacy import Keithley2400Legacy
from pyvisa.errors import VisaIOError

from rig.bench import default_bench
from sim_instruments.persona import Edges
from sim_instruments.visa_library import library_for
from sim_instruments.world import World

# its older verbs are what programs in the field use; PyMeasure itself says so once each
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """The bench; PyMeasure sleeps on its clock."""
    world = World(default_bench().description(), seed=3)
    clock = SimpleNamespace(sleep=world.sleep, time=lambda: world.now_ns() * 1e-9)
    for module in (keithley2400, keithley2400_legacy):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(buffer, "sleep", clock.sleep)
    monkeypatch.setattr(buffer, "time", clock.time)
    return world


def adapter(world: World) -> VISAAdapter:
    return VISAAdapter("GPIB0::24::INSTR", visa_library=library_for(world), timeout=5000)


@pytest.fixture
def meter(world: World) -> Keithley2400:
    return Keithley2400(adapter(world))


@pytest.fixture
def legacy(world: World) -> Keithley2400Legacy:
    return Keithley2400Legacy(adapter(world))


def voltage_v(world: World) -> float:
    world.sleep(0.1)  # messages are executed one after the other, about a millisecond each
    return world.terminal.record.voltage_v[-1]


def ready(meter: Keithley2400 | Keithley2400Legacy, level_v: float) -> None:
    meter.reset()
    meter.apply_voltage(voltage_range=20, compliance_current=1e-3)
    meter.measure_current(nplc=0.01, current=1e-3)
    meter.source_voltage = level_v
    meter.enable_source()


def test_identity(meter: Keithley2400) -> None:
    assert meter.id.startswith("KEITHLEY INSTRUMENTS INC.,MODEL 2400,")


def test_apply_a_voltage_and_measure_the_current(world: World, meter: Keithley2400) -> None:
    ready(meter, 20)
    assert voltage_v(world) == pytest.approx(20.0)
    assert meter.current == pytest.approx(322e-6, rel=0.05)
    assert meter.voltage == pytest.approx(20.0, abs=0.05)
    assert meter.resistance == pytest.approx(20.0 / 322e-6, rel=0.05)
    meter.source_voltage = 0
    meter.disable_source()
    assert voltage_v(world) == 0.0
    assert meter.check_errors() == []


def test_measure_all(meter: Keithley2400) -> None:
    ready(meter, 10)
    readings = meter.measure_all()
    assert readings["voltage"] == pytest.approx(10.0, abs=0.05)
    assert readings["resistance"] == pytest.approx(readings["voltage"] / readings["current"], rel=1e-5)
    assert 0 < readings["time"] < 60
    assert readings["status"] == sum(1 << bit for bit in (2, 11, 12, 13, 14))
    assert meter.check_errors() == []


AFTER_RESET = {
    "source_enabled": False,
    "front_terminals_enabled": True,
    "current_range": 1.05e-4,
    "current_range_auto_enabled": True,
    "current_nplc": 1,
    "compliance_current": 1.05e-4,
    "voltage_range": 21,
    "voltage_range_auto_enabled": True,
    "voltage_nplc": 1,
    "compliance_voltage": 21,
    "resistance_mode_auto_enabled": True,
    "resistance_range": 2.1e5,
    "resistance_range_auto_enabled": True,
    "resistance_nplc": 1,
    "repeat_filter_enabled": True,
    "filter_count": 10,
    "filter_enabled": False,
    "auto_output_off_enabled": False,
    "source_mode": "voltage",
    "source_delay": 0.001,
    "source_delay_auto_enabled": True,
    "source_current_range": 1.05e-4,
    "source_current_range_auto_enabled": True,
    "source_current": 0,
    "source_voltage_range": 21,
    "source_voltage_range_auto_enabled": True,
    "source_voltage": 0,
    "auto_zero_enabled": True,
    "arm_count": 1,
    "trigger_count": 1,
    "trigger_source": "immediate",
    "arm_source": "immediate",
    "trigger_output_event": "none",
    "arm_output_event": "none",
    "trigger_input_line": 1,
    "trigger_output_line": 2,
    "wires": 2,
    "line_frequency": 50,
    "buffer_points": 100,
    "display_enabled": True,
}


def test_everything_can_be_asked_after_a_reset(meter: Keithley2400) -> None:
    meter.clear()
    meter.reset()
    assert {name: getattr(meter, name) for name in AFTER_RESET} == AFTER_RESET
    assert meter.output_off_state in ("normal", "NORM")  # two of its words for one state
    assert meter.check_errors() == []


SETTABLE = {
    "source_delay": (0.1,),
    "source_delay_auto_enabled": (False, True),
    "auto_zero_enabled": (False, True),
    "auto_output_off_enabled": (True, False),
    "filter_enabled": (True, False),
    "repeat_filter_enabled": (False, True),
    "filter_count": (1, 100),
    "compliance_current": (0.01, 1e-3),
    "current_range": (0.00105, 0.000105),
    "current_range_auto_enabled": (False, True),
    "current_nplc": (0.01, 10.0),
    "source_current": (0.002,),
    "source_current_range": (0.0105,),
    "source_current_range_auto_enabled": (False, True),
    "compliance_voltage": (1.0,),
    "source_voltage": (1.5,),
    "source_voltage_range": (2.1,),
    "resistance_range": (2100.0,),
    "resistance_mode_auto_enabled": (False, True),
    "trigger_delay": (0.5,),
    "trigger_count": (10, 1),
    "arm_count": (3, 1),
    "arm_timer": (1.0,),
    "trigger_source": ("trigger_link", "immediate"),
    "arm_source": ("trigger_link", "timer", "manual", "bus", "immediate"),
    "trigger_output_event": ("source", "delay", "sense", "none"),
    "arm_output_event": ("trigger_enter", "trigger_exit", "none"),
    "trigger_input_line": (2,),
    "arm_input_line": (3,),
    "trigger_output_line": (4,),
    "arm_output_line": (1,),
    "wires": (4, 2),
    "line_frequency": (60, 50),
    "display_enabled": (False, True),
    "front_terminals_enabled": (False, True),
    "buffer_points": (10, 100),
}


def test_what_is_set_is_read_back(meter: Keithley2400) -> None:
    meter.reset()
    for name, values in SETTABLE.items():
        for value in values:
            setattr(meter, name, value)
            assert getattr(meter, name) == value, name
            assert meter.check_errors() == [], name


def test_a_refused_value_is_reported_in_the_maker_s_words(meter: Keithley2400) -> None:
    meter.reset()
    meter.write(":SOUR:VOLT 300")
    assert meter.next_error[0] == -222
    meter.voltage_range = 21  # not while the voltage is sourced; fails on the real instrument too
    assert meter.next_error[0] == 823


# --- buffer -----------------------------------------------------------------------------------------------------------


def test_buffer(meter: Keithley2400) -> None:
    ready(meter, 5)
    meter.config_buffer(points=10, delay=0)
    meter.start_buffer()
    meter.wait_for_buffer()
    data = meter.buffer_data.reshape(10, 5)
    assert data[:, 0] == pytest.approx(5.0, abs=0.05)
    assert np.all(np.diff(data[:, 3]) > 0)
    assert meter.mean_voltage == pytest.approx(5.0, abs=0.05)
    assert meter.min_current <= data[:, 1].min() * (1 + 1e-6) <= meter.mean_current <= meter.max_current
    assert meter.std_current >= 0
    meter.disable_buffer()
    meter.stop_buffer()
    meter.config_buffer(points=3)
    assert meter.check_errors() == []


def test_polling_the_status_byte_through_a_long_sweep_times_out_as_on_the_instrument(meter: Keithley2400) -> None:
    ready(meter, 5)
    meter.config_buffer(points=100, delay=0.1)
    meter.start_buffer()
    with pytest.raises(VisaIOError):
        meter.wait_for_buffer()
    meter.stop_buffer()
    meter.clear()
    assert meter.trigger_count == 100  # idle again: it answers


# --- triggers ---------------------------------------------------------------------------------------------------------


def test_external_triggers(world: World, meter: Keithley2400) -> None:
    ready(meter, 5)
    meter.trigger_on_external(line=1)
    meter.config_buffer(points=3)
    meter.output_trigger_on_external(line=2)
    meter.start_buffer()
    source = world.personas["voltage_source"]
    world.sleep(0.1)
    for _ in range(4):  # one for the arm layer, three for the readings
        fall_ns = np.array([world.now_ns() + 1_000_000])
        source.receive_edges("trigger_link_1", Edges(fall_ns + 20_000, fall_ns, 0.0, 5.0))
        world.sleep(0.05)
    assert meter.is_buffer_full()
    assert len(meter.buffer_data) == 15
    meter.sample_continuously()
    assert meter.check_errors() == []


def test_bus_trigger(world: World, meter: Keithley2400) -> None:
    ready(meter, 5)
    meter.trigger_on_bus()
    meter.config_buffer(points=2)
    meter.start_buffer()
    world.sleep(0.2)
    meter.trigger()
    meter.wait_for_buffer()
    assert len(meter.buffer_data) == 10
    meter.reset_trigger()
    meter.clear_trigger()
    assert meter.check_errors() == []


def test_older_trigger_verbs(meter: Keithley2400) -> None:
    ready(meter, 5)
    meter.set_trigger_counts(arm=2, trigger=5)
    meter.set_timed_arm(0.1)
    assert (meter.arm_count, meter.trigger_count, meter.arm_source) == (2, 5, "timer")
    meter.disable_output_trigger()
    meter.beep(400, 0.5)
    meter.use_rear_terminals()
    meter.auto_range_source()
    assert meter.check_errors() == []


# --- ramps and shutdown -----------------------------------------------------------------------------------------------


def test_a_ramp_takes_thirty_steps(world: World, meter: Keithley2400) -> None:
    ready(meter, 0)
    meter.ramp_to_voltage(12, steps=30, pause=20e-3)
    assert voltage_v(world) == pytest.approx(12.0)
    levels = np.array(world.terminal.record.voltage_v[-29:])
    times_ns = np.array(world.terminal.record.t_ns[-29:])
    assert np.diff(levels) == pytest.approx(12 / 29, rel=1e-4)
    assert np.diff(times_ns) == pytest.approx(20e6, rel=0.1)


def test_shutdown_ends_at_zero(world: World, meter: Keithley2400) -> None:
    ready(meter, 5)
    assert voltage_v(world) == pytest.approx(5.0)
    meter.shutdown()
    assert voltage_v(world) == 0.0
    meter.enable_source()  # the level was ramped down, not only switched off
    assert voltage_v(world) == 0.0
    assert meter.check_errors() == []


# --- the older driver -------------------------------------------------------------------------------------------------


def test_legacy_measures(world: World, legacy: Keithley2400Legacy) -> None:
    ready(legacy, 20)
    assert voltage_v(world) == pytest.approx(20.0)
    assert legacy.current == pytest.approx(322e-6, rel=0.05)  # one element
    legacy.measure_voltage()
    assert legacy.voltage == pytest.approx(20.0, abs=0.05)
    legacy.write(":FORM:ELEM VOLT,CURR")
    assert len(legacy.values(":READ?")) == 2
    assert (legacy.source_mode, legacy.source_enabled, legacy.source_voltage) == ("voltage", True, 20)
    assert legacy.status().strip() == '0,"No error"'
    assert legacy.check_errors() == []


def test_legacy_buffer_and_triggers(legacy: Keithley2400Legacy) -> None:
    ready(legacy, 5)
    legacy.config_buffer(points=4)
    legacy.start_buffer()
    legacy.wait_for_buffer()
    assert len(legacy.buffer_data) == 4
    assert legacy.mean_voltage == pytest.approx(5.0, abs=0.05)
    legacy.trigger_on_external(line=3)
    legacy.output_trigger_on_external(line=2, after="SENS")
    legacy.set_timed_arm(0.25)
    legacy.set_trigger_counts(3, 4)
    legacy.trigger_immediately()
    assert (legacy.trigger_count, legacy.trigger_delay) == (4, 0)
    assert legacy.check_errors() == []
    legacy.trigger_on_bus()  # sends TRIG:SOUR BUS, which no 2400 has
    assert legacy.next_error[0] == -224


def test_legacy_shutdown(world: World, legacy: Keithley2400Legacy) -> None:
    ready(legacy, 5)
    assert voltage_v(world) == pytest.approx(5.0)
    legacy.shutdown()
    assert voltage_v(world) == 0.0
    assert legacy.source_enabled is False
    assert legacy.check_errors() == []
