"""A proxy between our program and served instruments that does to their bytes what a script says; real sockets on 127.0.0.1.

It runs in a thread of its own and cuts what passes into messages (to the instrument) and replies (from it): up to a line end,
one frame of the Ocean binary protocol, or what has come when 3 ms nothing more comes. Delays keep the order, as TCP does.
When the block in which a proxy is used ends with an error, the script, the seed and the last bytes are printed.
"""

import asyncio
import random
import re
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self, TypeVar

HOST = "127.0.0.1"
MESSAGE, REPLY = "message", "reply"
QUIET_S = 3e-3
CHUNK_BYTES = 1 << 16
OBP_START, OBP_HEADER_BYTES = b"\xc1\xc0", 44
LAST_WORDS = 30
THREAD_S = 10.0
T = TypeVar("T")


# --- what can be done to a message or a reply


class Deed(Protocol):
    """Does something to one message or reply that has come on a stream."""

    async def __call__(self, stream: "Stream", data: bytes) -> None: ...


@dataclass(frozen=True)
class Delayed:
    """Delivered so much later than it came; what comes behind it waits."""

    delay_s: float

    async def __call__(self, stream: "Stream", data: bytes) -> None:
        await asyncio.sleep(stream.arrived_s + self.delay_s - time.monotonic())
        await stream.send(data)


@dataclass(frozen=True)
class Lost:
    """Not delivered."""

    async def __call__(self, stream: "Stream", data: bytes) -> None:
        pass


@dataclass(frozen=True)
class Doubled:
    """Delivered twice."""

    async def __call__(self, stream: "Stream", data: bytes) -> None:
        await stream.send(data + data)


@dataclass(frozen=True)
class Corrupt:
    """Bits flipped: (place modulo length, mask) for each byte."""

    flips: tuple[tuple[int, int], ...]

    async def __call__(self, stream: "Stream", data: bytes) -> None:
        changed = bytearray(data)
        for place, mask in self.flips:
            changed[place % len(changed)] ^= mask
        await stream.send(bytes(changed))


@dataclass(frozen=True)
class Sliced:
    """Delivered in pieces of so many bytes, each in a packet of its own."""

    piece_bytes: int = 1
    pause_s: float = 0.0

    async def __call__(self, stream: "Stream", data: bytes) -> None:
        for begin in range(0, len(data), self.piece_bytes):
            await stream.send(data[begin : begin + self.piece_bytes])
            await asyncio.sleep(self.pause_s)


@dataclass(frozen=True)
class Cut:
    """Only its first bytes are delivered."""

    kept_bytes: int

    async def __call__(self, stream: "Stream", data: bytes) -> None:
        await stream.send(data[: self.kept_bytes])


@dataclass(frozen=True)
class Glued:
    """Kept until the next one comes, then both in one packet."""

    async def __call__(self, stream: "Stream", data: bytes) -> None:
        stream.kept += data


@dataclass(frozen=True)
class Endless:
    """Followed, instead of its end, by so many bytes without a line end, as fast as they are taken."""

    total_bytes: int

    async def __call__(self, stream: "Stream", data: bytes) -> None:
        piece = b"7" * CHUNK_BYTES
        await stream.send(data.rstrip(b"\r\n"))
        for _ in range(0, self.total_bytes, CHUNK_BYTES):
            await stream.send(piece)


@dataclass(frozen=True)
class Reset:
    """The connection is reset (RST) before it is delivered, or after.

    For so long new connections are refused (the port is closed), or dropped as soon as they are taken.
    """

    delivered: bool = False
    refused_s: float = 0.0
    dropped_s: float = 0.0

    async def __call__(self, stream: "Stream", data: bytes) -> None:
        if self.delivered:
            await stream.send(data)
            await asyncio.sleep(2 * QUIET_S)
        stream.wire.reset(self.refused_s, self.dropped_s)


@dataclass(frozen=True)
class Ended:
    """The instrument says farewell (FIN) instead of an answer."""

    async def __call__(self, stream: "Stream", data: bytes) -> None:
        stream.wire.end_all()


@dataclass(frozen=True)
class BlackHole:
    """The cable is pulled: connections stay open, new ones are taken, and nothing is delivered to anybody any more."""

    async def __call__(self, stream: "Stream", data: bytes) -> None:
        stream.wire.dead = True


