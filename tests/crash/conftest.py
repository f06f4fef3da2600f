"""Fixtures of runs whose output fails."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "run"))
from desk import Desk
from failing_file import Disk


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Desk:
    """A terminal of 80 columns in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return Desk(monkeypatch, capfd)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> Disk:
    """A disk that can be told to fail."""
    return Disk(monkeypatch, desk)
