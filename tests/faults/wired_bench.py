"""A bench on the real clock behind a proxy, `rig run` against it, and what the bench's own record says of it.

Bench and proxy live in threads of this process, so that the world can be asked; the program under test runs in the test's own
thread, as the command line does it. Times are the computer's monotonic clock.
"""

import io
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from bench_truth import Truth, truth_of, wrong_frames
from guarded_run import SEQUENCE
from other_benches import Values, nothing_in_the_beam, other_bench
from proxy import MESSAGE, Call, Proxy

from drivers.errors import RigError
from rig import session
from rig.cli import main
from rig.lifeline import Unguarded
from rig.runfile import RunFile, open_run
from sim_instruments.pace import RealPace
from sim_instruments.server import BenchServer
from sim_instruments.world import START_NS, World

DARK_UJ_CM2 = 0.1


@dataclass
class WiredRun:
    """How `rig run` ended, and what the program knew when.

    `errors` are all errors of ours in the order in which they were made (monotonic ns), those that were survived too;
    `acknowledged` the device times (us) of the frames that the run file has taken.
    """

    code: int = -1
    told: str = ""
    began_ns: int = 0
    ended_ns: int = 0
    errors: list[tuple[int, RigError]] = field(default_factory=list[tuple[int, RigError]])
    acknowledged: list[int] = field(default_factory=list[int])
    path: Path | None = None

    @property
    def lasted_s(self) -> float:
        return (self.ended_ns - self.began_ns) * 1e-9

    def detected_ns(self, since_ns: int) -> int:
        """When the program first knew that something was wrong."""
        return next(t_ns for t_ns, _ in self.errors if t_ns >= since_ns)

    def kept(self) -> str:
        """How many of the frames that were taken are in the file, each once; an assertion error when one is not."""
        assert self.path is not None, self.told
        stored = open_run(self.path).column("device_time_us").tolist()
        assert stored[: len(self.acknowledged)] == self.acknowledged
        assert len(set(stored)) == len(stored)
        return f"{len(self.acknowledged)} of {len(self.acknowledged)} acknowledged frames"


class WiredBench:
    """A served bench; `wired()` puts a proxy before it.

    Parameters
    ----------
    folder  for bench files and runs
    slim    nothing stands in the pump beam: three instruments
    """

    def __init__(self, folder: Path, *, slim: bool = True, **changes: Any) -> None:
        self.folder = folder
        self._changes = [nothing_in_the_beam] if slim else []
        description = other_bench(*self._changes).description()
        for role, what in changes.items():
            description[role] = {**description[role], **what}
        self.models = {role: what["model"] for role, what in description.items() if isinstance(what, dict) and "model" in what}
        pace = RealPace(START_NS)
        self.server = BenchServer(description, pace=pace)
        self._origin_ns = time.monotonic_ns() - pace.now_ns()
        self._runs = 0

    @property
    def ports(self) -> dict[str, int]:
        return {role: address.port for role, address in self.server.addresses.items()}

    @contextmanager
    def wired(self, seed: int = 0) -> Generator["Wired"]:
        """A proxy before every instrument, and a bench file that leads there."""
        with Proxy(self.ports, self.models, seed) as proxy:

            def elsewhere(tables: Values) -> None:
                for role, port in proxy.ports.items():
                    resource = self.server.addresses[role].resource.replace(str(self.ports[role]), str(port))
                    tables[role] = {**tables[role], "model": self.models[role], "resource": resource}
                tables.update(visa_library="@py", simulated=True)

            path = self.folder / f"{seed}_{time.monotonic_ns()}.toml"
            path.write_text(other_bench(*self._changes, elsewhere).source_text)
            yield Wired(self, proxy, path)

    # --- what really happened

    def call(self, look: Callable[[World], Any]) -> Any:
        return self.server.call(look)

    @property
    def voltage_v(self) -> float:
        """At the terminals, now."""
        return float(self.call(lambda world: world.terminal.record.voltage_v[-1]))

    def off_ns(self) -> int:
        """When the terminals went to 0 V for good, or the last light fell on the film, whichever was later."""

        def look(world: World) -> tuple[list[int], list[float]]:
            return list(world.terminal.record.t_ns), list(world.terminal.record.voltage_v)

        times_ns, voltages_v = self.call(look)
        assert voltages_v[-1] == 0.0, f"{voltages_v[-1]} V left at the film"
        on = np.flatnonzero(np.array(voltages_v) != 0.0)
        zero_ns = times_ns[on[-1] + 1] + self._origin_ns if len(on) else 0
        return max(zero_ns, self.last_light_ns())

    def last_light_ns(self) -> int:
        """When the last pulse fell on the film."""

        def look(world: World) -> int:
            pulses = world.light_path.record.pulses
            return int(pulses["t_ns"][pulses["fluence_uj_cm2"] > DARK_UJ_CM2].max(initial=0))

        return self.call(look) + self._origin_ns

    def truth(self, path: Path) -> Truth:
        """What the frames of a run file really caught."""
        run = open_run(path)
        judged = cast(Any, truth_of)
        return self.call(lambda world: judged(SimpleNamespace(world=world), run))

    def wrong(self, path: Path) -> tuple[int, int]:
        """How many frames of a run file are filed under a voltage that was not there, and how many are assigned."""
        run = open_run(path)
        return wrong_frames(run.frames(), self.truth(path)), int(run.ledger["assigned"])


@dataclass
class Wired:
    """A bench behind a proxy."""

    bench: WiredBench
    proxy: Proxy
    path: Path

    def at_burst(self, number: int, act: Callable[[], object]) -> None:
        """Do something when the n-th burst (from 0) is fired: 0 is OFF, 1 is ON."""
        self.proxy.on("laser_trigger", MESSAGE, Call(lambda: act() and None), number, rb"\*TRG")

    def run(
        self, mode: str = "gated", on_s: float = 0.5, off_s: float = 0.5, cycles: int = 1, *, guarded: bool = False
    ) -> WiredRun:
        """`rig run`, in this thread."""
        out = self.bench.folder / f"runs_{time.monotonic_ns()}"
        sequence = self.path.with_suffix(f".{mode}.toml")
        text = SEQUENCE.format(mode=mode, on_s=on_s, off_s=off_s).replace("cycles = 20", f"cycles = {cycles}")
        sequence.write_text(text.replace("settle_s = 0.1", "settle_s = 0.005"))
        found = WiredRun(began_ns=time.monotonic_ns())
        said = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
            _overhear(patch, found)
            if not guarded:  # a process more, and a second; not what is tried here
                patch.setattr(session, "Lifeline", lambda clock, silence_s: Unguarded())
            found.code = main(["run", str(sequence), "--bench", str(self.path), "--out", str(out)])
        found.ended_ns = time.monotonic_ns()
        found.told = said.getvalue()
        found.path = next(iter(out.glob("*.h5")), None)
        return found


def _overhear(patch: pytest.MonkeyPatch, found: WiredRun) -> None:
    made, append = RigError.__init__, RunFile.append_frames

    def noted(error: RigError, *args: Any, **kwargs: Any) -> None:
        made(error, *args, **kwargs)
        found.errors.append((time.monotonic_ns(), error))

    def taken(file: RunFile, rows: Any, *args: Any, **kwargs: Any) -> Any:
        done = append(file, rows, *args, **kwargs)
        found.acknowledged += rows["device_time_us"].tolist()
        return done

    patch.setattr(RigError, "__init__", noted)
    patch.setattr(RunFile, "append_frames", taken)
