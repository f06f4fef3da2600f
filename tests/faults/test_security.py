"""Nothing listens beyond this computer, and no file or answer is ever executed."""

import ast
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.bench import default_bench
from sim_instruments.server import BenchServer

ROOT = Path(__file__).parents[2]
SOURCES = [*(path for folder in ("rig", "drivers", "sim_instruments", "gui") for path in (ROOT / folder).rglob("*.py"))]
SOURCES += [ROOT / "pyvisa_ito.py"]
EXECUTE = {"eval", "exec", "compile", "__import__"}
UNPICKLE = {"pickle", "cPickle", "dill", "marshal", "shelve", "joblib", "cloudpickle"}
BY_NAME = {"drivers/registry.py", "sim_instruments/catalogue.py"}  # the names come from the package's own folder
NETWORK = {"socket", "socketserver", "asyncio", "http", "xmlrpc", "multiprocessing"}
LOOPBACK = "127.0.0.1"


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text("utf-8")))


def imported(node: ast.AST) -> set[str]:
    """The packages that a statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    return {(node.module or "").split(".")[0]} if isinstance(node, ast.ImportFrom) else set()


def called(node: ast.Call) -> str:
    return ast.unparse(node.func)


def forbidden(path: Path) -> list[str]:
    """What in a file could execute what it is given, as `line: words`."""
    found: list[str] = []
    for node in nodes(path):
        words = ""
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            words = " ".join(name for name in names if name.split(".")[0] in UNPICKLE)
        elif isinstance(node, ast.Call):
            name = called(node)
            last = name.split(".")[-1]
            fixed = bool(node.args) and isinstance(node.args[0], ast.Constant)
            by_name = last == "import_module" and not fixed and path.relative_to(ROOT).as_posix() not in BY_NAME
            if name in EXECUTE or by_name:
                words = name
            words = words or next(
                (k.arg for k in node.keywords if k.arg in ("shell", "allow_pickle") and ast.unparse(k.value) != "False"), ""
            )
        if words:
            found.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}: {words}")
    return found


@pytest.mark.fault("C6")
def test_no_file_of_ours_can_execute_what_it_reads() -> None:
    assert len(SOURCES) > 150
    assert [one for path in SOURCES for one in forbidden(path)] == []


@pytest.mark.parametrize(
    "line",
    ["eval(text)", "import pickle", "importlib.import_module(name)", "run(words, shell=True)", "load(f, allow_pickle=True)"],
)
def test_the_search_finds_what_it_looks_for(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("test_security.ROOT", tmp_path)
    (tmp_path / "bad.py").write_text(line, "utf-8")
    assert len(forbidden(tmp_path / "bad.py")) == 1


@pytest.mark.fault("R1")
def test_everything_that_listens_does_so_on_this_computer_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judged at the sockets themselves: what they are bound to when they begin to listen."""
    heard: list[str] = []
    listen = socket.socket.listen

    def watched(self: socket.socket, *backlog: int) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            heard.append(self.getsockname()[0])
        listen(self, *backlog)

    monkeypatch.setattr(socket.socket, "listen", watched)
    server = BenchServer(default_bench().description())
    server.close()
    assert heard == [LOOPBACK] * len(default_bench().roles())


@pytest.mark.fault("R1")
def test_only_the_server_face_and_the_control_channel_listen() -> None:
    listening = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if any(NETWORK & imported(node) for node in nodes(path))
        for node in nodes(path)
        if isinstance(node, ast.Call) and called(node).split(".")[-1] in ("listen", "create_server", "start_server", "bind")
    }
    assert not [path for path in SOURCES if "QtNetwork" in path.read_text("utf-8")]  # sockets of another kind
    assert listening == {"rig/control_server.py", "sim_instruments/served_instrument.py", "sim_instruments/server.py"}
