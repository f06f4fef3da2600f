"""The command `rig unlock`: which devices have broken down, and that one of them may be used again, by whom and why."""

import argparse
import json
import sys
from dataclasses import asdict

from rich.console import Console

from rig.commands import Command
from rig.device_lock import Device, DeviceLocks, this_user
from rig.provenance import now_label
from rig.run_state import DONE


def unlock(options: argparse.Namespace, words: Console) -> int:
    """Unlock a device, or list those that are locked.

    Raises
    ------
    RefusedError  it is not locked, or no reason is given
    RecordError   that cannot be written
    """
    locks = DeviceLocks(options.state)
    if options.device is None:
        return _listed(locks, options, words)
    device = Device(options.device, options.simulated)
    locked = locks.unlock(device, this_user(), options.why, now_label())
    words.print(f"unlocked: {device} ({locked})", markup=False)
    words.print(f"who and why is kept in {locked.path}", markup=False)
    if options.json:
        sys.stdout.write(json.dumps({"unlocked": asdict(device)}) + "\n")
    return DONE


def _listed(locks: DeviceLocks, options: argparse.Namespace, words: Console) -> int:
    found = locks.all()
    for one in found:
        words.print(f"{'a device' if one.device is None else one.device}: {one}", markup=False)
    if not found:
        words.print("No device is locked.")
    if options.json:
        told = [
            {
                "device": None if one.device is None else one.device.name,
                "simulated": None if one.device is None else one.device.simulated,
                "breakdown": None if one.breakdown is None else asdict(one.breakdown),
                "file": str(one.path),
            }
            for one in found
        ]
        sys.stdout.write(json.dumps({"locked": told}, allow_nan=False) + "\n")
    return DONE


COMMANDS: dict[str, Command] = {"unlock": unlock}
