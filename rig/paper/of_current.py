"""What current against voltage says of the claims: the contact (C04)."""

from rig.measurements.iv_record import NOT_MEASURED, IvRecord
from rig.paper.claim import Judged, absent

LEAST_OHM = 1e5
RULE = "more than 100 kohm at 0.1 V, and no open contact"


def of_current(record: IvRecord) -> list[Judged]:
    """Judge the claim about the device's make, as far as a source-meter can."""
    run, contact = record.run.path.name, record.contact
    capacitance = absent("C04", "capacitance", "0.1 to 10 nF", NOT_MEASURED, run)
    if contact is None:
        return [absent("C04", "resistance near 0 V", RULE, "nobody looked at the contact before this run", run), capacitance]
    passed = None if contact.condition == "undecided" else contact.condition == "sound"
    return [Judged("C04", "resistance near 0 V", contact.resistance, RULE, passed, contact.words, run), capacitance]
