"""The light of each stay of a run, from the frames in its file."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rig.analysis.bracketed_ladder import NORMAL, Bracket, Light
from rig.analysis.matched_band import BandLight, matched_light, wide_light
from rig.analysis.statistics import student_t
from rig.measurements.sweep_record import light_of
from rig.measurements.voltage_ladder import Stay
from rig.reduction import usable
from rig.runfile import Flag, Run

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOST_SATURATED = 0.1  # of a stay's frames: with more the stay is left out
FEWEST_FRAMES = 2
EARLY_S = (1.0, 5.0)  # after the edge to 0 V, begin and end of the frames that tell an early recovery


@dataclass(frozen=True, slots=True, eq=False)
class StayLight:
    """Light per stay.

    light, wide    by the matched filter, and as a plain sum over 485 to 565 nm; None for stays without enough frames
    early          light of rests soon after their edge, None where no frame was taken then
    dark_error     counts, common to all of `light`; `wide_dark_error` to all of `wide`
    wavelength_nm  of `spectra`: number of the stay -> mean dark-free spectrum (counts, (pixels,))
    early_s        from the edge to begin and end of the early frames really used (s), None without any
    left_out       why stays were left out, a sentence each
    """

    light: tuple[Light | None, ...]
    wide: tuple[Light | None, ...]
    early: tuple[Light | None, ...]
    dark_error: float
    wide_dark_error: float
    wavelength_nm: Floats
    spectra: dict[int, Floats]
    early_s: tuple[float, float] | None
    left_out: tuple[str, ...]


def stay_light(run: Run, stays: Sequence[Stay], frame_s: float) -> StayLight:
    """Reduce the frames of `stays`, whose numbers are in the column `cycle`; `frame_s` is the time of a frame (s).

    Raises
    ------
    ValueError  there is no dark, no usable frame, or no light in them
    """
    dark = run.dark
    if dark is None:
        raise ValueError("the dark frames are not taken")
    rows = run.frames()
    known = (rows["cycle"] >= 0) & (rows["cycle"] < len(stays))
    left_out, lost = saturated_stays(rows, known, len(stays))
    known &= ~np.isin(rows["cycle"], lost)
    use, since_s = usable(rows["flags"]) & known, _since_edge_s(rows, known, stays, frame_s)
    soon = _soon(rows, known, since_s, frame_s)
    if not use.any():
        dark_frames = bool((known & ((rows["flags"] & int(Flag.MISSED_PULSE)) != 0)).any())
        why = "no light in any frame" if dark_frames else "no frame is assigned to a shot, settled and unflagged"
        raise ValueError("; ".join(left_out) or why)
    wavelength_nm, light = light_of(run, use | soon, lambda: None)
    seen = slice(int(np.searchsorted(run.wavelength_nm, wavelength_nm[0])), None)
    variance = dark.variance[seen][: len(wavelength_nm)] / dark.frames
    rows, counted = rows[use | soon], use[use | soon]
    halves = np.arange(len(rows)) % 2 == 0
    matched, wide = matched_light(light, halves, variance), wide_light(light, variance)
    t_s = (rows["host_time_ns"] - rows["host_time_ns"][0]) * 1e-9
    number = rows["cycle"].astype(np.int64)
    early = _means(matched, t_s, np.where(counted, -1, number), stays)
    spectra = {one: light[(number == one) & counted].mean(axis=0) for one in np.unique(number[counted]).tolist()}
    place = np.where(counted, number, -1)
    return StayLight(
        _means(matched, t_s, place, stays),
        _means(wide, t_s, place, stays),
        early,
        matched.dark_error,
        wide.dark_error,
        wavelength_nm,
        spectra,
        (float(since_s[soon].min()), float(since_s[soon].max()) + frame_s) if soon.any() else None,
        left_out,
    )


def brackets_of(stays: Sequence[Stay], light: Sequence[Light | None], early: Sequence[Light | None] = ()) -> list[Bracket]:
    """Pair every stay under voltage with the rests right before and after it, where all three have light."""
    found: list[Bracket] = []
    for number in range(1, len(stays) - 1):
        before, biased, after = light[number - 1 : number + 2]
        purposes = [stay.purpose for stay in stays[number - 1 : number + 2]]
        if not (purposes[0] == purposes[2] == "rest" != purposes[1]) or before is None or biased is None or after is None:
            continue
        found.append(Bracket(before, biased, after, early[number + 1] if early else None))
    return found


def of_purpose(stays: Sequence[Stay], light: Sequence[Light | None], purpose: str) -> list[Light]:
    """Light of all stays of one purpose, those without light left out."""
    return [one for stay, one in zip(stays, light, strict=True) if stay.purpose == purpose and one is not None]


def _since_edge_s(rows: NDArray[np.void], known: Mask, stays: Sequence[Stay], frame_s: float) -> Floats:
    """Time from the edge to 0 V to the begin of each frame (s, (n,)): one frame leads in; NaN where no rest settles."""
    settling = np.array([stay.purpose == "rest" and stay.settling > 0 for stay in stays])
    firsts = np.cumsum([0, *(stay.settling + stay.frames for stay in stays)])[:-1]
    number = np.where(known, rows["cycle"], 0)
    return np.where(known & settling[number], (rows["shot"] - firsts[number] + 1) * frame_s, np.nan)


def _soon(rows: NDArray[np.void], known: Mask, since_s: Floats, frame_s: float) -> Mask:
    """Frames of settling rests, flagged as such and nothing else, that lie within `EARLY_S` of the edge."""
    only_settling = known & (rows["flags"] == int(Flag.SETTLING))
    return only_settling & (since_s >= EARLY_S[0] - 1e-9) & (since_s + frame_s <= EARLY_S[1] + 1e-9)


def _means(band: BandLight, t_s: Floats, number: NDArray[np.int64], stays: Sequence[Stay]) -> tuple[Light | None, ...]:
    """Mean light per stay; its error from the scatter inside all stays of the same kind, so that few frames do not fool."""
    kinds = [(stay.purpose == "linearity", stay.voltage_v, stay.fluence_uj_cm2) for stay in stays]
    squares = dict.fromkeys(kinds, 0.0)
    freedom = dict.fromkeys(kinds, 0)
    members = [np.flatnonzero(number == one) for one in range(len(stays))]
    for kind, mine in zip(kinds, members, strict=True):
        if len(mine) >= FEWEST_FRAMES:
            squares[kind] += float(np.var(band.counts[mine]) * len(mine))
            freedom[kind] += len(mine) - 1
    found: list[Light | None] = []
    for stay, kind, mine in zip(stays, kinds, members, strict=True):
        if len(mine) < FEWEST_FRAMES:
            found.append(None)
            continue
        scatter = np.sqrt(squares[kind] / freedom[kind] / len(mine)) * student_t(0.975, freedom[kind]) / NORMAL
        mean, middle_s = float(band.counts[mine].mean()), float(t_s[mine].mean())
        found.append(Light(middle_s, stay.voltage_v, mean, float(scatter), stay.fluence_uj_cm2))
    return tuple(found)


def saturated_stays(rows: NDArray[np.void], known: Mask, count: int) -> tuple[tuple[str, ...], list[int]]:
    """Say which of `count` stays have too many saturated frames among `rows[known]`: a sentence for them, their numbers."""
    over = known & ((rows["flags"] & int(Flag.SATURATED)) != 0)
    all_of = np.bincount(rows["cycle"][known], minlength=count)
    lost = np.flatnonzero(np.bincount(rows["cycle"][over], minlength=count) > MOST_SATURATED * all_of).tolist()
    if not lost:
        return (), []
    many = f"{len(lost)} stay{'s' if len(lost) > 1 else ''}"
    return (f"{many} left out: saturated frames (less fluence, or a shorter frame_s)",), lost
