"""What can be set by hand on a bench at rest, within which bounds, and why not: pure, with the compiler's own reasons."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite

from drivers.clock import Clock
from drivers.errors import CompileError, Reason
from drivers.roles import BurstProgram
from rig.bench import Bench
from rig.bench_tables import Limits
from rig.compiler import Compiled, Facts, compile_block
from rig.config_file import Loc, check
from rig.control import SetByHand, SettingWords
from rig.control_words import HandQuantity, RoleName
from rig.sequence import Block, State, Stretch

SETTABLE: Mapping[RoleName, tuple[HandQuantity, ...]] = {
    "voltage_source": ("voltage_v", "output_on"),
    "laser_trigger": ("rate_hz",),
    "spectrometer": ("integration_time_s",),
    "shutter": ("open",),
    "cw_shutter": ("cw_open",),
    "attenuator": ("fluence_uj_cm2",),
}
BITS: tuple[HandQuantity, ...] = ("output_on", "open", "cw_open")
RATE_HZ = (0.1, 1e4)  # of a bench file; what fits the exposure is found out by the compiler


@dataclass(frozen=True, slots=True)
class HandSettings:
    """How the instruments stand by hand; the fluence is None until somebody has set it."""

    integration_time_s: float
    rate_hz: float
    voltage_v: float = 0.0
    output_on: bool = False
    open: bool = False
    cw_open: bool = False
    fluence_uj_cm2: float | None = None

    @classmethod
    def of(cls, bench: Bench) -> "HandSettings":
        """Take them from a bench file, everything off."""
        return cls(bench.spectrometer.integration_time_s, bench.laser_trigger.rate_hz)

    @property
    def level_v(self) -> float:
        """Get what stands across the film (V)."""
        return self.voltage_v if self.output_on else 0.0

    @property
    def anything_on(self) -> bool:
        """Get whether a voltage or light may reach the film."""
        return self.output_on or self.open or self.cw_open

    def changed(self, quantity: HandQuantity, value: float) -> "HandSettings":
        """Return them with one that is another."""
        return replace(self, **{quantity: bool(value) if quantity in BITS else value})


def bench_by_hand(bench: Bench, settings: HandSettings) -> Bench:
    """Return the bench with rate and integration time as they stand by hand."""
    return bench.model_copy(
        update={
            "laser_trigger": bench.laser_trigger.model_copy(update={"rate_hz": settings.rate_hz}),
            "spectrometer": bench.spectrometer.model_copy(update={"integration_time_s": settings.integration_time_s}),
        }
    )


def reasons_against(wish: SetByHand, now: HandSettings, bench: Bench, facts: Facts) -> list[Reason]:
    """List why something cannot be set by hand on a bench as it stands now."""
    place = f"{wish.role}.{wish.quantity}"
    if wish.role not in bench.roles():
        return [Reason("no-such-instrument", place, f"this bench has no {wish.role.replace('_', ' ')}")]
    if wish.quantity not in SETTABLE.get(wish.role, ()):
        return [Reason("not-settable", place, f"{wish.quantity} is nothing that a {wish.role.replace('_', ' ')} has")]
    if wish.quantity in BITS and wish.value not in (0.0, 1.0):
        return [Reason("wrong-choice", place, f"{wish.value:g} is neither 0 (off) nor 1 (on)")]
    if not isfinite(wish.value):
        return [Reason("not-a-number", place, f"{wish.value} is no number")]
    wanted = now.changed(wish.quantity, wish.value)
    if wish.quantity in ("rate_hz", "integration_time_s") and (impossible := _impossible(bench, wanted)):
        return list(impossible)
    known = dict.fromkeys(compiled_by_hand(now, bench, facts, place)[1])  # what the bench lacks anyway is not this wish's fault
    found = [reason for reason in compiled_by_hand(wanted, bench, facts, place)[1] if reason not in known]
    step_v, limits = abs(wanted.level_v - now.level_v), bench.voltage_source.limits
    if wish.role == "voltage_source" and not step_v <= limits.step_v:
        message = f"a step of {step_v:g} V, voltage_source.limits.step_v allows {limits.step_v:g} V"
        found.append(Reason("step-above-limit", place, message))
    return found


def compiled_by_hand(
    settings: HandSettings, bench: Bench, facts: Facts, place: str
) -> tuple[Compiled | None, tuple[Reason, ...]]:
    """Compile one shot with these settings; None with every reason when that is impossible."""
    law = bench.fluence_law() if bench.attenuator is not None else None
    some_uj_cm2 = bench.pump.fluence_uj_cm2 if law is None else law.open
    fluence = some_uj_cm2 if settings.fluence_uj_cm2 is None else settings.fluence_uj_cm2
    block = Block(0, (Stretch(State.ON, settings.voltage_v, 1, 0),), 0.0, fluence)

    def where(loc: Loc) -> str:
        return place

    try:
        return compile_block(block, "gated", bench_by_hand(bench, settings), facts, where), ()
    except CompileError as error:
        return None, error.reasons


def trigger_program(settings: HandSettings, bench: Bench, facts: Facts) -> BurstProgram | None:
    """Return what the generator is loaded with at a rate set by hand; None when nothing fits."""
    compiled, _ = compiled_by_hand(settings, bench, facts, "")
    return None if compiled is None else compiled.programs.trigger


def _impossible(bench: Bench, settings: HandSettings) -> tuple[Reason, ...]:
    """List what no bench file could say."""
    values = bench.model_dump(by_alias=True, exclude_none=True)
    values["laser_trigger"]["rate_hz"] = settings.rate_hz
    values["spectrometer"]["integration_time_s"] = settings.integration_time_s
    found = check(Bench, values)
    return found if isinstance(found, tuple) else ()


def settings_of(role: RoleName, now: HandSettings, bench: Bench, facts: Facts) -> tuple[SettingWords, ...]:
    """Say what can be set of an instrument and within which bounds; what depends on another setting does so, too."""
    low_v, high_v = bench.voltage_source.limits.voltage_v
    law = bench.fluence_law() if bench.attenuator is not None else None
    spare_s = bench.spectrometer.trigger_delay_s + facts.spectrometer_readout_ns * 1e-9
    slowest, fastest = RATE_HZ
    if bench.laser.runs_free:
        slowest = fastest = bench.laser_trigger.rate_hz
    bounds: dict[HandQuantity, tuple[float, float, float]] = {
        "voltage_v": (now.voltage_v, low_v if facts.source_bipolar else 0.0, high_v),
        "output_on": (float(now.output_on), 0.0, 1.0),
        "open": (float(now.open), 0.0, 1.0),
        "cw_open": (float(now.cw_open), 0.0, 1.0),
        "integration_time_s": (
            now.integration_time_s,
            facts.integration_min_ns * 1e-9,
            max(facts.integration_min_ns * 1e-9, min(facts.integration_max_ns * 1e-9, 1 / now.rate_hz - spare_s)),
        ),
        "rate_hz": (now.rate_hz, slowest, max(slowest, min(fastest, 1 / (now.integration_time_s + spare_s)))),
    }
    if law is not None:
        asked = law.open if now.fluence_uj_cm2 is None else now.fluence_uj_cm2
        bounds["fluence_uj_cm2"] = (asked, law.lowest, law.open)
    return tuple(
        SettingWords(quantity=quantity, value=bounds[quantity][0], low=bounds[quantity][1], high=bounds[quantity][2])
        for quantity in SETTABLE.get(role, ())
        if quantity in bounds
    )


class BiasTime:
    """How long a voltage set by hand has stood, and how long the film has to rest after it, by the bench's limits.

    Parameters
    ----------
    clock  the computer's own
    """

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._since_ns: int | None = None
        self._rest_until_ns = 0

    def level(self, voltage_v: float) -> None:
        """The source is about to stand at a level (V)."""
        now_ns = self._clock.now_ns()
        if voltage_v != 0 and self._since_ns is None:
            self._since_ns = now_ns
        elif voltage_v == 0 and self._since_ns is not None:
            duty = self._limits.duty
            self._rest_until_ns = now_ns + round((now_ns - self._since_ns) * (1 - duty) / duty)
            self._since_ns = None

    @property
    def on_s(self) -> float:
        """Get for how long a voltage has stood without a break (s)."""
        return 0.0 if self._since_ns is None else (self._clock.now_ns() - self._since_ns) * 1e-9

    @property
    def over(self) -> bool:
        """Get whether it has stood for as long as the bench allows."""
        return not self.on_s < self._limits.on_time_s

    def reasons_against(self, level_v: float, place: str) -> list[Reason]:
        """List why a level (V) cannot be switched on yet."""
        rest_s = (self._rest_until_ns - self._clock.now_ns()) * 1e-9
        if level_v == 0 or self._since_ns is not None or rest_s <= 0:
            return []
        message = (
            f"voltage_source.limits.duty allows a voltage {100 * self._limits.duty:.4g} % of the time: "
            f"the film has to rest for another {rest_s:.1f} s"
        )
        return [Reason("duty-above-limit", place, message)]
