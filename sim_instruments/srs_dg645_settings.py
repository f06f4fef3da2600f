"""What can be set on a DG645: the table of settings, the links between delays, and the timing that follows from both.

All values are integers: V in 10 mV, Hz in uHz, delays in ps (5 ps steps), the burst period in ns (10 ns steps).
Source: DG645 operating manual, remote programming and specifications; the maker's driver srsinst.dg645.
"""

from dataclasses import dataclass

from sim_instruments.srs_dg645_grammar import Code, CommandError, fixed, read_index, read_integer, read_number

CHANNELS = range(10)  # T0, T1, A..H
DELAYS = range(2, 10)  # A..H: the channels that can be set
OUTPUTS = range(5)  # T0, AB, CD, EF, GH
PRESCALED = range(1, 5)

MAX_DELAY_PS = 1_999_999_999_999_995
T0_TAIL_PS = 25_000  # T0 falls this long after the last delay
RECOVERY_PS = 100_000  # after the last delay the next trigger is taken
SINGLE_SHOT_SOURCES = (3, 4, 5)


@dataclass(frozen=True, slots=True)
class Dg645Quirks:
    """What the manual leaves open or says twice; every field is a guess until it is measured on the instrument.

    Parameters
    ----------
    prescalers_count_burst_cycles  output prescalers count every cycle of a burst; else every burst once
    phase_is_ordinal               phase p enables the p-th cycle; else the (p + 1)-th (the counter starts at 0)
    counters_restart               ADVT 0 -> 1 restarts all prescale counters and PRES i that of i; else they run on
    prescale_refused_single_shot   PRES and PHAS are an illegal mode (11) with TSRC 3..5; else accepted, without effect
    overrun_by_waiting_commands    commands that wait to be executed fill the input buffer (a serial line without
                                   handshake); else only one endless command does (TCP and GPIB hold the sender back)
    output_prescale_max            65535 (manual) or 2**31 - 1 (the maker's driver)
    burst_period_max_ns            2000 s - 10 ns (manual) or 42.9 s (data sheet)
    line_rate_hz                   the mains
    """

    prescalers_count_burst_cycles: bool = True
    phase_is_ordinal: bool = False
    counters_restart: bool = True
    prescale_refused_single_shot: bool = False
    overrun_by_waiting_commands: bool = False
    output_prescale_max: int = 2**16 - 1
    burst_period_max_ns: int = 2_000_000_000_000 - 10
    line_rate_hz: int = 50


@dataclass(frozen=True, slots=True)
class Pulse:
    """One output's pulse, counted from T0 (ps), its levels into 50 ohm (V)."""

    begin_ps: int
    end_ps: int
    idle_v: float
    active_v: float


