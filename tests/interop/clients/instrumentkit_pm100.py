"""InstrumentKit's driver of Thorlabs' meters."""

from socket import create_connection

import instruments as ik
from instruments.abstract_instruments.comm import SocketCommunicator
from score import address, case, near, same

meter = ik.thorlabs.PM100USB(
    SocketCommunicator(create_connection(address()))
)  # its open_tcpip() passes a keyword that this class lacks

with case("head"):
    assert "ES111C" in meter.sensor.name, meter.sensor.name
    same((meter.sensor.flags.is_energy_sensor, meter.sensor.flags.is_power_sensor), (True, False))
with case("averaging"):
    meter.averaging_count = 3
    same(meter.averaging_count, 3)
    meter.averaging_count = 1
with case("a reading"):
    meter.measurement_configuration = meter.MeasurementConfiguration.energy
    meter.sendcmd("CONF:ENER")
    meter.cache_units = True
    near(meter.read().magnitude, 1.65e-6, 3e-7)
