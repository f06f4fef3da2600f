"""The frames of one burst: rows in the making, what they become once the burst is assigned, and the ledger of both."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from drivers.roles import EnergyReading, FrameBatch
from rig.analysis.correction import missed_pulses
from rig.assignment import NOBODY, BurstAssignment, assign_burst
from rig.runfile import FRAME_DTYPE, Flag
from rig.sequence import Stretch
from rig.source_record import WRONG_V, Edge, Reading
from rig.timeline import Burst

SPARE_FRAMES = 64
SETTLING_DARK = 0.1  # of the stretch's median light
LIT_SIGMAS = 10.0  # a dark frame this far from the others, in total counts, has caught a stray pulse
FLAGS_TOLD = ("settling", "saturated", "missed_pulse", "compliance", "monitor", "dark_shift", "reference")
DARK_SIGMAS = 6.0  # what is closer than this to the dark frames, in their own scatter, shows no light


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every shot and every frame of a run accounted for; assigned + unassigned + lost == planned.

    Once all bursts are entered, received == assigned + unassigned + lead_in + surplus.
    """

    planned: int
    lead_in: int = 0
    received: int = 0
    assigned: int = 0
    unassigned: int = 0
    surplus: int = 0
    flagged: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FLAGS_TOLD, 0))

    def plus(self, rows: NDArray[np.void], planned: int) -> Self:
        """Return the ledger with one burst more: its rows as they stand in the file, and its shots of data."""
        flags = rows["flags"]
        lead_in = (flags & int(Flag.LEAD_IN)) != 0
        data = ~lead_in & ((flags & int(Flag.SURPLUS)) == 0)
        led_in, assigned = int(lead_in.sum()), int((data & ((flags & int(Flag.UNASSIGNED)) == 0)).sum())
        unassigned = min(planned, int(data.sum())) - assigned
        return replace(
            self,
            lead_in=self.lead_in + led_in,
            assigned=self.assigned + assigned,
            unassigned=self.unassigned + unassigned,
            surplus=self.surplus + len(rows) - led_in - assigned - unassigned,
            flagged={
                name: count + int(np.count_nonzero(flags[data] & int(Flag[name.upper()])))
                for name, count in self.flagged.items()
            },
        )

    def as_dict(self) -> dict[str, object]:
        """Plain dict, for JSON and for the file. Shots that were never fired count as lost."""
        return {
            "planned": self.planned,
            "lead_in": self.lead_in,
            "received": self.received,
            "assigned": self.assigned,
            "unassigned": self.unassigned,
            "lost": self.planned - self.assigned - self.unassigned,
            "surplus": self.surplus,
            "flagged": dict(self.flagged),
        }


