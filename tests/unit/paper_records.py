"""Small records for the rules of the paper's claims: what a good campaign would bring, to be spoiled by the tests."""

import importlib.resources
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from rig.analysis.equivalence import Equivalence
from rig.analysis.statistics import Value
from rig.analysis.step_response import Duration, EdgeResponse, SlowPart
from rig.analysis.switching import SwitchingResult
from rig.measurements.control import Control
from rig.measurements.pl_vs_voltage import PlVsVoltage
from rig.measurements.response import Response
from rig.measurements.threshold_map import ThresholdMap
from rig.runfile_layout import FRAME_DTYPE

BENCH = importlib.resources.files("rig").joinpath("default_bench.toml").read_text("utf-8")
SEQUENCE = 'title = "t"\nsample = "s"\nmeasurement = "on_off"\n[parameters]\n'


def fake(**values: Any) -> Any:
    return SimpleNamespace(**values)


def about(value: float | None, half: float = 0.0, unit: str = "") -> Value:
    return Value(value, None if value is None else (value - half, value + half), unit)


def run(name: str = "run.h5", **changes: Any) -> Any:
    header = fake(
        bench_toml=BENCH,
        sequence_toml=SEQUENCE,
        measurement="on_off",
        sample="film",
        device="nominal",
        simulated=True,
        environment_json='{"temperature_c": 22.5, "humidity_percent": 41.0}',
    )
    for key in set(changes) & set(vars(header)):
        setattr(header, key, changes.pop(key))
    return fake(path=Path(name), header=header, state="done", events=[], **changes)


def contact(condition: str, ohm: float) -> list[tuple[int, str]]:
    """An event log with a look at the contact in it."""
    told = {
        "condition": condition,
        "resistance_ohm": ohm,
        "ci95_ohm": [0.9 * ohm, 1.1 * ohm],
        "at_least_ohm": None,
        "looked_v": 0.1,
        "readings": 10,
        "reasons": ["measured"],
    }
    return [(0, f"contact: {condition} {json.dumps(told)}")]


def switching(sequence: str = "", bench: str = BENCH, **changes: Any) -> Any:
    """Six cycles at 20 V and 40 uJ/cm2 that pass everything; `changes` are those of the result."""
    rows = np.zeros(40, FRAME_DTYPE)
    rows["state"] = np.arange(40) % 2
    rows["planned_voltage_v"] = 20.0 * rows["state"]
    rows["measured_voltage_v"] = rows["planned_voltage_v"] + 1e-3
    rows["measured_current_a"] = 1e-4 * rows["state"]
    values: dict[str, Any] = {
        "off_peak_nm": about(520.1, 0.1, "nm"),
        "off_fwhm_nm": about(25.2, 0.1, "nm"),
        "on_peak_nm": about(535.2, 0.1, "nm"),
        "on_fwhm_nm": about(3.4, 0.1, "nm"),
        "on_fwhm_deconvolved_nm": about(3.2, 0.1, "nm"),
        "contrast_535": about(10.0, 0.1),
        "ratio_520": about(0.2, 0.01),
        "correlation_520_535": about(-0.99, 0.001),
        "off_drift": about(0.01, 0.001),
        "agreement": about(1.0),
    }
    values.update({key: changes.pop(key) for key in set(changes) & set(values)})
    cycle = SwitchingResult(cycle=0, switched=True, reason="", psf_fwhm_nm=1.0, **values)
    whole: dict[str, Any] = {
        "cycle": None,
        "switched": True,
        "reason": "",
        "psf_fwhm_nm": 1.0,
        "per_cycle": (cycle,) * 6,
        **changes,
    }
    wavelength_nm = np.linspace(380.0, 620.0, 481)
    record_run = run(frames=lambda: rows, wavelength_nm=wavelength_nm, bench_toml=bench, sequence_toml=SEQUENCE + sequence)
    means = fake(mean=lambda state: np.full(481, 5.0))
    result = SwitchingResult(**values, **whole)
    return fake(run=record_run, result=result, means=means, reason="", fluence=fake(mean_uj_cm2=41.0))


