"""Where the window was and how it looked, kept between two openings; whatever the file holds, the window opens."""

import hashlib
from pathlib import Path
from typing import Any

from PyQt5.QtCore import QByteArray, QSettings
from PyQt5.QtWidgets import QMainWindow

from gui import theme
from rig.state_folder import state_folder

FOLDER = "window"
FILE = "layout.ini"
VERSION = 1  # of the set of docks; a layout of another one is not used
MAX_FILE_BYTES = 200_000
MAX_STATE_BYTES = 50_000
SPEEDS = ("real", "ten", "free")


class LayoutMemory:
    """One INI file. Every value that makes no sense counts as not there.

    Parameters
    ----------
    path  None for that of this user
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or state_folder(FOLDER) / FILE
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_file() and self.path.stat().st_size > MAX_FILE_BYTES:
                self.path.unlink()
        except OSError:
            pass  # nothing is remembered then
        self._settings = QSettings(str(self.path), QSettings.Format.IniFormat)

    @property
    def theme(self) -> str:
        """Get the name of the theme."""
        return self._one_of("theme", theme.NAMES)

    @theme.setter
    def theme(self, name: str) -> None:
        self._settings.setValue("theme", name)

    @property
    def speed(self) -> str:
        """Get how fast a simulated bench runs, one of SPEEDS."""
        return self._one_of("speed", SPEEDS)

    @speed.setter
    def speed(self, name: str) -> None:
        self._settings.setValue("speed", name)

    def remember(self, window: QMainWindow) -> None:
        """Keep the place of a window and of its docks."""
        for key, value in (("geometry", window.saveGeometry()), ("docks", window.saveState(VERSION))):
            raw = bytes(value)
            self._settings.setValue(key, f"{hashlib.sha256(raw).hexdigest()[:16]}:{raw.hex()}")
        self._settings.sync()

    def restore(self, window: QMainWindow) -> bool:
        """Put window and docks where they were; False when nothing usable is remembered."""
        geometry, docks = self._bytes("geometry"), self._bytes("docks")
        placed = bool(geometry) and window.restoreGeometry(QByteArray(geometry))
        return bool(docks) and window.restoreState(QByteArray(docks), VERSION) and placed

    def forget(self) -> None:
        """Forget where things were."""
        for key in ("geometry", "docks"):
            self._settings.remove(key)

    def _one_of(self, key: str, choices: tuple[str, ...]) -> str:
        value: Any = self._settings.value(key)
        return value if isinstance(value, str) and value in choices else choices[0]

    def _bytes(self, key: str) -> bytes:
        """What was kept, "" when it is not to the byte what was written: Qt trusts what it is handed."""
        value: Any = self._settings.value(key)
        if not isinstance(value, str) or len(value) > 2 * MAX_STATE_BYTES:
            return b""
        digest, _, text = value.partition(":")
        try:
            raw = bytes.fromhex(text)
        except ValueError:
            return b""
        return raw if hashlib.sha256(raw).hexdigest()[:16] == digest else b""
