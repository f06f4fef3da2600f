"""What every test is held to."""

import os

# the simulation's matrices are tiny: more threads only wait for each other
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import threading
from collections.abc import Iterator

import pytest

pytest_plugins = ["faults.fault_times", "interop.scores"]


@pytest.fixture(autouse=True)
def films_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Histories of simulated films never come from, or go to, the user's own folder."""
    monkeypatch.setenv("ITO_RIG_STATE", str(tmp_path_factory.getbasetemp() / "films"))


@pytest.fixture(autouse=True)
def leaves_no_thread_behind() -> Iterator[None]:
    """Fail a test that leaves a thread running; one that has been told to end may take a second to do so."""
    before = set(threading.enumerate())
    yield
    new = [thread for thread in threading.enumerate() if thread not in before]
    for thread in new:
        thread.join(timeout=1.0)
    left = [thread.name for thread in new if thread.is_alive()]
    assert not left, f"threads left behind: {left}"
