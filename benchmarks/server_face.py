"""The server face against an echo server on the same machine in the same run, and triggered frames over TCP.

A question takes the wire, the server and the instrument's own time (a simulated command takes as long as the maker's: 1 ms and
more for most); the last column takes the instrument's own time off, as it is measured on the in-process bench.

python benchmarks/server_face.py [seconds of triggered frames, 60] [shots per second, 1000]
"""

import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, cast

from pyvisa import ResourceManager

from drivers.clock import MonotonicClock
from drivers.link import Link
from drivers.obp import frame
from drivers.registry import find
from drivers.roles import BurstProgram, ExposureProgram, PulseOutput
from rig.bench import default_bench
from sim_instruments.catalogue import entries as simulated
from sim_instruments.world import World

SERVE = (sys.executable, "-m", "rig.cli", "sim", "serve", "--json")
COUNT = 1000
LONGEST_S = 3.0  # for one kind of question
EXPOSURE_NS = 100_000


# --- round trips


@contextmanager
def served(*words: str) -> Generator[tuple[dict[str, Any], int]]:
    """The bench in its own process: addresses and process id."""
    with subprocess.Popen([*SERVE, *words], stdout=subprocess.PIPE, text=True) as process:
        stdout = cast(IO[str], process.stdout)
        try:
            yield json.loads(stdout.readline()), process.pid
        finally:
            process.terminate()


def echo(question_bytes: int, answer_bytes: int) -> None:
    """Answer every question of a known length with an answer of a known length, in the same kind of loop."""
    with socket.create_server(("127.0.0.1", 0)) as listener, selectors.SelectSelector() as selector:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        client, _ = listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(client, selectors.EVENT_READ)
        owed = 0
        while True:
            selector.select(1.0)
            received = len(client.recv(4096))
            if not received:
                return
            if hasattr(socket, "TCP_QUICKACK"):
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            owed += received
            while owed >= question_bytes:
                owed -= question_bytes
                client.send(b"x" * (answer_bytes - 1) + b"\n")


def median_us(ask: Callable[[], object]) -> float:
    took: list[float] = []
    until = time.perf_counter() + LONGEST_S
    while len(took) < COUNT and time.perf_counter() < until:
        began = time.perf_counter()
        ask()
        took.append((time.perf_counter() - began) * 1e6)
    return statistics.median(took)


