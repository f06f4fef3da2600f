"""The driver that most scripts of the last ten years were written for: PyMeasure's Keithley 2400 before its version 0.16."""

from pymeasure.instruments.keithley.keithley2400_legacy import Keithley2400Legacy
from score import address, case, near, same

host, port = address()
smu = Keithley2400Legacy(
    f"TCPIP::{host}::{port}::SOCKET", visa_library="@py", read_termination="\n", write_termination="\n", timeout=5000
)

with case("reset"):
    smu.reset()
with case("apply a voltage"):
    smu.apply_voltage(20, compliance_current=1e-3)
    near(smu.source_voltage_range, 21, 1.1)
with case("measure the current"):
    smu.measure_current(nplc=0.01, current=1e-3, auto_range=False)
    smu.source_voltage = 5
    smu.enable_source()
    assert abs(smu.current) < 1.05e-3
with case("ramp"):
    smu.ramp_to_voltage(1.0, steps=5, pause=0.01)
    near(smu.source_voltage, 1.0, 1e-6)
with case("buffer"):
    smu.config_buffer(5)
    smu.start_buffer()
    smu.wait_for_buffer(timeout=10, interval=0.2)
    same(len(smu.buffer_data), 5)
with case("errors"):
    smu.write(":NO:SUCH 1")
    same(int(smu.error[0]), -113)
with case("shut down"):
    smu.shutdown()
    same(smu.ask(":OUTP?").strip(), "0")