@dataclass(frozen=True, slots=True)
class Timing:
    """All that decides when something leaves an output; `pulses`, `prescale`, `phase` go by output (T0, AB, CD, EF, GH).

    `prescale[0]` divides the triggers. `busy_ps` is the time from a T0 to the next possible one.
    """

    source: int
    rate_uhz: int
    level_v: float
    inhibit: int
    busy_ps: int
    prescaled: bool
    prescale: tuple[int, ...]
    phase: tuple[int, ...]
    burst: bool
    burst_count: int
    burst_period_ps: int
    burst_delay_ps: int
    t0_on_first_only: bool
    pulses: tuple[Pulse, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """One command that sets and asks one number.

    Parameters
    ----------
    default, low, high  integers in the setting's unit
    decimals            None for an integer parameter, else the unit is 10**-decimals
    quantum             resolution, in units
    indexes             which first parameters there are; empty: the command has none
    aborts              writing it ends what is running. Assumed for levels and for an unchanged value.
    """

    default: int
    low: int
    high: int
    decimals: int | None = None
    quantum: int = 1
    indexes: range = range(0)
    aborts: bool = True

    def read(self, text: str) -> int:
        """Read the parameter; the range is not checked. Raises CommandError."""
        return read_integer(text) if self.decimals is None else read_number(text, self.decimals, self.quantum)

    def write(self, value: int) -> str:
        """Write the answer to the query."""
        return str(value) if self.decimals is None else fixed(value, self.decimals)


_LONGEST = (0, 0, MAX_DELAY_PS, 12, 5)
_STEP_PS = (10_000, 5, MAX_DELAY_PS, 12, 5)  # the default sizes of all steps: assumed

SETTINGS: dict[str, Setting] = {
    "TSRC": Setting(5, 0, 6),
    "TRAT": Setting(1_000_000_000, 100, 10**13, 6),
    "TLVL": Setting(100, -350, 350, 2),
    "HOLD": Setting(*_LONGEST),  # upper limit and resolution assumed
    "INHB": Setting(1, 0, 5),
    "ADVT": Setting(0, 0, 1),
    "PRES": Setting(1, 1, 2**30 - 1, indexes=OUTPUTS),
    "PHAS": Setting(0, 0, 2**31 - 2, indexes=PRESCALED),  # a phase that the counter never reaches: assumed accepted
    "BURM": Setting(0, 0, 1),
    "BURC": Setting(5, 1, 2**32 - 1),
    "BURP": Setting(100_000, 100, 2_000_000_000_000 - 10, 9, 10),
    "BURD": Setting(0, 0, 2_000_000_000_000_000, 12, 5),
    "BURT": Setting(0, 0, 1),
    "LAMP": Setting(250, 50, 500, 2, indexes=OUTPUTS),
    "LOFF": Setting(0, -200, 200, 2, indexes=OUTPUTS),
    "LPOL": Setting(1, 0, 1, indexes=OUTPUTS),
    "SHDP": Setting(1, 0, 1, aborts=False),
    "SSTR": Setting(1_000_000, 1, 10**13, 6, aborts=False),
    "SSTL": Setting(10, 1, 350, 2, aborts=False),
    "SSHD": Setting(*_STEP_PS, aborts=False),
    "SSPS": Setting(1, 1, 2**30 - 1, indexes=OUTPUTS, aborts=False),
    "SSPH": Setting(1, 1, 2**30 - 1, indexes=PRESCALED, aborts=False),
    "SSBC": Setting(1, 1, 2**32 - 1, aborts=False),
    "SSBD": Setting(*_STEP_PS, aborts=False),
    "SSBP": Setting(1_000, 10, 2_000_000_000_000 - 10, 9, 10, aborts=False),
    "SSDL": Setting(*_STEP_PS, indexes=CHANNELS, aborts=False),
    "SSLA": Setting(10, 1, 500, 2, indexes=OUTPUTS, aborts=False),
    "SSLO": Setting(10, 1, 200, 2, indexes=OUTPUTS, aborts=False),
}

STEPS: dict[str, tuple[str, str]] = {  # command: (what it steps, the size of the step)
    "SPTR": ("TRAT", "SSTR"),
    "SPTL": ("TLVL", "SSTL"),
    "SPHD": ("HOLD", "SSHD"),
    "SPPS": ("PRES", "SSPS"),
    "SPPH": ("PHAS", "SSPH"),
    "SPBC": ("BURC", "SSBC"),
    "SPBD": ("BURD", "SSBD"),
    "SPBP": ("BURP", "SSBP"),
    "SPDL": ("DLAY", "SSDL"),
    "SPLA": ("LAMP", "SSLA"),
    "SPLO": ("LOFF", "SSLO"),
}

Key = tuple[str, int]
Values = dict[Key, int]


def default_values() -> Values:
    """Return what *RST sets: every setting, and DLAY and LINK of A..H (A, C, E, G = T0 + 0, B = A + 10 ns, ...)."""
    values = {(name, index): item.default for name, item in SETTINGS.items() for index in item.indexes or range(1)}
    for channel in DELAYS:
        trailing = channel % 2
        values["LINK", channel] = channel - 1 if trailing else 0
        values["DLAY", channel] = 10_000 if trailing else 0
    return values


def read_link(channel_text: str, reference_text: str) -> tuple[int, int]:
    """Read a channel that can be set (A..H) and the one that it refers to (T0, A..H). Raises CommandError 10 or 13."""
    channel = read_index(channel_text, DELAYS[0], DELAYS[-1])
    reference = read_index(reference_text, CHANNELS[0], CHANNELS[-1])
    if reference == 1:  # T1 is where T0 ends, after every delay
        raise CommandError(Code.ILLEGAL_LINK)
    return channel, reference


def _resolve(values: Values) -> dict[int, int]:
    """Return T0 and A..H as times after T0 (ps). Raises CommandError 13 for a loop, 12 for a time out of range."""
    times = {0: 0}
    for channel in DELAYS:
        chain: list[int] = []
        upwards = channel
        while upwards not in times:
            if upwards in chain:
                raise CommandError(Code.ILLEGAL_LINK)
            chain.append(upwards)
            upwards = values["LINK", upwards]
        for follower in reversed(chain):
            times[follower] = times[values["LINK", follower]] + values["DLAY", follower]
            if not 0 <= times[follower] <= MAX_DELAY_PS:
                raise CommandError(Code.ILLEGAL_DELAY)
    return times


class Settings:
    """The values that are set now, and the locations of *SAV."""

    def __init__(self, quirks: Dg645Quirks) -> None:
        self._values = default_values()
        self._saved: dict[int, Values] = {}
        self._limits = {("PRES", index): quirks.output_prescale_max for index in PRESCALED}
        self._limits["BURP", 0] = quirks.burst_period_max_ns

    def __getitem__(self, key: Key) -> int:
        return self._values[key]

    def write(self, changes: Values) -> None:
        """Set several values at once or none of them.

        Raises
        ------
        CommandError  10 out of range, 12 a delay out of range, 13 links in a loop
        """
        values = self._values | changes
        for (name, index), value in changes.items():
            item = SETTINGS.get(name)
            if item is not None and not item.low <= value <= self._limits.get((name, index), item.high):
                raise CommandError(Code.ILLEGAL_VALUE)
            if name in ("LAMP", "LOFF") and not abs(values["LAMP", index] + values["LOFF", index]) < 600:
                raise CommandError(Code.ILLEGAL_VALUE)
        _resolve(values)
        self._values = values

    def ask_link(self, channel: int) -> int:
        """Return the channel that `channel` refers to."""
        return self._values.get(("LINK", channel), 0)

    def ask_delay(self, channel: int) -> int:
        """Return the delay (ps) of a channel against the one it refers to; T1 is the end of T0."""
        if channel == 1:
            return self.timing().pulses[0].end_ps
        return self._values.get(("DLAY", channel), 0)

    def reset(self) -> None:
        """*RST."""
        self._values = default_values()

    def save(self, location: int) -> None:
        """*SAV."""
        self._saved[location] = dict(self._values)

    def recall(self, location: int) -> None:
        """*RCL; location 0 holds the defaults. Raises CommandError 14 for a location never saved (assumed)."""
        if location and location not in self._saved:
            raise CommandError(Code.RECALL_FAILED)
        self._values = dict(self._saved[location]) if location else default_values()

    def timing(self) -> Timing:
        """Resolve links, holdoff, levels and prescalers."""
        value = self._values
        times = _resolve(value)
        advanced = value["ADVT", 0] == 1
        holdoff_ps = value["HOLD", 0] if advanced else 0
        longest_ps = max(times.values())
        # assumed: a pulse lies between its two delays whichever comes first
        spans = [(0, max(holdoff_ps, longest_ps + T0_TAIL_PS))]
        spans += [tuple(sorted((times[2 * output], times[2 * output + 1]))) for output in PRESCALED]
        return Timing(
            source=value["TSRC", 0],
            rate_uhz=value["TRAT", 0],
            level_v=value["TLVL", 0] / 100,
            inhibit=value["INHB", 0],
            busy_ps=max(holdoff_ps, longest_ps + RECOVERY_PS),
            prescaled=advanced and value["TSRC", 0] not in SINGLE_SHOT_SOURCES,
            prescale=tuple(value["PRES", output] for output in OUTPUTS),
            phase=(0, *(value["PHAS", output] for output in PRESCALED)),
            burst=value["BURM", 0] == 1,
            burst_count=value["BURC", 0],
            burst_period_ps=value["BURP", 0] * 1000,
            burst_delay_ps=value["BURD", 0],
            t0_on_first_only=value["BURT", 0] == 1,
            pulses=tuple(self._pulse(output, *spans[output]) for output in OUTPUTS),
        )

    def _pulse(self, output: int, begin_ps: int, end_ps: int) -> Pulse:
        low = self._values["LOFF", output]
        levels = (low / 100, (low + self._values["LAMP", output]) / 100)
        idle_v, active_v = levels if self._values["LPOL", output] else reversed(levels)
        return Pulse(begin_ps, end_ps, idle_v, active_v)
