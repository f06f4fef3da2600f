"""The Qt application: sizes on fine screens, fonts, theme, and what becomes of an error that nobody caught."""

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from PyQt5.QtCore import QObject, QSize, Qt, pyqtSignal
from PyQt5.QtGui import QGuiApplication
from PyQt5.QtWidgets import QApplication

from drivers.errors import RigError
from gui import theme
from rig.state_folder import state_folder

LOG_BYTES = 1_000_000
MAX_TOLD = 50  # of one and the same error: a slot that fails 30 times a second must not fill disk and screen

log = logging.getLogger("gui")


def make_application(name: str) -> QApplication:
    """Make the one application, or return it, in the theme of that name."""
    there = QApplication.instance()
    if there is None:
        QApplication.setAttribute(Qt.ApplicationAttribute.AA_EnableHighDpiScaling)
        QApplication.setAttribute(Qt.ApplicationAttribute.AA_UseHighDpiPixmaps)
        QGuiApplication.setHighDpiScaleFactorRoundingPolicy(Qt.HighDpiScaleFactorRoundingPolicy.PassThrough)
        there = QApplication(["rig"])
    application = cast(QApplication, there)
    application.setApplicationName("rig")
    application.setApplicationDisplayName("rig")
    theme.apply(application, name)
    screen = QGuiApplication.primaryScreen()
    if screen is not None:
        _fit_font(application, screen.availableSize())
    return application


def _fit_font(application: QApplication, screen: QSize) -> None:
    """Choose a size that leaves room on 1366 x 768; Qt scales it by the screen's dots per inch."""
    font = application.font()
    font.setPointSizeF(9.0 if screen.height() < 1000 else 10.0)
    application.setFont(font)


class ErrorNet(QObject):
    """Catches what no slot and no thread has caught: it is logged and told in the window, and the window goes on.

    Signals
    -------
    caught  str: one line; str: traceback
    """

    caught = pyqtSignal(str, str)

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        self._before: tuple[Any, Any, Any] | None = None
        self._counts: dict[str, int] = {}
        self._busy = False
        self.path = path or state_folder("window") / "window.log"
        self._log_file: logging.Handler | None = None
        with suppress(OSError):  # a window without a log is better than none
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._log_file = RotatingFileHandler(self.path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8", delay=True)
            self._log_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
            log.addHandler(self._log_file)
            log.setLevel(logging.INFO)

    def spread(self) -> None:
        """Begin to catch; without this PyQt ends the process at the first error in a slot."""
        self._before = (sys.excepthook, threading.excepthook, sys.unraisablehook)
        sys.excepthook = self._caught
        threading.excepthook = lambda given: self._caught(given.exc_type, given.exc_value, given.exc_traceback)
        sys.unraisablehook = lambda given: self._caught(given.exc_type, given.exc_value, given.exc_traceback)

    def close(self) -> None:
        """Put back what was."""
        if self._before is not None:
            sys.excepthook, threading.excepthook, sys.unraisablehook = self._before
            self._before = None
        if self._log_file is not None:
            log.removeHandler(self._log_file)
            self._log_file.close()
            self._log_file = None

    def _caught(
        self, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None, *_more: object
    ) -> None:
        if self._busy:  # telling it has failed
            return
        self._busy = True
        try:
            if issubclass(kind, KeyboardInterrupt):
                QApplication.quit()
                return
            words = "".join(traceback.format_exception(kind, error, trace))
            place = _place(trace)
            count = self._counts[place] = self._counts.get(place, 0) + 1
            if count > MAX_TOLD:
                return
            log.error("%s", words)
            what = error.what if isinstance(error, RigError) else f"{kind.__name__}: {error}"
            again = "" if count == 1 else f" (the {count}th time{'; not told any more' if count == MAX_TOLD else ''})"
            self.caught.emit(f"{what}{again}, at {place}", words)
        except Exception:  # noqa: BLE001 - there is nobody left to tell
            with suppress(Exception):
                sys.__stderr__.write(traceback.format_exc())  # type: ignore[union-attr]
        finally:
            self._busy = False


def _place(trace: TracebackType | None) -> str:
    frames = traceback.extract_tb(trace)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"


def guarded(act: Callable[[], None], told: Callable[[BaseException], None]) -> bool:
    """Do something that must not bring the window down; tell what went wrong, and whether it went well."""
    try:
        act()
    except Exception as error:
        log.exception("in the window")
        told(error)
        return False
    return True
