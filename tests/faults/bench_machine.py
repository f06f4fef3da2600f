"""A bench with a laser that is fired or one that never stops, on which runs follow each other whatever happened to the last.

Hypothesis chooses what is run and what goes wrong at which conversation; after every step the judges of invariants.py look at
the world. One world lives through all of it: what a run leaves behind, the next one finds.
"""

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from invariants import (
    Ending,
    dark_since,
    drawn_ways_only,
    fired_when_ready,
    frames_are_true,
    nothing_on_after,
    off_or_told,
    off_without_a_question,
    reconciled,
    recovered_twice,
    slew_and_on_time,
    still_on,
    taking_notes,
    within_limits,
)
from other_benches import laser_as_master, other_bench
from witness import BY_HAND, Act, Wire, Witness

from drivers.errors import RefusedError, RigError
from rig.instruments import facts
from rig.measurements.on_off import OnOff
from rig.runfile import open_run
from rig.runner import PauseRequest, Progress, RunState, StopRequest
from rig.sequence import Sequence
from rig.session import Session
from sim_instruments import world as world_module
from sim_instruments.faults import FaultyCable, LiftedContact
from sim_instruments.film.current import Contact
from sim_instruments.world import World

ON_TIME_S = 0.25  # limit of this bench
# what a held level adds to the time of its shots: opening the shutter, arming, reading, and where something goes wrong every
# attempt to ask again before off is sent
ON_EXTRA_S = 6.0
WIRE_KINDS = ("lost", "slow", "late", "very late", "doubled", "cut", "corrupt", "another", "noise before")
WIRE_KINDS += ("swallowed", "half sent", "off and on before")
ROLES = ("voltage_source", "laser_trigger", "spectrometer", "shutter", "attenuator", "energy_meter", "filter_wheel")
CABLES = ("spectrometer.trigger", "laser.trigger", "voltage_source.trigger_link_1")
# by number of the message: up to about 430 instruments are prepared and dark frames taken, up to about 640 there are blocks
MOMENTS = st.integers(430, 640) | st.integers(470, 600) | st.integers(0, 430)
NEVER = 10**9


class ObserverBrokeError(Exception):
    """What a user's own code raises."""


