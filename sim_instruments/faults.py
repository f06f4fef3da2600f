"""Faults of cables, contacts, film, laser and detector, as physics: each instrument sees the consequence in its own way.

A fault is written NAME[@ONSETs][:SEVERITY][:MODE], as in `breakdown@3.2s` or `missing-pulses@1s:0.05:double`; the onset counts
from when it is put in. What exactly happens is drawn from the fault's seed. All figures assumed.
"""

import math
import re
import zlib
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim_instruments.film.current import SOUND, Contact
from sim_instruments.persona import OutputPulses, TimesNs
from sim_instruments.spectrograph import PSF_FWHM_NM

if TYPE_CHECKING:
    from sim_instruments.world import World

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Random = np.random.Generator

OPEN_OHM = 2e9
LIFTED_OHM = 1e9
CLOSED_S = (0.5, 0.005)
LIFTED_S = (0.001, 0.05)
"""Mean dwells of an intermittent contact (s), from hardly to badly shaken."""

WARNING_S = (1.0, 30.0)
DOUBLE_NS = 1_000
BURST_PULSES = 30.0
HOT_COUNTS = 3000.0
LINE_NM = 535.0
PUMP_NM = 400.0
PUMP_COUNTS = (20.0, 200.0)
"""Peak of the stray 400 nm line (counts per uJ/cm2)."""

ROOM_NM = (450.0, 650.0)
ROOM_COUNTS_PER_S = 2e7
"""Room light per pixel, times the severity; lamps on 50 Hz mains flicker fully at 100 Hz."""

ROOM_HZ = 100.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault to put in.

    Parameters
    ----------
    onset_s   seconds after it is put in
    severity  what it counts depends on the fault, see FAULTS; None for the usual
    mode      one of the fault's ways to happen; "" for the first
    seed      of what is left to chance
    """

    name: str
    onset_s: float = 0.0
    severity: float | None = None
    mode: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        """Check it; ValueError."""
        kind = FAULTS.get(self.name)
        if kind is None:
            raise ValueError(f"no fault {self.name!r}; there are {', '.join(FAULTS)}")
        if not 0 <= self.onset_s < math.inf:
            raise ValueError(f"{self.name}: the onset must be 0 s or later, not {self.onset_s} s")
        low, high = kind.range
        if self.severity is not None and not low <= self.severity <= high:
            raise ValueError(f"{self.name}: the severity ({kind.unit}) must be {low:g} to {high:g}, not {self.severity:g}")
        if self.mode and self.mode not in kind.modes:
            raise ValueError(f"{self.name}: no mode {self.mode!r}; there are {', '.join(kind.modes) or 'none'}")


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of fault: how it is put in, what its severity counts and usually is, and its modes."""

    put_in: "Callable[[World, Case], None]"
    unit: str
    usual: float
    range: tuple[float, float]
    modes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """A fault at work: when from, how badly, in which way, by chance of `random`."""

    onset_ns: int
    now_ns: int
    severity: float
    mode: str
    random: Random


_PATTERN = re.compile(r"(?P<name>[a-z-]+)(@(?P<onset>[^:@]+)s)?(:(?P<severity>[-+.\de]+))?(:(?P<mode>[a-z][a-z-]*))?")


def parse_fault(text: str, seed: int = 0) -> Fault:
    """Read `breakdown@3.2s`. Raises ValueError."""
    found = _PATTERN.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"cannot read the fault {text!r}; write NAME[@ONSETs][:SEVERITY][:MODE], as in breakdown@3.2s")
    severity = found["severity"]
    return Fault(
        found["name"],
        float(found["onset"] or 0.0),
        None if severity is None else float(severity),
        found["mode"] or "",
        seed,
    )


