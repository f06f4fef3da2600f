"""InstrumentKit's DG645 driver."""

from socket import create_connection

import instruments as ik
from instruments.abstract_instruments.comm import SocketCommunicator
from score import address, case, near, same

dg = ik.srs.SRSDG645(
    SocketCommunicator(create_connection(address()))
)  # its open_tcpip() passes a keyword that this class lacks

with case("identity"):
    assert "DG645" in dg.name, dg.name
with case("trigger"):
    dg.trigger_source = dg.TriggerSource.internal
    same(dg.trigger_source, dg.TriggerSource.internal)
    dg.trigger_source = dg.TriggerSource.single_shot
    dg.trigger_rate = 1000
    near(dg.trigger_rate.magnitude, 1000, 1e-3)
    dg.holdoff = 0
    near(dg.holdoff.magnitude, 0, 1e-12)
with case("delay"):
    dg.channel["B"].delay = (dg.channel["A"], 1e-3)
    reference, delay = dg.channel["B"].delay
    near(delay.magnitude, 1e-3, 1e-11)
with case("output"):
    dg.output["AB"].level_amplitude = 4.0
    near(dg.output["AB"].level_amplitude.magnitude, 4.0, 1e-6)
    dg.output["AB"].polarity = dg.LevelPolarity.positive
    same(dg.output["AB"].polarity, dg.LevelPolarity.positive)
with case("burst"):
    dg.enable_burst_mode = True
    dg.burst_count = 12
    same(int(dg.burst_count), 12)
    dg.burst_period = 1e-3
    near(dg.burst_period.magnitude, 1e-3, 1e-9)
    dg.enable_burst_mode = False
    same(bool(dg.enable_burst_mode), False)
