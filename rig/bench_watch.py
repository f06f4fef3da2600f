"""What watches over the live quantities of a run: asks the instruments between blocks, takes what comes along with data."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.clock import Clock
from drivers.errors import Reason
from drivers.roles import EnergyReading, SafeReadback, Telling
from rig.bench import Bench
from rig.interlocks import Interlocks, Rule, Trip
from rig.monitor import QUANTITIES, Monitor, StateName
from rig.reduction import BANDS, usable
from rig.runfile import Flag
from rig.sequence import State
from rig.source_record import HasLevel

ROUND_S = 0.5  # instruments are not asked more often than this
FIRST_CYCLES = 3  # what the light of later ones is compared with
SOURCE = "voltage_source"
QUEUES = ("voltage_source", "laser_trigger")  # roles whose models keep errors until they are asked; others report at once
BANDS_OF = {f"drift_{name.removeprefix('band_')}": name for name in BANDS}
ADVICE = {
    "interlock_closed": "close the lid or door in its circuit, then start again; an interlock that is not used on this bench "
    'is said so in the bench file: [[monitor]] quantity = "interlock_closed", policy = "note", of = its role',
    "over_temperature": "let the source cool down, look at its fan and at what it drives, then start again",
    "output_on": "see who or what switched it on, at its front panel or over another connection, then start again",
    "errors_reported": "look the numbers up in the instrument's manual; somebody or something else may have talked to it",
}


class Queue(Protocol):
    """An instrument that keeps its errors and can be switched off."""

    def read_safe(self) -> SafeReadback:
        """Ask whether it is off."""
        ...

    def errors(self) -> list[str]:
        """Empty the queue and return it."""
        ...


def untold(bench: Bench, kinds: Mapping[str, Any]) -> list[Reason]:
    """List the monitors whose quantity no instrument of this bench can tell; `kinds` are the drivers' classes by role."""
    reasons: list[Reason] = []
    for index, monitor in enumerate(bench.monitors):
        if not any(_can_tell(kinds, teller, monitor) for teller in monitor.tellers()):
            models = ", ".join(f"{role} {getattr(bench, role).model}" for role in bench.roles())
            message = f"nothing on this bench tells {monitor.quantity}{f' of {monitor.of}' if monitor.of else ''} ({models})"
            reasons.append(Reason("quantity-not-told", bench.where(("monitor", index, "quantity")), message))
    return reasons


def _can_tell(kinds: Mapping[str, Any], teller: str, monitor: Monitor) -> bool:
    if teller == "spectra":
        return True
    if not monitor.known.asked:
        return teller in kinds
    return monitor.quantity in getattr(kinds.get(teller), "live_quantities", ())


def rules(bench: Bench, kinds: Mapping[str, Any]) -> list[Rule]:
    """Make the rules of a bench: its monitors, and those that need no table.

    An interlock or a temperature warning that an instrument tells must be as it should be, unless a monitor of the same
    quantity says what is to happen; an error queue must be empty.
    """
    found = [
        Rule(
            teller,
            monitor.quantity,
            *monitor.window,
            monitor.state,
            monitor.max_age_s,
            monitor.policy,
            asked=monitor.known.asked,
            advice=ADVICE.get(monitor.quantity, ""),
        )
        for monitor in bench.monitors
        for teller in monitor.tellers()
        if _can_tell(kinds, teller, monitor)
    ]
    given = {(rule.teller, rule.quantity) for rule in found}
    for name, quantity in QUANTITIES.items():
        for teller in quantity.by if quantity.healthy is not None else ():
            if (teller, name) not in given and name in getattr(kinds.get(teller), "live_quantities", ()):
                healthy = quantity.healthy or 0.0
                found.append(Rule(teller, name, healthy, healthy, asked=True, optional=True, advice=ADVICE[name]))
    advice = ADVICE["errors_reported"]
    found.append(Rule(SOURCE, "output_on", 0, 0, max_age_s=inf, asked=True, optional=True, advice=ADVICE["output_on"]))
    return found + [Rule(role, "errors_reported", 0, 0, asked=True, optional=True, advice=advice) for role in QUEUES]


@dataclass(slots=True)
class Drift:
    """Light of later cycles against that of the first, per band and state: means of frames that count in statistics."""

    _sums: dict[tuple[str, int], tuple[float, int]] = field(default_factory=dict[tuple[str, int], tuple[float, int]])

    def ratio(self, band: str, state: State, rows: NDArray[np.void]) -> float | None:
        """Take the frames of a burst; their mean over that of the first cycles, NaN without one, None without frames."""
        chosen = usable(rows["flags"]) & (rows["state"] == int(state))
        if not chosen.any():
            return None
        first = chosen & (rows["cycle"] < FIRST_CYCLES)
        total, count = self._sums.get((band, int(state)), (0.0, 0))
        total, count = total + float(rows[band][first].sum()), count + int(first.sum())
        self._sums[band, int(state)] = total, count
        return float(rows[band][chosen].mean()) / (total / count) if count and total else float("nan")


