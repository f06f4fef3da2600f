"""One simulated instrument behind a listening socket, and whose turn it is to talk to it.

Several clients may be connected. The instrument has one input, as a terminal server has: what clients send arrives there in
turn. A turn lasts till the instrument has answered, at most `TURN_NS` after the last byte, so that nobody can lock another out
(a program that only wants to switch off gets through while a first one hangs). An answer goes to whoever asked last; a client
that asks nothing (an off message) does not take the answer that another one waits for. What is answered after its client has
gone is thrown away. Assumed, as makers do not say.
"""

import os
import socket
from dataclasses import dataclass

from sim_instruments.client_connection import ClientConnection, asks
from sim_instruments.persona import Persona

HOST = "127.0.0.1"
MAX_CLIENTS = 16
TURN_NS = 100_000_000
PAUSE_NS = 5_000_000
"""A client that is not answered has ended its turn when it says nothing for so long."""

OWED_NS = 10_000_000_000
"""So long an answer that only the bench can bring is looked for every millisecond, then less often."""

TAKE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Address:
    """Where a served instrument is found."""

    model: str
    host: str
    port: int
    resource: str


def listen(port: int) -> socket.socket:
    """Listen on 127.0.0.1; port 0 is any free one. Raises OSError when it is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere this option would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(MAX_CLIENTS)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


class ServedInstrument:
    """One instrument and its clients.

    Parameters
    ----------
    persona   the instrument
    listener  its listening socket; owned from now on
    is_line   a serial line or an adapter: half a message of a client that has gone stays in the instrument's input. An
              instrument with a network socket of its own forgets it.
    """

    def __init__(self, persona: Persona, listener: socket.socket, *, is_line: bool) -> None:
        self.persona = persona
        self.listener = listener
        self.clients: list[ClientConnection] = []
        self._is_line = is_line
        self._speaker: ClientConnection | None = None
        self._asker: ClientConnection | None = None
        self._orphaned = False  # a client has gone whose answers may still come
        self._owed = False  # the asker has asked, and nothing has been answered since
        self._answered = False  # the speaker has been answered since it spoke

    @property
    def idle(self) -> bool:
        """Get whether nobody talks to it and nobody did of late."""
        return not (self.clients or self._orphaned)

    def accept(self, now_ns: int) -> ClientConnection | None:
        """Take a new client in; None when it has gone again or there are too many."""
        try:
            connection, _ = self.listener.accept()
        except OSError:
            return None
        if len(self.clients) >= MAX_CLIENTS:
            connection.close()
            return None
        client = ClientConnection(connection, now_ns)
        self.clients.append(client)
        return client

    def hear(self, now_ns: int) -> None:
        """Hand to the instrument what clients have said, each in its turn; the world is at `now_ns`."""
        for client in self.clients:
            if client.inbox and self._may_speak(client, now_ns):
                words = client.next_words(now_ns)
                if words:
                    self._attribute(client, words)
                    self.persona.receive(words, now_ns)

    def answer(self, now_ns: int) -> int | None:
        """Send what is ready; return when the next answer is foretold (ns), None when none is."""
        answers: list[bytes] = []
        while (ready_ns := self.persona.reply_ready_ns(now_ns)) is not None and ready_ns <= now_ns:
            data, _ = self.persona.take(TAKE_BYTES, now_ns)
            if not data:
                break
            answers.append(data)
        self._orphaned = self._orphaned and ready_ns is not None
        if answers:
            self._owed = False
            self._answered = self._answered or self._asker is self._speaker
            if self._asker is not None:
                self._asker.answer(answers)
        return ready_ns

    def waiting(self, now_ns: int) -> bool:
        """Tell whether a client waits for something that nobody can foretell: its turn, or an answer the bench brings."""
        owed = self._owed and self._asker is not None and now_ns - self._asker.spoke_ns < OWED_NS
        return owed or any(client.inbox for client in self.clients)

    def dismiss(self, now_ns: int) -> list[ClientConnection]:
        """Take leave of clients that have gone, or have nothing more to say and to hear; return them, to be closed."""
        for client in self.clients:
            if client.finished or client.lost:
                break
        else:
            return []
        pending = self.persona.reply_ready_ns(now_ns) is not None
        gone = [client for client in self.clients if client.lost or self._done(client, pending)]
        self._orphaned = self._orphaned or bool(gone)
        for client in gone:
            self.clients.remove(client)
            if client is self._speaker and client.in_message and not self._is_line:
                self.persona.device_clear(now_ns)
        return gone

    def close(self) -> None:
        """End everything."""
        for client in self.clients:
            client.close()
        self.clients.clear()
        self.listener.close()

    def _done(self, client: ClientConnection, pending: bool) -> bool:
        return client.finished and not client.inbox and not client.unsent and not (pending and client is self._asker)

    def _may_speak(self, client: ClientConnection, now_ns: int) -> bool:
        holder = self._speaker
        if holder is None or holder is client:
            return True
        quiet_ns = now_ns - holder.spoke_ns
        if quiet_ns >= TURN_NS:
            return True
        if holder.in_message and not holder.lost:
            return False
        done = self._answered or holder.lost or quiet_ns >= PAUSE_NS
        return done and self.persona.reply_ready_ns(now_ns) is None

    def _attribute(self, client: ClientConnection, words: bytes) -> None:
        self._speaker, self._answered = client, False
        question = asks(words)
        if question or not self._owed or client is self._asker:
            self._asker = client
            self._owed = self._owed or question
