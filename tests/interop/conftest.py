"""The score of the programs by others, at the end of a test run."""

import pytest
from scores import SCORES


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SCORES] = {}


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    scores = config.stash[SCORES]
    if not scores:
        return
    terminalreporter.section("programs by others: cases passed of cases tried")
    for (model, script), (passed, tried) in sorted(scores.items()):
        terminalreporter.write_line(f"{model:16} {script:24} {passed:3d} of {tried}")
    for model in sorted({model for model, _ in scores}):
        parts = [score for (one, _), score in scores.items() if one == model]
        terminalreporter.write_line(f"{model:16} {'all':24} {sum(p for p, _ in parts):3d} of {sum(t for _, t in parts)}")
