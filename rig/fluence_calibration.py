"""The file that `rig calibrate fluence` leaves: energy against angle, the fitted law, how sure it is, when and with what.

Energies in it are the meter's own; what they are at the film is the bench's pick-off ratio, which the file repeats.
"""

import math
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field

from drivers.errors import RecordError
from rig.config_file import ConfigModel, Contradiction, load_model, render_toml
from rig.fluence import Malus, law_sigma, quadrature
from rig.small_file import write_whole

FORMAT = "ito-rig fluence calibration 1"
HEADING = """# Pump energy against the angle of the attenuator's plate, measured and fitted by: rig calibrate fluence
# Energies are those at the meter; uncertainties are standard ones (1 sigma). Calibrate anew rather than edit.
"""
Text = Annotated[str, Field(max_length=300)]
Row = Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]


class Point(ConfigModel):
    """One angle: mean of `pulses` readings, standard error and distance from the fit (uJ at the meter)."""

    angle_deg: float = Field(ge=0, lt=360)
    energy_uj: float
    standard_error_uj: float = Field(ge=0)
    residual_uj: float
    pulses: int = Field(ge=1)


class FluenceCalibration(ConfigModel):
    """Malus' law of one attenuator, as measured by one energy meter.

    `covariance` is of energy_open_uj, zero_deg and extinction (in their units).
    """

    format: str = Field(pattern=f"^{FORMAT}$", description="what this file is")
    simulated: bool = Field(description="whether no real instrument took part")
    calibrated_at: Text = Field(description="date and time")
    bench: Text = Field(description="file or name of the bench")
    energy_open_uj: float = Field(gt=0, le=1e9, description="greatest pulse energy, at the meter (uJ)")
    zero_deg: float = Field(ge=0, lt=360, description="angle of the plate at which it is reached (deg)")
    extinction: float = Field(ge=0, lt=1, description="least energy as a part of the greatest")
    covariance: tuple[Row, Row, Row]
    chi2: float = Field(ge=0)
    degrees_of_freedom: int = Field(ge=1)
    probability: float = Field(ge=0, le=1, description="of a chi2 as great as this one, if the law is true")
    spot_area_cm2: float = Field(gt=0)
    pickoff_ratio: float = Field(gt=0)
    wavelength_nm: float = Field(gt=0)
    rate_hz: float = Field(gt=0, description="pulses per second while it was measured (Hz)")
    identities: Mapping[str, Text] = Field(description="who took part: role and what the instrument said of itself")
    serials: Mapping[str, Text] = Field(description="of attenuator, energy meter and its head: it holds for these only")
    points: tuple[Point, ...] = Field(alias="point", min_length=4)

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield a date that is none."""
        try:
            datetime.fromisoformat(self.calibrated_at)
        except ValueError:
            message = f"{self.calibrated_at!r} is no date and time such as 2026-01-31T12:00:00+01:00"
            yield Contradiction("date-malformed", ("calibrated_at",), message)

    @property
    def law(self) -> Malus:
        """Get the law of the energy at the meter (uJ)."""
        return Malus(self.energy_open_uj, self.zero_deg, self.extinction)

    def sigma_uj(self, angle_deg: float) -> float:
        """Return the standard uncertainty of the energy at an angle, systematic ones not included (uJ at the meter)."""
        return law_sigma(self.law, self.covariance, angle_deg)

    def age_s(self, now_label: str) -> float:
        """Return how old it is at a date and time (s); NaN when only one of the two says its time zone."""
        with suppress(TypeError):
            return (datetime.fromisoformat(now_label) - datetime.fromisoformat(self.calibrated_at)).total_seconds()
        return math.nan

    def text(self) -> str:
        """Write it as TOML."""
        return HEADING + render_toml(self.model_dump(by_alias=True, mode="json")) + "\n"


@dataclass(frozen=True, slots=True)
class Uncertain:
    """A fluence with its standard uncertainties (all uJ/cm2): what scatters, and what is wrong in all values alike."""

    value: float
    statistical: float
    systematic: float


@dataclass(frozen=True, slots=True)
class EnergyScale:
    """What makes fluence at the film of an energy at the meter, and how wrong each part of it may be (relative, 1 sigma)."""

    pickoff_ratio: float
    spot_area_cm2: float
    spot_area_uncertainty: float
    gain_uncertainty: float
    pickoff_uncertainty: float
    filter_transmission: float = 1.0
    filter_uncertainty: float = 0.0

    @property
    def uj_cm2_per_uj(self) -> float:
        """Get the fluence (uJ/cm2) per energy at the meter (uJ)."""
        return self.pickoff_ratio / self.spot_area_cm2 * self.filter_transmission

    @property
    def relative(self) -> float:
        """Get the systematic uncertainty of every fluence, relative (1 sigma)."""
        parts = [self.spot_area_uncertainty, self.gain_uncertainty, self.pickoff_uncertainty, self.filter_uncertainty]
        return quadrature(parts)

    def parts_text(self) -> str:
        """Say of what it is made: "area 5 %, meter 2 %, pick-off 0 %", and the filter if there is one."""
        parts = {"area": self.spot_area_uncertainty, "meter": self.gain_uncertainty, "pick-off": self.pickoff_uncertainty}
        if self.filter_transmission != 1:
            parts[f"filter {self.filter_transmission:g}"] = self.filter_uncertainty
        return ", ".join(f"{name} {100 * part:g} %" for name, part in parts.items())


def fluence_at(calibration: FluenceCalibration, scale: EnergyScale, angle_deg: float) -> Uncertain:
    """Return the fluence at the film at an angle of the plate."""
    value = calibration.law.at(angle_deg) * scale.uj_cm2_per_uj
    return Uncertain(value, calibration.sigma_uj(angle_deg) * scale.uj_cm2_per_uj, value * scale.relative)


def read_calibration(path: Path) -> FluenceCalibration:
    """Read a calibration file.

    Raises
    ------
    ConfigError  it cannot be read, or all mistakes in it at once
    """
    return load_model(path, FluenceCalibration)


def keep_calibration(path: Path, calibration: FluenceCalibration) -> Path:
    """Copy the file of this calibration to a name with its date, and return that; one that is there already stays.

    Raises
    ------
    RecordError  it cannot be copied
    """
    day = re.sub(r"[^0-9T]", "", calibration.calibrated_at[:19])
    kept = path.with_name(f"{path.stem}_{day}{path.suffix}")
    try:
        if not kept.exists():
            shutil.copy2(path, kept)
    except OSError as error:
        raise RecordError(
            f"The calibration before cannot be kept: {error.strerror}.",
            where=str(kept),
            hardware_state="everything is off",
            next_step="move it away by hand, or choose another place with --out",
        ) from error
    return kept


def write_calibration(path: Path, calibration: FluenceCalibration) -> None:
    """Put the file in its place as a whole: a reader finds the old one or the new one.

    Raises
    ------
    RecordError  the folder or the disk does not play along; the old file is as it was
    """
    try:
        write_whole(path, calibration.text())
    except OSError as error:
        raise RecordError(
            f"The calibration cannot be written: {error.strerror}.",
            where=str(path),
            hardware_state="not known here",
            next_step="choose another place with --out",
        ) from error
