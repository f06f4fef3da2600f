"""Text messages, client side: identities, error queues, settings with read-back, answers that must fit their question."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

from pymeasure.adapters import Adapter
from pymeasure.instruments import Instrument
from pymeasure.instruments.common_base import CommonBase
from pymeasure.instruments.validators import strict_discrete_set, strict_range

from drivers.errors import InstrumentError, LinkDesync, ReadbackMismatch
from drivers.link import Link, conversation
from drivers.registry import require_same
from drivers.roles import Identity

T = TypeVar("T")

ERRORS_AT_MOST = 64  # more than any error queue holds: a queue that never empties is a fault of its own


class Fenced(CommonBase):
    """Mixin for PyMeasure instruments and channels: a question and its answer are one conversation, and numbers are numbers.

    PyMeasure hands back the text when a cast fails; here that is a LinkDesync, since the answer belongs to another question.
    """

    @property
    def _adapter(self) -> Adapter:
        return cast(Any, getattr(self, "parent", self)).adapter

    def ask(self, command: str, query_delay: float | None = None) -> str:
        """Send a question and return its answer, as one conversation."""
        with conversation(self._adapter):
            self.write(command)
            self.wait_for(query_delay)
            return self._adapter.read()  # not self.read(): a role may use that name for a measurement

    def values(self, command: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Ask and split the answer.

        Raises
        ------
        LinkDesync  an element of the answer is not of the type asked for
        """
        with conversation(self._adapter):
            found = super().values(command, *args, **kwargs)
            if kwargs.get("cast") is not str and any(isinstance(value, str) for value in found):
                raise unexpected(command, found)
        return found

    def asked(self, command: str, read: Callable[[str], T]) -> T:
        """Ask and `read` the answer in the same conversation: one that does not fit leaves the link in doubt."""
        with conversation(self._adapter):
            return read(self.ask(command))

    def numbers(self, command: str, count: int) -> list[float]:
        """Ask for exactly `count` numbers.

        Raises
        ------
        LinkDesync  other than that came
        """
        with conversation(self._adapter):
            found = self.values(command)
            if len(found) != count:
                raise unexpected(command, found)
        return found


def unexpected(command: str, answer: object) -> LinkDesync:
    """Make the error for an answer that does not fit its question."""
    return LinkDesync(
        f"The answer to {command!r} was {str(answer)[:80]!r}, which does not fit the question.",
        where=command,
        hardware_state="unknown: the answer may belong to an earlier question",
        next_step="the link is cleared and proved again before anything else is believed",
    )


def prove(instrument: Fenced, identify: Callable[[], Identity], known: Identity | None) -> None:
    """Show that answers are answers to what was just asked, and that the same instrument gives them.

    A number that changes from call to call goes into the event enable register and is asked back (both instruments keep an
    8-bit *ESE register that nothing else here uses): a late answer cannot be taken for it.

    Raises
    ------
    LinkDesync     the number did not come back
    WrongIdentity  the instrument is not `known`
    """
    adapter = cast(Any, instrument).adapter
    if isinstance(adapter, Link):
        nonce = str(next(adapter.nonces))
        adapter.fence(f"*ESE {nonce};*ESE?", nonce)
    require_same(identify(), known)


# --- identity -----------------------------------------------------------------------------------------------------


def parse_identity(answer: str) -> Identity:
    """Read an answer to *IDN?: maker, model, serial, firmware, with or without blanks after the commas.

    Raises
    ------
    LinkDesync  it has not four fields
    """
    fields = [field.strip() for field in answer.split(",", maxsplit=3)]
    if len(fields) != 4 or not all(fields[:2]):
        raise unexpected("*IDN?", answer)
    maker, model, serial, firmware = fields
    return Identity(maker, re.sub(r"^model\s+", "", model, flags=re.IGNORECASE), serial.removeprefix("s/n"), firmware)


# --- errors -------------------------------------------------------------------------------------------------------


def drain_errors(next_error: Callable[[], tuple[int, str]], name: str) -> list[str]:
    """Empty an error queue; `next_error` returns (0, ...) when nothing is left.

    Raises
    ------
    InstrumentError  the queue does not come to an end
    """
    found: list[str] = []
    for _ in range(ERRORS_AT_MOST):
        code, text = next_error()
        if code == 0:
            return found
        found.append(f"{code} {text}".rstrip())
    raise InstrumentError(
        f"The error queue of {name} does not come to an end; the last error is {found[-1]}.",
        where=name,
        hardware_state="unknown",
        next_step="switch the instrument off and on, then start again",
    )


