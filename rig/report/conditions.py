"""Under which conditions a run was made, in words with units: sample, people, air, pump, voltage, limits."""

import json
import math
from collections.abc import Iterator, Sequence

import numpy as np

from rig.bench import Bench
from rig.bench_tables import FilterWheel
from rig.fluence_record import FluenceRecord
from rig.report.run_facts import RunFacts
from rig.report.summary import duration_text

DAY_S = 86_400


def conditions(facts: RunFacts) -> list[tuple[str, str]]:
    """List names and texts of the conditions; what nobody recorded is said to be so."""
    return [*_heading(facts), *_air(facts), *_pump(facts), *_levels(facts), *_readings(facts), *_bench(facts.bench)]


def _heading(facts: RunFacts) -> Iterator[tuple[str, str]]:
    header = facts.header
    yield "sample", header.sample or "not named"
    if header.device:
        yield ("simulated film" if header.simulated else "device"), header.device
    yield "measurement", f"{header.measurement}, mode {header.mode}"
    yield "parameters as written", ", ".join(f"{key} = {value}" for key, value in facts.parameters.items()) or "none"
    yield "began", header.wall_start_label or "not recorded"
    yield "ended", facts.ended_label or ("not yet" if facts.live else "not recorded")
    if len(facts.rows) > 1:
        t_us = facts.rows["device_time_us"].astype(float)
        simulated = " (SIMULATED time)" if header.simulated else ""
        yield "frames taken during", f"{duration_text(float(t_us.max() - t_us.min()) * 1e-6)}{simulated}"
    yield "hardware at the end", facts.safe or ("not yet" if facts.live else "not recorded")


def _air(facts: RunFacts) -> Iterator[tuple[str, str]]:
    air = facts.environment
    yield "operator", str(air.get("operator") or "not recorded")
    for name, key, unit in (("air temperature", "temperature_c", "°C"), ("relative humidity", "humidity_percent", "%")):
        yield name, "not recorded" if air.get(key) is None else f"{air[key]} {unit}"
    if air.get("note"):
        yield "note", str(air["note"])


def asked_text(values_uj_cm2: Sequence[float]) -> str:
    """Say which fluences were asked for (uJ/cm2)."""
    few = ", ".join(f"{value:g}" for value in values_uj_cm2[:6])
    return f"{few} ... {values_uj_cm2[-1]:g}" if len(values_uj_cm2) > 6 else few


def measured_text(fluence: FluenceRecord) -> str:
    """Say the measured fluence with both standard uncertainties; only for a record with readings."""
    scale, error = fluence.scale, fluence.standard_error_uj_cm2
    places = min(6, max(0, 1 - math.floor(math.log10(error)))) if error else 2
    mean = f"{fluence.mean_uj_cm2:.{places}f}"
    statistical = "" if error is None else f" ± {error:.{places}f} (standard error)"
    return (
        f"{mean}{statistical} ± {fluence.systematic_uj_cm2 or 0.0:.2g} (systematic, 1 σ: {scale.parts_text()}) µJ/cm², "
        f"{fluence.readings} "
        f"reading{'' if fluence.readings == 1 else 's'}"
    )


def _pump(facts: RunFacts) -> Iterator[tuple[str, str]]:
    fluence, bench = facts.fluence, facts.bench
    yield "fluence asked for", f"{asked_text(facts.asked_uj_cm2)} µJ/cm²" if facts.asked_uj_cm2 else "not in the file"
    if fluence is None:
        yield "fluence measured", "no: the bench has no energy meter" if bench is not None else "cannot be told"
    else:
        yield "fluence measured", "no reading" if fluence.mean_uj_cm2 is None else measured_text(fluence)
    if bench is not None:
        pump = bench.pump
        yield "pumped spot", f"{pump.spot_area_cm2:g} cm² ± {100 * pump.spot_area_uncertainty:g} % (source: {pump.source})"
        yield "attenuator", _attenuator(facts, bench)
        if bench.filter_wheel is not None:
            yield "filter wheel", _filter(facts, bench.filter_wheel)


def _attenuator(facts: RunFacts, bench: Bench) -> str:
    if bench.attenuator is None:
        return "none: fluence as entered by hand"
    if facts.calibration is None:
        return "zero and extinction as entered by hand"
    age_s = facts.calibration_age_s
    age = "age unknown" if math.isnan(age_s) else f"{age_s / DAY_S:.1f} days before this run"
    what = "SIMULATED calibration" if facts.calibration.simulated else "calibrated"
    return f"{what} {facts.calibration.calibrated_at} ({age})"


def _filter(facts: RunFacts, wheel: FilterWheel) -> str:
    timing = json.loads(facts.header.timing_json or "{}")
    position, part = timing.get("filter_position"), timing.get("filter_transmission")
    if position is None:
        return "not recorded where it stood"
    error = "" if part == 1 else f" ± {100 * wheel.transmission_uncertainty:g} %"
    return f"position {position}, {'open' if part == 1 else f'lets {part:g}{error} through'}"


def _levels(facts: RunFacts) -> Iterator[tuple[str, str]]:
    for level in facts.levels:
        text = f"{level.voltage_text()}; current {level.current_text()}; {level.readings} readings"
        yield f"{level.state}, {level.planned_v:g} V planned", text


def _readings(facts: RunFacts) -> Iterator[tuple[str, str]]:
    read = facts.readings
    if len(read):
        voltage_v, current_ma = read["voltage_v"], np.abs(read["current_a"]) * 1e3
        yield (
            "all readings of the source",
            f"{len(read)}: {voltage_v.min():.4g} to {voltage_v.max():.4g} V, at most {current_ma.max():.4g} mA; "
            f"{int(np.count_nonzero(read['compliance']))} at the current limit",
        )


def _bench(bench: Bench | None) -> Iterator[tuple[str, str]]:
    if bench is None:
        return
    limits = bench.voltage_source.limits
    lowest, highest = limits.voltage_v
    yield (
        "limits of the bench",
        f"{lowest:g} to {highest:g} V, {limits.current_a * 1e3:g} mA, {limits.step_v:g} V per edge, "
        f"{limits.on_time_s:g} s on at a stretch, duty {limits.duty:g}",
    )
    yield "shots", f"{bench.laser_trigger.rate_hz:g} Hz"
    yield "exposure", f"{bench.spectrometer.integration_time_s * 1e6:g} µs per frame"
    yield "spectral resolution", f"{bench.spectrometer.psf_nm:g} nm (as entered in the bench)"
