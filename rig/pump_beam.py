"""What stands in the pump beam during a run: the plate that sets the fluence, the shutter that lets pulses through."""

from drivers.roles import Attenuator, Shutter


class PumpBeam:
    """Moves plate and shutter when the run says so, and only then.

    A laser that is fired by the generator has its shutter open from the first burst to the end of the run; one that never stops
    has it open for the time of each burst. Closing at the end, and after anything unforeseen, is make_safe()'s.

    Parameters
    ----------
    attenuator, shutter  None where the bench has none
    runs_free            whether the laser is its own clock, so that only the shutter keeps its pulses away
    """

    def __init__(self, attenuator: Attenuator | None, shutter: Shutter | None, *, runs_free: bool) -> None:
        self.runs_free = runs_free
        self._attenuator = attenuator
        self._shutter = shutter
        self._open = False
        self._plate_deg: float | None = None

    def prepare_shutter(self) -> None:
        """Close the shutter; raises InstrumentError when it does not close."""
        if self._shutter is not None:
            self._shutter.prepare()
            self._open = False

    def prepare_plate(self) -> None:
        """Home the plate, which takes seconds; raises InstrumentError when it does not get home."""
        if self._attenuator is not None:
            self._attenuator.prepare()
            self._plate_deg = None

    def set_plate(self, angle_deg: float | None) -> str:
        """Turn the plate to an angle (deg) while no pulse can come, if it is not there; return what to note of it.

        Raises
        ------
        InstrumentError  it does not get there
        """
        if self._attenuator is None or angle_deg is None or angle_deg == self._plate_deg:
            return ""
        self.after_burst()
        self._plate_deg = None  # nowhere, until it says that it has arrived
        found_deg = self._attenuator.move_to(angle_deg)
        self._plate_deg = angle_deg
        return f"plate at {found_deg:.3f} deg"

    def open(self) -> None:
        """Let pulses through; raises InstrumentError when the shutter does not open."""
        if self._shutter is not None and not self._open:
            self._open = True  # whatever happens from here on, it counts as open
            self._shutter.open()

    def close(self) -> None:
        """Let no pulse through; raises InstrumentError when the shutter does not close."""
        if self._shutter is not None and self._open:
            self._shutter.close()
            self._open = False

    def was_closed(self) -> None:
        """Take note that somebody else has closed the shutter: make_safe() of a pause."""
        self._open = False

    def after_burst(self) -> None:
        """Close the shutter of a laser that never stops."""
        if self.runs_free:
            self.close()