@dataclass(frozen=True)
class Elsewhere:
    """The connection is reset; who connects again finds what listens on another port."""

    port: int

    async def __call__(self, stream: "Stream", data: bytes) -> None:
        stream.wire.port = self.port
        stream.wire.reset()


@dataclass(frozen=True)
class Jitter:
    """Delivered 0 to `most_s` later; mostly much less: the power makes the mean most_s / (power + 1)."""

    most_s: float
    power: float
    chance: random.Random

    async def __call__(self, stream: "Stream", data: bytes) -> None:
        delay_s = self.most_s * self.chance.random() ** self.power
        await asyncio.sleep(stream.arrived_s + delay_s - time.monotonic())
        await stream.send(data)


@dataclass(frozen=True)
class Call:
    """Delivered, and somebody else does something at that moment; in the proxy's thread."""

    act: Callable[[], None]

    async def __call__(self, stream: "Stream", data: bytes) -> None:
        self.act()
        await stream.send(data)


@dataclass
class Rule:
    """On the n-th message or reply (of those that match) do something.

    Parameters
    ----------
    way     MESSAGE or REPLY
    number  of the first one it is done to, from 0, counted since the rule was given
    match   regular expression that it must contain
    times   to so many, one after the other; None: to all that follow
    """

    way: str
    deed: Deed
    number: int = 0
    match: bytes = b""
    times: int | None = 1
    seen: int = 0
    done_ns: list[int] = field(default_factory=list[int])  # monotonic, of each deed

    def wants(self, way: str, data: bytes) -> bool:
        if way != self.way or not re.search(self.match, data):
            return False
        number, self.seen = self.seen, self.seen + 1
        if number < self.number or (self.times is not None and len(self.done_ns) >= self.times):
            return False
        self.done_ns.append(time.monotonic_ns())
        return True


# --- frames


def line_end(data: bytes) -> int:
    """Where the first line ends, 0 when it has not."""
    return data.find(b"\n") + 1


def obp_end(data: bytes) -> int:
    """Where the first frame of the Ocean binary protocol ends, 0 when it has not."""
    if not data.startswith(OBP_START[: len(data)]):
        return len(data)
    if len(data) < OBP_HEADER_BYTES:
        return 0
    end = OBP_HEADER_BYTES + int(struct.unpack_from("<I", data, OBP_HEADER_BYTES - 4)[0])
    return end if len(data) >= end else 0


ENDS: Mapping[str, Callable[[bytes], int]] = {"ocean-fx": obp_end}


# --- the proxy


