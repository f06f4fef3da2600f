"""What the reference frames of a run say: light in both bands while the pump is kept from the film."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rig.analysis.stray_light import StrayLight, stray_light
from rig.reduction import usable
from rig.report.summary import value_text
from rig.runfile import Flag
from rig.sequence import State

NO_REFERENCE = Flag.UNASSIGNED | Flag.LEAD_IN | Flag.SURPLUS  # all other flags are what these frames are there to tell


@dataclass(frozen=True, slots=True)
class ReferenceLight:
    """One block of reference frames; `when` is "beginning" or "end"."""

    when: str
    frames: int
    light_520: StrayLight
    light_535: StrayLight

    @property
    def lit(self) -> bool | None:
        """Tell whether there is light in a band that does not come from the film; None when too few frames tell."""
        found = (self.light_520.lit, self.light_535.lit)
        return True if True in found else None if None in found else False

    @property
    def sentence(self) -> str:
        """Say it with its intervals."""
        bands = ((520, self.light_520), (535, self.light_535))
        darker = any(one.lit and (one.light.value or 0.0) < 0 for _, one in bands)
        values = ", ".join(f"{value_text(one.light)} at {band_nm} nm{_of_off(one.share)}" for band_nm, one in bands)
        words = {
            True: "WARNING: darker than the dark frames, which caught light that is gone"
            if darker
            else "WARNING: not as dark as the dark frames, there is light that does not come from the film",
            False: "as dark as the dark frames",
            None: "too few to tell stray light",
        }[self.lit]
        return f"{self.frames} reference frames at the {self.when}: {words} ({values})"

    def as_json(self) -> dict[str, Any]:
        """Return it as plain numbers (counts per frame)."""
        bands = {"light_520": self.light_520, "light_535": self.light_535}
        told = {name: {**one.light.as_json(), "share_of_off": one.share} for name, one in bands.items()}
        return {"when": self.when, "frames": self.frames, "lit": self.lit, **told}


def reference_light(rows: NDArray[np.void], dark_frames: int) -> tuple[ReferenceLight, ...]:
    """Reduce the reference frames among the rows of a run, FRAME_DTYPE (n,); one entry for each block that has any."""
    flags = rows["flags"]
    chosen = ((flags & int(Flag.REFERENCE)) != 0) & ((flags & int(NO_REFERENCE)) == 0)
    off = usable(flags) & (rows["state"] == int(State.OFF))
    found: list[ReferenceLight] = []
    for block in np.unique(rows["block"][chosen]):
        of_block = rows[chosen & (rows["block"] == block)]
        bands = (
            stray_light(of_block[band], dark_frames, float(rows[band][off].mean()) if off.any() else None)
            for band in ("band_520", "band_535")
        )
        found.append(ReferenceLight("beginning" if block == 0 else "end", len(of_block), *bands))
    return tuple(found)


def _of_off(share: float | None) -> str:
    return "" if share is None else f", {100 * share:.2g} % of the OFF light"
