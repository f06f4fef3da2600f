"""Rules and verdicts on the paper's claims: what passes, what fails, what was not measured, and that each is said."""

import math

import pytest

from rig.analysis.statistics import Value
from rig.paper.claim import Judged, Rule, absent, judge
from rig.paper.claims import CLAIMS
from rig.paper.paper_page import summary
from rig.paper.verdicts import SOURCES, as_json

WITHIN = Rule("520 +- 1.5 nm", 518.5, 521.5)


def value(number: float | None, lo: float = 0.0, hi: float = 0.0) -> Value:
    return Value(number, None if number is None else (lo, hi), "nm")


@pytest.mark.parametrize(("number", "outcome"), [(518.5, "pass"), (521.5, "pass"), (518.4, "fail"), (521.6, "fail")])
def test_ends_of_a_rule_belong_to_it(number: float, outcome: str) -> None:
    assert judge("C17", "centre", value(number, number, number), WITHIN).outcome == outcome


@pytest.mark.parametrize(("number", "holds"), [(3.999, True), (4.0, False)])
def test_a_strict_rule_leaves_its_end_out(number: float, holds: bool) -> None:
    assert Rule("< 4 nm", hi=4.0, strictly=True).holds(number) is holds


def test_no_number_keeps_to_no_rule() -> None:
    assert not WITHIN.holds(math.nan)
    assert not Rule("anything above", lo=0.0).holds(math.nan)


def test_an_absent_value_is_not_measured_neither_passed_nor_failed() -> None:
    made = judge("C17", "centre", value(None), WITHIN, note="no light")
    assert (made.passed, made.outcome, made.note) == (None, "not measured", "no light")


def test_an_interval_across_the_limit_is_told() -> None:
    assert "reaches across" in judge("C17", "centre", value(521.0, 520.0, 522.0), WITHIN).note
    assert judge("C17", "centre", value(520.0, 519.0, 521.0), WITHIN).note == ""


def test_one_failed_rule_fails_its_claim() -> None:
    passed = Judged("C22", "contrast", value(10.0), "> 5", True)
    failed = Judged("C22", "correlation", value(-0.5), "< -0.95", False)
    other = absent("C54", "decay", "-", "no counter")
    assert summary([passed, failed, other]) == "Of 2 claims 0 pass, 1 fail (C22), 1 are not measured."


def test_a_claim_of_which_a_part_was_not_measured_is_named() -> None:
    passed, open_ = Judged("C62", "light", value(0.0), "within 2 %", True), absent("C62", "lifetime", "-", "no counter")
    assert summary([passed, open_]) == "Of 1 claims 1 pass (1 of them in part only: C62), 0 fail, 0 are not measured."


def test_every_claim_has_a_source_or_a_reason() -> None:
    assert [claim.id for claim in CLAIMS if bool(claim.cannot) == (claim.id in SOURCES)] == []
    numbers = [int(claim.id[1:]) for claim in CLAIMS]
    assert numbers == [*range(1, 31), *range(52, 65)]


def test_plain_numbers_name_paper_value_interval_unit_and_verdict() -> None:
    made = judge("C17", "centre", value(520.0, 519.0, 521.0), WITHIN, run="a.h5")
    assert as_json([made])[0] == {
        "id": "C17",
        "quantity": "centre",
        "paper": "520 nm",
        "value": 520.0,
        "ci95": [519.0, 521.0],
        "unit": "nm",
        "rule": "520 +- 1.5 nm",
        "verdict": "pass",
        "note": "",
        "run": "a.h5",
    }


def test_a_value_beyond_the_limit_whose_interval_reaches_back_is_undecided() -> None:
    open_ = judge("C17", "centre", value(522.0, 521.0, 523.0), WITHIN)
    assert (open_.outcome, open_.passed, open_.note) == ("undecided", None, "the interval reaches across the limit")
    assert judge("C17", "centre", value(523.0, 522.0, 524.0), WITHIN).outcome == "fail"
    assert summary([open_]) == "Of 1 claims 0 pass, 0 fail, 1 undecided, 0 are not measured."
