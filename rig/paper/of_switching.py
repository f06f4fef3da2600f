"""What a switching run says of the claims: levels, spectra, cycles (C05, C06, C08 to C11, C16 to C22)."""

from dataclasses import replace

import numpy as np

from rig.analysis.statistics import Value, mean_of
from rig.analysis.switching import Verdict, acceptance
from rig.bench import Bench, parse_bench
from rig.compiler import FILM_HEATING_K_W
from rig.config_file import parse_document
from rig.measurements.on_off import OnOff
from rig.measurements.run_parameters import parameters_of
from rig.measurements.switching_record import SwitchingRecord
from rig.paper.claim import Judged, Rule, absent, judge
from rig.reduction import usable
from rig.sequence import State

LINE_NM, AWAY_NM = (400.0, 3.0), 12.0  # where the pump would show, half width; what lies beside it
SURE = 5.0  # standard deviations
VOLTAGE_V, FLUENCE_UJ_CM2 = 20.0, 40.0  # what the claims are about
LONGEST_SETTLE_S = 0.1  # after an edge: what C16 leaves out


def of_switching(record: SwitchingRecord) -> list[Judged]:
    """Judge every claim that an ON/OFF run speaks of; what was entered of its bench is in its file."""
    run, header = record.run.path.name, record.run.header
    bench = parse_bench(parse_document(header.bench_toml, record.run.path))
    made = [
        _level(record, run),
        _geometry(bench, run),
        _pump_line(record, run),
        _heating(record, bench, run),
    ]
    if record.result is None:
        why = f"the run has no result: {record.reason}"
        return [*made, *(absent(claim, "switching", "-", why, run) for claim in ("C06", "C08", *_LINES))]
    asked = parameters_of(record.run, OnOff)
    elsewhere = _elsewhere(asked)
    if elsewhere:
        return [*made, *(absent(one.claim, one.quantity, one.rule, elsewhere, run) for one in acceptance(record.result))]
    pumped = _pumped(record)
    return made + [_pumped_with(_judged(one, asked.settle_s, bench, run), pumped) for one in acceptance(record.result)]


def _pumped(record: SwitchingRecord) -> str:
    """Say at which fluence the film was in fact pumped."""
    mean = None if record.fluence is None else record.fluence.mean_uj_cm2
    return "the fluence was not measured" if mean is None else f"pumped with {mean:.3g} uJ/cm2, as measured"


def _pumped_with(one: Judged, pumped: str) -> Judged:
    return one if one.claim in ("C06", "C08") else replace(one, note="; ".join(filter(None, (one.note, pumped))))


def _elsewhere(asked: OnOff) -> str:
    """Say what the run was, where that is not what the claims are about."""
    levels_v = (asked.voltage_off_v, asked.voltage_on_v)
    if levels_v == (0.0, VOLTAGE_V) and abs(asked.fluence_uj_cm2 / FLUENCE_UJ_CM2 - 1) <= 0.01:
        return ""
    return (
        f"the run switched {levels_v[0]:g} and {levels_v[1]:g} V at {asked.fluence_uj_cm2:g} uJ/cm2; "
        f"the claim is about 0 and {VOLTAGE_V:g} V at {FLUENCE_UJ_CM2:g} uJ/cm2"
    )


def _judged(one: Verdict, settle_s: float, bench: Bench, run: str) -> Judged:
    """Take over a verdict; an absent value is not measured where the run could not say, and fails where it should be there."""
    note = "" if one.passed is not None or one.value is None else "too few cycles"
    if one.claim == "C16":
        note = f"first {1e3 * settle_s:g} ms after each edge left out"
        if settle_s > LONGEST_SETTLE_S:
            return absent(one.claim, one.quantity, one.rule, f"{note}, the claim leaves out 100 ms", run)
        if settle_s < LONGEST_SETTLE_S and one.passed is False:
            value, why = Value(one.value, one.ci95, one.unit), f"{note}, the claim leaves out 100 ms: no fail"
            return Judged(one.claim, one.quantity, value, one.rule, None, why, run)
    elif one.claim == "C20":
        note = f"as recorded; the spectrograph's own line is {bench.spectrometer.psf_nm:g} nm wide, as entered"
    elif one.claim == "C08":
        note = "; ".join(filter(None, (note, "at equal pulse energy where that is known")))
    elif one.claim in ("C21", "C22"):
        note = "the paper gives no number, the limit is ours"
    if one.passed is False and one.value is None:
        note = "; ".join(filter(None, (note, "there is no such line or level")))
    return Judged(one.claim, one.quantity, Value(one.value, one.ci95, one.unit), one.rule, one.passed, note, run)


