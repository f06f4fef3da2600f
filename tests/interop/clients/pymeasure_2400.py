"""A sweep of a diode as users of PyMeasure write it, and the rest of its Keithley 2400 driver."""

from pymeasure.instruments.keithley import Keithley2400
from score import address, case, near, same

host, port = address()
smu = Keithley2400(
    f"TCPIP::{host}::{port}::SOCKET", visa_library="@py", read_termination="\n", write_termination="\n", timeout=5000
)

with case("identity"):
    assert smu.id.startswith("KEITHLEY INSTRUMENTS INC.,MODEL 2400"), smu.id
with case("reset"):
    smu.reset()
    smu.reset_data_format()
    same(smu.source_enabled, False)
with case("apply a voltage"):
    smu.apply_voltage(voltage_range=20, compliance_current=1e-3)
    same(smu.source_mode, "voltage")
    near(smu.source_voltage_range, 21, 1e-6)
    near(smu.compliance_current, 1e-3, 1e-9)
with case("measure the current"):
    smu.measure_current(nplc=0.01, current=1e-3, auto_range=False)
    near(smu.current_nplc, 0.01, 1e-9)
    smu.source_voltage = 20
    smu.enable_source()
    same(smu.source_enabled, True)
    near(smu.source_voltage, 20, 1e-6)
    assert 0 <= smu.current < 1.05e-3, smu.current
with case("measure the voltage"):
    near(smu.voltage, 20, 0.1)
with case("everything in one reading"):
    smu.measure_all()
    reading = smu.ask(":READ?").split(",")
    same(len(reading), 5)
    near(reading[0], 20, 0.1)
with case("ramp"):
    smu.ramp_to_voltage(2.0, steps=4, pause=0.01)
    near(smu.source_voltage, 2.0, 1e-6)
with case("buffer of ten readings"):
    smu.measure_current(nplc=0.01, current=1e-3, auto_range=False)
    smu.config_buffer(10)
    smu.start_buffer()
    smu.wait_for_buffer(timeout=10, interval=0.2)
    same(len(smu.buffer_data), 50)  # five elements each
    smu.disable_buffer()
with case("triggers"):
    smu.set_trigger_counts(1, 10)
    same((smu.arm_count, smu.trigger_count), (1, 10))
    smu.trigger_on_external(2)
    smu.trigger_immediately()
    smu.output_trigger_on_external(3, after="DEL")
    smu.disable_output_trigger()
    smu.reset_trigger()
with case("means of the buffer"):
    assert len(smu.means) >= 1
with case("settings are read back"):
    smu.source_delay = 0.01
    near(smu.source_delay, 0.01, 1e-9)
    smu.auto_zero_enabled = False
    same(smu.auto_zero_enabled, False)
    smu.filter_count = 5
    same(smu.filter_count, 5)
    smu.wires = 4
    same(smu.wires, 4)
    smu.output_off_state = "normal"
    same(smu.output_off_state, "normal")
    smu.display_enabled = False
    smu.display_enabled = True
with case("rear terminals and back"):
    smu.use_rear_terminals()
    same(smu.front_terminals_enabled, False)
    smu.use_front_terminals()
with case("beep"):
    smu.beep(440, 0.1)
with case("errors"):
    smu.write(":NO:SUCH 1")
    same(smu.next_error[0], -113)
    same(smu.next_error[0], 0)
with case("shut down"):
    smu.shutdown()
