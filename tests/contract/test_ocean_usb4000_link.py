"""The driver of the USB4000 and what its link may hold that nobody remembers: requests, spectra, two in a row."""

import numpy as np
import pytest
from faces import IN_PROCESS, SERVED
from role_bench import LINE, MS, RAW_USB, RoleBench

from drivers.errors import InstrumentError, LinkTimeout
from drivers.link import LinkState
from drivers.registry import find
from drivers.roles import ExposureProgram
from sim_instruments.ocean_usb4000 import OceanUsb4000Persona, Usb4000Quirks
from sim_instruments.world import FaultyCable

EDGES = ExposureProgram(500_000, "external_edge")


LINKS = {"raw-usb": (RAW_USB, IN_PROCESS), "line": (LINE, IN_PROCESS), "served": (LINE, SERVED)}


@pytest.fixture(params=LINKS.values(), ids=LINKS)
def bench(request: pytest.FixtureRequest) -> RoleBench:
    return RoleBench(find("ocean-usb4000"), *request.param)


def edges(bench: RoleBench, count: int) -> None:
    times = [bench.now_ns() + (1 + i * 10) * MS for i in range(count)]
    bench.world.cable_to("spectrometer.trigger").fault = FaultyCable(invented_ns=times)
    bench.wait(0.01 * count + 0.01)


@pytest.mark.parametrize("remembers", [False, True])
def test_requests_of_somebody_before_us_are_worked_off_whether_they_queue_or_not(bench: RoleBench, remembers: bool) -> None:
    wire = bench.wires["spectrometer"]
    persona = OceanUsb4000Persona(bench.world.light_path, quirks=Usb4000Quirks(remembers_requests=remembers))
    wire.persona = persona
    bench.wait(0.1)
    persona.receive(b"\x02\x40\x0d\x03\x00\x0a\x03\x00\x09\x09\x09", bench.now_ns())  # 200 ms, waiting for an edge
    bench.wait(0.01)
    bench.spectrometer.prepare()
    bench.spectrometer.load(EDGES)
    bench.spectrometer.arm()
    edges(bench, 1)
    assert len(bench.spectrometer.collect()) == 1
    edges(bench, 1)
    assert len(bench.spectrometer.collect()) == 1
    assert bench.links["spectrometer"].state is LinkState.READY


def test_a_spectrum_that_waits_does_not_disturb_a_question(bench: RoleBench) -> None:
    bench.spectrometer.prepare()
    bench.spectrometer.load(EDGES)
    bench.spectrometer.arm()
    edges(bench, 1)
    assert bench.instruments["spectrometer"].trigger_mode == 3
    batch = bench.spectrometer.collect()
    assert len(batch) == 1
    assert batch.spectra.shape == (1, 3648)


def test_identifying_and_preparing_leave_no_request_behind(bench: RoleBench) -> None:
    bench.spectrometer.identify()
    bench.spectrometer.prepare()
    exposures = len(bench.exposures_ns())
    edges(bench, 5)
    assert len(bench.exposures_ns()) == exposures
    assert np.array(bench.spectrometer.collect().count).tolist() == []


@pytest.mark.fault("W13")
def test_a_spectrum_that_comes_in_part_makes_the_link_doubtful(bench: RoleBench) -> None:
    bench.spectrometer.prepare()
    bench.spectrometer.load(EDGES)
    bench.spectrometer.arm()
    bench.wires["spectrometer"].rewrite = (b"\x69", b"")  # every such byte is lost on the way, the last one at least
    edges(bench, 1)
    with pytest.raises(LinkTimeout):
        bench.spectrometer.collect()
    assert bench.links["spectrometer"].state is LinkState.DOUBTFUL
    bench.wires["spectrometer"].rewrite = None
    with pytest.raises(InstrumentError):
        bench.spectrometer.collect()
    bench.spectrometer.make_safe()
    assert bench.spectrometer.read_safe().safe
    bench.spectrometer.prepare()


def test_one_that_gives_no_spectrum_while_it_runs_free_is_told(bench: RoleBench) -> None:
    persona = bench.wires["spectrometer"].persona
    receive = persona.receive
    persona.receive = lambda data, t_ns: receive(data.replace(b"\x09", b""), t_ns)  # type: ignore[method-assign]
    with pytest.raises(InstrumentError, match="gives no spectrum"):
        bench.spectrometer.prepare()
