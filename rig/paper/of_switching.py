"""What a switching run says of the claims: levels, spectra, cycles, environment (C05 to C11, C16 to C22)."""

import numpy as np

from rig.analysis.statistics import Value, mean_of
from rig.analysis.switching import acceptance
from rig.bench import Bench
from rig.compiler import FILM_HEATING_K_W
from rig.measurements.switching_record import SwitchingRecord
from rig.paper.claim import Judged, Rule, absent, judge
from rig.reduction import usable
from rig.sequence import State

LINE_NM, AWAY_NM = (400.0, 3.0), 12.0  # where the pump would show, half width; what lies beside it
SURE = 5.0  # standard deviations


def of_switching(record: SwitchingRecord, bench: Bench) -> list[Judged]:
    """Judge every claim that an ON/OFF run speaks of."""
    run = record.run.path.name
    made = [
        _level(record, run),
        _environment(bench, run),
        _geometry(bench, run),
        _pump_line(record, run),
        _heating(record, run),
    ]
    if record.result is None:
        why = f"the run has no result: {record.reason}"
        return [*made, *(absent(claim, "switching", "-", why, run) for claim in ("C06", "C08", *_LINES))]
    for one in acceptance(record.result):
        value = Value(one.value, one.ci95, one.unit)
        passed = one.passed if one.value is not None else None
        note = "the paper gives no number, the limit is ours" if one.claim in ("C21", "C22") else ""
        made.append(Judged(one.claim, one.quantity, value, one.rule, passed, note, run))
    return made


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
    return judge("C05", "voltage at the source, ON", mean_of(rows["measured_voltage_v"][on], "V"), rule, note=note, run=run)


def _environment(bench: Bench, run: str) -> Judged:
    air, rule = bench.environment, Rule("temperature and humidity are in the run file")
    known = air.temperature_c is not None and air.humidity_percent is not None
    said = f"{air.temperature_c:g} degC, {air.humidity_percent:g} % humidity, as entered" if known else "nobody entered it"
    return Judged("C07", "air temperature", Value(air.temperature_c, None, "degC"), rule.text, known, said, run)


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


def _heating(record: SwitchingRecord, run: str) -> Judged:
    rows = record.run.frames()
    power_w = np.abs(rows["measured_voltage_v"] * rows["measured_current_a"])
    power_w = power_w[np.isfinite(power_w)]
    rule = Rule("warmer by less than 1 K", hi=1.0, strictly=True)
    if not len(power_w):
        return absent("C11", "heating by the bias", rule.text, "no current was read", run)
    note = f"mean electric power times {FILM_HEATING_K_W:g} K/W (assumed), voltage on for part of the time"
    power = mean_of(power_w, "W")
    ends = None if power.ci95 is None else (power.ci95[0] * FILM_HEATING_K_W, power.ci95[1] * FILM_HEATING_K_W)
    value = Value(None if power.value is None else power.value * FILM_HEATING_K_W, ends, "K")
    return judge("C11", "heating by the bias", value, rule, note=note, run=run)
