"""Every claim against the runs of a campaign: what was measured, what passed, what is missing and why."""

from collections.abc import Mapping
from typing import Any

from rig.bench import Bench
from rig.measurements.control_record import ControlRecord
from rig.measurements.iv_record import IvRecord
from rig.measurements.map_record import MapRecord
from rig.measurements.pl_record import PlRecord
from rig.measurements.response_record import ResponseRecord
from rig.measurements.switching_record import SwitchingRecord
from rig.paper.campaign import STEPS, Collected
from rig.paper.claim import Judged, absent
from rig.paper.claims import CLAIMS
from rig.paper.of_control import of_control
from rig.paper.of_current import of_current
from rig.paper.of_map import of_map
from rig.paper.of_response import of_response
from rig.paper.of_switching import of_switching
from rig.paper.of_weak_light import of_weak_light

SOURCES: Mapping[str, str] = {
    **dict.fromkeys(("C05", "C06", "C07", "C08", "C09", "C10", "C11"), "on_off"),
    **dict.fromkeys(("C16", "C17", "C18", "C19", "C20", "C21", "C22"), "on_off"),
    "C04": "iv",
    **dict.fromkeys(("C14", "C52", "C53", "C55"), "pl_vs_voltage"),
    **dict.fromkeys(("C56", "C57", "C58", "C59", "C60"), "response"),
    **dict.fromkeys(("C61", "C62", "C63"), "control"),
    **dict.fromkeys(("C23", "C24", "C25", "C26", "C27", "C28", "C29", "C30"), "threshold_map"),
}
"""Claim: the measurement that judges it."""


def verdicts(found: Collected, bench: Bench, refused: Mapping[str, str]) -> list[Judged]:
    """Judge all claims, in their order; `refused` says why a measurement could not be run: its name, the reasons."""
    made: list[Judged] = []
    switching, thresholds = found.records.get("on_off"), found.records.get("threshold_map")
    if isinstance(switching, SwitchingRecord):
        made += of_switching(switching, bench)
    if isinstance(thresholds, MapRecord):
        made += of_map(thresholds)
    current, light = found.records.get("iv"), found.records.get("pl_vs_voltage")
    bare = current if isinstance(current, IvRecord) else None
    if bare is not None:
        made += of_current(bare)
    if isinstance(light, PlRecord):
        made += of_weak_light(light)
    response, control = found.records.get("response"), found.records.get("control")
    if isinstance(response, ResponseRecord):
        made += of_response(response)
    if isinstance(control, ControlRecord):
        made += of_control(control, bare)
    by_claim: dict[str, list[Judged]] = {}
    for one in made:
        by_claim.setdefault(one.claim, []).append(one)
    listed: list[Judged] = []
    for claim in CLAIMS:
        listed += by_claim.get(claim.id) or [absent(claim.id, "-", "-", claim.cannot or _missing(claim.id, refused))]
    return listed


def _missing(claim: str, refused: Mapping[str, str]) -> str:
    measurement = SOURCES.get(claim)
    if measurement is None:
        return "no run of this program judges it yet"
    if measurement in refused:
        return f"{measurement} cannot run here: {refused[measurement]}"
    device = next((step.device for step in STEPS if step.measurement == measurement), "film")
    return f"no run of {measurement} is in the folder{' (control device)' if device == 'control' else ''}"


def as_json(judged: list[Judged]) -> list[dict[str, Any]]:
    """Return the verdicts as plain values, one object for each judged quantity."""
    papers = {claim.id: claim.paper for claim in CLAIMS}
    return [
        {
            "id": one.claim,
            "quantity": one.quantity,
            "paper": papers[one.claim],
            "value": one.value.value,
            "ci95": None if one.value.ci95 is None else list(one.value.ci95),
            "unit": one.value.unit,
            "rule": one.rule,
            "verdict": one.outcome,
            "note": one.note,
            "run": one.run,
        }
        for one in judged
    ]
