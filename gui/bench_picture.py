"""The bench drawn: what the light passes, which cables lead from where to where, and how each instrument is at present."""

from collections.abc import Mapping
from dataclasses import dataclass

from PyQt5.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PyQt5.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen, QPolygonF
from PyQt5.QtWidgets import QSizePolicy, QWidget

from gui import theme
from gui.quantity_text import name_of
from rig.bench import Bench
from rig.cabling import Cable

BEAM = ("laser", "attenuator", "shutter", "energy_meter", "filter_wheel", "film", "spectrometer")
BELOW = ("laser_trigger", "voltage_source")
ASIDE = "cw_shutter"  # below, too, but in a beam of its own
STATE_COLOURS = {"idle": "good", "armed": "warning", "fault": "alarm", "in use": "text"}
PADDING = 10.0
BOX_PART, BOX_PX = 0.24, 58.0  # of the height, and at most
TALLEST_PX = 300.0
ARROW = 5.0


@dataclass(frozen=True, slots=True)
class Route:
    """One cable on its way: corner points, and what stands beside it."""

    cable: Cable
    points: tuple[QPointF, ...]
    text: str


def cable_text(cable: Cable) -> str:
    """Say a cable in words: "EF to trigger, falling edge, into high impedance"."""
    begin, end = cable.source.partition(".")[2], cable.target.partition(".")[2]
    more = ("" if cable.edge == "rising" else ", falling") + (", high Z" if cable.load == "high_z" else "")
    return f"{begin} → {end.replace('_', ' ')}{more}"


