"""What setting a field of a Keithley 2400 is checked for, and what follows from it.

Source: 2400S-900-01 rev K, sections 6 and 18.
"""

from collections.abc import Callable
from typing import Any

from sim_instruments.keithley_2400_meter import SourceMeter
from sim_instruments.keithley_2400_settings import (
    CURR_RANGES,
    FULL_SCALE,
    MAX_POINTS,
    VOLT_RANGES,
    Protection,
    Range,
    Row,
    Settings,
    Standing,
    lowest_range,
)
from sim_instruments.scpi import Real, ScpiError, Value, Whole

Params = tuple[str, ...]
Check = Callable[[SourceMeter, Any], None]
Effect = Callable[[SourceMeter, int], None]

_RESET = Settings()
_STANDING = Standing()
_HIGH_VOLTAGE_LIMIT_A = 0.105  # the 200 V range carries 100 mA


def _check_level_v(meter: SourceMeter, value: float) -> None:
    settings = meter.settings
    if not settings.source_volt_auto and abs(value) > settings.source_volt_range_v * FULL_SCALE * (1 + 1e-9):
        raise ScpiError(-222)
    _check_power(value, settings.current_limit_a)


def _check_level_a(meter: SourceMeter, value: float) -> None:
    settings = meter.settings
    if not settings.source_curr_auto and abs(value) > settings.source_curr_range_a * FULL_SCALE * (1 + 1e-9):
        raise ScpiError(-222)


def _check_power(voltage_v: float, limit_a: float) -> None:
    if abs(voltage_v) > VOLT_RANGES[2] * FULL_SCALE and abs(limit_a) > _HIGH_VOLTAGE_LIMIT_A:
        raise ScpiError(826)


def _check_limit_a(meter: SourceMeter, value: float) -> None:
    settings = meter.settings
    if not settings.sense_curr_auto and abs(value) < 1e-3 * settings.sense_curr_range_a:
        raise ScpiError(822)
    _check_power(settings.source_v, value)


def _check_sense_range(meter: SourceMeter, value: float, *, curr: bool) -> None:
    settings = meter.settings
    if settings.sourcing_voltage != curr:
        raise ScpiError(823)
    ranges, limit = (CURR_RANGES, settings.current_limit_a) if curr else (VOLT_RANGES, settings.voltage_limit_v)
    if value > lowest_range(ranges, limit):
        raise ScpiError(824)


def _check_sense_curr_range(meter: SourceMeter, value: float) -> None:
    _check_sense_range(meter, value, curr=True)


def _check_sense_volt_range(meter: SourceMeter, value: float) -> None:
    _check_sense_range(meter, value, curr=False)


def _check_product(counts: float) -> None:
    if MAX_POINTS < counts < float("inf"):
        raise ScpiError(-221)  # the limit is the maker's, the code is assumed


def _check_line_frequency(meter: SourceMeter, value: int) -> None:
    if value not in (50, 60):
        raise ScpiError(-224)


def _check_data_format(meter: SourceMeter, value: str) -> None:
    if meter.quirks.serial_link and value != "ASC":
        raise ScpiError(701)


def _check_store_inactive(meter: SourceMeter, value: Value) -> None:
    if meter.store.active:
        raise ScpiError(800)


CHECKS: dict[str, Check] = {
    "source_v": _check_level_v,
    "triggered_v": _check_level_v,
    "source_a": _check_level_a,
    "triggered_a": _check_level_a,
    "current_limit_a": _check_limit_a,
    "sense_curr_range_a": _check_sense_curr_range,
    "sense_volt_range_v": _check_sense_volt_range,
    "arm_count": lambda meter, value: _check_product(value * meter.settings.trig_count),
    "trig_count": lambda meter, value: _check_product(value * meter.settings.arm_count),
    "line_frequency_hz": _check_line_frequency,
    "data_format": _check_data_format,
    "buffer_points": _check_store_inactive,
    "buffer_feed": _check_store_inactive,
    "buffer_time": _check_store_inactive,
}


