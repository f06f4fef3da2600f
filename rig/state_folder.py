"""Where this user's state is kept that outlives programs: locks, running engines."""

import os
from pathlib import Path

from platformdirs import user_state_path


def state_folder(name: str) -> Path:
    """Return the place for one kind of state: in $ITO_RIG_STATE, else in the system's place for it."""
    return Path(os.environ.get("ITO_RIG_STATE") or user_state_path("ito-rig")) / name