class BenchWatch:
    """Stands between the runner, the instruments and the interlocks; what it is told is judged at once and logged at once.

    Parameters
    ----------
    tellers       instruments that tell live quantities, by role
    queues        instruments that keep errors, by role
    energy_scale  pulse energy at the film / at the meter
    """

    def __init__(
        self,
        interlocks: Interlocks,
        clock: Clock,
        tellers: Mapping[str, Telling],
        queues: Mapping[str, Queue],
        energy_scale: float = 1.0,
    ) -> None:
        self.interlocks = interlocks
        self._clock = clock
        self._tellers = tellers
        self._queues = queues
        self._energy_scale = energy_scale
        self._watched = {(rule.teller, rule.quantity) for rule in interlocks.rules}
        self._drift = Drift()
        self._asked_ns: int | None = None
        self._armed = False
        ages_s = [rule.max_age_s for rule in interlocks.rules if rule.asked]
        self._round_ns = round(min([ROUND_S, *ages_s]) * 1e9)
        self._unwritten: list[str] = []
        self._log: Callable[[str], None] = self._unwritten.append

    def log_to(self, log: Callable[[str], None]) -> None:
        """Write every event there from now on, and first those from before."""
        self._log = log
        for text in self._unwritten:
            log(text)
        self._unwritten.clear()

    # --- what the run does

    def before_arming(self, states: Collection[State] = ()) -> None:
        """See, before anything is switched on, that nothing speaks against it; the block that follows has these states.

        Asks the instruments (some ms, with an SC10 at 9600 baud 30 ms): before the first block always, later every 0.5 s at
        most. The source must be idle.

        Raises
        ------
        InterlockTripped  something does
        InstrumentError   an instrument does not answer
        """
        if states and not self._armed:
            self._armed, self._asked_ns = True, None
            self._see_it_off()
        self._ask()
        self.interlocks.begin([_name(state) for state in states], self._clock.now_ns())
        self._demand(asked=True)

    def after_block(self) -> None:
        """See, after a block was assigned and written, that everything was as it should; asks as before_arming does.

        Raises
        ------
        InterlockTripped  something was not
        InstrumentError   an instrument does not answer
        """
        self._ask()
        try:
            self._demand(asked=True)
        finally:
            self.interlocks.end(self._clock.now_ns())

    def at_end(self) -> None:
        """See, after the last block, what has become of everything; asks in any case.

        Raises
        ------
        InterlockTripped  something is not as it should be
        InstrumentError   an instrument does not answer
        """
        self._asked_ns = None
        self._ask()
        self._demand(asked=True)

    def check(self) -> None:
        """See that what comes along with data is there and as it should be; asks nobody.

        Raises
        ------
        InterlockTripped  it is not
        """
        self._demand(asked=False)

    # --- what comes along; none of these raises or asks

    def on_reading(self, reading: HasLevel, t_ns: int, state: State | None) -> None:
        """A reading of the source, made in a state; None while there is none, as before the first and after the last."""
        for quantity, value in (("voltage_v", reading.voltage_v), ("current_a", reading.current_a)):
            self._heed("voltage_source", quantity, value, t_ns, state)

    def on_energy(self, reading: EnergyReading, state: State | None) -> None:
        """A pulse energy, measured in a state."""
        energy_uj = reading.energy_uj * self._energy_scale
        self._heed("energy_meter", "pulse_energy_uj", energy_uj, reading.answered_ns, state)

    def on_rows(self, rows: NDArray[np.void]) -> None:
        """Frames of a burst, assigned and about to be written; flags them where a monitor notes something of their state."""
        for quantity, band in BANDS_OF.items():
            for state in State:
                if ("spectra", quantity) in self._watched:
                    ratio = self._drift.ratio(band, state, rows)
                    if ratio is not None:
                        self._heed("spectra", quantity, ratio, self._clock.now_ns(), state)
        noted = self.interlocks.noted
        for name in noted:
            chosen = rows["shot"] >= 0 if name == "any" else rows["state"] == int(State[name.upper()])
            rows["flags"][chosen] |= int(Flag.MONITOR)

    # --- parts

    def _heed(self, teller: str, quantity: str, value: float | None, t_ns: int, state: State | None, detail: str = "") -> None:
        if (teller, quantity) in self._watched:
            self.interlocks.heed(teller, quantity, value, t_ns, None if state is None else _name(state), detail)
            self._tell()

    def _see_it_off(self) -> None:
        """Nothing has been switched on so far: an output that is on is somebody else's doing."""
        if SOURCE in self._queues:
            found = self._queues[SOURCE].read_safe()
            self._heed(SOURCE, "output_on", float(not found.safe), self._clock.now_ns(), None, found.detail)

    def _ask(self) -> None:
        now_ns = self._clock.now_ns()
        if self._asked_ns is not None and now_ns - self._asked_ns < self._round_ns:
            return
        for role, instrument in self._tellers.items():
            told = {quantity.name: quantity.value for quantity in instrument.live()}
            for quantity in instrument.live_quantities:
                self._heed(role, quantity, told.get(quantity), self._clock.now_ns(), None)
        for role, instrument in self._queues.items():
            errors = instrument.errors()
            self._heed(role, "errors_reported", len(errors), self._clock.now_ns(), None, "; ".join(errors))
        self._asked_ns = now_ns

    def _demand(self, *, asked: bool) -> None:
        try:
            self.interlocks.demand(self._clock.now_ns(), asked=asked)
        finally:
            self._tell()

    def _tell(self) -> None:
        for trip in self.interlocks.new():
            self._log(event_text(trip))


def event_text(trip: Trip) -> str:
    """Say a trip in the run file's event log: words, then its values as JSON."""
    kind = "monitor" if trip.rule.policy == "note" else "tripped"
    return f"{kind}: {trip.words} {json.dumps(trip.as_json(), allow_nan=False)}"


def _name(state: State) -> StateName:
    return "on" if state is State.ON else "off"
