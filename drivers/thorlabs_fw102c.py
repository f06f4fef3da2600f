"""Thorlabs FW102C filter wheel: its lines, and the role FilterWheel on top of them.

Source: FW102C operating manual, table of keywords; Odemis, for the framing (`thorlabs_prompt`; after a move the prompt comes
when it is over) and for the words of an error. What an external trigger does (in input mode an edge turns the wheel on): from
memory, unverified.
"""

import re
from typing import Any

from pymeasure.adapters import Adapter
from pymeasure.instruments import Instrument

from drivers.errors import ReadbackMismatch, Reason, RefusedError
from drivers.link import clock_of
from drivers.registry import DriverEntry
from drivers.roles import Identity
from drivers.thorlabs_prompt import PromptLine

TIMEOUT_S = 0.5  # of a question to a wheel that stands still
MOVE_TIMEOUT_S = 20.0  # half a turn of twelve positions at low speed, and more; assumed
REST_TIMEOUT_S = 5.0  # of a question to one that may be half a turn from where it will stand; assumed
STEP_S = 0.6  # from one position to the next at high speed; assumed
SLICE_S = 0.2  # of waiting: whoever watches sees a sign of life so often
FAST, TRIGGER_OUT, SENSORS_ASLEEP = 1, 1, 0
SIZES = (6, 12)
IDENTITY = "*idn?", re.compile("FW102C", re.IGNORECASE)
NOISE = b"\0 \r\n"


def _setting(name: str, docs: str) -> Any:
    def ask(self: "Fw102c") -> int:
        return self.line.number(f"{name}?", 0, 1)

    def tell(self: "Fw102c", value: int) -> None:
        if value not in (0, 1):
            raise ValueError(f"{name}={value} is neither 0 nor 1")
        self.line.tell(f"{name}={value}")

    return property(ask, tell, doc=docs)


class Fw102c(Instrument):
    """Thorlabs FW102C, and its sister of twelve positions.

    It turns at high speed, its sensors asleep when it stands (they shine), its trigger connector an output: a stray edge there
    would turn the wheel by itself.

    Parameters
    ----------
    adapter  a `drivers.link.Link`, or anything PyMeasure takes (then without fences)
    """

    def __init__(self, adapter: Adapter | str | int, name: str = "Thorlabs FW102C", **kwargs: Any) -> None:
        super().__init__(adapter, name, includeSCPI=False, **kwargs)
        self.positions: int = SIZES[0]
        self.line = PromptLine(
            self.adapter, name, "FW102C", IDENTITY, timeout_s=TIMEOUT_S, rest_timeout_s=REST_TIMEOUT_S, noise=NOISE
        )

    # --- settings

    speed = _setting("speed", "Control how fast it turns (0 low, 1 high).")
    trigger = _setting("trig", "Control what the trigger connector is (0 input, 1 output).")
    sensors = _setting("sensors", "Control whether the sensors stay on when it stands (0 asleep, 1 on).")

    @property
    def position_count(self) -> int:
        """Get how many positions the wheel has (int, 6 or 12)."""
        return self.line.number("pcount?", *SIZES)

    # --- role FilterWheel

    def identify(self) -> Identity:
        """Ask who answers.

        Raises
        ------
        WrongIdentity  it is not an FW102C or FW212C, or not the one that answered before
        """
        return self.line.identify()

    def prepare(self) -> None:
        """High speed, sensors asleep, trigger connector an output, all read back; errors from before are dropped.

        Raises
        ------
        ReadbackMismatch  a setting is not as set
        InstrumentError   it refuses a command, or is no wheel of 6 or 12 positions
        """
        self.line.regain()
        self.line.end_line()
        self.line.refused.clear()
        for name, value in (("trigger", TRIGGER_OUT), ("speed", FAST), ("sensors", SENSORS_ASLEEP)):
            self._confirm(name, value)
        found = self.position_count
        if found not in SIZES:
            raise self.line.desync("pcount?", str(found).encode())
        self.positions = found
        self._where()

    def move_to(self, position: int) -> int:
        """Turn to a position (1 to `positions`), and return the one it says when it stands.

        Raises
        ------
        RefusedError      there is no such position; nothing was sent
        ReadbackMismatch  it stands elsewhere
        InstrumentError   it refuses, or its move does not end in time
        """
        if position not in range(1, self.positions + 1):
            message = f"{position} is none of the positions 1 to {self.positions}"
            raise RefusedError(f"{self.name} is not turned.", (Reason("no-such-position", self.name, message),))
        self.line.regain()
        here = self._where()
        if here != position:
            self._turn(here, position)
            here = self._where()
        if here != position:
            raise ReadbackMismatch(
                f"{self.name} was sent to position {position} and says {here}.",
                where=self.name,
                hardware_state=f"filter wheel at position {here}, by its own word",
                next_step="see whether the wheel is blocked, or somebody presses its button; then start again",
            )
        return here

    def position(self) -> int:
        """Ask where the wheel stands (1 to `positions`)."""
        self.line.regain()
        return self._where()

    def errors(self) -> list[str]:
        """Return what it has refused since the last call."""
        found, self.line.refused = self.line.refused, []
        return found

    def ask(self, command: str, query_delay: float | None = None) -> str:
        """Send a line of one's own and return its answer; see `PromptLine.ask`."""
        return self.line.ask(command)

    # --- parts

    def _turn(self, here: int, position: int) -> None:
        """Send it there; the prompt comes when it stands, after a time that is mostly waited for in slices."""
        apart = abs(position - here)
        slices = int(min(apart, self.positions - apart) * STEP_S / SLICE_S)

        def wait() -> None:
            for _ in range(slices):
                clock_of(self.adapter).sleep(SLICE_S)

        self.line.tell_and_wait(f"pos={position}", wait, MOVE_TIMEOUT_S)

    def _where(self) -> int:
        return self.line.number("pos?", 1, self.positions)

    def _confirm(self, name: str, value: int) -> None:
        setattr(self, name, value)
        found = getattr(self, name)
        if found != value:
            raise ReadbackMismatch(
                f"{self.name}: {name} was set to {value}, the wheel says {found}.",
                where=self.name,
                hardware_state="filter wheel standing, settings partly made",
                next_step="this firmware may differ; power-cycle the wheel and run again",
            )


DRIVER = DriverEntry(
    model="thorlabs-fw102c",
    role="filter_wheel",
    identity=r"Thorlabs,FW(102|212)C\b",
    build=Fw102c,
    read_termination=None,
    write_termination=None,
    serial_line={"baud_rate": 115_200},
)
