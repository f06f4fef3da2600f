"""The bench made of software, in this process: the one place of the program that knows sim_instruments, and only when asked."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyvisa import ResourceManager

from drivers.errors import ConfigError, Reason
from rig.bench import Bench


def make_world(
    bench: Bench,
    *,
    seed: int = 0,
    device: str | None = None,
    variant: str | None = None,
    state: Path | str | None = None,
    faults: Iterable[str] = (),
) -> Any:
    """Make a simulated bench; a film with a serial number comes with its history, which is written down from now on.

    Raises
    ------
    ConfigError  it cannot be simulated as asked
    """
    from sim_instruments.device_store import default_folder
    from sim_instruments.world import World

    folder = (state or default_folder()) if device else None
    with _impossible():
        return World(bench.description(), seed, device, variant, folder, _parsed(faults, seed))


def resources_of(world: Any) -> ResourceManager:
    """Return PyVISA's way to the instruments of a simulated bench."""
    from sim_instruments.visa_library import library_for

    return ResourceManager(library_for(world))


def check_film(device: str | None, variant: str | None, faults: Iterable[str]) -> None:
    """See that there is such a film and that there are such faults.

    Raises
    ------
    ConfigError  there are not
    """
    if device or variant or faults:
        from sim_instruments.film import variants

        with _impossible():
            variants.device(device, variant)
            _parsed(faults, 0)


def fault_names() -> tuple[str, ...]:
    """Which faults a simulated bench can be given."""
    from sim_instruments.faults import FAULTS

    return tuple(FAULTS)


def put_in(world: Any, fault: str, seed: int = 0) -> None:
    """Break a simulated bench while it works, from its thread; the fault's onset counts from now.

    Raises
    ------
    ConfigError  there is no such fault
    """
    from sim_instruments.faults import apply, parse_fault

    with _impossible():
        apply(world, parse_fault(fault, seed))


def simulated_models() -> dict[str, list[str]]:
    """Which models can be simulated: role -> models."""
    from sim_instruments.catalogue import entries

    models: dict[str, list[str]] = {}
    for entry in entries():
        models.setdefault(entry.role, []).append(entry.model)
    return models


@contextmanager
def _impossible() -> Generator[None]:
    """Turn what the simulation refuses into a refusal of ours."""
    try:
        yield
    except (ValueError, KeyError, OSError) as error:
        raise ConfigError(
            "This bench cannot be simulated as asked.",
            (Reason("simulation-impossible", "", str(error)),),
            next_step="correct the device, the variant or the fault; `rig list` names the models that can be simulated",
        ) from error


def _parsed(faults: Iterable[str], seed: int) -> list[Any]:
    from sim_instruments.faults import parse_fault

    return [parse_fault(text, seed + number) for number, text in enumerate(faults)]
