"""When the detector of a USB4000 exposes for a spectrum that was asked for.

Free running (mode 0) the detector is read out at every end of a cycle of at least 3.8 ms, whether anybody asks or not; a
request gets the cycle that is under way (seen by users of a sister model: python-seabreeze #110). In mode 3 a request arms
the detector, and the next rising edge opens one exposure; an edge without a request, or during an exposure or its read-out, is
not seen and leaves no trace. In the other modes nothing is exposed.

Assumed: setting the mode begins a new cycle at once and gives up an exposure or read-out under way, whose request stays open;
a new integration time holds from the next cycle on; a request while one is open, or while its spectrum has not been fetched,
is ignored.
"""

from dataclasses import dataclass

from sim_instruments.persona import TimesNs

FREE, HARDWARE_EDGE = 0, 3
READOUT_NS = 3_800_000  # Source: the shortest cycle of this detector in the maker's description
DEFAULT_INTEGRATION_NS = 100_000_000  # assumed


@dataclass(frozen=True, slots=True)
class Exposure:
    """The detector collects light from `open_ns` to `close_ns`."""

    open_ns: int
    close_ns: int

    @property
    def read_ns(self) -> int:
        """When it has been read out."""
        return self.close_ns + READOUT_NS


@dataclass(slots=True)
class Exposures:
    """The detector's timing.

    Parameters
    ----------
    cycle_ns       beginning of one free-running cycle, maybe the next; the others follow and precede it
    delay_ns       from edge to opening in mode 3
    under_way      what is exposed, or read out, for an open request
    requested_ns   since when a request has been open that nothing is exposed for
    """

    integration_ns: int = DEFAULT_INTEGRATION_NS
    mode: int = FREE
    cycle_ns: int = 0
    delay_ns: int = 0
    under_way: Exposure | None = None
    requested_ns: int | None = None
    _before_ns: int = DEFAULT_INTEGRATION_NS  # integration time of the cycle that ends at cycle_ns
    _busy_ns: int = 0

    @property
    def open_request(self) -> bool:
        """Whether a spectrum is owed."""
        return self.under_way is not None or self.requested_ns is not None

    def request(self, t_ns: int) -> None:
        """Ask for one spectrum."""
        if not self.open_request:
            self.requested_ns = t_ns
            self._serve_free(t_ns)

    def set_mode(self, mode: int, t_ns: int) -> None:
        """Change the trigger mode."""
        owed = self.open_request
        self.mode, self.cycle_ns, self._before_ns = mode, t_ns, self.integration_ns
        self.under_way, self.requested_ns = None, t_ns if owed else None
        if owed:
            self._serve_free(t_ns)

    def set_integration(self, integration_ns: int, t_ns: int) -> None:
        """Change the integration time; the cycle under way keeps its own."""
        if t_ns >= self.cycle_ns:
            period_ns = max(self.integration_ns, READOUT_NS)
            self.cycle_ns += ((t_ns - self.cycle_ns) // period_ns + 1) * period_ns
            self._before_ns = self.integration_ns
        self.integration_ns = integration_ns

    def forget(self, t_ns: int) -> None:
        """Give up every request and run free."""
        self.under_way = self.requested_ns = None
        self.set_mode(FREE, t_ns)

    def take_edges(self, rise_ns: TimesNs) -> None:
        """Rising edges int64 (n,), ascending, arrive."""
        if self.mode != HARDWARE_EDGE or self.requested_ns is None:
            return
        seen = rise_ns[rise_ns >= max(self.requested_ns, self._busy_ns)]
        if len(seen):
            open_ns = int(seen[0]) + self.delay_ns
            self._begin(Exposure(open_ns, open_ns + self.integration_ns))

    def read_out(self, t_ns: int) -> Exposure | None:
        """Take the exposure that has been read out by `t_ns`."""
        done = self.under_way
        if done is None or done.read_ns > t_ns:
            return None
        self.under_way = None
        return done

    def _serve_free(self, t_ns: int) -> None:
        if self.mode != FREE:
            return
        if t_ns < self.cycle_ns:
            self._begin(Exposure(self.cycle_ns - self._before_ns, self.cycle_ns))
            return
        period_ns = max(self.integration_ns, READOUT_NS)
        close_ns = self.cycle_ns + ((t_ns - self.cycle_ns) // period_ns + 1) * period_ns
        self._begin(Exposure(close_ns - self.integration_ns, close_ns))

    def _begin(self, exposure: Exposure) -> None:
        self.under_way, self.requested_ns = exposure, None
        self._busy_ns = exposure.read_ns