def apply(world: "World", fault: Fault) -> None:
    """Put a fault in; it acts from its onset on, counted from the world's present (and a nanosecond later at the earliest)."""
    kind, now_ns = FAULTS[fault.name], world.now_ns()
    severity = kind.usual if fault.severity is None else fault.severity
    random = np.random.default_rng((fault.seed, zlib.crc32(fault.name.encode())))
    mode = fault.mode or next(iter(kind.modes), "")
    kind.put_in(world, Case(now_ns + max(1, round(fault.onset_s * 1e9)), now_ns, severity, mode, random))


# --- film and contact


@dataclass(frozen=True, slots=True)
class LiftedContact:
    """A contact that is `after` from `onset_ns` on; fulfils ContactFault."""

    onset_ns: int
    after: Contact

    def at(self, t_ns: int) -> Contact:
        """Return the contact at `t_ns`."""
        return SOUND if t_ns < self.onset_ns else self.after

    def next_ns(self, t_ns: int) -> int | None:
        """Return when it changes after `t_ns`."""
        return self.onset_ns if t_ns < self.onset_ns else None


class LooseContact:
    """A contact that opens and closes at random (telegraph process) from its onset on; fulfils ContactFault.

    Parameters
    ----------
    closed_s, open_s : mean dwell times, exponentially distributed
    """

    def __init__(self, onset_ns: int, closed_s: float, open_s: float, random: Random) -> None:
        self._mean_s = closed_s, open_s
        self._random = random
        self._changes_ns = [onset_ns]

    def at(self, t_ns: int) -> Contact:
        """Return the contact at `t_ns`."""
        opened = self._changes_until(t_ns) % 2
        return Contact(LIFTED_OHM) if opened else SOUND

    def next_ns(self, t_ns: int) -> int | None:
        """Return when it changes after `t_ns`."""
        return self._changes_ns[self._changes_until(t_ns)]

    def _changes_until(self, t_ns: int) -> int:
        while self._changes_ns[-1] <= t_ns:
            mean_s = self._mean_s[len(self._changes_ns) % 2]
            self._changes_ns.append(self._changes_ns[-1] + 1 + round(self._random.exponential(mean_s) * 1e9))
        return bisect_right(self._changes_ns, t_ns)


@dataclass(frozen=True, slots=True)
class LossDrift:
    """Modal loss that rises, and collected light that falls, from `onset_ns` on; fulfils Drift.

    Parameters
    ----------
    per_s, step  rise of the loss per second, and at once (relative)
    collected    change of the collected light for every unit of lost loss
    """

    onset_ns: int
    per_s: float
    step: float
    collected: float

    def __call__(self, t_ns: TimesNs) -> tuple[Floats, Floats]:
        """Return the factors on modal loss and collected light at `t_ns` (n,)."""
        since_s = np.multiply(t_ns - self.onset_ns, 1e-9, dtype=np.float64)
        rise = np.where(since_s >= 0, self.step + self.per_s * since_s, 0.0)
        return 1 + rise, 1 / (1 + self.collected * rise)


def _breakdown(world: "World", case: Case) -> None:
    """A short, for good, announced by a weak shunt and a crackling current `severity` seconds before (drawn when 0)."""
    low_s, high_s = np.log(WARNING_S).tolist()
    warning_s = case.severity or math.exp(case.random.uniform(low_s, high_s))
    world.film.weaken(max(case.now_ns + 1, case.onset_ns - round(warning_s * 1e9)))
    world.film.break_down(case.onset_ns)


def _open_contact(world: "World", case: Case) -> None:
    """The electrode lifts off: all of it, or a part that then carries no current and no longer switches."""
    after = Contact(OPEN_OHM) if case.severity == 1 else Contact(area=1 - case.severity)
    world.film.add_contact(LiftedContact(case.onset_ns, after), case.now_ns)


def _intermittent(world: "World", case: Case) -> None:
    """The contact opens and closes, the more it is shaken the more often."""
    closed_s, lifted_s = (low * (high / low) ** case.severity for low, high in (CLOSED_S, LIFTED_S))
    world.film.add_contact(LooseContact(case.onset_ns, closed_s, lifted_s, case.random), case.now_ns)


