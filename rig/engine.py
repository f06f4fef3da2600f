"""The engine: owns a bench, runs sequences on it one at a time, takes commands from any thread and tells what happens.

The thread that calls run() or serve() is the engine's own: instruments, run file and guard belong to it. Commands come from
other threads (the control channel, a signal handler) and only ever leave a wish there, which is read between two conversations;
Off is the exception. Frames never pass here: who wants to see them reads the run file.
"""

import os
import queue
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from drivers.clock import Clock, MonotonicClock
from drivers.errors import RefusedError, RigError, UnsafeStateError
from rig.bench import Bench
from rig.compiler import Plan
from rig.config_file import parse_document
from rig.control import (
    Acknowledge,
    Answer,
    Command,
    Connect,
    Disconnect,
    EngineState,
    EngineStatus,
    ErrorWords,
    Event,
    Inject,
    Note,
    Off,
    Pace,
    Pause,
    Quit,
    Refused,
    Resume,
    RunProgress,
    SetByHand,
    Start,
    Stop,
    Welcome,
)
from rig.engine_words import begun, ended, latch_of, left_s, refused, words_of
from rig.hand_control import HandControl, refused_by_hand
from rig.pace import Pace as SimulatedPace
from rig.run_state import PauseRequest, Progress, RunState, StopRequest
from rig.sequence import Sequence, parse_sequence
from rig.session import MEASUREMENTS, RunResult, Session
from rig.simulation import check_film, fault_names, put_in

Listener = Callable[[Event], None]

TELL_INTERVAL_S = 0.1
OFF_PATIENCE_S = 0.05  # so long an Off leaves to the run itself, which looks every 13 ms unless it hangs
LOOK_S = 0.2
MAX_WISHES = 32  # by hand, that wait for their turn


@dataclass(frozen=True, slots=True)
class _Job:
    sequence: Sequence
    plan: Plan
    session: Session


@dataclass(frozen=True, slots=True)
class _ByHand:
    command: Connect | SetByHand | Disconnect
    stop: StopRequest
    lease: int


