"""The numbers that matter, large enough to be read from across the table."""

from dataclasses import dataclass

from PyQt5.QtCore import QEvent, Qt
from PyQt5.QtGui import QFontMetrics, QResizeEvent
from PyQt5.QtWidgets import QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from gui import theme
from gui.run_light import RunLight
from gui.run_numbers import RunNumbers, ShotCount
from rig.analysis.statistics import Value
from rig.report.summary import duration_text, value_text

SMALLEST_POINTS = 9.0
ONE_PULSE = RunLight()
FLAG_NAMES = {"settling": "settling", "saturated": "saturated", "missed_pulse": "missed", "compliance": "current limited"}


@dataclass(frozen=True, slots=True)
class Shown:
    """One number: `text` large, `more` small below it; `kind` is a colour of the theme."""

    text: str = "–"
    more: str = ""
    kind: str = "text"


TILES = {  # name: (what stands above it, size in points, row, column, what it means)
    "contrast": ("ON/OFF at 535 nm", 22.0, 0, 0, "Light of the 535 nm band at ON over that at OFF, with its 95 % interval."),
    "left": ("Time left", 18.0, 0, 1, "Until the run ends, as the engine reckons."),
    "peak": ("Peak at ON", 15.0, 1, 0, "Wavelength of the highest light of the mean spectrum at ON."),
    "fwhm": ("FWHM at ON", 15.0, 1, 1, "Full width at half maximum of the mean spectrum at ON."),
    "done": ("Shots done", 15.0, 2, 0, "Shots that are over, of those that the sequence asks for."),
    "fluence": ("Fluence", 15.0, 2, 1, "At the film: measured by the energy meter where there is one, and asked for."),
    "lost": ("Lost", 15.0, 3, 0, "Shots of ended blocks that no frame was found for, and frames that belong to no shot."),
    "flagged": ("Flagged", 15.0, 3, 1, "Frames that statistics leave out; by reason."),
}


