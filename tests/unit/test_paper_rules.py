"""What makes each claim of the paper pass, fail, or stay unmeasured."""

from typing import Any

import numpy as np
import pytest
from paper_records import (
    BENCH,
    about,
    bare,
    contact,
    control,
    edge,
    equivalence,
    fake,
    response,
    run,
    switching,
    thresholds,
    weak_light,
)

from rig.analysis.statistics import Value
from rig.analysis.step_response import SlowPart
from rig.measurements.control import Control
from rig.measurements.pl_vs_voltage import PlVsVoltage
from rig.measurements.response import Response
from rig.paper.claim import Judged
from rig.paper.of_all_runs import of_all_runs
from rig.paper.of_control import of_control
from rig.paper.of_map import of_map
from rig.paper.of_response import of_response
from rig.paper.of_switching import of_switching
from rig.paper.of_weak_light import of_weak_light

NONE = Value(None, None, "")


def outcomes(judged: list[Judged]) -> dict[str, str]:
    """Of each claim all outcomes, in order."""
    found: dict[str, list[str]] = {}
    for one in judged:
        found.setdefault(one.claim, []).append(one.outcome)
    return {claim: ", ".join(words) for claim, words in found.items()}


def of(judged: list[Judged], claim: str, words: str = "") -> Judged:
    [one] = [one for one in judged if one.claim == claim and words in one.quantity]
    return one


# --- switching


def test_a_good_switching_run_passes_all_but_the_pump_line() -> None:
    found = outcomes(of_switching(switching()))
    assert found.pop("C10") == "not measured"
    assert set(found) == {"C05", "C06", "C08", "C09", "C11", *(f"C{number}" for number in range(16, 23))}
    assert {word for words in found.values() for word in words.split(", ")} == {"pass"}


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        ("C08", {"off_drift": about(-0.031)}),
        ("C16", {"agreement": about(0.99)}),
        ("C17", {"off_peak_nm": about(521.6)}),
        ("C18", {"off_fwhm_nm": about(27.1)}),
        ("C19", {"on_peak_nm": about(533.9)}),
        ("C20", {"on_fwhm_nm": about(4.0)}),
        ("C20", {"psf_fwhm_nm": 2.1}),  # too wide a spectrograph to say it
        ("C20", {"on_fwhm_nm": NONE}),  # no line
        ("C21", {"ratio_520": about(0.5)}),
        ("C22", {"contrast_535": about(5.0)}),
        ("C22", {"correlation_520_535": about(-0.95)}),
    ],
)
def test_each_limit_of_a_switching_run_fails_its_claim_alone(claim: str, changes: dict[str, Any]) -> None:
    found = outcomes(of_switching(switching(**changes)))
    assert [one for one, words in found.items() if "fail" in words] == [claim]


@pytest.mark.parametrize("sequence", ["voltage_on_v = 15.0", "fluence_uj_cm2 = 60.0", "voltage_off_v = 1.0"])
def test_a_run_at_other_conditions_judges_no_switching(sequence: str) -> None:
    judged = of_switching(switching(sequence))
    for number in (6, 8, *range(16, 23)):
        assert {one.outcome for one in judged if one.claim == f"C{number:02d}"} == {"not measured"}
    assert "the claim is about 0 and 20 V at 40 uJ/cm2" in of(judged, "C19").note


def test_the_fluence_that_was_measured_is_said() -> None:
    record = switching()
    assert "pumped with 41 uJ/cm2, as measured" in of(of_switching(record), "C19").note
    record.fluence = None
    assert "the fluence was not measured" in of(of_switching(record), "C19").note


def test_few_cycles_leave_repetition_and_degradation_open() -> None:
    record = switching()
    short = switching(per_cycle=record.result.per_cycle[:4])
    found = outcomes(of_switching(short))
    assert (found["C06"], found["C08"], found["C19"]) == ("undecided", "undecided", "pass")


def test_c16_is_about_100_ms_after_an_edge() -> None:
    longer = of(of_switching(switching("settle_s = 0.2")), "C16")
    assert (longer.outcome, longer.value) == ("not measured", NONE)
    poor: dict[str, Any] = {"agreement": about(0.9)}
    assert of(of_switching(switching(**poor)), "C16").outcome == "fail"
    shorter = of(of_switching(switching("settle_s = 0.01", **poor)), "C16")
    assert (shorter.outcome, shorter.value.value) == ("undecided", 0.9)


