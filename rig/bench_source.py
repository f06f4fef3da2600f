"""Bench files as a simulator needs them: a plain description of a bench, and the same bench with its instruments elsewhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.registry import find
from rig.bench import Bench, default_bench, parse_bench, read_bench
from rig.config_file import parse_document, render_toml

_HEADING = """\
# SIMULATED: written by `rig sim serve`. These instruments are made of software and exist while that command runs.
"""


class BenchFiles:
    """Reads and writes bench files for others."""

    def describe(self, path: Path | None, instruments: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
        """Describe a bench file (None: the default bench), with role -> (model, resource) replaced or added.

        Raises
        ------
        ConfigError  the file cannot be read, the bench is impossible, or there is no driver for a source
        """
        return _with_instruments(path, instruments).description()

    def served(self, path: Path | None, instruments: Mapping[str, tuple[str, str]], resources: Mapping[str, str]) -> str:
        """Write the same bench as TOML, marked as simulated, its instruments at role -> resource.

        Raises
        ------
        ConfigError  the file cannot be read, or the bench is impossible
        """
        bench = _with_instruments(path, instruments)
        values = _values(bench)
        if bench.path is not None and values.get("attenuator", {}).get("calibration"):
            beside = bench.path.parent / values["attenuator"]["calibration"]  # the new file may lie elsewhere
            values["attenuator"]["calibration"] = str(beside.resolve())
        for role, resource in resources.items():
            values[role]["resource"] = resource
        values |= {"visa_library": "@py", "simulated": True}
        return _HEADING + parse_bench(parse_document(render_toml(values), Path("served bench"))).source_text + "\n"


def _with_instruments(path: Path | None, instruments: Mapping[str, tuple[str, str]]) -> Bench:
    bench = default_bench() if path is None else read_bench(path)
    if not instruments:
        return bench
    values = _values(bench)
    for role, (model, resource) in instruments.items():
        if role == "voltage_source":
            values["cable"] = _with_trigger_lines(values["cable"], values[role]["model"], model)
        values[role] = {**values.get(role, {}), "model": model, "resource": resource}
    return parse_bench(parse_document(render_toml(values), bench.path or Path("bench")))


def _values(bench: Bench) -> dict[str, Any]:
    return bench.model_dump(by_alias=True, exclude_none=True)


def _with_trigger_lines(cables: Any, old: str, new: str) -> Any:
    """Let cables of a source end at the line of the same number of another model, which calls it by its own name."""
    before, after = (find(model, "voltage_source").kind.trigger_connector for model in (old, new))
    if not after:  # there is nothing to plug them into
        return [cable for cable in cables if not _at_source(cable)]
    old_name, new_name = f"voltage_source.{before}_", f"voltage_source.{after}_"
    return [
        {key: value.replace(old_name, new_name) if key in ("from", "to") else value for key, value in cable.items()}
        for cable in cables
    ]


def _at_source(cable: Any) -> bool:
    return any(cable[end].startswith("voltage_source.") for end in ("from", "to"))
