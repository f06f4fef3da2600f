"""The tables of a bench file: what each instrument is, where it answers, and what is entered of it by hand."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from rig.config_file import ConfigModel, refusal

# --- names ----------------------------------------------------------------------------------------------------------

# Source: VPP-4.3 resource grammar, the interfaces this rig uses; host names and IPv4 only
_HOST = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_ID = r"::(?:0x[0-9A-F]+|\d+)"
_RESOURCES = {
    "GPIB0::24::INSTR": r"GPIB\d*::(?:[0-9]|[12]\d|30)(?:::\d{1,2})?(?:::INSTR)?",
    "TCPIP::192.0.2.20::5025::SOCKET": rf"TCPIP\d*::{_HOST}::(?P<port>\d{{1,5}})::SOCKET",
    "TCPIP::192.0.2.20::INSTR": rf"TCPIP\d*::{_HOST}(?:::[A-Za-z][\w,]*)?::INSTR",
    "ASRL3::INSTR": r"ASRL(?!:)\S+?(?:::INSTR)?",
    "USB0::0x05E6::0x2450::04412345::INSTR": rf"USB\d*{_ID}{_ID}::(?!INSTR|RAW)[^:\s]+(?:::\d+)?(?:::(?:INSTR|RAW))?",
}


def _resource(text: str) -> str:
    matches = (re.fullmatch(pattern, text, re.ASCII | re.IGNORECASE) for pattern in _RESOURCES.values())
    match = next((found for found in matches if found), None)
    if match is None or not 1 <= int(match.groupdict().get("port") or 1) <= 65535:
        raise refusal("resource-malformed", f"{text[:60]!r} is no VISA resource name, such as {' or '.join(_RESOURCES)}")
    return text


def _visa_library(text: str) -> str:
    if text not in ("@py", "@ivi") and (not text.strip() or text.startswith("@")):
        raise refusal("wrong-choice", f'{text[:60]!r} is neither "@py", "@ivi" nor the path of a VISA library')
    return text


def _model(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", text):
        raise refusal("model-malformed", f'{text[:60]!r} is no model name, such as "keithley-2400"')
    return text


ResourceName = Annotated[str, Field(max_length=200), AfterValidator(_resource)]
ModelName = Annotated[str, Field(max_length=60), AfterValidator(_model)]
LibraryName = Annotated[str, Field(max_length=300), AfterValidator(_visa_library)]
Note = Annotated[str, Field(max_length=300)]

# --- tables ---------------------------------------------------------------------------------------------------------
# The windows catch wrong units and slips of the pen; what an instrument can do is its driver's knowledge.


class Laser(ConfigModel):
    """The pump laser."""

    trigger: Literal["slave", "master"] = Field(
        description="slave: every pulse is fired by the laser trigger; master: it never stops, a shutter lets pulses through"
    )
    pulse_delay_s: float = Field(
        ge=0, le=0.1, description="trigger edge at the laser (master: edge at its sync output) to pulse at the film (s)"
    )
    rate_hz: float | None = Field(default=None, ge=0.1, le=1e4, description="master only: pulses per second (Hz)")
    clock_ppm: float | None = Field(default=None, ge=0, le=1e4, description="master only: how far off its clock may be (1e-6)")

    @property
    def runs_free(self) -> bool:
        """Get whether the laser is its own master clock."""
        return self.trigger == "master"


class Pump(ConfigModel):
    """The pump light at the film."""

    fluence_uj_cm2: float = Field(
        ge=1e-4, le=1e4, description="fluence at the film, with an attenuator that of its fully open state (uJ/cm2)"
    )
    spot_area_cm2: float = Field(ge=1e-8, le=1.0, description="area of the pumped spot (cm2)")
    spot_area_uncertainty: float = Field(
        default=0.05, ge=0, le=1, description="of the area, relative, 1 sigma; 0.05 is assumed until measured"
    )
    stripe_length_mm: float | None = Field(default=None, ge=1e-3, le=100, description="length of the pumped stripe (mm)")
    source: Note = Field(description="where these numbers come from")


class Limits(ConfigModel):
    """What the source may do to the film; checked in the compiler, the driver and where it can in the instrument."""

    voltage_v: tuple[Annotated[float, Field(ge=-210, le=210)], Annotated[float, Field(ge=-210, le=210)]] = Field(
        description="lowest and highest voltage (V)"
    )
    current_a: float = Field(ge=1e-9, le=0.1, description="current at which the source limits, its compliance (A)")
    step_v: float = Field(ge=1e-3, le=420, description="largest change of voltage in one edge (V)")
    on_time_s: float = Field(ge=1e-3, le=1e5, description="longest time with the voltage on, without a break (s)")
    duty: float = Field(gt=0, le=1, description="largest fraction of time with the voltage on")
    breakdown_accepted: bool = Field(default=False, description="allow limits beyond 20 V, where films break down")


class VoltageSource(ConfigModel):
    """The instrument across the film."""

    model: ModelName
    resource: ResourceName
    limits: Limits
    contact_check: Literal["demand", "note", "off"] = Field(
        default="demand",
        description="look for a short or open contact with 0.1 V before a run applies more; demand: either ends the run",
    )


class LaserTrigger(ConfigModel):
    """The delay generator."""

    model: ModelName
    resource: ResourceName
    rate_hz: float = Field(ge=0.1, le=1e4, description="shots per second (Hz)")
    clock_ppm: float = Field(
        default=25.0, ge=0, le=1e3, description="how far off its clock may be (1e-6); 25 is assumed until measured"
    )


class Spectrometer(ConfigModel):
    """The spectrometer at the film's edge."""

    model: ModelName
    resource: ResourceName
    integration_time_s: float = Field(ge=1e-6, le=10, description="exposure per shot (s)")
    trigger_delay_s: float = Field(default=0.0, ge=0, le=0.1, description="trigger edge to begin of exposure (s)")
    electrons_per_count: float = Field(default=3.0, ge=0.01, le=1e4, description="for shot noise; 3.0 is assumed, not measured")
    psf_nm: float = Field(default=1.0, ge=0.01, le=100, description="width (FWHM) of a sharp line (nm); 1.0 is assumed")


