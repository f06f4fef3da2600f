"""Which runs measure the paper's claims, and on which device; what a folder of such runs holds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drivers.errors import RigError
from rig.config_file import ConfigModel
from rig.measurements.catalogue import Record, record_of
from rig.measurements.control import Control
from rig.measurements.iv import Iv
from rig.measurements.on_off import OnOff
from rig.measurements.pl_vs_voltage import PlVsVoltage
from rig.measurements.response import Response
from rig.measurements.threshold_map import ThresholdMap
from rig.runfile import open_run
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


@dataclass(frozen=True, slots=True, eq=False)
class Collected:
    """The runs of a campaign that are in a folder.

    records   by measurement; of several runs the last one that has a result, or else the last
    troubles  run files that cannot be used, and why
    """

    records: Mapping[str, Record]
    troubles: tuple[str, ...]

    @property
    def simulated(self) -> bool:
        """Get whether any of the runs is simulated."""
        return any(record.run.header.simulated for record in self.records.values())


def collect(folder: Path) -> Collected:
    """Read the runs in a folder.

    Raises
    ------
    RecordError  never for a single file: it is told among the troubles
    """
    records: dict[str, Record] = {}
    troubles: list[str] = []
    wanted = {step.measurement for step in STEPS}
    for path in _in_order(folder):
        try:
            if open_run(path).header.measurement not in wanted:
                continue
            record = record_of(path)
        except (RigError, ValueError, IndexError) as error:
            troubles.append(f"{path.name}: {error.what if isinstance(error, RigError) else error}")
            continue
        name = record.run.header.measurement
        if name not in records or record.result is not None or records[name].result is None:
            records[name] = record
    return Collected(records, tuple(troubles))


def _in_order(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob("*.h5"))
