"""Every page of docs/instruments against the simulated instrument it describes: what it says works is known there, what it says
is absent stands in KNOWINGLY_ABSENT, and no instrument and no page is alone."""

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rig.bench import default_bench
from sim_instruments.catalogue import PersonaEntry, Surroundings, entries
from sim_instruments.world import World

PAGES = Path(__file__).resolve().parents[2] / "docs" / "instruments"
ENTRIES = {entry.model: entry for entry in entries()}
S = 1_000_000_000


# --- what a page says -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    model: str
    command: str
    example: str
    says: str

    @property
    def there(self) -> bool:
        return self.says == "yes"


@cache
def page(model: str) -> str:
    return (PAGES / f"{model}.md").read_text(encoding="utf-8")


def rows(model: str) -> list[Row]:
    """The rows of a page's table; an example is the first thing in code type."""
    found: list[Row] = []
    for line in page(model).splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 3 and cells[0] not in ("command", "---"):
            example = re.search(r"`([^`]+)`", cells[1])
            command = cells[0].replace("`", "").removesuffix(" (driver)")
            found.append(Row(model, command, example[1] if example else "", cells[2]))
    return found


def different(model: str) -> dict[str, str]:
    """The entries under "Knowingly different": name -> text."""
    _, _, text = page(model).partition("\n## Knowingly different\n")
    entries = re.findall(r"^- (.+?): (.+)$", text.partition("\n## ")[0], re.MULTILINE)
    return {name.replace("`", ""): why for name, why in entries}


MODELS = sorted(path.stem for path in PAGES.glob("*.md") if path.stem != "README")
ROWS = [row for model in MODELS for row in rows(model)]


# --- what the instrument does -----------------------------------------------------------------------------------------


