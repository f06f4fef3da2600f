"""A stepped world for programs that sleep: the time they spend between two calls passes on the bench too."""

import time
from collections.abc import Callable, Mapping

from sim_instruments.persona import Persona
from sim_instruments.world import World


class PacedWorld:
    """Looks like a World to the in-process VISA library.

    While VISA waits, time is stepped as ever; a second in which the program does something else is a second of the world. What
    the simulation itself costs does not count. Results then depend on the program's pace, so they are not the same twice.

    Parameters
    ----------
    world    the stepped world
    real_ns  the computer's clock (ns)
    """

    def __init__(self, world: World, real_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._world = world
        self._real_ns = real_ns
        self._left_ns = real_ns()

    @property
    def personas(self) -> Mapping[str, Persona]:
        """Get the instruments by role."""
        return self._world.personas

    @property
    def resources(self) -> Mapping[str, str]:
        """Get the VISA resource names by role."""
        return self._world.resources

    def now_ns(self) -> int:
        """World time (ns), after letting pass what the program has spent elsewhere."""
        self._let_pass()
        return self._world.now_ns()

    def catch_up(self) -> bool:
        """Let happen what has been put off; tell whether there was anything."""
        self._let_pass()
        return self._world.catch_up()

    def advance_to(self, t_ns: int) -> None:
        """Let everything happen up to `t_ns`."""
        self._world.advance_to(t_ns)
        self._left_ns = self._real_ns()

    def coast_to(self, t_ns: int) -> None:
        """Let time pass while a reply travels."""
        self._world.coast_to(t_ns)
        self._left_ns = self._real_ns()

    def _let_pass(self) -> None:
        self.advance_to(self._world.now_ns() + self._real_ns() - self._left_ns)
