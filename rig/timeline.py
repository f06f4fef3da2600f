"""What happens when inside a block: shots, edges and exposure windows on one integer-nanosecond axis, and the checks on them.

Every shot has the same pattern, given relative to its start. A block is a few counted bursts of shots; the time between two
bursts belongs to the host and holds no shot.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from drivers.errors import Reason
from rig.config_file import Loc, Where
from rig.sequence import Stretch

_INTEGRATION: Loc = ("spectrometer", "integration_time_s")
_DELAY: Loc = ("laser", "pulse_delay_s")
PULSE_MARGIN_NS = 2_000  # the pulse stays this far inside its window: jitter and clock granularity, with room


@dataclass(frozen=True, slots=True)
class ShotPattern:
    """One shot, relative to its start (ns): triggers out, pulse, exposure window, and the source's edge if it has one.

    Parameters
    ----------
    period_ns             from one shot to the next
    spectrometer_ns       trigger edge at the spectrometer
    laser_ns              trigger edge at the laser
    pulse_ns              the pulse reaches the film
    open_ns, close_ns     the exposure window
    ready_ns              the spectrometer can take its next trigger
    edge_ns, settled_ns   source's trigger edge and the end of its step; None in gated blocks
    triggers              evenly spaced edges of the generator in one shot: the spectrometer, busy, sees the first one only
    pulses                that reach the film in one shot, at `pulse_ns` and after it
    """

    period_ns: int
    spectrometer_ns: int
    laser_ns: int
    pulse_ns: int
    open_ns: int
    close_ns: int
    ready_ns: int
    edge_ns: int | None = None
    settled_ns: int | None = None
    triggers: int = 1
    pulses: int = 1

    @property
    def trigger_period_ns(self) -> int:
        """Get the time from one edge of the generator to the next (ns)."""
        return self.period_ns // self.triggers

    @property
    def last_pulse_ns(self) -> int:
        """Get when the last pulse of a shot reaches the film (ns)."""
        return self.pulse_ns + (self.triggers - 1) * self.trigger_period_ns


@dataclass(frozen=True, slots=True)
class Burst:
    """Shots that one software trigger releases.

    The first `lead_in` of them are never data. `stretch` is the index of the stretch in the block; None is a burst that is
    there for the source's edge alone.
    """

    shots: int
    lead_in: int
    voltage_v: float
    stretch: int | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """One block, expanded: the pattern of its shots, its bursts in order, its stretches."""

    pattern: ShotPattern
    bursts: tuple[Burst, ...]
    stretches: tuple[Stretch, ...]
    settle_shots: int

    @property
    def duration_ns(self) -> int:
        """Get the time that shots take (ns), without the host's gaps."""
        return sum(burst.shots for burst in self.bursts) * self.pattern.period_ns

    @property
    def shots(self) -> int:
        """Get the number of shots, lead-ins and closing shots included."""
        return sum(burst.shots for burst in self.bursts)


