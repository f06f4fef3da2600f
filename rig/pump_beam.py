"""What stands in the beams during a run: the plate that sets the fluence, the shutters of pulses and of continuous light."""

from drivers.errors import InstrumentError
from drivers.roles import Attenuator, FilterWheel, Shutter
from rig.sequence import Light


class PumpBeam:
    """Moves plate and shutters when the run says so, and only then.

    A laser that is fired by the generator has its shutter open from the first burst to the end of the run; one that never stops
    has it open for the time of each burst. Closing at the end, and after anything unforeseen, is make_safe()'s.

    Parameters
    ----------
    attenuator, shutter  None where the bench has none
    runs_free            whether the laser is its own clock, so that only the shutter keeps its pulses away
    cw_shutter           that of the continuous light; None where the bench has none
    filter_wheel         after the energy meter's pick-off; None where the bench has none
    """

    def __init__(
        self,
        attenuator: Attenuator | None,
        shutter: Shutter | None,
        *,
        runs_free: bool,
        cw_shutter: Shutter | None = None,
        filter_wheel: FilterWheel | None = None,
    ) -> None:
        self.runs_free = runs_free
        self._attenuator = attenuator
        self._filter_wheel = filter_wheel
        self._position: int | None = None  # of the wheel, for the whole run
        self._shutters: dict[Light, Shutter | None] = {"pulses": shutter, "cw": cw_shutter}
        self._light: Light = "pulses"
        self._open: Light | None = None
        self._plate_deg: float | None = None

    def prepare_shutters(self) -> None:
        """Close all shutters; raises InstrumentError when one does not close."""
        for shutter in self._shutters.values():
            if shutter is not None:
                shutter.prepare()
        self._open = None

    def set_light(self, light: Light) -> None:
        """Say what `open` is to let through; what must not come through any more is closed out. No pulse can come meanwhile.

        Raises
        ------
        InstrumentError  a shutter does not close
        """
        if light != self._light:
            self.close()
        self._light = light

    def prepare_filter(self, position: int | None) -> None:
        """Turn the filter wheel to the position of a run; no pulse can come yet.

        Raises
        ------
        InstrumentError  it does not answer, or stands elsewhere
        """
        if self._filter_wheel is None or position is None:
            return
        self.close()
        self._filter_wheel.prepare()
        self._position = position
        self._demand_position(self._filter_wheel.move_to(position), "no pulses, shutters closed")

    def check_filter(self) -> None:
        """See that the filter wheel still stands where it was put for the run.

        Raises
        ------
        InstrumentError  it does not answer, or somebody has turned it: nobody knows when
        """
        if self._filter_wheel is not None and self._position is not None:
            self._demand_position(self._filter_wheel.position(), "as the end of the run left it")

    def _demand_position(self, found: int, hardware_state: str) -> None:
        if found != self._position:
            raise InstrumentError(
                f"The filter wheel stands at position {found}, not at {self._position}: the fluence is another than asked for.",
                where="filter wheel",
                hardware_state=hardware_state,
                next_step="see whether it is blocked, or who has pressed its button; then run again",
            )

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
        """Let the light through that is wanted; raises InstrumentError when its shutter does not open."""
        shutter = self._shutters.get(self._light)
        if shutter is not None and self._open is None:
            self._open = self._light  # whatever happens from here on, it counts as open
            shutter.open()

    def close(self) -> None:
        """Let nothing through; raises InstrumentError when the shutter does not close."""
        shutter = None if self._open is None else self._shutters.get(self._open)
        if shutter is not None:
            shutter.close()
        self._open = None

    def was_closed(self) -> None:
        """Take note that somebody else has closed the shutters: make_safe() of a pause."""
        self._open = None

    def after_burst(self) -> None:
        """Close the shutter of a laser that never stops."""
        if self.runs_free and self._open == "pulses":
            self.close()
