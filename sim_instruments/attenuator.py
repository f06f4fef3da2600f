"""A motorised attenuator of the pump: a half-wave plate that turns before a polariser."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TimesNs = NDArray[np.int64]

EXTINCTION = 1e-3
"""Transmission of the crossed polariser, the least that can be set. Source: assumed."""

POSITION_NOISE = 0.003
BACKLASH = 0.005
PLAY_DEG = 0.072
"""Of a turning plate; makes the backlash where half is transmitted. Source: assumed."""

MOVE_S = 0.25
LONG_AGO_NS = -(2**62)
KNOTS_AT_MOST = 1024


def malus(plate_deg: Floats | float, extinction: float = EXTINCTION) -> Floats:
    """Transmission behind a half-wave plate at `plate_deg`, any shape: the polarisation turns by twice the angle.

    T = x + (1 - x) cos^2(2 theta) with the extinction x.
    """
    return extinction + (1 - extinction) * np.cos(2 * np.radians(plate_deg)) ** 2


def plate_deg(transmission: float) -> float:
    """Return the plate's angle, 0 to 45 degrees, that transmits `transmission`. Raises ValueError out of range."""
    if not EXTINCTION <= transmission <= 1:
        raise ValueError(f"transmission {transmission} is not within {EXTINCTION} and 1")
    return math.degrees(math.acos(math.sqrt((transmission - EXTINCTION) / (1 - EXTINCTION)))) / 2


class Attenuator:
    """Transmits what it was set to, within 0.3 % from move to move, and 0.5 % more when it was reached from above.

    It is calibrated upwards. The backlash is play: after a reversal the plate stays until the motor has gone through it. During
    a move (0.25 s) the transmission changes linearly. Figures: assumed.

    Parameters
    ----------
    seed : of the positioning noise, one draw per move
    transmission : where it stands at first, exactly; `EXTINCTION` to 1
    """

    def __init__(self, seed: int | np.random.SeedSequence, transmission: float = 1.0) -> None:
        self.setting = _checked(transmission)
        self._reached = math.log(transmission)
        self._noise = np.random.Generator(np.random.SFC64(seed))
        self._knot_ns = np.array([LONG_AGO_NS], np.int64)
        self._knot = np.array([transmission])
        self._asked_ns = LONG_AGO_NS

    @property
    def arrival_ns(self) -> int:
        """Time at which the last move is over (ns)."""
        return int(self._knot_ns[-1])

    def set_transmission(self, transmission: float, t_ns: int) -> None:
        """Start to move to `transmission` at `t_ns`, from wherever it is then; nothing moves when that is the setting already.

        Raises ValueError outside of `EXTINCTION` to 1, and when t decreases.
        """
        if t_ns < self._asked_ns:
            raise ValueError(f"the attenuator is set at {t_ns} ns, after {self._asked_ns} ns")
        if _checked(transmission) == self.setting:
            return
        here = float(self.transmission(np.array([t_ns]))[0])
        self.setting, self._asked_ns = transmission, t_ns
        wanted = math.log(transmission)
        self._reached = min(max(self._reached, wanted), wanted + BACKLASH)
        landed = min(1.0, math.exp(self._reached) * (1 + POSITION_NOISE * float(self._noise.standard_normal())))
        before = self._knot_ns < t_ns
        self._knot_ns = np.append(self._knot_ns[before], [t_ns, t_ns + round(MOVE_S * 1e9)])
        self._knot = np.append(self._knot[before], [here, landed])

    def transmission(self, t_ns: TimesNs) -> Floats:
        """Return the true transmission at `t_ns` (n,), any order."""
        since_ns = t_ns - self._knot_ns[-1]  # differences, as float64 cannot hold ns over more than 100 days
        return np.interp(since_ns, self._knot_ns - self._knot_ns[-1], self._knot)


class TurningPlate:
    """The same, driven by its motor: the angle changes linearly from the begin to the end of a move, Malus does the rest.

    Fulfils `sim_instruments.beam.Element`. After each move the transmission is off by 0.3 %, drawn anew, and 0.5 % too high
    when the angle was reached by growing: the play (0.072 deg) is gone through first after a reversal. Figures: assumed.

    Parameters
    ----------
    noise       of the positioning, one draw per move
    angle_deg   where the motor stands at first
    zero_deg    the motor's angle of greatest transmission
    extinction  transmission of the crossed polariser
    """

    def __init__(
        self, noise: np.random.Generator, angle_deg: float = 0.0, *, zero_deg: float = 0.0, extinction: float = EXTINCTION
    ) -> None:
        self._noise = noise
        self._zero_deg = zero_deg
        self._extinction = extinction
        self._play = 0.0  # 0: the last move made the angle smaller, 1: greater
        self._knot_ns = np.array([LONG_AGO_NS], np.int64)
        self._knots = np.array([[angle_deg], [0.0]])  # angle (deg), relative deviation of the transmission

    def turn(self, angle_deg: float, t_ns: int, arrival_ns: int) -> None:
        """Move from wherever it is at `t_ns` to `angle_deg`, to be there at `arrival_ns`."""
        here = self._at(np.array([t_ns]))[:, 0]
        self._play = min(max(self._play + (angle_deg - float(here[0])) / PLAY_DEG, 0.0), 1.0)
        deviation = BACKLASH * self._play + POSITION_NOISE * float(self._noise.standard_normal())
        self._keep_until(t_ns, here, (max(arrival_ns, t_ns + 1), angle_deg, deviation))

    def stop(self, t_ns: int) -> None:
        """Stand still from `t_ns` on, wherever it is then."""
        here = self._at(np.array([t_ns]))[:, 0]
        self._keep_until(t_ns, here, (t_ns + 1, float(here[0]), float(here[1])))

    def angle_deg(self, t_ns: int) -> float:
        """Return the motor's true angle at `t_ns` (deg, not wrapped)."""
        return float(self._at(np.array([t_ns]))[0, 0])

    def transmission(self, t_ns: TimesNs) -> Floats:
        """Return the true transmission at `t_ns` (n,), any order."""
        angle_deg, deviation = self._at(t_ns)
        return np.minimum(1.0, malus(angle_deg - self._zero_deg, self._extinction) * (1 + deviation))

    def _keep_until(self, t_ns: int, here: Floats, landing: tuple[int, float, float]) -> None:
        kept = np.flatnonzero(self._knot_ns < t_ns)[-KNOTS_AT_MOST:]
        self._knot_ns = np.append(self._knot_ns[kept], [t_ns, landing[0]])
        self._knots = np.column_stack([self._knots[:, kept], here, landing[1:]])

    def _at(self, t_ns: TimesNs) -> Floats:
        """Angle and deviation at `t_ns`, (2, n)."""
        since_ns, knot_ns = t_ns - self._knot_ns[-1], self._knot_ns - self._knot_ns[-1]
        return np.array([np.interp(since_ns, knot_ns, values) for values in self._knots])


def _checked(transmission: float) -> float:
    plate_deg(transmission)
    return transmission
