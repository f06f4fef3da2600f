"""PyMeasure's Keithley 2450 driver."""

from pymeasure.instruments.keithley import Keithley2450
from score import address, case, near, same

host, port = address()
smu = Keithley2450(
    f"TCPIP::{host}::{port}::SOCKET", visa_library="@py", read_termination="\n", write_termination="\n", timeout=5000
)

with case("identity"):
    assert "MODEL 2450" in smu.id, smu.id
with case("reset"):
    smu.reset()
    same(bool(smu.source_enabled), False)
with case("apply a voltage"):
    smu.apply_voltage(20, compliance_current=1e-3)
    near(smu.source_voltage_range, 20, 1e-6)
    near(smu.compliance_current, 1e-3, 1e-9)
with case("measure the current"):
    smu.measure_current(nplc=0.01, current=1e-3, auto_range=False)
    smu.source_voltage = 20
    smu.enable_source()
    same(bool(smu.source_enabled), True)
    assert 0 <= smu.current < 1.05e-3, smu.current
with case("measure the voltage"):
    smu.measure_voltage(nplc=0.01, voltage=20, auto_range=False)
    near(smu.voltage, 20, 0.1)
with case("ramp"):
    smu.ramp_to_voltage(2.0, steps=4, pause=0.01)
    near(smu.source_voltage, 2.0, 1e-6)
with case("settings are read back"):
    smu.current_nplc = 0.1
    near(smu.current_nplc, 0.1, 1e-9)
    smu.wires = 4
    same(int(smu.wires), 4)
    smu.wires = 2
    smu.source_voltage_delay = 0.01
    near(smu.source_voltage_delay, 0.01, 1e-9)
    smu.voltage_output_off_state = "NORM"
    same(smu.voltage_output_off_state, "NORM")
with case("size of the buffer"):
    smu.buffer_points = 100
    same(int(smu.buffer_points), 100)
with case("errors"):
    smu.write(":NO:SUCH 1")
    same(int(smu.next_error[0]), -113)
with case("terminals"):
    smu.use_rear_terminals()
    smu.use_front_terminals()
with case("beep"):
    smu.beep(440, 0.1)
with case("shut down"):
    smu.shutdown()
    same(bool(smu.source_enabled), False)
