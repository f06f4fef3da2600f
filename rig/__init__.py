"""What an experiment is, and how it is run.

`Session` runs sequences on a bench; `OnOff`, `FluenceSweep`, `ThresholdMap`, `PlVsVoltage`, `Response`, `Iv` and `Control`
are measurements. All load on first use: `import rig` is free.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rig.measurements.control import Control
    from rig.measurements.fluence_sweep import FluenceSweep
    from rig.measurements.iv import Iv
    from rig.measurements.on_off import OnOff
    from rig.measurements.pl_vs_voltage import PlVsVoltage
    from rig.measurements.response import Response
    from rig.measurements.threshold_map import ThresholdMap
    from rig.session import Session

__distribution__ = "ito-rig"
__all__ = ["Control", "FluenceSweep", "Iv", "OnOff", "PlVsVoltage", "Response", "Session", "ThresholdMap"]


def __getattr__(name: str) -> Any:
    if name == "Session":
        from rig.session import Session

        return Session
    if name in __all__:
        from rig.measurements.catalogue import MEASUREMENTS

        return next(kind for kind in MEASUREMENTS.values() if kind.__name__ == name)
    raise AttributeError(f"module 'rig' has no attribute {name!r}")
