"""A bench served by another process that writes down what really happens, and `rig run` as a third process against it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RIG = (sys.executable, "-m", "rig.cli")
SEQUENCE = """\
title = "guarded"
sample = "guarded"
measurement = "on_off"
mode = "{mode}"

[parameters]
voltage_on_v = 20.0
voltage_off_v = 0.0
on_time_s = {on_s}
off_time_s = {off_s}
cycles = 20
fluence_uj_cm2 = 40.0
settle_s = 0.1
"""


def pause(duration_s: float) -> None:
    time.sleep(duration_s)  # noqa: TID251 - real processes in real time


def budget_ms(wanted_ms: float) -> float:
    """A time that is promised: exact on a machine of one's own, three times as long where other tests run beside this one.

    The promises themselves are measured in benchmarks/, on their own.
    """
    return wanted_ms * (3 if os.environ.get("CI") or os.environ.get("PYTEST_XDIST_WORKER") else 1)


def eventually(what: Callable[[], Any], within_s: float, name: str) -> Any:
    """The first true answer; an assertion error when there is none in time."""
    end = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < end, f"{name}: not within {within_s:g} s"
        pause(0.002)
    return found


@dataclass
class Record:
    """The server's own record, as far as it has been written."""

    path: Path
    voltages: list[tuple[int, float]] = field(default_factory=list)
    pulses: list[tuple[int, int]] = field(default_factory=list)
    heard: list[tuple[int, str, str]] = field(default_factory=list)
    _read: int = 0

    def update(self) -> "Record":
        with self.path.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            what = json.loads(line)
            if "voltage_v" in what:
                self.voltages.append((what["t_ns"], what["voltage_v"]))
            elif "pulses" in what:
                self.pulses.append((what["t_ns"], what["pulses"]))
            else:
                self.heard.append((what["t_ns"], what["role"], what["heard"]))
        return self

    @property
    def voltage_v(self) -> float:
        """At the film, now."""
        return self.update().voltages[-1][1]

    @property
    def off(self) -> bool:
        return self.voltage_v == 0.0

    def zero_since_ns(self) -> int:
        """When the voltage became 0 for good; asks for nothing while it is not."""
        t_ns, voltage_v = self.update().voltages[-1]
        assert voltage_v == 0.0, f"{voltage_v} V at the film"
        return t_ns

    def last_pulse_ns(self) -> int:
        return self.update().pulses[-1][0] if self.pulses else 0


@dataclass
class ServedBench:
    folder: Path
    record: Record
    bench: Path
    process: subprocess.Popen[str]

    def with_silence(self, silence_s: float) -> Path:
        """The bench file with another guard_silence_s."""
        path = self.folder / f"silence_{silence_s:g}.toml"
        text, count = re.subn(r"guard_silence_s = [\d.]+", f"guard_silence_s = {silence_s}", self.bench.read_text())
        assert count == 1
        path.write_text(text)
        return path


@contextmanager
def served_bench(folder: Path, *words: str) -> Generator[ServedBench]:
    bench, record = folder / "served.toml", folder / "box.jsonl"
    command = [*RIG, "sim", "serve", "--json", "--bench-out", str(bench), "--record", str(record), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())
            yield ServedBench(folder, Record(record), bench, process)
        finally:
            process.kill()


class GuardedRun:
    """`rig run` against a served bench; its guard is a process of its own."""

    def __init__(
        self, served: ServedBench, mode: str, bench: Path | None = None, on_s: float = 1.2, off_s: float = 1.0
    ) -> None:
        self.served = served
        self.begun_ns = time.monotonic_ns()
        self.out = served.folder / f"runs_{time.monotonic_ns()}"
        sequence = served.folder / f"{mode}.toml"
        sequence.write_text(SEQUENCE.format(mode=mode, on_s=on_s, off_s=off_s))
        words = ["run", str(sequence), "--bench", str(bench or served.bench), "--out", str(self.out)]
        self.process = subprocess.Popen(
            [*RIG, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        self.said: list[str] = []
        self.warned: list[str] = []
        self._ears = [
            threading.Thread(target=_listen, args=(pipe, lines))
            for pipe, lines in ((self.process.stdout, self.said), (self.process.stderr, self.warned))
        ]
        for ear in self._ears:
            ear.start()

    @property
    def guard_pid(self) -> int:
        """From what the run says of its guard."""
        found = eventually(self._guard, 20, "the run names its guard")
        return int(found.group(1))

    def _guard(self) -> "re.Match[str] | None":
        assert self.process.poll() is None, self.told
        return re.search(r"guard: process (\d+);", "".join(self.said))

    @property
    def told(self) -> str:
        return "".join([*self.said, *self.warned])

    def wait_for_voltage(self, voltage_v: float = 20.0) -> None:
        def there() -> bool:
            assert self.process.poll() is None, self.told
            t_ns, at_v = next(reversed(self.served.record.update().voltages), (0, None))
            return at_v == voltage_v and t_ns > self.begun_ns

        eventually(there, 30, f"{voltage_v} V at the film")

    def signal(self, number: int) -> int:
        """Send a signal to the run's process alone; return the monotonic time before it (ns)."""
        t_ns = time.monotonic_ns()
        os.kill(self.process.pid, number)
        return t_ns

    def end(self, within_s: float = 30.0) -> int:
        """Wait for its end and for the end of everybody who holds its output, the guard too; return its exit code."""
        code = self.process.wait(within_s)
        for ear in self._ears:
            ear.join(within_s)
            assert not ear.is_alive(), "somebody still holds the output of the run"
        return code

    def deeds(self) -> list[dict[str, Any]]:
        """What the guard wrote beside the run file."""
        found = list(self.out.glob("*.guard.json"))
        return json.loads(found[0].read_text())["guard"] if found else []

    def __enter__(self) -> "GuardedRun":
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        for ear in self._ears:
            ear.join(30)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def _listen(pipe: Any, lines: list[str]) -> None:
    lines.extend(iter(lambda: pipe.readline(), ""))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def kill_times_ms(served: ServedBench, mode: str, delays_s: Sequence[float]) -> list[tuple[float, float]]:
    """Kill a run while 20 V are at the film, `delay_s` after they came; voltage and pulses off after so many ms."""
    times: list[tuple[float, float]] = []
    for delay_s in delays_s:
        with GuardedRun(served, mode) as run:
            run.wait_for_voltage()
            pause(delay_s)
            assert served.record.voltage_v == 20.0
            killed_ns = run.signal(signal.SIGKILL)
            run.end()
            zero_ns, pulse_ns = served.record.zero_since_ns(), served.record.last_pulse_ns()
            assert zero_ns > killed_ns
            times.append(((zero_ns - killed_ns) * 1e-6, max(0, pulse_ns - killed_ns) * 1e-6))
    return times