def thresholds(at: dict[float, Value] | None = None, reduction: Value | None = None, **parameters: Any) -> Any:
    """A map with thresholds by voltage; lines are 25 nm wide below and 3.5 nm above."""
    levels = at or {0.0: about(68.0, 1.0, "uJ/cm2"), 20.0: about(32.0, 0.5, "uJ/cm2")}
    fluence = np.geomspace(16.0, 130.0, 26)
    sweeps = [
        fake(
            voltage_v=voltage_v,
            result=fake(
                width_uj_cm2=fluence,
                fwhm_nm=np.where(fluence < (value.value or 50.0), 25.0, 3.5),
                crossing=about(1.1 * (value.value or 50.0)),
                value=value,
            ),
        )
        for voltage_v, value in levels.items()
    ]
    effect = fake(
        levels=tuple(fake(voltage_v=voltage_v, value=value) for voltage_v, value in levels.items()),
        test=fake(verdict="falls", p_fall=1e-4),
    )
    result = fake(
        effect=effect,
        sweeps=sweeps,
        value=about(0.529, 0.01) if reduction is None else reduction,
        sentence="what the map says",
        faulted=False,
    )
    return fake(run=run(), result=result, parameters=ThresholdMap(**parameters), reason="", fluence=None)


def weak_light(parameters: PlVsVoltage | None = None, **changes: Any) -> Any:
    values: dict[str, Any] = {
        "recovery_early": about(0.99, 0.01),
        "recovery_late": about(1.0, 0.005),
        "linearity": about(1.0, 0.01),
        "relative_at_highest": about(0.2, 0.01),
        "verdict": "falls",
        "slope_from": "set points",
        "faulted": False,
        "sentence": "what the ladder says",
        "stays": fake(early_s=(1.0, 5.0)),
        "ladder": fake(levels=[fake(voltage_v=20.0, relative=about(0.2, 0.01))]),
        **changes,
    }
    return fake(run=run(), parameters=parameters or PlVsVoltage(), result=fake(**values), reason="")


def edge(time_s: float | None, half_s: float = 0.002, bound_s: float | None = None, reason: str = "") -> EdgeResponse:
    duration = Duration(about(time_s, half_s, "s"), bound_s)
    return EdgeResponse(about(0.8), duration, duration, duration, about(time_s), 10, {}, reason)


def response(parameters: Response | None = None, **changes: Any) -> Any:
    slow: dict[str, Any] = {
        "slow_on": SlowPart(about(4.0, 1.0, "s"), about(0.01, 0.001), about(0.99, 0.001)),
        "slow_off": SlowPart(about(4.0, 1.0, "s"), about(0.03, 0.001), about(0.97, 0.001)),
        "fall": about(0.11, 0.01),
    }
    slow.update({key: changes.pop(key) for key in set(changes) & set(slow)})
    hold = fake(
        slow_on=slow["slow_on"],
        slow_off=slow["slow_off"],
        current=fake(fall=slow["fall"], reason=""),
        recovery_1s=about(0.98, 0.005),
        recovery_20s=about(1.0, 0.005),
    )
    on, off = changes.pop("on", edge(None, bound_s=0.013)), changes.pop("off", edge(0.064))
    values: dict[str, Any] = {
        "code": "",
        "sentence": "what the light did",
        "hold": hold,
        "steps": fake(on=on, off=off, period_s=changes.pop("period_s", about(2.0, 0.001, "s"))),
        "exposure_s": 0.0095,
        "dead_s": 0.0005,
        "frame_interval": about(0.01, 1e-7, "s"),
        **changes,
    }
    return fake(run=run(), parameters=parameters or Response(), result=fake(**values), reason="")


def equivalence(change: float, margin: float, judgement: str = "insensitive") -> Equivalence:
    return Equivalence(about(change, 0.001), (change - 0.001, change + 0.001), margin, 0.01, judgement, "in words")  # type: ignore[arg-type]


def control(
    parameters: Control | None = None, device: str = "nominal pmma", current: Value | None = None, **changes: Any
) -> Any:
    found: dict[str, Any] = {
        "light": equivalence(0.002, 0.02),
        "slope": equivalence(0.002, 0.02),
        "peak": equivalence(0.1, 0.3),
        **changes,
    }
    result = fake(found=fake(**found), current=about(1e-8, 1e-9, "A") if current is None else current)
    record_run = run("control.h5", device=device, sample="film, control")
    return fake(run=record_run, parameters=parameters or Control(), result=result, reason="")


def bare(current_ua: float = 10.0, voltage_v: float = 20.0) -> Any:
    highest = fake(voltage_v=voltage_v, current_ua=about(current_ua, 0.1, "uA"))
    return fake(run=run("iv.h5"), result=fake(broke=None, highest=highest), reason="")
