"""What setting a field of a Keithley 2450 is checked for, and what follows from it.

Source: 2450-901-01 rev B, section 6; the error codes are assumed where the manual names none.
"""

from collections.abc import Callable
from typing import Any

from sim_instruments.keithley_2450_meter import HIGH_VOLTAGE_LIMIT_A, HIGH_VOLTAGE_V, SourceMeter
from sim_instruments.keithley_2450_settings import (
    FULL_SCALE,
    Magnitude,
    Protection,
    Range,
    Row,
    Settings,
    Standing,
)
from sim_instruments.scpi import Real, ScpiError, Value, Whole

Params = tuple[str, ...]
Check = Callable[[SourceMeter, Row, Any], None]
Effect = Callable[[SourceMeter, Row, int], None]
LIMITED_KINDS = Real | Whole | Range | Magnitude | Protection

_RESET = Settings()
_STANDING = Standing()


def check_level(meter: SourceMeter, function: str, level: float) -> None:
    """-222 beyond a fixed range, -221 beyond the power envelope (code assumed)."""
    side = meter.settings.sources[function]
    if not side.range_auto and abs(level) > side.range_value * FULL_SCALE * (1 + 1e-9):
        raise ScpiError(-222)
    if function == "VOLT":
        _check_power(level, side.limit)


def _check_power(voltage_v: float, limit_a: float) -> None:
    if abs(voltage_v) > HIGH_VOLTAGE_V * (1 + 1e-9) and abs(limit_a) > HIGH_VOLTAGE_LIMIT_A * (1 + 1e-9):
        raise ScpiError(-221)


def _check_row_level(meter: SourceMeter, row: Row, value: float) -> None:
    check_level(meter, row.function, value)


def _check_limit(meter: SourceMeter, row: Row, value: float) -> None:
    """The limit must exceed 0.1 % of a fixed measuring range."""
    measured = "CURR" if row.function == "VOLT" else "VOLT"
    sense = meter.settings.senses[measured]
    if not sense.range_auto and abs(value) <= 1e-3 * sense.range_value:
        raise ScpiError(-222)
    if row.function == "VOLT":
        _check_power(meter.settings.sources["VOLT"].level, value)


def _check_source_range(meter: SourceMeter, row: Row, value: float) -> None:
    if row.side == "source" and abs(meter.settings.sources[row.function].level) > value * FULL_SCALE * (1 + 1e-9):
        raise ScpiError(-222)


CHECKS: dict[str, Check] = {"level": _check_row_level, "limit": _check_limit, "range_value": _check_source_range}


def _follow_level(meter: SourceMeter, row: Row, t_ns: int) -> None:
    if row.function == meter.settings.source_function:
        meter.set_level(t_ns)
        meter.check_interlock(t_ns)


def _regulate(meter: SourceMeter, row: Row, t_ns: int) -> None:
    meter.regulate(t_ns)


def _switch_off(meter: SourceMeter, row: Row, t_ns: int) -> None:
    meter.switch(False, t_ns)
    meter.set_level(t_ns)


def _fix(key: str) -> Effect:
    """Make an effect that switches an automatic off."""

    def fixed(meter: SourceMeter, row: Row, t_ns: int) -> None:
        setattr(row.holder(meter.settings, meter.standing), key, False)
        meter.regulate(t_ns)

    return fixed


EFFECTS: dict[str, Effect] = {
    "level": _follow_level,
    "source_function": _switch_off,
    "terminals": _switch_off,
    "four_wire": _switch_off,
    "range_value": _fix("range_auto"),
    "delay_s": _fix("delay_auto"),
    **dict.fromkeys(("limit", "range_auto", "protection_v", "sense_function"), _regulate),
}
_ONLY_WHEN_CHANGED = ("source_function", "terminals", "four_wire")  # these switch the output off


def _stored(row: Row, settings: Settings, standing: Standing) -> Any:
    return settings.off_states[row.key] if row.side == "off" else getattr(row.holder(settings, standing), row.key)


def assign(row: Row, meter: SourceMeter, params: Params, t_ns: int) -> None:
    """Set a field; ScpiError -221 while the trigger model runs and may use it (code assumed)."""
    if meter.trigger.running and not row.free:
        raise ScpiError(-221)
    current = _stored(row, meter.settings, meter.standing)
    value: Value = row.kind.parse(params, _stored(row, _RESET, _STANDING), current)
    if row.key in CHECKS:
        CHECKS[row.key](meter, row, value)
    if row.side == "off":
        meter.settings.off_states[row.key] = str(value)
        return
    setattr(row.holder(meter.settings, meter.standing), row.key, value)
    if row.key in EFFECTS and (value != current or row.key not in _ONLY_WHEN_CHANGED):
        EFFECTS[row.key](meter, row, t_ns)


def ask(row: Row, meter: SourceMeter, params: Params, t_ns: int) -> str:
    """Read a field back; with MIN, MAX or DEF the limit or default instead."""
    value = _stored(row, meter.settings, meter.standing)
    if params:
        if not isinstance(row.kind, LIMITED_KINDS):
            raise ScpiError(-108)
        if params[0][:3].upper() not in ("MIN", "MAX", "DEF"):
            raise ScpiError(-224)
        value = row.kind.parse(params, _stored(row, _RESET, _STANDING), value)
    return row.kind.format(value)
