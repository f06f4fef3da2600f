"""Which runs measure the paper's claims, and on which device."""

from dataclasses import dataclass
from typing import Literal

from rig.config_file import ConfigModel
from rig.measurements.control import Control
from rig.measurements.iv import Iv
from rig.measurements.on_off import OnOff
from rig.measurements.pl_vs_voltage import PlVsVoltage
from rig.measurements.response import Response
from rig.measurements.threshold_map import ThresholdMap
from rig.sequence import Sequence

Device = Literal["film", "control"]
CONTROL_VARIANT = "pmma"  # of a simulated film


@dataclass(frozen=True, slots=True)
class Step:
    """One run: what is measured, on which device, and what it is there for."""

    parameters: ConfigModel
    device: Device
    purpose: str

    @property
    def measurement(self) -> str:
        """Get the measurement's name."""
        return str(getattr(type(self.parameters), "name", ""))

    def sequence(self, sample: str) -> Sequence:
        """Make the sequence on a sample."""
        return Sequence.of(self.parameters, title=self.purpose, sample=sample)


STEPS: tuple[Step, ...] = (
    Step(Iv(), "film", "Current against voltage, contact"),
    Step(OnOff(), "film", "Switching at 40 uJ/cm2 (Fig. 2a-c)"),
    Step(ThresholdMap(), "film", "Thresholds against voltage (Fig. 2d-f)"),
    Step(PlVsVoltage(), "film", "Weakly pumped light against voltage (Fig. 4a)"),
    Step(Response(), "film", "Response to a square wave (Fig. 4b)"),
    Step(Control(), "control", "Control device: insensitive to the voltage (Fig. 4d)"),
)


def steps(device: Device) -> tuple[Step, ...]:
    """List the runs on one device, in order."""
    return tuple(step for step in STEPS if step.device == device)


def measurements() -> tuple[str, ...]:
    """List the measurements of the campaign, in order."""
    return tuple(step.measurement for step in STEPS)


def control_name(sample: str) -> str:
    """Name the control device that belongs to a film, as runs on it have it for their sample."""
    return f"{sample}, control"


def device_of(measurement: str) -> Device:
    """Tell which device a measurement of the campaign is made on; the film, for others."""
    devices: dict[str, Device] = {step.measurement: step.device for step in STEPS}
    return devices.get(measurement, "film")