class Stream:
    """One direction of one connection."""

    def __init__(self, wire: "Wire", way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.wire = wire
        self.way = way
        self.arrived_s = 0.0
        self.kept = b""
        self._reader = reader
        self._writer = writer
        self._whole: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(1 << 12)

    async def run(self) -> None:
        """Carry until one side has ended."""
        await asyncio.gather(self._listen(), self._deliver())

    async def send(self, data: bytes) -> None:
        """Deliver bytes as one packet, unless the cable is pulled."""
        data, self.kept = self.kept + data, b""
        if data and not self.wire.dead:
            self._writer.write(data)
            await self._writer.drain()

    async def _listen(self) -> None:
        data, ended = b"", False
        while not ended:
            try:
                piece = await asyncio.wait_for(self._reader.read(CHUNK_BYTES), QUIET_S if data else None)
                data, ended = data + piece, not piece
            except TimeoutError:
                ended = False
                data = await self._whole_one(data, len(data))
                continue
            while data and (end := self.wire.end(data)):
                data = await self._whole_one(data, end)
        if data:
            await self._whole_one(data, len(data))
        await self._whole.put((0.0, b""))

    async def _whole_one(self, data: bytes, end: int) -> bytes:
        await self._whole.put((time.monotonic(), data[:end]))
        return data[end:]

    async def _deliver(self) -> None:
        while True:
            self.arrived_s, data = await self._whole.get()
            if not data:
                break
            deed = self.wire.deed(self.way, data)
            await (self.send(data) if deed is None else deed(self, data))
        if self._writer.can_write_eof() and not self.wire.dead:
            self._writer.write_eof()


class Wire:
    """All connections to one instrument."""

    def __init__(self, proxy: "Proxy", role: str, port: int, end: Callable[[bytes], int]) -> None:
        self.proxy = proxy
        self.role = role
        self.port = port
        self.end = end
        self.dead = False
        self.connections = 0
        self.drops_until_s = 0.0
        self.server: asyncio.Server | None = None
        self.rules: list[Rule] = []
        self._writers: set[asyncio.StreamWriter] = set()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a client in; called by asyncio."""
        self.connections += 1
        self._writers.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            if time.monotonic() < self.drops_until_s:
                return
            from_there, there = await asyncio.open_connection(HOST, self.port)
            self._writers.add(there)
            for one in (writer, there):
                one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.gather(
                Stream(self, MESSAGE, reader, there).run(),
                Stream(self, REPLY, from_there, writer).run(),
            )
        except (OSError, asyncio.CancelledError):
            pass  # one side has gone, so the other goes
        finally:
            for one in (writer, there):
                if one is not None:
                    self._writers.discard(one)
                    _abort(one) if one is writer and time.monotonic() < self.drops_until_s else one.close()

    def deed(self, way: str, data: bytes) -> Deed | None:
        """What is to be done to this message or reply; written down."""
        found = next((rule for rule in self.rules if rule.wants(way, data)), None)
        self.proxy.words.append((time.monotonic_ns(), self.role, way, data, None if found is None else found.deed))
        return None if found is None else found.deed

    def end_all(self) -> None:
        """Close all connections in good order."""
        for writer in tuple(self._writers):
            writer.close()

    def reset(self, refused_s: float = 0.0, dropped_s: float = 0.0) -> None:
        """Reset all connections; refuse or drop new ones for so long."""
        self.drops_until_s = time.monotonic() + dropped_s
        if refused_s and self.server is not None:
            self.server.close()
            asyncio.get_running_loop().call_later(refused_s, self._listen_again)
        for writer in tuple(self._writers):
            _abort(writer)

    async def listen(self, port: int) -> int:
        """Take clients in from now on; return the port."""
        self.server = await asyncio.start_server(self.connect, HOST, port)
        return int(self.server.sockets[0].getsockname()[1])

    def _listen_again(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self.listen(self.proxy.ports[self.role]))


class Proxy:
    """One wire per instrument, each with a port of its own.

    Parameters
    ----------
    ports   role -> port of the instrument
    models  role -> model, for the form of its messages
    seed    of everything that is left to chance; only written down here
    """

    def __init__(self, ports: Mapping[str, int], models: Mapping[str, str], seed: int = 0) -> None:
        self.seed = seed
        self.words: deque[tuple[int, str, str, bytes, Deed | None]] = deque(maxlen=LAST_WORDS)
        self.ports: dict[str, int] = {}
        self._wires = {role: Wire(self, role, port, ENDS.get(models[role], line_end)) for role, port in ports.items()}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")

    def wire(self, role: str) -> Wire:
        return self._wires[role]

    def on(self, role: str, way: str, deed: Deed, number: int = 0, match: bytes = b"", times: int | None = 1) -> Rule:
        """Add a rule to the script; from any thread. Of several rules the first that wants a message has it."""
        rule = Rule(way, deed, number, match, times)
        self._wires[role].rules = [*self._wires[role].rules, rule]
        return rule

    def vanish(self) -> None:
        """Everything is unplugged at once: connections reset, ports closed for an hour. From any thread."""

        def go() -> None:
            for wire in self._wires.values():
                wire.reset(refused_s=3600.0)

        self._loop.call_soon_threadsafe(go)

    def story(self) -> str:
        """The script and the last words, for a person."""
        rules = [f"  {role}: {rule}" for role, wire in self._wires.items() for rule in wire.rules]
        words = [
            f"  {t_ns / 1e9:.4f} {role} {way} {data[:60]!r}{'' if deed is None else f' <- {deed}'}"
            for t_ns, role, way, data, deed in self.words
        ]
        return "\n".join([f"proxy, seed {self.seed}; script:", *rules, "last words:", *words])

    def __enter__(self) -> Self:
        self._thread.start()
        for role, wire in self._wires.items():
            self.ports[role] = self._call(wire.listen(0))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if error is not None:
            sys.stderr.write(self.story() + "\n")
        with suppress(TimeoutError):
            self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(THREAD_S)
        self._loop.close()

    async def _end(self) -> None:
        for wire in self._wires.values():
            if wire.server is not None:
                wire.server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(QUIET_S)  # transports close their sockets in the next turns of the loop

    def _call(self, work: Awaitable[T]) -> T:
        async def wait() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result(THREAD_S)


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close with a reset (RST) instead of a farewell."""
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
