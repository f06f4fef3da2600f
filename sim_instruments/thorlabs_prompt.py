"""The serial line of Thorlabs' controllers that answer with a prompt: what comes in, cut into lines, and what goes out.

Source: what Odemis, InstrumentKit and Micro-Manager expect: echo, CR, value, CR, prompt "> "; the text of CMD_NOT_DEFINED as
these know it, that of CMD_ARG_INVALID from memory, unverified.
Assumed: a line is echoed when its CR comes; a line takes 2 ms, one after the other; a line feed is ignored.
"""

from collections import deque
from collections.abc import Callable, Mapping

from sim_instruments.reply_queue import ReplyQueue

__all__ = ["ARG_INVALID", "NOT_DEFINED", "Keywords", "PromptLine"]

LINE_NS = 2_000_000
LINE_BYTES = 64  # a longer line is no command; assumed
WAITING_AT_MOST = 64  # lines; what comes on top is lost
UNREAD_AT_MOST = 4096  # bytes
PROMPT = b"> "
NOT_DEFINED, ARG_INVALID = "Command error CMD_NOT_DEFINED", "Command error CMD_ARG_INVALID"


class PromptLine:
    """Lines that wait to be executed, and answers that wait to be read.

    Parameters
    ----------
    byte_ns  how long a byte is on the line, in either direction (ns)
    """

    def __init__(self, byte_ns: int) -> None:
        self.replies = ReplyQueue(byte_ns, UNREAD_AT_MOST)
        self._begun = b""
        self._too_long = False
        self._heard_ns = 0
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._free_ns = 0

    # --- in

    def receive(self, data: bytes, t_ns: int) -> None:
        """Bytes arrive from `t_ns` on, in any segmentation."""
        for value in data:
            self._heard_ns = max(t_ns, self._heard_ns) + self.replies.byte_ns
            self._hear(bytes([value]))

    @property
    def due_ns(self) -> int | None:
        """When the next line is to be executed, None when none waits."""
        return max(self._waiting[0][0], self._free_ns) + LINE_NS if self._waiting else None

    def next_line(self, t_ns: int) -> bytes:
        """Take the line that is executed at `t_ns`, without its end."""
        self._free_ns = t_ns
        return self._waiting.popleft()[1]

    def hold(self, t_ns: int) -> None:
        """Nothing was executed before `t_ns`; the next line takes its time from then on."""
        self._free_ns = t_ns

    # --- out

    def answer(self, line: bytes, value: str | None, t_ns: int, *, prompt: bool = True) -> None:
        """Send the echo of a line, the value if it has one, and the prompt, unless that is owed for later."""
        told = b"" if value is None else value.encode("ascii") + b"\r"
        self.replies.send(line + b"\r" + told + PROMPT * prompt, t_ns)

    def prompt(self, t_ns: int) -> None:
        """Send the prompt that was owed."""
        self.replies.send(PROMPT, t_ns)

    # --- parts

    def _hear(self, byte: bytes) -> None:
        if byte == b"\r":
            line = self._begun + b"~" * self._too_long  # no longer what anybody sent, nor any command
            self._begun, self._too_long = b"", False
            if len(self._waiting) < WAITING_AT_MOST:
                self._waiting.append((self._heard_ns, line))
        elif byte != b"\n":
            if len(self._begun) < LINE_BYTES:
                self._begun += byte
            else:
                self._too_long = True


class Keywords:
    """What a line means: a word that does something, `name=argument`, `name?`, or nothing.

    Parameters
    ----------
    verbs   words that stand for themselves; each does its work and returns what it says, if anything
    assign  sets the number called `name`, or refuses: returns what is said then
    """

    def __init__(self, verbs: Mapping[str, Callable[[], str | None]], assign: Callable[[str, str], str | None]) -> None:
        self._verbs = verbs
        self._assign = assign

    def execute(self, line: bytes, settings: Mapping[str, int]) -> str | None:
        """Execute a line of any bytes; return what it says between echo and prompt, None for nothing."""
        text = line.decode("latin-1")
        if not text:
            return None
        if (verb := self._verbs.get(text)) is not None:
            return verb()
        name, equals, argument = text.partition("=")
        if equals:
            return self._assign(name, argument)
        if text.endswith("?") and text[:-1] in settings:
            return str(settings[text[:-1]])
        return NOT_DEFINED
