"""Every claim against the runs of a campaign: what was measured, what passed, what is missing and why."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from rig.measurements.catalogue import Record
from rig.measurements.control_record import ControlRecord
from rig.measurements.iv_record import IvRecord
from rig.measurements.map_record import MapRecord
from rig.measurements.pl_record import PlRecord
from rig.measurements.response_record import ResponseRecord
from rig.measurements.switching_record import SwitchingRecord
from rig.paper.campaign import device_of
from rig.paper.claim import Judged, absent
from rig.paper.claims import CLAIMS
from rig.paper.collected import COMPLETE, ENDED_BY_FAULT, Collected, fault_words, state_of
from rig.paper.of_all_runs import of_all_runs
from rig.paper.of_control import of_control
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
"""Claim: the measurement that judges it; C04 and C07 are judged by all runs that there are."""


def verdicts(found: Collected, refused: Mapping[str, str]) -> list[Judged]:
    """Judge all claims, in their order.

    Parameters
    ----------
    refused  why a measurement was not run: its name, the reasons
    """
    by_claim: dict[str, list[Judged]] = {}
    for one in [*of_all_runs(found.records), *_judged(found)]:
        by_claim.setdefault(one.claim, []).append(one)
    listed: list[Judged] = []
    for claim in CLAIMS:
        listed += by_claim.get(claim.id) or [absent(claim.id, "-", "-", claim.cannot or _missing(claim.id, found, refused))]
    return listed


def _judged(found: Collected) -> list[Judged]:
    """Judge by the runs that no fault has ended: what the others have is not certain."""
    sound = {name: one for name, one in found.records.items() if state_of(one) != ENDED_BY_FAULT}
    bare = sound.get("iv")
    of_bare = bare if isinstance(bare, IvRecord) else None
    rules: tuple[Callable[[Record], list[Judged]], ...] = (
        lambda record: of_switching(record) if isinstance(record, SwitchingRecord) else [],
        lambda record: of_map(record) if isinstance(record, MapRecord) else [],
        lambda record: of_weak_light(record) if isinstance(record, PlRecord) else [],
        lambda record: of_response(record) if isinstance(record, ResponseRecord) else [],
        lambda record: of_control(record, of_bare) if isinstance(record, ControlRecord) else [],
    )
    return [_of_ending(one, record) for record in sound.values() for rule in rules for one in rule(record)]


def _of_ending(one: Judged, record: Record) -> Judged:
    """Say it where a run was not complete."""
    state = state_of(record)
    if state == COMPLETE or one.passed is None:
        return one
    return replace(one, note="; ".join(filter(None, (one.note, f"the run is not complete: {state}"))))


def _missing(claim: str, found: Collected, refused: Mapping[str, str]) -> str:
    measurement = SOURCES.get(claim)
    if measurement is None:
        return "no run of this program judges it yet"
    if measurement in found.records:
        record = found.records[measurement]
        return f"{record.run.path.name} {fault_words(record)}" if state_of(record) == ENDED_BY_FAULT else record.reason
    if measurement in refused:
        return f"{measurement} was not run: {refused[measurement]}"
    return f"no run of {measurement} is in the folder{' (control device)' if device_of(measurement) == 'control' else ''}"


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