class Talk:
    """A new instrument alone, at a time later than everything before: all of them share the light and the film of one bench."""

    now_ns = S

    def __init__(self, entry: PersonaEntry) -> None:
        bench = surroundings()
        settings = {"model": entry.model, "resource": entry.resource}
        self.persona = entry.make(replace(bench, rng=np.random.default_rng(0), settings=settings))
        self._wait(S // 1000)

    def hear(self, message: bytes, wait_s: float = 3.0) -> bytes:
        """Send bytes; return everything that is said within a time."""
        self.persona.receive(message, Talk.now_ns)
        end_ns, said = Talk.now_ns + round(wait_s * S), b""
        while (ready_ns := self.persona.reply_ready_ns(Talk.now_ns)) is not None and ready_ns <= end_ns:
            self._wait(max(0, ready_ns - Talk.now_ns))
            said += self.persona.take(1 << 20, Talk.now_ns)[0]
        self._wait(end_ns - Talk.now_ns)
        return said

    def _wait(self, duration_ns: int) -> None:
        Talk.now_ns += duration_ns
        self.persona.run_until(Talk.now_ns)


@cache
def surroundings() -> Surroundings:
    world = World(default_bench().description(), 0)
    return Surroundings(world.terminal, world.light_path, world.beam, np.random.default_rng(0), {})


def queue(talk: Talk, question: bytes) -> list[str]:
    """Empty an error queue by asking; entries without their texts."""
    codes: list[str] = []
    while (code := re.split(rb"[,\r\n]", talk.hear(question, 0.1))[0].lstrip(b"+").decode()) != "0":
        assert len(codes) < 40
        codes.append(code)
    return codes


def scpi(entry: PersonaEntry, example: str) -> list[str]:
    talk = Talk(entry)
    talk.hear(b"*CLS\n", 0.1)
    talk.hear(example.encode() + b"\n")
    return queue(talk, b"SYST:ERR?\n")


def dg645(entry: PersonaEntry, example: str) -> list[str]:
    talk = Talk(entry)
    talk.hear(example.encode() + b"\n", 100.0)  # a calibration takes a minute
    talk.hear(b"XTRM 13,10\n", 0.1)
    return queue(talk, b"LERR?\n")


def obp(entry: PersonaEntry, example: str) -> list[str]:
    """`0x110010 e8 03 00 00` sets, `0x000100?` asks."""
    talk = Talk(entry)
    code, _, data_text = example.partition(" ")
    data = bytes.fromhex(data_text)
    head = struct.pack(
        "<2sHHHII6xBB16sI",
        b"\xc1\xc0",
        0x1100,
        0 if "?" in code else 4,
        0,
        int(code.rstrip("?"), 16),
        0,
        0,
        len(data),
        data,
        20,
    )
    reply = talk.hear(head + bytes(16) + b"\xc5\xc4\xc3\xc2")
    assert reply, "no answer"
    error = struct.unpack_from("<H", reply, 6)[0]
    return [str(error)] if error else []


def ell14(entry: PersonaEntry, example: str) -> list[str]:
    return re.findall(r"GS0[3-8A-F]", Talk(entry).hear(example.encode()).decode())


def sc10(entry: PersonaEntry, example: str) -> list[str]:
    return re.findall(r"CMD_\w+", Talk(entry).hear(example.encode() + b"\r").decode())


def usb4000(entry: PersonaEntry, example: str) -> list[str]:
    """Hex pairs; what it does not know it skips in silence, which only its own table can tell."""
    known: Mapping[int, int] = import_module("sim_instruments.ocean_usb4000_commands").LENGTHS
    command = bytes.fromhex(example)
    Talk(entry).hear(command)
    return [] if known.get(command[0]) == len(command) else ["no such"]


ASK: dict[str, tuple[Callable[[PersonaEntry, str], list[str]], frozenset[str]]] = {
    "srs-dg645": (dg645, frozenset({"110", "111"})),
    "ocean-fx": (obp, frozenset({"2"})),
    "ocean-usb4000": (usb4000, frozenset({"no such"})),
    "thorlabs-ell14": (ell14, frozenset({"GS03"})),
    "thorlabs-sc10": (sc10, frozenset({"CMD_NOT_DEFINED"})),
    "thorlabs-fw102c": (sc10, frozenset({"CMD_NOT_DEFINED"})),
}
SCPI = (scpi, frozenset({"-110", "-111", "-112", "-113", "-114"}))
# pages whose examples are sent without any complaint, not only known by name
NEEDS_A_MODE = "0x100902 start acquiring"  # not ready (7) in the mode after power-on
WITHOUT_COMPLAINT = ("keithley-2400", "srs-dg645", "ocean-fx")


def absent(model: str) -> dict[str, str]:
    """KNOWINGLY_ABSENT of an instrument, its keys as a page writes them."""
    name = f"sim_instruments.{model.replace('-', '_')}"
    module = import_module("sim_instruments.ocean_fx_messages" if model == "ocean-fx" else name)
    table: Mapping[Any, str] = module.KNOWINGLY_ABSENT
    return {key if isinstance(key, str) else f"0x{key:06X}": why for key, why in table.items()}


# --- the tests --------------------------------------------------------------------------------------------------------


def test_every_instrument_has_a_page_and_every_page_an_instrument() -> None:
    assert set(MODELS) == set(ENTRIES)


@pytest.mark.parametrize("row", [row for row in ROWS if row.there], ids=lambda row: f"{row.model} {row.command}")
def test_what_a_page_says_is_there_is_known(row: Row) -> None:
    ask, unknown = ASK.get(row.model, SCPI)
    complaints = ask(ENTRIES[row.model], row.example)
    assert not unknown & set(complaints)
    if row.model in WITHOUT_COMPLAINT and row.command != NEEDS_A_MODE:
        assert not complaints


@pytest.mark.parametrize("model", MODELS)
def test_what_a_page_says_is_absent_is_what_the_instrument_says(model: str) -> None:
    said = {row.command: row.says for row in rows(model) if not row.there}
    assert all(text.startswith("no: ") for text in said.values())
    told = {command: text.removeprefix("no: ") for command, text in said.items()} | different(model)
    assert told == absent(model)


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if not row.there and row.model in WITHOUT_COMPLAINT],
    ids=lambda row: f"{row.model} {row.command}",
)
def test_what_a_page_says_is_absent_is_refused(row: Row) -> None:
    ask, _ = ASK.get(row.model, SCPI)
    assert ask(ENTRIES[row.model], row.example)


def test_a_command_that_nobody_knows_is_seen_as_such() -> None:
    """The judge itself: each kind of instrument, with nonsense."""
    nonsense = {"srs-dg645": "ABCD 1", "ocean-fx": "0x123456?", "thorlabs-ell14": "0zz", "thorlabs-sc10": "nonsense"}
    nonsense |= {"ocean-usb4000": "77"}
    for model in MODELS:
        ask, unknown = ASK.get(model, SCPI)
        assert unknown & set(ask(ENTRIES[model], nonsense.get(model, "NONSENSE 1"))), model


@pytest.mark.parametrize("model", MODELS)
def test_a_page_has_a_heading_a_paragraph_and_a_table(model: str) -> None:
    lines = page(model).splitlines()
    assert lines[0].startswith("# ")
    assert sum(line == "| command | example | in the simulated instrument |" for line in lines) == 1
    assert len({row.command for row in rows(model)}) == len(rows(model)) > 9
    assert max(map(len, [line for line in lines if not line.startswith("|")])) <= 400


def test_the_index_names_every_instrument_by_role() -> None:
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| ([a-z ]+) \| \[([a-z0-9-]+)\]\(([a-z0-9-]+)\.md\) \|", index, re.MULTILINE)
    assert {(role, model, file) for role, model, file in named} == {
        (entry.role.replace("_", " "), entry.model, entry.model) for entry in ENTRIES.values()
    }
    assert len(named) == len(ENTRIES)
