"""Where the scores of the programs by others are kept during a test run."""

import pytest

SCORES = pytest.StashKey[dict[tuple[str, str], tuple[int, int]]]()
"""(model, script) -> (cases passed, cases tried)."""
