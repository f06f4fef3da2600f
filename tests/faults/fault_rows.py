"""The 65 faults that the bench has to survive: what happens, which layer answers, what must hold then, where it can be tested.

A row with `automatic` needs at least one test that carries `@pytest.mark.fault("<row>")`. What no test run can do, because it
needs Windows, real instruments or the window, is a procedure to be done by hand; its steps say what to expect.
"""

from dataclasses import dataclass
from typing import Literal

Layer = Literal["instrument", "driver link", "run", "guard", "refusal", "file", "hardware", "window"]
Place = Literal["Windows", "hardware", "window"]


@dataclass(frozen=True)
class Procedure:
    """What has to be done by hand, where, and what must then be seen."""

    place: Place
    steps: str


@dataclass(frozen=True)
class FaultRow:
    """One fault. `automatic`: a test that runs everywhere must provoke it; otherwise a procedure must be there."""

    name: str
    fault: str
    layers: tuple[Layer, ...]
    holds: str
    procedures: tuple[Procedure, ...] = ()
    automatic: bool = True

    def wanting(self, tests: int) -> str:
        """Say what is missing with so many tests of it; "" when nothing is."""
        if self.automatic and not tests:
            return f"{self.name} ({self.fault}): no test carries its marker"
        if not self.automatic and not self.procedures:
            return f"{self.name} ({self.fault}): neither a test nor a procedure"
        return ""


def _windows(steps: str) -> tuple[Procedure]:
    return (Procedure("Windows", steps),)


def _hardware(steps: str) -> tuple[Procedure]:
    return (Procedure("hardware", steps),)


WIRE = (
    FaultRow(
        "W1",
        "one answer never comes",
        ("driver link", "run"),
        "the link is doubted and proved anew, or everything goes off; acknowledged frames are kept",
    ),
    FaultRow(
        "W2", "an answer comes after its deadline", ("driver link",), "no value is taken for the answer to another question"
    ),
    FaultRow("W3", "an answer comes twice", ("driver link",), "it is noticed; no shot is counted twice"),
    FaultRow("W4", "bits flip, letters turn into garbage", ("driver link",), "the value is refused; the bytes are told"),
    FaultRow(
        "W5",
        "an answer in pieces, half an answer, two answers in one",
        ("driver link",),
        "pieces are put together; half an answer is none; two are noticed",
    ),
    FaultRow("W6", "an answer without end", ("driver link", "run"), "bounded memory and time, then everything off"),
    FaultRow("W7", "the connection is reset", ("driver link", "run"), "off goes out through a new connection; frames are kept"),
    FaultRow(
        "W8",
        "the cable is pulled: nothing arrives and nobody says so",
        ("run", "guard", "instrument", "hardware"),
        "no wait beyond its deadline; what could not be reached is told as UNKNOWN",
        _hardware("docs/safety.md, lines 3 and 6 of the test on the real bench"),
    ),
    FaultRow(
        "W9", "a slow link with jitter of up to 2 s", ("driver link", "run"), "slower or refused; no frame under a wrong state"
    ),
    FaultRow(
        "W10", "another instrument answers after a reconnect", ("driver link", "run"), "refused, everything off, both named"
    ),
    FaultRow(
        "W11",
        "an instrument is switched off and on during a run",
        ("driver link", "run"),
        "noticed, everything off, not resumed",
    ),
    FaultRow(
        "W12", "a command is lost without an error", ("driver link", "run"), "the read-back tells it before the next shot"
    ),
    FaultRow("W13", "a spectrum is too short or malformed", ("driver link",), "rejected as a frame, never stored as one"),
    FaultRow(
        "W14",
        "all links vanish at once",
        ("run", "instrument"),
        "one message names them all; what the instruments do by themselves holds",
        _hardware(
            "unplug the hub with every instrument on it while a list runs; expect one message, exit code 5, and at the "
            "source's panel: off when its list has ended"
        ),
    ),
)

