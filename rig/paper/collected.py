"""What a folder of runs holds of a campaign: which run speaks for each measurement, and which do not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from drivers.errors import RigError
from rig.measurements.catalogue import Record, record_of
from rig.paper.campaign import control_name, device_of, measurements
from rig.runfile import Run, RunHeader, open_run

ENDED_BY_FAULT, COMPLETE = "fault", "done"


@dataclass(frozen=True, slots=True, eq=False)
class Collected:
    """The runs of a campaign that are in a folder, all on one sample and its control device, all simulated or all real.

    records      by measurement; of several runs see `collect`
    troubles     runs that ended by a fault, files that cannot be used or are of something else, and why
    passed_over  runs beside which another one speaks
    sample       the film's name
    """

    records: Mapping[str, Record]
    troubles: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()
    sample: str = ""

    @property
    def simulated(self) -> bool:
        """Get whether any of the runs is simulated."""
        return any(record.run.header.simulated for record in self.records.values())


def collect(folder: Path, sample: str | None = None, *, simulated: bool | None = None) -> Collected:
    """Read the runs in a folder.

    Of several runs of one measurement the last complete one with a result speaks; without one the last with a result that no
    fault ended; without that the last.

    Parameters
    ----------
    sample     the film's name; None: that of the last run
    simulated  which runs to take; None: those like the last run of that sample
    """
    troubles: list[str] = []
    runs = list(_runs(folder, troubles))
    if runs and sample is None:
        sample = _film(runs[-1][1])
    if simulated is None:
        simulated = next((header.simulated for _, header in reversed(runs) if _film(header) == sample), None)
    taken: dict[str, list[Record]] = {}
    for run, header in runs:
        why = _foreign(header, sample, simulated)
        if why:
            troubles.append(f"{run.path.name} is left out: {why}")
            continue
        try:
            record = record_of(run.path)
        except (RigError, OSError, ValueError, IndexError, KeyError) as error:
            troubles.append(_unread(run.path, error))
            continue
        if state_of(record) == ENDED_BY_FAULT:
            troubles.append(f"{run.path.name} {fault_words(record)}")
        taken.setdefault(header.measurement, []).append(record)
    spoken: dict[str, Record] = {}
    passed_over: list[str] = []
    for name, records in taken.items():
        chosen = max(enumerate(records), key=lambda one: (_rank(one[1]), one[0]))[1]
        spoken[name] = chosen
        passed_over += [
            f"{one.run.path.name} ({state_of(one)}): {chosen.run.path.name} speaks for {name}"
            for one in records
            if one is not chosen
        ]
    ordered = {name: spoken[name] for name in measurements() if name in spoken}
    return Collected(ordered, tuple(troubles), tuple(passed_over), sample or "")


def state_of(record: Record) -> str:
    """Tell how a run ended, as its file has it."""
    return record.run.state


def fault_words(record: Record) -> str:
    """Say that a fault ended a run, in the words of its own log."""
    told = [text for _, text in record.run.events if text.startswith("fault:")]
    words = told[-1].splitlines()[0].partition(": ")[2] if told else "which one is not recorded"
    return f"was ended by a fault: {words}"


def _runs(folder: Path, troubles: list[str]) -> Iterator[tuple[Run, RunHeader]]:
    wanted = measurements()
    for path in sorted(folder.glob("*.h5")):
        try:
            run = open_run(path)
            header = run.header
        except (RigError, OSError, ValueError, IndexError, KeyError) as error:
            troubles.append(_unread(path, error))
            continue
        if header.measurement in wanted:
            yield run, header


def _film(header: RunHeader) -> str:
    """Name the film that a run belongs to."""
    on_control = device_of(header.measurement) == "control"
    return header.sample.removesuffix(control_name("")) if on_control else header.sample


def _foreign(header: RunHeader, sample: str | None, simulated: bool | None) -> str:
    expected = sample if device_of(header.measurement) == "film" else control_name(sample or "")
    if header.sample != expected:
        return f"it is of the sample {header.sample!r}, this page is about {expected!r}"
    if header.simulated != simulated:
        kinds = ("real", "simulated")
        return f"it is {kinds[header.simulated]}, the other runs of the sample are {kinds[not header.simulated]}"
    return ""


def _rank(record: Record) -> int:
    state = state_of(record)
    if record.result is None or state == ENDED_BY_FAULT:
        return 0
    return 2 if state == COMPLETE else 1


def _unread(path: Path, error: Exception) -> str:
    return f"{path.name} cannot be read: {error.what if isinstance(error, RigError) else error}"
