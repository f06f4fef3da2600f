"""From a block and a bench to one program per instrument, or every reason why not. Pure: nothing is opened, nothing moves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from drivers.errors import CompileError, Reason
from drivers.roles import (
    BurstProgram,
    Channel,
    ExposureProgram,
    HoldLevel,
    LevelList,
    PulseOutput,
    SourceProgram,
)
from rig.bench import Bench, Cable
from rig.bias_checks import check_bias, check_levels, duty
from rig.config_file import Loc, Where, dotted
from rig.frame_pattern import FIRED, SOURCE_GUARD_NS, check_exposure, dark_frames, frame_pattern
from rig.pump_program import Filter, check_drift, check_fluence, filter_of, plate_deg, weakening
from rig.sequence import Block, BlockMode, Light, Measurement, Mode
from rig.timeline import (
    ShotPattern,
    Timeline,
    check_pattern,
    gated_bursts,
    on_time_s,
    stepped_bursts,
)

TRIGGER_WIDTH_NS = 20_000  # both ends of the 2400's trigger link want >= 10 us (from memory, unverified); twice that
STEPPED_SETTLE_MIN_SHOTS = 5  # the source's own time stamps prove an edge to a few shots, so these must be flagged
BURST_GAP_S = 0.02  # what the host needs between two bursts, for the price only
ROW_BYTES = 109  # of a frame in the file, besides its pixels
MAX_SHOTS = 10**8  # a day at 1 kHz
FILM_HEATING_K_W = 75.0  # R1 + R2 of the film's two thermal resistances, assumed


@dataclass(frozen=True, slots=True)
class Facts:
    """What the chosen models are capable of, from their drivers; known without opening anything."""

    source_step_ns: int
    source_max_points: int
    spectrometer_readout_ns: int
    integration_min_ns: int
    integration_max_ns: int
    pixels: int = 2136
    shutter_s: float = 0.0  # to open and close once
    source_connector: str = "trigger_link"  # name of the source's trigger inputs without the number, "" when it has none
    source_bipolar: bool = True
    spectrometer_has_clock: bool = True


@dataclass(frozen=True, slots=True)
class Programs:
    """What each role is loaded with for one block; `plate_deg` is the attenuator's angle (deg), None without one.

    `filter` is what stands in the filter wheel's beam, the same in all blocks of a run; None without a wheel.
    """

    source: SourceProgram
    trigger: BurstProgram
    spectrometer: ExposureProgram
    plate_deg: float | None = None
    filter: Filter | None = None


@dataclass(frozen=True, slots=True)
class Compiled:
    """One block, ready to be loaded."""

    block: Block
    mode: BlockMode
    timeline: Timeline
    programs: Programs


@dataclass(frozen=True, slots=True)
class Price:
    """What a run costs before anything has moved."""

    shots: int
    duration_s: float
    file_bytes: int
    dose_j_cm2: float
    bias_v_s: float
    on_duty: float
    heating_max_k: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run: the mode and why, its blocks compiled once as proof, its price."""

    mode: BlockMode
    why: str
    blocks: tuple[Compiled, ...]
    price: Price
    planned_shots: int
    frame_capacity: int

    @property
    def filter_position(self) -> int | None:
        """Get where the filter wheel stands in the whole run; None without one."""
        at = self.blocks[0].programs.filter
        return None if at is None else at.position

    @property
    def lights(self) -> frozenset[Light]:
        """Get what reaches the film in the run, block by block."""
        return frozenset(one.block.exposure.light for one in self.blocks)

    @property
    def integration_ns(self) -> int:
        """Get how long every frame of the run is exposed (ns)."""
        return self.blocks[0].programs.spectrometer.integration_time_ns


@runtime_checkable
class DoseLimited(Protocol):
    """A measurement whose dose has to be accepted when it is above its limit (J/cm2)."""

    dose_limit_j_cm2: float
    dose_accepted: bool