INSTRUMENT = (
    FaultRow("I1", "the source limits its current", ("instrument", "run"), "shots are flagged; stop or note as the bench says"),
    FaultRow("I2", "over-temperature: the source switches itself off", ("run",), "everything off, never on again by itself"),
    FaultRow(
        "I3",
        "errors from before in an instrument's queue, or more than it holds",
        ("refusal", "run"),
        "no run starts on them; an overflow is an unknown error",
    ),
    FaultRow(
        "I4",
        "another model, firmware or serial number answers",
        ("refusal",),
        "refused before anything that switches is sent",
        _hardware("give source and generator each other's address in a copy of the bench file; expect exit code 2 or 4"),
    ),
    FaultRow(
        "I5",
        "the interlock is open, or opens during a run",
        ("hardware", "run"),
        "refused, or off within one look; the hardware was faster",
        _hardware("docs/safety.md, line 9: open the lid during a run; the laser is dark at once, the run says which interlock"),
    ),
    FaultRow("I6", "the interlock closes again", ("run",), "stays off until somebody starts a run"),
    FaultRow(
        "I7",
        "a level reads back otherwise than it was set",
        ("run",),
        "no frame of it is data; everything off",
        _hardware("connect 1 kohm instead of the film, sense leads open; expect a fault that names both voltages"),
    ),
    FaultRow(
        "I8",
        "the output comes on unasked",
        ("driver link", "run"),
        "the options for that are set and read back; off if it is seen",
    ),
    FaultRow("I9", "somebody turns a knob at the front panel", ("run",), "seen at the next read-back; everything off"),
    FaultRow(
        "I10",
        "the shutter sticks, or does not tell where it is",
        ("run", "hardware"),
        "unknown counts as open; the trigger stops as well",
        _hardware("hold the blades open with the laser off, end a run; expect exit code 5 and SHUTTER PERHAPS OPEN"),
    ),
    FaultRow("I11", "laser pulses fail or lose their energy", ("run",), "shots without their light are flagged, not used"),
)

TRIGGER = (
    FaultRow("Y1", "a trigger gets lost", ("run",), "the shot is missed; later ones keep their right state"),
    FaultRow("Y2", "a trigger too many", ("run",), "its frame is kept unassigned; no state shifts"),
    FaultRow("Y3", "a trigger before the source has settled", ("refusal", "run"), "refused, or flagged; never silently late"),
    FaultRow("Y4", "the spectrometer's buffer overruns", ("run",), "the gap is noticed; frames around it keep their shots"),
    FaultRow("Y5", "an old frame comes first after arming", ("run",), "always discarded"),
    FaultRow(
        "Y6", "a read that never returns", ("driver link", "run"), "ended by its deadline; no thread is left; everything off"
    ),
    FaultRow("Y7", "too much light, or a dark level that jumps", ("run",), "flagged; the trace has a gap, not a wrong gain"),
)

FILM = (
    FaultRow(
        "P1", "the film breaks down to a short", ("instrument", "run"), "the source limits; everything off; frames are kept"
    ),
    FaultRow(
        "P2", "a contact lifts: no current with the voltage on", ("run",), "told, as the bench says; never data in silence"
    ),
    FaultRow("P3", "the film ages slowly", ("run",), "limit on the drift; the history stands in the file"),
)