_LINES = ("C16", "C17", "C18", "C19", "C20", "C21", "C22")


def _level(record: SwitchingRecord, run: str) -> Judged:
    rows = record.run.frames()
    on = usable(rows["flags"]) & (rows["state"] == int(State.ON))
    rule = Rule("read-back within 0.1 % of 20 V", 19.98, 20.02)
    if not on.any():
        return absent("C05", "voltage at the source, ON", rule.text, "no usable frame is ON", run)
    planned = np.unique(rows["planned_voltage_v"][on])
    note = "at the source's terminals; the drop along the leads is not known"
    if not np.array_equal(planned, [20.0]):
        note = f"the run switched to {', '.join(f'{v:g}' for v in planned)} V"
        return absent("C05", "voltage at the source, ON", rule.text, note, run)
    read_v = rows["measured_voltage_v"][on]
    read_v = read_v[np.isfinite(read_v)]
    if not len(read_v):
        return absent("C05", "voltage at the source, ON", rule.text, "the source read no voltage back", run)
    return judge("C05", "voltage at the source, ON", mean_of(read_v, "V"), rule, note=note, run=run)


def _geometry(bench: Bench, run: str) -> Judged:
    length = bench.pump.stripe_length_mm
    note = "as entered" if length is not None else "pump.stripe_length_mm is not in the bench file"
    return Judged(
        "C09", "length of the pump stripe", Value(length, None, "mm"), "recorded in the run file", length is not None, note, run
    )


def _pump_line(record: SwitchingRecord, run: str) -> Judged:
    rule = Rule("400 +- 1 nm", 399.0, 401.0)
    means, wavelength_nm = record.means, record.run.wavelength_nm
    if means is None:
        return absent("C10", "pump line in the spectrum", rule.text, record.reason, run)
    light, away = means.mean(0), np.abs(wavelength_nm - LINE_NM[0])
    line, beside = away <= LINE_NM[1], (away > LINE_NM[1]) & (away <= AWAY_NM)
    excess = light[line] - np.median(light[beside]) if beside.any() and line.any() else np.zeros(0)
    if not len(excess) or not excess.max() > SURE * light[beside].std():
        why = "no stray pump light reaches the spectrometer; the wavelength is the laser's own"
        return absent("C10", "pump line in the spectrum", rule.text, why, run)
    kept = np.maximum(excess, 0.0)
    centre = float((wavelength_nm[line] * kept).sum() / kept.sum())
    return judge("C10", "pump line in the spectrum", Value(centre, None, "nm"), rule, run=run)


def _heating(record: SwitchingRecord, bench: Bench, run: str) -> Judged:
    rows = record.run.frames()
    rows = rows[usable(rows["flags"]) & (rows["state"] == int(State.ON))]
    power_w = np.abs(rows["measured_voltage_v"] * rows["measured_current_a"])
    power_w = power_w[np.isfinite(power_w)]
    rule = Rule("warmer by less than 1 K", hi=1.0, strictly=True)
    if not len(power_w):
        return absent("C11", "heating by the bias", rule.text, "no current was read while ON", run)
    duty = bench.voltage_source.limits.duty
    note = (
        f"mean electric power while ON times {FILM_HEATING_K_W:g} K/W (assumed): what it would come to without a break; "
        f"this bench refuses runs with the voltage on for more than {duty:.0%} of the time"
    )
    power = mean_of(power_w, "W")
    ends = None if power.ci95 is None else (power.ci95[0] * FILM_HEATING_K_W, power.ci95[1] * FILM_HEATING_K_W)
    value = Value(None if power.value is None else power.value * FILM_HEATING_K_W, ends, "K")
    return judge("C11", "heating by the bias", value, rule, note=note, run=run)
