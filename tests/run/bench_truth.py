"""What really happened on a simulated bench, from the world's own record: the judge of every run test."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rig.reduction import usable
from rig.runfile import Flag, Run
from rig.session import Session

WRONG_V = 0.1
DARK_UJ_CM2 = 0.1  # what comes past a closed shutter is less


@dataclass(frozen=True)
class Truth:
    """Per frame of a run file: how many pulses its exposure really caught, and the terminal voltage at the first of them."""

    pulses: NDArray[np.int64]
    voltage_v: NDArray[np.float64]


def truth_of(session: Session, run: Run) -> Truth:
    """Match every frame of the file with the exposure that made it, by time on the device's clock."""
    world = session.world
    spectrometer = world.personas["spectrometer"]
    exposures, flashes = world.light_path.record.exposures, world.light_path.record.pulses
    wanted = run.column("device_time_us").astype(np.int64)
    if hasattr(spectrometer, "device_clock"):
        device_us = spectrometer.device_clock.at(exposures["open_ns"]).astype(np.int64)
        # an exposure that was never read out may share its microsecond with nobody: times are unique per exposure
        place = np.clip(np.searchsorted(device_us, wanted), 0, len(device_us) - 1)
        assert np.array_equal(device_us[place], wanted), "a frame without an exposure"
    else:  # one request, one exposure: a frame is of the last exposure that had closed when it came
        place = np.searchsorted(exposures["close_ns"], wanted * 1000) - 1
        assert (np.diff(place) > 0).all(), "two frames of one exposure"
    pulses = exposures["pulses"][place]
    voltage_v = np.full(len(wanted), np.nan)
    lit = pulses > 0
    voltage_v[lit] = flashes["voltage_v"][exposures["first_pulse"][place][lit]]
    return Truth(pulses, voltage_v)


def wrong_frames(rows: NDArray[Any], truth: Truth) -> int:
    """Frames assigned, not flagged, whose true terminal voltage at their pulse is not the assigned one (or has no pulse)."""
    used = usable(rows["flags"])
    planned = rows["planned_voltage_v"][used]
    return int(np.sum(~(np.abs(truth.voltage_v[used] - planned) <= WRONG_V)))


def shifted(rows: NDArray[Any], shots: int) -> NDArray[Any]:
    """The same rows with every label one or more shots off: the deliberate error that the judge must see."""
    moved = rows.copy()
    data = np.flatnonzero((rows["flags"] & int(Flag.LEAD_IN)) == 0)
    for name in ("state", "planned_voltage_v", "flags", "shot", "cycle"):
        moved[name][data] = np.roll(rows[name][data], shots)
    return moved


def off_ms(world: Any, since_ns: int) -> float:
    """From a moment to 0 V at the film and to the last light on it (ms); asserts that both have come, and come for good."""
    world.sleep(2.0)
    world.light_path.emit_until(world.now_ns())
    t_ns, voltage_v = world.terminal.record.t_ns, world.terminal.record.voltage_v
    assert voltage_v[-1] == 0.0
    on = [number for number, before in enumerate(voltage_v[:-1], 1) if before != 0.0]
    zero_ns = t_ns[on[-1]] if on else 0
    pulses = world.light_path.record.pulses
    light_ns = pulses["t_ns"][pulses["fluence_uj_cm2"] > DARK_UJ_CM2]
    last_ns = max(zero_ns, int(light_ns[-1]) if len(light_ns) else 0)
    assert last_ns < world.now_ns() - 1_500_000_000, "still on or firing half a second after its end"
    return max(0, last_ns - since_ns) * 1e-6