_RIG_RUN = "start `rig run` with `--bench` of a served bench"
PROCESS = (
    FaultRow(
        "X1",
        "kill -9 of the run",
        ("guard", "instrument", "file"),
        "off; frames kept; any viewer opens the file; recover ends it",
    ),
    FaultRow(
        "X2",
        "the window is killed, or an error is raised in it",
        ("window",),
        "the run goes on, or stops safely; a new window finds it",
    ),
    FaultRow("X3", "kill -9 of the guard", ("run",), "the run notices within 1 s and goes safe"),
    FaultRow(
        "X4", "an error in a measurement or in reducing", ("run",), "everything off; frames kept; the user's own line is told"
    ),
    FaultRow("X5", "Ctrl-C at any moment, once or ten times", ("run",), "everything off; frames kept; exit code 130"),
    FaultRow(
        "X6",
        "terminal closed, logged off, terminated",
        ("run", "guard"),
        "everything off before the end",
        _windows(
            f"{_RIG_RUN}; close the console window, then again and log off; expect off in the server's record within 250 ms"
        ),
    ),
    FaultRow("X7", "the disk is full", ("refusal", "run", "file"), "foretold; else off first, frames kept, a clean end"),
    FaultRow(
        "X8",
        "the folder is read-only or vanishes",
        ("refusal", "file"),
        "refused by a probe; later as a full disk",
        _windows("run onto a network share and disconnect it; expect off, exit code 4 and the file as far as it was written"),
    ),
    FaultRow("X9", "the computer's clock jumps", ("run",), "nothing of the run changes"),
    FaultRow(
        "X10",
        "the computer sleeps",
        ("guard", "run"),
        "a gap ends the run safely; it is not resumed",
        _windows(f"{_RIG_RUN}; close the lid for 10 s; expect a fault that tells the silence, off before the next shot"),
    ),
    FaultRow(
        "X11", "another program opens the instrument", ("refusal", "driver link"), "locked out, or noticed; the port is named"
    ),
    FaultRow(
        "X12", "two runs on one bench", ("refusal",), "the second is refused and told who has it; a dead one holds nothing"
    ),
    FaultRow(
        "X13", "the computer stands still for 5 s", ("guard", "run"), "off by the guard; late shots are never silently right"
    ),
    FaultRow("X14", "a thread dies or hangs", ("run", "guard"), "everything off from elsewhere"),
    FaultRow("X15", "a run of 24 hours", ("run",), "memory, handles and latency stay as they are"),
    FaultRow(
        "X16",
        "a viewer or virus scanner holds the file",
        ("file",),
        "writing goes on; finishing tries again or leaves the whole file",
        _windows(
            f"{_RIG_RUN}; open the file in HDFView during the run and at its end; expect no fault and a file that is whole"
        ),
    ),
    FaultRow(
        "X17",
        "a serial adapter is unplugged",
        ("driver link",),
        "told in clear words; opened again only when nothing is on",
        _windows(
            "unplug the USB serial adapter of an idle and of a running bench; expect the port's name and exit code 4 or 5"
        ),
    ),
)

INPUT = (
    FaultRow("C1", "files that are malformed, of wrong types or far too large", ("refusal",), "refused with line and key"),
    FaultRow(
        "C2", "more than the limits allow, anywhere", ("refusal", "driver link"), "refused by the plan, and by the driver"
    ),
    FaultRow("C3", "NaN, infinity, wrong sign, text for a number", ("refusal",), "refused on every field"),
    FaultRow("C4", "a sample's name that is a path or a device", ("file",), "kept word for word; the file stays in its folder"),
    FaultRow("C5", "10^12 shots", ("refusal",), "refused with numbers, without time or memory"),
    FaultRow("C6", "hostile data files", ("file",), "opening executes nothing; sizes are capped"),
    FaultRow("C7", "nothing to do: no cycle, no shot, no exposure", ("refusal",), "refused"),
    FaultRow("C8", "mV for V, us for s", ("refusal",), "units in names; implausible values are refused; plans print units"),
)

NETWORK = (
    FaultRow("R1", "ports that others on the network reach", ("refusal",), "listens on this computer only"),
    FaultRow("R2", "a forged command", ("refusal",), "refused and logged; off alone is taken from anybody local"),
    FaultRow("R3", "two who command at once", ("refusal",), "one commands, the other looks on"),
    FaultRow(
        "R4",
        "somebody else talks to an instrument",
        ("driver link", "run"),
        "noticed like a knob that was turned; a cable of its own is advised",
        _hardware(
            "send the generator BURP? in a loop over a second socket during a run; expect a run that is right, or a fault"
        ),
    ),
    FaultRow(
        "R5", "a simulated bench taken for the real one, or the reverse", ("run", "file"), "SIMULATED wherever it is shown"
    ),
)

PARTS = {
    "The wire": WIRE,
    "The instruments": INSTRUMENT,
    "Triggers and light": TRIGGER,
    "The film": FILM,
    "Processes, computer, disk": PROCESS,
    "What is typed": INPUT,
    "Others": NETWORK,
}
ROWS = tuple(row for rows in PARTS.values() for row in rows)
