"""The Thorlabs ELL14 rotation mount, as its bytes and the light behind its half-wave plate show it.

Source: Thorlabs ELLx modules protocol manual as programs of others quote and use it (status codes, command letters, lengths
of data, layout of IN, 143 360 pulses per turn); speed (430 deg/s) from memory, unverified. Assumed: the counter is 0 wherever
the plate stands at power-up; while something moves every command but `st` is answered by status 9; a move beyond one turn to
either side by status 12; `st`, `sv`, `so`, `sj`, `is`, `us`, `f1`.. by status 0; jogging with a step of 0 turns until `st`; a
command takes 2 ms; after `ga` the module also listens to the group's address, answers to that from there, and forgets it at
the end of the move it was for, which it tells from its own address (from memory, unverified); an isolated module is silent
and says status 6 when asked after it.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim_instruments.attenuator import EXTINCTION, TurningPlate
from sim_instruments.catalogue import PersonaEntry, Surroundings
from sim_instruments.persona import Edges, OutputPulses
from sim_instruments.reply_queue import ReplyQueue
from sim_instruments.thorlabs_ell14_frames import Frame, FrameStream

__all__ = ["KNOWINGLY_ABSENT", "PERSONA", "Ell14Persona", "Ell14Quirks"]

PULSES_PER_TURN = 143_360
TRAVEL_DEG = 360
SPEED_DEG_S = 430.0  # at 100 % velocity
HOME_SPEED_DEG_S = 200.0  # assumed
SEARCH_NS = 1_500_000_000  # frequency search, assumed
LONGEST_NS = 40 * 60 * 1_000_000_000  # of a continuous turn; then it stops by itself, assumed
COMMAND_NS = 2_000_000
BYTE_NS = 1_041_667  # 10 bits at 9600 baud
WAITING_AT_MOST = 64  # frames; what comes on top is lost
UNREAD_AT_MOST = 4096  # bytes; the answers on top are lost, as a serial line without flow control loses them

OK, TIMED_OUT, UNKNOWN, OUT_OF_LIMITS, OUT_OF_ISOLATION, THERMAL, BUSY, BEYOND_TRAVEL = 0, 1, 3, 4, 6, 8, 9, 12

KNOWINGLY_ABSENT: dict[str, str] = {
    "c1": "the scan of a motor's current is a picture of the real motor",
    "c2": "the scan of a motor's current is a picture of the real motor",
    "cm": "cleaning moves the real mechanics for minutes; there is nothing to clean",
    "om": "optimising tunes the real motor for minutes; there is nothing to tune",
    "BO": "nobody presses the buttons of the interface board",
    "BS": "nobody presses the buttons of the interface board",
    "GS02, GS05, GS07, GS0A, GS0B, GS0D": "the simulated motor has no such failures; too hot (GS08) it can be made",
}


@dataclass(frozen=True, slots=True)
class Ell14Quirks:
    """What differs between firmware versions, or is not documented.

    Parameters
    ----------
    settle_pulses    a move ends within so many pulses of its target (uniform)
    busy_first       a move that takes time is answered by status 9 at once, and by the position at its end
    """

    settle_pulses: int = 2
    busy_first: bool = False


@dataclass(frozen=True, slots=True)
class _Motion:
    end_ns: int
    answer: Callable[[], str] | None


class Ell14Persona:
    """One ELL14 with a half-wave plate in it.

    Parameters
    ----------
    rng        of scatter, of the noise of positioning, and of where the plate stands at power-up
    serial     eight digits, as IN shows them
    zero_deg   the angle, counted from the mechanical zero, of greatest transmission (deg)
    extinction transmission of plate and polariser when crossed
    wire_time  whether bytes take their time at 9600 baud
    quirks     what the manual leaves open
    """

    def __init__(
        self,
        rng: np.random.Generator,
        *,
        serial: str = "11400517",
        zero_deg: float = 0.0,
        extinction: float = EXTINCTION,
        wire_time: bool = True,
        quirks: Ell14Quirks | None = None,
    ) -> None:
        self._serial = serial
        self._quirks = quirks or Ell14Quirks()
        self._byte_ns = BYTE_NS if wire_time else 0
        self._rng = rng
        begin_deg = float(rng.uniform(0, 360))
        self.plate = TurningPlate(rng, begin_deg, zero_deg=zero_deg, extinction=extinction)
        self._counter_deg = begin_deg  # the true angle at which the counter is 0
        self._home_offset = 0
        self._jog = 0
        self._velocity = 100
        self._periods = {"f1": 0x00AE, "b1": 0x00CB, "f2": 0x00AF, "b2": 0x00CD}
        self._address = "0"
        self._group: str | None = None
        self._status = OK
        self._motion: _Motion | None = None
        self._isolated_until_ns: int | None = None
        self._hot_until_ns = 0
        self._stream = FrameStream()
        self._heard_ns = 0
        self._waiting: deque[tuple[int, Frame]] = deque()
        self._free_ns = 0
        self._replies = ReplyQueue(self._byte_ns, UNREAD_AT_MOST)
        self._now_ns = 0
        self._commands = self._make_commands()

    # --- the Persona protocol -----------------------------------------------------------------------------------------

    def run_until(self, t_ns: int) -> dict[str, OutputPulses]:
        """Execute what is due, in order; nothing leaves it but light."""
        while (due_ns := self._next_event_ns()) is not None and due_ns <= t_ns:
            self._now_ns = due_ns
            if self._motion is not None and self._motion.end_ns <= due_ns:
                self._arrive()
            else:
                _, frame = self._waiting.popleft()
                self._free_ns = due_ns
                self._execute(frame)
        self._now_ns = t_ns
        return {}

    def receive_edges(self, connector: str, edges: Edges) -> None:
        """Raise KeyError: it has no trigger input."""
        raise KeyError(connector)

    def receive(self, data: bytes, t_ns: int) -> None:
        """Bytes arrive from `t_ns` on, in any segmentation."""
        for byte in data:
            self._heard_ns = max(t_ns, self._heard_ns) + self._byte_ns
            for frame in self._stream.feed(byte, self._heard_ns):
                if len(self._waiting) < WAITING_AT_MOST:
                    self._waiting.append((self._heard_ns, frame))

    def reply_ready_ns(self, t_ns: int) -> int | None:
        """When the next answer is there; while something is still to be done, when that will be."""
        if self._replies:
            return self._replies.ready_ns
        event_ns = self._next_event_ns()
        return None if event_ns is None else max(event_ns, t_ns + 1)

    @property
    def reply_is_sent(self) -> bool:
        """Whether the next answer is on the line already."""
        return bool(self._replies)

    def take(self, max_bytes: int, t_ns: int) -> tuple[bytes, bool]:
        """Take bytes of the first answer that is ready; the flag says that they end it."""
        return self._replies.take(max_bytes, t_ns)

    def device_clear(self, t_ns: int) -> None:
        """Do nothing: a serial line has no device clear."""

    # --- what happens to it besides bytes -----------------------------------------------------------------------------

    def power_cycle(self, t_ns: int) -> None:
        """Supply off and on: nothing that was not saved is kept, the counter is 0 where the plate stands."""
        self.plate.stop(t_ns)
        self._counter_deg = self.plate.angle_deg(t_ns)
        self._motion, self._velocity, self._status = None, 100, OK
        self._group = None
        self._stream.clear()
        self._waiting.clear()
        self._replies.clear()

    def overheat(self, t_ns: int, for_s: float = 10.0) -> None:
        """Refuse to move for a while (s), with status 8."""
        self._hot_until_ns = t_ns + round(for_s * 1e9)

    # --- execution ----------------------------------------------------------------------------------------------------

    def _next_event_ns(self) -> int | None:
        executed_ns = max(self._waiting[0][0], self._free_ns) + COMMAND_NS if self._waiting else None
        ended_ns = self._motion.end_ns if self._motion is not None else None
        return min((t for t in (executed_ns, ended_ns) if t is not None), default=None)

    def _execute(self, frame: Frame) -> None:
        if frame.address not in (self._address, self._group) or self._is_isolated(frame):
            return
        if not frame.valid:
            if not frame.command:
                self._status = TIMED_OUT
            elif len(frame.command) == 2:
                self._say_status(UNKNOWN)
            return
        if self._motion is not None and frame.command != "st":
            self._say_status(BUSY)
            return
        self._commands[frame.command](frame.digits)

    def _is_isolated(self, frame: Frame) -> bool:
        if self._isolated_until_ns is None:
            return False
        if self._now_ns >= self._isolated_until_ns or (frame.command == "is" and frame.valid):
            self._isolated_until_ns, self._status = None, OUT_OF_ISOLATION
            return False
        return True

    def _arrive(self) -> None:
        motion, self._motion = self._motion, None
        self._group = None
        if motion is not None and motion.answer is not None:
            self._say(motion.answer())

    def _say(self, text: str, address: str | None = None) -> None:
        self._replies.send(f"{address or self._address}{text}\r\n".encode("ascii"), self._now_ns)

    def _say_status(self, status: int) -> None:
        self._say(f"GS{status:02X}")

    def _position(self) -> str:
        return f"PO{self._counts() & 0xFFFFFFFF:08X}"

    # --- motion -------------------------------------------------------------------------------------------------------

    def _turn(self, pulses: int, speed_deg_s: float, answer: Callable[[], str] | None, scatter: int) -> None:
        """Turn to a count of the counter."""
        if self._now_ns < self._hot_until_ns:
            self._say_status(THERMAL)
            return
        if scatter:
            pulses += int(self._rng.integers(-scatter, scatter, endpoint=True))
        here_deg = self.plate.angle_deg(self._now_ns)
        there_deg = self._counter_deg + pulses / PULSES_PER_TURN * TRAVEL_DEG
        lasts_ns = round(abs(there_deg - here_deg) / speed_deg_s * 1e9)
        if lasts_ns:
            self.plate.turn(there_deg, self._now_ns, self._now_ns + lasts_ns)
        self._motion = _Motion(self._now_ns + lasts_ns, answer)
        if answer is not None and self._quirks.busy_first and lasts_ns > 0:
            self._say_status(BUSY)

    def _speed_deg_s(self) -> float:
        return SPEED_DEG_S * self._velocity / 100

    def _counts(self) -> int:
        return round((self.plate.angle_deg(self._now_ns) - self._counter_deg) / TRAVEL_DEG * PULSES_PER_TURN)

    def _move_to(self, pulses: int) -> None:
        if not -PULSES_PER_TURN <= pulses <= PULSES_PER_TURN:
            self._say_status(BEYOND_TRAVEL)
            return
        self._turn(pulses, self._speed_deg_s(), self._position, self._quirks.settle_pulses)

    def _home(self, digits: str) -> None:
        if digits not in "01":
            self._say_status(OUT_OF_LIMITS)
            return
        # the mechanical zero is found by its mark on the ring, whatever the counter says; clockwise is towards smaller angles
        here_deg = self.plate.angle_deg(self._now_ns)
        turns = np.floor(here_deg / TRAVEL_DEG) if digits == "0" else np.ceil(here_deg / TRAVEL_DEG)
        self._counter_deg = float(turns) * TRAVEL_DEG + self._home_offset / PULSES_PER_TURN * TRAVEL_DEG
        self._turn(0, HOME_SPEED_DEG_S, self._position, 0)

    def _jog_by(self, sign: int) -> None:
        if self._jog:
            self._move_to(self._counts() + sign * self._jog)
            return
        turns = sign * round(self._speed_deg_s() * LONGEST_NS * 1e-9 / TRAVEL_DEG) * PULSES_PER_TURN
        self._turn(self._counts() + turns, self._speed_deg_s(), None, 0)
        if self._motion is not None:
            self._say_status(OK)

    def _stop(self, _digits: str) -> None:
        if self._motion is not None:
            self.plate.stop(self._now_ns)
            self._motion = None
        self._say_status(OK)

    def _search(self, _digits: str) -> None:
        self._motion = _Motion(self._now_ns + SEARCH_NS, lambda: f"GS{OK:02X}")

    # --- settings -----------------------------------------------------------------------------------------------------

    def _make_commands(self) -> dict[str, Callable[[str], None]]:
        commands: dict[str, Callable[[str], None]] = {
            "in": lambda _: self._say(f"IN0E{self._serial}20231701{TRAVEL_DEG:04X}{PULSES_PER_TURN:08X}"),
            "gs": self._tell_status,
            "us": lambda _: self._say_status(OK),
            "ca": self._change_address,
            "ga": self._join_group,
            "is": self._isolate,
            "ho": self._home,
            "ma": lambda digits: self._move_to(_signed(digits)),
            "mr": lambda digits: self._move_to(self._counts() + _signed(digits)),
            "gp": lambda _: self._say(self._position()),
            "so": self._set_home_offset,
            "go": lambda _: self._say(f"HO{self._home_offset & 0xFFFFFFFF:08X}"),
            "sj": self._set_jog,
            "gj": lambda _: self._say(f"GJ{self._jog:08X}"),
            "sv": self._set_velocity,
            "gv": lambda _: self._say(f"GV{self._velocity:02X}"),
            "fw": lambda _: self._jog_by(1),
            "bw": lambda _: self._jog_by(-1),
            "st": self._stop,
        }
        for motor in "12":
            commands[f"i{motor}"] = self._motor_information(motor)
            commands[f"s{motor}"] = self._search
            for letter in "fb":
                commands[f"{letter}{motor}"] = self._set_period(f"{letter}{motor}")
        return commands

    def _tell_status(self, _digits: str) -> None:
        status, self._status = self._status, OK
        self._say_status(status)

    def _change_address(self, digits: str) -> None:
        self._address = digits.upper()
        self._say_status(OK)

    def _join_group(self, digits: str) -> None:
        self._group = digits.upper()
        self._say(f"GS{OK:02X}", self._group)

    def _isolate(self, digits: str) -> None:
        minutes = int(digits, 16)
        self._say_status(OK)
        if minutes:
            self._isolated_until_ns = self._now_ns + minutes * 60_000_000_000

    def _set_home_offset(self, digits: str) -> None:
        offset = _signed(digits)
        if not -PULSES_PER_TURN <= offset <= PULSES_PER_TURN:
            self._say_status(OUT_OF_LIMITS)
            return
        self._home_offset = offset
        self._say_status(OK)

    def _set_jog(self, digits: str) -> None:
        jog = _signed(digits)
        if not 0 <= jog <= PULSES_PER_TURN:
            self._say_status(OUT_OF_LIMITS)
            return
        self._jog = jog
        self._say_status(OK)

    def _set_velocity(self, digits: str) -> None:
        velocity = int(digits, 16)
        if not 1 <= velocity <= 100:
            self._say_status(OUT_OF_LIMITS)
            return
        self._velocity = velocity
        self._say_status(OK)

    def _motor_information(self, motor: str) -> Callable[[str], None]:
        def tell(_digits: str) -> None:
            # loop on, motor off, current, ramps (not set), periods
            self._say(f"I{motor}10{0x0195:04X}FFFFFFFF{self._periods['f' + motor]:04X}{self._periods['b' + motor]:04X}")

        return tell

    def _set_period(self, name: str) -> Callable[[str], None]:
        def keep(digits: str) -> None:
            self._periods[name] = int(digits, 16) & 0x7FFF  # the highest bit says "set"; from memory, unverified
            self._say_status(OK)

        return keep


def _signed(digits: str) -> int:
    value = int(digits, 16)
    return value - (1 << 32) if value & 0x80000000 else value


def _make(around: Surroundings) -> Ell14Persona:
    settings: dict[str, Any] = {
        key: float(around.settings[key]) for key in ("zero_deg", "extinction") if key in around.settings
    }
    persona = Ell14Persona(around.rng, wire_time=around.wire_time, **settings)
    around.beam.elements.append(persona.plate)
    return persona


PERSONA = PersonaEntry("thorlabs-ell14", "attenuator", _make, "ASRL/dev/ttyUSB0::INSTR")
