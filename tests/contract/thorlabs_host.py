"""A host in front of a simulated Thorlabs instrument on a serial line, and the table of commands on its page."""

import re
from pathlib import Path

from sim_instruments.persona import Persona

PAGES = Path(__file__).parents[2] / "docs" / "instruments"
ROW = re.compile(r"^\| `(?P<command>[^|]*)` \| (?P<example>.*) \| (?:(?P<yes>yes)|no: (?P<reason>.*)) \|$", re.MULTILINE)


class Host:
    """A host that waits for everything that comes; what is sent `before` is answered, whatever the answer."""

    def __init__(self, persona: Persona, *before: bytes) -> None:
        self.persona = persona
        self.t_ns = 0
        for data in before:
            self.exchange(data)

    def exchange(self, data: bytes) -> bytes:
        """Answers to all of `data`, joined."""
        self.persona.receive(data, self.t_ns)
        found = b""
        while (ready_ns := self.persona.reply_ready_ns(self.t_ns)) is not None:
            self.t_ns = max(self.t_ns, ready_ns)
            self.persona.run_until(self.t_ns)
            found += self.persona.take(1 << 16, self.t_ns)[0]
        return found

    def ask(self, line: str) -> str:
        """What stands between echo and prompt, "" when nothing does."""
        found = self.exchange(line.encode() + b"\r").decode()
        assert found.startswith(line + "\r")
        assert found.endswith("> ")
        value = found[len(line) + 1 : -2]
        assert value == "" or value.endswith("\r")
        return value[:-1]


def told_of(model: str) -> dict[str, str | None]:
    """What the page of a model says of each command: why it is absent, None when it is there."""
    text = (PAGES / f"{model}.md").read_text("utf-8")
    return {row["command"]: row["reason"] for row in ROW.finditer(text)}


def absent(told: dict[str, str | None]) -> dict[str, str]:
    """Those commands that are absent, and why."""
    return {command: reason for command, reason in told.items() if reason is not None}
