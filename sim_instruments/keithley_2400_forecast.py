"""When an idle Keithley 2400 will have answered what the host has just sent, told without trying it out.

Messages are executed one after the other as they arrive; while the trigger model is idle a plain question is answered at that
very moment, and a READ? in fixed mode after a time that follows from the settings. For everything else only a copy of the
instrument that runs ahead can tell.
"""

from collections.abc import Iterable

from sim_instruments.keithley_2400_commands import Answer, parse
from sim_instruments.keithley_2400_meter import SourceMeter


class UnforeseenError(Exception):
    """Only trying it out tells."""


def foretell(meter: SourceMeter, incoming: Iterable[tuple[int, str]]) -> int | None:
    """When the first reply to `incoming` (arrival ns, message) is there; None when none of them asks anything.

    `meter` is idle and nothing else waits to be executed. Raises UnforeseenError.
    """
    messages = tuple(incoming)
    certain = (Answer.NONE, Answer.AT_ONCE)
    for number, (arrival_ns, text) in enumerate(messages):
        units = parse(text).units
        answers = [unit.entry.answer_to(unit.params) for unit in units]
        if all(answer is Answer.NONE for answer in answers):
            continue  # a setting; should it fail, nothing else comes of it
        if answers[0] is Answer.AT_ONCE and all(answer in certain for answer in answers):
            return arrival_ns
        alone = number == len(messages) - 1 and not any(parse(before).units for _, before in messages[:number])
        if alone and answers[-1] is Answer.READING and all(answer is Answer.AT_ONCE for answer in answers[:-1]):
            reading_ns = meter.reading_ns()
            if reading_ns is not None:
                return arrival_ns + reading_ns
        raise UnforeseenError
    return None
