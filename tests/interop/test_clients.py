"""Programs written for the real instruments, by others, run unchanged on the simulated ones, over TCP.

Every client lives in an environment of its own, made by this test run (and kept in pytest's cache, where a later run finds it).
"""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from socket import create_connection

import pytest
from interop.scores import SCORES

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

CLIENTS = Path(__file__).parent / "clients"
INSTALL_S, START_S, CLIENT_S = 400, 30, 60


@dataclass(frozen=True)
class Client:
    """A program of somebody else's.

    Parameters
    ----------
    script    in clients/
    packages  what its environment holds
    role      whom it talks to
    model     what stands there
    light     whether the laser fires, at 10 Hz
    cases     how many cases the script tries
    """

    script: str
    packages: tuple[str, ...]
    role: str
    model: str
    cases: int
    light: bool = False


PYMEASURE = ("PyMeasure==0.16.0", "PyVISA-py==0.8.1")
ROSTER = (
    Client("pymeasure_2400", PYMEASURE, "voltage_source", "keithley-2400", 15),
    Client("pymeasure_2400_legacy", PYMEASURE, "voltage_source", "keithley-2400", 7),
    Client("pymeasure_2450", PYMEASURE, "voltage_source", "keithley-2450", 12),
    Client("qcodes_2450", ("qcodes==0.58.0", "PyVISA-py==0.8.1"), "voltage_source", "keithley-2450", 9),
    Client("srsinst_dg645", ("srsinst.dg645==0.1.0",), "laser_trigger", "srs-dg645", 12),
    Client("instrumentkit_dg645", ("instrumentkit==1.0.0b2",), "laser_trigger", "srs-dg645", 5),
    Client("seabreeze_fx", ("seabreeze==2.11.0", "pyusb==1.3.1"), "spectrometer", "ocean-fx", 7),
    Client("pymeasure_pm100", PYMEASURE, "energy_meter", "thorlabs-pm100d", 4, light=True),
    Client("thorlabspm100", ("ThorlabsPM100==1.2.2", "PyVISA-py==0.8.1"), "energy_meter", "thorlabs-pm100d", 7, light=True),
    Client("instrumentkit_pm100", ("instrumentkit==1.0.0b2",), "energy_meter", "thorlabs-pm100d", 3, light=True),
    Client("elliptec_ell14", ("elliptec==0.1.0",), "attenuator", "thorlabs-ell14", 7),
    Client("thorlabs_elliptec_ell14", ("thorlabs-elliptec==1.3.0",), "attenuator", "thorlabs-ell14", 5),
    Client("instrumentkit_sc10", ("instrumentkit==1.0.0b2",), "shutter", "thorlabs-sc10", 7),
)


def python_with(packages: tuple[str, ...], cache: Path) -> Path:
    """Return the interpreter of an environment that holds these packages, made if it is not there yet."""
    folder = cache / f"{packages[0].split('=')[0]}-{sha256(repr(packages).encode()).hexdigest()[:8]}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True, timeout=INSTALL_S)
        (folder / "complete").touch()
    return python


class Bench:
    """`rig sim serve` in a process of its own."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "rig.cli", "sim", "serve", "--json", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.instruments = json.loads(self.process.stdout.readline())

    def close(self) -> int:
        """Ctrl-C it."""
        self.process.send_signal(2)
        _, _ = self.process.communicate(timeout=10)
        return self.process.returncode


@pytest.fixture(params=ROSTER, ids=lambda client: client.script)
def client(request: pytest.FixtureRequest) -> Client:
    return request.param


@pytest.fixture
def bench(client: Client) -> Iterator[Bench]:
    bench = Bench("--model", f"{client.role}={client.model}")
    yield bench
    assert bench.close() == 0


def tell(bench: Bench, role: str, words: bytes, answer: bytes) -> None:
    """Somebody at an instrument; `answer` ends what it says."""
    place = bench.instruments[role]
    heard = b""
    with create_connection((place["host"], place["port"]), timeout=10) as link:
        link.sendall(words)
        while not heard.endswith(answer):
            heard += link.recv(100)


def fire(bench: Bench) -> None:
    """The laser fires ten times a second, through the open attenuator and the open shutter, into a meter of the right range."""
    tell(bench, "laser_trigger", b"*RST\nLAMP 3,4.0\nDLAY 7,6,1e-5\nTRAT 10\nTSRC 0\nTSRC?\n", b"0\r\n")
    tell(bench, "attenuator", b"0ho0", b"0PO00000000\r\n")
    tell(bench, "shutter", b"ens\r", b"> ")
    tell(bench, "energy_meter", b"SENS:ENER:RANG 1e-6;:SENS:ENER:RANG?\n", b"\n")


def test_a_client_finds_its_instrument(client: Client, bench: Bench, pytestconfig: pytest.Config) -> None:
    """Every case the client tries passes; the score is cases passed of cases tried."""
    if client.light:
        fire(bench)
    place = bench.instruments[client.role]
    assert place["model"] == client.model
    python = python_with(client.packages, Path(pytestconfig.cache.mkdir("interop")))
    run = subprocess.run(
        [python, CLIENTS / f"{client.script}.py", place["host"], str(place["port"])],
        capture_output=True,
        text=True,
        timeout=CLIENT_S,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    cases = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    passed = sum(one["passed"] for one in cases)
    pytestconfig.stash[SCORES][client.model, client.script] = (passed, max(len(cases), client.cases))
    failed = {one["case"]: one["why"] for one in cases if not one["passed"]}
    assert not failed, f"{passed} of {len(cases)} passed; {failed}"
    assert (run.returncode, len(cases)) == (0, client.cases), run.stderr
