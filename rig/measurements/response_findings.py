"""What a response brings to a report: times of both edges, the slow part, the recovery, the frames, the figure."""

from rig.analysis.statistics import Value
from rig.analysis.step_response import EdgeResponse, SlowPart
from rig.measurements.response import Response
from rig.measurements.response_record import ResponseRecord, ResponseResult, duration_words
from rig.report.findings import Cell, Drawing, Findings, ResultTable
from rig.report.summary import value_text

CAPTION = (
    "Above: light after the voltage went on and off, the edges of the wave laid over each other, each divided by its own step. "
    "Below: light of the whole run (counts), voltage shaded."
)
NOTE = (
    "Half of the 95 % interval after ±. Where a time is not longer than a frame, only what it is at most is said. From "
    "the edge on: the instant at which the source steps is known to its own latency, which is in the intervals."
)
SLOW_NOTE = (
    "Share: amplitude of the slow part over the fast step. The light under voltage is not linear in what moves slowly in the "
    "film: its tail is not quite one exponential, and the interval is about the tail of the light, not about the ions. A pump "
    "that wanders looks the same; how much it does between equal levels of the wave is in the intervals (1/f noise, assumed)."
)


def response_findings(record: ResponseRecord) -> Findings:
    """Say what a record brings to a report; everything is from its file."""
    result = record.result
    if result is None:
        return Findings(f"{record.lines[0]}.")
    drawing = Drawing("response", CAPTION, record.figure)
    tables = (_times(result), _slow(result), _frames(result))
    return Findings(f"{record.lines[0]}.", tables, (drawing,), _methods(record.parameters, result))


def _methods(asked: Response, result: ResponseResult) -> str:
    light = "continuous light" if asked.light == "cw" else f"pulses of {asked.fluence_uj_cm2:g} uJ/cm2 each"
    hold = "" if asked.hold_s == 0 else f" Then it was on for {asked.hold_s:g} s and off for {asked.recovery_s:g} s."
    return (
        f"Under {light} the voltage was switched between 0 V and {asked.voltage_on_v:g} V every {asked.half_period_s:g} s, "
        f"{asked.cycles} times, in frames of {1e3 * result.exposure_s:.4g} ms every {1e3 * asked.frame_s:g} ms, all "
        f"triggered by the delay generator.{hold} A monotone response was fitted to the frame means of all edges of one "
        f"kind; intervals are from leaving out one edge at a time and from noise drawn anew. The result was: "
        f"{result.sentence}."
    )


def result_lines(result: ResponseResult) -> tuple[str, ...]:
    """Say the results in a few sentences."""
    words = [result.sentence]
    if result.steps.period_s.value is not None:
        words.append(f"period of the light: {_fine(result.steps.period_s, 4)}")
    words.append(f"frames: {1e3 * result.exposure_s:.4g} ms, dead time {1e3 * result.dead_s:.3g} ms")
    for name, slow in (("ON", result.hold.slow_on), ("OFF", result.hold.slow_off)):
        if slow.tau_s.value is not None:
            share = value_text(slow.share)
            words.append(f"slow part after {name}: {value_text(slow.tau_s)}, {share} of the fast step (tail of the light)")
        elif slow.reason:
            words.append(f"slow part after {name}: none ({slow.reason})")
    if result.hold.current.fall.value is not None:
        words.append(f"direct current in the hold falls by {value_text(result.hold.current.fall)}")
    for after_s, value in ((1, result.hold.recovery_1s), (20, result.hold.recovery_20s)):
        if value.value is not None:
            words.append(f"light {after_s} s after the hold over that before it: {value_text(value)}")
    return tuple(words)


def _times(result: ResponseResult) -> ResultTable:
    on, off = result.steps.on, result.steps.off
    rows: list[tuple[Cell, ...]] = [
        ("10-90 %", duration_words(on.rise), duration_words(off.rise)),
        ("edge to 1 - 1/e", duration_words(on.efold), duration_words(off.efold)),
        ("edge to 95 %", duration_words(on.settle), duration_words(off.settle)),
        ("10-90 % as the frames show it", _ms(on.seen_s), _ms(off.seen_s)),
        ("change of the light", value_text(on.step), value_text(off.step)),
        ("edges used", _edges(on), _edges(off)),
        ("why there is none", on.reason or "-", off.reason or "-"),
    ]
    return ResultTable("How soon the light follows", ("quantity", "ON", "OFF"), tuple(rows), NOTE)


def _edges(edge: EdgeResponse) -> str:
    dropped = "".join(f", {count} dropped: {why}" for why, count in edge.dropped.items())
    return f"{edge.edges}{dropped}"


def _slow(result: ResponseResult) -> ResultTable:
    on, off, drift = result.hold.slow_on, result.hold.slow_off, result.hold.pump_drift
    rows: list[tuple[Cell, ...]] = [
        ("time constant", value_text(on.tau_s), value_text(off.tau_s)),
        ("share", value_text(on.share), value_text(off.share)),
        ("fast / (fast + slow)", value_text(on.fast_fraction), value_text(off.fast_fraction)),
        ("why there is none", _why(on), _why(off)),
        ("direct current: fall in the hold", value_text(result.hold.current.fall), result.hold.current.reason or "-"),
        ("direct current: time constant", value_text(result.hold.current.tau_s), "-"),
        ("light 1 s after the hold over that before", "-", value_text(result.hold.recovery_1s)),
        ("light 20 s after the hold over that before", "-", value_text(result.hold.recovery_20s)),
        ("pump's wandering in an octave", "-" if drift is None else f"{100 * drift:.3f} %", "-"),
    ]
    return ResultTable("What is slow", ("quantity", "ON", "OFF"), tuple(rows), SLOW_NOTE)


def _why(slow: SlowPart) -> str:
    return slow.reason or "-"


def _frames(result: ResponseResult) -> ResultTable:
    rows: list[tuple[Cell, ...]] = [
        ("exposure", f"{1e3 * result.exposure_s:.4g} ms"),
        ("dead time", f"{1e3 * result.dead_s:.3g} ms"),
        ("from one frame to the next, spectrometer's clock", f"{_fine(result.frame_interval, 7)}"),
        ("period of the light", _fine(result.steps.period_s, 4)),
    ]
    return ResultTable("Frames and period", ("quantity", "value"), tuple(rows))


def _ms(value: Value) -> str:
    if value.value is None or value.half_width is None:
        return "-"
    return f"{1e3 * value.value:.2f} ± {1e3 * value.half_width:.2f} ms"


def _fine(value: Value, places: int) -> str:
    """More decimals than others: the value is compared with a clock."""
    if value.value is None:
        return "-"
    half = "" if value.half_width is None else f" ± {value.half_width:.{places}f}"
    return f"{value.value:.{places}f}{half} {value.unit}"