def plan(measurement: Measurement, mode: Mode, bench: Bench, facts: Facts, where: Where = dotted) -> Plan:
    """Choose the mode, compile every block and price the run.

    Raises
    ------
    CompileError  with every reason at once; for mode "auto" only when gated blocks are impossible too
    """
    chosen = _plan(measurement, mode, bench, facts, _named(where, measurement))
    dose_j_cm2 = chosen.price.dose_j_cm2
    if isinstance(measurement, DoseLimited) and not (measurement.dose_accepted or dose_j_cm2 <= measurement.dose_limit_j_cm2):
        words = f"{dose_j_cm2:.4g} J/cm2 on the film, the sequence's own limit is {measurement.dose_limit_j_cm2:g} J/cm2"
        raise CompileError(
            "The film would get more light than the sequence allows without being asked.",
            (Reason("dose-above-limit", where(("parameters", "dose_limit_j_cm2")), words),),
            next_step="set dose_accepted = true if the film may have it; or fewer points, shots or passes",
        )
    return chosen


def _named(where: Where, measurement: Measurement) -> Where:
    """Name a key as the measurement does, which may say in `keys` what it calls those of on_off."""
    keys: Mapping[str | int, str] = getattr(measurement, "keys", {})

    def named(loc: Loc) -> str:
        return where((*loc[:-1], keys.get(loc[-1], loc[-1])) if loc[:1] == ("parameters",) else loc)

    return named


def _plan(measurement: Measurement, mode: Mode, bench: Bench, facts: Facts, where: Where) -> Plan:
    rate_hz = bench.laser_trigger.rate_hz
    reasons = measurement.check(rate_hz, where)
    if not reasons and not measurement.max_shots(rate_hz) <= MAX_SHOTS:
        reasons = [
            Reason(
                "run-too-long",
                where(("parameters",)),
                f"{measurement.max_shots(rate_hz):.3g} shots, "
                f"{measurement.max_shots(rate_hz) * frame_bytes(facts) / 1e12:.3g} TB; one run may have {MAX_SHOTS:.0e}",
            )
        ]
    if reasons:
        raise CompileError("The sequence does not fit this bench.", tuple(reasons), next_step="change what the reasons name")
    why = "asked for by the sequence"
    chosen: BlockMode = "gated" if mode == "auto" else mode
    because: str = getattr(measurement, "gated_because", "")  # of a measurement for which stepped blocks are of no use
    if because and mode == "stepped":
        reason = Reason("gated-only", where(("mode",)), f"this measurement needs gated blocks: {because}")
        raise CompileError("The sequence cannot run in stepped blocks.", (reason,), next_step='use mode = "gated" or "auto"')
    if because:
        why = because
    elif mode == "auto":
        blocks, against = _compile_all(measurement, "stepped", bench, facts, where)
        if not against:
            return _priced("stepped", "the bench has the cable and the compiler has proved the program", blocks, bench, facts)
        why = f"stepped blocks are not possible: {against[0].message}"
    blocks, against = _compile_all(measurement, chosen, bench, facts, where)
    if against:
        raise CompileError(
            f"This bench cannot run the sequence{'' if mode == 'auto' else f' in {chosen} blocks'}.",
            tuple(against),
            next_step='change what the reasons name, or use mode = "gated"'
            if chosen == "stepped"
            else "change what the reasons name",
        )
    return _priced(chosen, why, blocks, bench, facts)


def compile_block(block: Block, mode: BlockMode, bench: Bench, facts: Facts, where: Where = dotted) -> Compiled:
    """Expand one block into its timeline and one program per instrument.

    Raises
    ------
    CompileError  with every reason at once
    """
    compiled, reasons = _try_block(block, mode, bench, facts, where)
    if reasons:
        raise CompileError("The block cannot run on this bench.", tuple(reasons))
    return compiled


