"""A paragraph for a methods section: past tense, and no number that is not in the run file."""

import numpy as np

from rig.reduction import usable
from rig.report.conditions import asked_text, measured_text
from rig.report.findings import Findings
from rig.report.run_facts import RunFacts, eventful
from rig.runfile import Flag

FRAME = ("pulses", "period_ns", "open_ns", "close_ns")


def methods_text(facts: RunFacts, findings: Findings) -> str:
    """Write the paragraph."""
    sentences = [*_warnings(facts), *_pump(facts), *_voltage(facts), *_spectra(facts), *_shots(facts)]
    sentences += [findings.methods, *_air(facts), *_programs(facts)]
    return " ".join(sentence for sentence in sentences if sentence)


def _warnings(facts: RunFacts) -> list[str]:
    said: list[str] = []
    if facts.header.simulated:
        said.append("SIMULATED: no real instrument and no real film took part; all numbers come from software.")
    if facts.live:
        said.append("PRELIMINARY: the run had not ended when this was written.")
    elif not facts.complete:
        said.append(f"INCOMPLETE: the run {'was cut off' if facts.cut_off else f'ended as {facts.state}'}.")
    return said


def _instrument(facts: RunFacts, role: str, otherwise: str) -> str:
    """Maker and model as the instrument named itself, without serial number and firmware."""
    said = facts.identities.get(role)
    return f"{otherwise} ({str(said).partition(', serial')[0]})" if said else otherwise


def _pump(facts: RunFacts) -> list[str]:
    bench, fluence, light = facts.bench, facts.fluence, facts.timing.get("light", "pulses")
    sample = f"The sample {facts.header.sample}" if facts.header.sample else "The sample"
    if light == "none":
        return [f"{sample} was kept in the dark."]
    if light == "cw":
        lamp = "" if bench is None or bench.cw_shutter is None else f" at {bench.cw_shutter.wavelength_nm:g} nm"
        return [f"{sample} was kept under weak continuous light{lamp}, whose power was not measured."]
    wavelength = f" at {bench.energy_meter.wavelength_nm:g} nm" if bench is not None and bench.energy_meter is not None else ""
    rate = f" at a repetition rate of {bench.laser_trigger.rate_hz:g} Hz" if bench is not None else ""
    asked = f" with a nominal fluence of {asked_text(facts.asked_uj_cm2)} µJ/cm²" if facts.asked_uj_cm2 else ""
    said = [f"{sample} was pumped with laser pulses{wavelength}{rate}{asked}."]
    if fluence is not None and fluence.mean_uj_cm2 is not None:
        meter = _instrument(facts, "energy_meter", "an energy meter")
        said.append(f"The mean fluence, measured with {meter}, was {measured_text(fluence)}.")
    else:
        said.append("The fluence was not measured during the run.")
    return said


def _voltage(facts: RunFacts) -> list[str]:
    levels, source = facts.levels, _instrument(facts, "voltage_source", "a voltage source")
    if not levels:
        return ["No voltage was applied in any recorded shot."]
    planned = " and ".join(f"{level.planned_v:g} V ({level.state})" for level in levels)
    assigned = [level for level in levels if level.state in ("OFF", "ON")]
    cycles = len(np.unique(facts.rows["cycle"][facts.rows["state"] >= 0]))
    often = f" in {cycles} cycle{'' if cycles == 1 else 's'}{_stretches(facts)}" if len(assigned) > 1 else ""
    said = [f"{source[0].upper()}{source[1:]} was set to {planned}{often}."]
    measured = [
        f"{round(level.mean_v, 3) + 0.0:.3f} V at {level.planned_v:g} V" for level in levels if level.mean_v is not None
    ]
    if measured:
        said.append(f"The voltage measured at the source was on average {' and '.join(measured)}.")
    if facts.bench is not None:
        said.append(f"The current limit was {facts.bench.voltage_source.limits.current_a * 1e3:g} mA.")
    if limited := int(np.count_nonzero(facts.readings["compliance"])):
        said.append(f"It was reached in {limited} of {len(facts.readings)} readings.")
    return said


def _stretches(facts: RunFacts) -> str:
    """How many shots one stretch of each state had, as most of them had."""
    said: list[str] = []
    for state, name in ((0, "OFF"), (1, "ON")):
        stretches = facts.rows["stretch"][(facts.rows["state"] == state) & (facts.rows["shot"] >= 0)]
        _, shots = np.unique(stretches, return_counts=True)
        if len(shots):
            said.append(f"{int(np.bincount(shots).argmax())} shots {name}")
    return f" of {' and '.join(said)}" if said else ""


def _spectra(facts: RunFacts) -> list[str]:
    spectrometer = _instrument(facts, "spectrometer", "a spectrometer")
    exposure, often = "", "one per laser pulse"
    if facts.bench is not None:
        exposure = f" with an exposure of {facts.bench.spectrometer.integration_time_s * 1e6:g} µs"
    told = [number for name in FRAME if isinstance(number := facts.timing.get(name), int)]
    if len(told) == len(FRAME) and facts.timing["pulses"] != 1:
        pulses, period_ns, open_ns, close_ns = told
        often = f"one for every {pulses} laser pulses" if pulses else f"one every {period_ns * 1e-6:g} ms"
        exposure = f" with an exposure of {(close_ns - open_ns) * 1e-6:g} ms"
    said = [f"Emission spectra were recorded with {spectrometer}, {often}{exposure}."]
    if facts.dark_frames:
        said.append(
            f"The mean of {facts.dark_frames} dark frames was subtracted, the detector's nonlinearity corrected, and "
            f"{facts.hot_pixels} hot pixels left out."
        )
    else:
        said.append("No dark frames were recorded.")
    return said


def _shots(facts: RunFacts) -> list[str]:
    rows, ledger = facts.rows, facts.ledger
    if not len(rows):
        return ["No frame was recorded."]
    settling = int(np.count_nonzero((rows["flags"] == int(Flag.SETTLING)) & (rows["shot"] >= 0)))
    used, set_aside = int(usable(rows["flags"]).sum()), int(eventful(rows["flags"]).sum())
    planned = f"Of {ledger['planned']} planned shots, {ledger['assigned']} were" if "assigned" in ledger else ""
    counted = f"{planned} assigned to a state." if planned else ""
    return [
        counted,
        f"{settling} frames that followed a voltage edge too closely and {set_aside} that were otherwise flagged or unassigned "
        f"were left out of the statistics, which used {used} frames.",
    ]


def _air(facts: RunFacts) -> list[str]:
    air = facts.environment
    known = [
        f"{name} {air[key]} {unit}"
        for name, key, unit in (("temperature", "temperature_c", "°C"), ("relative humidity", "humidity_percent", "%"))
        if air.get(key) is not None
    ]
    return [f"The air was recorded as: {', '.join(known)}."] if known else []


def _programs(facts: RunFacts) -> list[str]:
    version, git = facts.versions.get("ito-rig"), facts.versions.get("git")
    if not version:
        return []
    return [f"The run was made with ito-rig {version}{f' (git {git})' if git else ''}, run identifier {facts.header.run_id}."]
