"""The measurements: name, parameter model, and how a run file of each becomes a record. A new measurement is a line here."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rig.analysis.correction import MeanSpectra
from rig.bench import Bench, parse_bench
from rig.config_file import parse_document
from rig.fluence_record import FluenceRecord
from rig.measurements.control import Control
from rig.measurements.control_record import reduce_control
from rig.measurements.fluence_sweep import FluenceSweep
from rig.measurements.iv import Iv
from rig.measurements.iv_record import reduce_iv
from rig.measurements.live_view import LiveView
from rig.measurements.map_record import reduce_map
from rig.measurements.on_off import OnOff
from rig.measurements.pl_record import reduce_pl
from rig.measurements.pl_vs_voltage import PlVsVoltage
from rig.measurements.response import Response
from rig.measurements.response_record import reduce_response
from rig.measurements.sweep_record import reduce_sweep
from rig.measurements.switching_record import reduce_switching_run, without_result
from rig.measurements.threshold_map import ThresholdMap
from rig.runfile import Results, Run, open_run
from rig.sequence import Measurement

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Record(Protocol):
    """A run reduced, whatever was measured."""

    @property
    def run(self) -> Run:
        """Get the run."""
        ...

    @property
    def means(self) -> MeanSpectra | None:
        """Get mean spectra per state, None where there are none."""
        ...

    @property
    def result(self) -> Any:
        """Get the result, None when there is none."""
        ...

    @property
    def reason(self) -> str:
        """Get why there is no result."""
        ...

    @property
    def fluence(self) -> FluenceRecord | None:
        """Get the measured fluence, None on a bench without an energy meter."""
        ...

    def as_json(self) -> dict[str, Any]:
        """Return the results as plain numbers."""
        ...

    def stored(self, text: str) -> Results:
        """What the finished file keeps: the results as JSON `text`, and arrays."""
        ...

    def figure(self) -> "Figure":
        """Draw the run; raises ValueError when there is nothing to draw."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One measurement: its parameters, and (run, bench, how it ended or None: as the file says) -> record."""

    parameters: type[Measurement]
    reduce: Callable[[Run, Bench, str | None], Record]


def _switching(run: Run, bench: Bench, ending: str | None) -> Record:
    return reduce_switching_run(run, bench)


def _sweep(run: Run, bench: Bench, ending: str | None) -> Record:
    return reduce_sweep(run, bench, ending=ending)


def _map(run: Run, bench: Bench, ending: str | None) -> Record:
    return reduce_map(run, bench, ending=ending)


def _iv(run: Run, bench: Bench, ending: str | None) -> Record:
    return reduce_iv(run, bench, ending=ending)


def _pl(run: Run, bench: Bench, ending: str | None) -> Record:
    return reduce_pl(run, bench, ending=ending)


def _control(run: Run, bench: Bench, ending: str | None) -> Record:
    return reduce_control(run, bench, ending=ending)


def _response(run: Run, bench: Bench, ending: str | None) -> Record:
    return reduce_response(run, bench, ending=ending)


CATALOGUE: dict[str, Entry] = {
    OnOff.name: Entry(OnOff, _switching),
    LiveView.name: Entry(LiveView, _switching),
    FluenceSweep.name: Entry(FluenceSweep, _sweep),
    ThresholdMap.name: Entry(ThresholdMap, _map),
    Iv.name: Entry(Iv, _iv),
    Response.name: Entry(Response, _response),
    PlVsVoltage.name: Entry(PlVsVoltage, _pl),
    Control.name: Entry(Control, _control),
}
MEASUREMENTS: dict[str, type[Measurement]] = {name: entry.parameters for name, entry in CATALOGUE.items()}


def reduce_run(run: Run, bench: Bench, ending: str | None = None) -> Record:
    """Reduce a run by the measurement that its header names; one of a measurement unknown here as a switching run."""
    entry = CATALOGUE.get(run.header.measurement, CATALOGUE[OnOff.name])
    return entry.reduce(run, bench, ending)


def without_record(measurement: str, reason: str) -> dict[str, Any]:
    """Return the plain numbers of a run that cannot be reduced: none; those of a switching run are null under their names."""
    switching = CATALOGUE.get(measurement, CATALOGUE[OnOff.name]).reduce is _switching
    return without_result(reason) if switching else {"measurement": measurement, "reason": reason, "fluence": None}


def record_of(path: Path) -> Record:
    """Open and reduce a run file; everything that is needed is inside.

    Raises
    ------
    RecordError  the file cannot be read, or is no run of this program
    ConfigError  the bench or the sequence in it cannot be understood
    """
    run = open_run(path)
    return reduce_run(run, parse_bench(parse_document(run.header.bench_toml, path)))
