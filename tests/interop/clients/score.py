"""What a client's program says of itself: one JSON line per case, passed or not and why. Standard library only."""

import contextlib
import json
import os
import pty
import socket
import sys
import threading
import traceback
import tty
from pathlib import Path


@contextlib.contextmanager
def case(name):
    """One thing the client does; what it raises is a case that failed, and the next one is tried all the same."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever a client raises is its case's verdict
        where = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        print(json.dumps({"case": name, "passed": False, "why": why}), flush=True)
    else:
        print(json.dumps({"case": name, "passed": True, "why": ""}), flush=True)


def same(found, wanted):
    """Demand equality, and say both when there is none."""
    if found != wanted:
        raise AssertionError(f"{found!r} is not {wanted!r}")


def near(found, wanted, within):
    """Demand a number within `within` of `wanted`."""
    if not abs(float(found) - wanted) <= within:
        raise AssertionError(f"{found!r} is not within {within!r} of {wanted!r}")


def refused(action, *kinds):
    """Demand that something is refused by one of these exceptions."""
    try:
        action()
    except kinds:
        return
    raise AssertionError("not refused")


def address():
    """Host and port from the command line."""
    return sys.argv[1], int(sys.argv[2])


def serial_port():
    """Path of a pseudo-terminal wired to the instrument, for clients that know serial ports only."""
    wire = socket.create_connection(address())
    ours, theirs = pty.openpty()
    tty.setraw(theirs)

    def carry(read, write):
        with contextlib.suppress(OSError):
            while data := read():
                write(data)

    for one in ((lambda: os.read(ours, 4096), wire.sendall), (lambda: wire.recv(4096), lambda data: os.write(ours, data))):
        threading.Thread(target=carry, args=one, daemon=True).start()
    return os.ttyname(theirs)