class NumberPanel(QWidget):
    """Eight numbers."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Numbers of the run")
        grid = QGridLayout(self)
        grid.setContentsMargins(8, 4, 8, 4)
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(2)
        self._tiles = {name: _Tile(title, points, tip) for name, (title, points, _, _, tip) in TILES.items()}
        for name, (_, _, row, column, _) in TILES.items():
            grid.addWidget(self._tiles[name], row, column)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)

    def show_numbers(self, shown: dict[str, Shown]) -> None:
        """Show these; those that are not named stay."""
        for name, one in shown.items():
            self._tiles[name].show_number(one)

    def clear(self) -> None:
        """Show no number."""
        for tile in self._tiles.values():
            tile.show_number(Shown())

    def text(self, name: str) -> str:
        """Get what one of the numbers reads."""
        return self._tiles[name].shown.text

    def more(self, name: str) -> str:
        """Get what stands below one of the numbers."""
        return self._tiles[name].shown.more

    def changeEvent(self, a0: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take the colours of a new theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange:
            for tile in self._tiles.values():
                tile.recolour()


class _Tile(QWidget):
    def __init__(self, title: str, points: float, tip: str) -> None:
        super().__init__()
        self.shown = Shown()
        self._title = QLabel(title)
        self._title.setFont(theme.font(8.5))
        self._text = QLabel(self.shown.text)
        self._points = points
        self._more = QLabel("")
        self._more.setFont(theme.font(8.5))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        for label in (self._title, self._text, self._more):
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            label.setMinimumWidth(10)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            layout.addWidget(label)
        self.setToolTip(tip)
        self.setAccessibleName(title)
        self.setAccessibleDescription(tip)
        self._text.setMinimumHeight(QFontMetrics(theme.font(points, bold=True)).height())
        self.recolour()

    def resizeEvent(self, a0: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        super().resizeEvent(a0)
        self._fit()

    def _fit(self) -> None:
        """Make the number as large as it may be and still be read whole."""
        font = theme.font(self._points, bold=True)
        wide = QFontMetrics(font).horizontalAdvance(self.shown.text)
        room = max(1, self.width() - 2)
        if wide > room:
            font.setPointSizeF(max(SMALLEST_POINTS, self._points * room / wide - 0.25))
        self._text.setFont(font)

    def show_number(self, shown: Shown) -> None:
        if shown == self.shown:
            return
        self.shown = shown
        self._text.setText(shown.text)
        self._more.setText(shown.more)
        self._fit()
        self.setAccessibleName(f"{self._title.text()}: {shown.text} {shown.more}")
        self.recolour()

    def recolour(self) -> None:
        look = theme.current()
        self._title.setStyleSheet(f"color: {look.faint};")
        self._more.setStyleSheet(f"color: {look.faint};")
        self._text.setStyleSheet(f"color: {getattr(look, self.shown.kind)};")


def run_shown(numbers: RunNumbers, light: RunLight = ONE_PULSE) -> dict[str, Shown]:
    """Say what was measured; the shots are told by shots_shown."""
    if light.dark:
        return {"contrast": Shown("–", "no light reaches the film in this run"), "peak": Shown(), "fwhm": Shown()}
    contrast = numbers.contrast_535
    more = f"at 520 nm: {value_text(numbers.ratio_520)}" if contrast.value is not None else numbers.reason
    if light.voltages > 1 and contrast.value is not None:
        more = f"mean of {light.voltages} voltages; {more}"
    judged = light.switching and numbers.switched is not None and contrast.value is not None
    kind = "text" if not judged else ("good" if numbers.switched else "warning")
    return {
        "contrast": Shown(_plain(contrast), more, kind),
        "peak": Shown(_plain(numbers.on_peak_nm), f"OFF: {value_text(numbers.off_peak_nm)}"),
        "fwhm": Shown(_plain(numbers.on_fwhm_nm), f"OFF: {value_text(numbers.off_fwhm_nm)}"),
    }


def shots_shown(shots: ShotCount, planned: int | None = None, light: RunLight = ONE_PULSE) -> dict[str, Shown]:
    """Say what became of the shots; `planned` of the whole run, where it is known."""
    frames = f" frames of {light.period_s:g} s" if light.frames and light.period_s else ""
    lost = (shots.lost or 0) + shots.unassigned
    counted = ((shots.lost, "without a frame"), (shots.unassigned, "unassigned"), (shots.surplus, "surplus frames"))
    parts = [f"{_count(number)} {what}" for number, what in counted if number]
    unknown = shots.lost is None and not lost
    flagged = {FLAG_NAMES.get(name, name): count for name, count in (shots.flagged or {}).items() if count}
    bad = any(name != "settling" for name in flagged)
    return {
        "done": Shown(_count(shots.done), f"of {_count(planned)}{frames}" if planned else frames.strip()),
        "lost": Shown("–" if unknown else _count(lost), ", ".join(parts), "alarm" if lost else "text"),
        "flagged": Shown(
            _count(sum(flagged.values())),
            ", ".join(f"{_count(count)} {name}" for name, count in flagged.items()),
            "warning" if bad else "text",
        ),
    }


def left_shown(left_s: float | None, *, under_way: bool, paused: bool, ended: bool) -> Shown:
    """Say how long a run goes on."""
    if ended:
        return Shown("ended")
    if not under_way:
        return Shown()
    return Shown("–" if left_s is None else duration_text(left_s), "while it runs: it is paused" if paused else "")


def fluence_shown(
    asked_uj_cm2: float | None, measured_uj_cm2: float | None, readings: int, light: RunLight = ONE_PULSE
) -> Shown:
    """Say how bright the pump is (uJ/cm2)."""
    if light.light == "cw":
        return Shown("–", "continuous light, no pulses")
    if light.dark:
        return Shown("–", "the laser is not fired" if light.light == "none" else "the shutter stays closed")
    asked = "" if asked_uj_cm2 is None else f"{asked_uj_cm2:g} asked for"
    if measured_uj_cm2 is not None:
        return Shown(f"{measured_uj_cm2:.4g} µJ/cm²", f"measured, {_count(readings)} readings{'; ' if asked else ''}{asked}")
    return Shown("–" if asked_uj_cm2 is None else f"{asked_uj_cm2:g} µJ/cm²", "asked for, not measured" if asked else "")


def _plain(value: Value) -> str:
    return "–" if value.value is None else value_text(value)


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}".replace(",", " ")
