"""`rig sim ...`: what a user asks of the simulated bench itself."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from sim_instruments.device_store import DeviceStore, default_folder
from sim_instruments.serve_command import BenchSource, add_options, serve


def main(words: Sequence[str], benches: BenchSource) -> int:
    """Do one command; return its exit code. `benches` reads and writes bench files."""
    parser = argparse.ArgumentParser(prog="rig sim", description="The simulated bench.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    devices = commands.add_parser("devices", help="films that have a history, and what they have been through")
    devices.add_argument("--state", type=Path, default=None, metavar="DIR", help="folder of the histories (default: your own)")
    devices.add_argument("--json", action="store_true", help="one JSON object per line")
    devices.set_defaults(do=_devices)
    server = commands.add_parser("serve", help="the whole bench as TCP servers on 127.0.0.1, for programs of any kind")
    add_options(server)
    server.set_defaults(do=lambda options: serve(options, benches))
    options = parser.parse_args(words)
    return options.do(options)


def _devices(options: argparse.Namespace) -> int:
    """List the films; nothing is ever taken back, a new device is a new serial number."""
    folder = options.state or default_folder()
    try:
        records = DeviceStore(folder).records()
    except (ValueError, OSError) as error:
        sys.stderr.write(f"The histories in {folder} cannot be read: {error}\n")
        return 2
    if options.json:
        for record in records:
            sys.stdout.write(json.dumps(asdict(record)) + "\n")
        return 0
    sys.stdout.write(f"SIMULATED films with a history, in {folder}\n")
    if not records:
        sys.stdout.write("none yet: rig run SEQUENCE.toml --device SERIAL makes one\n")
        return 0
    sys.stdout.write(f"{'serial':20} {'highest bias':>12} {'damage D':>9} {'bleached B':>10} {'hazard H':>9}  state\n")
    for record in records:
        state = "BROKEN DOWN" if record.breakdowns else "whole"
        sys.stdout.write(
            f"{record.serial:20} {record.greatest_bias_v:10.1f} V {record.damage:9.2e} {record.bleached:10.2e} "
            f"{record.hazard:9.2e}  {state}\n"
        )
    return 0
