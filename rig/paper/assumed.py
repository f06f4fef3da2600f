"""What the verdicts rest on that no run has measured: numbers entered in bench files, and a simulated film's own."""

import json
from collections.abc import Iterator, Mapping

from rig.bench import Bench, parse_bench
from rig.compiler import FILM_HEATING_K_W
from rig.config_file import parse_document
from rig.measurements.catalogue import Record

Pairs = list[tuple[str, str]]


def entered(records: Mapping[str, Record]) -> Pairs:
    """List what was entered by hand for the benches of these runs, once where they agree."""
    told: dict[str, dict[str, list[str]]] = {}
    for name, record in records.items():
        bench = parse_bench(parse_document(record.run.header.bench_toml, record.run.path))
        for what, value in _of_bench(bench):
            told.setdefault(what, {}).setdefault(value, []).append(name)
    pairs = [(what, _once(values)) for what, values in told.items()]
    return [*pairs, ("heating of the film", f"{FILM_HEATING_K_W:g} K/W, assumed")] if pairs else []


def of_simulated_films(records: Mapping[str, Record]) -> Pairs:
    """List the numbers that the simulated films of these runs were made with; a film by its device's name where they differ."""
    told: dict[str, dict[str, list[str]]] = {}
    for record in records.values():
        header = record.run.header
        if not header.simulated:
            continue
        for what, value in json.loads(header.assumed_json or "{}").items():
            devices = told.setdefault(str(what), {}).setdefault(str(value), [])
            if header.device not in devices:
                devices.append(header.device)
    return [(what.replace("_", " "), _once(values)) for what, values in told.items()]


def _once(values: Mapping[str, list[str]]) -> str:
    if len(values) == 1:
        return next(iter(values))
    return "; ".join(f"{value} ({', '.join(whose)})" for value, whose in values.items())


def _of_bench(bench: Bench) -> Iterator[tuple[str, str]]:
    pump, meter, wheel, light = bench.pump, bench.energy_meter, bench.filter_wheel, bench.spectrometer
    yield "area of the pumped spot", f"{pump.spot_area_cm2:g} cm2, {_sigma(pump.spot_area_uncertainty)}"
    yield "fluence with the attenuator open", f"{pump.fluence_uj_cm2:g} uJ/cm2"
    yield "length of the pump stripe", "not entered" if pump.stripe_length_mm is None else f"{pump.stripe_length_mm:g} mm"
    yield "source of these", pump.source
    if meter is not None:
        yield "energy at the film / at the meter", f"{meter.pickoff_ratio:g}, {_sigma(meter.pickoff_uncertainty)}"
        yield "gain of the energy meter", _sigma(meter.gain_uncertainty)
    if wheel is not None:
        filters = ", ".join(f"{one:g}" for one in wheel.transmission)
        yield "transmission of the filters", f"{filters}, {_sigma(wheel.transmission_uncertainty)}"
    yield "spectrograph's own line", f"{light.psf_nm:g} nm wide"
    yield "electrons per count", f"{light.electrons_per_count:g}"
    if bench.cw_shutter is not None:
        yield "continuous light", f"{bench.cw_shutter.wavelength_nm:g} nm"


def _sigma(relative: float) -> str:
    return f"± {100 * relative:g} % (1 sigma)"
