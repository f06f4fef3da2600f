"""The shortest runs of the measurements that have sentences and a figure: long frames, continuous light, no light."""

from rig.measurements.control import Control
from rig.measurements.iv import Iv
from rig.measurements.pl_vs_voltage import PlVsVoltage
from rig.measurements.response import Response

SHORT = {
    "iv": Iv(voltages=6, hold_s=0.5, long_hold_s=0),
    "pl_vs_voltage": PlVsVoltage(
        voltages=2,
        fluence_uj_cm2=0.2,
        frame_s=0.1,
        frames_per_level=4,
        frames_at_rest=4,
        settle_s=0,
        rest_s=0,
        passes=2,
        linearity_frames=0,
    ),
    "control": Control(voltages=4, frame_s=0.1, frames_per_level=4, frames_at_rest=4, settle_s=0, rest_s=0, brackets=5),
    "response": Response(half_period_s=0.4, cycles=10, hold_s=0, recovery_s=0.5),
}
