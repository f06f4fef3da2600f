"""Under which light the frames of a run are taken and how long each is, as its file says."""

import json
from dataclasses import dataclass
from typing import Any, cast

from rig.measurements.live_view import LiveView
from rig.measurements.on_off import OnOff
from rig.runfile import RunHeader

DARK = ("none", "blocked")


@dataclass(frozen=True, slots=True)
class RunLight:
    """What the numbers of a run are about.

    Parameters
    ----------
    light      what reaches the film: pulses, cw (continuous), none, blocked
    period_s   from one frame to the next; None where the file does not say
    pulses     in one frame
    voltages   voltages other than 0 V that are planned
    switching  whether OFF and ON are all there is to the run
    """

    light: str = "pulses"
    period_s: float | None = None
    pulses: int = 1
    voltages: int = 1
    switching: bool = True

    @property
    def dark(self) -> bool:
        """Get whether no light reaches the film."""
        return self.light in DARK

    @property
    def frames(self) -> bool:
        """Get whether a shot of the run is a frame, not one pulse."""
        return self.light != "pulses" or self.pulses > 1


def run_light(header: RunHeader, voltages: int) -> RunLight:
    """Read it from a header; what older files do not say, or damaged ones, is as in a switching run."""
    switching = header.measurement in (OnOff.name, LiveView.name)
    try:
        found: Any = json.loads(header.timing_json or "{}")
    except ValueError:
        found = {}
    timing = cast(dict[str, Any], found) if isinstance(found, dict) else {}
    light, period_ns, pulses = timing.get("light"), timing.get("period_ns"), timing.get("pulses")
    return RunLight(
        light if isinstance(light, str) else "pulses",
        period_ns * 1e-9 if isinstance(period_ns, int | float) and period_ns > 0 else None,
        pulses if isinstance(pulses, int) else 1,
        voltages,
        switching,
    )
