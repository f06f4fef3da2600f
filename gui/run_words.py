"""What the run page says above its plots: where the run is, and what one can do."""

from dataclasses import dataclass

from rig.control import EngineStatus

ENDINGS = {
    "done": ("Done.", "good"),
    "stopped": ("Stopped; what came in until then is kept.", "warning"),
    "fault": ("Ended by a fault; what came in until then is kept. The messages say what happened.", "alarm"),
    "interrupted": ("Interrupted: its program died. What was stored until then is here.", "warning"),
    "unfinished": (
        "Its program died before it could end this run. What was stored is shown; `rig recover` makes a finished file of it.",
        "alarm",
    ),
}
NO_RUN = "No run yet. Choose one on the Sequence page and press Start, or open one on the Runs page."
LATCHED = "The engine has latched: read the alarm and acknowledge it before the next run."


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known.

    Parameters
    ----------
    file         name of the file that is shown, "" for none
    frames       that it has
    ending       "" while it goes on
    trouble      why it cannot be read
    status       of the engine, None without one
    detail       what the engine said last of the progress of this run
    ours         whether the file is that of the engine's run
    place        what is under way at present, such as "cycle 3, ON at 20 V"
    catching_up  frames that are still to be read again
    """

    file: str = ""
    frames: int = 0
    ending: str = ""
    trouble: str = ""
    status: EngineStatus | None = None
    detail: str = ""
    ours: bool = False
    place: str = ""
    catching_up: int = 0


def run_words(facts: RunFacts) -> tuple[str, str]:
    """Say it: a text, and the colour of the theme it is written in."""
    state = "" if facts.status is None else facts.status.state
    goes_on = facts.ours and state in ("running", "paused", "stopping")
    if not facts.file:
        if state in ("running", "paused", "stopping"):
            return "A run is under way; its file is not there yet.", "text"
        return (LATCHED, "alarm") if state == "latched" else (NO_RUN, "text")
    if facts.trouble and not (goes_on and not facts.frames):
        return f"{facts.file} cannot be read: {facts.trouble}", "alarm"
    if facts.ending:
        words, kind = ENDINGS.get(facts.ending, (f"Ended: {facts.ending}.", "warning"))
        reading = f" Still reading {_count(facts.catching_up)} frames ..." if facts.catching_up else ""
        return f"{words}  {facts.file}.{reading or ' The Results page has fits and claims.'}", kind
    if not goes_on:
        words = f"{facts.file} is being written by another program." if facts.frames else f"{facts.file} is being opened."
        return words, "text"
    return _under_way(facts, state)


def _under_way(facts: RunFacts, state: str) -> tuple[str, str]:
    if state == "stopping":
        return "Stopping: everything is being switched off.", "warning"
    if state == "paused":
        return "Paused, everything off. Resume goes on with the next block.", "warning"
    if not facts.frames:
        return f"Preparing: {facts.detail or 'instruments and file'} ...", "text"
    pausing = facts.status is not None and facts.status.pausing
    again = f" · {_count(facts.catching_up)} frames are being reduced again" if facts.catching_up > 5000 else ""
    words = " · ".join(part for part in ("Running", facts.place, "pauses after this block" if pausing else "") if part)
    return words + again, "warning" if pausing else "good"


def place_words(state: int, cycle: int, voltage_v: float | None, *, proven: bool) -> str:
    """Say which stretch is under way; what is not proven yet is what the sequence plans."""
    if cycle < 0 and state < 0:
        return ""
    name = {0: "OFF", 1: "ON"}.get(state, "")
    volts = "" if voltage_v is None else f" at {voltage_v:g} V"
    return f"cycle {cycle + 1}, {name}{volts}{'' if proven else ' (planned)'}"


def _count(number: int) -> str:
    return f"{number:,}".replace(",", " ")
