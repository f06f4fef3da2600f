"""PyMeasure's driver of Thorlabs' power and energy meters."""

from pymeasure.instruments.thorlabs import ThorlabsPM100USB
from score import address, case, near, refused, same

host, port = address()
meter = ThorlabsPM100USB(
    f"TCPIP::{host}::{port}::SOCKET", visa_library="@py", read_termination="\n", write_termination="\n", timeout=5000
)

with case("the head's flags decide what the meter can"):
    same((meter.is_energy_sensor, meter.is_power_sensor), (True, False))
    same(meter.wavelength_settable, True)
with case("wavelength"):
    assert meter.wavelength_min <= 400 <= meter.wavelength_max
    meter.wavelength = 400
    near(meter.wavelength, 400, 1e-3)
with case("energy of a pulse"):
    near(meter.energy, 1.65e-6, 3e-7)
with case("no power from an energy head"):
    refused(lambda: meter.power, AttributeError, ValueError)
