"""Parameters of a measurement as a run file keeps them."""

from pathlib import Path
from typing import TypeVar, cast

from rig.config_file import parse_document
from rig.runfile import Run
from rig.sequence import Measurement, parse_sequence

Kind = TypeVar("Kind", bound=Measurement)


def parameters_of(run: Run, kind: type[Kind]) -> Kind:
    """Read the parameters that a run was made with, those of `kind`.

    Raises
    ------
    ConfigError  the sequence in the file is none of this measurement
    """
    document = parse_document(run.header.sequence_toml, Path("sequence.toml"))
    return cast(Kind, parse_sequence(document, {kind.name: kind}).parameters)