def parse_error(answer: str) -> tuple[int, str]:
    """Read an answer to SYST:ERR?: `-113,"Undefined header"` -> (-113, "Undefined header").

    Raises
    ------
    LinkDesync  it is nothing like that
    """
    code, _, text = answer.partition(",")
    try:
        return int(code), text.strip().strip('"')
    except ValueError:
        raise unexpected("SYST:ERR?", answer) from None


def require_no_errors(found: Sequence[str], name: str, doing: str) -> None:
    """Raise InstrumentError when the instrument has reported errors."""
    if found:
        raise InstrumentError(
            f"{name} reported errors while {doing}: {'; '.join(found)}",
            where=name,
            hardware_state="partly set up, output not switched on by this",
            next_step="look the numbers up in the instrument's manual; the settings that were refused are not in force",
        )


# --- settings -----------------------------------------------------------------------------------------------------


def switch(command: str, docs: str) -> Any:
    """Make a PyMeasure property for an on/off setting (bool); any answer but 0 reads as on."""
    return Instrument.control(
        f"{command}?", f"{command} %d", docs, validator=strict_discrete_set, values=(True, False), cast=bool, maxsplit=0
    )


def number(command: str, docs: str, low: float, high: float, form: str = "%g") -> Any:
    """Make a PyMeasure property for a real setting within [low, high]."""
    return Instrument.control(f"{command}?", f"{command} {form}", docs, validator=strict_range, values=(low, high), maxsplit=0)


def integer(command: str, docs: str, low: int, high: int) -> Any:
    """Make a PyMeasure property for a whole-number setting within [low, high]."""
    return Instrument.control(
        f"{command}?", f"{command} %d", docs, validator=strict_range, values=(low, high), cast=whole, maxsplit=0
    )


def choice(command: str, docs: str, values: Sequence[str]) -> Any:
    """Make a PyMeasure property for a setting with words as values (str)."""
    return Instrument.control(
        f"{command}?",
        f"{command} %s",
        docs,
        validator=strict_discrete_set,
        values=tuple(values),
        cast=str,
        maxsplit=0,
        get_process=str.strip,
    )


def subset(command: str, docs: str, values: Sequence[str], quoted: bool = False) -> Any:
    """Make a PyMeasure property for several words out of `values`; sent in their order, read as a list (":DC" dropped)."""
    mark = '"' if quoted else ""

    def bare(words: Sequence[str]) -> list[str]:
        return [word.strip('" ').partition(":")[0] for word in words]

    return Instrument.control(
        f"{command}?",
        f"{command} %s",
        docs,
        validator=_some_of,
        values=tuple(values),
        set_process=lambda words: ",".join(f"{mark}{word}{mark}" for word in words),
        cast=str,
        get_process=lambda word: bare([word]),
        get_process_list=bare,
    )


def flag(command: str, docs: str) -> Any:
    """Make a PyMeasure property for a yes/no that can only be read (bool)."""
    return Instrument.measurement(f"{command}?", docs, cast=bool, maxsplit=0)


def register(command: str, docs: str) -> Any:
    """Make a PyMeasure property for a whole number that can only be read."""
    return Instrument.measurement(f"{command}?", docs, cast=whole, maxsplit=0)


def whole(text: str) -> int:
    """Read a whole number in any of its spellings ("5", "+5.000000E+00"); ValueError or OverflowError when it is none."""
    value = float(text)
    if int(value) != value:
        raise ValueError(f"{text!r} is no whole number")
    return int(value)


def _some_of(wanted: Sequence[str], allowed: Sequence[str]) -> list[str]:
    if isinstance(wanted, str) or not wanted:
        raise ValueError(f"a sequence of one or more of {allowed} is needed")
    for word in wanted:
        strict_discrete_set(word, allowed)
    return [word for word in allowed if word in wanted]


def set_and_confirm(unit: CommonBase, where: str, name: str, value: float, tolerance: float = 0.0) -> None:
    """Set a property and read it back.

    Raises
    ------
    ReadbackMismatch  the instrument has another value than `value` +- `tolerance`
    """
    setattr(unit, name, value)
    found = getattr(unit, name)
    if not abs(found - value) <= tolerance:
        raise ReadbackMismatch(
            f"{where}: {name} was set to {value:g}, the instrument says {found:g}.",
            where=where,
            hardware_state="partly set up",
            next_step="the value may not be possible together with the others; see the instrument's error queue",
        )


def batches(values: Sequence[float], size: int) -> Iterator[str]:
    """Comma-separated texts of at most `size` values each."""
    for start in range(0, len(values), size):
        yield ",".join(f"{value:.7g}" for value in values[start : start + size])