def _loss_drift(world: "World", case: Case) -> None:
    """Loss of the stripe rises slowly, or at once; misalignment also takes from the collected light."""
    drifts = {
        "slow": LossDrift(case.onset_ns, case.severity / 60, 0.0, 0.0),
        "step": LossDrift(case.onset_ns, 0.0, case.severity, 0.0),
        "alignment": LossDrift(case.onset_ns, case.severity / 60, 0.0, 1.0),
    }
    world.film.add_drift(drifts[case.mode])


# --- detector


@dataclass(frozen=True, slots=True)
class BadPixels:
    """Pixels without response and pixels with far too much dark current, from `onset_ns` on; a LightFault."""

    onset_ns: int
    dead: NDArray[np.intp]
    hot: NDArray[np.intp]

    def __call__(self, light: Singles, open_ns: TimesNs, close_ns: TimesNs, fluence_uj_cm2: Floats) -> None:
        """Change the light of exposures that begin after the onset."""
        bad = np.flatnonzero(open_ns >= self.onset_ns)
        light[np.ix_(bad, self.dead)] = 0
        light[np.ix_(bad, self.hot)] += HOT_COUNTS


@dataclass(slots=True)
class StuckPixels:
    """Pixels that go on showing their last counts from `onset_ns` on; a CountFault."""

    onset_ns: int
    pixels: NDArray[np.intp]
    last: NDArray[np.uint16] | None = None

    def __call__(self, raw: NDArray[np.uint16], open_ns: TimesNs) -> None:
        """Change the counts of exposures that begin after the onset."""
        first = int(np.searchsorted(open_ns, self.onset_ns))
        last = raw[max(first - 1, 0), self.pixels].copy() if self.last is None or first else self.last
        raw[first:, self.pixels] = self.last = last


@dataclass(frozen=True, slots=True)
class StrayLight:
    """Pump light that misses the filter, its scatter, and room light, from `onset_ns` on; a LightFault.

    Parameters
    ----------
    per_fluence  counts per uJ/cm2, (pixels,)
    room_per_s   mean counts per second of the room, (pixels,)
    """

    onset_ns: int
    per_fluence: Floats
    room_per_s: Floats

    def __call__(self, light: Singles, open_ns: TimesNs, close_ns: TimesNs, fluence_uj_cm2: Floats) -> None:
        """Add to the light of exposures that begin after the onset."""
        lit_s = self._integral_s(close_ns) - self._integral_s(open_ns)
        stray = fluence_uj_cm2[:, None] * self.per_fluence + lit_s[:, None] * self.room_per_s
        light += np.where((open_ns >= self.onset_ns)[:, None], stray, 0.0).astype(np.float32)

    def _integral_s(self, t_ns: TimesNs) -> Floats:
        """Integral of 1 + cos(2 pi 100 Hz t) since the onset (s)."""
        t_s = np.multiply(t_ns - self.onset_ns, 1e-9, dtype=np.float64)
        return t_s + np.sin(2 * np.pi * ROOM_HZ * t_s) / (2 * np.pi * ROOM_HZ)


@dataclass(frozen=True, slots=True)
class TooMuchLight:
    """Light times a factor from `onset_ns` on; a LightFault."""

    onset_ns: int
    factor: float

    def __call__(self, light: Singles, open_ns: TimesNs, close_ns: TimesNs, fluence_uj_cm2: Floats) -> None:
        """Change the light of exposures that begin after the onset."""
        light[open_ns >= self.onset_ns] *= np.float32(self.factor)


def _bad_pixels(world: "World", case: Case) -> None:
    """`severity` pixels, every other time one of them on the line."""
    path, random = world.light_path, case.random
    pixels = random.choice(path.spectrograph.pixels, round(case.severity), replace=False)
    on_line = int(np.searchsorted(path.spectrograph.true_wavelength_nm, LINE_NM))
    if random.random() < 0.5 and on_line not in pixels:
        pixels[0] = on_line
    sorts = random.integers(0, 3, len(pixels)) if case.mode == "mixed" else np.full(len(pixels), _SORTS.index(case.mode))
    dead, hot, stuck = (pixels[sorts == sort] for sort in range(3))
    path.light_faults.append(BadPixels(case.onset_ns, dead, hot))
    path.count_faults.append(StuckPixels(case.onset_ns, stuck))


