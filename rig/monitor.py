"""Quantities that can be watched while a bench works, and what a bench file asks of them: [[monitor]]."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import Field

from rig.config_file import ConfigModel, Contradiction

QuantityName = Literal[
    "voltage_v",
    "current_a",
    "pulse_energy_uj",
    "drift_520",
    "drift_535",
    "board_temperature_c",
    "interlock_closed",
    "over_temperature",
]
Teller = Literal["voltage_source", "spectrometer", "shutter", "cw_shutter", "energy_meter", "spectra"]
Policy = Literal["stop", "note"]
StateName = Literal["on", "off", "any"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """What there is to know of one quantity before any instrument is opened.

    Parameters
    ----------
    window   what it can be at all; beyond it a unit is wrong
    by       who tells it where a monitor names nobody
    asked    told by an instrument between two blocks; otherwise it comes along with what is measured
    healthy  of a bit: the value that it must have
    """

    window: tuple[float, float]
    by: tuple[Teller, ...]
    asked: bool = False
    healthy: float | None = None


QUANTITIES: dict[QuantityName, Quantity] = {
    "voltage_v": Quantity((-210.0, 210.0), ("voltage_source",)),
    "current_a": Quantity((-0.1, 0.1), ("voltage_source",)),
    "pulse_energy_uj": Quantity((0.0, 1e6), ("energy_meter",)),
    "drift_520": Quantity((0.0, 100.0), ("spectra",)),
    "drift_535": Quantity((0.0, 100.0), ("spectra",)),
    "board_temperature_c": Quantity((-50.0, 150.0), ("spectrometer",), asked=True),
    "interlock_closed": Quantity((0.0, 1.0), ("voltage_source", "shutter", "cw_shutter"), asked=True, healthy=1.0),
    "over_temperature": Quantity((0.0, 1.0), ("voltage_source",), asked=True, healthy=0.0),
}
assert tuple(QUANTITIES) == get_args(QuantityName)  # noqa: S101 - two spellings of one list, one for the type checker


class Monitor(ConfigModel):
    """One quantity, the window it must stay in, and what happens when it does not.

    `voltage_v` and `current_a` come with every reading of the source, `pulse_energy_uj` (at the film) from the energy meter.
    `drift_520` and `drift_535` are the mean of a block's unflagged frames in a state divided by that of the run's first cycles.
    The others are asked of the instruments between two blocks. Of a bit (`interlock_closed`, `over_temperature`) the healthy
    value is known: it has no window.
    """

    quantity: QuantityName = Field(description="what is watched; its unit is in the name")
    state: StateName = Field(default="any", description="watched in this state only: on, off or any")
    between: tuple[float, float] | None = Field(
        default=None, description="lowest and highest value that is accepted; a bit has none"
    )
    max_age_s: float = Field(
        default=10.0, ge=0.1, le=3600, description="a value older than this counts as missing; only time in blocks counts (s)"
    )
    policy: Policy = Field(
        default="stop", description="stop: everything off, the run ends as a fault; note: logged, its frames flagged"
    )
    of: Teller | None = Field(default=None, description="whose, where several instruments tell it")

    @property
    def known(self) -> Quantity:
        """Get what is known of its quantity."""
        return QUANTITIES[self.quantity]

    @property
    def window(self) -> tuple[float, float]:
        """Get the accepted values, lowest and highest, both included."""
        healthy = self.known.healthy
        if healthy is not None:
            return healthy, healthy
        return self.between or self.known.window

    def tellers(self) -> tuple[Teller, ...]:
        """Get who may tell it."""
        return self.known.by if self.of is None else (self.of,)

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield everything that cannot be true of one monitor."""
        low, high = self.known.window
        if self.known.healthy is not None and self.between is not None:
            message = f"{self.quantity} is a bit, {self.known.healthy:g} when all is well: leave the window out"
            yield Contradiction("monitor-of-a-bit", ("between",), message)
        elif self.known.healthy is None and self.between is None:
            yield Contradiction("monitor-without-window", ("quantity",), f"{self.quantity} needs between = [lowest, highest]")
        elif self.between is not None and not self.between[0] <= self.between[1]:
            message = f"{self.between[0]:g} to {self.between[1]:g} holds no value at all"
            yield Contradiction("monitor-window-empty", ("between",), message)
        elif self.between is not None and not low <= self.between[0] <= self.between[1] <= high:
            message = f"{self.quantity} is never outside {low:g} to {high:g}: {self.between[0]:g} to {self.between[1]:g}"
            yield Contradiction("monitor-unit", ("between",), message)
        if self.of is not None and self.of not in self.known.by:
            message = f"{self.quantity} is told by {' or '.join(self.known.by)}, not by {self.of}"
            yield Contradiction("quantity-not-told", ("of",), message)
        if self.known.asked and self.state != "any":
            message = f'{self.quantity} is asked between two blocks, when no state is on: state = "any"'
            yield Contradiction("monitor-state", ("state",), message)
        if self.known.by == ("spectra",) and self.state == "any":
            message = f'{self.quantity} compares light of one state: state = "on" or "off"'
            yield Contradiction("monitor-state", ("state",), message)


def twice_monitored(monitors: Sequence[Monitor]) -> Iterator[Contradiction]:
    """Yield every monitor that says once more what another one says, or something else of the same."""
    seen: set[tuple[str, str, str, str]] = set()
    for index, monitor in enumerate(monitors):
        for teller in monitor.tellers():
            key = (monitor.quantity, teller, monitor.state, monitor.policy)
            if key in seen:
                message = f'{monitor.quantity} of {teller} has a monitor (state "{monitor.state}", "{monitor.policy}") already'
                yield Contradiction("monitor-twice", ("monitor", index), message)
            seen.add(key)
