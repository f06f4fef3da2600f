"""What must hold on a bench whatever happens, each as a judge that looks at the world's record and the wires only.

The numbers are those of the table in test_invariants.py.
"""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
from bench_truth import WRONG_V, truth_of, wrong_frames
from numpy.typing import NDArray
from witness import FIRE, SWITCH_ON, Message, Witness

from drivers.errors import UnsafeStateError
from drivers.registry import find
from rig.reduction import usable
from rig.runfile import Run, RunFile, open_run, recover
from rig.safety import Confirmation
from rig.session import RunResult

JUDGED = ("voltage_source", "laser_trigger", "shutter", "cw_shutter")  # roles whose being off can be seen from the film
# every way a run may go; written down from its drawing, not taken from its code
DRAWN = {
    "PREPARING": {"DARK"},
    "DARK": {"LOADING"},
    "LOADING": {"ARMED"},
    "ARMED": {"COLLECTING"},
    "COLLECTING": {"COMMITTING", "ARMED"},
    "COMMITTING": {"LOADING", "PAUSED"},
    "PAUSED": {"LOADING"},
    "SAFING": {"SAFE", "SAFING"},  # an interrupt on the way makes it begin anew
    "SAFE": {"SAFING"},
}


@dataclass
class OffCall:
    """One make_safe() of one driver: what went over its wire meanwhile."""

    role: str
    off: bytes
    sent: list[bytes]


@dataclass
class Notes:
    """What the judges write down while a run goes on: every make_safe(), every frame that append_frames() took."""

    off_calls: list[OffCall] = field(default_factory=list[OffCall])
    frames: dict[Path, list[tuple[NDArray[Any], NDArray[np.uint16]]]] = field(default_factory=dict)

    def acknowledged(self, path: Path) -> tuple[NDArray[Any], NDArray[np.uint16]] | None:
        """Rows and spectra of all frames taken for a file so far, None when there are none."""
        found = self.frames.get(path)
        if not found:
            return None
        return np.concatenate([rows for rows, _ in found]), np.concatenate([spectra for _, spectra in found])


@contextmanager
def taking_notes(witness: Witness) -> Generator[Notes]:
    """Watch every driver's make_safe() and every frame that is filed."""
    notes, append = Notes(), RunFile.append_frames

    def appended(file: RunFile, columns: NDArray[Any], spectra: NDArray[np.uint16]) -> None:
        append(file, columns, spectra)
        notes.frames.setdefault(file.path, []).append((columns.copy(), spectra.copy()))

    with ExitStack() as stack:
        stack.enter_context(patch.object(RunFile, "append_frames", appended))
        kinds = {find(witness.settings[role]["model"], role).kind for role in witness.wires}  # type: ignore[arg-type]
        for kind in kinds:
            if hasattr(kind, "make_safe"):
                stack.enter_context(patch.object(kind, "make_safe", _noted(kind, witness, notes)))
        yield notes


def _noted(kind: Any, witness: Witness, notes: Notes) -> Any:
    make_safe = kind.make_safe

    def noted(instrument: Any) -> None:
        before, role = len(witness.heard), instrument.adapter.name.partition(" (")[0].replace(" ", "_")
        try:
            make_safe(instrument)
        finally:
            sent = [message.data for message in witness.heard[before:] if message.role == role]
            notes.off_calls.append(OffCall(role, instrument.off_message, sent))

    return noted


@dataclass
class Ending:
    """How a run ended, in the program's own words."""

    witness: Witness
    notes: Notes
    result: RunResult | None = None
    error: BaseException | None = None

    @property
    def went_safe(self) -> bool:
        """Whether the program tried to switch anything off."""
        return bool(self.notes.off_calls)

    def told(self, role: str) -> str:
        """CONFIRMED, SENT, UNKNOWN, STILL_ON; "" when nothing is said of it."""
        if self.result is not None:
            found = self.result.outcome.safe.instruments.get(role)
            return "" if found is None else found[0].name
        words = str(self.error) if isinstance(self.error, UnsafeStateError) else " ".join(getattr(self.error, "__notes__", []))
        words = words or str(getattr(self.error, "hardware_state", ""))
        name = role.replace("_", " ")
        for confirmation in Confirmation:
            if f"{name}: {confirmation.value}" in words:
                return confirmation.name
        return ""


