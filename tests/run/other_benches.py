"""Benches that differ from the default one: with nothing in the pump beam, slower, with a laser that is its own clock."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rig.bench import Bench, default_bench, parse_bench
from rig.config_file import parse_document, render_toml

Values = dict[str, Any]
IN_THE_BEAM = ("attenuator", "shutter", "energy_meter", "cw_shutter", "filter_wheel")


def other_bench(*changes: Callable[[Values], object]) -> Bench:
    """The default bench with its values changed; a bench of its own, whose text says so."""
    tables: Values = json.loads(default_bench().model_dump_json(by_alias=True, exclude_none=True))
    for change in changes:
        change(tables)
    return parse_bench(parse_document(render_toml(tables), Path("other.toml")))


def nothing_in_the_beam(tables: Values) -> None:
    """A pump that is what it is: 40 uJ/cm2, always."""
    for role in IN_THE_BEAM:
        tables.pop(role, None)
    tables["pump"]["fluence_uj_cm2"] = 40.0


def at_rate(rate_hz: float) -> Callable[[Values], None]:
    """So many shots a second."""

    def change(tables: Values) -> None:
        tables["laser_trigger"]["rate_hz"] = rate_hz

    return change


def laser_as_master(clock_ppm: float = 20.0, pulse_delay_s: float = 700e-6) -> Callable[[Values], None]:
    """A laser that never stops, at the rate of the shots; its pulses come late enough for stepped blocks."""

    def change(tables: Values) -> None:
        rate_hz = tables["laser_trigger"]["rate_hz"]
        tables["laser"] = {"trigger": "master", "rate_hz": rate_hz, "clock_ppm": clock_ppm, "pulse_delay_s": pulse_delay_s}
        cables = [cable for cable in tables["cable"] if cable["to"] != "laser.trigger"]
        tables["cable"] = [*cables, {"from": "laser.sync", "to": "laser_trigger.EXT", "level_v": 2.5}]

    return change
