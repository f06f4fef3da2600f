"""PyMeasure's own Keithley 2400 driver, unchanged, on the simulated bench. A persona is right when such programs run on it."""

import pytest
from pymeasure.adapters import VISAAdapter
from pymeasure.instruments.keithley.keithley2400 import Keithley2400

from rig.bench import default_bench
from sim_instruments.visa_library import library_for
from sim_instruments.world import World

# its older verbs are what programs in the field use; PyMeasure itself says so once each
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture
def world() -> World:
    return World(default_bench().description(), seed=3)


@pytest.fixture
def meter(world: World) -> Keithley2400:
    adapter = VISAAdapter("GPIB0::24::INSTR", visa_library=library_for(world), timeout=5000)
    return Keithley2400(adapter)


def test_identity(meter: Keithley2400) -> None:
    assert meter.id.startswith("KEITHLEY INSTRUMENTS INC.,MODEL 2400,")


def test_apply_a_voltage_and_measure_the_current(world: World, meter: Keithley2400) -> None:
    meter.reset()
    meter.apply_voltage(voltage_range=20, compliance_current=1e-3)
    meter.measure_current(nplc=0.01, current=1e-3)
    meter.source_voltage = 20
    meter.enable_source()
    world.sleep(0.1)  # messages are executed one after the other, about a millisecond each
    assert world.terminal.record.voltage_v[-1] == pytest.approx(20.0)
    assert meter.current == pytest.approx(322e-6, rel=0.05)
    meter.source_voltage = 0
    meter.disable_source()
    world.sleep(0.1)
    assert world.terminal.record.voltage_v[-1] == 0.0
    assert meter.check_errors() in ([], None)


def test_shutdown_ends_at_zero(world: World, meter: Keithley2400) -> None:
    meter.reset()
    meter.apply_voltage(voltage_range=20, compliance_current=1e-3)
    meter.source_voltage = 5
    meter.enable_source()
    world.sleep(0.1)  # messages are executed one after the other, about a millisecond each
    assert world.terminal.record.voltage_v[-1] == pytest.approx(5.0)
    meter.shutdown()
    world.sleep(0.1)
    assert world.terminal.record.voltage_v[-1] == 0.0


def test_a_refused_value_is_reported_in_the_maker_s_words(meter: Keithley2400) -> None:
    meter.reset()
    meter.write(":SOUR:VOLT 300")
    assert meter.next_error[0] == -222
