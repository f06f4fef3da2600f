"""What PyVISA-py keeps behind an open resource, for what VISA has no names for; other VISA libraries show nothing of theirs.

Source: pyvisa-py 0.8.1 (`sessions`, `interface`, `max_recv_size`).
"""

import socket
from typing import Any

from pyvisa.resources import Resource

RECEIVE_BYTES = 1 << 20


def session_behind(resource: Resource) -> Any:
    """Return what PyVISA-py keeps of an open resource, None with other VISA libraries."""
    sessions: Any = getattr(resource.visalib, "sessions", None)
    return sessions.get(resource.session) if isinstance(sessions, dict) else None


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
