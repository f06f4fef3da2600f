"""What the tests of the contracts leave behind."""

from collections.abc import Iterator

import pytest
from role_bench import OPEN_FACES


@pytest.fixture(autouse=True)
def closes_benches() -> Iterator[None]:
    """End every bench that a test has made."""
    yield
    while OPEN_FACES:
        OPEN_FACES.pop().close()
