"""Frames of a response run on one time axis, with the edges of the voltage on it; only what the run file holds."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rig.analysis.bands import band_slice
from rig.analysis.correction import fill_hot, light_counts
from rig.analysis.step_response import Edges, Trace
from rig.measurements.response import NO_DATA, Part, Response
from rig.reduction import LIGHT_NM
from rig.runfile import Flag, Run
from rig.sequence import Block, BlockMode, BlockResult

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

NOT_MEASURED = Flag.MISSED_PULSE | Flag.DARK_SHIFT | Flag.COMPLIANCE | Flag.MONITOR
PIECES = 64  # a file is read in, so that a long one need not be in memory as a whole
SHOWN = 0.25  # half periods around an edge, in a figure
SEEN_SIGMAS = 5.0  # of the mean of all frames, above the dark
CLOCK_S = 2e-6  # the spectrometer's clock counts microseconds


@dataclass(frozen=True, slots=True)
class FrameTiming:
    """One frame (s), from the start of its shot.

    open_s, exposure_s  while light is collected; of pulses, half a pulse interval more on both sides
    period_s            from one frame to the next
    step_s              first and last instant at which the source may have stepped; None in gated blocks
    detector_open_s     begin of the detector's own exposure
    detector_s          its length
    """

    open_s: float
    exposure_s: float
    period_s: float
    step_s: tuple[float, float] | None
    detector_open_s: float
    detector_s: float

    @classmethod
    def of(cls, timing: dict[str, Any]) -> "FrameTiming":
        """Read what the run file says of its frames. Raises ValueError when it says nothing."""
        try:
            opened, closed, triggers = timing["open_ns"], timing["close_ns"], timing["triggers"]
            period_ns, settled_ns = timing["period_ns"], timing["settled_ns"]
            detector_ns = (opened, closed - opened)
            if timing["light"] == "pulses":
                interval_ns = period_ns / triggers
                opened, closed = timing["pulse_ns"] - interval_ns / 2, timing["pulse_ns"] + period_ns - interval_ns / 2
            step_s = None if settled_ns is None else (timing["edge_ns"] * 1e-9, settled_ns * 1e-9)
            return cls(opened * 1e-9, (closed - opened) * 1e-9, period_ns * 1e-9, step_s, *(ns * 1e-9 for ns in detector_ns))
        except (KeyError, TypeError) as error:
            raise ValueError("the file does not say how its frames were taken") from error

    @property
    def dead_s(self) -> float:
        """Get the time of each frame in which no light is collected."""
        return self.period_s - self.detector_s


@dataclass(frozen=True, slots=True, eq=False)
class Stay:
    """A stretch that has frames: when its burst began (s, on the axis), and which of the frames are its own."""

    part: Part
    block: int
    stretch: int
    voltage_v: float
    start_s: float
    frames: slice


@dataclass(frozen=True, slots=True, eq=False)
class ResponseTrace:
    """All frames that are assigned, in time order, (n,): `t_s` their beginning from the first on, `light` counts of the band.

    interval_s  from one frame to the next on the spectrometer's clock, one for each stretch (s)
    """

    timing: FrameTiming
    t_s: Floats
    light: Floats
    saturated: Mask
    stays: tuple[Stay, ...]
    interval_s: Floats

    def wave(self) -> tuple[Trace, Edges]:
        """Frames of the square wave, and where its voltage changed inside a block."""
        stays = [stay for stay in self.stays if stay.part is Part.WAVE]
        chosen = np.concatenate([np.arange(stay.frames.start, stay.frames.stop) for stay in stays] or [np.zeros(0, np.intp)])
        trace = Trace(self.t_s[chosen], self.light[chosen], self.saturated[chosen], self.timing.exposure_s)
        edges = [
            (self.edge_s(after), after.voltage_v != 0)
            for before, after in pairwise(stays)
            if _follows(before, after) and before.block == after.block
        ]
        error_s = 0.0 if self.timing.step_s is None else 0.5 * (self.timing.step_s[1] - self.timing.step_s[0])
        times, kinds = np.array([t for t, _ in edges], np.float64), np.array([on for _, on in edges], np.bool_)
        return trace, Edges(times, kinds, error_s + CLOCK_S)

    def gaps(self, *, on: bool) -> list[tuple[Stay, Stay]]:
        """Neighbouring stretches of the wave between which the voltage went on (or off), wherever that was."""
        stays = [stay for stay in self.stays if stay.part is Part.WAVE]
        return [(a, b) for a, b in pairwise(stays) if _follows(a, b) and (b.voltage_v != 0) == on]

    def folded(self, *, on: bool, half_period_s: float) -> tuple[Floats, Floats]:
        """All edges of one kind laid over each other: middle of the frames since the edge (ms), and the way of the light."""
        since, ways = [np.zeros(0)], [np.zeros(0)]
        for before, after in self.gaps(on=on):
            zero_s = self.edge_s(after)
            near = slice((before.frames.start + before.frames.stop) // 2, after.frames.stop)
            middle_s = self.t_s[near] + 0.5 * self.timing.exposure_s - zero_s
            light, shown = self.light[near], np.abs(middle_s) <= SHOWN * half_period_s
            low, high = (_plateau(light[part]) for part in (middle_s < 0, middle_s >= 0.5 * half_period_s))
            if np.isfinite(low + high) and low != high:
                since.append(1e3 * middle_s[shown])
                ways.append((light[shown] - low) / (high - low))
        return np.concatenate(since), np.concatenate(ways)

    def edge_s(self, stay: Stay) -> float:
        """When the source stepped at the beginning of a stretch (s): the middle of what its model allows."""
        step_s = self.timing.step_s
        return stay.start_s + (0.0 if step_s is None else 0.5 * (step_s[0] + step_s[1]))


def _plateau(light: Floats) -> float:
    known = light[np.isfinite(light)]
    return float(known.mean()) if len(known) else np.nan


def _follows(before: Stay, after: Stay) -> bool:
    return after.stretch == before.stretch + 1 and before.voltage_v != after.voltage_v


def blocks_made(parameters: Response, mode: BlockMode, rows: NDArray[np.void]) -> list[tuple[Part, Block]]:
    """List the blocks of a run as they were made of what the ones before had brought; those that the file has frames of."""
    last = int(rows["block"].max(initial=-1))
    made: list[tuple[Part, Block]] = []
    parts, sent = parameters.parts(mode), None
    while True:
        try:
            part, block = parts.send(sent)
        except StopIteration:
            return made
        if block.index > last:
            return made
        made.append((part, block))
        sent = BlockResult(rows[rows["block"] == block.index])


def response_trace(run: Run, parameters: Response, timing: FrameTiming, rows: NDArray[np.void]) -> ResponseTrace:
    """Put the frames `rows` (the first ones of the run) on one axis.

    The spectrometer's clock orders them, the delay generator's period says how long its microsecond is.

    Raises
    ------
    ValueError  no frame is assigned, none has light, or the run has no dark frames
    """
    index = np.flatnonzero(((rows["flags"] & int(NO_DATA)) == 0) & (rows["state"] >= 0))
    if not len(index):
        raise ValueError("no frame is assigned to a shot")
    known = rows[index]
    tick_us = known["device_time_us"].astype(np.int64)
    t_us = (tick_us - tick_us[0]).astype(np.float64)
    ends = np.flatnonzero(np.diff(known["stretch"])) + 1
    groups = [slice(int(a), int(b)) for a, b in zip([0, *ends], [*ends, len(known)], strict=True)]
    spans = [g for g in groups if known["shot"][g.stop - 1] > known["shot"][g.start]]
    intervals_us = np.array([np.ptp(t_us[g]) / np.ptp(known["shot"][g]) for g in spans], np.float64)
    tick_s = timing.period_s / float(np.median(intervals_us)) if len(intervals_us) else 1e-6
    detector_s = t_us * tick_s
    mode: BlockMode = "stepped" if run.header.mode == "stepped" else "gated"
    stays = _stays(blocks_made(parameters, mode, rows), groups, known, detector_s, timing)
    light = _light(run, index, known["state"])
    light[(known["flags"] & int(NOT_MEASURED)) != 0] = np.nan
    saturated = (known["flags"] & int(Flag.SATURATED)) != 0
    opened_s = detector_s + (timing.open_s - timing.detector_open_s)
    return ResponseTrace(timing, opened_s, light, saturated, tuple(stays), intervals_us * 1e-6)


def _stays(
    made: list[tuple[Part, Block]], groups: list[slice], known: NDArray[np.void], detector_s: Floats, timing: FrameTiming
) -> list[Stay]:
    found = {int(known["stretch"][group.start]): group for group in groups}
    stays: list[Stay] = []
    number = first_shot = 0
    for part, block in made:
        for place, stretch in enumerate(block.stretches):
            if number in found:
                mine = found[number]
                # the first burst of a block begins with a shot that is no data
                passed = known["shot"][mine] - first_shot + (place == 0)
                start_s = float(np.mean(detector_s[mine] - passed * timing.period_s)) - timing.detector_open_s
                stays.append(Stay(part, block.index, number, stretch.voltage_v, start_s, mine))
            number, first_shot = number + 1, first_shot + stretch.shots
    return stays


def _light(run: Run, index: NDArray[np.intp], state: NDArray[np.int8]) -> Floats:
    """Light of each frame (counts of the whole band, (n,)): its spectrum, weighted by the mean one of OFF and ON together."""
    dark = run.dark
    if dark is None:
        raise ValueError("the run ended before its dark frames were taken")
    band = band_slice(run.wavelength_nm, *LIGHT_NM)
    spectra = np.concatenate([_spectra(run, part, dark.mean, dark.hot, band) for part in np.array_split(index, PIECES)])
    noise = float(np.sqrt(dark.variance[band].sum() * (1 / max(1, dark.frames) + 1 / len(spectra))))
    # not by the weights: those of noise find noise
    if not float(spectra.sum(axis=1, dtype=np.float64).mean()) > SEEN_SIGMAS * noise:
        raise ValueError("no light: the mean of all frames does not exceed the dark by its noise")
    states = [spectra[state == one].mean(axis=0) for one in (0, 1) if (state == one).any()]
    weight = np.maximum(np.mean(states, axis=0), 0.0)
    return spectra @ weight * float(weight.sum() / (weight @ weight))


def _spectra(run: Run, index: NDArray[np.intp], dark: Floats, hot: Mask, band: slice) -> NDArray[np.float32]:
    if not len(index):
        return np.zeros((0, band.stop - band.start), np.float32)
    first = int(index[0])
    raw = run.spectra(first, int(index[-1]) + 1)[index - first, band]
    light = light_counts(raw, dark[band], run.header.nonlinearity)
    return fill_hot(light, hot[band]).astype(np.float32)
