"""What every test is held to."""

import os

# the simulation's matrices are tiny: more threads only wait for each other
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import threading
from collections.abc import Iterator

import pytest

pytest_plugins = ["faults.fault_times", "interop.scores"]


@pytest.fixture(scope="session", autouse=True)
def nothing_of_the_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What fixtures of whole modules run, before a test has a folder of its own, is kept from the user's own folder, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ITO_RIG_STATE", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def films_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Histories of simulated films, and locks of broken ones, are those of one test, never in the user's own folder."""
    monkeypatch.setenv("ITO_RIG_STATE", str(tmp_path_factory.mktemp("state")))


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
