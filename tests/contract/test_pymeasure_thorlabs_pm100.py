"""PyMeasure's own PM100 driver, unchanged, on the simulated bench, and the polling of another program in the field."""

import numpy as np
import pytest
from pymeasure.adapters import VISAAdapter
from pymeasure.instruments.thorlabs import ThorlabsPM100USB
from pyvisa import ResourceManager
from pyvisa.errors import VisaIOError

from rig.bench import default_bench
from sim_instruments.visa_library import library_for
from sim_instruments.world import World

MS = 1_000_000
RESOURCE = "USB0::0x1313::0x8078::P0004711::INSTR"

# "SCPIUnknownMixin": PyMeasure says of its own driver that nobody has checked which common commands it has
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture
def world() -> World:
    description = default_bench().description()
    description["energy_meter"] = {"model": "thorlabs-pm100d", "resource": RESOURCE}
    return World(description, seed=3)


@pytest.fixture
def meter(world: World) -> ThorlabsPM100USB:
    return ThorlabsPM100USB(VISAAdapter(RESOURCE, visa_library=library_for(world), timeout=500))


def pulses(world: World, *after_ms: float) -> float:
    """Pulses on their way; their energy (J)."""
    times = world.now_ns() + np.rint(np.array(after_ms) * MS).astype(np.int64)
    world.beam.passed(times, np.full(len(times), 40.0))
    return 40e-6 * world.beam.area_cm2


def test_the_head_is_an_energy_head(meter: ThorlabsPM100USB) -> None:
    assert meter.id.startswith("Thorlabs,PM100D,P0004711")
    assert "ES111C" in meter.sensor_name
    assert (meter.is_energy_sensor, meter.is_power_sensor) == (True, False)
    assert (meter.wavelength_settable, meter.response_settable, meter.has_temperature_sensor) == (True, True, False)
    with pytest.raises(AttributeError, match="not a power sensor"):
        _ = meter.power


def test_wavelength(meter: ThorlabsPM100USB) -> None:
    assert (meter.wavelength_min, meter.wavelength_max) == (185.0, 25_000.0)
    meter.wavelength = 400
    assert meter.wavelength == 400.0
    meter.wavelength = 1  # PyMeasure takes the nearest
    assert meter.wavelength == 185.0


def test_energy(world: World, meter: ThorlabsPM100USB) -> None:
    meter.wavelength = 400
    meter.write("SENS:ENER:RANG 1E-6")
    gain = world.personas["energy_meter"].detector.gain
    for after_ms in (5, 200):
        true_j = pulses(world, after_ms)
        assert meter.energy == pytest.approx(true_j * gain, rel=0.03)


def test_without_a_pulse_the_question_times_out_and_the_next_one_is_answered(meter: ThorlabsPM100USB) -> None:
    with pytest.raises(VisaIOError):
        _ = meter.energy
    assert meter.wavelength == 1064.0
    assert meter.ask("SYST:ERR?").strip() == '-410,"Query INTERRUPTED"'


def test_polling_the_operation_register_as_a_contributed_qcodes_driver_does(world: World) -> None:
    meter = ResourceManager(library_for(world)).open_resource(RESOURCE, read_termination="\n", write_termination="\n")
    for command in ("STAT:OPER:PTR 512", "STAT:OPER:NTR 0"):
        meter.write(command)
    meter.query("STAT:OPER?")
    assert meter.query("SYST:ERR?")[:2] == "+0"
    meter.write("SENS:ENER:RANG 1E-6")
    meter.write("CONF:ENER")
    meter.query("ABOR;:STAT:OPER?")
    meter.write("INIT")
    pulses(world, 20)
    answers = [meter.query("STAT:OPER?") for _ in range(30)]
    assert sorted(set(answers)) == ["0", "512"]
    assert answers.count("512") == 1
    assert 10 <= answers.index("512") <= 25
    assert float(meter.query("FETC?")) > 0


def test_what_the_thorlabspm100_package_sends(world: World) -> None:
    """Byte sequences of ThorlabsPM100 1.2.2."""
    meter = ResourceManager(library_for(world)).open_resource(RESOURCE, read_termination="\n", write_termination="\n")
    meter.write("Sense:Correction:WAVelength 400")
    assert meter.query("Sense:Correction:WAVelength?") == "4.000000E+02"
    meter.write("Sense:Energy:Range:UPPer 1e-6")
    meter.write("Configure:Scalar:ENERgy")
    assert meter.query("CONFigure?") == "ENER"
    assert meter.query("System:Sensor:IDN?").startswith('"ES111C","1501012",')
    pulses(world, 5, 105)
    assert float(meter.query("READ?")) > 0
    meter.write("Initiate:IMMediate")
    assert float(meter.query("FETCh?")) > 0