def within_limits(witness: Witness, low_v: float, high_v: float) -> None:
    """1: the film never saw a voltage beyond the limits."""
    beyond = {v for v in witness.world.terminal.record.voltage_v if not low_v <= v <= high_v}
    assert not beyond, f"{beyond} V at the film"


def slew_and_on_time(witness: Witness, step_v: float, on_time_s: float) -> None:
    """2: no step larger, no time under voltage longer than the limits."""
    voltages = witness.world.terminal.record.voltage_v
    steps = [abs(after - before) for before, after in pairwise(voltages)]
    assert max(steps, default=0.0) <= step_v, f"a step of {max(steps)} V"
    longest_s = max(((end - begin) * 1e-9 for begin, end in witness.stretches_on()), default=0.0)
    assert longest_s <= on_time_s, f"{longest_s} s under voltage"


def still_on(witness: Witness) -> set[str]:
    """Return the roles that are not off, now or half a second later."""
    pulses = witness.pulses
    on = set() if witness.voltage_v == 0 else {"voltage_source"}
    on |= {role for role in ("shutter", "cw_shutter") if not witness.blades_closed(role)}
    witness.world.sleep(0.5)
    on |= set() if witness.voltage_v == 0 else {"voltage_source"}
    return on | (set() if witness.pulses == pulses else {"laser_trigger"})


def off_or_told(ending: Ending) -> None:
    """3: everything is off, or the program says of it that it is not known to be off, and it could not be reached."""
    witness, on = ending.witness, still_on(ending.witness)
    for role in JUDGED:
        if role not in witness.wires:
            continue
        told = ending.told(role)
        assert role not in on or told != "CONFIRMED", f"{role} is on and was called off"
        assert told in ("", "CONFIRMED") or role in witness.spoiled, f"{role} could be reached and is {told}"
        if role in on and told == "":
            switched = [m.data for m in witness.messages() if FIRE.search(m.data) or SWITCH_ON.search(m.data)]
            assert not switched, f"{role} is on, {switched} were sent, and nothing was said of it: {ending.error!r}"


def nothing_on_after(messages: Sequence[Message]) -> None:
    """4: these messages, all sent after a stop was asked for, switch nothing on and fire nothing."""
    bad = [m for m in messages if FIRE.search(m.data) or SWITCH_ON.search(m.data)]
    assert not bad, f"after a stop was asked for: {bad}"


def off_without_a_question(calls: Sequence[OffCall]) -> None:
    """5: going safe sends off and nothing else; where off is one message (the SC10 toggles, and is asked first)."""
    for call in calls:
        assert not call.off or set(call.sent) == {call.off}, f"{call.role}: {call.sent} to go safe"


def fired_when_ready(witness: Witness, step_ns: int) -> None:
    """6: a burst is fired only with the shutter open, at rest, and the voltage settled; no pulse comes while it settles."""
    begun_ns = witness.steps_begun_ns(step_ns)
    fires = [m.t_ns for m in witness.messages() if m.live and FIRE.search(m.data)]
    for t_ns in fires:
        assert witness.transmission(t_ns) == 1.0, f"fired at {t_ns} ns with the shutter not open"
        since_ns = t_ns - begun_ns[begun_ns <= t_ns][-1]
        assert since_ns >= step_ns, f"fired {since_ns} ns after the voltage had begun to change"
    if not fires or not witness.laser_is_fired:
        return  # the light of a laser that never stops is the shutter's
    pulses = witness.bright_ns()
    pulses = pulses[pulses >= fires[0]]
    since = pulses - begun_ns[np.searchsorted(begun_ns, pulses, side="right") - 1]
    assert (since >= step_ns).all(), f"a pulse {since.min()} ns after the voltage had begun to change"


