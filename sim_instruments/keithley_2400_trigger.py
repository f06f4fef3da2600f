"""The two trigger layers of a Keithley 2400: when it sources, waits and measures.

idle -> arm layer -> trigger layer -> (detect, source, detect, delay, detect, measure) x count -> arm layer -> idle.
Source: 2400S-900-01 rev K, section 11, figure 11-3.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from sim_instruments.keithley_2400_settings import Settings
from sim_instruments.keithley_2400_status import OPER_ARM, OPER_IDLE, OPER_SWEEPING, OPER_TRIGGER


class Phase(Enum):
    """Where in the trigger model the instrument is."""

    IDLE = auto()
    ARM = auto()
    SOURCE_DETECT = auto()
    SOURCE = auto()
    DELAY_DETECT = auto()
    DELAY = auto()
    SENSE_DETECT = auto()
    MEASURE = auto()
    OVERHEAD = auto()


class Cycle(Protocol):
    """What the trigger model makes the instrument do, and how long that takes."""

    settings: Settings

    def duration_ns(self, phase: Phase) -> int:
        """How long a timed phase lasts (ns)."""
        ...

    def enter_layer(self, t_ns: int) -> None:
        """The trigger layer is entered."""
        ...

    def leave_layer(self, t_ns: int) -> None:
        """The trigger layer is left, by count or by force."""
        ...

    def source(self, t_ns: int) -> bool:
        """Put out the next level; True asks for the end of the sweep."""
        ...

    def measure(self, t_ns: int) -> bool:
        """Take a reading; True asks for the end of the sweep."""
        ...

    def pulse(self, line: int, t_ns: int) -> None:
        """Send a pulse on a trigger-link line."""
        ...


_NEXT = {
    Phase.SOURCE_DETECT: Phase.SOURCE,
    Phase.SOURCE: Phase.DELAY_DETECT,
    Phase.DELAY_DETECT: Phase.DELAY,
    Phase.DELAY: Phase.SENSE_DETECT,
    Phase.SENSE_DETECT: Phase.MEASURE,
    Phase.MEASURE: Phase.OVERHEAD,
}
_DETECTED = {Phase.SOURCE_DETECT: "SOUR", Phase.DELAY_DETECT: "DEL", Phase.SENSE_DETECT: "SENS"}
_ANNOUNCED = {Phase.SOURCE: "SOUR", Phase.DELAY: "DEL", Phase.MEASURE: "SENS"}
_BYPASSABLE = ("TLIN", "NST", "PST", "BST")


@dataclass
class TriggerModel:
    """State of both layers.

    Parameters
    ----------
    cycle   the instrument that is driven
    phase   where it is; `due_ns` is when it moves on by itself, None while it waits for an event
    line    trigger-link line it waits for
    latches lines on which an edge came that nobody waited for; the next wait for such a line ends at once
    """

    cycle: Cycle
    phase: Phase = Phase.IDLE
    due_ns: int | None = None
    line: int | None = None
    latches: set[int] = field(default_factory=set[int])
    arms_left: float = 0
    triggers_left: int = 0
    armed_ns: int | None = None
    bypass: bool = False

    @property
    def running(self) -> bool:
        """Get whether the instrument is not idle."""
        return self.phase is not Phase.IDLE

    @property
    def endless(self) -> bool:
        """Get whether only a command can bring it back to idle."""
        return self.running and self.arms_left == float("inf")

    @property
    def in_trigger_layer(self) -> bool:
        """Get whether it is past the arm layer."""
        return self.running and self.phase is not Phase.ARM

    def condition(self) -> int:
        """Return the operation condition register."""
        if not self.running:
            return OPER_IDLE
        bits = OPER_ARM if self.phase is Phase.ARM else 0
        bits |= OPER_TRIGGER if self.phase in _DETECTED and self.due_ns is None else 0
        return bits | (OPER_SWEEPING if self.cycle.settings.source_mode != "FIX" else 0)

    # --- events from outside

    def start(self, t_ns: int) -> None:
        """Leave idle."""
        self.arms_left = self.cycle.settings.arm_count
        self.armed_ns = None
        self._enter_arm(t_ns, first=True)

    def abort(self, t_ns: int) -> None:
        """Return to idle from anywhere; latches stay."""
        if self.in_trigger_layer:
            self.cycle.leave_layer(t_ns)
        self._enter(Phase.IDLE, None)

    def edge(self, line: int, t_ns: int) -> None:
        """A falling edge on a trigger-link line."""
        if self.line == line:
            self.line, self.due_ns = None, t_ns
        else:
            self.latches.add(line)

    def bus(self, t_ns: int) -> bool:
        """A bus trigger; False when nobody waited for it."""
        if self.phase is Phase.ARM and self.due_ns is None and self.cycle.settings.arm_source == "BUS":
            self.due_ns = t_ns
            return True
        return False

    def proceed(self) -> None:
        """Do what is due at `due_ns`."""
        t_ns = self.due_ns
        if t_ns is None:
            return
        phase, settings = self.phase, self.cycle.settings
        if phase is Phase.ARM:
            self._enter_layer(t_ns)
        elif phase is Phase.OVERHEAD:
            self._count(t_ns)
        else:
            stop = (phase is Phase.SOURCE and self.cycle.source(t_ns)) or (phase is Phase.MEASURE and self.cycle.measure(t_ns))
            if _ANNOUNCED.get(phase) in settings.trig_output:
                self.cycle.pulse(settings.trig_output_line, t_ns)
            if stop:
                self.abort(t_ns)
            else:
                self._enter(_NEXT[phase], t_ns)

    # --- the layers

    def _enter_arm(self, t_ns: int, first: bool) -> None:
        settings = self.cycle.settings
        source = settings.arm_source
        bypassed = first and settings.arm_direction == "SOUR" and source in _BYPASSABLE
        self._enter(Phase.ARM, None)
        if source == "IMM" or bypassed:
            self.due_ns = t_ns
        elif source == "TIM":
            interval_ns = round(settings.arm_timer_s * 1e9)
            self.due_ns = t_ns if self.armed_ns is None else max(t_ns, self.armed_ns + interval_ns)
            self.armed_ns = self.due_ns
        elif source == "TLIN":
            self._await(settings.arm_input_line, t_ns)

    def _enter_layer(self, t_ns: int) -> None:
        settings = self.cycle.settings
        if "TENT" in settings.arm_output:
            self.cycle.pulse(settings.arm_output_line, t_ns)
        self.triggers_left = settings.trig_count
        self.bypass = settings.trig_direction == "SOUR"
        self.cycle.enter_layer(t_ns)
        self._enter(Phase.SOURCE_DETECT, t_ns)

    def _enter(self, phase: Phase, t_ns: int | None) -> None:
        self.phase, self.line, self.due_ns = phase, None, t_ns
        if t_ns is None:
            return
        settings = self.cycle.settings
        event = _DETECTED.get(phase)
        if event is None:
            self.due_ns = t_ns + self.cycle.duration_ns(phase)
        elif settings.trig_source == "TLIN" and event in settings.trig_input and not (event == "SOUR" and self.bypass):
            self._await(settings.trig_input_line, t_ns)
        if phase is Phase.SOURCE_DETECT:
            self.bypass = False

    def _await(self, line: int, t_ns: int) -> None:
        if line in self.latches:
            self.latches.discard(line)
            self.due_ns = t_ns
        else:
            self.line, self.due_ns = line, None

    def _count(self, t_ns: int) -> None:
        self.triggers_left -= 1
        if self.triggers_left > 0:
            self._enter(Phase.SOURCE_DETECT, t_ns)
            return
        self.cycle.leave_layer(t_ns)
        if "TEX" in self.cycle.settings.arm_output:
            self.cycle.pulse(self.cycle.settings.arm_output_line, t_ns)
        self.arms_left -= 1
        if self.arms_left > 0:
            self._enter_arm(t_ns, first=False)
        else:
            self._enter(Phase.IDLE, None)
