"""Everything a report says of a run, read from its file once: what it writes then is of one moment, also of a running run."""

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.errors import RigError
from rig.bench import Bench, parse_bench
from rig.config_file import parse_document, validated
from rig.fluence_calibration import FluenceCalibration
from rig.fluence_record import FluenceRecord, fluence_record
from rig.lifeline import guard_words
from rig.report.voltage_levels import VoltageLevel, voltage_levels
from rig.runfile import Flag, Run, RunHeader

BY_PLAN = Flag.SETTLING | Flag.LEAD_IN | Flag.REFERENCE  # set aside: after an edge, after arming, pump blocked
_EVENTFUL = sum(int(flag) for flag in Flag if flag not in BY_PLAN)


def eventful(flags: NDArray[np.unsignedinteger]) -> NDArray[np.bool_]:
    """Frames (n,) that are flagged for anything but what happens by plan."""
    return ((flags & _EVENTFUL) != 0) & ((flags & int(Flag.LEAD_IN)) == 0)


@dataclass(frozen=True, slots=True, eq=False)
class RunFacts:
    """A run as its file tells it.

    live         somebody is writing it
    cut_off      its writer died before the end
    bench        None when its text in the file is none that this version understands; `unread` says so
    rows         the frames, FRAME_DTYPE (n,)
    asked_uj_cm2 fluences that the programs in the file ask for (of the first hundred blocks)
    unread       what in the file could not be read, one sentence each
    """

    file: str
    header: RunHeader
    state: str
    live: bool
    cut_off: bool
    ended_label: str
    events: tuple[tuple[int, str], ...]
    ledger: Mapping[str, Any]
    rows: NDArray[Any]
    readings: NDArray[Any]
    dark_frames: int
    hot_pixels: int
    guard: tuple[str, ...]
    bench: Bench | None
    calibration: FluenceCalibration | None
    fluence: FluenceRecord | None
    asked_uj_cm2: tuple[float, ...]
    levels: tuple[VoltageLevel, ...]
    identities: Mapping[str, Any]
    versions: Mapping[str, Any]
    environment: Mapping[str, Any]
    assumed: Mapping[str, Any]
    simulation: Mapping[str, Any]
    parameters: Mapping[str, Any]
    timing: Mapping[str, Any]
    unread: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Get whether the run went to its end as planned."""
        return self.state == "done" and not self.live

    @property
    def calibration_age_s(self) -> float:
        """Get how old the calibration was when the run began (s), NaN without one or when that cannot be told."""
        if self.calibration is None:
            return math.nan
        try:
            return self.calibration.age_s(self.header.wall_start_label)
        except ValueError:
            return math.nan

    @property
    def safe(self) -> str:
        """Get what each instrument said of being off at the end, "" while nothing is recorded."""
        return next((text.partition(": ")[2] for _, text in reversed(self.events) if text.startswith("safe:")), "")

    def cause(self) -> str:
        """Say how the run ended, in the words of its own log; "" while it has not."""
        endings = [text for _, text in self.events if text.startswith(("done:", "stopped:", "fault:"))]
        return endings[-1] if endings else ""


class _Texts:
    """Texts of a file, and what is wrong with them."""

    def __init__(self) -> None:
        self.unread: list[str] = []

    def json_object(self, name: str, text: str) -> dict[str, Any]:
        """Read an object; nothing where the text is none."""
        found = self.json_value(name, text or "{}")
        if isinstance(found, dict):
            return {str(key): value for key, value in found.items()}
        if found:  # an empty list is how some older files say "nothing"
            self.unread.append(f"{name} in the file is no object")
        return {}

    def json_value(self, name: str, text: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            self.unread.append(f"{name} in the file cannot be read: {error}")
            return None

    def bench(self, run: Run, text: str) -> Bench | None:
        try:
            return parse_bench(parse_document(text, run.path))
        except RigError as error:
            self.unread.append(f"the bench in the file is none that this version of the program understands: {error.what}")
            return None

    def calibration(self, run: Run, text: str) -> FluenceCalibration | None:
        if not text.strip():
            return None
        try:
            return validated(FluenceCalibration, parse_document(text, run.path).values, "fluence calibration")
        except RigError as error:
            self.unread.append(f"the fluence calibration in the file cannot be read: {error.what}")
            return None

    def fluence(self, run: Run, bench: Bench | None) -> FluenceRecord | None:
        try:
            return None if bench is None else fluence_record(run, bench)
        except (ValueError, TypeError) as error:
            self.unread.append(f"the fluence cannot be told from the file: {error}")
            return None

    def parameters(self, text: str) -> dict[str, Any]:
        try:
            found = tomllib.loads(text).get("parameters", {})
        except (ValueError, RecursionError) as error:
            self.unread.append(f"the sequence in the file cannot be read: {error}")
            return {}
        return found if isinstance(found, dict) else {}

    def asked(self, programs: Any) -> tuple[float, ...]:
        found: set[float] = set()
        for one in programs if isinstance(programs, list) else ():
            try:
                found.add(float(one["fluence_uj_cm2"]))
            except (KeyError, TypeError, ValueError):
                continue  # files from before fluences were noted
        return tuple(sorted(found))


def read_facts(run: Run) -> RunFacts:
    """Read a run.

    Raises
    ------
    RecordError  the file is gone, damaged or no run file
    """
    texts, live, cut_off = _Texts(), run.writer_lives, run.unfinished
    header, rows, dark = run.header, run.frames(), run.dark
    bench = texts.bench(run, header.bench_toml)
    programs = texts.json_value("programs", header.programs_json or "[]")
    return RunFacts(
        file=run.path.name,
        header=header,
        state=run.state,
        live=live,
        cut_off=cut_off,
        ended_label=run.wall_end_label,
        events=tuple(run.events),
        ledger=run.ledger,
        rows=rows,
        readings=run.readings,
        dark_frames=0 if dark is None else dark.frames,
        hot_pixels=0 if dark is None else int(np.count_nonzero(dark.hot)),
        guard=tuple(guard_words(run.path)),
        bench=bench,
        calibration=texts.calibration(run, header.calibration_toml),
        fluence=texts.fluence(run, bench),
        asked_uj_cm2=texts.asked(programs),
        levels=voltage_levels(rows),
        identities=texts.json_object("identities", header.identities_json),
        versions=texts.json_object("versions", header.versions_json),
        environment=texts.json_object("environment", header.environment_json),
        assumed=texts.json_object("assumed values", header.assumed_json),
        simulation=texts.json_object("simulation", header.simulation_json),
        parameters=texts.parameters(header.sequence_toml),
        timing=texts.json_object("timing", header.timing_json),
        unread=tuple(texts.unread),
    )