def dark_since(witness: Witness, t_ns: int) -> None:
    """6: no light on the film any more, once the shutter's interlock has closed the blades (16 ms)."""
    late = [t for t in witness.bright_ns().tolist() if t > t_ns + 16_000_000]
    assert not late, f"{len(late)} bright pulses with the interlock open"


def frames_are_true(witness: Witness, run: Run, acknowledged: tuple[NDArray[Any], NDArray[np.uint16]] | None) -> int:
    """7, 8, 9: every acknowledged frame once and as the detector gave it, under its true voltage; return how many."""
    if acknowledged is None:
        assert run.count == 0
        return 0
    columns, spectra = acknowledged
    rows, stored = run.frames(), run.spectra()
    assert run.count == len(columns), f"{run.count} of {len(columns)} acknowledged frames"
    for name in ("device_time_us", "frame_count", "host_time_ns"):
        assert np.array_equal(rows[name], columns[name]), name
    assert np.array_equal(stored, spectra), "spectra differ from what was acknowledged"
    given = np.concatenate(witness.raw)[exposures_of(witness, run)]
    other = (stored != given).any(axis=1)  # the first frame after arming shows older light
    assert not other[rows["shot"] >= 0].any(), "a shot's spectrum is not what the detector gave"
    truth = truth_of(SimpleNamespace(world=witness.world), run)  # type: ignore[arg-type]
    assert wrong_frames(rows, truth) == 0
    used = usable(rows["flags"])
    off_by_v = np.abs(rows["measured_voltage_v"][used] - truth.voltage_v[used])
    assert (off_by_v <= WRONG_V).all(), f"a stored reading is {np.nanmax(off_by_v)} V off"
    return run.count


def exposures_of(witness: Witness, run: Run) -> NDArray[np.intp]:
    """Which exposure each frame of a file is; none twice."""
    clock = witness.wires["spectrometer"].device_clock
    at_us = clock.at(witness.world.light_path.record.exposures["open_ns"]).astype(np.int64)
    place = np.searchsorted(at_us, run.column("device_time_us").astype(np.int64))
    assert (np.diff(place) > 0).all(), "one exposure twice, or out of order"
    return place


def reconciled(run: Run, result: RunResult | None) -> None:
    """10: every planned shot and every frame is accounted for."""
    ledger = run.ledger
    if not ledger:
        assert result is None
        return
    assert ledger["assigned"] + ledger["unassigned"] + ledger["lost"] == ledger["planned"]
    if run.state not in ("running", "interrupted"):
        assert ledger["received"] == run.count
        assert ledger["received"] == sum(ledger[name] for name in ("assigned", "unassigned", "lead_in", "surplus"))
    shots = run.column("shot")
    kept = shots[shots >= 0]
    assert len(kept) == len(np.unique(kept)), "a shot twice"
    if run.state not in ("running", "interrupted"):
        assert len(kept) == ledger["assigned"]


def recovered_twice(path: Path) -> None:
    """12: what a dead writer has left is finished by recover(); once more changes nothing; no frame is lost by it."""
    before = open_run(path)
    count, spectra = before.count, before.spectra()
    recover(path)
    once = path.read_bytes()
    recover(path)
    assert path.read_bytes() == once
    after = open_run(path)
    assert after.count == count
    assert np.array_equal(after.spectra(), spectra)


def drawn_ways_only(states: Sequence[str]) -> None:
    """15: only drawn transitions, and every path ends in SAFE."""
    assert states[0] == "PREPARING"
    assert states[-1] == "SAFE"
    for before, after in pairwise(states):
        assert after in DRAWN[before] or (after == "SAFING"), f"from {before} to {after}"