def echo_us(question_bytes: int, answer_bytes: int) -> float:
    """Round trip of the same lengths to the echo server, with the same Link and pyvisa-py."""
    words = [sys.executable, __file__, "echo", str(question_bytes), str(answer_bytes)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        stdout = cast(IO[str], process.stdout)
        port = int(stdout.readline())
        manager = ResourceManager("@py")
        entry = find("srs-dg645")
        link = entry.open_link(manager, f"TCPIP::127.0.0.1::{port}::SOCKET", MonotonicClock())
        took = median_us(partial(Question("echo", b"?" * question_bytes).ask, link))
        link.close()
        manager.close()
    return took


@dataclass(frozen=True, slots=True)
class Question:
    """A short question as bytes, and how long its answer is: None for a line."""

    name: str
    message: bytes
    answer_bytes: int | None = None

    def ask(self, link: Link) -> int:
        """Ask it; return how many bytes the answer had."""
        with link.conversation():
            link.write_bytes(self.message)
            return len(link.read()) + 1 if self.answer_bytes is None else len(link.read_bytes(self.answer_bytes))


IDENTITY = Question("*IDN?", b"*IDN?\n")
QUESTIONS: dict[str, tuple[Question, ...]] = {
    "keithley-2400": (IDENTITY, Question("reading", b":MEAS:CURR?\n")),
    "keithley-2450": (IDENTITY, Question("reading", b":MEAS:CURR?\n")),
    "scpi-supply": (IDENTITY, Question("reading", b"MEAS:VOLT?\n")),
    "srs-dg645": (IDENTITY, Question("reading", b"TSRC?\n")),
    "ocean-fx": (Question("serial number", frame(0x000100), 64), Question("reading", frame(0x101000), 64 + 4272)),
    "thorlabs-pm100d": (IDENTITY, Question("reading", b"SYST:SENS:IDN?\n")),
    "thorlabs-ell14": (Question("in", b"0in", 35), Question("reading", b"0gp", 13)),
}


def own_time_us(model: str, role: str, resource: str, question: Question) -> float:
    """What the instrument itself takes from the last byte of the question, the second time it is asked."""
    bench = default_bench().description()
    bench[role] = {**bench.get(role, {}), "model": model, "resource": resource}
    world = World(bench, 0, wire_time=False)
    persona = world.personas[role]
    asked_ns = 0
    for _ in range(2):
        asked_ns = world.now_ns()
        persona.receive(question.message, asked_ns)
        answered = False
        while not answered:
            due_ns = persona.reply_ready_ns(world.now_ns())
            world.advance_to(max(world.now_ns() + 1, due_ns or 0))
            _, answered = persona.take(1 << 20, world.now_ns())
    return (world.now_ns() - asked_ns) / 1e3


def over_tcp(model: str, role: str) -> list[tuple[float, int]]:
    """Round trip (us) and bytes of the answer for each question, through the server."""
    rows: list[tuple[float, int]] = []
    with served("--model", f"{role}={model}") as (addresses, _):
        manager = ResourceManager("@py")
        link = find(model).open_link(manager, addresses[role]["resource"], MonotonicClock())
        for question in QUESTIONS[model]:
            received = question.ask(link)
            rows.append((median_us(partial(question.ask, link)), received))
        link.close()
        manager.close()
    return rows


def round_trips() -> None:
    heads = ("question", "sent", "got", "took", "echo", "ratio", "own time", "without")
    print(f"{'model':16} {heads[0]:14}" + "".join(f"{head:>10}" for head in heads[1:]))
    for entry in simulated():
        if entry.model not in QUESTIONS:
            continue
        for question, (took, received) in zip(QUESTIONS[entry.model], over_tcp(entry.model, entry.role), strict=True):
            own = own_time_us(entry.model, entry.role, entry.resource, question)
            base = echo_us(len(question.message), received)
            print(
                f"{entry.model:16} {question.name:14}{len(question.message):8d} B{received:8d} B{took:7.0f} us{base:7.0f} us"
                f"{took / base:10.1f}{own:7.0f} us{(took - own) / base:10.1f}"
            )


# --- frames


def cpu_s(pid: int) -> float:
    """CPU time of a process (s); Linux only."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def triggered_frames(duration_s: float, rate_hz: float) -> None:
    clock = MonotonicClock()
    with served() as (addresses, pid):
        clock.sleep(1.0)
        before, began = cpu_s(pid), time.perf_counter()
        clock.sleep(5.0)
        print(f"idle: {(cpu_s(pid) - before) / (time.perf_counter() - began):.1%} of a core")
        manager = ResourceManager("@py")
        trigger, trigger_link = find("srs-dg645").connect(manager, addresses["laser_trigger"]["resource"], clock)
        spectrometer, spectrometer_link = find("ocean-fx").connect(manager, addresses["spectrometer"]["resource"], clock)
        try:
            report(trigger, spectrometer, pid, clock, round(duration_s * rate_hz), rate_hz)
        finally:
            for link in (trigger_link, spectrometer_link):
                link.close()
            manager.close()


def report(trigger: Any, spectrometer: Any, pid: int, clock: MonotonicClock, shots: int, rate_hz: float) -> None:
    trigger.prepare()
    spectrometer.prepare()
    outputs = tuple(PulseOutput(channel, 0, 10_000, 2.5, False, True) for channel in ("EF", "AB"))
    trigger.load(BurstProgram(round(1e9 / rate_hz), outputs, t0_on_first_shot_only=False))
    spectrometer.load(ExposureProgram(EXPOSURE_NS, "external_edge"))
    spectrometer.arm()
    trigger.arm(shots)
    counts: list[int] = []
    before, own, began = cpu_s(pid), time.process_time(), time.perf_counter()
    trigger.fire()
    took, quiet = 0.0, 0
    while quiet < 20:
        batch = spectrometer.collect()
        counts += batch.count.tolist()
        quiet = 0 if len(batch) else quiet + 1
        took = time.perf_counter() - began if len(batch) else took
        if len(batch) < spectrometer.frames_per_request:
            clock.sleep(0.01)
    gaps = sum(after - one - 1 for one, after in pairwise(counts))
    print(
        f"{shots} shots at {rate_hz:g} Hz: {len(counts)} frames in {took:.1f} s, {len(counts) / took:.0f}/s, "
        f"{shots - len(counts)} missing, {gaps} lost in gaps of the count; "
        f"server {(cpu_s(pid) - before) / took:.1%} of a core, client {(time.process_time() - own) / took:.1%}"
    )


def main(words: Sequence[str]) -> None:
    if words[:1] == ["echo"]:
        echo(int(words[1]), int(words[2]))
        return
    duration_s, rate_hz = (float(word) for word in (*words, *("60", "1000")[len(words) :]))
    round_trips()
    triggered_frames(duration_s, rate_hz)


if __name__ == "__main__":
    main(sys.argv[1:])
