"""`rig sim serve`: the whole simulated bench as TCP servers, until Ctrl-C."""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from sim_instruments.black_box import BlackBox
from sim_instruments.catalogue import find
from sim_instruments.device_store import default_folder
from sim_instruments.faults import Fault, parse_fault
from sim_instruments.pace import RealPace
from sim_instruments.server import BenchServer
from sim_instruments.world import OPTIONAL_ROLES, REQUIRED_ROLES, START_NS

ROLES = (*REQUIRED_ROLES, *OPTIONAL_ROLES)
DONE, REFUSED = 0, 2


class BenchSource(Protocol):
    """Who can read and write bench files, which this package knows nothing of; errors are the source's own."""

    def describe(self, path: Path | None, instruments: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
        """Describe a bench file (None: the default bench) as World wants it, with some roles' (model, resource) replaced."""
        ...

    def served(self, path: Path | None, instruments: Mapping[str, tuple[str, str]], resources: Mapping[str, str]) -> str:
        """Write the same bench as TOML, marked as simulated, with role -> resource where its instruments are served."""
        ...


def add_options(command: argparse.ArgumentParser) -> None:
    """Declare the options of `serve`."""
    command.add_argument("--bench", type=Path, metavar="B", help="bench file; without it the default bench")
    command.add_argument("--seed", type=_seed, default=0, metavar="N", help="of all noise (default 0)")
    command.add_argument(
        "--model",
        action="append",
        default=[],
        type=_pair,
        dest="models",
        metavar="ROLE=MODEL",
        help="another model in a role, as in voltage_source=keithley-2450; may be repeated",
    )
    command.add_argument(
        "--port",
        action="append",
        default=[],
        type=_port,
        dest="ports",
        metavar="ROLE=N",
        help="TCP port of a role (default: any free one); may be repeated",
    )
    command.add_argument("--bench-out", type=Path, metavar="FILE", help="write a bench file for `rig run --bench FILE`")
    command.add_argument(
        "--record", type=Path, metavar="FILE", help="write down what really happens: terminal voltage, pulses, bytes heard"
    )
    command.add_argument("--json", action="store_true", help="one line: role -> model, host, port, resource; nothing else")
    command.add_argument("--device", metavar="SERIAL", help="serial number of the film, whose history is kept")
    command.add_argument("--variant", choices=("bare", "pmma"), help="how the film is made (default bare)")
    command.add_argument("--state", type=Path, metavar="DIR", help="folder of the films' histories (default: your own)")
    command.add_argument(
        "--fault",
        action="append",
        default=[],
        dest="faults",
        metavar="FAULT",
        help="break the bench: NAME[@ONSETs][:SEVERITY][:MODE], the onset counted from the start; may be repeated",
    )


def serve(options: argparse.Namespace, source: BenchSource) -> int:
    """Serve until Ctrl-C or a termination signal; return the exit code.

    Raises whatever `source` raises for a bench file that cannot be used.
    """
    box = None
    try:
        pace = RealPace(START_NS)
        box = None if options.record is None else BlackBox(options.record, pace)
        instruments = {role: (model, find(model, _role(role)).resource) for role, model in options.models}
        description = source.describe(options.bench, instruments)
        server = BenchServer(
            description,
            dict(options.ports),
            options.seed,
            pace,
            device=options.device,
            variant=options.variant,
            state_folder=(options.state or default_folder()) if options.device else None,
            faults=_faults(options.faults, options.seed),
        )
    except (ValueError, OSError) as error:
        return _refuse(str(error), "correct the option, or choose another port")
    if box is not None:
        box.attach(server)
        server.look = box.look
    with _stopped_by_signals(server.stop):
        try:
            if options.bench_out is not None:
                toml = source.served(options.bench, instruments, server.resources)
                options.bench_out.write_text(toml, encoding="utf-8", newline="\n")
            _announce(server, options)
            server.serve()
        except OSError as error:
            return _refuse(str(error), "choose a place that can be written to")
        finally:
            server.close()
            if box is not None:
                box.close()
    if not options.json:
        sys.stdout.write("SIMULATED bench: ended.\n")
    return DONE


def _announce(server: BenchServer, options: argparse.Namespace) -> None:
    if options.json:
        sys.stdout.write(json.dumps({role: asdict(address) for role, address in server.addresses.items()}) + "\n")
    else:
        sys.stdout.write("SIMULATED bench on the real clock; everything listens. Ctrl-C ends it.\n")
        for role, address in server.addresses.items():
            sys.stdout.write(f"  {role:15} {address.model:18} {address.resource}\n")
        if options.bench_out is not None:
            sys.stdout.write(f"rig run SEQUENCE.toml --bench {options.bench_out}\n")
    sys.stdout.flush()


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Generator[None]:
    """Let Ctrl-C and a termination signal end the server instead of the interpreter."""
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.signal(kind, lambda _number, _frame: stop()) for kind in kinds}
    try:
        yield
    finally:
        for kind, action in before.items():
            signal.signal(kind, action)


def _refuse(what: str, next_step: str) -> int:
    sys.stderr.write(f"Refused\n{what}\n  hardware: nothing was touched, nothing listens\n  next:     {next_step}\n")
    return REFUSED


def _faults(texts: Sequence[str], seed: int) -> list[Fault]:
    return [parse_fault(text, seed + number) for number, text in enumerate(texts)]


def _role(text: str) -> str:
    if text not in ROLES:
        raise ValueError(f"{text!r} is no role; there are {', '.join(ROLES)}")
    return text


def _pair(text: str) -> tuple[str, str]:
    role, equals, value = text.partition("=")
    if not (role and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form ROLE=VALUE")
    return role, value


def _port(text: str) -> tuple[str, int]:
    role, value = _pair(text)
    if not (value.isdecimal() and 1 <= int(value) <= 65535):
        raise argparse.ArgumentTypeError(f"{value!r} is no TCP port: 1 to 65535")
    return role, int(value)


def _seed(text: str) -> int:
    seed = int(text)
    if not 0 <= seed < 2**63:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 2**63 - 1")
    return seed
