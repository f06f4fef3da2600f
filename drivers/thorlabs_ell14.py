"""Thorlabs ELL14 rotation mount with a half-wave plate in it: its frames, and the role Attenuator on top of them.

Source: Thorlabs ELLx modules protocol manual as programs of others quote and use it (commands, lengths, status codes). From
memory, unverified: homing is needed after every power-up; an incomplete frame is forgotten after 2 s without a byte.
"""

from dataclasses import dataclass
from typing import Any

from pymeasure.adapters import Adapter
from pymeasure.instruments import Instrument

from drivers.errors import InstrumentError, LinkDesync, ReadbackMismatch, Reason, RefusedError, WrongIdentity
from drivers.link import Link, LinkState, conversation, regain
from drivers.registry import DriverEntry, require_same
from drivers.roles import Identity

REPLY_DIGITS = {"GS": 2, "PO": 8, "IN": 30, "GJ": 8, "GV": 2, "HO": 8, "I1": 22, "I2": 22}  # after address and two letters
HEX = frozenset("0123456789ABCDEF")
MODEL_CODE = 14
OK, BUSY = 0, 9
MOVE_TIMEOUT_S = 10.0  # half a turn takes 0.5 s at full velocity
OVERSHOOT_DEG = 2.0  # more than the play
TOLERANCE_DEG = 0.1
LISTEN_S = 0.02  # one look at a silent line
FORGOTTEN_S = 2.2  # by when an incomplete frame is forgotten
VELOCITY_MAX = 100

