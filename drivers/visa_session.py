"""What PyVISA-py keeps behind an open resource, for what VISA has no names for; other VISA libraries show nothing of theirs.

Source: pyvisa-py 0.8.1 (`sessions`, `interface`, `max_recv_size`, `_pending_buffer`). Its socket reads take their deadline from
the wall clock, and spin until then when the other side has ended the connection (read in its `tcpip.py`; the latter measured).
"""

import select
import socket
from typing import Any

from pyvisa.resources import Resource

RECEIVE_BYTES = 1 << 20
LOOK_BYTES = 1 << 16


def session_behind(resource: Resource) -> Any:
    """Return what PyVISA-py keeps of an open resource, None with other VISA libraries."""
    sessions: Any = getattr(resource.visalib, "sessions", None)
    return sessions.get(resource.session) if isinstance(sessions, dict) else None


def arrived(resource: Resource, patience_s: float) -> int | None:
    """Return how many bytes can be read from a socket at once, 0 when none has come within `patience_s` (s).

    Reading so many neither waits nor spins. None where only reading tells: with other links and other libraries.

    Raises
    ------
    OSError  the other side has ended the connection, or it is broken
    """
    session = session_behind(resource)
    interface: Any = getattr(session, "interface", None)
    if not isinstance(interface, socket.socket):
        return None
    pending = getattr(session, "_pending_buffer", b"")
    if not pending and not select.select([interface], [], [], max(0.0, patience_s))[0]:
        return 0
    waiting = pending or interface.recv(LOOK_BYTES, socket.MSG_PEEK)
    if not waiting:
        raise ConnectionError("the other side has ended the connection")
    return len(waiting)


def tune_socket(resource: Resource) -> None:
    """Give a socket of PyVISA-py TCP_NODELAY and large receives.

    PyVISA-py offers no attribute for either and reports a refused port only at the first transfer. Without TCP_NODELAY a write
    followed by a query takes 44 ms.

    Raises
    ------
    ConnectionError  the connection was refused
    """
    session = session_behind(resource)
    interface: Any = getattr(session, "interface", None)
    if not isinstance(interface, socket.socket):
        return
    refused = interface.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if refused:
        raise ConnectionError(refused, f"connection failed (error {refused})")
    interface.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(session, "max_recv_size"):
        session.max_recv_size = RECEIVE_BYTES
