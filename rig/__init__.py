"""What an experiment is, and how it is run.

`Session` runs sequences on a bench; `OnOff`, `FluenceSweep`, `ThresholdMap`, `PlVsVoltage`, `Response`, `Iv` and `Control`
are measurements. All load on first use: `import rig` is free.
"""

from importlib import import_module
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

_HOMES = {
    "Control": "rig.measurements.control",
    "FluenceSweep": "rig.measurements.fluence_sweep",
    "Iv": "rig.measurements.iv",
    "OnOff": "rig.measurements.on_off",
    "PlVsVoltage": "rig.measurements.pl_vs_voltage",
    "Response": "rig.measurements.response",
    "Session": "rig.session",
    "ThresholdMap": "rig.measurements.threshold_map",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'rig' has no attribute {name!r}")
