"""What can be done with a recorded run: its figure, its numbers as CSV, its file finished. Slow: for a thread."""

from contextlib import suppress
from pathlib import Path

from drivers.errors import RecordError
from gui.figure_picture import DRAWING
from gui.live_record import LiveRecord
from gui.side_work import Abandoned, check
from rig.lifeline import guard_words
from rig.measurements.catalogue import MEASUREMENTS, record_of
from rig.measurements.live_view import LiveView
from rig.measurements.on_off import OnOff
from rig.report.export import write_csv
from rig.runfile import open_run, recover

DPI = 150


def figure_of(path: Path) -> Path:
    """Name the figure beside a run file."""
    return path.with_suffix(".png")


def draw_figure(path: Path) -> Path:
    """Draw the figure of a run beside its file, whole or not at all; return it.

    Raises
    ------
    RigError  there is nothing to draw, or the folder cannot be written
    """
    _require_drawn(path, "no figure is known of")
    target = figure_of(path)
    part = target.with_name(f"{target.name}.part")
    try:
        with DRAWING:
            record_of(path).figure().savefig(part, dpi=DPI, format="png")
        part.replace(target)
    except ValueError as error:
        raise RecordError(f"there is nothing to draw: {error}", where=str(path)) from error
    except OSError as error:
        raise RecordError(
            f"the figure cannot be written: {error.strerror}", where=str(target), next_step="see that you may write there"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return target


def make_report(path: Path) -> Path:
    """Write the report of a run beside its file, as `rig report` does; return the page.

    Raises
    ------
    RigError  the run cannot be read, or the folder cannot be written
    """
    from rig.commands_report import write_report  # matplotlib and all: when it is asked for

    with DRAWING:
        return write_report(open_run(path), path.parent)[0]


def export_csv(path: Path, folder: Path, abandoned: Abandoned) -> str:
    """Write traces, and mean spectra where there are some, into `folder`; return what was done.

    Raises
    ------
    RecordError   a file cannot be read or written
    GivenUpError  nobody wants it any more
    """
    run = open_run(path)
    means = None
    if run.header.measurement == OnOff.name:
        means = LiveRecord(path).complete(abandoned).record.means
    check(abandoned)
    written = write_csv(run, means, folder)
    without = "" if means is not None else "; no mean spectra: the run has none"
    return f"written to {folder}: {', '.join(file.name for file in written)}{without}"


def recover_run(path: Path) -> str:
    """Finish the file of a run whose writer is gone; return what was done.

    Raises
    ------
    RecordError  the writer lives, or the copy failed (the file stays as it was)
    """
    before_bytes = path.stat().st_size if path.exists() else 0
    run = recover(path)
    after_bytes = path.stat().st_size
    trimmed = f"{before_bytes / 1e6:.1f} MB trimmed to {after_bytes / 1e6:.1f} MB"
    return "\n".join([f"{path.name} recovered: {run.state}, {run.count} frames, {trimmed}", *guard_words(path)])


def _require_drawn(path: Path, what: str) -> None:
    measurement = open_run(path).header.measurement
    if measurement not in MEASUREMENTS or measurement == LiveView.name:
        raise RecordError(f'{what} the measurement "{measurement}"', where=str(path), next_step="export it as CSV")
