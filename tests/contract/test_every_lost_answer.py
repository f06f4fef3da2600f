"""Every message and every reply of every conversation goes wrong once, in every way: told, or survived, and never believed.

Wherever a mishap falls into a story, either an error comes, or what the driver says and does is what the world's own record
says. Afterwards going safe makes it safe in truth, and the instrument can be prepared and used again.
"""

from typing import Any

import numpy as np
import pytest
from mishaps import OF_MESSAGES, OF_REPLIES, SWALLOWED, Mishap
from role_bench import FACTS, LINK_NAMES, MS
from stories import PREPARE, STORIES, Stage, Story, go_off

from drivers.errors import InstrumentError, LinkDesync
from drivers.link import Link, LinkState
from drivers.registry import DriverEntry, entries
from sim_instruments import visa_library

AT_MOST = 8  # numbers of one kind of mishap in a story, spread over it
PREPARATIONS = 4
ON_A_STREAM = ("doubled", "cut", "noise before")  # a link that marks the ends of messages does not do that
POWER = "off and on before"


def begin(stage: Stage, story: Story) -> None:
    """Prepare, as often as it takes; what was late has come by the end."""
    stage.mishaps.forget()
    stage.world.film._leaks.clear()
    stage.world.cable_to("spectrometer.trigger").fault = None
    for left in reversed(range(PREPARATIONS)):
        try:
            PREPARE.get(stage.role, lambda stage: stage.one.prepare())(stage)
        except InstrumentError:
            if not left:
                raise
            stage.wait(0.5)
        else:
            break
    story.before(stage)


def go_through(stage: Stage, story: Story, plan: Mishap) -> None:
    begin(stage, story)
    stage.mishaps.expect(plan)
    try:
        told = story.act(stage)
        assert not (plan.kind.startswith("interrupted") and stage.mishaps.happened), "an interrupt was swallowed"
        story.judge(stage, told)
    except LinkDesync:
        # who is told that nothing more is believed until the link is proved must be told the truth
        assert stage.links[stage.role].state is LinkState.DOUBTFUL
    except (InstrumentError, KeyboardInterrupt):
        pass  # told
    if hasattr(stage.one, "make_safe"):
        go_off(stage)


def plans(stage: Stage, story: Story) -> list[Mishap]:
    """Every kind of mishap at every message or reply of the story, or at some spread over it."""
    begin(stage, story)
    stage.mishaps.forget()
    told = story.act(stage)
    counts = dict.fromkeys(OF_REPLIES, stage.mishaps.replies) | dict.fromkeys(OF_MESSAGES, stage.mishaps.messages)
    story.judge(stage, told)
    if stage.links[stage.role].has_device_clear:
        counts |= dict.fromkeys(ON_A_STREAM, 0)
    if story.powered:
        counts[POWER] = 0
    if story.act is not go_off:
        counts[SWALLOWED] = 0
    return [Mishap(kind, number) for kind, count in counts.items() for number in spread(count)]


def spread(count: int) -> list[int]:
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, AT_MOST))}) if count else []


def models() -> list[Any]:
    return [
        pytest.param(entry, resource, story, id=f"{entry.model}-{LINK_NAMES[resource]}-{story.name}")
        for entry in entries()
        if entry.build is not None
        for resource in FACTS[entry.model].resources
        for story in STORIES[entry.role]
        if not (story.name == "walk" and not entry.kind.max_list_points)
    ]


@pytest.fixture(autouse=True)
def long_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing happens by itself on these benches: waiting in vain need not take small steps."""
    monkeypatch.setattr(visa_library, "STEP_NS", MS)


def wrongs(stage: Stage, story: Story) -> list[str]:
    """What was believed, done or left on although it was wrong, mishap by mishap."""
    found: list[str] = []
    for plan in plans(stage, story):
        try:
            go_through(stage, story, plan)
        except (AssertionError, Exception) as error:  # noqa: BLE001 - all of them at once
            found.append(f"{plan.kind} {plan.number}: {type(error).__name__} {str(error)[:300]}")
    return found


@pytest.mark.fault("W1", "W2", "W3", "W4", "W5", "W11", "W12")
@pytest.mark.parametrize(("entry", "resource", "story"), models())
def test_wherever_a_mishap_falls_it_is_told_or_survived(entry: DriverEntry, resource: str, story: Story) -> None:
    found = wrongs(Stage(entry, resource), story)
    assert not found, "\n".join(found)


def test_a_link_that_does_not_look_for_answers_nobody_asked_for_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without that look an answer that comes twice is taken for the next one."""
    monkeypatch.setattr(Link, "_unasked", lambda link: False)
    [(entry, resource, story)] = [p.values for p in models() if p.id == "scpi-supply-line-hold"]
    assert any(wrong.startswith("doubled") for wrong in wrongs(Stage(entry, resource), story))