def _compile_all(
    measurement: Measurement, mode: BlockMode, bench: Bench, facts: Facts, where: Where
) -> tuple[tuple[Compiled, ...], list[Reason]]:
    found: dict[Reason, None] = {}
    compiled: list[Compiled] = []
    rate_hz = bench.laser_trigger.rate_hz
    left = measurement.max_shots(rate_hz)
    blocks: list[Block] = []
    for block in measurement.blocks(rate_hz, mode):
        left -= block.shots
        if left < 0 or block.shots < 1:  # a generator that never ends is found out, too
            return (), [_untrue(measurement, block, rate_hz, where)]
        blocks.append(block)
    bench = weakening(blocks, bench)
    for block in blocks:
        one, reasons = _try_block(block, mode, bench, facts, where)
        found.update(dict.fromkeys(reasons))
        compiled.append(one)
    found.update(dict.fromkeys(_check_whole_run(compiled, bench, where)))
    return tuple(compiled), list(found)


def _untrue(measurement: Measurement, block: Block, rate_hz: float, where: Where) -> Reason:
    declared = f"{measurement.max_shots(rate_hz)} shots were declared"
    message = f"{declared}, block {block.index} goes beyond them" if block.shots >= 1 else f"block {block.index} has no shots"
    return Reason("blocks-not-as-declared", where(("parameters",)), f"{message}: this is a defect of the measurement")


def _try_block(block: Block, mode: BlockMode, bench: Bench, facts: Facts, where: Where) -> tuple[Compiled, list[Reason]]:
    pattern = frame_pattern(
        block.exposure,
        bench,
        readout_ns=facts.spectrometer_readout_ns,
        source_step_ns=facts.source_step_ns + SOURCE_GUARD_NS if mode == "stepped" else None,
    )
    period_ns, fired = pattern.period_ns, block.exposure.light in FIRED
    reasons = _check_models(bench, facts) if mode == "stepped" else []
    reasons += check_exposure(block.exposure, bench, where)
    reasons += [
        *check_pattern(pattern, bench.where),
        *check_levels(block.stretches, period_ns, bench, where, bipolar=facts.source_bipolar),
    ]
    reasons += [*_check_connectors(bench, facts), *(check_fluence(block, bench, where) if fired else [])]
    if not facts.integration_min_ns <= pattern.close_ns - pattern.open_ns <= facts.integration_max_ns:
        asked = block.exposure.frame_s is not None
        reasons.append(
            Reason(
                "integration-time-out-of-range",
                where(("parameters", "frame_s")) if asked else bench.where(("spectrometer", "integration_time_s")),
                f"{(pattern.close_ns - pattern.open_ns) * 1e-9:g} s is outside this model's "
                f"{facts.integration_min_ns * 1e-9:g} to {facts.integration_max_ns * 1e-9:g} s",
            )
        )
    source: SourceProgram = HoldLevel(block.stretches[0].voltage_v)
    bursts = gated_bursts(block.stretches[0])
    step_cable = None
    if mode == "stepped":
        if facts.source_max_points:
            step_cable, more = _step_cable(bench, facts)
            reasons += more
        bursts = stepped_bursts(block.stretches)
        line = int(step_cable.target.rsplit("_", 1)[1]) if step_cable else 1
        source = LevelList(tuple(burst.voltage_v for burst in bursts), line)
        if facts.source_max_points and not len(source.levels_v) <= facts.source_max_points:
            reasons.append(
                Reason(
                    "list-too-long",
                    where(("parameters",)),
                    f"{len(source.levels_v)} levels in one block, the source takes {facts.source_max_points}",
                )
            )
        if not STEPPED_SETTLE_MIN_SHOTS * period_ns <= block.settle_s * 1e9:
            reasons.append(
                Reason(
                    "settle-too-short",
                    where(("parameters", "settle_s")),
                    f"{block.settle_s:g} s; stepped blocks need at least {STEPPED_SETTLE_MIN_SHOTS} shots "
                    f"({STEPPED_SETTLE_MIN_SHOTS * period_ns * 1e-9:g} s): the source's clock proves its edges no finer",
                )
            )
    elif len(block.stretches) != 1:
        raise ValueError(f"a gated block holds one stretch, this one {len(block.stretches)}")
    reasons += check_drift(pattern, bursts, bench, where) if fired else []
    if mode == "stepped":
        reasons += _check_monitors(block, period_ns, bench)
    timeline = Timeline(pattern, bursts, block.stretches, round(block.settle_s * 1e9 / period_ns))
    programs = Programs(
        source=source,
        trigger=BurstProgram(
            pattern.trigger_period_ns,
            _outputs(pattern, bench, step_cable, fired=fired),
            t0_on_first_shot_only=mode == "stepped",
            start="external_edge" if bench.laser.runs_free and fired else "software",
        ),
        spectrometer=ExposureProgram(pattern.close_ns - pattern.open_ns, "external_edge"),
        plate_deg=plate_deg(block, bench) if fired else None,
        filter=filter_of(bench),
    )
    return Compiled(block, mode, timeline, programs), reasons


