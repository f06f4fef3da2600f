"""The frames of one burst: rows in the making, what they become once the burst is assigned, and the ledger of both."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from drivers.roles import FrameBatch
from rig.analysis.correction import missed_pulses
from rig.assignment import NOBODY, BurstAssignment, assign_burst
from rig.runfile import FRAME_DTYPE, Flag
from rig.sequence import Stretch
from rig.source_record import WRONG_V, Edge, Reading
from rig.timeline import Burst

SPARE_FRAMES = 64
SETTLING_DARK = 0.1  # of the stretch's median light


@dataclass(slots=True)
class Ledger:
    """Every shot and every frame of a run accounted for; assigned + unassigned + lost == planned."""

    planned: int
    lead_in: int = 0
    received: int = 0
    assigned: int = 0
    unassigned: int = 0
    surplus: int = 0
    flagged: dict[str, int] = field(default_factory=lambda: {"settling": 0, "saturated": 0, "missed_pulse": 0, "compliance": 0})

    def enter(
        self,
        rows: NDArray[np.void],
        planned: int,
        lead_in: NDArray[np.bool_],
        certain: NDArray[np.bool_],
        data: NDArray[np.bool_],
    ) -> None:
        """Enter the frames of one burst: which were lead-ins, which are certainly data, which may be."""
        led_in, assigned = int(lead_in.sum()), int(certain.sum())
        unassigned = min(planned, int(data.sum())) - assigned
        self.lead_in += led_in
        self.assigned += assigned
        self.unassigned += unassigned
        self.surplus += len(rows) - led_in - assigned - unassigned
        flags = rows["flags"][data]
        for name in self.flagged:
            self.flagged[name] += int(np.count_nonzero(flags & int(Flag[name.upper()])))

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
    """

    burst: Burst
    stretch: Stretch | None
    block: int
    stretch_number: int
    first_shot: int
    first_row: int
    t_fire_ns: int
    cut: bool = False
    readings: list[Reading] = field(default_factory=list[Reading])
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
        trigger = self.assign(period_ns).trigger
        known = np.flatnonzero(trigger != NOBODY)
        start_us = None
        if len(known):
            first = known[0]
            start_us = float(self.rows["device_time_us"][first]) - float(trigger[first]) * period_ns * 1e-3
        return Edge(self.burst.voltage_v, start_us, self.t_fire_ns)

    @property
    def rows(self) -> NDArray[np.void]:
        """Get the rows so far, a view (n,)."""
        return self._rows[: self._used]

    def settle(self, ledger: Ledger, *, period_ns: int, settle_shots: int, proven: bool) -> NDArray[np.void]:
        """Assign the frames to shots, flag them, enter them in the ledger; return the rows to write over the old ones.

        A frame is assigned when its shot is known and the source is known to have held the planned level: `proven` says so for
        the burst as a whole, and the readings on both sides of the frame must agree (one reading is both).
        """
        rows, burst, stretch = self.rows, self.burst, self.stretch
        saturated = (rows["flags"] & int(Flag.SATURATED)) != 0
        found = self.assign(period_ns)
        planned = 0 if stretch is None else stretch.shots
        on_grid = found.trigger != NOBODY
        lead_in = on_grid & (found.trigger < burst.lead_in)
        if burst.lead_in and len(rows):
            lead_in[0] = True  # whatever its trigger was, the first frame after arming may hold old light
        shot = found.trigger - burst.lead_in
        data = on_grid & ~lead_in & (stretch is not None)
        t_frame_ns = np.where(on_grid, self.t_fire_ns + found.trigger * period_ns, rows["host_time_ns"])
        held, in_compliance = _readings_around(rows, t_frame_ns, self.readings, burst.voltage_v)
        certain = data & (shot >= found.uncertain) & (shot < planned - found.uncertain) & held & proven

        rows["flags"] = np.where(certain, 0, int(Flag.UNASSIGNED)).astype(rows["flags"].dtype)
        rows["flags"][lead_in] = int(Flag.LEAD_IN)
        rows["flags"][~data & ~lead_in] |= int(Flag.SURPLUS)
        rows["flags"][saturated] |= int(Flag.SATURATED)
        rows["flags"][in_compliance] |= int(Flag.COMPLIANCE)
        if stretch is not None:
            rows["shot"][certain] = self.first_shot + shot[certain]
            rows["cycle"][certain] = stretch.cycle
            rows["state"][certain] = int(stretch.state)
            rows["planned_voltage_v"][data] = stretch.voltage_v
            rows["flags"][data & (shot < settle_shots)] |= int(Flag.SETTLING)
            rows["flags"][np.flatnonzero(data)[self._dark(data, shot < settle_shots)]] |= int(Flag.MISSED_PULSE)
        ledger.enter(rows, planned, lead_in, certain, data)
        return rows

    def _dark(self, data: NDArray[np.bool_], settling: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Frames of `data` whose pulse did not come; while the film charges its light dips, so only real darkness counts."""
        light = self._light[: self._used][data]
        dark = missed_pulses(light, np.zeros(len(light), dtype=np.int8))
        dark[settling[data]] &= light[settling[data]] < SETTLING_DARK * np.median(light) if len(light) else False
        return dark


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


def _readings_around(
    rows: NDArray[np.void], t_frame_ns: NDArray[np.int64], readings: Sequence[Reading], voltage_v: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Give every row its nearest reading; say whether both neighbours show the level, and whether one was in compliance."""
    if not readings:
        return np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    t_ns = np.array([reading.t_ns for reading in readings], dtype=np.int64)
    volt = np.array([reading.voltage_v for reading in readings])
    limited = np.array([reading.in_compliance for reading in readings])
    good = (np.abs(volt - voltage_v) <= WRONG_V) & ~limited
    after = np.searchsorted(t_ns, t_frame_ns)
    before = np.maximum(after - 1, 0)
    # one reading proves a stepped stretch; of several, the last does not vouch for what came after it
    bracketed = (after < len(t_ns)) | (len(t_ns) == 1)
    after = np.minimum(after, len(t_ns) - 1)
    nearest = np.where(np.abs(t_frame_ns - t_ns[before]) <= np.abs(t_ns[after] - t_frame_ns), before, after)
    rows["measured_voltage_v"] = volt[nearest]
    rows["measured_current_a"] = np.array([reading.current_a for reading in readings])[nearest]
    rows["measured_age_s"] = (t_ns[nearest] - t_frame_ns) * 1e-9
    return good[before] & good[after] & bracketed, limited[before] | limited[after]