def test_levels_and_heat_are_those_while_on() -> None:
    record = switching()
    judged = of_switching(record)
    assert of(judged, "C05").value.value == pytest.approx(20.001)
    assert of(judged, "C11").value.value == pytest.approx(20.001 * 1e-4 * 75.0)
    record.run.frames()["measured_current_a"] *= 10
    record.run.frames()["measured_voltage_v"] -= 0.03
    judged = of_switching(record)
    assert (of(judged, "C05").outcome, of(judged, "C11").outcome) == ("fail", "fail")
    record.run.frames()["measured_voltage_v"] = np.nan
    judged = of_switching(record)
    assert (of(judged, "C05").outcome, of(judged, "C11").outcome) == ("not measured", "not measured")


def test_a_bench_without_a_stripe_fails_c09() -> None:
    without = "\n".join(line for line in BENCH.splitlines() if "stripe_length_mm" not in line)
    assert of(of_switching(switching(bench=without)), "C09").outcome == "fail"


@pytest.mark.parametrize(("line_nm", "outcome"), [(400.0, "pass"), (402.0, "fail"), (430.0, "not measured")])
def test_the_pump_line_is_looked_for_in_the_spectrum(line_nm: float, outcome: str) -> None:
    record = switching()
    light = 5.0 + np.exp(-0.5 * ((record.run.wavelength_nm - line_nm) / 0.4) ** 2) * 100
    record.means = fake(mean=lambda state: light)
    assert of(of_switching(record), "C10").outcome == outcome


def test_without_a_result_nothing_is_judged_but_levels() -> None:
    record = switching()
    record.result, record.reason = None, "no dark frames"
    found = of_switching(record)
    assert of(found, "C05").outcome == "pass"
    assert "no dark frames" in of(found, "C19").note
    assert {one.outcome for one in found if one.claim in ("C06", "C19", "C22")} == {"not measured"}


# --- thresholds


def test_a_good_map_passes_everything() -> None:
    found = outcomes(of_map(thresholds()))
    assert set(found) == {f"C{number}" for number in range(23, 31)}
    assert {word for words in found.values() for word in words.split(", ")} == {"pass"}


@pytest.mark.parametrize(
    ("claim", "at_0", "at_20"),
    [
        ("C23", about(68.0, 1.0), about(39.8, 0.5)),
        ("C23", about(41.0, 1.5), about(32.0, 0.5)),
        ("C27", about(68.0, 2.1), about(32.0, 0.5)),  # too wide
        ("C27", about(75.0, 1.0), about(32.0, 0.5)),  # too far
        ("C28", about(68.0, 1.0), about(28.7, 0.5)),
    ],
)
def test_thresholds_fail_by_their_intervals_and_values(claim: str, at_0: Value, at_20: Value) -> None:
    assert of(of_map(thresholds({0.0: at_0, 20.0: at_20})), claim).outcome == "fail"


@pytest.mark.parametrize(
    ("reduction", "outcome"),
    [
        (about(0.52, 0.019), "pass"),
        (about(0.52, 0.021), "fail"),  # its lower end is no longer above 0.50
        (about(0.508, 0.001), "fail"),
        (about(0.55, 0.001), "fail"),
        (NONE, "not measured"),
    ],
)
def test_the_reduction_needs_its_lower_end_above_one_half(reduction: Value, outcome: str) -> None:
    assert of(of_map(thresholds(reduction=reduction)), "C29").outcome == outcome


@pytest.mark.parametrize(
    ("verdict", "outcome"), [("falls", "pass"), ("constant", "fail"), ("not monotone", "fail"), ("undecided", "undecided")]
)
def test_monotony_is_the_tests_own_verdict(verdict: str, outcome: str) -> None:
    record = thresholds()
    record.result.effect.test.verdict = verdict
    assert of(of_map(record), "C30").outcome == outcome


def test_widths_fail_where_the_line_is_not_narrow_or_the_band_not_broad() -> None:
    record = thresholds()
    record.result.sweeps[0].result.fwhm_nm[-1] = 5.0
    record.result.sweeps[1].result.fwhm_nm[0] = 20.0
    record.result.sweeps[1].result.crossing = about(1.3 * 32.0)
    judged = of_map(record)
    assert outcomes(judged)["C24"] == "fail, pass"
    assert outcomes(judged)["C25"] == "pass, fail"
    assert outcomes(judged)["C26"] == "pass, fail"