@dataclass(slots=True)
class BurstFrames:
    """Frames of one burst as they arrive: their rows in the file, their total light for the missed-pulse test.

    Parameters
    ----------
    stretch         the stretch the burst belongs to; None for a closing burst, whose frames are never data
    stretch_number  counted over the run
    first_shot      number in the run of the stretch's first shot
    first_row       row in the file of the burst's first frame
    t_fire_ns       host time of the software trigger
    cut             stopped before its end
    passive         no reading after the frames is needed: nothing in a film can pull a source off 0 V
    pulses          that reach the film in each frame
    reference       the pulses are kept from the film: no data of either state, and nothing to settle
    """

    burst: Burst
    stretch: Stretch | None
    block: int
    stretch_number: int
    first_shot: int
    first_row: int
    t_fire_ns: int
    cut: bool = False
    passive: bool = False
    pulses: int = 1
    reference: bool = False
    readings: list[Reading] = field(default_factory=list[Reading])
    energies: list[EnergyReading] = field(default_factory=list[EnergyReading])
    _rows: NDArray[np.void] = field(init=False)
    _light: NDArray[np.float64] = field(init=False)
    _used: int = 0

    def __post_init__(self) -> None:
        self._rows = np.empty(self.burst.shots + SPARE_FRAMES, dtype=FRAME_DTYPE)
        self._light = np.empty(len(self._rows))

    def __len__(self) -> int:
        return self._used

    def add(self, rows: NDArray[np.void], light: NDArray[np.float64]) -> None:
        """Take the rows of one batch, already in the file as unassigned, and their light."""
        end = self._used + len(rows)
        if end > len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty(end, dtype=FRAME_DTYPE)])
            self._light = np.concatenate([self._light, np.empty(end)])
        self._rows[self._used : end] = rows
        self._light[self._used : end] = light
        self._used = end

    def cut_off(self, rows: int) -> None:
        """Forget all but the first `rows` rows: what an interrupt kept from the file."""
        self._used = min(self._used, rows)

    @property
    def planned(self) -> int:
        """Get the number of shots of data."""
        return 0 if self.stretch is None else self.stretch.shots

    def assign(self, period_ns: int) -> BurstAssignment:
        """Say which frame answers which trigger; of a burst that was cut short, as far as it got."""
        rows = self.rows
        found = assign_burst(rows["device_time_us"], rows["frame_count"], self.burst.shots, period_ns)
        if self.cut and found.uncertain:
            fired = int(found.trigger.max(initial=NOBODY)) + 1
            return assign_burst(rows["device_time_us"], rows["frame_count"], max(1, fired), period_ns)
        return found

    def edge(self, period_ns: int) -> Edge:
        """When the burst began, on the spectrometer's clock by the frames on its grid."""
        found = self.assign(period_ns)
        known = np.flatnonzero(found.trigger != NOBODY)
        start_us = None
        if len(known):
            first = known[0]
            start_us = float(self.rows["device_time_us"][first]) - float(found.trigger[first]) * found.period_us
        return Edge(self.burst.voltage_v, start_us, self.t_fire_ns, period_ns * 1e-9 / found.period_us)

    @property
    def rows(self) -> NDArray[np.void]:
        """Get the rows so far, a view (n,)."""
        return self._rows[: self._used]

    def settle(self, *, period_ns: int, settle_shots: int, proven: bool, dark_noise: float) -> NDArray[np.void]:
        """Assign the frames to shots and flag them; return the rows to write over the old ones.

        A frame is assigned when its shot is known and the source is known to have held the planned level: `proven` says so for
        the burst as a whole, and of the readings the last one surely made before the frame, the first one surely made after
        it and all between must show the level. `dark_noise` is the scatter of the light of dark frames.
        """
        rows, burst, stretch = self.rows.copy(), self.burst, self.stretch
        seen = rows["flags"] & int(Flag.SATURATED | Flag.DARK_SHIFT)  # in the spectrum itself
        found = self.assign(period_ns)
        on_grid = found.trigger != NOBODY
        lead_in = on_grid & (found.trigger < burst.lead_in)
        if burst.lead_in and len(rows):
            lead_in[0] = True  # whatever its trigger was, the first frame after arming may hold old light
        shot = found.trigger - burst.lead_in
        data = on_grid & ~lead_in & (stretch is not None)
        t_frame_ns = np.where(on_grid, self.t_fire_ns + found.trigger * period_ns, rows["host_time_ns"])
        _nearest_reading(rows, t_frame_ns, self.readings)
        earliest_ns = t_frame_ns - found.uncertain * period_ns
        bracketed, in_compliance = _vouched(earliest_ns, rows["host_time_ns"], self.readings, burst.voltage_v, self.passive)
        certain = data & (shot >= found.uncertain) & (shot < self.planned - found.uncertain) & bracketed & proven

        rows["flags"] = np.where(certain, 0, int(Flag.UNASSIGNED)).astype(rows["flags"].dtype)
        rows["flags"][lead_in] = int(Flag.LEAD_IN)
        rows["flags"][~data & ~lead_in] |= int(Flag.SURPLUS)
        rows["flags"] |= seen
        rows["flags"][in_compliance] |= int(Flag.COMPLIANCE)
        if stretch is not None:
            rows["shot"][certain] = self.first_shot + shot[certain]
            rows["cycle"][certain] = stretch.cycle
            rows["state"][certain] = int(stretch.state)
            rows["planned_voltage_v"][data] = stretch.voltage_v
            settling = np.zeros(len(rows), bool) if self.reference else data & (shot < settle_shots)
            rows["flags"][settling] |= int(Flag.SETTLING)
            rows["flags"][data & self.reference] |= int(Flag.REFERENCE)
            light = self._light[: self._used][data]
            missed = self._no_pulse(light, shot[data] < settle_shots, dark_noise)
            rows["flags"][np.flatnonzero(data)[missed]] |= int(Flag.MISSED_PULSE)
        return rows

    def _no_pulse(self, light: NDArray[np.float64], settling: NDArray[np.bool_], dark_noise: float) -> NDArray[np.bool_]:
        """Frames (bool, (n,)) that lack a pulse; of many pulses in each only the lack of all can be told, in all frames."""
        if self.pulses == 1:
            return _without_pulse(light, settling, dark_noise)
        dark = self.pulses > 1 and bool(len(light)) and float(light.mean()) * np.sqrt(len(light)) <= DARK_SIGMAS * dark_noise
        return np.full(len(light), dark)