def _outputs(pattern: ShotPattern, bench: Bench, step_cable: Cable | None, *, fired: bool) -> tuple[PulseOutput, ...]:
    delays = {"spectrometer.trigger": pattern.spectrometer_ns, **({"laser.trigger": pattern.laser_ns} if fired else {})}
    outputs = [_output(cable, delays[cable.target], TRIGGER_WIDTH_NS) for cable in bench.cables if cable.target in delays]
    if step_cable is not None:
        outputs.append(_output(step_cable, 0, TRIGGER_WIDTH_NS))
    return tuple(outputs)


def _output(cable: Cable, delay_ns: int, width_ns: int) -> PulseOutput:
    channel: Channel = cable.source.split(".", 1)[1]  # pyright: ignore[reportAssignmentType] - checked by the bench model
    return PulseOutput(channel, delay_ns, width_ns, cable.level_v, cable.load == "high_z", cable.edge == "rising")


def _check_models(bench: Bench, facts: Facts) -> list[Reason]:
    """List why these models cannot take part in stepped blocks, whatever cables there are."""
    reasons: list[Reason] = []
    if not facts.source_max_points:
        reasons.append(
            Reason(
                "source-cannot-step",
                bench.where(("voltage_source", "model")),
                f"{bench.voltage_source.model} has no list that trigger edges could step: it holds one level at a time",
            )
        )
    if not facts.spectrometer_has_clock:
        reasons.append(
            Reason(
                "spectrometer-without-clock",
                bench.where(("spectrometer", "model")),
                f"{bench.spectrometer.model} has no clock and no frame counter of its own: nothing proves on which side of "
                "an edge a frame was taken",
            )
        )
    return reasons


def _check_monitors(block: Block, period_ns: int, bench: Bench) -> list[Reason]:
    """List the monitors that a list starves: the source measures at its edges only, and tells when the block is over."""
    block_s = block.shots * period_ns / 1e9
    return [
        Reason(
            "monitor-too-quick",
            bench.where(("monitor", index, "max_age_s")),
            f"{monitor.quantity} must not be older than {monitor.max_age_s:g} s, in stepped blocks it comes once per block of "
            f"{block_s:g} s",
        )
        for index, monitor in enumerate(bench.monitors)
        if monitor.quantity in ("voltage_v", "current_a") and not block_s <= monitor.max_age_s
    ]


def _check_connectors(bench: Bench, facts: Facts) -> list[Reason]:
    """List the cables that cannot be as the bench says, whatever the mode; a source without trigger inputs has none to miss."""
    reasons: list[Reason] = []
    for index, cable in enumerate(bench.cables):
        for end, name in (("from", cable.source), ("to", cable.target)):
            role, _, connector = name.partition(".")
            kind = connector.rpartition("_")[0]
            if role == "voltage_source" and facts.source_connector and kind != facts.source_connector:
                reasons.append(
                    Reason(
                        "connector-not-on-model",
                        bench.where(("cable", index, end)),
                        f"{bench.voltage_source.model} has no {kind}, its trigger lines are called {facts.source_connector}_1 "
                        "and so on",
                    )
                )
    return reasons


