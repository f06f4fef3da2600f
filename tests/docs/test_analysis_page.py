"""docs/analysis.md says what the estimator is today, and that the numbers asked for are reached."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = runpy.run_path(str(ROOT / "docs" / "make_analysis_page.py"))
PAGE = (ROOT / "docs" / "analysis.md").read_text(encoding="utf-8")
ROWS = [line.split(" | ") for line in PAGE.splitlines() if "single shots, energy-rebinned" in line]


def test_the_page_is_the_scripts_own() -> None:
    assert PAGE.startswith(next(SCRIPT["page"](SCRIPT["FILMS"])))


def test_bias_and_coverage_are_what_is_asked_for() -> None:
    assert [row[0].lstrip("| ") for row in ROWS] == ["dense", "noisy", "sparse"]
    for row, most in zip(ROWS, (99.0, 99.0, 100.0), strict=True):
        assert abs(float(row[4])) <= 1.0
        assert 92.0 <= float(row[7]) <= most


def test_no_false_threshold_was_found() -> None:
    assert re.findall(r"(\d+) thresholds found", PAGE) == ["0", "0"]