def _stray_light(world: "World", case: Case) -> None:
    """A 400 nm line, a pedestal that is `severity` of it, and lamps in the room."""
    wavelength_nm = world.light_path.spectrograph.true_wavelength_nm
    low, high = np.log(PUMP_COUNTS).tolist()
    line = math.exp(case.random.uniform(low, high)) * np.exp(-4 * np.log(2) * ((wavelength_nm - PUMP_NM) / PSF_FWHM_NM) ** 2)
    room = (wavelength_nm >= ROOM_NM[0]) & (wavelength_nm <= ROOM_NM[1])
    stray = StrayLight(case.onset_ns, line + case.severity * line.sum(), np.where(room, ROOM_COUNTS_PER_S * case.severity, 0.0))
    world.light_path.light_faults.append(stray)


def _saturation(world: "World", case: Case) -> None:
    """`severity` times the light that the integration time was chosen for: 4 to 20 for ten shots a frame, 40 to 200 for one."""
    world.light_path.light_faults.append(TooMuchLight(case.onset_ns, case.severity))


# --- laser and triggers


class Misfires:
    """Which of the pulses from `onset_ns` on fail: a share of them, in runs of `run` on average."""

    def __init__(self, onset_ns: int, share: float, run: float, seed: int) -> None:
        self._onset_ns = onset_ns
        self._random = np.random.default_rng(seed)
        self._again = 1 - 1 / run
        self._begin = share * (1 - self._again) / (1 - share)
        self._failing = False

    def next(self, t_ns: TimesNs) -> NDArray[np.bool_]:
        """Say of the next pulses, at `t_ns` (n,), whether they fail; counts pulses before the onset too."""
        failing = np.empty(len(t_ns), np.bool_)
        for i, chance in enumerate(self._random.random(len(t_ns)).tolist()):
            failing[i] = self._failing = chance < (self._again if self._failing else self._begin)
        return failing & (t_ns >= self._onset_ns)


@dataclass(frozen=True, slots=True)
class LaserMisfires:
    """Pulses without light, or with a second one 1 us later; a PulseFault."""

    misfires: Misfires
    double: bool

    def __call__(self, t_ns: TimesNs, fluence_uj_cm2: Floats) -> tuple[TimesNs, Floats]:
        """Return the pulses that really come."""
        failing = self.misfires.next(t_ns)
        if not self.double:
            return t_ns, np.where(failing, 0.0, fluence_uj_cm2)
        index = np.repeat(np.arange(len(t_ns)), 1 + failing)
        second = np.diff(index, prepend=-1) == 0
        return t_ns[index] + second * DOUBLE_NS, fluence_uj_cm2[index]


@dataclass(frozen=True, slots=True)
class SilentTriggers:
    """Pulses that never leave the delay generator; a WireFault. Give cables that fail together the same seed."""

    misfires: Misfires

    def __call__(self, pulses: OutputPulses, since_ns: int, until_ns: int) -> OutputPulses:
        """Return the pulses that come."""
        kept = ~self.misfires.next(pulses.begin_ns)
        return OutputPulses(pulses.begin_ns[kept], pulses.end_ns[kept], idle_v=pulses.idle_v, active_v=pulses.active_v)


def _missing_pulses(world: "World", case: Case) -> None:
    """A share `severity` of pulses without light, with neither light nor trigger, or double; singly or in bursts."""
    seed = int(case.random.integers(2**62))
    again = BURST_PULSES if case.mode == "dark-bursts" else 1 / (1 - case.severity)
    if case.mode != "silent":
        misfires = Misfires(case.onset_ns, case.severity, again, seed)
        world.light_path.pulse_faults.append(LaserMisfires(misfires, case.mode == "double"))
        return
    for target in ("laser.trigger", "spectrometer.trigger"):
        cable = world.cable_to(target)
        if cable.fault is not None:
            raise ValueError(f"the cable to {target} has a fault already")
        cable.fault = SilentTriggers(Misfires(case.onset_ns, case.severity, again, seed))


