"""What a user asks for: a sequence file, and the finite blocks that a measurement makes of it."""

import re
import unicodedata
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, InstanceOf, SerializeAsAny

from drivers.errors import Reason
from rig.config_file import (
    ConfigModel,
    Contradiction,
    Document,
    Loc,
    Where,
    check,
    config_error,
    dotted,
    read_document,
    render_toml,
    suggestion,
)

Mode = Literal["gated", "stepped", "auto"]
BlockMode = Literal["gated", "stepped"]
Light = Literal["pulses", "blocked", "cw", "none"]


class State(IntEnum):
    """Whether the voltage is on."""

    OFF = 0
    ON = 1


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive shots at one voltage; `cycle` counts from 0."""

    state: State
    voltage_v: float
    shots: int
    cycle: int


@dataclass(frozen=True, slots=True)
class Exposure:
    """How the frames of a block are taken.

    Parameters
    ----------
    light    what reaches the film: the laser's pulses; nothing of pulses that are fired all the same ("blocked": the shutter
             stays closed); continuous light; nothing at all ("none": the laser is not fired)
    frame_s  time from one frame to the next (s), in which all pulses add up; None: one pulse per frame, exposed as the bench
             says. The same in all blocks of a run, as the dark spectrum belongs to it.
    """

    light: Light = "pulses"
    frame_s: float | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """One finite hardware program; frames nearer than `settle_s` to a voltage edge are flagged. Its shots are frames."""

    index: int
    stretches: tuple[Stretch, ...]
    settle_s: float
    fluence_uj_cm2: float
    exposure: Exposure = Exposure()

    @property
    def shots(self) -> int:
        """Get the number of shots of data, all stretches together (lead-in and closing shots not counted)."""
        return sum(stretch.shots for stretch in self.stretches)


@dataclass(frozen=True, slots=True, eq=False)
class BlockResult:
    """What a block has brought: its rows as they stand in the file, (n,) of rig.runfile.FRAME_DTYPE."""

    rows: NDArray[np.void]


class Measurement(Protocol):
    """A measurement: a `ConfigModel` of its parameters that knows the blocks they stand for."""

    name: ClassVar[str]

    def check(self, rate_hz: float, where: Where = dotted) -> list[Reason]:
        """List why the parameters do not fit the laser's rate (Hz); `where` names keys, as `Sequence.where` does."""
        ...

    def max_shots(self, rate_hz: float) -> int:
        """Bound the shots of the whole run, in constant time and memory; what is priced and preallocated."""
        ...

    def blocks(self, rate_hz: float, mode: BlockMode) -> Generator[Block, BlockResult | None, None]:
        """Yield a block, be sent its result, yield the next or end.

        Before a run the blocks are asked for without any result: then come as many and as strong ones as there can be.
        """
        ...


class Sequence(ConfigModel):
    """A measurement with its parameters, on a sample.

    `title` and `sample` are stored as they are, whatever they contain; `slug` makes file names of them.
    """

    title: str = Field(max_length=300, description="what this run is about")
    sample: str = Field(max_length=300, description="name of the sample, as on its box")
    measurement: str = Field(max_length=100, description="which measurement: on_off, ...")
    mode: Mode = Field(
        default="auto",
        description="gated: voltage changes between blocks; stepped: on trigger edges inside; auto: as the bench allows",
    )
    parameters: SerializeAsAny[InstanceOf[ConfigModel]] = Field(description="the measurement's own parameters")
    _document: Document | None = None

    def model_post_init(self, context: Any, /) -> None:
        """Keep the file this came from, when there is one."""
        self._document = context if isinstance(context, Document) else None

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield a parameter model that belongs to another measurement."""
        name = getattr(type(self.parameters), "name", self.measurement)
        if name != self.measurement:
            message = f"the parameters belong to {name}, not to {self.measurement}"
            yield Contradiction("wrong-parameters", ("measurement",), message)

    @classmethod
    def of(cls, parameters: ConfigModel, *, title: str = "", sample: str = "", mode: Mode = "auto") -> Self:
        """Make a sequence of a measurement constructed in Python: ``Sequence.of(OnOff(cycles=2))``."""
        name = str(getattr(type(parameters), "name", type(parameters).__name__))
        return cls(title=title, sample=sample, measurement=name, mode=mode, parameters=parameters)

    @property
    def path(self) -> Path | None:
        """Get the file this was read from."""
        return self._document.path if self._document else None

    @property
    def source_text(self) -> str:
        """Get the TOML text: the file's own, comments included, or one written from the values."""
        return self._document.text if self._document else render_toml(self.model_dump())

    def where(self, loc: Loc) -> str:
        """Name a key for a reader, with file and line when there are any."""
        return self._document.where(loc) if self._document else dotted(loc)


def parse_sequence(document: Document, measurements: Mapping[str, type[Measurement]]) -> Sequence:
    """Make a sequence of a parsed file; see `read_sequence`."""
    values, where = document.values, document.where
    # the heading is checked with a stand-in for the parameters, so that mistakes in both come together
    heading = check(Sequence, {**values, "parameters": ConfigModel()}, where)
    reasons = heading if isinstance(heading, tuple) else ()
    parameters: ConfigModel | None = None
    name = values.get("measurement")
    measurement = measurements.get(name) if isinstance(name, str) else None
    if measurement is not None and issubclass(measurement, ConfigModel):
        result = check(measurement, values.get("parameters", {}), where, ("parameters",))
        if isinstance(result, tuple):
            reasons += result
        else:
            parameters = result
    elif isinstance(name, str):
        message = f"there is no measurement {name[:60]!r}: {suggestion(name, sorted(measurements))}"
        reasons += (Reason("wrong-choice", where(("measurement",)), message),)
    if reasons:
        raise config_error(document.path.name, reasons, str(document.path))
    return Sequence.model_validate({**values, "parameters": parameters}, context=document)


def read_sequence(path: Path, measurements: Mapping[str, type[Measurement]]) -> Sequence:
    """Read a sequence file; `measurements` maps the names a file may use to their parameter models.

    Raises
    ------
    ConfigError    the file cannot be read, or all mistakes in heading and parameters at once
    """
    return parse_sequence(read_document(path), measurements)


# Names that Windows keeps for devices, with any extension. Source: Microsoft, "Naming Files, Paths, and Namespaces"
_RESERVED = re.compile(r"(con|prn|aux|nul|conin|conout|clock|com\d?|lpt\d?)", re.IGNORECASE)


MAX_SLUG = 60


def slug(text: str) -> str:
    """Make a part of a file name that every system accepts: 1 to `MAX_SLUG` ASCII letters, digits, ``-`` and ``_``."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_]+", "-", ascii_text)[:MAX_SLUG].strip("-") or "untitled"
    return f"{name}-x" if _RESERVED.fullmatch(name) else name
