"""`rig sim serve`: what it announces, writes and leaves behind."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rig import cli
from rig.bench import default_bench, read_bench

SERVE = (sys.executable, "-m", "rig.cli", "sim", "serve")
PATIENCE_S = 30


@contextmanager
def serving(*words: str) -> Generator[tuple[dict[str, Any], "subprocess.Popen[str]"]]:
    """A server in a process of its own, and what its first line says."""
    with subprocess.Popen([*SERVE, "--json", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline()), process
        finally:
            process.kill()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def ask(address: dict[str, Any], question: bytes) -> bytes:
    with socket.create_connection((address["host"], address["port"]), PATIENCE_S) as client:
        client.sendall(question)
        return client.makefile("rb").readline().strip()


def test_one_line_says_where_everything_listens_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / "served.toml"
    with serving("--port", f"laser_trigger={port}", "--bench-out", str(file)) as (addresses, process):
        assert set(addresses) == set(default_bench().roles())
        for address in addresses.values():
            assert set(address) == {"model", "host", "port", "resource"}
            assert address["host"] == "127.0.0.1"
            assert str(address["port"]) in address["resource"]
        assert addresses["laser_trigger"]["resource"] == f"TCPIP::127.0.0.1::{port}::SOCKET"
        assert ask(addresses["laser_trigger"], b"*IDN?\n").startswith(b"Stanford")
        bench = read_bench(file)  # is there before the line is
        assert bench.simulated
        assert {role: getattr(bench, role).resource for role in bench.roles()} == {
            role: address["resource"] for role, address in addresses.items()
        }
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, out, err) == (0, "", "")
    for address in addresses.values():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address["host"], address["port"]), 1)


@pytest.mark.skipif(os.name != "posix", reason="other systems end processes without telling them")
def test_the_table_says_simulated_and_a_termination_signal_ends_it_like_ctrl_c() -> None:
    words = [*SERVE, "--fault", "breakdown@0s"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(1 + len(default_bench().roles()))]
        process.send_signal(signal.SIGTERM)
        last, _ = process.communicate(timeout=PATIENCE_S)
    assert lines[0].startswith("SIMULATED")
    assert any("voltage_source" in line and "TCPIP::127.0.0.1::" in line for line in lines)
    assert last.startswith("SIMULATED")
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--model", "voltage_source=abacus-1"), "no simulated abacus-1 as voltage source"),
        (("--model", "coffee_machine=abacus-1"), "'coffee_machine' is no role"),
        (("--port", "coffee_machine=5000"), "no coffee_machine is on this bench"),
        (("--fault", "gremlins"), "no fault 'gremlins'"),
        (("--bench", "nowhere.toml"), "[file-missing]"),
        (("--bench-out", "nowhere/served.toml"), "No such file or directory"),
    ],
)
def test_what_cannot_be_served_is_refused(words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sim", "serve", *words]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert "hardware: nothing was touched" in said


def test_a_port_that_is_taken_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["sim", "serve", "--port", f"spectrometer={port}"]) == 2
    assert f"port {port} for spectrometer" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("--port", "spectrometer=70000"), ("--port", "spectrometer"), ("--seed", "-1")])
def test_words_that_make_no_sense_are_refused_by_the_parser(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["sim", "serve", *words])
    assert ended.value.code == 2