class BenchMachine(RuleBasedStateMachine):
    """Runs on one simulated bench, with everything that may happen to them."""

    runs = frames = 0  # over all examples: what a report can say
    longest_on_s = 0.0
    endings: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.threads = threading.active_count()
        self.witness: Witness
        self.sequence: Sequence | None = None
        self._forget()

    def _forget(self) -> None:
        """Nothing is to come."""
        self.acts: dict[int, list[Act]] = {}
        self.observed: tuple[int, Callable[[], None]] = (NEVER, lambda: None)
        self.stop_asked_at: int | None = None  # the first message that may not switch on any more
        self.tripped_ns: int | None = None
        self.meddled = False  # light, voltage or shutter were changed by others than the program
        self.snapshots: list[tuple[Path, Path, int]] = []
        self.engine_died = False

    # --- the bench

    @initialize(never_stops=st.booleans(), mode=st.sampled_from(("gated", "stepped")), seed=st.integers(0, 3))
    def connect(self, never_stops: bool, mode: str, seed: int) -> None:
        def limits(tables: dict[str, Any]) -> None:
            tables["voltage_source"]["limits"].update(on_time_s=ON_TIME_S, duty=0.8)

        self.bench = other_bench(limits, *([laser_as_master()] if never_stops else []))
        self.session = Session(self.bench, simulate=True, out=self.folder, seed=seed)
        self.witness = Witness(World(self.bench.description(), seed), self.bench.description())
        self.never_stops = never_stops
        self.preflight(mode, 20.0, 0.0, (12, 12), 1)
        self.film_damaged = False
        self.dirty = set[str]()  # left on by hand, or by a run that could not reach them and said so

    def teardown(self) -> None:
        if self.sequence is not None and self.acts:
            self._run()  # no example ends with what it has prepared
        shutil.rmtree(self.folder)
        assert threading.active_count() == self.threads, "a thread survives"

    # --- what is to be run

    @rule(
        mode=st.sampled_from(("gated", "stepped")),
        on_v=st.sampled_from((20.0, -20.0, 12.5, 0.5, 1e-5)),
        off_v=st.sampled_from((0.0, 0.0, 0.0, -2.0, 5.0, 20.5)),
        shots=st.tuples(st.integers(8, 60), st.integers(8, 60)),
        cycles=st.integers(1, 2),
    )
    def preflight(self, mode: Any, on_v: float, off_v: float, shots: tuple[int, int], cycles: int) -> None:
        on_s, off_s = (n * 1e-3 for n in shots)
        wanted = OnOff(voltage_on_v=on_v, voltage_off_v=off_v, on_time_s=on_s, off_time_s=off_s, cycles=cycles, settle_s=0.005)
        self.sequence = Sequence.of(wanted, mode=mode)
        heard = len(self.witness.heard)
        try:
            self.session.plan(self.sequence)
        except RefusedError:
            self.sequence = None
        assert len(self.witness.heard) == heard

    # --- what will go wrong, and when

    def _at(self, moment: int, act: Act) -> None:
        self.acts.setdefault(moment, []).append(act)

    @rule(moment=MOMENTS, kind=st.sampled_from(WIRE_KINDS))
    def inject_a_mishap(self, moment: int, kind: str) -> None:
        def act(wire: Wire) -> None:
            if kind == "off and on before":
                if wire.role == "spectrometer":
                    return  # the judge knows one clock of one spectrometer
                self.meddled = True
            self.witness.spoiled.add(wire.role)
            wire.spoil(kind)

        self._at(moment, act)

    @rule(moment=MOMENTS, role=st.sampled_from(ROLES), how=st.sampled_from(("dead", "mute")))
    def cut_a_line(self, moment: int, role: str, how: str) -> None:
        def act(wire: Wire) -> None:
            self.witness.spoiled.add(role)
            setattr(self.witness.wires[role], how, True)

        self._at(moment, act)

    @rule(moment=MOMENTS, what=st.sampled_from(("breaks down", "opens")))
    def damage_the_film(self, moment: int, what: str) -> None:
        def act(wire: Wire) -> None:
            world, self.film_damaged = self.witness.world, True
            if what == "breaks down":
                world.add_leak(1000.0, world.now_ns() + 1)
            else:
                world.film.add_contact(LiftedContact(world.now_ns() + 1, Contact(1e12)), world.now_ns())

        self._at(moment, act)

    @rule(
        moment=MOMENTS,
        end=st.sampled_from(CABLES),
        lost=st.frozensets(st.integers(0, 60), max_size=4),
        doubled=st.frozensets(st.integers(0, 60), max_size=4),
    )
    def shake_a_cable(self, moment: int, end: str, lost: frozenset[int], doubled: frozenset[int]) -> None:
        if self.never_stops and end == "laser.trigger":
            return

        def act(wire: Wire) -> None:
            levels = {"idle_v": 2.0, "active_v": 0.0} if end == CABLES[2] else {}
            self.witness.world.cable_to(end).fault = FaultyCable(lost=lost, doubled=doubled, **levels)

        self._at(moment, act)

    @rule(moment=MOMENTS, what=st.sampled_from((b":OUTP OFF\n", b":SOUR:VOLT 5\n", b":SOUR:VOLT 0\n", b"*RST\n")))
    def touch_the_front_panel(self, moment: int, what: bytes) -> None:
        def act(wire: Wire) -> None:
            self.meddled = True
            self.witness.spoiled.add("voltage_source")
            self.witness.straight_to("voltage_source", what)

        self._at(moment, act)

    @rule(moment=MOMENTS)
    def open_the_interlock(self, moment: int) -> None:
        def act(wire: Wire) -> None:
            self.meddled = True
            world = self.witness.world
            self.tripped_ns = self.tripped_ns or world.now_ns()
            self.witness.wires["shutter"].set_interlock(world.now_ns(), tripped=True)

        self._at(moment, act)

    @rule(moment=MOMENTS)
    def kill_the_engine(self, moment: int) -> None:
        def act(wire: Wire) -> None:
            self.engine_died = True
            for role, line in self.witness.wires.items():
                line.dead = True
                self.witness.spoiled.add(role)

        self._at(moment, act)

    @rule(moment=MOMENTS)
    def look_at_the_file(self, moment: int) -> None:
        """As kill -9 would leave it at this conversation: what was written is in the file, whoever wrote it."""

        def act(wire: Wire) -> None:
            for path in self.folder.glob("*.h5"):
                copy = self.folder / "killed" / f"{len(self.snapshots)}.h5"
                copy.parent.mkdir(exist_ok=True)
                shutil.copyfile(path, copy)
                taken = self.notes.acknowledged(path)
                self.snapshots.append((path, copy, 0 if taken is None else len(taken[0])))

        self._at(moment, act)

    @rule(moment=MOMENTS)
    def stop(self, moment: int) -> None:
        def act(wire: Wire) -> None:
            self._ask_to_stop()

        self._at(moment, act)

    @rule(moment=MOMENTS)
    def pause(self, moment: int) -> None:
        """After the block that is running; it is over as soon as it has been looked at."""

        def act(wire: Wire) -> None:
            self.pause_request.asked = True

        self._at(moment, act)

    def _ask_to_stop(self) -> None:
        if self.stop_asked_at is None:
            self.stop_asked_at = len(self.witness.heard)  # the message that is being sent stands there already
        self.stop_request.request("test")

    @rule(moment=MOMENTS, presses=st.integers(1, 10), apart=st.integers(1, 4))
    def ctrl_c(self, moment: int, presses: int, apart: int) -> None:
        """In a script, where nobody turns it into a request: raised in the middle of conversations."""

        def act(wire: Wire) -> None:
            raise KeyboardInterrupt

        for number in range(presses):
            self._at(moment + number * apart, act)

    @rule(call=st.integers(1, 15), what=st.sampled_from(("stop", "raise", "interrupt", "exit")))
    def observe(self, call: int, what: str) -> None:
        def throw(error: type[BaseException]) -> None:
            raise error

        raised = {"raise": ObserverBrokeError, "interrupt": KeyboardInterrupt, "exit": SystemExit}
        self.observed = (call, self._ask_to_stop if what == "stop" else partial(throw, raised[what]))

    # --- and then

    @precondition(lambda self: self.sequence is not None)
    @rule()
    def start(self) -> None:
        self._run()

    @precondition(lambda self: self.sequence is not None)
    @rule()
    def start_once_more(self) -> None:
        self._run()  # what happens most often may well be twice in the list

    def _run(self) -> None:
        assert self.sequence is not None
        witness, before = self.witness, set(self.folder.glob("*.h5"))
        calls, on_in_a_pause = 0, set[str]()

        def observe(progress: Progress) -> None:
            nonlocal calls
            calls += 1
            if progress.state is RunState.PAUSED:
                on_in_a_pause.update(still_on(witness))
                self.pause_request.asked = False
            if calls == self.observed[0]:
                self.observed[1]()

        self.stop_request, self.pause_request = StopRequest(), PauseRequest()
        witness.listen(self.acts)
        one_bench = patch.object(world_module, "World", lambda *_, **__: witness.world)  # for every run
        with one_bench, taking_notes(witness) as self.notes:
            ending = Ending(witness, self.notes)
            try:
                ending.result = self.session.run(
                    self.sequence, observe=observe, stop=self.stop_request, pause=self.pause_request
                )
            except (RigError, KeyboardInterrupt, SystemExit) as error:
                ending.error = error
            finally:
                witness.acts = {}
        type(self).runs += 1
        if not self.dirty:
            on_s = [(end - begin) * 1e-9 for begin, end in witness.stretches_on()]
            type(self).longest_on_s = max([self.longest_on_s, *on_s])
        self.endings[type(ending.error).__name__ if ending.result is None else ending.result.outcome.reason.value] += 1
        assert not on_in_a_pause, f"on in a pause: {on_in_a_pause}"
        self._judge_the_bench(ending)
        for path in set(self.folder.glob("*.h5")) - before:
            self._judge_the_file(path, ending)
        assert {path.suffix for path in self.folder.iterdir() if path.is_file()} <= {".h5"}, "files left behind"
        self._forget()

    def _judge_the_bench(self, ending: Ending) -> None:
        witness = self.witness
        off_without_a_question(self.notes.off_calls)
        if self.engine_died:
            told = {role: ending.told(role) for role in ("voltage_source", "laser_trigger")}
            assert "CONFIRMED" not in told.values(), told
            witness.switch_off_from_outside()
            assert not still_on(witness)
            witness.plug_in()
        else:
            off_or_told(ending)
        self.dirty = still_on(witness)
        if self.stop_asked_at is not None:
            nothing_on_after(witness.heard[self.stop_asked_at :])
        shaken = any(cable.fault is not None for cable in witness.world.cables)
        if not (self.meddled or self.film_damaged or shaken or self.dirty):
            fired_when_ready(witness, facts(self.bench).source_step_ns)
        if self.tripped_ns is not None:
            dark_since(witness, self.tripped_ns)
            witness.wires["shutter"].set_interlock(witness.world.now_ns(), tripped=False)
        if ending.result is not None:
            drawn_ways_only([state.name for state in ending.result.outcome.states])

    def _judge_the_file(self, path: Path, ending: Ending) -> None:
        run = open_run(path)
        acknowledged = self.notes.acknowledged(path)
        type(self).frames += frames_are_true(self.witness, run, acknowledged)
        reconciled(run, ending.result)
        for original, copy, count in self.snapshots:
            if original == path:
                then = None if acknowledged is None or not count else tuple(part[:count] for part in acknowledged)
                frames_are_true(self.witness, open_run(copy), then)  # type: ignore[arg-type]
                reconciled(open_run(copy), None if not open_run(copy).ledger else ending.result)
                recovered_twice(copy)

    @rule(duration_s=st.sampled_from((1e-3, 0.1, 3.0)))
    def step(self, duration_s: float) -> None:
        """Time passes; what is off stays off."""
        pulses = self.witness.pulses
        self.witness.world.sleep(duration_s)
        if "voltage_source" not in self.dirty:
            assert self.witness.voltage_v == 0.0
        if "laser_trigger" not in self.dirty:
            assert self.witness.pulses == pulses

    @rule()
    def reconnect(self) -> None:
        """Every cable is put in again."""
        self.witness.plug_in()
        for cable in self.witness.world.cables:
            cable.fault = None

    @rule(role=st.sampled_from(sorted(BY_HAND)))
    def leave_on_by_hand(self, role: str) -> None:
        self.witness.straight_to(role, BY_HAND[role])
        self.dirty.add(role)

    # --- always

    @invariant()
    def the_film_is_within_its_limits(self) -> None:
        if hasattr(self, "witness"):
            within_limits(self.witness, *self.bench.voltage_source.limits.voltage_v)
            if "voltage_source" not in self.dirty:
                slew_and_on_time(self.witness, self.bench.voltage_source.limits.step_v, ON_TIME_S + ON_EXTRA_S)
