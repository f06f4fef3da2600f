"""What an experiment is, and how it is run.

`Session` runs sequences on a bench, `OnOff` and `FluenceSweep` are measurements; all load on first use: `import rig` is free.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rig.measurements.fluence_sweep import FluenceSweep
    from rig.measurements.on_off import OnOff
    from rig.session import Session

__distribution__ = "ito-rig"
__all__ = ["FluenceSweep", "OnOff", "Session"]


def __getattr__(name: str) -> Any:
    if name == "Session":
        from rig.session import Session

        return Session
    if name == "OnOff":
        from rig.measurements.on_off import OnOff

        return OnOff
    if name == "FluenceSweep":
        from rig.measurements.fluence_sweep import FluenceSweep

        return FluenceSweep
    raise AttributeError(f"module 'rig' has no attribute {name!r}")
