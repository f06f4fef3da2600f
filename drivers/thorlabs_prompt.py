"""The conversation of Thorlabs controllers that answer with a prompt: a line out; its echo, what it asks for, a prompt back.

Source: what Odemis, InstrumentKit and Micro-Manager send and expect: a line ends with CR and comes back as echo, then CR, a
value and CR where there is one, then the prompt "> ".
"""

from collections.abc import Callable
from re import Pattern

from pymeasure.adapters import Adapter

from drivers.errors import InstrumentError, LinkDesync, WrongIdentity
from drivers.link import conversation, regain
from drivers.registry import require_same
from drivers.roles import Identity

PROMPT = b"> "
REPLY_BYTES_MAX = 1024
STALE_BYTES_MAX = 4096
NONSENSE = "~"  # begins a line that no beginning of a command can turn into a command
BLANKS = b" \t\n\r\v\f"


class PromptLine:
    """The line to one such controller; what goes wrong on it is told in the name of the instrument.

    Parameters
    ----------
    adapter         a `drivers.link.Link`, or anything PyMeasure takes (then without fences)
    name            of the instrument, as errors call it
    model           as it is called in its identity
    identity        (question, pattern found in the answer of this model and in that of no other)
    timeout_s       of a question to an instrument at rest
    rest_timeout_s  of one to an instrument that may have to come to rest before it answers
    noise           bytes in front of an echo that mean nothing
    """

    def __init__(
        self,
        adapter: Adapter,
        name: str,
        model: str,
        identity: tuple[str, Pattern[str]],
        *,
        timeout_s: float,
        rest_timeout_s: float,
        noise: bytes = BLANKS,
    ) -> None:
        self.refused: list[str] = []  # lines it did not take, and its words
        self._adapter = adapter
        self._name = name
        self._model = model
        self._id_question, self._id_pattern = identity
        self._timeout_s, self._rest_timeout_s = timeout_s, rest_timeout_s
        self._noise = noise
        self._identity: Identity | None = None
        self._nonce = 0

    # --- questions and commands

    def ask(self, command: str) -> str:
        """Send a line and return what stands between echo and prompt, "" when nothing does.

        Raises
        ------
        InstrumentError  the instrument reports an error
        LinkDesync       the echo is that of another line
        """
        with conversation(self._adapter, self._timeout_s):
            self._send(command)
            return self._value(command, self._to_prompt(b"", REPLY_BYTES_MAX))

    def number(self, question: str, low: int, high: int) -> int:
        """Ask for a whole number.

        Raises
        ------
        LinkDesync  the answer is none from `low` to `high`
        """
        with conversation(self._adapter, self._timeout_s):
            text = self.ask(question)
            if not (text.isdecimal() and low <= int(text) <= high):
                raise self.desync(question, text.encode())
        return int(text)

    def tell(self, line: str) -> None:
        """Send a line that is answered by its echo only.

        Raises
        ------
        InstrumentError  the instrument reports an error
        LinkDesync       it answers more than that
        """
        with conversation(self._adapter, self._timeout_s):
            if text := self.ask(line):
                raise self.desync(line, text.encode())

    def tell_and_wait(self, line: str, wait: Callable[[], None], timeout_s: float) -> None:
        """`tell` a line whose echo comes at once and whose prompt comes much later; in between, `wait`.

        Without the right echo nothing is waited for: what does come is judged as ever, within `timeout_s` (s).
        """
        with conversation(self._adapter, timeout_s):
            self._send(line)
            echo = self._to(b"\r", b"", REPLY_BYTES_MAX)
            if echo.lstrip(b"\0") == line.encode("ascii") + b"\r":
                wait()
            if text := self._value(line, self._to_prompt(echo, REPLY_BYTES_MAX)):
                raise self.desync(line, text.encode())

    # --- who it is, and whose answer is next

    def identify(self) -> Identity:
        """Ask who answers, after a line that ends whatever was begun; `regain` wants to hear the same again.

        Raises
        ------
        WrongIdentity  it is another model, or not the one that answered before
        """
        self.regain()
        self.end_line()
        self._identity = self._ask_identity()
        return self._identity

    def regain(self) -> None:
        """Bring a line in doubt back to where the next answer belongs to the next question."""
        regain(self._adapter, self._prove, self._rest_timeout_s)

    def end_line(self) -> None:
        """Send a line with a number of its own, which makes no sense, and drop everything up to its echo.

        Half a command that was sent before it becomes nonsense with it, and a movement under way comes to its end first.
        """
        self._nonce = self._nonce % 999 + 1
        mark = f"{NONSENSE}{self._nonce}"
        with conversation(self._adapter, self._rest_timeout_s):
            self._send(mark)
            seen = b""
            while mark.encode("ascii") + b"\r" not in seen:
                if len(seen) >= STALE_BYTES_MAX:
                    raise self.desync(f"{mark}\r", seen)
                seen += self._to_prompt(b"", STALE_BYTES_MAX)

    def desync(self, line: str, reply: bytes) -> LinkDesync:
        """Return the error of a reply that is none to `line`."""
        return LinkDesync(
            f"The answer of {self._name} to {line!r} was {reply[:60]!r}, which does not fit.",
            where=self._name,
            hardware_state="unknown: the answer may belong to an earlier line",
            next_step="the link is cleared and proved again before anything else is believed",
        )

    # --- parts

    def _prove(self) -> None:
        self.end_line()
        require_same(self._ask_identity(), self._identity)

    def _ask_identity(self) -> Identity:
        text = self.ask(self._id_question)
        if not self._id_pattern.search(text):
            raise WrongIdentity(
                f"An {self._model} should answer here, but it says {text[:60]!r}.",
                where=self._name,
                hardware_state="only its identity was asked",
                next_step="check the resource name and the model in the bench file",
            )
        return Identity("Thorlabs", self._model, "", text.split()[-1])

    def _send(self, line: str) -> None:
        self._adapter.write_bytes(line.encode("ascii") + b"\r")

    def _to_prompt(self, begun: bytes, at_most: int) -> bytes:
        """Everything up to the prompt, without it."""
        return self._to(PROMPT, begun, at_most)[: -len(PROMPT)]

    def _to(self, end: bytes, reply: bytes, at_most: int) -> bytes:
        while not reply.endswith(end):
            if len(reply) >= at_most:
                raise self.desync("", reply)
            reply += self._adapter.read_bytes(1)
        return reply

    def _value(self, command: str, reply: bytes) -> str:
        """What an answer says, whose echo must be that of `command`."""
        echo, end, value = reply.partition(b"\r")
        if echo.lstrip(self._noise) != command.encode("ascii") or not end or not value.isascii():
            raise self.desync(command, reply)
        text = value.decode("ascii").strip()
        if "error" in text.lower():
            self.refused.append(f"{command}: {text}")
            raise InstrumentError(
                f"{self._name} does not take {command!r}: {text}.",
                where=self._name,
                hardware_state="as before this line",
                next_step="this firmware may not know the keyword, or the value is out of its range",
            )
        return text
