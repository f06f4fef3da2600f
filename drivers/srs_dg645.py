"""Stanford Research DG645 delay generator: properties in PyMeasure's idiom, and the role LaserTrigger on top of them.

Source of commands, limits and errors: DG645 operating manual, remote programming, unless said otherwise.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

from pymeasure.adapters import Adapter
from pymeasure.instruments import Channel as InstrumentChannel
from pymeasure.instruments import Instrument
from pymeasure.instruments.validators import strict_range

from drivers.errors import InstrumentError, Reason, RefusedError
from drivers.link import regain, send_now
from drivers.registry import DriverEntry
from drivers.roles import BurstProgram, Channel, Identity, PulseOutput, SafeReadback
from drivers.scpi import (
    Fenced,
    drain_errors,
    integer,
    number,
    parse_identity,
    prove,
    register,
    require_no_errors,
    set_and_confirm,
    switch,
)

OUTPUTS: dict[Channel, int] = {"T0": 0, "AB": 1, "CD": 2, "EF": 3, "GH": 4}  # numbers in LAMP, LOFF, LPOL
EDGES: dict[str, tuple[int, int]] = {"AB": (2, 3), "CD": (4, 5), "EF": (6, 7), "GH": (8, 9)}  # numbers in DLAY
T0_EDGE = 0
EXTERNAL_ONCE, SINGLE_SHOT = 3, 5  # *TRG arms for the next rising edge at EXT; *TRG fires. Source: manual, TSRC and *TRG
EXT_THRESHOLD_V = 1.0  # TTL and logic into 50 ohm alike
STATUS_RUNNING = 1 << 1 | 1 << 2  # BUSY: a cycle runs; BURST: a burst runs
LEVEL_MIN_V, LEVEL_MAX_V = 0.5, 5.0  # into 50 ohm; doubles into a high impedance
DELAY_MAX_S = 1999.999999999995
DELAY_STEP_S = 5e-12
LEVEL_TOLERANCE_V = 1e-3  # levels are sent in the instrument's steps of 10 mV
BURST_PERIOD_MIN_S, BURST_PERIOD_MAX_S, BURST_PERIOD_STEP_S = 100e-9, 2000 - 10e-9, 10e-9
RECOVERY_NS = 100  # between the longest delay and the next cycle
BURST_COUNT_MAX = 2**32 - 1
PARKED_V = LEVEL_MIN_V  # the least a level can be; below every logic threshold into 50 ohm

ERRORS = {
    10: "Illegal Value",
    11: "Illegal Mode",
    12: "Illegal Delay",
    13: "Illegal Link",
    14: "Recall Failed",
    15: "Not Allowed",
    16: "Failed Self Test",
    17: "Failed Auto Calibration",
    30: "Lost Data",
    32: "No Listener",
    110: "Illegal Command",
    111: "Undefined Command",
    112: "Illegal Query",
    113: "Illegal Set",
    114: "Null Parameter",
    115: "Extra Parameters",
    116: "Missing Parameters",
    117: "Parameter Overflow",
    118: "Invalid Floating Point Number",
    120: "Invalid Integer",
    121: "Integer Overflow",
    122: "Invalid Hexadecimal",
    126: "Syntax Error",
    170: "Communication Error",
    171: "Over run",
    254: "Too Many Errors",
}


def _level(mnemonic: str, docs: str, low: float, high: float, form: str = "%.2f") -> Any:
    return Instrument.control(
        f"{mnemonic}?{{ch}}", f"{mnemonic} {{ch}},{form}", docs, validator=strict_range, values=(low, high)
    )


class Output(Fenced, InstrumentChannel):
    """One output: its level, and (all but T0) its two delayed edges. The id is 'T0', 'AB', 'CD', 'EF' or 'GH'."""

    amplitude_v = _level("LAMP", "Control the step height (V into 50 ohm, strictly 0.5 to 5.0).", LEVEL_MIN_V, LEVEL_MAX_V)
    offset_v = _level("LOFF", "Control the idle level of a positive pulse (V into 50 ohm, strictly -2.0 to 2.0).", -2.0, 2.0)
    positive = _level("LPOL", "Control the polarity (1 positive pulse, 0 negative pulse).", 0, 1, "%d")

    prescale = _level("PRES", "Control how many triggers make one pulse (1 to 65535; on T0: one cycle).", 1, 65535, "%d")
    phase = _level("PHAS", "Control which of them makes it (0 to 65534; not on T0).", 0, 65534, "%d")

    def insert_id(self, command: str) -> str:
        """Put the number of the output into a command."""
        return command.format(ch=OUTPUTS[cast(Channel, self.id)])

    @property
    def delay_s(self) -> float:
        """Control the delay of the leading edge after T0 (s, strictly 0 to 1999.999...); NaN if it follows another edge."""
        lead, _ = self._edges()
        return self._delay(lead, T0_EDGE)

    @delay_s.setter
    def delay_s(self, value: float) -> None:
        lead, _ = self._edges()
        self.write(f"DLAY {lead},{T0_EDGE},{strict_range(value, (0.0, DELAY_MAX_S)):.12f}")

    @property
    def width_s(self) -> float:
        """Control the time from the leading to the trailing edge (s, strictly 0 to 1999.999...); NaN if they are unrelated."""
        lead, trail = self._edges()
        return self._delay(trail, lead)

    @width_s.setter
    def width_s(self, value: float) -> None:
        lead, trail = self._edges()
        self.write(f"DLAY {trail},{lead},{strict_range(value, (0.0, DELAY_MAX_S)):.12f}")

    def _edges(self) -> tuple[int, int]:
        if self.id not in EDGES:
            raise ValueError(f"output {self.id} has no edges of its own: it starts every cycle")
        return EDGES[str(self.id)]

    def _delay(self, edge: int, reference: int) -> float:
        found, delay_s = self.numbers(f"DLAY?{edge}", 2)
        return delay_s if found == reference else math.nan


class Dg645(Fenced, Instrument):
    """Stanford Research DG645 as the clock of a bench: counted bursts, each started by one software trigger.

    Parameters
    ----------
    adapter  a `drivers.link.Link`, or anything PyMeasure takes (then without fences)
    """

    # the first line end closes a message that was cut off before it; single shot, no burst: a running burst is aborted
    off_message: bytes = b"\nTSRC 5;BURM 0\n"

    outputs = Instrument.MultiChannelCreator(cast(Any, Output), cast(Any, list(OUTPUTS)), prefix="output_")

    def __init__(self, adapter: Adapter | str | int, name: str = "SRS DG645", **kwargs: Any) -> None:
        kwargs.setdefault("read_termination", "\r\n")
        kwargs.setdefault("write_termination", "\n")
        super().__init__(adapter, name, includeSCPI=False, **kwargs)
        self._program: BurstProgram | None = None
        self._armed = False
        self._identity: Identity | None = None

    # --- settings

    trigger_source = integer(
        "TSRC",
        "Control the trigger source (0 internal, 1/2 external rising/falling, 3/4 the same once, 5 single shot, 6 line).",
        0,
        6,
    )
    trigger_rate_hz = number("TRAT", "Control the internal rate (Hz, strictly 1e-4 to 1e7).", 1e-4, 1e7, "%.6f")
    trigger_level_v = number("TLVL", "Control the external threshold (V, strictly -3.5 to 3.5).", -3.5, 3.5, "%.2f")
    inhibit = integer("INHB", "Control what the INHIBIT input blocks (0 nothing, 1 triggers, 2 AB, 3 +CD, 4 +EF, 5 +GH).", 0, 5)
    advanced_triggering = switch("ADVT", "Control whether prescalers and holdoff work (bool).")
    holdoff_s = number("HOLD", "Control the time before the next trigger counts (s, strictly 0 to 1999).", 0, 1999, "%.12f")
    burst_mode = switch("BURM", "Control whether a trigger starts a burst (bool).")
    burst_count = integer("BURC", "Control the cycles in a burst (1 to 4294967295).", 1, BURST_COUNT_MAX)
    burst_period_s = number(
        "BURP", "Control the time between cycles (s, strictly 1e-7 to 2000).", BURST_PERIOD_MIN_S, BURST_PERIOD_MAX_S, "%.8f"
    )
    burst_delay_s = number("BURD", "Control the wait before the first cycle (s, strictly 0 to 2000).", 0, 2000, "%.12f")
    burst_t0_first_only = switch("BURT", "Control whether T0 marks only the first cycle of a burst (bool).")

    # --- status

    status_byte = register("*STB", "Get the status byte (bits: 1 cycle runs, 2 burst runs, 4 message, 5 event).")
    event_status = register("*ESR", "Get and clear the standard event register (0 to 255).")
    instrument_status = register("INSR", "Get and clear the instrument register (bits: 0 trigger, 1 rate, 3 end of burst).")
    last_error = register("LERR", "Get and remove the oldest error code (0 when there is none).")

    # --- actions

    def clear(self) -> None:
        """Clear the event registers."""
        self.write("*CLS")

    def reset(self) -> None:
        """Restore defaults: single shot, no burst, 10 ns pulses; interfaces stay."""
        self._program, self._armed = None, False  # the outputs are not as they were loaded any more
        self.write("*RST")

    def shutdown(self) -> None:
        """Stop, write-only."""
        self.make_safe()
        super().shutdown()

    def check_errors(self) -> list[str]:
        """Empty the error queue and return it."""
        return self.errors()

    # --- role LaserTrigger

    def identify(self) -> Identity:
        """Ask who answers.

        Raises
        ------
        WrongIdentity  it is not a DG645, or not the one that answered before
        """
        self._regain()
        self._identity = self._ask_identity()
        return self._identity

    def prepare(self) -> None:
        """Stop, reset, confirm single-shot mode; errors from before are dropped.

        Raises
        ------
        ReadbackMismatch  the trigger source is not single shot
        InstrumentError   the instrument reported errors
        """
        self.make_safe()
        self._regain()
        self.clear()
        self.errors()
        self.reset()
        set_and_confirm(self, self.name, "trigger_source", SINGLE_SHOT)
        require_no_errors(self.errors(), self.name, "it was prepared")

    def load(self, program: BurstProgram) -> None:
        """Load period, outputs, burst mode and what starts a burst, each read back; outputs without a pulse are parked.

        Nothing fires: an external edge counts only once fire() has armed for it. An output cannot be switched off: a parked one
        has the smallest level and no width. A program that is loaded already has its outputs left alone.

        Raises
        ------
        RefusedError      the program is impossible for this model; nothing was sent
        ReadbackMismatch  a setting is not as set
        InstrumentError   the instrument reported errors
        """
        self._refuse(_check(program))
        known, self._program, self._armed = self._program, None, False
        set_and_confirm(self, self.name, "trigger_source", SINGLE_SHOT)
        if program != known:  # what was read back once and not touched since need not delay every block
            set_and_confirm(self, self.name, "advanced_triggering", False)
            pulses = {pulse.channel: pulse for pulse in program.outputs}
            for channel, output in cast(dict[Channel, Output], self.outputs).items():
                self._load_output(output, channel, pulses.get(channel))
        set_and_confirm(self, self.name, "burst_mode", True)
        set_and_confirm(self, self.name, "burst_period_s", program.period_ns * 1e-9, BURST_PERIOD_STEP_S / 2)
        set_and_confirm(self, self.name, "burst_delay_s", 0.0)
        set_and_confirm(self, self.name, "burst_t0_first_only", program.t0_on_first_shot_only)
        if program.start == "external_edge":
            set_and_confirm(self, self.name, "trigger_level_v", EXT_THRESHOLD_V, LEVEL_TOLERANCE_V)
            set_and_confirm(self, self.name, "trigger_source", EXTERNAL_ONCE)
        require_no_errors(self.errors(), self.name, "a burst was loaded")
        self._program = program

    def arm(self, shots: int) -> None:
        """Set the length of the next burst (shots, 1 to 4294967295); nothing fires.

        Raises
        ------
        RefusedError      no such number of shots; nothing was sent
        ReadbackMismatch  the length is not as set
        InstrumentError   nothing is loaded, or a burst runs (a setting would abort it)
        """
        if not 1 <= shots <= BURST_COUNT_MAX:
            self._refuse([Reason("burst-length-impossible", "shots", f"{shots} shots; a burst has 1 to {BURST_COUNT_MAX}")])
        if self._program is None:
            raise InstrumentError(f"{self.name} has nothing loaded to arm.", where=self.name, next_step="load() a program")
        if self.busy():
            raise InstrumentError(
                f"{self.name} still runs a burst; a new length would abort it.",
                where=self.name,
                hardware_state="burst running",
                next_step="wait until busy() is over, or make_safe()",
            )
        set_and_confirm(self, self.name, "burst_count", shots)
        self._armed = True

    def fire(self) -> None:
        """Start the armed burst, or arm for the edge at EXT that starts it; arm() again before the next.

        Raises
        ------
        InstrumentError  not armed: after going safe a trigger would still make one cycle
        """
        if not self._armed:
            raise InstrumentError(f"{self.name} is not armed; nothing was fired.", where=self.name, next_step="arm() it first")
        self._armed = False
        self.write("*TRG")

    def busy(self) -> bool:
        """Ask whether a cycle or a burst is running."""
        return bool(self.status_byte & STATUS_RUNNING)

    def errors(self) -> list[str]:
        """Empty the error queue and return it, oldest first."""
        return drain_errors(lambda: (code := self.last_error, ERRORS.get(code, "")), self.name)

    def make_safe(self) -> None:
        """Send stop, write-only: single shot, no burst. A running burst is aborted."""
        self._armed = False
        send_now(self.adapter, self.off_message)

    def read_safe(self) -> SafeReadback:
        """Ask whether the generator waits for a software trigger and no burst runs."""
        self._regain()
        source, running = self.trigger_source, self.busy()
        detail = (
            f"trigger source {source}{' (single shot)' if source == SINGLE_SHOT else ''}, {'RUNNING' if running else 'stopped'}"
        )
        return SafeReadback(source == SINGLE_SHOT and not running, detail)

    # --- parts

    def _ask_identity(self) -> Identity:
        return DRIVER.require(self.asked("*IDN?", parse_identity))

    def _regain(self) -> None:
        if regain(self.adapter, lambda: prove(self, self._ask_identity, self._identity)):
            # it may have been off in between: what was loaded is not to be relied on
            self._program, self._armed = None, False

    def _load_output(self, output: Output, channel: Channel, pulse: PulseOutput | None) -> None:
        where = f"{self.name} output {channel}"
        amplitude_v = PARKED_V if pulse is None else _amplitude_v(pulse)
        set_and_confirm(output, where, "amplitude_v", amplitude_v, LEVEL_TOLERANCE_V)
        set_and_confirm(output, where, "offset_v", 0.0)
        set_and_confirm(output, where, "positive", 1 if pulse is None else int(pulse.positive))
        if channel in EDGES:
            delay_ns, width_ns = (0, 0) if pulse is None else (pulse.delay_ns, pulse.width_ns)
            set_and_confirm(output, where, "delay_s", delay_ns * 1e-9, DELAY_STEP_S)
            set_and_confirm(output, where, "width_s", width_ns * 1e-9, DELAY_STEP_S)

    def _refuse(self, reasons: Sequence[Reason]) -> None:
        if reasons:
            raise RefusedError(f"{self.name} refuses what it was given; nothing was sent.", tuple(reasons), where=self.name)


def _amplitude_v(pulse: PulseOutput) -> float:
    return round(pulse.level_v / 2 if pulse.high_z else pulse.level_v, 2)


def _check(program: BurstProgram) -> list[Reason]:
    reasons: list[Reason] = []

    def refuse(code: str, where: str, message: str) -> None:
        reasons.append(Reason(code, where, message))

    channels = [pulse.channel for pulse in program.outputs]
    period_s = program.period_ns * 1e-9
    if not BURST_PERIOD_MIN_S <= period_s <= BURST_PERIOD_MAX_S:
        refuse("period-impossible", "period_ns", f"{program.period_ns} ns is not between 100 ns and 2000 s")
    for pulse in program.outputs:
        if channels.count(pulse.channel) > 1:
            refuse("output-twice", pulse.channel, "an output makes one pulse per shot")
        if not LEVEL_MIN_V <= _amplitude_v(pulse) <= LEVEL_MAX_V:
            refuse(
                "level-impossible",
                pulse.channel,
                f"{pulse.level_v:g} V at the input is {_amplitude_v(pulse):g} V into 50 ohm; the output gives 0.5 to 5 V",
            )
        if pulse.channel == "T0":
            if pulse.delay_ns != 0:
                refuse("delay-impossible", pulse.channel, "T0 starts every cycle and has no delay of its own")
        elif not (0 <= pulse.delay_ns and 0 < pulse.width_ns):
            refuse("delay-impossible", pulse.channel, f"{pulse.width_ns} ns at {pulse.delay_ns} ns after the shot's start")
        elif not pulse.delay_ns + pulse.width_ns + RECOVERY_NS <= program.period_ns:
            refuse(
                "pulse-outlasts-period",
                pulse.channel,
                f"the pulse ends {pulse.delay_ns + pulse.width_ns} ns after the shot's start, "
                f"the next shot comes at {program.period_ns} ns and needs {RECOVERY_NS} ns before it",
            )
    return reasons


DRIVER = DriverEntry(
    model="srs-dg645",
    role="laser_trigger",
    identity=r"Stanford Research Systems,DG645\b",
    build=Dg645,
    read_termination="\r\n",
)