STATUS = {
    0: "ok",
    1: "communication timeout",
    2: "mechanical timeout",
    3: "command unknown or not supported",
    4: "value out of range",
    5: "module isolated",
    6: "module out of isolation",
    7: "initialising",
    8: "too hot",
    9: "busy",
    10: "sensor error",
    11: "motor error",
    12: "beyond its travel",
    13: "over current",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What the module answered: two letters and the digits after them."""

    letters: str
    digits: str

    @property
    def number(self) -> int:
        """Get the digits as a number without sign."""
        return int(self.digits, 16)


class Ell14(Instrument):
    """Thorlabs ELL14 as an attenuator. Angles are the motor's, counted from its home position (deg).

    Every angle is approached from greater ones, so that the play of the drive is always on the same side.

    Parameters
    ----------
    adapter  a `drivers.link.Link`, or anything PyMeasure takes (then without fences)
    address  of the module on its line, "0" to "F"
    """

    def __init__(
        self, adapter: Adapter | str | int, name: str = "Thorlabs ELL14", *, address: str = "0", **kwargs: Any
    ) -> None:
        super().__init__(adapter, name, includeSCPI=False, **kwargs)
        self._address = address
        self._reported: list[str] = []
        self._identity: Identity | None = None
        self._pulses_per_turn = 0
        self._stands_deg: float | None = None  # None: not homed, or not known any more

    # --- what it says of itself

    @property
    def module_status(self) -> int:
        """Get and clear the status (0 ok, 1 to 13 as in STATUS); what is neither ok nor busy is kept for `errors()`."""
        code = self._ask("gs", "GS").number
        if code not in (OK, BUSY):
            self._reported.append(_status_text(code))
        return code

    @property
    def position_pulses(self) -> int:
        """Get the counter (pulses, 143360 a turn, negative below zero)."""
        return _signed(self._ask("gp", "PO").number)

    @property
    def velocity_percent(self) -> int:
        """Control the velocity (percent of the greatest, 1 to 100)."""
        return self._ask("gv", "GV").number

    @velocity_percent.setter
    def velocity_percent(self, value: int) -> None:
        if not 1 <= value <= VELOCITY_MAX:
            raise ValueError(f"a velocity of {value} % is not within 1 and {VELOCITY_MAX} %")
        self._require_ok(f"sv{value:02X}")

    # --- role Attenuator

    def identify(self) -> Identity:
        """Ask who answers.

        Raises
        ------
        WrongIdentity  it is not an ELL14, or not the one that answered before
        """
        self._regain()
        self._identity = self._ask_identity()
        return self._identity

    def prepare(self) -> None:
        """Home it at full velocity and wait until it stands still; errors from before are dropped.

        Raises
        ------
        ReadbackMismatch  it does not stand at its home position afterwards
        InstrumentError   it reports an error, or does not come to an end
        """
        self._regain()
        self._stands_deg = None
        self._wait_until_idle()
        self._ask_identity()
        self.velocity_percent = VELOCITY_MAX
        self._reported.clear()
        self._move("ho0")
        self._require_idle("it was homed")
        self._stands_deg = self._confirmed(0.0)

    def move_to(self, angle_deg: float) -> float:
        """Turn to an angle (deg, 0 to below 360), approached from greater ones; return the angle read back (deg).

        Raises
        ------
        RefusedError      no such angle; nothing was sent
        InstrumentError   not prepared, moved by somebody else since, or the module reports an error
        ReadbackMismatch  it does not stand where it should
        """
        if not 0 <= angle_deg < 360:
            reason = Reason("angle-impossible", "angle_deg", f"{angle_deg:g} deg is not at least 0 and below 360 deg")
            raise RefusedError(f"{self.name} refuses what it was given; nothing was sent.", (reason,), where=self.name)
        self.angle_deg()
        self._stands_deg = None  # until it is known again
        # the last degrees are approached across zero, so that the counter stays within a turn of it
        target_deg = angle_deg if angle_deg + OVERSHOOT_DEG <= 360 else angle_deg - 360
        for step_deg in (target_deg + OVERSHOOT_DEG, target_deg):
            self._move(f"ma{self._pulses(step_deg):08X}")
        self._require_idle(f"it turned to {angle_deg:g} deg")
        self._stands_deg = self._confirmed(angle_deg)
        return self._stands_deg

    def angle_deg(self) -> float:
        """Ask where the plate stands (deg, 0 to below 360).

        Raises
        ------
        InstrumentError  its counter means nothing: not prepared, link lost since, or it stands elsewhere than it was left
        """
        self._regain()
        if self._stands_deg is None:
            raise InstrumentError(
                f"{self.name} does not know its angle.",
                where=self.name,
                hardware_state="not homed since it was opened, or its last move was not confirmed, or its link was lost",
                next_step="prepare() it: that homes the plate",
            )
        found_deg = self._read_angle()
        self._require_undisturbed(found_deg)
        return found_deg

    def errors(self) -> list[str]:
        """Return errors the module has reported since the last call."""
        self._regain()
        _ = self.module_status
        found, self._reported = self._reported, []
        return found

    # --- frames

    def _ask(self, command: str, *letters: str) -> Reply:
        """Send a command and return its answer, which has to begin with one of `letters`.

        Raises
        ------
        InstrumentError  it answers with a status that says no
        LinkDesync       it answers something else
        """
        with conversation(self.adapter):
            self.write_bytes((self._address + command).encode("ascii"))
            return self._fitting(self._receive(), command, letters)

    def _fitting(self, reply: Reply, command: str, letters: tuple[str, ...]) -> Reply:
        if reply.letters in letters:
            return reply
        if reply.letters == "GS" and reply.number != OK:
            self._reported.append(f"{command}: {_status_text(reply.number)}")
            raise InstrumentError(
                f"{self.name} does not do {command!r}: {_status_text(reply.number)}.",
                where=self.name,
                hardware_state="as before this command",
                next_step="let it cool or come to an end of its move, see that the plate is free, then prepare() it again",
            )
        raise _desync(f"{command!r} was answered by {reply.letters}{reply.digits}")

    def _receive(self) -> Reply:
        head = self._read_text(3)
        count = REPLY_DIGITS.get(head[1:])
        if head[:1] != self._address or count is None:
            raise _desync(f"no answer begins with {head!r}")
        rest = self._read_text(count + 2)
        if rest[count:] != "\r\n" or not HEX.issuperset(rest[:count]):
            raise _desync(f"{head + rest!r} is no answer")
        return Reply(head[1:], rest[:count])

    def _read_text(self, count: int) -> str:
        found = self.adapter.read_bytes(count)
        if len(found) != count:
            raise _desync(f"{found!r} instead of {count} characters")
        return found.decode("latin-1")

    # --- parts

    def _require_ok(self, command: str) -> None:
        with conversation(self.adapter):
            reply = self._ask(command, "GS")
            if reply.number != OK:
                self._fitting(reply, command, ())

    def _move(self, command: str) -> None:
        """Send a move and wait for its end."""
        with conversation(self.adapter, MOVE_TIMEOUT_S):
            reply = self._ask(command, "PO", "GS")
            if reply == Reply("GS", f"{BUSY:02X}"):  # on its way; what follows tells the end of it
                reply = self._receive()
            self._fitting(reply, command, ("PO",))

    def _wait_until_idle(self) -> None:
        """Wait for the end of a move that somebody began; stop one that does not end."""
        for stop in (False, True):
            if stop:
                self._ask("st", "GS", "PO")
            for _ in range(round(MOVE_TIMEOUT_S / LISTEN_S)):
                self._listen()
                reply = self._ask("gs", "GS", "PO")  # the end of that move is told by a PO of its own
                if reply.letters == "GS" and reply.number != BUSY:
                    return
        raise InstrumentError(
            f"{self.name} is busy and cannot be stopped.",
            where=self.name,
            hardware_state="turning",
            next_step="switch it off and on",
        )

    def _require_idle(self, doing: str) -> None:
        code = self.module_status
        if code != OK:
            raise InstrumentError(
                f"{self.name} reports after {doing}: {_status_text(code)}.",
                where=self.name,
                hardware_state="the angle is not known",
                next_step="see that the plate turns freely, then prepare() it again",
            )

    def _confirmed(self, wanted_deg: float) -> float:
        found_deg = self._read_angle()
        if not abs(_difference(found_deg, wanted_deg)) <= TOLERANCE_DEG:
            raise ReadbackMismatch(
                f"{self.name} was sent to {wanted_deg:g} deg and stands at {found_deg:.3f} deg.",
                where=self.name,
                hardware_state=f"at {found_deg:.3f} deg by its own counter",
                next_step="see that the plate turns freely, then prepare() it again",
            )
        return found_deg

    def _require_undisturbed(self, found_deg: float) -> None:
        known_deg = self._stands_deg
        if known_deg is None or not abs(_difference(found_deg, known_deg)) <= TOLERANCE_DEG:
            self._stands_deg = None
            raise InstrumentError(
                f"{self.name} stands at {found_deg:.3f} deg by its counter, but was left at {known_deg} deg.",
                where=self.name,
                hardware_state="turned by hand or by its buttons, or it was off in between and has lost its home position",
                next_step="prepare() it: that homes the plate",
            )

    def _read_angle(self) -> float:
        return self.position_pulses / self._pulses_per_turn * 360 % 360

    def _pulses(self, angle_deg: float) -> int:
        """Count of the counter, as the 32 bits of a frame."""
        return round(angle_deg / 360 * self._pulses_per_turn) & 0xFFFFFFFF

    def _ask_identity(self) -> Identity:
        digits = self._ask("in", "IN").digits
        model, serial, firmware, pulses = int(digits[:2], 16), digits[2:10], digits[14:16], int(digits[22:], 16)
        identity = Identity("Thorlabs", f"ELL{model}", serial, firmware)
        if model != MODEL_CODE or pulses == 0:
            raise WrongIdentity(
                f"An ELL14 should answer here, but it is: {identity}, with {pulses} pulses a turn.",
                where=self.name,
                hardware_state="only its identity was asked",
                next_step="check the resource name and the model in the bench file",
            )
        self._pulses_per_turn = pulses
        return identity

    # --- a link in doubt

    def _listen(self) -> None:
        self.adapter.flush_read_buffer()  # a Link listens for 20 ms

    def _regain(self) -> None:
        """Bring a link in doubt back; first drop late answers until the module has forgotten any incomplete frame."""
        if isinstance(self.adapter, Link) and self.adapter.state is not LinkState.READY:
            for _ in range(round(FORGOTTEN_S / LISTEN_S)):
                self._listen()
        if regain(self.adapter, self._prove):
            self._stands_deg = None  # it may have been off in between

    def _prove(self) -> None:
        # questions whose answers differ in kind: one that comes late, or twice, does not fit the next question
        self._ask("gs", "GS")
        found = self._ask_identity()
        self._ask("gv", "GV")
        require_same(found, self._identity)


def _signed(value: int) -> int:
    return value - (1 << 32) if value & 0x80000000 else value


def _difference(a_deg: float, b_deg: float) -> float:
    return (a_deg - b_deg + 180) % 360 - 180


def _status_text(code: int) -> str:
    return f"status {code} ({STATUS.get(code, 'without a published meaning')})"


def _desync(what: str) -> LinkDesync:
    return LinkDesync(
        f"Not an answer of an ELL14 to what it was asked: {what}.",
        where="frames",
        hardware_state="unknown: the answer may belong to an earlier question",
        next_step="the link is cleared and proved again before anything else is believed",
    )


DRIVER = DriverEntry(
    model="thorlabs-ell14",
    role="attenuator",
    identity=r"Thorlabs,ELL14\b",
    build=Ell14,
    read_termination=None,
    write_termination=None,
    serial_line={"baud_rate": 9600},
)
