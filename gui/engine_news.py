"""Turns what the engine says, and its silence, into words for people: messages, alarms, and what is known of the hardware."""

from collections.abc import Callable
from pathlib import Path

from PyQt5.QtCore import QObject, QTimer

from gui.engine_link import GOES_ON, EngineLink
from gui.errand import MEANINGS, Errand
from gui.message_area import Act, Alarm, AlarmBanner, MessageArea
from gui.run_controls import RunControls, hardware_words
from rig.control import (
    Acknowledge,
    Begun,
    Closing,
    CommanderChanged,
    Ended,
    EngineStatus,
    ErrorWords,
    Note,
)
from rig.lifeline import guard_words

GUARD_LOOKS_MS = (500, 1500, 4000, 10_000, 20_000)  # after an engine has died; its guard has 20 s to do its work
SAFE_WITHIN_MS = 12_000  # going safe takes 9 s at most
BY_HAND = "By hand, now: switch the source's output off at its front panel and close the laser shutter."
UNSAFE, LATCHED, GONE, STOP, SILENT, OFF = "unsafe", "latched", "gone", "stop", "silent", "off"


class EngineNews(QObject):
    """Listens to a link and speaks through messages, banner and controls.

    Parameters
    ----------
    bench       words that name the bench to `rig off`: ("--bench", "lab.toml")
    in_process  the bench is software inside the engine, and ends with it
    """

    def __init__(
        self,
        link: EngineLink,
        controls: RunControls,
        messages: MessageArea,
        banner: AlarmBanner,
        *,
        bench: tuple[str, ...],
        in_process: bool,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._link = link
        self._controls = controls
        self._messages = messages
        self._banner = banner
        self._bench = bench
        self._in_process = in_process
        self._errands: list[Errand] = []
        self._closed = False
        self._ending = QTimer(self)
        self._ending.setSingleShot(True)
        self._ending.timeout.connect(self._still_runs)
        link.said.connect(self._heed)
        link.attached.connect(self._attached)
        link.refused.connect(self.refused)
        link.gone.connect(self._gone)
        link.stop_pressed.connect(lambda: messages.tell("Stop: sent to the engine.", "warning"))
        link.stop_answered.connect(self._stop_taken)
        link.stop_unanswered.connect(self._stop_not_taken)
        link.silent_changed.connect(self._silent)

    def close(self) -> None:
        """Wait for what is being switched off."""
        self._closed = True
        self._ending.stop()
        for errand in self._errands:
            errand.close()

    # --- errands

    def switch_off(self) -> None:
        """Switch everything off without the engine, by a process of its own."""
        if any(one.running and one.words[:1] == ("off",) for one in self._errands):
            self._messages.tell("rig off is at work already.")
            return
        self._messages.tell("rig off: switching everything off, without the engine.", "warning")
        self._begin(("off", *self._bench), self._off_done)

    def recover(self, file: str) -> None:
        """Trim the file of a run whose engine is gone."""
        self._begin(("recover", file), self._recovered)

    def _begin(self, words: tuple[str, ...], done: Callable[[int, str], None]) -> None:
        errand = Errand(words, self)
        self._errands = [one for one in self._errands if one.running]
        self._errands.append(errand)
        errand.done.connect(done)
        errand.begin()

    def _off_done(self, code: int, said: str) -> None:
        if code == 0:
            self._messages.tell(f"rig off: every instrument confirms that it is off.\n{said}", "good")
            self._controls.say_hardware("rig off: every instrument confirmed off", "good")
            return
        meaning = MEANINGS.get(code, f"exit code {code}")
        self._messages.tell(f"rig off: {meaning}\n{said}", "alarm")
        self._controls.say_hardware("rig off did NOT get every instrument off", "alarm")
        self._shout(Alarm(OFF, f"rig off: {meaning}", f"{BY_HAND}\n{said}", self._off_action()))

    def _recovered(self, code: int, said: str) -> None:
        self._messages.tell(
            f"rig recover: {MEANINGS.get(code, f'exit code {code}')}\n{said}", "good" if code == 0 else "warning"
        )

    def _off_action(self) -> tuple[tuple[str, Act], ...]:
        return (("Switch off without the engine (rig &off)", self.switch_off),)

    # --- what the engine says

    def _attached(self, engine: object) -> None:
        self._banner.withdraw(GONE) if self._in_process else None
        self._messages.tell(f"Connected to {engine}.")

    def _heed(self, event: object) -> None:
        match event:
            case Begun():
                self._messages.tell(f"Run begun: {event.title or event.measurement}, {event.shots_planned} shots, {event.file}")
                self._controls.say_hardware("Hardware: in use by the run", "text")
            case Note():
                self._messages.tell(event.text)
            case Ended():
                self._ended(event)
            case EngineStatus():
                self._status(event)
            case CommanderChanged() if event.who not in ("", self._link.name):
                self._messages.tell(f"{event.who} commands the engine now; Stop works here all the same.", "warning")
            case Closing():
                self._messages.tell(f"The engine takes leave: {event.why}.")
            case _:
                pass

    def _ended(self, event: Ended) -> None:
        words, confirmed = hardware_words(event.hardware)
        self._ending.stop()
        self._banner.withdraw(STOP)
        how = {"done": "Run done", "stopped": f"Run stopped ({event.why})"}.get(event.state, "Run ended with a FAULT")
        weight = "alarm" if event.error or not confirmed else "good" if event.state == "done" else "warning"
        self._messages.tell(f"{how}: {event.file}\nHardware: {words}", weight)
        # the whole sentence, instrument by instrument, is among the messages
        self._controls.say_hardware(
            f"Everything is off: {words}"
            if confirmed and event.hardware
            else f"Hardware: {words}"
            if confirmed
            else f"NOT CONFIRMED OFF. {words}",
            _colour(confirmed),
        )
        if not confirmed:
            self._shout(
                Alarm(
                    UNSAFE,
                    "NOT EVERYTHING IS CONFIRMED OFF. Go and look at the bench.",
                    f"{words}\n{BY_HAND}",
                    self._off_action(),
                    self._acknowledged,
                )
            )
        if event.error is not None:
            self._messages.tell(str(event.error), "alarm")
            self._shout(Alarm(LATCHED, f"FAULT: {event.error.what}", _detail(event.error, words), (), self._acknowledged))

    def _status(self, status: EngineStatus) -> None:
        there = {alarm.key for alarm in self._banner.alarms}
        if status.state == "latched" and not there & {UNSAFE, LATCHED}:
            detail = "The last run ended with it. Look at the bench; nothing can be started before you acknowledge it."
            self._shout(Alarm(LATCHED, f"FAULT: {status.latched}", detail, (), self._acknowledged))
        elif status.state == "idle":
            self._banner.withdraw(LATCHED)  # somebody else has acknowledged it

    def _acknowledged(self) -> None:
        if not {alarm.key for alarm in self._banner.alarms} & {UNSAFE, LATCHED} and self._link.there:
            self._link.send(Acknowledge())
            self._messages.tell("The fault is acknowledged.")

    def refused(self, words: ErrorWords) -> None:
        """Tell that something was refused, or could not begin."""
        if words.kind == "EngineGone":  # which is told once, by itself
            return
        unsafe = words.kind == "UnsafeStateError"
        self._messages.tell(str(words), "alarm" if unsafe else "warning")
        if unsafe:
            self._controls.say_hardware(f"NOT CONFIRMED OFF. {words.hardware_state}", "alarm")
            self._shout(Alarm(UNSAFE, words.what, _detail(words, BY_HAND), self._off_action(), self._acknowledged))

    # --- stop

    def _stop_taken(self, after_ms: float) -> None:
        self._banner.withdraw(STOP)
        status = self._link.status
        runs = status is not None and status.state in GOES_ON
        what = "the run goes safe; what is off will be said here" if runs else "no run was under way"
        self._messages.tell(f"Stop: taken by the engine after {after_ms:.0f} ms; {what}.", "good")
        if runs and not self._ending.isActive():
            self._ending.start(SAFE_WITHIN_MS)

    def _stop_not_taken(self, why: str) -> None:
        self._messages.tell(f"Stop: {why}", "alarm")
        self._controls.say_hardware("Hardware: not known, Stop was not confirmed", "alarm")
        self._shout(
            Alarm(
                STOP,
                f"Stop is not confirmed. {why}",
                f"The guard switches off by itself when the engine hangs or has died. To be sure: rig off. {BY_HAND}",
                self._off_action(),
            )
        )

    def _still_runs(self) -> None:
        if self._link.runs and not self._closed:
            self._stop_not_taken(f"The engine has taken it, but the run has not ended after {SAFE_WITHIN_MS / 1000:g} s.")

    def _silent(self, silent: bool) -> None:
        self._controls.show_silent(silent)
        if not silent:
            if SILENT in {alarm.key for alarm in self._banner.alarms}:
                self._messages.tell("The engine answers again.", "good")
            self._banner.withdraw(SILENT)
        elif self._link.runs:
            self._messages.tell("The engine does not answer.", "alarm")
            detail = "The guard switches everything off when the run gives no sign of life. If in doubt: Stop, or rig off."
            self._shout(Alarm(SILENT, "The engine does not answer while a run is under way.", detail, self._off_action()))

    # --- gone

    def _gone(self, why: str) -> None:
        last = self._link.last_status
        if last is None or last.state not in GOES_ON:
            self._messages.tell(f"No engine any more: {why}", "note" if self._link.orderly else "warning")
            return
        self._banner.withdraw(SILENT)
        self._banner.withdraw(STOP)
        self._messages.tell(f"THE ENGINE IS GONE while a run was under way: {why}", "alarm")
        self._controls.say_hardware("Hardware: not known, the engine is gone", "alarm")
        recover: tuple[tuple[str, Act], ...] = (("&Recover the file", lambda: self.recover(last.file)),)
        actions = (*self._off_action(), *(recover if last.file else ()))
        self._shout(Alarm(GONE, "The engine has ended while a run was under way.", self._known(last.file), actions))
        for look_ms in GUARD_LOOKS_MS:
            QTimer.singleShot(look_ms, lambda: self._look_at_guard(last.file))

    def _look_at_guard(self, file: str) -> None:
        """Tell what the guard has done meanwhile."""
        if self._closed or not file:
            return
        words = guard_words(Path(file))
        told = self._messages.lines
        for line in words:
            if line not in told:
                self._messages.tell(line, "warning")
        if words:
            self._controls.say_hardware("Hardware: the guard has acted, see the messages", "warning")
        self._banner.amend(GONE, self._known(file))

    def _known(self, file: str) -> str:
        kept = f"What was measured is in {file}." if file else "There is no run file yet."
        if self._in_process:
            return f"SIMULATED: the instruments were software in the engine and ended with it. {kept}"
        words = guard_words(Path(file)) if file else []
        said = "\n".join(words) or "The guard switches everything off now; it has not written yet what it did."
        return f"{said}\n{kept} To be sure: rig off."

    def _shout(self, alarm: Alarm) -> None:
        self._banner.shout(alarm)


def _colour(confirmed: bool) -> str:
    return "good" if confirmed else "alarm"


def _detail(error: ErrorWords, hardware: str) -> str:
    lines = [f"where: {error.where}" if error.where else "", f"hardware: {hardware}", f"next: {error.next_step}"]
    return "\n".join(line for line in lines if line and not line.endswith(": "))
