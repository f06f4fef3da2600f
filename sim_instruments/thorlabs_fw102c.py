"""The Thorlabs FW102C filter wheel, as its bytes and the light behind its filters show it.

Source: FW102C operating manual, table of keywords; what programs that drive real wheels expect: the framing
(`thorlabs_prompt`), the prompt after a move when it is over, the answer to `*idn?`.
Assumed: 0.6 s from one position to the next at high speed, 1.2 s at low speed; the shorter way round; lines that come during a
move wait for its end; position 1 after power-up; the other values at power-up (`DEFAULTS`). The arrow keys of a terminal, which
turn a real wheel, are no keywords here.
"""

from collections.abc import Callable, Sequence

from sim_instruments.catalogue import PersonaEntry, Surroundings
from sim_instruments.filter_wheel import FilterWheel
from sim_instruments.persona import Edges, OutputPulses
from sim_instruments.thorlabs_prompt import ARG_INVALID, NOT_DEFINED, Keywords, PromptLine

__all__ = ["KNOWINGLY_ABSENT", "PERSONA", "Fw102cPersona"]

BYTE_NS = 86_806  # 10 bits at 115200 baud
STEP_NS = {0: 1_200_000_000, 1: 600_000_000}  # from one position to the next, by speed
FILTERS = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)  # where a bench names none
WHEEL_SIZES = (6, 12)

DEFAULTS = {"trig": 0, "speed": 1, "sensors": 0, "baud": 1}
KEYWORDS = ("*idn?", "pos=", "pos?", "pcount=", "pcount?", *(f"{name}{end}" for name in DEFAULTS for end in ("=", "?")), "save")

KNOWINGLY_ABSENT: dict[str, str] = {
    "pcount=n": "kept, read back and obeyed by pos=n, but the wheel has as many positions as it has",
    "trig=0": "kept and read back, but nothing is cabled to the trigger connector: no edge turns the wheel",
    "trig=1": "kept and read back, but nothing is cabled to the trigger connector",
    "sensors=n": "kept and read back, but no stray light comes from the sensors",
    "baud=n": "kept and read back, but the line of the bench stays as fast as it is",
}


class Fw102cPersona:
    """One filter wheel, in position 1 at power-up.

    Parameters
    ----------
    filters    transmission engraved on the filters, from position 1 on; more than six make it a wheel of twelve
    identity   as `*idn?` shows it
    serial     as written on the wheel: fixes how far its filters are off
    wire_time  whether bytes take their time at 115200 baud
    """

    def __init__(
        self,
        filters: Sequence[float] = FILTERS,
        *,
        identity: str = "THORLABS FW102C/FW212C Filter Wheel version 1.07",
        serial: str = "TP01911",
        wire_time: bool = True,
    ) -> None:
        self.wheel = FilterWheel(filters, WHEEL_SIZES[len(filters) > WHEEL_SIZES[0]], serial)
        self._identity = identity
        self._stored = {**DEFAULTS, "pcount": self.wheel.positions}
        self._settings = dict(self._stored)
        self._position = 1
        self._arrival_ns: int | None = None  # of a move, whose prompt is owed
        self._line = PromptLine(BYTE_NS if wire_time else 0)
        self._now_ns = 0
        verbs: dict[str, Callable[[], str | None]] = {
            "*idn?": lambda: self._identity,
            "pos?": lambda: str(self._position),
            "save": self._store,
        }
        self._keywords = Keywords(verbs, self._set)

    # --- the Persona protocol -----------------------------------------------------------------------------------------

    def run_until(self, t_ns: int) -> dict[str, OutputPulses]:
        """Execute what is due, in order; nothing leaves it."""
        while (due_ns := self._next_event_ns()) is not None and due_ns <= t_ns:
            self._now_ns = due_ns
            if self._arrival_ns is not None:
                self._arrival_ns = None
                self._line.hold(due_ns)
                self._line.prompt(due_ns)
            else:
                self._answer(self._line.next_line(due_ns))
        self._now_ns = t_ns
        return {}

    def receive_edges(self, connector: str, edges: Edges) -> None:
        """Raise KeyError: its trigger connector is not cabled."""
        raise KeyError(connector)

    def receive(self, data: bytes, t_ns: int) -> None:
        """Bytes arrive from `t_ns` on, in any segmentation."""
        self._line.receive(data, t_ns)

    def reply_ready_ns(self, t_ns: int) -> int | None:
        """When the next answer is there; for a line not yet executed, or a move, when that will be."""
        if self._line.replies:
            return self._line.replies.ready_ns
        due_ns = self._next_event_ns()
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

    def press_button(self, t_ns: int) -> None:
        """Somebody presses the button on the wheel: it goes on by one position, at once; during a move nothing happens."""
        if self._arrival_ns is None:
            self._now_ns = t_ns
            self._move(self._position % self._settings["pcount"] + 1)
            self._arrival_ns = None  # nobody is owed a prompt

    # --- lines --------------------------------------------------------------------------------------------------------

    def _next_event_ns(self) -> int | None:
        return self._line.due_ns if self._arrival_ns is None else self._arrival_ns

    def _answer(self, line: bytes) -> None:
        value = self._keywords.execute(line, self._settings)
        self._line.answer(line, value, self._now_ns, prompt=self._arrival_ns is None)

    def _set(self, name: str, argument: str) -> str | None:
        if name != "pos" and name not in self._settings:
            return NOT_DEFINED
        if not (argument.isascii() and argument.isdecimal() and len(argument) <= 2):
            return ARG_INVALID
        value = int(argument)
        if name == "pos":
            possible = 1 <= value <= self._settings["pcount"]
        else:
            possible = value in (WHEEL_SIZES if name == "pcount" else (0, 1))
        if not possible:
            return ARG_INVALID
        if name == "pos":
            self._move(value)
        else:
            self._settings[name] = value
        return None

    def _store(self) -> None:
        self._stored = dict(self._settings)

    def _move(self, position: int) -> None:
        """Turn the shorter way; where it stands already it does not move."""
        whole = self.wheel.positions
        forward = (position - self._position) % whole
        places = forward if 2 * forward <= whole else forward - whole
        self._position = position
        if places:
            self._arrival_ns = self._now_ns + abs(places) * STEP_NS[self._settings["speed"]]
            self.wheel.turn(self._now_ns, self._arrival_ns, places)


def _make(around: Surroundings) -> Fw102cPersona:
    persona = Fw102cPersona(around.settings.get("transmission", FILTERS), wire_time=around.wire_time)
    around.beam.filters.append(persona.wheel)
    return persona


PERSONA = PersonaEntry("thorlabs-fw102c", "filter_wheel", _make, "ASRL/dev/ttyUSB3::INSTR")
