"""Bench files for a simulator: models swapped, cables moved along, instruments elsewhere."""

from pathlib import Path

import pytest

from drivers.errors import ConfigError
from rig.bench import default_bench, read_bench
from rig.bench_source import BenchFiles

RESOURCES = {
    "voltage_source": "TCPIP::127.0.0.1::5001::SOCKET",
    "laser_trigger": "TCPIP::127.0.0.1::5002::SOCKET",
    "spectrometer": "TCPIP::127.0.0.1::5003::SOCKET",
    "attenuator": "ASRLsocket://127.0.0.1:5004::INSTR",
    "energy_meter": "TCPIP::127.0.0.1::5005::SOCKET",
    "shutter": "ASRLsocket://127.0.0.1:5006::INSTR",
    "cw_shutter": "ASRLsocket://127.0.0.1:5007::INSTR",
    "filter_wheel": "ASRLsocket://127.0.0.1:5008::INSTR",
}


def served_resources() -> dict[str, str]:
    return {role: RESOURCES[role] for role in default_bench().roles()}


def test_without_changes_it_is_the_bench_itself() -> None:
    assert BenchFiles().describe(None, {}) == default_bench().description()


def test_a_swapped_model_takes_its_trigger_cable_along() -> None:
    swapped = BenchFiles().describe(None, {"voltage_source": ("keithley-2450", "TCPIP::192.0.2.24::5025::SOCKET")})
    assert swapped["voltage_source"] == {"model": "keithley-2450", "resource": "TCPIP::192.0.2.24::5025::SOCKET"}
    targets = [cable["to"] for cable in swapped["cables"]]
    assert "voltage_source.digital_io_1" in targets
    assert not any("trigger_link" in target for target in targets)


def test_a_source_without_trigger_lines_has_no_cable() -> None:
    swapped = BenchFiles().describe(None, {"voltage_source": ("scpi-supply", "TCPIP::192.0.2.23::5025::SOCKET")})
    ends = [cable[end] for cable in swapped["cables"] for end in ("from", "to")]
    assert "laser.trigger" in ends
    assert not any(end.startswith("voltage_source") for end in ends)


def test_a_role_that_the_bench_lacks_can_be_added() -> None:
    added = BenchFiles().describe(None, {"shutter": ("thorlabs-sc10", "ASRL9::INSTR")})
    assert added["shutter"]["model"] == "thorlabs-sc10"
    assert added["shutter"]["resource"] == "ASRL9::INSTR"


def test_an_impossible_model_name_is_refused_as_in_a_file() -> None:
    with pytest.raises(ConfigError) as refused:
        BenchFiles().describe(None, {"spectrometer": ("Ocean FX", "TCPIP::192.0.2.21::57357::SOCKET")})
    assert [reason.code for reason in refused.value.reasons] == ["model-malformed"]


def test_a_source_that_has_no_driver_is_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        BenchFiles().describe(None, {"voltage_source": ("abacus-1", "GPIB0::24::INSTR")})
    assert [reason.code for reason in refused.value.reasons] == ["unknown-model"]


def test_the_served_bench_differs_in_its_resources_and_its_mark_only(tmp_path: Path) -> None:
    file = tmp_path / "served.toml"
    file.write_text(BenchFiles().served(None, {}, served_resources()), encoding="utf-8")
    served, bench = read_bench(file), default_bench()
    assert served.simulated
    assert not bench.simulated
    for role in bench.roles():
        assert getattr(served, role).resource == RESOURCES[role]
        unchanged = getattr(served, role).model_copy(update={"resource": getattr(bench, role).resource})
        assert unchanged == getattr(bench, role)
    for name in ("laser", "pump", "cables", "environment"):
        assert getattr(served, name) == getattr(bench, name)


def test_its_first_line_says_simulated() -> None:
    assert "SIMULATED" in BenchFiles().served(None, {}, served_resources()).splitlines()[0]


def test_a_bench_whose_instruments_are_elsewhere_cannot_be_marked_as_simulated(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    elsewhere = served_resources() | {"laser_trigger": "TCPIP::192.0.2.20::5025::SOCKET"}
    lie = BenchFiles().served(None, {}, served_resources()).replace(RESOURCES["laser_trigger"], elsewhere["laser_trigger"])
    file.write_text(lie, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        read_bench(file)
    assert [reason.code for reason in refused.value.reasons] == ["simulated-elsewhere"]
