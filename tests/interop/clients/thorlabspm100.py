"""The ThorlabsPM100 package on a PyVISA resource."""

import pyvisa
from score import address, case, near, same
from ThorlabsPM100 import ThorlabsPM100

host, port = address()
resource = pyvisa.ResourceManager("@py").open_resource(
    f"TCPIP::{host}::{port}::SOCKET", read_termination="\n", write_termination="\n", timeout=5000
)
meter = ThorlabsPM100(inst=resource)

with case("head"):
    assert "ES111C" in meter.system.sensor.idn, meter.system.sensor.idn
with case("wavelength"):
    meter.sense.correction.wavelength = 400
    near(meter.sense.correction.wavelength, 400, 1e-3)
    assert meter.sense.correction.minimum_wavelength <= 400 <= meter.sense.correction.maximum_wavelength
with case("configure energy"):
    meter.configure.scalar.energy()
    assert "ENER" in meter.getconfigure.upper()
with case("read"):
    near(meter.read, 1.65e-6, 3e-7)
with case("initiate and fetch"):
    meter.initiate.immediate()
    near(meter.fetch, 1.65e-6, 3e-7)
with case("settings are read back"):
    meter.sense.average.count = 4
    same(int(meter.sense.average.count), 4)
    meter.sense.average.count = 1
    meter.sense.energy.range.upper = 1e-4
    assert meter.sense.energy.range.upper >= 1e-4
    meter.display.brightness = 0.5
    near(meter.display.brightness, 0.5, 0.01)
    same(int(meter.system.lfrequency) in (50, 60), True)
with case("errors"):
    resource.write("*CLS")
    assert "No error" in meter.system.error.next, meter.system.error.next
