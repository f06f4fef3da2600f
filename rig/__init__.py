"""What an experiment is, and how it is run.

`Session` runs sequences on a bench, `OnOff` is the switching measurement; both load on first use, so that `import rig` is free.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rig.measurements.on_off import OnOff
    from rig.session import Session

__distribution__ = "ito-rig"
__all__ = ["OnOff", "Session"]


def __getattr__(name: str) -> Any:
    if name == "Session":
        from rig.session import Session

        return Session
    if name == "OnOff":
        from rig.measurements.on_off import OnOff

        return OnOff
    raise AttributeError(f"module 'rig' has no attribute {name!r}")
