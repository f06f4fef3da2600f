"""`rig gui`: the window."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drivers.errors import RefusedError
from rig.bench import default_bench, read_bench


def main(words: Sequence[str], _files: object = None) -> int:
    """Open the window and stay until it is closed; return the exit code.

    Raises
    ------
    ConfigError   the bench file is impossible
    RefusedError  PyQt5 is not installed, or there is no screen
    """
    options = parser().parse_args(words)
    bench = default_bench() if options.bench is None else read_bench(options.bench)
    if options.run is not None and not options.run.is_file():
        raise RefusedError(f"There is no file {options.run}.", (), next_step="rig gui RUN.h5, or without it")
    try:
        from gui.application import ErrorNet, make_application
        from gui.layout_memory import LayoutMemory
        from gui.main_window import MainWindow
    except ImportError as error:
        raise RefusedError(
            f"The window needs PyQt5 and pyqtgraph: {error}.", (), next_step="install them: pip install 'ito-rig[gui]'"
        ) from error
    memory = LayoutMemory()
    application = make_application(memory.theme)
    net = ErrorNet()
    net.spread()
    out = options.out if options.run is None or options.out != DEFAULT_OUT else options.run.parent
    window = MainWindow(bench, options.bench, simulate=options.simulate, out=out, run=options.run, memory=memory)
    net.caught.connect(window.tell_caught)
    # the end of the terminal, or Ctrl-C in it, ends the window; runs are none of its business
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _quit(application))
    window.show()
    application.processEvents()  # the window is up before it begins to look for anything
    window.begin()
    try:
        return application.exec_()
    finally:
        window.release()
        net.close()


DEFAULT_OUT = Path("runs")


def parser() -> argparse.ArgumentParser:
    """Build the parser of its words."""
    top = argparse.ArgumentParser(prog="rig gui", description="The window: live traces, instruments, sequences, runs.")
    top.add_argument("run", type=Path, nargs="?", metavar="RUN.h5", help="a run file to begin with")
    top.add_argument("--bench", type=Path, metavar="B", help="bench file; without it the default simulated bench")
    top.add_argument("--simulate", action="store_true", help="make that bench of software; open no resource")
    top.add_argument("--out", type=Path, default=DEFAULT_OUT, metavar="DIR", help="folder for run files (default runs/)")
    return top


def _quit(application: Any) -> Any:
    def act(_number: int, _frame: object) -> None:
        application.quit()

    return act


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
