"""The Thorlabs SC10 shutter controller with a beam shutter, as its bytes and the light behind the blades show it.

Source: SC10 operating manual, keyword table (keywords, ranges, modes), and what InstrumentKit and Micro-Manager send and
expect (the framing: `thorlabs_prompt`).
Assumed: a set command is answered by echo and prompt only; `closed?` says 1 only when the blades have come to rest; a tripped
interlock closes and disables, `ens` does nothing until it is whole again; setting mode or trigger disables; the values at
power-up (`DEFAULTS`); `savp` does what `save` does.
"""

from collections import deque
from collections.abc import Callable

from sim_instruments.catalogue import PersonaEntry, Surroundings
from sim_instruments.persona import Edges, OutputPulses
from sim_instruments.shutter import Blades
from sim_instruments.thorlabs_prompt import ARG_INVALID, NOT_DEFINED, Keywords, PromptLine

__all__ = ["KNOWINGLY_ABSENT", "PERSONA", "Sc10Persona"]

BYTE_NS = 1_041_667  # 10 bits at 9600 baud
MANUAL, AUTO, SINGLE, REPEAT, GATE = 1, 2, 3, 4, 5
NS_PER_MS = 1_000_000

DEFAULTS = {"mode": MANUAL, "trig": 0, "xto": 0, "open": 500, "shut": 500, "rep": 1, "baud": 0}
RANGES = {
    "mode": (1, 5),
    "trig": (0, 1),
    "xto": (0, 1),
    "open": (0, 999_999),
    "shut": (0, 999_999),
    "rep": (1, 99),
    "baud": (0, 1),
}
KEYWORDS = (
    "id?",
    "ens",
    "ens?",
    *(f"{name}{end}" for name in DEFAULTS for end in ("=", "?")),
    "closed?",
    "interlock?",
    "save",
    "savp",
    "resp",
    "?",
)

KNOWINGLY_ABSENT: dict[str, str] = {
    "trig=1": "kept and read back, but nothing is cabled to the trigger input: what is enabled waits for good",
    "mode=5": "kept and read back, but nothing is cabled to the gate input: the shutter stays closed",
    "xto=n": "kept and read back, but nothing is cabled to the trigger output",
    "baud=n": "kept and read back, but the line of the bench stays as fast as it is",
}


