"""The maker's own Python driver of the DG645."""

from score import address, case, near, same
from srsinst.dg645 import DG645

host, port = address()
dg = DG645("tcpip", host, port)

with case("identity"):
    assert dg.interface.id_string.startswith("Stanford Research Systems,DG645"), dg.interface.id_string
with case("reset"):
    dg.reset()
    same(dg.trigger.trigger_source, "single shot")
with case("trigger"):
    dg.trigger.trigger_source = "ext rising"
    same(dg.trigger.trigger_source, "ext rising")
    dg.trigger.trigger_level = 1.5
    near(dg.trigger.trigger_level, 1.5, 1e-6)
    dg.trigger.trigger_rate = 1000.0
    near(dg.trigger.trigger_rate, 1000.0, 1e-3)
    dg.trigger.holdoff = 1e-6
    near(dg.trigger.holdoff, 1e-6, 1e-12)
with case("prescalers"):
    dg.trigger.advanced_trigger = True
    same(bool(dg.trigger.advanced_trigger), True)
    dg.trigger.prescale_factor[0] = 1
    dg.trigger.prescale_factor[2] = 100
    same(dg.trigger.prescale_factor[2], 100)
    dg.trigger.prescale_phase[2] = 0
    same(dg.trigger.prescale_phase[2], 0)
with case("delays"):
    dg.delays.delay["B"]["A"] = 1e-3
    reference, delay = dg.delays.delay["B"]
    near(delay, 1e-3, 1e-11)
with case("outputs"):
    dg.outputs.amplitude["AB"] = 4.0
    near(dg.outputs.amplitude["AB"], 4.0, 1e-6)
    dg.outputs.polarity["AB"] = True
    same(bool(dg.outputs.polarity["AB"]), True)
    dg.outputs.offset["AB"] = 0.5
    near(dg.outputs.offset["AB"], 0.5, 1e-6)
    dg.outputs.offset["AB"] = 0.0
with case("burst"):
    dg.trigger.trigger_source = "single shot"
    dg.burst.burst_mode = True
    dg.burst.burst_count = 10
    dg.burst.burst_period = 1e-3
    same((bool(dg.burst.burst_mode), dg.burst.burst_count), (True, 10))
    near(dg.burst.burst_period, 1e-3, 1e-9)
    dg.trigger_now()
with case("status"):
    text = dg.get_status()
    assert "Trigger source: single shot" in text, text
    assert isinstance(dg.status.instrument_status, int)
    assert isinstance(dg.status.event_status, int)
with case("step sizes"):
    dg.burst.burst_count_step_size = 5
    same(dg.burst.burst_count_step_size, 5)
    dg.burst.step_burst_count(1)
    same(dg.burst.burst_count, 15)
with case("display and network"):
    dg.display.display_on = True
    assert dg.network.mac_address
    assert isinstance(dg.network.timebase, int)
with case("settings kept and recalled"):
    dg.system.save(3)
    dg.burst.burst_count = 77
    dg.system.recall(3)
    same(dg.burst.burst_count, 15)
with case("errors"):
    dg.status.drain_errors()
    dg.send("NOPE 1")
    assert "111" in str(dg.status.get_last_error()) or "Undefined" in str(dg.status.get_last_error())
dg.disconnect()
