"""The measurements: name, parameter model, and how a run file of each becomes a record. A new measurement is a line here."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rig.analysis.correction import MeanSpectra
from rig.bench import Bench, parse_bench
from rig.config_file import parse_document
from rig.fluence_record import fluence_record
from rig.measurements.control import Control
from rig.measurements.control_record import reduce_control
from rig.measurements.fluence_sweep import FluenceSweep
from rig.measurements.iv import Iv
from rig.measurements.iv_record import reduce_iv
from rig.measurements.live_view import REASON, LiveView
from rig.measurements.map_record import reduce_map
from rig.measurements.on_off import OnOff
from rig.measurements.pl_record import reduce_pl
from rig.measurements.pl_vs_voltage import PlVsVoltage
from rig.measurements.record_frame import Reduced
from rig.measurements.response import Response
from rig.measurements.response_record import reduce_response
from rig.measurements.sweep_record import reduce_sweep
from rig.measurements.switching_record import SwitchingRecord, reduce_switching_run, without_result
from rig.measurements.threshold_map import ThresholdMap
from rig.runfile import Results, Run, open_run
from rig.sequence import Measurement

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Record(Reduced, Protocol):
    """A run reduced, whatever was measured: what is told, kept and drawn of it."""

    def as_json(self) -> dict[str, Any]:
        """Return the results as plain numbers."""
        ...

    def stored(self, text: str) -> Results:
        """What the finished file keeps: the results as JSON `text`, and arrays."""
        ...

    def figure(self) -> "Figure":
        """Draw the run; raises ValueError when there is nothing to draw."""
        ...


class Reduce(Protocol):
    """A run and its bench -> record; `ending` is how it ended, None: as the file says."""

    def __call__(self, run: Run, bench: Bench, *, ending: str | None = None) -> Record:
        """Reduce it."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One measurement: its parameters, and how its runs are reduced."""

    parameters: type[Measurement]
    reduce: Reduce


def _switching(run: Run, bench: Bench, *, ending: str | None = None) -> Record:
    return reduce_switching_run(run, bench)


def _seen(run: Run, bench: Bench, *, ending: str | None = None) -> Record:
    return SwitchingRecord(run, None, None, REASON, fluence_record(run, bench))


CATALOGUE: dict[str, Entry] = {
    OnOff.name: Entry(OnOff, _switching),
    LiveView.name: Entry(LiveView, _seen),
    FluenceSweep.name: Entry(FluenceSweep, reduce_sweep),
    ThresholdMap.name: Entry(ThresholdMap, reduce_map),
    Iv.name: Entry(Iv, reduce_iv),
    Response.name: Entry(Response, reduce_response),
    PlVsVoltage.name: Entry(PlVsVoltage, reduce_pl),
    Control.name: Entry(Control, reduce_control),
}
MEASUREMENTS: dict[str, type[Measurement]] = {name: entry.parameters for name, entry in CATALOGUE.items()}


def reduce_run(run: Run, bench: Bench, ending: str | None = None) -> Record:
    """Reduce a run by the measurement that its header names; one of a measurement unknown here as a switching run."""
    entry = CATALOGUE.get(run.header.measurement, CATALOGUE[OnOff.name])
    return entry.reduce(run, bench, ending=ending)


def without_record(measurement: str, reason: str) -> dict[str, Any]:
    """Return the plain numbers of a run that cannot be reduced: none; those of a switching run are null under their names."""
    switching = CATALOGUE.get(measurement, CATALOGUE[OnOff.name]).reduce in (_switching, _seen)
    return without_result(reason) if switching else {"measurement": measurement, "reason": reason, "fluence": None}


def means_of(record: Record) -> MeanSpectra | None:
    """Get the mean spectra of both states; only a switching run has two."""
    return record.means if isinstance(record, SwitchingRecord) else None


def record_of(path: Path) -> Record:
    """Open and reduce a run file; everything that is needed is inside.

    Raises
    ------
    RecordError  the file cannot be read, or is no run of this program
    ConfigError  the bench or the sequence in it cannot be understood
    """
    run = open_run(path)
    return reduce_run(run, parse_bench(parse_document(run.header.bench_toml, path)))