def _step_cable(bench: Bench, facts: Facts) -> tuple[Cable | None, list[Reason]]:
    cables = [cable for cable in bench.cables if cable.target.startswith("voltage_source.")]
    if not cables:
        return None, [
            Reason(
                "no-cable-to-source",
                bench.where(("cable",)),
                f"stepped blocks need a cable from laser_trigger.T0 to voltage_source.{facts.source_connector}_1, "
                "the bench has none",
            )
        ]
    cable = cables[0]
    if cable.source != "laser_trigger.T0":
        return cable, [
            Reason(
                "continuous-program-unproven",
                bench.where(("cable",)),
                f"{cable.source} steps the source by a prescaler, and two facts about this delay generator's prescalers are "
                "not documented (whether they count the cycles of a burst, and which cycle a phase means); "
                "until they are measured on this bench use laser_trigger.T0",
            )
        ]
    return cable, []


def _check_whole_run(compiled: list[Compiled], bench: Bench, where: Where) -> list[Reason]:
    reasons = check_bias([one.timeline for one in compiled], BURST_GAP_S, bench, where)
    exposures = {one.programs.spectrometer.integration_time_ns for one in compiled}
    if len(exposures) > 1:
        message = f"exposures of {len(exposures)} lengths in one run, which has one dark spectrum: a defect of the measurement"
        reasons.append(Reason("exposures-differ", where(("parameters",)), message))
    return reasons


def frame_bytes(facts: Facts) -> int:
    """Price one frame in the file (bytes)."""
    return 2 * facts.pixels + ROW_BYTES


def _priced(mode: BlockMode, why: str, blocks: tuple[Compiled, ...], bench: Bench, facts: Facts) -> Plan:
    stretches = [stretch for one in blocks for stretch in one.block.stretches]
    shots = sum(one.timeline.shots for one in blocks)
    bursts = sum(len(one.timeline.bursts) for one in blocks)
    gap_s = BURST_GAP_S + (facts.shutter_s if bench.laser.runs_free else 0.0)
    limits = bench.voltage_source.limits
    exposure_ns = blocks[0].programs.spectrometer.integration_time_ns
    dark_s = dark_frames(exposure_ns) * exposure_ns * 1e-9
    planned = sum(stretch.shots for stretch in stretches)
    # a laser that never stops reaches the film while its shutter opens and closes, too
    idle_pulses = gap_s * bench.laser_trigger.rate_hz if bench.laser.runs_free else 0.0
    # room for edges that nobody planned: what is acquired must find a place in the file
    capacity = shots + bursts * 64 + shots // 50
    price = Price(
        shots=shots,
        duration_s=dark_s + sum(one.timeline.duration_ns for one in blocks) * 1e-9 + bursts * gap_s,
        file_bytes=capacity * frame_bytes(facts),
        dose_j_cm2=sum(
            (one.timeline.shots * one.timeline.pattern.pulses + len(one.timeline.bursts) * idle_pulses)
            * one.block.fluence_uj_cm2
            for one in blocks
            if one.block.exposure.light == "pulses"
        )
        * 1e-6,
        bias_v_s=sum(
            on_time_s(stretch, one.timeline.pattern.period_ns) * abs(stretch.voltage_v)
            for one in blocks
            for stretch in one.block.stretches
        ),
        on_duty=duty(stretches),
        heating_max_k=FILM_HEATING_K_W * max(abs(stretch.voltage_v) for stretch in stretches) * limits.current_a,
    )
    return Plan(mode, why, blocks, price, planned, capacity)
