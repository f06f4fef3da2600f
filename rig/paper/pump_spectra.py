"""Spectra against pump fluence at one voltage of a threshold map, as Figure 2d and 2e show them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rig.analysis.statistics import Value
from rig.measurements.map_record import MapRecord
from rig.measurements.sweep_record import light_of
from rig.reduction import usable
from rig.sequence import State

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PumpSpectra:
    """Mean spectra of one sweep.

    fluence_uj_cm2  ascending, (k,)
    light           counts per shot, dark-free, (k, pixels)
    fwhm_nm         NaN where there is no line, (k,)
    threshold       at this voltage, of the whole map
    """

    voltage_v: float
    wavelength_nm: Floats
    fluence_uj_cm2: Floats
    light: Floats
    fwhm_nm: Floats
    threshold: Value


def pump_spectra(record: MapRecord, which: int) -> PumpSpectra:
    """Read the first sweep at level number `which` of a map (0: at 0 V, -1: at the voltage farthest from it).

    Raises
    ------
    ValueError  there is none
    """
    if record.result is None:
        raise ValueError(record.reason)
    level = record.result.effect.levels[which]
    numbers = [number for number, sweep in enumerate(record.parameters.sweeps) if sweep.voltage_v == level.voltage_v]
    reduced = [
        sweep.result for sweep in record.result.sweeps if sweep.voltage_v == level.voltage_v and sweep.result is not None
    ]
    rows, visits = record.run.frames(), record.parameters.visits()
    state = State.OFF if level.voltage_v == 0 else State.ON
    used = usable(rows["flags"]) & (rows["state"] == int(state))
    of_sweep = rows["cycle"] // record.parameters.points
    here = next((used & (of_sweep == number) for number in numbers if (used & (of_sweep == number)).any()), None)
    if here is None or not reduced:
        raise ValueError(f"no sweep at {level.voltage_v:g} V has frames that can be used")
    wavelength_nm, light = light_of(record.run, here, lambda: None)
    point = np.array([visit.point for visit in visits])[rows["cycle"][here]]
    means = np.array([light[point == one].mean(axis=0) for one in np.unique(point)])
    first = reduced[0]
    if len(means) != len(first.width_uj_cm2):
        raise ValueError(f"the sweep at {level.voltage_v:g} V has points without a width")
    return PumpSpectra(level.voltage_v, wavelength_nm, first.width_uj_cm2, means, first.fwhm_nm, level.value)
