"""How the Ocean FX turns triggers into frames.

A trigger at t opens an exposure [t + delay, t + delay + integration). The detector is busy for max(222 us, integration + 20 us)
from the opening on (222 us: 4500 spectra/s as the maker says; 20 us of read-out assumed); with several frames per trigger, or
several scans per frame, exposures follow each other at that period (assumed). A trigger that comes while the instrument waits
for the end of a delay, exposes or reads out is not seen at all: no record, no count.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim_instruments.ocean_fx_buffer import (
    METADATA_BYTES,
    METADATA_VERSION,
    PIXEL_BYTES,
    PIXEL_FORMAT_U16,
    RECORD,
    Records,
)
from sim_instruments.persona import Optics, TimesNs

MIN_BUSY_NS = 222_000
READOUT_NS = 20_000  # assumed
MAX_BATCH = 4096  # exposures rendered at once: 17 MB of pixels

Pixels = NDArray[np.uint16]


@dataclass(slots=True)
class DeviceClock:
    """The instrument's microsecond counter: `start_us` at `zero_ns`, fast by `ppm`."""

    start_us: int
    ppm: float
    zero_ns: int = 0

    def at(self, t_ns: TimesNs) -> NDArray[np.uint64]:
        """Counter readings uint64 (n,) at `t_ns` int64 (n,)."""
        elapsed_ns = t_ns - self.zero_ns
        drift_ns = np.floor(elapsed_ns * (self.ppm * 1e-6)).astype(np.int64)
        return (self.start_us + (elapsed_ns + drift_ns) // 1000).astype(np.uint64)


@dataclass(frozen=True, slots=True)
class Scan:
    """How one frame is taken: trigger to opening, length of each exposure (ns), exposures averaged into the frame."""

    delay_ns: int
    integration_ns: int
    averages: int

    @property
    def period_ns(self) -> int:
        """Time from one opening to the next that is possible (ns)."""
        return max(MIN_BUSY_NS, self.integration_ns + READOUT_NS)


@dataclass(slots=True)
class Train:
    """Exposures that have been triggered: at every `start_ns` the same number, back to back.

    They are computed when they close, so a train of any length costs nothing. Exposures are numbered through; `done` of them
    have been rendered. `partial` is the sum of the scans of a frame that is not complete.
    """

    start_ns: TimesNs
    frames_per_start: int
    scan: Scan
    done: int = 0
    partial: NDArray[np.uint32] | None = None

    @property
    def exposures_per_start(self) -> int:
        """Exposures that follow each trigger."""
        return self.frames_per_start * self.scan.averages

    @property
    def frames_done(self) -> int:
        """Frames whose exposures have all been rendered."""
        return self.done // self.scan.averages

    @property
    def frames(self) -> int:
        """Frames altogether."""
        return len(self.start_ns) * self.frames_per_start

    @property
    def over(self) -> bool:
        """Whether every exposure has been rendered."""
        return self.frames_done == self.frames

    def open_ns(self, number: NDArray[np.int64]) -> TimesNs:
        """Openings int64 (n,) of the exposures `number` int64 (n,)."""
        start, k = np.divmod(number, self.exposures_per_start)
        return self.start_ns[start] + k * self.scan.period_ns

    def closed(self, t_ns: int) -> int:
        """How many exposures have closed by `t_ns`."""
        opened_ns = t_ns - self.scan.integration_ns
        starts = int(np.searchsorted(self.start_ns, opened_ns, side="right"))
        if starts == 0:
            return 0
        in_last = (opened_ns - int(self.start_ns[starts - 1])) // self.scan.period_ns + 1
        return (starts - 1) * self.exposures_per_start + min(in_last, self.exposures_per_start)

    def frame_ready_ns(self, frame: NDArray[np.int64]) -> TimesNs:
        """When the frames numbered `frame` int64 (n,) have been read out, int64 (n,)."""
        return self.open_ns((frame + 1) * self.scan.averages - 1) + self.scan.period_ns

    def average(self, pixels: Pixels) -> Pixels:
        """Turn the next exposures (n, pixels) into the frames (m, pixels) they complete; rounded means."""
        per_frame = self.scan.averages
        before = self.done % per_frame
        self.done += len(pixels)
        if per_frame == 1:
            return pixels
        groups = np.array([0, *range(per_frame - before, len(pixels), per_frame)])
        sums = np.add.reduceat(pixels, groups, axis=0, dtype=np.uint32)
        if self.partial is not None:
            sums[0] += self.partial
        complete = (before + len(pixels)) // per_frame
        self.partial = sums[complete].copy() if complete < len(sums) else None
        return ((sums[:complete] + per_frame // 2) // per_frame).astype(np.uint16)


@dataclass(frozen=True, slots=True)
class FrameBlock:
    """Frames as they leave the detector: when each is there int64 (n,), and what it says, RECORD (n,)."""

    ready_ns: TimesNs
    records: Records

    def split(self, n: int) -> tuple["FrameBlock", "FrameBlock"]:
        """Cut behind the first `n` frames."""
        return FrameBlock(self.ready_ns[:n], self.records[:n]), FrameBlock(self.ready_ns[n:], self.records[n:])


@dataclass(slots=True)
class Acquisition:
    """The detector and its read-out.

    Parameters
    ----------
    optics      gives the pixels; every exposure is asked for once, in order, at the first `run_until` after it has closed
    clock       the counter that stamps the opening of a frame's first exposure
    stale_next  the next frame shows the light of the frame before it (a dark exposure when there was none)
    busy_ns     until when triggers are not seen
    """

    optics: Optics
    clock: DeviceClock
    stale_next: bool = False
    busy_ns: int = 0
    count: int = 0
    _time_us: int = 0
    _last: Pixels | None = None
    _trains: deque[Train] = field(default_factory=deque)
    _reading: deque[FrameBlock] = field(default_factory=deque)

    @property
    def in_progress(self) -> bool:
        """Whether a frame is under way."""
        return bool(self._trains or self._reading)

    def trigger(self, t_ns: TimesNs, scan: Scan, frames: int) -> None:
        """Triggers arrive at `t_ns` int64 (n,), ascending; each that is seen makes `frames` frames."""
        hold_ns = scan.delay_ns + frames * scan.averages * scan.period_ns
        seen = t_ns[np.searchsorted(t_ns, self.busy_ns) :]
        if not len(seen):
            return
        if not np.all(np.diff(seen) >= hold_ns):
            accepted = [i := 0]
            while (i := int(np.searchsorted(seen, seen[i] + hold_ns))) < len(seen):
                accepted.append(i)
            seen = seen[accepted]
        self.busy_ns = int(seen[-1]) + hold_ns
        self._trains.append(Train(seen + scan.delay_ns, frames, scan))

    def abort(self, t_ns: int) -> None:
        """Give up what is under way; nothing of it will be a frame (assumed)."""
        self._trains.clear()
        self._reading.clear()
        self.busy_ns = t_ns

    def restart(self, t_ns: int) -> None:
        """Switch off and on: counters at zero, nothing left of earlier light."""
        self.abort(t_ns)
        self.clock.start_us, self.clock.zero_ns = 0, t_ns
        self.stale_next, self.count, self._time_us, self._last = False, 0, 0, None

    def next_ready_ns(self, n: int) -> int | None:
        """When the `n`-th frame from now will have been read out; None when it has not been triggered."""
        for block in self._reading:
            if n <= len(block.ready_ns):
                return int(block.ready_ns[n - 1])
            n -= len(block.ready_ns)
        for train in self._trains:
            left = train.frames - train.frames_done
            if n <= left:
                return int(train.frame_ready_ns(np.array([train.frames_done + n - 1]))[0])
            n -= left
        return None

    def run_until(self, t_ns: int) -> Iterator[FrameBlock]:
        """Render the exposures that have closed by `t_ns` and yield, in order, the frames that have been read out by then."""
        while parts := self._closed(t_ns):
            self._reading.extend(self._render(parts))
            yield from self._read_out(t_ns)
        yield from self._read_out(t_ns)

    def _closed(self, t_ns: int) -> list[tuple[Train, TimesNs]]:
        """Trains with the openings of their exposures that closed by `t_ns` and were not rendered, at most a batch."""
        parts: list[tuple[Train, TimesNs]] = []
        room = MAX_BATCH
        for train in self._trains:
            n = min(train.closed(t_ns) - train.done, room)
            if n <= 0:
                break
            parts.append((train, train.open_ns(np.arange(train.done, train.done + n))))
            room -= n
        return parts

    def _render(self, parts: list[tuple[Train, TimesNs]]) -> Iterator[FrameBlock]:
        open_ns = np.concatenate([opened for _, opened in parts])
        close_ns = np.concatenate([opened + train.scan.integration_ns for train, opened in parts])
        if self.stale_next and self._last is None:
            # an exposure of no length: what the detector shows that has seen nothing yet
            pixels = self.optics.expose(np.insert(open_ns, 0, open_ns[0]), np.insert(close_ns, 0, open_ns[0]))
            self._last, pixels = pixels[0].copy(), pixels[1:]
        else:
            pixels = self.optics.expose(open_ns, close_ns)
        for train, opened in parts:
            first = train.frames_done
            frames = train.average(pixels[: len(opened)])
            pixels = pixels[len(opened) :]
            if len(frames):
                number = np.arange(first, first + len(frames))
                yield FrameBlock(train.frame_ready_ns(number), self._records(train, number, frames))
        while self._trains and self._trains[0].over:
            self._trains.popleft()

    def _records(self, train: Train, number: NDArray[np.int64], frames: Pixels) -> Records:
        n = len(frames)
        time_us = self.clock.at(train.open_ns(number * train.scan.averages))
        counts = self.count + 1 + np.arange(n)
        records = np.zeros(n, RECORD)
        records["version"] = METADATA_VERSION
        records["metadata_bytes"] = METADATA_BYTES
        records["pixel_bytes"] = PIXEL_BYTES
        records["time_us"] = time_us
        records["integration_us"] = train.scan.integration_ns // 1000
        records["pixel_format"] = PIXEL_FORMAT_U16
        records["count"] = counts & 0xFFFFFFFF
        records["previous_count"] = (counts - 1) & 0xFFFFFFFF
        records["previous_time_us"][0] = self._time_us
        records["previous_time_us"][1:] = time_us[:-1]
        records["averages"] = train.scan.averages
        records["pixels"] = frames
        if self.stale_next and self._last is not None:
            records["pixels"][0] = self._last
            self.stale_next = False
        self.count, self._time_us, self._last = self.count + n, int(time_us[-1]), frames[-1].copy()
        return records

    def _read_out(self, t_ns: int) -> Iterator[FrameBlock]:
        while self._reading:
            block = self._reading.popleft()
            there = int(np.searchsorted(block.ready_ns, t_ns, side="right"))
            now, later = block.split(there)
            if len(later.ready_ns):
                self._reading.appendleft(later)
            if not there:
                return
            yield now
