"""Colours, fonts and sizes of the window, dark and light; what OFF, ON, 520 and 535 nm look like is said here and nowhere else.

Colours are of a set that people with any colour vision tell apart. Source: Okabe and Ito, "Color Universal Design" (2008).
"""

from dataclasses import dataclass

import pyqtgraph as pg
from PyQt5.QtGui import QColor, QFont, QPalette
from PyQt5.QtWidgets import QApplication

NAMES = ("dark", "light")
BASE_DPI = 96.0


@dataclass(frozen=True, slots=True)
class Theme:
    """One look. Colours are "#rrggbb"."""

    name: str
    background: str
    panel: str
    text: str
    faint: str  # grid lines, secondary text
    band_520: str
    band_535: str
    off: str  # spectra and shading at 0 V
    on: str
    voltage: str
    current: str
    good: str
    warning: str
    alarm: str
    on_shade: tuple[int, int, int, int]  # of the stretches with the voltage on, RGBA
    cycle_shade: tuple[int, int, int, int]  # of the cycle that is under way

    @property
    def first(self) -> str:
        """Get the colour of the first of two runs that are compared."""
        return self.voltage

    @property
    def second(self) -> str:
        """Get the colour of the second of two runs that are compared."""
        return self.good

    def pen(self, colour: str, width: float = 1.0) -> object:
        """Return a pen of one of the colours; wider than 1 px is slow on long traces."""
        return pg.mkPen(QColor(getattr(self, colour)), width=width)


DARK = Theme(
    name="dark",
    background="#121417",
    panel="#1b1e23",
    text="#e6e6e6",
    faint="#7d848d",
    band_520="#56b4e9",
    band_535="#e69f00",
    off="#56b4e9",
    on="#e69f00",
    voltage="#cc79a7",
    current="#f0e442",
    good="#009e73",
    warning="#e69f00",
    alarm="#ff5a4d",
    on_shade=(230, 159, 0, 28),
    cycle_shade=(255, 255, 255, 22),
)
LIGHT = Theme(
    name="light",
    background="#ffffff",
    panel="#f3f4f6",
    text="#1a1a1a",
    faint="#6b7280",
    band_520="#0072b2",
    band_535="#c25e00",
    off="#0072b2",
    on="#c25e00",
    voltage="#aa4a84",
    current="#8a7a00",
    good="#00734f",
    warning="#b35900",
    alarm="#c4120a",
    on_shade=(213, 94, 0, 26),
    cycle_shade=(0, 0, 0, 18),
)
_THEMES = {"dark": DARK, "light": LIGHT}
_current = DARK


def current() -> Theme:
    """Get the theme in use."""
    return _current


def apply(application: QApplication, name: str) -> Theme:
    """Make a theme that of the whole application; widgets that paint themselves listen for QEvent.PaletteChange.

    Raises
    ------
    KeyError  there is no such theme
    """
    global _current
    _current = theme = _THEMES[name]
    palette = QPalette()
    for role, colour in (
        (QPalette.ColorRole.Window, theme.panel),
        (QPalette.ColorRole.Base, theme.background),
        (QPalette.ColorRole.AlternateBase, theme.panel),
        (QPalette.ColorRole.Button, theme.panel),
        (QPalette.ColorRole.ToolTipBase, theme.panel),
        (QPalette.ColorRole.WindowText, theme.text),
        (QPalette.ColorRole.Text, theme.text),
        (QPalette.ColorRole.ButtonText, theme.text),
        (QPalette.ColorRole.ToolTipText, theme.text),
        (QPalette.ColorRole.PlaceholderText, theme.faint),
        (QPalette.ColorRole.Highlight, theme.off),
        (QPalette.ColorRole.HighlightedText, theme.background),
        (QPalette.ColorRole.Link, theme.off),
    ):
        palette.setColor(role, QColor(colour))
    for role in (QPalette.ColorRole.WindowText, QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor(theme.faint))
    application.setStyle("Fusion")
    pg.setConfigOption("background", theme.background)
    pg.setConfigOption("foreground", theme.text)
    application.setPalette(palette)
    return theme


def scale() -> float:
    """How much larger than on a screen of 96 dpi things are drawn."""
    screen = QApplication.primaryScreen()
    return 1.0 if screen is None else max(1.0, screen.logicalDotsPerInch() / BASE_DPI)


def font(points: float, *, bold: bool = False, digits: bool = False) -> QFont:
    """Make a font; `digits` all of one width, for numbers that change."""
    made = QFont(QApplication.font())
    made.setPointSizeF(points)
    made.setBold(bold)
    if digits:
        made.setStyleHint(QFont.StyleHint.Monospace)
        made.setFamily("Consolas, DejaVu Sans Mono, Menlo, monospace")
    return made