class Sc10Persona:
    """One SC10 with its shutter, closed and disabled at power-up.

    Parameters
    ----------
    identity   as `id?` shows it
    wire_time  whether bytes take their time at 9600 baud
    """

    def __init__(self, *, identity: str = "THORLABS SC10 VERSION 1.07", wire_time: bool = True) -> None:
        self.blades = Blades()
        self._identity = identity
        self._settings = dict(DEFAULTS)
        self._stored = dict(DEFAULTS)
        self._enabled = False
        self._told_open = False
        self._tripped = False
        self._steps: deque[tuple[int, bool]] = deque()  # of a sequence: when, and whether to open
        self._repeats_left: int | None = None  # of the running sequence, None: without end
        self._line = PromptLine(BYTE_NS if wire_time else 0)
        self._now_ns = 0
        verbs: dict[str, Callable[[], str | None]] = {
            "?": lambda: "\r".join(KEYWORDS),
            "id?": lambda: self._identity,
            "ens": self._toggle,
            "ens?": lambda: str(int(self._enabled)),
            "closed?": lambda: str(int(self.blades.closed(self._now_ns))),
            "interlock?": lambda: str(int(self._tripped)),
            "save": self._store,
            "savp": self._store,
            "resp": self._restore,
        }
        self._keywords = Keywords(verbs, self._set)

    # --- the Persona protocol -----------------------------------------------------------------------------------------

    def run_until(self, t_ns: int) -> dict[str, OutputPulses]:
        """Execute what is due, in order; nothing leaves it but light."""
        while (due_ns := self._next_event_ns()) is not None and due_ns <= t_ns:
            self._now_ns = due_ns
            if self._steps and self._steps[0][0] <= due_ns:
                self._step()
            else:
                line = self._line.next_line(due_ns)
                self._line.answer(line, self._keywords.execute(line, self._settings), due_ns)
        self._now_ns = t_ns
        return {}

    def receive_edges(self, connector: str, edges: Edges) -> None:
        """Raise KeyError: its trigger input is not cabled."""
        raise KeyError(connector)

    def receive(self, data: bytes, t_ns: int) -> None:
        """Bytes arrive from `t_ns` on, in any segmentation."""
        self._line.receive(data, t_ns)

    def reply_ready_ns(self, t_ns: int) -> int | None:
        """When the next answer is there; for a line not yet executed, when that will be."""
        if self._line.replies:
            return self._line.replies.ready_ns
        due_ns = self._line.due_ns
        return None if due_ns is None else max(due_ns, t_ns + 1)

    @property
    def reply_is_sent(self) -> bool:
        """Whether the next answer is on the line already."""
        return bool(self._line.replies)

    def take(self, max_bytes: int, t_ns: int) -> tuple[bytes, bool]:
        """Take bytes of the first answer that is ready; the flag says that they end it."""
        return self._line.replies.take(max_bytes, t_ns)

    def device_clear(self, t_ns: int) -> None:
        """Do nothing: a serial line has no device clear."""

    # --- what happens to it besides bytes -----------------------------------------------------------------------------

    def press_enable(self, t_ns: int) -> None:
        """Somebody presses the ENABLE button at the front panel."""
        self._now_ns = t_ns
        self._toggle()

    def set_interlock(self, t_ns: int, *, tripped: bool) -> None:
        """Open the interlock circuit, or close it again; closing it enables nothing."""
        self._now_ns, self._tripped = t_ns, tripped
        if tripped:
            self._disable()

    # --- lines --------------------------------------------------------------------------------------------------------

    def _set(self, name: str, argument: str) -> str | None:
        if name not in RANGES:
            return NOT_DEFINED
        low, high = RANGES[name]
        if not (argument.isascii() and argument.isdecimal() and len(argument) <= 6 and low <= int(argument) <= high):
            return ARG_INVALID
        if name in ("mode", "trig"):
            self._disable()
        self._settings[name] = int(argument)
        return None

    def _store(self) -> None:
        self._stored = dict(self._settings)

    def _restore(self) -> None:
        self._disable()
        self._settings = dict(self._stored)

    # --- the shutter --------------------------------------------------------------------------------------------------

    def _next_event_ns(self) -> int | None:
        step_ns = self._steps[0][0] if self._steps else None
        return min((t for t in (self._line.due_ns, step_ns) if t is not None), default=None)

    def _toggle(self) -> None:
        if self._enabled:
            self._disable()
        elif not self._tripped:
            self._enable()

    def _enable(self) -> None:
        self._enabled = True
        mode = self._settings["mode"]
        if mode == MANUAL:
            self._tell(to_open=True)
        elif mode != GATE and not self._settings["trig"]:
            self._repeats_left = {AUTO: None, SINGLE: 1, REPEAT: self._settings["rep"]}[mode]
            self._steps.append((self._now_ns, True))

    def _disable(self) -> None:
        self._enabled = False
        self._steps.clear()
        self._tell(to_open=False)

    def _tell(self, *, to_open: bool) -> None:
        if to_open != self._told_open:
            self._told_open = to_open
            self.blades.move(self._now_ns, to_open=to_open)

    def _step(self) -> None:
        """Open, or close, as the running sequence says, and plan what follows."""
        t_ns, to_open = self._steps.popleft()
        self._tell(to_open=to_open)
        if to_open:
            self._steps.append((t_ns + max(1, self._settings["open"]) * NS_PER_MS, False))
            return
        if self._repeats_left is not None:
            self._repeats_left -= 1
        if self._repeats_left == 0:
            self._enabled = False
        else:
            self._steps.append((t_ns + max(1, self._settings["shut"]) * NS_PER_MS, True))


def _make(around: Surroundings) -> Sc10Persona:
    persona = Sc10Persona(wire_time=around.wire_time)
    around.beam.elements.append(persona.blades)
    return persona


PERSONA = PersonaEntry("thorlabs-sc10", "shutter", _make, "ASRL/dev/ttyUSB1::INSTR")
