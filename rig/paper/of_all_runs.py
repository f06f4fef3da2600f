"""What every run of a campaign says, whatever it measured: the air (C07), the contact it looked at (C04)."""

import json
from collections.abc import Mapping

from rig.analysis.statistics import Value
from rig.contact_check import Contact, contact_in
from rig.measurements.catalogue import Record
from rig.measurements.iv_record import NOT_MEASURED
from rig.paper.campaign import device_of
from rig.paper.claim import Judged, absent

CONTACT_RULE = "more than 100 kohm at 0.1 V, and no open contact, before each run"
UNSOUND = ("short", "open")


def of_all_runs(records: Mapping[str, Record]) -> list[Judged]:
    """Judge the claims that no single measurement is for."""
    made = list(_contact({name: one for name, one in records.items() if device_of(name) == "film"}))
    return [*made, _environment(records)] if records else made


def _contact(records: Mapping[str, Record]) -> list[Judged]:
    if not records:
        return []
    looks = {name: contact_in(one.run.events) for name, one in records.items()}
    found = {name: one for name, one in looks.items() if one is not None}
    spoken = _spoken(found)
    capacitance = absent(
        "C04", "capacitance", "0.1 to 10 nF", NOT_MEASURED, records[spoken or next(iter(records))].run.path.name
    )
    if spoken is None:
        why = "nobody looked at the contact before these runs"
        return [absent("C04", "resistance near 0 V", CONTACT_RULE, why), capacitance]
    contact = found[spoken]
    unlike = [name for name in looks if name not in found]
    words = [contact.words, f"looked at before {', '.join(found)}"]
    words += [f"not before {', '.join(unlike)}"] if unlike else []
    passed = {"undecided": None, "sound": True}.get(contact.condition, False)
    run = records[spoken].run.path.name
    judged = Judged("C04", "resistance near 0 V", contact.resistance, CONTACT_RULE, passed, "; ".join(words), run)
    return [judged, capacitance]


def _spoken(found: Mapping[str, Contact]) -> str | None:
    """Choose whose look is told: one that found the contact unsound, else one that could not tell, else the first."""
    for conditions in (UNSOUND, ("undecided",), ("sound",)):
        for name, one in found.items():
            if one.condition in conditions:
                return name
    return None


def _environment(records: Mapping[str, Record]) -> Judged:
    rule = "air temperature and humidity are in every run file"
    air = {name: json.loads(one.run.header.environment_json or "{}") for name, one in records.items()}
    missing = [name for name, one in air.items() if one.get("temperature_c") is None or one.get("humidity_percent") is None]
    if missing:
        return Judged("C07", "air temperature", Value(None, None, "degC"), rule, False, f"not entered: {', '.join(missing)}")
    first = next(iter(records))
    temperatures = {float(one["temperature_c"]) for one in air.values()}
    note = f"{air[first]['humidity_percent']:g} % humidity; entered in the bench file, not measured"
    if len(temperatures) > 1:
        note += f"; {min(temperatures):g} to {max(temperatures):g} degC in all runs"
    value = Value(float(air[first]["temperature_c"]), None, "degC")
    return Judged("C07", "air temperature", value, rule, True, note, records[first].run.path.name)