_EMPTY = np.empty(0, dtype=np.int64)


@dataclass(slots=True)
class FaultyCable:
    """A cable that loses, doubles or invents pulses; give it to `Cable.fault`.

    Parameters
    ----------
    lost         indices of pulses (counted from 0 since the fault was put in) that never arrive
    doubled      indices of pulses that arrive twice, `gap_ns` apart
    invented_ns  world times of pulses out of nowhere, in order; `invented_v` is their level before doubling
    """

    lost: frozenset[int] = frozenset()
    doubled: frozenset[int] = frozenset()
    invented_ns: Sequence[int] = ()
    gap_ns: int = 300_000
    width_ns: int = 20_000
    idle_v: float = 0.0
    active_v: float = 2.5
    _seen: int = 0
    _coming: tuple[TimesNs, TimesNs] = (_EMPTY, _EMPTY)

    def __call__(self, pulses: OutputPulses, since_ns: int, until_ns: int) -> OutputPulses:
        """Apply the fault to one round of pulses; a double that is not due yet comes in a later round."""
        new = self._damaged(pulses, since_ns, until_ns)
        begin, end = (np.concatenate(pair) for pair in zip(self._coming, new, strict=True))
        order = np.argsort(begin, kind="stable")
        now, later = np.split(order, [int(np.searchsorted(begin[order], until_ns, side="right"))])
        self._coming = begin[later], end[later]
        levels = pulses if len(pulses) else self
        return OutputPulses(begin[now], end[now], idle_v=levels.idle_v, active_v=levels.active_v)

    def _damaged(self, pulses: OutputPulses, since_ns: int, until_ns: int) -> tuple[TimesNs, TimesNs]:
        """Begins and ends of what is left, doubled and invented."""
        first, last = bisect_right(self.invented_ns, since_ns), bisect_right(self.invented_ns, until_ns)
        invented = np.asarray(self.invented_ns[first:last], dtype=np.int64)
        if not len(pulses):
            return invented, invented + self.width_ns
        index = np.arange(self._seen, self._seen + len(pulses))
        self._seen += len(pulses)
        kept = ~np.isin(index, list(self.lost))
        twice = np.isin(index, list(self.doubled))
        begin = np.concatenate([pulses.begin_ns[kept], pulses.begin_ns[twice] + self.gap_ns, invented])
        end = np.concatenate([pulses.end_ns[kept], pulses.end_ns[twice] + self.gap_ns, invented + self.width_ns])
        return begin, end


_SORTS = ("dead", "hot", "stuck")

FAULTS: Mapping[str, Kind] = {
    "breakdown": Kind(_breakdown, "seconds of warning", 0.0, (0.0, 30.0)),
    "open-contact": Kind(_open_contact, "part of the area", 1.0, (0.1, 1.0)),
    "loss-drift": Kind(_loss_drift, "per minute, or at once", 0.02, (0.001, 10.0), ("slow", "step", "alignment")),
    "bad-pixels": Kind(_bad_pixels, "pixels", 5, (1, 20), ("mixed", *_SORTS)),
    "stray-light": Kind(_stray_light, "scatter per pump light", 1e-3, (1e-4, 1e-2)),
    "saturation": Kind(_saturation, "times the light", 40.0, (4.0, 200.0)),
    "missing-pulses": Kind(_missing_pulses, "share of pulses", 0.05, (0.01, 0.2), ("dark", "dark-bursts", "silent", "double")),
    "contact-intermittent": Kind(_intermittent, "vibration", 0.5, (0.0, 1.0)),
}
"""All faults by name."""
