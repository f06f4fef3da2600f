"""Draw docs/images/window_*.png: every page of the window, with a simulated run of this moment, without a screen.

python docs/make_window_pictures.py [--all FOLDER]

--all draws every page in both themes at 1366 x 768 and 1920 x 1080 into FOLDER, for looking at them.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image  # comes with matplotlib

IMAGES = Path(__file__).resolve().parent / "images"
KEPT = {"run": "dark", "instruments": "dark", "sequence": "light", "runs": "dark", "results": "light"}
SIZES = ((1366, 768), (1920, 1080))
TITLE_BAR = 28  # of the desktop; belongs to the screen, not to the window
MAX_BYTES = 200_000
SEQUENCE = """\
title = "ASE switching at 40 uJ/cm2"
sample = "CsPbBr3-07"
measurement = "on_off"
[parameters]
voltage_on_v = 20.0
on_time_s = 2.0
off_time_s = 2.0
cycles = 6
fluence_uj_cm2 = 40.0
"""


class Painter:
    """A window with a finished run in its folder and one that is under way."""

    def __init__(self, folder: Path) -> None:
        from gui.application import make_application
        from gui.layout_memory import LayoutMemory
        from gui.main_window import MainWindow
        from rig.bench import default_bench
        from rig.control import Ended

        self.folder = folder
        self.application = make_application("dark")
        self.memory = LayoutMemory(folder / "layout.ini")
        self.memory.speed = "free"
        self.window = MainWindow(default_bench(), out=folder / "runs", memory=self.memory)
        self.window.show()
        self.window.begin()
        self.ended = 0
        self.window.link.said.connect(lambda event: self._count(isinstance(event, Ended)))
        for device in ("dose of yesterday", "dose of today"):
            ended = self.ended
            self.window.start_text(SEQUENCE.replace("at 40", f"({device}) at 40"), "on_off.toml")
            self.until(lambda ended=ended: self.ended > ended)
        self.window.set_speed("real")
        self.window.start_text(SEQUENCE.replace("cycles = 6", "cycles = 30"), "on_off.toml")
        self.until(lambda: self.window.link.runs)
        self.idle(15.0)

    def _count(self, ended: bool) -> None:
        self.ended += ended

    def until(self, what: Callable[[], bool], within_s: float = 60.0) -> None:
        """Let the window work until something is so."""
        end = time.monotonic() + within_s
        while not what():
            self.application.processEvents()
            if time.monotonic() > end:
                raise SystemExit("\n".join(self.window.messages.lines))

    def idle(self, duration_s: float) -> None:
        """Let the window work for some time (s)."""
        end = time.monotonic() + duration_s
        self.until(lambda: time.monotonic() > end, duration_s + 1)

    def picture(self, page: str, look: str, size: tuple[int, int], path: Path) -> int:
        """Draw one page; return the size of the file (bytes)."""
        self.window.resize(size[0], size[1] - TITLE_BAR)
        self.window.use_theme(look)
        self.window.show_page(page)
        self.idle(3.0)
        if not self.window.grab().save(str(path), "PNG", 0):
            raise SystemExit(f"{path} cannot be written")
        with Image.open(path) as picture:
            small = picture.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        small.save(path, optimize=True)
        return path.stat().st_size

    def close(self) -> None:
        """Stop the run, close the window, end the engine."""
        from gui.engine_process import STARTED

        self.window.link.stop("the pictures are done")
        self.until(lambda: not self.window.link.runs)
        self.window.close()
        for process in STARTED:
            process.terminate()
            process.wait()


def main() -> int:
    """Draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    os.environ |= {"QT_QPA_PLATFORM": "offscreen", "QT_FONT_DPI": "96"}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ITO_RIG_STATE"] = str(Path(folder) / "state")
        painter = Painter(Path(folder))
        too_large: list[str] = []
        if options.all is None:
            wanted = [(page, look, SIZES[0], IMAGES / f"window_{page}.png") for page, look in KEPT.items()]
        else:
            options.all.mkdir(parents=True, exist_ok=True)
            wanted = [
                (page, look, size, options.all / f"{page}_{look}_{size[0]}.png")
                for look in ("dark", "light")
                for size in SIZES
                for page in KEPT
            ]
        for page, look, size, path in wanted:
            length = painter.picture(page, look, size, path)
            print(f"{path.name}: {length / 1000:.0f} kB")
            too_large += [path.name] if length > MAX_BYTES and options.all is None else []
        painter.close()
    if too_large:
        print(f"larger than {MAX_BYTES / 1000:.0f} kB: {', '.join(too_large)}")
    return 1 if too_large else 0


if __name__ == "__main__":
    sys.exit(main())
