"""What records of all measurements have alike: how a run ended, the frame of their numbers, arrays by voltage, a title."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rig.analysis.statistics import Value
from rig.fluence_record import FluenceRecord
from rig.run_state import FinishReason
from rig.runfile import Results, Run


class Reduced(Protocol):
    """A run and its result; that of a record which is `framed` has a `sentence`."""

    @property
    def run(self) -> Run:
        """Get the run."""
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


def ended_by_fault(run: Run, ending: str | None) -> bool:
    """Tell whether a fault ended the run; `ending` is how it ended, None: as the file says."""
    return (run.state if ending is None else ending) == FinishReason.FAULT.value


def framed(record: Reduced, heading: Mapping[str, Any], numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return `numbers` between what was measured and with which parameters, and what is said of it."""
    return {
        "measurement": record.run.header.measurement,
        **heading,
        **numbers,
        "reason": record.reason if record.result is None else record.result.sentence,
        "fluence": None if record.fluence is None else record.fluence.as_json(),
    }


def by_voltage(text: str, noun: str, quantity: str, unit: str, levels: Iterable[tuple[float, Value]]) -> Results:
    """What a finished file keeps of `levels` (voltage in V, value): JSON `text`, both as arrays, NaN where there is none."""
    pairs = list(levels)
    values = [np.nan if value.value is None else value.value for _, value in pairs]
    arrays: dict[str, tuple[NDArray[Any], str]] = {
        f"{noun}_voltage": (np.array([voltage_v for voltage_v, _ in pairs], np.float64), "V"),
        f"{noun}_{quantity}": (np.array(values, np.float64), unit),
    }
    return Results(text, arrays)


def figure_title(record: Reduced) -> str:
    """Title of a run's figure: whether it is simulated, its name, what came out."""
    said = record.reason if record.result is None else record.result.sentence
    return f"{record.run.header.shown_id}\n{said}"
