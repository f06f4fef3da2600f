"""QCoDeS' Keithley 2450 driver, which refuses an instrument that does not speak SCPI."""

import numpy as np
from qcodes.instrument_drivers.Keithley import Keithley2450
from score import address, case, near, same

host, port = address()
smu = Keithley2450("smu", f"TCPIP::{host}::{port}::SOCKET", visalib="@py", terminator="\n", timeout=5)

with case("language and identity"):
    same(smu.get_idn()["model"], "2450")
with case("reset"):
    smu.reset()
    smu.terminals("front")
    assert smu.terminals().lower().startswith("fron")
with case("source a voltage"):
    smu.source.function = smu.source_function("voltage")
    same(smu.source_function(), "voltage")
    smu.source.range(20)
    near(smu.source.range(), 20, 1e-6)
    smu.source.limit(1e-3)
    near(smu.source.limit(), 1e-3, 1e-9)
with case("measure the current"):
    smu.sense_function("current")
    same(smu.sense_function(), "current")
    smu.sense.nplc(0.01)
    near(smu.sense.nplc(), 0.01, 1e-9)
    smu.sense.range(1e-3)
    smu.source.voltage(20)
    smu.output_enabled(True)
    same(smu.output_enabled(), True)
    assert 0 <= smu.sense.current() < 1.05e-3
    same(bool(int(smu.source.limit_tripped())), False)
with case("sweep"):
    smu.source.sweep_setup(0, 20, 5)
    currents = np.asarray(smu.sense.sweep())
    same(currents.shape, (5,))
    assert np.isfinite(currents).all(), currents
    near(smu.source.get_sweep_axis()[-1], 20, 1e-9)
with case("buffer with time stamps"):
    with smu.buffer("mine", size=20) as buffer:
        buffer.elements(["time", "measurement"])
        smu.sense.count(3)
        buffer.trigger_start()
        smu.wait()
        same(buffer.number_of_readings(), 3)
        same(len(buffer.get_data(1, 3)), 6)
    smu.sense.count(1)
with case("settings are read back"):
    smu.source.delay(0.01)
    near(smu.source.delay(), 0.01, 1e-9)
    smu.source.read_back_enabled(True)
    same(smu.source.read_back_enabled(), True)
    smu.sense.auto_zero_enabled(False)
    same(smu.sense.auto_zero_enabled(), False)
    smu.sense.four_wire_measurement(True)
    same(smu.sense.four_wire_measurement(), True)
    smu.sense.four_wire_measurement(False)
    same(int(smu.line_frequency()) in (50, 60), True)
with case("everything at once"):
    smu.snapshot(update=True)
with case("off"):
    smu.output_enabled(False)
    same(smu.output_enabled(), False)
smu.close()