def _without_pulse(light: NDArray[np.float64], settling: NDArray[np.bool_], dark_noise: float) -> NDArray[np.bool_]:
    """Frames (bool, (n,)) whose pulse did not come: far below the others, or as dark as dark frames.

    While the film charges its light dips, so there only real darkness counts. Light that is too weak to tell in one frame may
    still show in the mean of all; where it does not even there, no pulse came at all.
    """
    if not len(light):
        return np.zeros(0, dtype=bool)
    missed = missed_pulses(light, np.zeros(len(light), dtype=np.int8))
    missed[settling] &= light[settling] < SETTLING_DARK * np.median(light)
    bound = DARK_SIGMAS * dark_noise
    if light.mean() * np.sqrt(len(light)) <= bound:
        return np.ones(len(light), dtype=bool)
    bright = light[light > bound]
    return missed | ((light <= bound) & (len(bright) > 0 and float(np.median(bright)) > 2 * bound))


def without_lit(spectra: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], int]:
    """Dark frames (n, pixels) without those that caught a stray pulse, and how many those were."""
    total = spectra.sum(axis=1, dtype=np.float64)
    away = np.abs(total - np.median(total))
    kept = away <= LIT_SIGMAS * max(1.4826 * float(np.median(away)), 1.0)
    return spectra[kept], int((~kept).sum())


def blank_rows(batch: FrameBatch, t_host_ns: int, block: int, stretch_number: int) -> NDArray[np.void]:
    """Rows of frames that nobody has assigned yet."""
    rows = np.zeros(len(batch), dtype=FRAME_DTYPE)
    rows["host_time_ns"] = t_host_ns
    rows["device_time_us"] = batch.device_time_us
    rows["frame_count"] = batch.count
    rows["block"] = block
    rows["stretch"] = stretch_number
    rows["flags"] = int(Flag.UNASSIGNED)
    for name in ("shot", "cycle", "state"):
        rows[name] = NOBODY
    for name in ("planned_voltage_v", "measured_voltage_v", "measured_current_a", "measured_age_s", "pulse_energy_uj"):
        rows[name] = np.nan
    return rows


def _nearest_reading(rows: NDArray[np.void], t_frame_ns: NDArray[np.int64], readings: Sequence[Reading]) -> None:
    """Give every row its nearest reading and that reading's age."""
    if not readings:
        return
    t_ns = np.array([reading.t_ns for reading in readings], dtype=np.int64)
    after = np.searchsorted(t_ns, t_frame_ns)
    before, after = np.maximum(after - 1, 0), np.minimum(after, len(t_ns) - 1)
    nearest = np.where(np.abs(t_frame_ns - t_ns[before]) <= np.abs(t_ns[after] - t_frame_ns), before, after)
    rows["measured_voltage_v"] = np.array([reading.voltage_v for reading in readings])[nearest]
    rows["measured_current_a"] = np.array([reading.current_a for reading in readings])[nearest]
    rows["measured_age_s"] = (t_ns[nearest] - t_frame_ns) * 1e-9


def _vouched(
    earliest_ns: NDArray[np.int64],
    latest_ns: NDArray[np.int64],
    readings: Sequence[Reading],
    voltage_v: float,
    passive: bool,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say for frames taken somewhere in [earliest, latest] whether the readings around show the level, and whether one limits.

    A reading proves nothing about the time between its measurement and its arrival: what comes before a frame must have been
    answered by then, what comes after it must not have been asked before.
    """
    n = len(readings)
    if not n:
        return np.zeros(len(earliest_ns), dtype=bool), np.zeros(len(earliest_ns), dtype=bool)
    before = np.searchsorted(np.array([reading.t_ns for reading in readings]), earliest_ns, side="right") - 1
    after = np.searchsorted(np.array([reading.asked_ns for reading in readings]), latest_ns, side="left")
    first, last = np.maximum(before, 0), np.minimum(after, n - 1)
    limited = np.array([reading.in_compliance for reading in readings])
    wrong = limited | ~(np.abs(np.array([reading.voltage_v for reading in readings]) - voltage_v) <= WRONG_V)
    wrong_before, limited_before = (np.concatenate([[0], np.cumsum(what)]) for what in (wrong, limited))
    held = (before >= 0) & ((after < n) | passive) & (wrong_before[last + 1] == wrong_before[first])
    return held, limited_before[last + 1] > limited_before[first]