def _follow_level(meter: SourceMeter, t_ns: int) -> None:
    meter.settings.triggered_v, meter.settings.triggered_a = meter.settings.source_v, meter.settings.source_a
    meter.set_level(t_ns)


def _switch_off(meter: SourceMeter, t_ns: int) -> None:
    meter.switch(False, t_ns)
    meter.output.level = meter.bias


def _fix(key: str) -> Effect:
    """Make an effect that switches an automatic off."""

    def fixed(meter: SourceMeter, t_ns: int) -> None:
        setattr(meter.standing if hasattr(meter.standing, key) else meter.settings, key, False)
        meter.regulate(t_ns)

    return fixed


def _control_store(meter: SourceMeter, t_ns: int) -> None:
    active = meter.standing.buffer_control == "NEXT"
    if active and not meter.store.active:
        meter.store.stored.clear()
    meter.store.active = active


def _end_concurrency(meter: SourceMeter, t_ns: int) -> None:
    if not meter.settings.concurrent:
        meter.settings.functions = meter.settings.functions[-1:]


def _follow_limit(meter: SourceMeter, t_ns: int) -> None:
    settings = meter.settings
    if settings.limit_sync_curr:
        settings.sense_curr_range_a = lowest_range(CURR_RANGES, settings.current_limit_a)
    if settings.limit_sync_volt:
        settings.sense_volt_range_v = lowest_range(VOLT_RANGES, settings.voltage_limit_v)
    meter.regulate(t_ns)


def _told_delay_s(meter: SourceMeter) -> float:
    automatic = meter.settings.source_delay_auto and meter.quirks.auto_delay_told
    return meter.source_delay_ns() * 1e-9 if automatic else meter.settings.source_delay_s


TOLD: dict[str, Callable[[SourceMeter], Any]] = {"source_delay_s": _told_delay_s}  # what is read back is not what was set

_REGULATE: Effect = SourceMeter.regulate
EFFECTS: dict[str, Effect] = {
    "source_v": _follow_level,
    "source_a": _follow_level,
    "source_function": _switch_off,
    "terminals": _switch_off,
    "source_volt_range_v": _fix("source_volt_auto"),
    "source_curr_range_a": _fix("source_curr_auto"),
    "sense_curr_range_a": _fix("sense_curr_auto"),
    "sense_volt_range_v": _fix("sense_volt_auto"),
    "sense_res_range_ohm": _fix("sense_res_auto"),
    "source_delay_s": _fix("source_delay_auto"),
    "line_frequency_hz": _fix("line_frequency_auto"),
    "current_limit_a": _follow_limit,
    "voltage_limit_v": _follow_limit,
    "buffer_control": _control_store,
    "concurrent": _end_concurrency,
    **dict.fromkeys(("protection_v", "source_volt_auto", "source_curr_auto", "sense_curr_auto", "sense_volt_auto"), _REGULATE),
}


def assign(row: Row, meter: SourceMeter, params: Params, t_ns: int) -> None:
    """Set a field of the settings."""
    holder, defaults = (meter.standing, _STANDING) if row.standing else (meter.settings, _RESET)
    value = row.kind.parse(params, getattr(defaults, row.key), getattr(holder, row.key))
    if row.key in CHECKS:
        CHECKS[row.key](meter, value)
    setattr(holder, row.key, value)
    if row.key in EFFECTS:
        EFFECTS[row.key](meter, t_ns)


def ask(row: Row, meter: SourceMeter, params: Params, t_ns: int) -> str:
    """Read a field back; with MIN, MAX or DEF the limit or default instead."""
    holder, defaults = (meter.standing, _STANDING) if row.standing else (meter.settings, _RESET)
    value = TOLD[row.key](meter) if row.key in TOLD else getattr(holder, row.key)
    if params:
        if not isinstance(row.kind, Real | Whole | Range | Protection):
            raise ScpiError(-108)
        if params[0][:3].upper() not in ("MIN", "MAX", "DEF"):
            raise ScpiError(-224)
        value = row.kind.parse(params, getattr(defaults, row.key), value)
    return row.kind.format(value)
