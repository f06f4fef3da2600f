"""What every test is held to."""

import os

# the simulation's matrices are tiny: more threads only wait for each other
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import threading
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def leaves_no_thread_behind() -> Iterator[None]:
    """Fail a test that leaves a thread running."""
    before = set(threading.enumerate())
    yield
    left = [thread.name for thread in threading.enumerate() if thread not in before and thread.is_alive()]
    assert not left, f"threads left behind: {left}"
