"""Bursts that a laser's sync edge begins: the driver's words, what the persona makes of them, and what does not begin one."""

from collections.abc import Iterator

import numpy as np
import pytest
from pyvisa import ResourceManager

from drivers.registry import find
from drivers.roles import BurstProgram, PulseOutput
from drivers.srs_dg645 import Dg645
from rig.bench import default_bench
from sim_instruments.persona import Edges
from sim_instruments.srs_dg645 import Dg645Persona
from sim_instruments.visa_library import library_for
from sim_instruments.world import World

MS = 1_000_000
INSERTION_NS = 85
PROGRAM = BurstProgram(
    MS,
    (PulseOutput("AB", 400_000, 20_000, 4.0, high_z=False, positive=True),),
    t0_on_first_shot_only=False,
    start="external_edge",
)


@pytest.fixture
def bench() -> Iterator[tuple[World, Dg645]]:
    description = default_bench().description()
    description["cables"] = []
    world = World(description, 0)
    manager = ResourceManager(library_for(world))
    driver, link = find("srs-dg645").connect(manager, world.resources["laser_trigger"], world)
    assert isinstance(driver, Dg645)
    driver.prepare()
    yield world, driver
    link.close()
    manager.close()


def edges(world: World, *rise_ns: int, high_v: float = 2.5) -> None:
    rise = np.array(rise_ns, dtype=np.int64)
    world.personas["laser_trigger"].receive_edges("EXT", Edges(rise, rise + 10_000, 0.0, high_v))


def seen(world: World) -> list[int]:
    """Begins of the pulses at AB from now on; the world forgets those without a cable."""
    persona = world.personas["laser_trigger"]
    assert isinstance(persona, Dg645Persona)
    begins: list[int] = []
    run = persona.run_until

    def watched(t_ns: int) -> object:
        pulses = run(t_ns)
        begins.extend(pulses["AB"].begin_ns.tolist() if "AB" in pulses else [])
        return pulses

    persona.run_until = watched  # type: ignore[method-assign,assignment]
    return begins


def test_the_next_edge_begins_a_counted_burst_at_the_generator_s_own_period(bench: tuple[World, Dg645]) -> None:
    world, driver = bench
    driver.load(PROGRAM)
    driver.arm(5)
    begins = seen(world)
    driver.fire()
    world.sleep(0.05)
    assert begins == []
    first_ns = world.now_ns() + 3 * MS
    edges(world, *(first_ns + number * 999_000 for number in range(20)))  # the laser runs faster than the generator
    world.sleep(0.1)
    assert begins == [first_ns + INSERTION_NS + 400_000 + number * MS for number in range(5)]
    assert not driver.busy()
    assert driver.errors() == []


def test_edges_before_and_after_the_burst_begin_nothing(bench: tuple[World, Dg645]) -> None:
    world, driver = bench
    driver.load(PROGRAM)
    driver.arm(2)
    begins = seen(world)
    edges(world, *(world.now_ns() + number * MS for number in range(1, 20)))
    world.sleep(0.05)
    assert begins == []
    driver.fire()
    edges(world, world.now_ns() + 30 * MS, world.now_ns() + 50 * MS, world.now_ns() + 60 * MS)
    world.sleep(0.1)
    assert len(begins) == 2


def test_every_burst_is_armed_for_anew(bench: tuple[World, Dg645]) -> None:
    world, driver = bench
    driver.load(PROGRAM)
    begins = seen(world)
    for shots in (2, 3):
        driver.arm(shots)
        driver.fire()
        edges(world, world.now_ns() + 20 * MS)
        world.sleep(0.05)
    assert len(begins) == 5


def test_an_edge_below_the_threshold_is_none(bench: tuple[World, Dg645]) -> None:
    world, driver = bench
    driver.load(PROGRAM)
    driver.arm(2)
    begins = seen(world)
    driver.fire()
    edges(world, world.now_ns() + 20 * MS, high_v=0.9)
    world.sleep(0.05)
    assert begins == []


@pytest.mark.parametrize("fired", [False, True])
def test_after_off_no_edge_begins_anything(bench: tuple[World, Dg645], fired: bool) -> None:
    world, driver = bench
    driver.load(PROGRAM)
    driver.arm(5)
    if fired:
        driver.fire()
    begins = seen(world)
    driver.make_safe()
    assert driver.read_safe().safe
    edges(world, *(world.now_ns() + number * MS for number in range(1, 20)))
    world.sleep(0.1)
    assert begins == []


def test_a_software_program_after_an_external_one_is_started_by_software(bench: tuple[World, Dg645]) -> None:
    world, driver = bench
    driver.load(PROGRAM)
    assert driver.trigger_source == 3
    driver.load(BurstProgram(MS, PROGRAM.outputs, t0_on_first_shot_only=False))
    assert driver.trigger_source == 5
    driver.arm(2)
    begins = seen(world)
    driver.fire()
    world.sleep(0.05)
    assert len(begins) == 2
