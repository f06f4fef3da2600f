"""The black box of a served bench tells what happened at the film, in monotonic time."""

import json
import time
from pathlib import Path

import numpy as np
from server_host import client, description

from sim_instruments.black_box import BlackBox
from sim_instruments.pace import RealPace
from sim_instruments.persona import Edges
from sim_instruments.server import BenchServer
from sim_instruments.world import START_NS, World


def test_voltages_pulses_and_bytes_are_written_down_with_the_computers_own_time(tmp_path: Path) -> None:
    began_ns = time.monotonic_ns()
    pace = RealPace(START_NS)
    box = BlackBox(tmp_path / "box.jsonl", pace)
    with BenchServer(description(), pace=pace) as server:
        box.attach(server)
        server.look = box.look
        with client(server, "voltage_source") as source:
            source.send(b":SOUR:VOLT 5;:OUTP ON\n")
            assert source.ask(b":OUTP?\n") == b"1"
            server.call(_one_pulse)
            source.send(b":OUTP OFF\n")
            assert source.ask(b":OUTP?\n") == b"0"
        server.call(lambda world: None)
    box.close()
    said = [json.loads(line) for line in (tmp_path / "box.jsonl").read_text().splitlines()]
    assert [what["voltage_v"] for what in said if "voltage_v" in what] == [0.0, 5.0, 0.0]
    assert [what["pulses"] for what in said if "pulses" in what] == [1]
    heard = "".join(what["heard"] for what in said if what.get("role") == "voltage_source")
    assert heard == ":SOUR:VOLT 5;:OUTP ON\n:OUTP?\n:OUTP OFF\n:OUTP?\n"
    on, off = [what["t_ns"] for what in said if "voltage_v" in what][1:]
    assert began_ns < on < off < time.monotonic_ns()


def _one_pulse(world: World) -> None:
    now_ns = world.now_ns()
    world.light_path.laser_triggered(Edges(np.array([now_ns]), np.array([now_ns + 1000]), low_v=0.0, high_v=5.0))
