"""Collects what tests of the table of faults measure: `pytest --fault-times FILE` writes it, docs/make_fault_table.py reads it.

In several processes (pytest-xdist) each writes its own FILE.gw0.json and so on, and the maker takes them all.

A test tells `record_property("off_ms", float)` (from the fault to 0 V and no pulse, by the record of persona or server) and
`record_property("kept", "412 of 412 frames")`, each as often as it likes.
"""

import json
import os
import platform
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

TOLD = ("off_ms", "kept")


class FaultTimes:
    """What was told during one test session."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tests: list[dict[str, Any]] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        rows = [row for mark in item.iter_markers("fault") for row in mark.args]
        if report.when == "call" and rows:
            told = {name: [value for key, value in item.user_properties if key == name] for name in TOLD}
            self.tests.append({"test": item.nodeid, "rows": rows, "outcome": report.outcome, **told})
        return report

    def pytest_sessionfinish(self) -> None:
        on = f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} processors"
        self.path.write_text(json.dumps({"on": on, "tests": self.tests}, indent=1), encoding="utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-times", type=Path, metavar="FILE", help="write what tests of the table of faults have measured")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--fault-times")
    if path is not None and not getattr(config.option, "numprocesses", None):  # the processes of pytest-xdist do it
        worker = getattr(config, "workerinput", {}).get("workerid", "")
        path = path.with_suffix(f".{worker}.json") if worker else path
        config.pluginmanager.register(FaultTimes(path.absolute()), "fault times")
