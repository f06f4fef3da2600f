"""What a command of a Keithley 2450 is: executed with its parameters, waited for, refused while the trigger model runs."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from sim_instruments.keithley_2450_arguments import Arguments
from sim_instruments.keithley_2450_meter import SourceMeter
from sim_instruments.scpi import ScpiError

Params = tuple[str, ...]
Suffixes = tuple[int, ...]
Reply = str | bytes | None


class Waits(Enum):
    """What a command must wait for before the next one is executed."""

    NOTHING = auto()
    IDLE = auto()
    READING = auto()


@dataclass(frozen=True, slots=True)
class Command:
    """What a header does.

    Parameters
    ----------
    run        executes it
    asks       gives a reply
    waits      IDLE: is executed when the trigger model is idle; READING: the reply comes when the readings are taken
    configures changes what the trigger model may use: refused while it runs
    overtakes  may act past what waits
    """

    run: Callable[[SourceMeter, Params, Suffixes, int], Reply]
    asks: bool = False
    waits: Waits = Waits.NOTHING
    configures: bool = False
    overtakes: bool = False

    def __call__(self, meter: SourceMeter, params: Params, suffixes: Suffixes, t_ns: int) -> Reply:
        """Execute; ScpiError -221 when the running trigger model stands against it (code assumed)."""
        if self.configures and meter.trigger.running:
            raise ScpiError(-221)
        return self.run(meter, params, suffixes, t_ns)


Plain = Callable[[SourceMeter, int], Reply]
Given = Callable[[SourceMeter, Arguments, Suffixes, int], Reply]


def plain(run: Plain, **more: Any) -> Command:
    """Make a command without parameters; -108 when it gets one."""

    def checked(meter: SourceMeter, params: Params, suffixes: Suffixes, t_ns: int) -> Reply:
        if params:
            raise ScpiError(-108)
        return run(meter, t_ns)

    return Command(checked, **more)


def given(run: Given, **more: Any) -> Command:
    """Make a command that reads its parameters one by one; -108 when some are left."""

    def read(meter: SourceMeter, params: Params, suffixes: Suffixes, t_ns: int) -> Reply:
        arguments = Arguments(params)
        reply = run(meter, arguments, suffixes, t_ns)
        arguments.end()
        return reply

    return Command(read, **more)