def shot_pattern(
    *,
    period_ns: int,
    integration_ns: int,
    readout_ns: int,
    pulse_delay_ns: int,
    exposure_delay_ns: int,
    source_step_ns: int | None,
    laser_runs_free: bool = False,
    triggers: int = 1,
    pulses: int = 1,
) -> ShotPattern:
    """Place the triggers of one shot: the pulse in the middle of its window, the window after the source has settled.

    A laser that is its own clock cannot be told when to fire: its sync edge is the start of the shot, `laser_ns` 0.

    Parameters
    ----------
    period_ns          of the generator's edges
    integration_ns     exposure around one pulse
    triggers, pulses   edges in one shot, and how many pulses of them reach the film: the exposure lasts for all of them
    pulse_delay_ns     trigger edge at the laser to pulse at the film
    exposure_delay_ns  trigger edge at the spectrometer to the beginning of its exposure
    source_step_ns     time from the source's edge (at the start of the shot) to its settled level; None without an edge
    """
    earliest_ns = 0 if source_step_ns is None else source_step_ns
    open_ns = max(earliest_ns, pulse_delay_ns - integration_ns // 2, exposure_delay_ns)
    pulse_ns = pulse_delay_ns if laser_runs_free else open_ns + integration_ns // 2
    close_ns = open_ns + integration_ns + (triggers - 1) * period_ns
    return ShotPattern(
        period_ns=period_ns * triggers,
        spectrometer_ns=open_ns - exposure_delay_ns,
        laser_ns=pulse_ns - pulse_delay_ns,
        pulse_ns=pulse_ns,
        open_ns=open_ns,
        close_ns=close_ns,
        ready_ns=close_ns + readout_ns,
        edge_ns=None if source_step_ns is None else 0,
        settled_ns=source_step_ns,
        triggers=triggers,
        pulses=pulses,
    )


def check_pattern(pattern: ShotPattern, where: Where) -> list[Reason]:
    """Return every reason why this pattern cannot be fired again and again; an empty list proves it."""
    reasons: list[Reason] = []

    def refuse(code: str, loc: Loc, message: str) -> None:
        reasons.append(Reason(code, where(loc), message))

    window = f"[{pattern.open_ns / 1e3:g}, {pattern.close_ns / 1e3:g}] us"
    if not pattern.close_ns - pattern.open_ns <= pattern.period_ns:
        refuse(
            "window-longer-than-period",
            _INTEGRATION,
            f"the exposure of {(pattern.close_ns - pattern.open_ns) / 1e3:g} us is longer than the shot period of "
            f"{pattern.period_ns / 1e3:g} us; lower spectrometer.integration_time_s or laser_trigger.rate_hz",
        )
    elif not pattern.ready_ns - pattern.open_ns <= pattern.period_ns:
        refuse(
            "spectrometer-too-slow",
            _INTEGRATION,
            f"exposure and read-out take {(pattern.ready_ns - pattern.open_ns) / 1e3:g} us, the shot period is "
            f"{pattern.period_ns / 1e3:g} us: every second trigger would be missed",
        )
    first_ns, last_ns = pattern.open_ns + PULSE_MARGIN_NS, pattern.close_ns - PULSE_MARGIN_NS
    if not (first_ns <= pattern.pulse_ns and pattern.last_pulse_ns <= last_ns):
        refuse(
            "pulse-outside-window",
            _DELAY,
            f"the pulse at {pattern.pulse_ns / 1e3:g} us is not inside the exposure window {window} with "
            f"{PULSE_MARGIN_NS / 1e3:g} us to spare on both sides",
        )
    if not 0 <= pattern.laser_ns:
        refuse(
            "laser-trigger-before-shot",
            _DELAY,
            f"the laser would have to be triggered {-pattern.laser_ns / 1e3:g} us before the shot starts; "
            "laser.pulse_delay_s and spectrometer.integration_time_s do not fit together",
        )
    if not pattern.close_ns <= pattern.period_ns:
        refuse(
            "window-beyond-period",
            _DELAY,
            f"the exposure window {window} ends after the shot period of {pattern.period_ns / 1e3:g} us: the pulse arrives "
            "too late in its shot (laser.pulse_delay_s)",
        )
    if pattern.edge_ns is not None and pattern.settled_ns is not None:
        if pattern.open_ns < pattern.edge_ns < pattern.close_ns:
            refuse(
                "edge-inside-window", _INTEGRATION, f"the source's edge at {pattern.edge_ns / 1e3:g} us lies inside {window}"
            )
        if not pattern.settled_ns <= pattern.open_ns:
            refuse(
                "source-not-settled",
                _INTEGRATION,
                f"the source has settled {pattern.settled_ns / 1e3:g} us into the shot, the window opens at "
                f"{pattern.open_ns / 1e3:g} us",
            )
    return reasons


def gated_bursts(stretch: Stretch) -> tuple[Burst, ...]:
    """One burst at one voltage, led in by one shot that is never data."""
    return (Burst(1 + stretch.shots, 1, stretch.voltage_v, 0),)


def stepped_bursts(stretches: tuple[Stretch, ...]) -> tuple[Burst, ...]:
    """Two bursts per stretch, the source stepping at the start of each, and one closing shot whose edge brings 0 V.

    The second one of a stretch is a single shot at the same level: the source measures at its steps only, so this is how it
    shows that it has held the level to the end.
    """
    bursts: list[Burst] = []
    for index, stretch in enumerate(stretches):
        lead_in = 1 if index == 0 else 0
        bursts += [Burst(lead_in + stretch.shots, lead_in, stretch.voltage_v, index), Burst(1, 1, stretch.voltage_v, None)]
    return (*bursts, Burst(1, 1, 0.0, None))


def swing_v(stretches: tuple[Stretch, ...]) -> float:
    """Largest step between neighbouring levels of a run that starts and ends at 0 V (V)."""
    levels = [0.0, *(stretch.voltage_v for stretch in stretches), 0.0]
    return max(abs(after - before) for before, after in pairwise(levels))


def on_time_s(stretch: Stretch, period_ns: int) -> float:
    """How long a stretch keeps a voltage on the film (s); 0 at 0 V."""
    # divided, not multiplied by 1e-9: 60 000 ms are exactly 60 s, so that a limit can be reached
    return 0.0 if stretch.voltage_v == 0.0 else stretch.shots * period_ns / 1e9


def joined_on_time(timelines: Sequence[Timeline], gap_s: float) -> tuple[float, int]:
    """Longest time with a voltage on across stretches that adjoin (s), with the host's gaps, and how many stretches those are.

    A stepped block ends at 0 V, a gated one at its own level.
    """
    longest, on_s, joined = (0.0, 0), 0.0, 0
    for one in timelines:
        for stretch in one.stretches:
            on = stretch.voltage_v != 0.0
            on_s = on_s + (gap_s if joined else 0.0) + on_time_s(stretch, one.pattern.period_ns) if on else 0.0
            joined = joined + 1 if on else 0
            longest = max(longest, (on_s, joined))
        if one.bursts[-1].voltage_v == 0.0:
            on_s, joined = 0.0, 0
    return longest