def test_a_map_to_another_voltage_says_nothing_of_20_v() -> None:
    at = {0.0: about(68.0, 1.0), 15.0: about(32.0, 0.5)}
    found = outcomes(of_map(thresholds(at, voltage_max_v=15.0)))
    assert {found[claim] for claim in ("C23", "C28", "C29", "C30")} == {"not measured"}
    assert set(found["C25"].split(", ")) == {"not measured"}
    assert (found["C27"], found["C24"], found["C26"]) == ("pass", "pass, pass", "pass, not measured")


def test_a_thin_sweep_shows_no_widths() -> None:
    judged = of_map(thresholds(shots_per_point=10))
    assert outcomes(judged)["C24"] == "not measured"
    assert "10 shots" in of(judged, "C24").note


def test_a_missing_threshold_leaves_its_claims_open() -> None:
    found = outcomes(of_map(thresholds({0.0: NONE, 20.0: about(32.0, 0.5)}, reduction=NONE)))
    assert {found[claim] for claim in ("C23", "C24", "C27", "C29")} == {"not measured"}
    assert found["C28"] == "pass"


def test_a_map_without_a_result_says_why() -> None:
    record = thresholds()
    record.result, record.reason = None, "the dark frames are not taken"
    assert {(one.outcome, one.note) for one in of_map(record)} == {("not measured", "the dark frames are not taken")}


# --- weak light


def test_a_good_ladder_passes() -> None:
    assert outcomes(of_weak_light(weak_light())) == {"C14": "pass, pass", "C52": "pass", "C53": "pass", "C55": "pass, pass"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"recovery_early": about(0.969)}, {"C14": "fail, pass", "C55": "fail, pass"}),
        ({"recovery_late": about(0.989)}, {"C14": "pass, fail", "C55": "pass, fail"}),
        ({"recovery_late": NONE}, {"C14": "pass, not measured", "C55": "pass, not measured"}),
        ({"linearity": about(1.021)}, {"C52": "fail"}),
        ({"linearity": NONE}, {"C52": "not measured"}),
        ({"verdict": "not monotone"}, {"C53": "fail"}),
        ({"verdict": "undecided"}, {"C53": "undecided"}),
        ({"verdict": None}, {"C53": "undecided"}),
    ],
)
def test_each_limit_of_the_ladder(changes: dict[str, Any], expected: dict[str, str]) -> None:
    good = outcomes(of_weak_light(weak_light()))
    assert outcomes(of_weak_light(weak_light(**changes))) == {**good, **expected}


def test_another_fluence_and_another_voltage_are_said() -> None:
    stronger = of_weak_light(weak_light(PlVsVoltage(fluence_uj_cm2=0.1)))
    assert "at 100 nJ/cm2, not the paper's 2" in of(stronger, "C52").note
    found = outcomes(of_weak_light(weak_light(PlVsVoltage(voltage_max_v=10.0))))
    assert found["C52"] == "pass"
    assert {word for claim in ("C14", "C53", "C55") for word in found[claim].split(", ")} == {"not measured"}


# --- response


def test_a_good_response_passes_all_but_the_rise_of_the_threshold() -> None:
    judged = of_response(response())
    assert {one.claim for one in judged} == {"C14", "C56", "C57", "C58", "C59", "C60"}
    assert [one.quantity for one in judged if one.outcome != "pass"] == ["rise of the threshold over a hold"]
    assert of(judged, "C58", "upper bound").value.value == 0.013


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        ("C56", {"period_s": about(2.006)}),
        ("C57", {"frame_interval": about(0.0102)}),
        ("C58", {"off": edge(0.095, 0.006)}),  # the interval's upper end counts
        ("C58", {"on": edge(None, bound_s=0.11)}),
        ("C59", {"slow_on": SlowPart(about(1.9), about(0.01), about(0.99))}),
        ("C59", {"slow_on": SlowPart(about(4.0), about(0.11), about(0.95))}),
        ("C59", {"slow_off": SlowPart(about(4.0), about(0.009), about(0.99))}),
        ("C59", {"fall": about(0.21)}),
        ("C60", {"slow_off": SlowPart(about(4.0), about(0.03), about(0.90))}),
    ],
)
def test_each_limit_of_the_response_fails_its_claim_alone(claim: str, changes: dict[str, Any]) -> None:
    found = outcomes(of_response(response(**changes)))
    assert [one for one, words in found.items() if "fail" in words] == [claim]


