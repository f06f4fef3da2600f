"""The score of the programs by others, at the end of a test run, also of one in several processes."""

import pytest

SCORES = pytest.StashKey[dict[tuple[str, str], tuple[int, int]]]()
"""(model, script) -> (cases passed, cases tried)."""


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SCORES] = {}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a process of pytest-xdist's, hand the scores over."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["scores"] = [[*who, *score] for who, score in session.config.stash[SCORES].items()]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    for model, script, passed, tried in getattr(node, "workeroutput", {}).get("scores", []):
        node.config.stash[SCORES][model, script] = (passed, tried)  # type: ignore[attr-defined]


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    scores = config.stash[SCORES]
    if not scores or hasattr(config, "workerinput"):
        return
    terminalreporter.section("programs by others: cases passed of cases tried")
    for (model, script), (passed, tried) in sorted(scores.items()):
        terminalreporter.write_line(f"{model:16} {script:24} {passed:3d} of {tried}")
    for model in sorted({model for model, _ in scores}):
        parts = [score for (one, _), score in scores.items() if one == model]
        terminalreporter.write_line(f"{model:16} {'all':24} {sum(p for p, _ in parts):3d} of {sum(t for _, t in parts)}")
