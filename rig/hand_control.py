"""A bench at rest that somebody looks at and sets by hand: opened with everything off, asked twice a second, safe in the end.

All of it belongs to the engine's thread, `reasons_against` excepted. Whatever the way out, `leave` makes everything safe before
anything is said.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, cast

from drivers.clock import Clock
from drivers.errors import InstrumentError, InterlockTripped, Reason, RefusedError, RigError
from drivers.registry import HAZARDS
from drivers.roles import ExposureProgram, HoldLevel, SafeReadback, Telling
from rig.bench_watch import QUEUES, rules
from rig.compiler import Facts
from rig.control import HardwareWords, InstrumentStates, InstrumentWords, LiveWords, SetByHand
from rig.control_words import InstrumentState, RoleName
from rig.hand_settings import BiasTime, HandSettings, reasons_against, settings_of, trigger_program
from rig.instruments import facts, prepare, require_calibrated, serials
from rig.interlocks import Interlocks
from rig.pump_beam import PumpBeam
from rig.run_state import StopRequest
from rig.safety import SafeReport
from rig.session import Opened, Session
from rig.source_record import QUIET_S, demand_level

ROUND_S = 0.5
LONGEST_SLICE_S = 5.0  # of simulated time made up for at once: this computer may have slept
PULSE_S = 0.1  # an energy meter is waited for, where pulses can come at rest
WHERE = "by hand"
SHUTTERS = ("shutter", "cw_shutter")


@dataclass(slots=True)
class _Known:
    """What is known of one instrument."""

    identity: str = ""
    detail: str = ""
    live: dict[str, tuple[float, int]] = field(default_factory=dict[str, tuple[float, int]])  # value, when (ns)
    error: str = ""
    fault: bool = False


class HandControl:
    """Holds a bench between `connect` and `leave`.

    Parameters
    ----------
    clock  the computer's own
    tell   told how the instruments are
    note   told lines for people
    """

    def __init__(
        self, session: Session, clock: Clock, tell: Callable[[InstrumentStates], None], note: Callable[[str], None]
    ) -> None:
        self._session = session
        self._bench = session.bench
        self._clock = clock
        self._tell = tell
        self._note = note
        self._opened: Opened | None = None
        self._facts: Facts | None = None
        self._settings = HandSettings.of(self._bench)
        self._bias = BiasTime(self._bench.voltage_source.limits, clock)
        self._known: dict[str, _Known] = {}
        self._interlocks: Interlocks | None = None
        self._asked_ns = self._passed_ns = 0
        self.stop = StopRequest()
        self.lease = 0

    @property
    def connected(self) -> bool:
        """Get whether the instruments are open."""
        return self._opened is not None

    @property
    def settings(self) -> HandSettings:
        """Get how they stand."""
        return self._settings

    def reasons_against(self, wish: SetByHand) -> list[Reason]:
        """List why something cannot be set now; from any thread."""
        known = self._facts = self._facts or facts(self._bench)
        now = self._settings
        found = reasons_against(wish, now, self._bench, known)
        if not found and wish.role == "voltage_source":
            level_v = now.changed(wish.quantity, wish.value).level_v
            found = self._bias.reasons_against(level_v, f"{wish.role}.{wish.quantity}")
        return found

    # --- from one end to the other

    def connect(self, stop: StopRequest, lease: int) -> None:
        """Open every instrument and bring it to rest: everything off and known.

        Parameters
        ----------
        stop   asks for the end
        lease  of who asked for it; kept for the caller

        Raises
        ------
        RigError          the bench is in use, or an instrument cannot be opened or prepared; everything is off again
        UnsafeStateError  and that could not be confirmed
        """
        self._known = {}
        try:
            self._connect(stop)
        except RigError as error:
            self._say(error.what)
            raise
        self.stop, self.lease = stop, lease

    def _connect(self, stop: StopRequest) -> None:
        self._facts = self._facts or facts(self._bench)
        opened = self._session.open_all()
        try:
            if not self._session.in_process:  # a stepped clock knows one thread only
                stop.off_now = opened.instruments.make_safe
            self._prepare(opened)
        except BaseException as error:
            try:
                opened.instruments.go_safe(error)
                opened.lifeline.release()
            finally:
                stop.off_now = None
                opened.close()
            raise
        self._opened, self._passed_ns = opened, self._clock.now_ns()
        self._asked_ns = self._passed_ns - round(ROUND_S * 1e9)  # the first turn asks

    def leave(self, why: str) -> SafeReport:
        """Make everything safe and let go of the instruments; told with what was confirmed. Only while connected."""
        opened = self._open
        self.stop.heeded = True
        try:
            report = opened.instruments.make_safe()
            if report.safe:
                opened.lifeline.release()
        finally:
            self.stop.off_now = None
            self._bias.level(0.0)
            self._opened, self._interlocks = None, None
            self._settings = HandSettings.of(self._bench)
            opened.close()
        self._say(why, report)
        return report

    def turn(self) -> None:
        """Do what is due; to be called several times a second.

        Raises
        ------
        RigError  something is not as it should be: leave
        """
        opened = self._open
        opened.lifeline.check()
        self._let_time_pass(opened)
        if self._bias.over and self._settings.level_v != 0:
            self._switch_off()
            limit_s = self._bench.voltage_source.limits.on_time_s
            self._note(f"The output that was on by hand is off: voltage_source.limits.on_time_s allows {limit_s:g} s.")
            self._look()
        elif self._clock.now_ns() - self._asked_ns >= ROUND_S * 1e9:
            self._look()

    def set(self, wish: SetByHand) -> None:
        """Set something, and see by read-back that it is so.

        Raises
        ------
        RefusedError  it cannot be set; nothing has changed
        RigError      an instrument does not do as it is told: leave
        """
        reasons = self.reasons_against(wish)
        if reasons:
            raise refused_by_hand(wish, reasons)
        wanted = self._settings.changed(wish.quantity, wish.value)
        switches_on = (wanted.level_v != 0 and wanted.level_v != self._settings.level_v) or (
            wish.value == 1 and wish.quantity in ("open", "cw_open", "output_on")
        )
        if switches_on:
            self._see_nothing_against(wish)
            if self.stop.requested:
                return
        self._do(wish, wanted)
        self._look()

    # --- settings

    def _do(self, wish: SetByHand, wanted: HandSettings) -> None:
        by_role = self._by_role
        match wish.quantity:
            case "voltage_v" | "output_on" if wanted.output_on:
                self._switch_on(wanted)
            case "voltage_v":
                by_role["voltage_source"].load(HoldLevel(wanted.voltage_v))
            case "output_on":
                self._switch_off()
            case "integration_time_s":
                by_role["spectrometer"].load(ExposureProgram(round(wanted.integration_time_s * 1e9), "software"))
            case "rate_hz":
                self._load_trigger(self._open, wanted)
            case "open":
                self._move_shutter(wanted)
            case "cw_open":
                self._move_cw_shutter(wanted)
            case "fluence_uj_cm2":
                law = self._bench.fluence_law()
                if law is None:
                    raise ValueError("a fluence that was not refused has a law")
                self._note(
                    f"{wish.value:g} uJ/cm2: {self._beam.set_plate(law.angle_deg(wish.value)) or 'the plate stands there'}"
                )
                if self._beam.runs_free:
                    wanted = wanted.changed("open", 0.0)  # the plate is not turned in the beam
        self._settings = wanted

    def _switch_on(self, wanted: HandSettings) -> None:
        source = self._by_role["voltage_source"]
        source.load(HoldLevel(wanted.voltage_v))
        if wanted.voltage_v != 0:
            self._bias.level(wanted.voltage_v)  # it counts from before it is on
        self._settings = wanted
        source.arm()
        self._open.clock.sleep(QUIET_S)
        demand_level(source.measure(), wanted.voltage_v)
        if wanted.voltage_v == 0:
            self._bias.level(0.0)

    def _switch_off(self) -> None:
        source = self._by_role["voltage_source"]
        source.make_safe()
        _demand_off("voltage source", source.read_safe())
        self._bias.level(0.0)
        self._settings = self._settings.changed("output_on", 0.0)

    def _move_shutter(self, wanted: HandSettings) -> None:
        self._settings = self._settings.changed("open", 1.0)  # whatever happens on the way, it counts as open
        if wanted.open:
            self._beam.open()
        else:
            self._beam.close()

    def _move_cw_shutter(self, wanted: HandSettings) -> None:
        shutter = self._by_role["cw_shutter"]
        self._settings = self._settings.changed("cw_open", 1.0)  # as above
        if wanted.cw_open:
            shutter.open()
        else:
            shutter.close()

    def _load_trigger(self, opened: Opened, wanted: HandSettings) -> None:
        program = trigger_program(wanted, self._bench, cast(Facts, self._facts))
        if program is not None:
            opened.instruments.by_role["laser_trigger"].load(program)

    def _see_nothing_against(self, wish: SetByHand) -> None:
        """Ask everything once more before something is switched on; what an interlock says is a refusal then."""
        self._interlocks = None
        self._ask_all()
        try:
            self._demand(Interlocks(rules(self._bench, self._by_role)))
        except InterlockTripped as trip:
            if self._settings.anything_on:
                raise
            reason = Reason("interlock-tripped", trip.where, trip.what)
            raise refused_by_hand(wish, [reason], trip.next_step) from trip

    # --- looking

    def _look(self) -> None:
        """Ask every instrument, see that nothing is wrong, and tell."""
        try:
            self._ask_all()
            if not self._settings.anything_on:
                self._interlocks = None
                return
            if self._interlocks is None:
                self._interlocks = Interlocks(rules(self._bench, self._by_role))
            self._demand(self._interlocks)
        finally:
            self._say()

    def _ask_all(self) -> None:
        """Ask every instrument; one that can harm nobody may fail alone."""
        self._asked_ns = self._clock.now_ns()
        for role, instrument in self._by_role.items():
            known = self._known[role]
            try:
                told = self._ask(role, instrument)
                known.fault = False
            except RigError as error:
                known.error, known.fault = error.what, True
                if role in HAZARDS:
                    raise
                continue
            now_ns = self._clock.now_ns()
            known.live = {name: (value, now_ns) for name, value in told.items()}

    def _ask(self, role: str, instrument: Any) -> dict[str, float]:
        known, settings = self._known[role], self._settings
        told: dict[str, float] = {}
        told |= _live(instrument)
        if role == "voltage_source" and settings.output_on:
            reading = instrument.measure()
            told |= {"voltage_v": reading.voltage_v, "current_a": reading.current_a}
            known.detail = f"output on at {settings.voltage_v:g} V"
            demand_level(reading, settings.voltage_v)
        elif role == "voltage_source" or (role == "laser_trigger" and not self._beam.runs_free):
            found = instrument.read_safe()
            known.detail = found.detail
            _demand_off(role.replace("_", " "), found)
        elif role in SHUTTERS:
            is_open = settings.open if role == "shutter" else settings.cw_open
            found = SafeReadback(False, "open") if is_open else instrument.read_safe()
            known.detail = found.detail
            told["closed"] = float(found.safe)
        elif role == "attenuator":
            told["angle_deg"] = instrument.angle_deg()
        elif role == "filter_wheel":
            told["position"] = float(instrument.position())
        elif role == "energy_meter" and settings.open and self._beam.runs_free:
            pulse = instrument.measure(PULSE_S)
            told |= {} if pulse is None else {"pulse_energy_uj": pulse.energy_uj}
        errors = instrument.errors()
        if errors:
            known.error = "; ".join(errors)
        if role in QUEUES:
            told["errors_reported"] = float(len(errors))
        return told

    def _demand(self, interlocks: Interlocks) -> None:
        """See that the rules of the bench are kept by what was just told."""
        now_ns, state = self._clock.now_ns(), "on" if self._settings.level_v != 0 else "off"
        for role, instrument in self._by_role.items():
            live = self._known[role].live
            names = {*live, *(instrument.live_quantities if isinstance(instrument, Telling) else ())}
            for name in sorted(names):
                value = live[name][0] if name in live else None
                detail = self._known[role].error if name == "errors_reported" else ""
                interlocks.heed(role, name, value, now_ns, state, detail)
        for trip in interlocks.new():
            if trip.rule.policy == "note":
                self._note(f"monitor: {trip.words}")
        interlocks.demand(now_ns, asked=True)

    def _say(self, why: str = "", report: SafeReport | None = None) -> None:
        now_ns = self._clock.now_ns()
        self._tell(
            InstrumentStates(
                connected=self.connected,
                why=why,
                instruments=tuple(self._words(cast(RoleName, role), now_ns) for role in self._bench.roles()),
                hardware=() if report is None else hardware_words(report),
            )
        )

    def _words(self, role: RoleName, now_ns: int) -> InstrumentWords:
        known, on = self._known.get(role, _Known()), self.connected
        return InstrumentWords(
            role=role,
            model=getattr(self._bench, role).model,
            state=self._state(role, known),
            identity=known.identity,
            detail=known.detail if on else "",
            live=tuple(
                LiveWords(name=name, value=value if isfinite(value) else None, age_s=max(0.0, (now_ns - t_ns) * 1e-9))
                for name, (value, t_ns) in known.live.items()
            )
            if on
            else (),
            settings=settings_of(role, self._settings, self._bench, cast(Facts, self._facts)) if on else (),
            error=known.error,
        )

    def _state(self, role: RoleName, known: _Known) -> InstrumentState:
        if known.fault:
            return "fault"
        if not self.connected:
            return "not connected"
        lit = role in SHUTTERS and known.live.get("closed", (1.0, 0))[0] == 0.0
        return "armed" if lit or (role == "voltage_source" and self._settings.output_on) else "idle"

    # --- parts

    @property
    def _by_role(self) -> dict[str, Any]:
        return cast(dict[str, Any], self._open.instruments.by_role)

    @property
    def _open(self) -> Opened:
        if self._opened is None:
            raise RuntimeError("nothing is connected")
        return self._opened

    def _prepare(self, opened: Opened) -> None:
        instruments, bench = opened.instruments, self._bench
        self._settings, self._interlocks = HandSettings.of(bench), None
        self._known = {role: _Known(str(who)) for role, who in instruments.identities.items()}
        self._beam: PumpBeam = instruments.beam(bench)
        for line in opened.lifeline.guard(bench, bench.roles()):
            self._note(f"guard: {line}")
        opened.lifeline.watch(None)
        _, meter = prepare(instruments, bench, self._beam)
        require_calibrated(bench, serials(instruments, meter), simulated=self._session.simulated)
        exposure = ExposureProgram(round(bench.spectrometer.integration_time_s * 1e9), "software")
        instruments.by_role["spectrometer"].load(exposure)
        self._load_trigger(opened, self._settings)

    def _let_time_pass(self, opened: Opened) -> None:
        """Let the time of a simulated bench go on as fast as ours."""
        now_ns = self._clock.now_ns()
        passed_s, self._passed_ns = (now_ns - self._passed_ns) * 1e-9, now_ns
        if opened.world is not None:
            opened.clock.sleep(min(passed_s, LONGEST_SLICE_S))


def _live(instrument: object) -> dict[str, float]:
    return {one.name: one.value for one in instrument.live()} if isinstance(instrument, Telling) else {}


def hardware_words(report: SafeReport) -> tuple[HardwareWords, ...]:
    """Say what going safe achieved."""
    return tuple(
        HardwareWords(role=role, confirmation=how.name, detail=detail) for role, (how, detail) in report.instruments.items()
    )


def refused_by_hand(wish: SetByHand, reasons: list[Reason], next_step: str = "") -> RefusedError:
    """Make the error that a wish which cannot be fulfilled becomes."""
    what = f"{wish.role.replace('_', ' ')}: {wish.quantity} = {wish.value:g} is not set."
    return RefusedError(what, tuple(reasons), where=WHERE, next_step=next_step or "choose a value that the reasons allow")


def _demand_off(name: str, found: SafeReadback) -> None:
    """See that what nobody here has switched on is off."""
    if not found.safe:
        raise InstrumentError(
            f"The {name} is not at rest, although nobody here has switched it on: {found.detail}.",
            where=name,
            hardware_state="going safe",
            next_step="see who or what switched it on, at its front panel or over another connection, then connect again",
        )
