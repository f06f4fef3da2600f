"""Which outputs and inputs there are on a bench, what a pulse must be like at each, and which cables cannot be."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from rig.config_file import ConfigModel, Contradiction, suggestion


class Cable(ConfigModel):
    """A cable from an output to an input."""

    source: str = Field(alias="from", max_length=60, description="where it begins: laser_trigger.EF")
    target: str = Field(alias="to", max_length=60, description="where it ends: laser.trigger")
    edge: Literal["rising", "falling"] = Field(default="rising", description="the edge that matters at the input")
    load: Literal["50_ohm", "high_z"] = Field(default="50_ohm", description="what the input loads the output with")
    level_v: float = Field(default=4.0, ge=0.1, le=12, description="height of the pulse at the input (V)")


@dataclass(frozen=True, slots=True)
class InputNeeds:
    """What a pulse must be like at an input: its edge, its height (V), and who says so."""

    edges: tuple[str, ...]
    level_v: tuple[float, float]
    source: str


# `trigger_link` acts on falling edges, low <= 0.5 V, high 2..5 V. Source: Keithley 2400S-900-01 rev K, trigger link
_LINES = tuple(f"voltage_source.trigger_link_{line}" for line in (1, 2, 3, 4))
_DIGITAL = tuple(f"voltage_source.digital_io_{line}" for line in (1, 2, 3, 4, 5, 6))
TRIGGER_OUTPUTS = tuple(f"laser_trigger.{name}" for name in ("T0", "AB", "CD", "EF", "GH"))
OUTPUTS = (*TRIGGER_OUTPUTS, *_LINES, *_DIGITAL, "laser.sync")
INPUTS = {
    "laser.trigger": InputNeeds(("rising",), (2.0, 5.0), "assumed for a TTL input"),
    "spectrometer.trigger": InputNeeds(("rising",), (2.0, 5.0), "assumed for a TTL input"),
    "laser_trigger.EXT": InputNeeds(("rising", "falling"), (2.0, 5.0), "assumed for a TTL signal"),
    **dict.fromkeys(_LINES, InputNeeds(("falling",), (2.0, 5.0), "2400S-900-01 rev K, trigger link")),
    **dict.fromkeys(_DIGITAL, InputNeeds(("rising", "falling"), (3.7, 5.0), "2450 data sheet, digital I/O")),
}
SYNC, EXTERNAL, LASER_TRIGGER = "laser.sync", "laser_trigger.EXT", "laser.trigger"

# Height at the input (V): 0.5 to 5.0 V into 50 ohm, the double into a high impedance. Source: DG645 manual, LAMP
TRIGGER_LEVEL_V = {"50_ohm": (0.5, 5.0), "high_z": (1.0, 10.0)}


def impossible_cables(cables: Sequence[Cable], *, laser_runs_free: bool) -> Iterator[Contradiction]:
    """Yield what cannot be true of the cables of one bench; `laser_runs_free` is a laser that is its own master clock."""
    outputs = Counter(cable.source for cable in cables)
    inputs = Counter(cable.target for cable in cables)
    for index, cable in enumerate(cables):
        begin, end = ("cable", index, "from"), ("cable", index, "to")
        for loc, name, known in ((begin, cable.source, list(OUTPUTS)), (end, cable.target, list(INPUTS))):
            if name not in known:
                kind = "output" if loc is begin else "input"
                yield Contradiction("cable-end-unknown", loc, f"{name!r} is not an {kind}: {suggestion(name, known)}")
        if outputs[cable.source] > 1:
            yield Contradiction(
                "cable-output-twice", begin, f"{cable.source} has {outputs[cable.source]} cables: one drives one"
            )
        if inputs[cable.target] > 1:
            yield Contradiction("cable-input-twice", end, f"{cable.target} is fed by {inputs[cable.target]} cables")
        if cable.source in inputs:
            yield Contradiction("cable-both-ways", begin, f"{cable.source} is used as an input and as an output")
        yield from _unfit_pulse(index, cable)
    yield from _wrong_clock(cables) if laser_runs_free else _missing(cables, LASER_TRIGGER)
    yield from _missing(cables, "spectrometer.trigger")


def _missing(cables: Sequence[Cable], connector: str) -> Iterator[Contradiction]:
    if not any(cable.target == connector and cable.source in TRIGGER_OUTPUTS for cable in cables):
        yield Contradiction("cable-missing", ("cable",), f"no cable leads from an output of laser_trigger to {connector}")


def _wrong_clock(cables: Sequence[Cable]) -> Iterator[Contradiction]:
    """Yield what keeps a laser that is its own clock from starting the bursts: it gives the edge, and takes none."""
    if not any((cable.source, cable.target) == (SYNC, EXTERNAL) for cable in cables):
        message = f"no cable leads from {SYNC} to {EXTERNAL}: a laser that is its own clock has to start the bursts"
        yield Contradiction("cable-missing", ("cable",), message)
    for index, cable in enumerate(cables):
        if cable.target == LASER_TRIGGER:
            message = f"{cable.source} leads to {LASER_TRIGGER}, but the laser is its own clock"
            yield Contradiction("laser-trigger-driven", ("cable", index, "to"), message)
        if cable.target == EXTERNAL and cable.edge != "rising":
            message = f"a burst starts on a rising edge at {EXTERNAL}, not on a {cable.edge} one"
            yield Contradiction("cable-edge", ("cable", index, "edge"), message)


def _unfit_pulse(index: int, cable: Cable) -> Iterator[Contradiction]:
    needs = INPUTS.get(cable.target)
    if needs and cable.edge not in needs.edges:
        message = f"{cable.target} acts on {' or '.join(needs.edges)} edges ({needs.source}), not on {cable.edge} ones"
        yield Contradiction("cable-edge", ("cable", index, "edge"), message)
    windows = [(f"{cable.target} accepts", needs.level_v, needs.source)] if needs else []
    if cable.source in TRIGGER_OUTPUTS:
        windows += [(f"{cable.source} gives into {cable.load}", TRIGGER_LEVEL_V[cable.load], "DG645 manual")]
    for what, (lo, hi), source in windows:
        if not lo <= cable.level_v <= hi:
            message = f"{cable.level_v:g} V: {what} {lo:g} to {hi:g} V ({source})"
            yield Contradiction("cable-level", ("cable", index, "level_v"), message)
