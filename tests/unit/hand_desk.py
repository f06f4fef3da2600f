"""A bench set by hand in this thread, with a clock of the test's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rig.bench import Bench, default_bench, parse_bench
from rig.config_file import parse_document, render_toml
from rig.control import InstrumentStates, InstrumentWords, SetByHand
from rig.control_words import HandQuantity, RoleName
from rig.hand_control import HandControl
from rig.run_state import StopRequest
from rig.session import Session


class HandClock:
    """The computer's clock, moved by hand."""

    def __init__(self) -> None:
        self.t_ns = 10**12

    def now_ns(self) -> int:
        return self.t_ns

    def sleep(self, duration_s: float) -> None:
        self.t_ns += round(duration_s * 1e9)


def bench_with(change: Callable[[dict[str, Any]], object]) -> Bench:
    tables: dict[str, Any] = json.loads(default_bench().model_dump_json(by_alias=True, exclude_none=True))
    change(tables)
    return parse_bench(parse_document(render_toml(tables), Path("other.toml")))


def limits(**values: float) -> Bench:
    return bench_with(lambda tables: tables["voltage_source"]["limits"].update(values))


def wish(quantity: HandQuantity, value: float, role: RoleName | None = None) -> SetByHand:
    owner: dict[str, RoleName] = {
        "voltage_v": "voltage_source",
        "output_on": "voltage_source",
        "open": "shutter",
        "cw_open": "cw_shutter",
        "rate_hz": "laser_trigger",
        "integration_time_s": "spectrometer",
        "fluence_uj_cm2": "attenuator",
    }
    return SetByHand(role=role or owner[quantity], quantity=quantity, value=value)


class Desk:
    """Hand control on a simulated bench, in this thread, with a clock of the test's."""

    def __init__(self, bench: Bench | None = None, **simulated: Any) -> None:
        self.told: list[InstrumentStates] = []
        self.notes: list[str] = []
        self.clock = HandClock()
        self.session = Session(bench or default_bench(), simulate=True, **simulated)
        self.stop = StopRequest()
        self.hand = HandControl(self.session, self.clock, self.told.append, self.notes.append)

    def connect(self) -> "Desk":
        self.hand.connect(self.stop, 0)
        self.hand.turn()
        return self

    def set(self, quantity: HandQuantity, value: float) -> None:
        self.hand.set(wish(quantity, value))

    def after(self, duration_s: float) -> None:
        self.clock.sleep(duration_s)
        self.hand.turn()

    def wait(self, duration_s: float) -> None:
        for _ in range(round(duration_s / 0.25)):
            self.after(0.25)

    def card(self, role: RoleName) -> InstrumentWords:
        return next(one for one in self.told[-1].instruments if one.role == role)

    @property
    def voltage_v(self) -> float:
        return float(self.session.world.terminal.record.voltage_v[-1])

    @property
    def shutter_closed(self) -> bool:
        return self.blades_closed("shutter")

    def blades_closed(self, role: RoleName) -> bool:
        return bool(self.session.world.personas[role].blades.closed(self.session.world.now_ns()))
