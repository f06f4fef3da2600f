"""What the film itself gave off in each stay of a voltage ladder: from the voltages at its terminals and its own physics."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rig.measurements.voltage_ladder import Stay
from rig.reduction import usable
from rig.runfile import Run
from rig.session import Session
from sim_instruments.film.charging import BiasHistory
from sim_instruments.film.photoluminescence import pulsed

NODES = 16


def true_frames(session: Session, run: Run, fluence_uj_cm2: float) -> NDArray[np.float64]:
    """Photons per nanocrystal and pulse in every frame of the file, (n,), had all pulses been of `fluence_uj_cm2`."""
    world = session.world
    exposures, record = world.light_path.record.exposures, world.terminal.record
    device_us = world.personas["spectrometer"].device_clock.at(exposures["open_ns"]).astype(np.int64)
    wanted = run.column("device_time_us").astype(np.int64)
    place = np.searchsorted(device_us, wanted)
    assert np.array_equal(device_us[place], wanted)
    history = BiasHistory(world.film.parameters)
    for t_ns, voltage_v in zip(record.t_ns, record.voltage_v, strict=True):
        history.set_voltage(voltage_v, t_ns)
    open_ns, close_ns = exposures["open_ns"][place], exposures["close_ns"][place]
    t_ns = open_ns[:, None] + ((close_ns - open_ns)[:, None] * (np.arange(NODES) + 0.5) / NODES).astype(np.int64)
    state = history.at(t_ns.ravel())
    decay = pulsed(world.film.parameters, np.full(t_ns.size, fluence_uj_cm2), state)
    return decay.photons.sum(axis=1).reshape(t_ns.shape).mean(axis=1)


def true_levels(session: Session, run: Run, stays: Sequence[Stay], fluence_uj_cm2: float) -> dict[float, float]:
    """Light at each voltage (V) over that of the rests beside it, from the frames that count."""
    rows: Any = run.frames()
    light, used = true_frames(session, run, fluence_uj_cm2), usable(rows["flags"])
    means = [float(light[used & (rows["cycle"] == number)].mean()) for number in range(len(stays))]
    found: dict[float, list[float]] = {}
    for number, stay in enumerate(stays):
        if stay.purpose in ("level", "repeat"):
            found.setdefault(stay.voltage_v, []).append(2 * means[number] / (means[number - 1] + means[number + 1]))
    return {voltage_v: float(np.mean(values)) for voltage_v, values in found.items()}
