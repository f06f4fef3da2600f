"""The simulated bench as a PyVISA backend by name, under programs that know nothing of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rig.bench import default_bench
from sim_instruments.catalogue import entries
from sim_instruments.paced_world import PacedWorld
from sim_instruments.world import START_NS, World

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {"keithley-2400": "GPIB0::24::INSTR", "keithley-2450": "USB0::0x05E6::0x2450::04412345::INSTR"}


def run(program: str, folder: Path, **variables: str) -> str:
    """Run a Python program in a process of its own and return what it prints."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"} | variables
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("model", sorted(SOURCES))
def test_pymeasure_measures_the_film_with_an_environment_variable_only(model: str, tmp_path: Path) -> None:
    if model not in {entry.model for entry in entries()}:
        pytest.skip(f"no simulated {model}")
    text = (ROOT / "rig" / "default_bench.toml").read_text(encoding="utf-8")
    text = text.replace("keithley-2400", model).replace(SOURCES["keithley-2400"], SOURCES[model])
    text = text.replace("trigger_link_1", "digital_io_1") if model == "keithley-2450" else text
    (tmp_path / "lab.toml").write_text(text, encoding="utf-8")
    name = model.replace("-", " ").title().replace(" ", "")
    program = f"""
from pymeasure.instruments.keithley import {name}
source = {name}({SOURCES[model]!r})
print(source.id)
source.reset()
source.apply_voltage(voltage_range=20, compliance_current=1e-3)
source.source_voltage = 20
source.enable_source()
source.measure_current(nplc=0.1, current=1e-3)
print(float(source.current))
source.shutdown()
"""
    identity, current_a = run(program, tmp_path, PYVISA_LIBRARY="lab.toml@ito").splitlines()
    assert identity.startswith("KEITHLEY INSTRUMENTS")
    assert model.rpartition("-")[2] in identity
    assert 1e-7 < float(current_a) < 1e-3


def test_the_name_alone_is_the_default_bench_and_every_manager_sees_the_same_one(tmp_path: Path) -> None:
    program = """
import pyvisa
for turn in range(2):
    manager = pyvisa.ResourceManager("@ito")
    trigger = manager.open_resource("TCPIP::192.0.2.20::5025::SOCKET", read_termination="\\n", write_termination="\\n")
    if turn == 0:
        print(*manager.list_resources("?*"))
        trigger.write("BURC 77")
        trigger.query("*IDN?")
    else:
        print(trigger.query("BURC?").strip())
    trigger.close()
    manager.close()
"""
    resources, count = run(program, tmp_path).splitlines()
    bench = default_bench()
    assert set(resources.split()) == {getattr(bench, role).resource for role in bench.roles()}
    assert count == "77"


SLEEPER = """
import os, time, pyvisa
for clock, backend in (("paced", "@ito"), ("stepped", "lab.toml@ito")):
    os.environ["ITO_RIG_CLOCK"] = clock
    trigger = pyvisa.ResourceManager(backend).open_resource("TCPIP::192.0.2.20::5025::SOCKET", write_termination="\\n")
    world = trigger.visalib.world
    trigger.write("*CLS")
    before = world.now_ns()
    time.sleep(0.2)
    trigger.write("*CLS")
    print(world.now_ns() - before)
    trigger.close()
"""


def test_a_sleep_of_the_program_passes_on_the_bench_too_unless_the_clock_is_stepped(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text((ROOT / "rig" / "default_bench.toml").read_text(encoding="utf-8"), encoding="utf-8")
    paced_ns, stepped_ns = map(int, run(SLEEPER, tmp_path).splitlines())
    assert paced_ns >= 200_000_000
    assert stepped_ns == 0


# --- pacing


class Real:
    """The computer's clock, moved by hand."""

    def __init__(self) -> None:
        self.ns = 5_000

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def world() -> World:
    return World(default_bench().description(), seed=1)


def test_time_between_calls_passes_once(world: World) -> None:
    real = Real()
    paced = PacedWorld(world, real)
    real.ns += 300
    assert paced.now_ns() == START_NS + 300
    assert paced.now_ns() == START_NS + 300
    real.ns += 200
    paced.catch_up()
    assert world.now_ns() == START_NS + 500


def test_a_wait_that_was_stepped_over_is_not_taken_off_a_later_sleep(world: World) -> None:
    real = Real()
    paced = PacedWorld(world, real)
    paced.advance_to(START_NS + 10_000)
    real.ns += 4_000
    assert paced.now_ns() == START_NS + 14_000


def test_what_the_simulation_costs_does_not_count(world: World) -> None:
    real = Real()
    paced = PacedWorld(world, real)
    advance = world.advance_to

    def dear(t_ns: int) -> None:
        real.ns += 1_000_000
        advance(t_ns)

    world.advance_to = dear  # type: ignore[method-assign]
    paced.advance_to(START_NS + 10)
    assert paced.now_ns() == START_NS + 10