class BenchPicture(QWidget):
    """Boxes of all instruments, the beam through those it passes, and every cable of the bench file."""

    def __init__(self, bench: Bench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bench = bench
        self._states: dict[str, str] = {}
        roles = set(bench.roles())
        self._beam = tuple(name for name in BEAM if name in roles or name in ("laser", "film"))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(round(150 * theme.scale()))
        said = "; ".join(f"{cable.source} to {cable.target}" for cable in bench.cables) or "no cables"
        self.setAccessibleName("The bench and its cables")
        self.setAccessibleDescription(f"Light passes {', '.join(map(name_of, self._beam))}. Cables: {said}.")
        self.setToolTip("\n".join([*(f"{one.source} to {one.target}, {one.level_v:g} V" for one in bench.cables)]))

    def show_states(self, states: Mapping[str, str]) -> None:
        """Colour the instruments by their state: a key of gui.instrument_card.STATES."""
        if dict(states) != self._states:
            self._states = dict(states)
            self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Ask for some room."""
        return QSize(640, 210)

    # --- geometry

    def boxes(self, size: QRectF) -> dict[str, QRectF]:
        """Lay out every box within a rectangle."""
        inner = size.adjusted(PADDING, PADDING, -PADDING, -PADDING)
        spare = max(0.0, inner.height() - TALLEST_PX * theme.scale())
        inner.adjust(0, spare / 2, 0, -spare / 2)
        count = len(self._beam)
        gap = inner.width() * 0.035
        width = (inner.width() - gap * (count - 1)) / count
        height = min(inner.height() * BOX_PART, BOX_PX * theme.scale())
        found = {
            name: QRectF(inner.left() + place * (width + gap), inner.top(), width, height)
            for place, name in enumerate(self._beam)
        }
        for name in BELOW:
            above = found["laser" if name == "laser_trigger" else "film"]
            box = QRectF(above.left(), inner.bottom() - height, width + gap, height)
            found[name] = box
        if ASIDE in self._bench.roles():
            above = found["spectrometer"]
            found[ASIDE] = QRectF(above.left() + gap, inner.bottom() - height, width - gap, height)
        return found

    def routes(self, boxes: Mapping[str, QRectF]) -> list[Route]:
        """Lead every cable: up or down from its source, along a lane of its own, to its target."""
        cables = [one for one in self._bench.cables if _end(one.source) in boxes and _end(one.target) in boxes]
        top = max(boxes[name].bottom() for name in self._beam)
        bottom = min(boxes[name].top() for name in BELOW)
        found: list[Route] = []
        for number, cable in enumerate(cables):
            begin, end = boxes[_end(cable.source)], boxes[_end(cable.target)]
            lane = top + (bottom - top) * (number + 1) / (len(cables) + 1)
            at = (number + 1) / (len(cables) + 1)
            x0 = begin.left() + begin.width() * at
            straight = end.left() < x0 < end.right()
            x1 = x0 if straight else end.left() + end.width() * (0.3 if end.top() > lane else 0.5)
            y0 = begin.top() if begin.top() > lane else begin.bottom()
            y1 = end.top() if end.top() > lane else end.bottom()
            points = (QPointF(x0, y0), QPointF(x0, lane), QPointF(x1, lane), QPointF(x1, y1))
            found.append(Route(cable, points, cable_text(cable)))
        return found

    # --- painting

    def paintEvent(self, a0: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw beam, cables, boxes."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        look = theme.current()
        painter.fillRect(self.rect(), QColor(look.background))
        boxes = self.boxes(QRectF(self.rect()))
        self._paint_beam(painter, boxes)
        if ASIDE in boxes:
            self._paint_continuous(painter, boxes)
        lead = QPen(QColor(look.voltage), 2.0)
        painter.setPen(lead)
        film, source = boxes["film"], boxes["voltage_source"]
        for offset in (0.8, 0.88):  # two leads to the electrodes
            x = film.left() + film.width() * offset
            painter.drawLine(QPointF(x, film.bottom()), QPointF(x, source.top()))
        painter.setFont(theme.font(8.5))
        for route in self.routes(boxes):
            self._paint_cable(painter, route)
        for name, box in boxes.items():
            self._paint_box(painter, name, box)
        painter.end()

    def _paint_beam(self, painter: QPainter, boxes: Mapping[str, QRectF]) -> None:
        look = theme.current()
        dark = self._states.get("shutter") not in ("armed", "in use") and "shutter" in boxes
        for first, second in zip(self._beam, self._beam[1:], strict=False):
            beyond = self._beam.index(first) >= self._beam.index("shutter") if "shutter" in boxes else False
            line = QPen(QColor(look.band_520 if first == "film" else look.current), 3.0)
            if beyond and dark:
                line = QPen(QColor(look.faint), 1.0, Qt.PenStyle.DotLine)
            painter.setPen(line)
            y = boxes[first].center().y()
            painter.drawLine(QPointF(boxes[first].right(), y), QPointF(boxes[second].left(), y))

    def _paint_continuous(self, painter: QPainter, boxes: Mapping[str, QRectF]) -> None:
        """The beam of the continuous light, onto the film."""
        look, lit = theme.current(), self._states.get(ASIDE) in ("armed", "in use")
        painter.setPen(QPen(QColor(look.current), 3.0) if lit else QPen(QColor(look.faint), 1.0, Qt.PenStyle.DotLine))
        painter.drawLine(QPointF(boxes[ASIDE].left(), boxes[ASIDE].top()), boxes["film"].bottomRight())

    def _paint_cable(self, painter: QPainter, route: Route) -> None:
        look = theme.current()
        painter.setPen(QPen(QColor(look.text), 1.2))
        painter.drawPolyline(QPolygonF(list(route.points)))
        before, end = route.points[-2], route.points[-1]
        back = ARROW if end.y() > before.y() else -ARROW
        head = [end, QPointF(end.x() - ARROW * 0.7, end.y() - back), QPointF(end.x() + ARROW * 0.7, end.y() - back)]
        painter.setBrush(QColor(look.text))
        painter.drawPolygon(QPolygonF(head))
        metrics = QFontMetricsF(painter.font())
        width, height = metrics.horizontalAdvance(route.text) + 6, metrics.height()
        _, first, second, _ = route.points
        left = min(first.x(), second.x()) + 8
        ground = QRectF(left, first.y() - height / 2, width, height)
        painter.fillRect(ground, QColor(look.background))
        painter.drawText(ground, int(Qt.AlignmentFlag.AlignCenter), route.text)

    def _paint_box(self, painter: QPainter, name: str, box: QRectF) -> None:
        look = theme.current()
        state = self._states.get(name, "")
        border = look.faint if name not in self._states else getattr(look, STATE_COLOURS.get(state, "faint"))
        painter.setPen(QPen(QColor(border), 2.5 if state in STATE_COLOURS else 1.2))
        painter.setBrush(QColor(look.panel))
        painter.drawRoundedRect(box, 4, 4)
        painter.setPen(QColor(look.text))
        painter.setFont(theme.font(9.0, bold=True))
        section = getattr(self._bench, name, None)
        model = str(getattr(section, "model", "")) if name != "laser" else self._laser_words()
        half = box.height() / 2 if model else box.height()
        words = painter.fontMetrics().elidedText(name_of(name), Qt.TextElideMode.ElideRight, int(box.width()) - 4)
        painter.drawText(QRectF(box.left(), box.top(), box.width(), half + 2), int(Qt.AlignmentFlag.AlignCenter), words)
        if model:
            painter.setPen(QColor(look.faint))
            painter.setFont(theme.font(8.0))
            words = painter.fontMetrics().elidedText(model, Qt.TextElideMode.ElideRight, int(box.width()) - 4)
            lower = QRectF(box.left(), box.top() + half - 2, box.width(), half)
            painter.drawText(lower, int(Qt.AlignmentFlag.AlignCenter), words)

    def _laser_words(self) -> str:
        return "its own clock" if self._bench.laser.runs_free else "fired"

    def changeEvent(self, a0: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take the colours of a new theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange:
            self.update()


def _end(connector: str) -> str:
    """Return whose connector it is: "laser_trigger" of "laser_trigger.EF"."""
    return connector.partition(".")[0]