def test_conditions_of_the_response() -> None:
    lower = outcomes(of_response(response(Response(voltage_on_v=10.0))))
    assert {word for claim in ("C14", "C58", "C59", "C60") for word in lower[claim].split(", ")} == {"not measured"}
    assert lower["C56"] == "pass"
    brief = outcomes(of_response(response(Response(hold_s=20.0))))
    assert set(brief["C59"].split(", ")) == {"not measured"}
    assert brief["C58"] == "pass, pass"
    slower = outcomes(of_response(response(Response(half_period_s=2.0), period_s=about(4.0))))
    assert slower["C56"] == "not measured"


def test_an_edge_without_a_time_says_why() -> None:
    one = of(of_response(response(on=edge(None, reason="saturated"))), "C58", "ON")
    assert (one.outcome, one.note) == ("not measured", "saturated")


def test_light_that_does_not_respond_judges_nothing() -> None:
    assert {one.outcome for one in of_response(response(code="no-response"))} == {"not measured"}


# --- control device


def test_a_good_control_device_passes_all_but_the_lifetime() -> None:
    judged = of_control(control(), bare())
    assert outcomes(judged) == {"C61": "pass", "C62": "pass, pass, pass, not measured", "C63": "pass"}
    assert of(judged, "C62", "current").value.value == pytest.approx(1e-3)


@pytest.mark.parametrize(("judgement", "outcome"), [("insensitive", "pass"), ("changed", "fail"), ("undecided", "undecided")])
def test_insensitive_is_a_statement_with_three_answers(judgement: str, outcome: str) -> None:
    judged = of_control(control(peak=equivalence(0.1, 0.3, judgement)), bare())
    assert of(judged, "C63").outcome == outcome


def test_a_margin_of_the_users_own_is_not_the_claims() -> None:
    judged = of_control(control(light=equivalence(0.05, 0.1)), bare())
    assert of(judged, "C62", "change of the light").outcome == "not measured"


@pytest.mark.parametrize(
    ("current_a", "half_a", "outcome"),
    [(9e-8, 5e-9, "pass"), (9.9e-8, 5e-9, "undecided"), (1.2e-7, 5e-9, "fail"), (-1.2e-7, 5e-9, "fail")],
)
def test_the_current_is_judged_by_its_whole_interval(current_a: float, half_a: float, outcome: str) -> None:
    assert of(of_control(control(current=about(current_a, half_a, "A")), bare()), "C62", "current").outcome == outcome


def test_without_the_bare_device_at_the_same_voltage_the_current_is_open() -> None:
    for other in (None, bare(voltage_v=15.0)):
        assert of(of_control(control(), other), "C62", "current").outcome == "not measured"


def test_a_control_run_on_the_bare_film_or_at_another_voltage_shows() -> None:
    assert of(of_control(control(device="nominal"), bare()), "C61").outcome == "fail"
    lower = outcomes(of_control(control(Control(voltage_max_v=10.0)), bare(voltage_v=10.0)))
    assert {word for claim in ("C62", "C63") for word in lower[claim].split(", ")} == {"not measured"}


# --- all runs


def record(condition: str | None = "sound", ohm: float = 2e6, **changes: Any) -> Any:
    made = run(**changes)
    made.events = [] if condition is None else contact(condition, ohm)
    return fake(run=made)


@pytest.mark.parametrize(
    ("looks", "outcome"),
    [
        (("sound", "sound"), "pass"),
        (("sound", "short"), "fail"),
        (("open", "sound"), "fail"),
        (("sound", "undecided"), "undecided"),
        ((None, "sound"), "pass"),
        ((None, None), "not measured"),
    ],
)
def test_the_contact_is_sound_when_every_look_says_so(looks: tuple[str | None, str | None], outcome: str) -> None:
    records = {"iv": record(looks[0]), "on_off": record(looks[1])}
    assert of(of_all_runs(records), "C04", "resistance").outcome == outcome


def test_the_control_devices_contact_is_not_the_films() -> None:
    judged = of_all_runs({"iv": record("sound"), "control": record("open")})
    assert of(judged, "C04", "resistance").outcome == "pass"


def test_air_must_be_in_every_run() -> None:
    assert of(of_all_runs({"iv": record(), "on_off": record()}), "C07").outcome == "pass"
    without = record(environment_json='{"temperature_c": 22.5, "humidity_percent": null}')
    one = of(of_all_runs({"iv": record(), "on_off": without}), "C07")
    assert (one.outcome, one.note) == ("fail", "not entered: on_off")
    assert of_all_runs({}) == []