class Engine:
    """Runs sequences on the bench of one session.

    Parameters
    ----------
    session  what is run on
    clock    the computer's own
    serves   whether serve() will do what is started by command; without it only its own process gives it runs
    """

    def __init__(self, session: Session, clock: Clock | None = None, *, serves: bool = True) -> None:
        self._session = session
        self._serves = serves
        self._clock = clock or MonotonicClock()
        self._listeners: list[Listener] = []
        self._guard = threading.RLock()  # of everything below
        self._faults: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._jobs: queue.SimpleQueue[_Job | _ByHand | None] = queue.SimpleQueue()  # None: look again
        self._stop = StopRequest()
        self._hand_stop = StopRequest()  # of instruments that are connected by hand, or about to be
        self._pause = PauseRequest()
        self._pace = SimulatedPace(self._clock)
        self._waiting = False  # a job was taken and has not begun
        self._quitting = ""
        self._begun_ns = self._told_ns = 0
        self._offs: list[threading.Thread] = []
        self._lease: Callable[[], int] = lambda: 0
        self._hand = HandControl(session, self._clock, self._tell, self.note)
        name = "default bench" if session.default_bench else str(session.bench.path)
        self._status = EngineStatus(state="idle", simulated=session.simulated, bench=name)

    @property
    def bench(self) -> Bench:
        """Get the bench it owns."""
        return self._session.bench

    @property
    def bench_path(self) -> Path | None:
        """Get the bench's file, None for the default bench."""
        return None if self._session.default_bench else self._session.bench.path

    @property
    def simulated(self) -> bool:
        """Get whether no real instrument is behind it."""
        return self._session.simulated

    def listen(self, listener: Listener) -> None:
        """Tell `listener` every event, in the engine's thread. One that fails is told nothing any more, and hurts no run."""
        self._listeners.append(listener)

    def commanded_by(self, lease: Callable[[], int]) -> None:
        """Learn how to see that somebody else commands: `lease` returns another number then. What was by hand ends with it."""
        self._lease = lease

    # --- commands, from any thread

    def submit(self, command: Command, who: str) -> Answer:
        """Take a command or say why not; returns at once. That it was taken does not mean that it is done: events tell that."""
        try:
            with self._guard:
                self._take(command, who)
        except RigError as error:
            return Answer(id=command.id, ok=False, error=ErrorWords.of(error))
        return Answer(id=command.id, ok=True)

    @property
    def stopped(self) -> str:
        """Get why the run, or all that was to be run, was asked to stop; "" while it was not."""
        return self._stop.why if self._stop.requested else ""

    def end(self, why: str) -> None:
        """Stop the run that is under way, then end; from any thread, also from a signal handler."""
        self._quitting = why
        self.submit(Stop(why=why), why)

    def status(self) -> EngineStatus:
        """Where the engine is."""
        with self._guard:
            elapsed_s = (self._clock.now_ns() - self._begun_ns) * 1e-9 if self._running else self._status.elapsed_s
            return self._status.model_copy(update={"elapsed_s": elapsed_s, "pausing": self._pause.asked})

    def welcome(self, who_commands: str) -> Welcome:
        """Say which engine this is."""
        status = self._status
        return Welcome(
            pid=os.getpid(),
            host=socket.gethostname(),
            bench=status.bench,
            simulated=status.simulated,
            who_commands=who_commands,
            faults=fault_names() if self._session.in_process else (),
        )

    def note(self, text: str) -> None:
        """Tell everybody a line; from any thread."""
        self._tell(Note(text=text))

    @property
    def _running(self) -> bool:
        return self._status.state in ("running", "paused", "stopping")

    def _take(self, command: Command, who: str) -> None:
        match command:
            case Start():
                self._take_start(command)
            case Pause() | Resume():
                if not self._running:
                    raise refused("nothing-runs", "There is nothing to pause: no run is under way.")
                self._pause.asked = isinstance(command, Pause)
            case Stop():
                self._ask_to_stop(command.why or f"stopped by {who}")
            case Off():
                self._ask_to_stop(command.why or f"switched off by {who}")
                self._switch_off()
            case Pace():
                if not self._session.in_process:
                    raise refused(
                        "time-is-real", "This bench runs in real time; only one simulated by the engine itself can be hurried."
                    )
                self._pace.speed = command.speed
                self._set(speed=command.speed)
            case Connect() | SetByHand() | Disconnect():
                self._take_by_hand(command)
            case Inject():
                self._take_fault(command.fault)
            case Acknowledge():
                if self._status.state == "latched":
                    self._set(state="idle", latched="")
            case Quit():
                if self._running or self._waiting:
                    raise refused("run-under-way", "A run is under way: stop it first.")
                self._quitting = f"ended by {who}"
            case _:  # the others are the channel's own
                raise refused("not-for-the-engine", f"The engine does not know the command {command.command}.")

    def _require_free(self) -> None:
        if not self._serves:
            raise refused(
                "runs-its-own", "This engine runs what its terminal gave it, nothing else.", "wait for its end, or stop it"
            )
        if self._running or self._waiting:
            raise refused("run-under-way", "A run is under way: only one at a time.", "wait for its end, or stop it")
        if self._status.state == "latched":
            raise refused(
                "latched",
                f"There was a fault: {self._status.latched}",
                "look at the bench; then acknowledge the fault, and start again",
            )

    def _take_by_hand(self, command: Connect | SetByHand | Disconnect) -> None:
        hand = self._hand
        if isinstance(command, Connect):
            self._require_free()
            if not hand.connected:
                self._hand_stop = StopRequest()
        elif not isinstance(command, Disconnect):
            if self._running or self._waiting:
                raise refused("run-under-way", "A run is under way: it has the instruments.", "wait for its end, or stop it")
            if not hand.connected or hand.lease != self._lease():
                raise refused("not-connected", "The instruments are not connected.", "connect them first")
            if reasons := hand.reasons_against(command):
                raise refused_by_hand(command, reasons)
        if self._jobs.qsize() >= MAX_WISHES:
            raise refused("too-many-wishes", f"{MAX_WISHES} commands wait for their turn already.", "try again in a moment")
        self._jobs.put(_ByHand(command, self._hand_stop, self._lease()))

    def _take_fault(self, fault: str) -> None:
        if not self._session.in_process:
            raise refused("nothing-simulated-here", "Only a bench that the engine itself simulates can be broken.")
        check_film(None, None, [fault])
        if not self._running:
            raise refused("nothing-runs", "A fault happens to the bench while it runs: start a run first.")
        self._faults.put(fault)

    def _take_start(self, command: Start) -> None:
        self._require_free()
        session = self._session.with_output(command.out, command.seed)
        sequence = parse_sequence(parse_document(command.sequence_toml, Path(command.name)), MEASUREMENTS)
        plan = session.plan(sequence)
        session.reserve([plan])
        self._stop, self._pause, self._waiting = StopRequest(), PauseRequest(), True
        self._jobs.put(_Job(sequence, plan, session))

    def _ask_to_stop(self, why: str) -> None:
        self._stop.request(why)
        if self._running:
            self._set(state="stopping")
        self._hand_stop.request(why)
        self._jobs.put(None)

    def _switch_off(self) -> None:
        """Everything off from a thread of its own, unless the engine's own thread is doing it already."""
        for stop in (self._stop, self._hand_stop):
            if stop.off_now is not None:
                thread = threading.Thread(target=self._off_soon, args=(stop,), name="off", daemon=True)
                self._offs.append(thread)
                thread.start()

    def _off_soon(self, stop: StopRequest) -> None:
        self._clock.sleep(OFF_PATIENCE_S)
        off_now = stop.off_now
        if off_now is not None and not stop.heeded:
            off_now()

    # --- the engine's own thread

    def run(self, sequence: Sequence, plan: Plan) -> RunResult:
        """Run one sequence; everybody is told.

        Raises
        ------
        RigError  as Session.run(); told as Refused before
        """
        return self._run(_Job(sequence, plan, self._session))

    def serve(self, anybody: Callable[[], bool], linger_s: float) -> None:
        """Run what is started by command, until Quit, end(), or until nobody has been there for `linger_s`."""
        alone_ns = self._clock.now_ns()
        try:
            while not self._quitting:
                job, there = self._next_job(), anybody()
                free = self._attend(job, there)
                if isinstance(job, _Job):
                    self._run_told(job, free)
                elif isinstance(job, _ByHand):
                    self._do_by_hand(job)
                if job is not None or there:
                    alone_ns = self._clock.now_ns()
                elif self._clock.now_ns() - alone_ns > linger_s * 1e9:
                    self._quitting = f"nobody was there for {linger_s:g} s"
        finally:
            if self._hand.connected:
                self._leave(self._quitting or "the engine ends")

    def _next_job(self) -> "_Job | _ByHand | None":
        try:
            return self._jobs.get(timeout=LOOK_S)
        except queue.Empty:
            return None

    def _run_told(self, job: _Job, free: bool) -> None:
        if not free:  # the instruments that were connected are not confirmed off
            self._waiting = False
            return
        try:
            self._run(job)
        except RigError:  # everybody has been told
            pass

    # --- by hand

    def _attend(self, job: "_Job | _ByHand | None", there: bool) -> bool:
        """Look after instruments that are connected by hand, or let go of them; tell whether all went well."""
        hand = self._hand
        if not hand.connected:
            return True
        why = ""
        if hand.stop.requested:
            why = hand.stop.why
        elif not there or hand.lease != self._lease():
            why = "whoever connected them commands no more"
        elif isinstance(job, _Job):
            why = "a run begins"
        elif isinstance(job, _ByHand) and isinstance(job.command, Disconnect):
            why = "disconnected"
        return self._leave(why) if why else self._by_hand(hand.turn)

    def _do_by_hand(self, job: _ByHand) -> None:
        hand, command = self._hand, job.command
        if isinstance(command, SetByHand) and hand.connected and hand.lease == job.lease:
            self._by_hand(lambda: hand.set(command))
        elif isinstance(command, Connect) and not hand.connected and not job.stop.requested and job.lease == self._lease():
            self.note("Connecting the instruments, everything off.")
            try:
                hand.connect(job.stop, job.lease)
            except RigError as error:
                self._failed(error)
                return
            self._set(connected=True)
            self._by_hand(hand.turn)

    def _by_hand(self, act: Callable[[], None]) -> bool:
        """Do something to connected instruments; what fails ends with everything safe."""
        try:
            act()
        except RefusedError as error:
            self._tell(Refused(error=words_of(error)))
        except Exception as error:  # noqa: BLE001 - a defect must not keep anything on
            return self._leave("a fault", error)
        return True

    def _leave(self, why: str, error: Exception | None = None) -> bool:
        """Everything off, and let go of the instruments; tell whether that was confirmed."""
        report = self._hand.leave(why)
        for thread in self._offs:
            thread.join()
        self._offs.clear()
        with self._guard:
            self._set(connected=False)
        try:
            report.raise_if_unsafe()
        except UnsafeStateError as unsafe:
            unsafe.__cause__, error = error, unsafe
        if error is not None:
            if isinstance(error, RigError):
                error.hardware_state = str(report)
            with self._guard:
                self._set(state="latched", latched=str(error).partition("\n")[0] or type(error).__name__)
            self._tell(Refused(error=words_of(error)))
        else:
            self.note(f"The instruments are disconnected ({why}): {report}")
        if report.interrupt is not None:
            raise report.interrupt
        return report.safe

    @property
    def why_it_ended(self) -> str:
        """Get why serve() came back."""
        return self._quitting

    def _run(self, job: _Job) -> RunResult:
        with self._guard:
            self._waiting = False
            self._begun_ns = self._clock.now_ns()
            sequence, plan = job.sequence, job.plan
            self._set(
                state="stopping" if self._stop.requested else "running",
                title=sequence.title,
                sample=sequence.sample,
                measurement=sequence.measurement,
                mode=f"{plan.mode} ({plan.why})",
                file="",
                shots_done=0,
                shots_planned=plan.planned_shots,
                left_s=None,
            )
        self._pace.begin()
        try:
            result = job.session.run(
                sequence, observe=lambda progress: self._observe(progress, job), stop=self._stop, pause=self._pause
            )
        except BaseException as error:
            self._failed(error)
            raise
        finally:
            for thread in self._offs:
                thread.join()
            self._offs.clear()
        self._ended(result)
        return result

    def _observe(self, progress: Progress, job: _Job) -> None:
        if job.session.in_process:
            self._break(job.session)
            self._pace.keep(job.session.world.now_ns(), lambda: self._stop.requested)
        plan = job.plan
        now_ns = self._clock.now_ns()
        if progress.file:
            file = str(Path(progress.file).resolve())  # those who follow may be in another folder
            with self._guard:
                status = self._set(file=file)
            self._tell(begun(status, plan.price.duration_s))
        if progress.detail:
            self._tell(Note(text=progress.detail))
        if now_ns - self._told_ns < TELL_INTERVAL_S * 1e9 and progress.shots_done < progress.shots_planned:
            return
        self._told_ns = now_ns
        with self._guard:
            left = left_s(progress, (now_ns - self._begun_ns) * 1e-9)
            paused = progress.state is RunState.PAUSED
            state: EngineState = "stopping" if self._stop.requested else "paused" if paused else "running"
            self._set(state=state, shots_done=progress.shots_done, left_s=left)
        done, planned = progress.shots_done, progress.shots_planned
        self._tell(RunProgress(state=progress.state.value, shots_done=done, shots_planned=planned, left_s=left))

    def _break(self, session: Session) -> None:
        """Put in the faults that were asked for; in the engine's thread, as the simulated world knows no other."""
        while not self._faults.empty():
            fault = self._faults.get()
            put_in(session.world, fault, session.seed)
            self._tell(Note(text=f"SIMULATED fault from now on: {fault}"))

    def _ended(self, result: RunResult) -> None:
        event = ended(result, self._stop.why)
        self._rest(latch_of(result.outcome))
        self._tell(event)

    def _failed(self, error: BaseException) -> None:
        """A run that never began, or was interrupted: refused, or an instrument that could not be opened."""
        harmless = isinstance(error, RigError) and not isinstance(error, UnsafeStateError)
        self._rest("" if harmless else str(error).partition("\n")[0] or type(error).__name__)
        self._tell(Refused(error=words_of(error)))

    def _rest(self, latched: str) -> None:
        with self._guard:
            elapsed_s = (self._clock.now_ns() - self._begun_ns) * 1e-9
            self._set(state="latched" if latched else "idle", latched=latched, elapsed_s=elapsed_s, left_s=None)
            self._pause.asked = False

    def _set(self, **changes: object) -> EngineStatus:
        self._status = self._status.model_copy(update=changes)
        return self._status

    def _tell(self, event: Event) -> None:
        for listener in list(self._listeners):
            try:
                listener(event)
            except Exception as error:  # noqa: BLE001 - a view must not hurt a run
                self._listeners = [one for one in self._listeners if one is not listener]
                self._tell(Note(text=f"A view of the run has failed and is told nothing more: {error!r}"))
