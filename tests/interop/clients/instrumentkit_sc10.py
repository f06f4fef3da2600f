"""InstrumentKit's shutter controller driver."""

from socket import create_connection

import instruments as ik
from instruments.abstract_instruments.comm import SocketCommunicator
from score import address, case, near, same

shutter = ik.thorlabs.SC10(
    SocketCommunicator(create_connection(address()))
)  # its open_tcpip() passes a keyword that this class lacks

with case("identity"):
    assert "SC10" in shutter.name, shutter.name
with case("mode"):
    shutter.mode = shutter.Mode.manual
    same(shutter.mode, shutter.Mode.manual)
with case("open and close"):
    same(shutter.closed, True)
    shutter.enable = True
    same(shutter.enable, True)
    shutter.enable = False
    same(shutter.enable, False)
with case("times"):
    shutter.open_time = 100
    near(shutter.open_time.magnitude, 100, 0)
    shutter.shut_time = 200
    near(shutter.shut_time.magnitude, 200, 0)
with case("repeats"):
    shutter.repeat = 5
    same(int(shutter.repeat), 5)
with case("triggers"):
    shutter.trigger = 0
    same(int(shutter.trigger), 0)
    shutter.out_trigger = 0
    same(int(shutter.out_trigger), 0)
with case("interlock"):
    same(shutter.interlock, False)