class Attenuator(ConfigModel):
    """The half-wave plate before the polariser that attenuates the pump; what its angles mean is entered or calibrated."""

    model: ModelName
    resource: ResourceName
    zero_deg: float | None = Field(default=None, ge=0, lt=360, description="angle of the plate that lets most through (deg)")
    extinction: float | None = Field(default=None, ge=0, lt=1, description="the least it lets through, as a part of the most")
    calibration: Note | None = Field(
        default=None, description="file of `rig calibrate fluence`, beside this one; goes before what is entered"
    )


class EnergyMeter(ConfigModel):
    """The pulse energy meter at the pick-off."""

    model: ModelName
    resource: ResourceName
    wavelength_nm: float = Field(default=400.0, ge=150, le=12_000, description="of the pump (nm)")
    pickoff_ratio: float = Field(
        default=1.0, ge=1e-6, le=1e6, description="energy at the film / energy at the meter; 1 is assumed until measured"
    )
    pickoff_uncertainty: float = Field(
        default=0.02, ge=0, le=1, description="of that ratio, relative, 1 sigma; 0.02 is assumed"
    )
    gain_uncertainty: float = Field(
        default=0.05, ge=0, le=1, description="of the meter, relative, 1 sigma, as its certificate says; 0.05 is assumed"
    )


class Shutter(ConfigModel):
    """What lets the pump beam through or not."""

    model: ModelName
    resource: ResourceName


class CwShutter(ConfigModel):
    """What lets the weak continuous light (lamp, diode laser) onto the film or not."""

    model: ModelName
    resource: ResourceName
    wavelength_nm: float = Field(default=405.0, ge=150, le=12_000, description="of that light (nm); 405 is assumed")


class FilterWheel(ConfigModel):
    """A wheel of neutral density filters in the pump beam, after the energy meter's pick-off."""

    model: ModelName
    resource: ResourceName
    transmission: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        min_length=1, max_length=12, description="of the filters, from position 1 on, which is open: [1.0, 0.1, 0.01]"
    )
    transmission_uncertainty: float = Field(
        default=0.05, ge=0, le=1, description="of each filter, relative, 1 sigma; 0.05 is assumed until measured"
    )


class Safety(ConfigModel):
    """What watches over a run."""

    guard_silence_s: float = Field(
        default=2.0, ge=0.5, le=60, description="the guard switches everything off when the run hangs for so long (s)"
    )


class Environment(ConfigModel):
    """What surrounds the film; recorded as given."""

    temperature_c: float | None = Field(default=None, ge=-50, le=100, description="air temperature (degC)")
    humidity_percent: float | None = Field(default=None, ge=0, le=100, description="relative humidity (%)")
    operator: Note | None = Field(default=None, description="who")
    note: Note | None = Field(default=None, description="anything else")
