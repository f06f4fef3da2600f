"""The planned run as a picture: one shot with its edges and windows, the bursts of the first cycle, levels of the whole run.

Painted from a PlanSketch; what is drawn costs as many strokes as the widget is wide, however long the run is.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from PyQt5.QtCore import QPointF, QRectF, QSize, Qt
from PyQt5.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen, QPolygonF
from PyQt5.QtWidgets import QSizePolicy, QWidget

from gui import theme
from gui.plan_sketch import Floats, PlanSketch, duration_text
from rig.timeline import ShotPattern

MARGIN = 8.0
TICKS = 6
WIDE_STRETCHES = 40
STEPS = (1.0, 2.0, 5.0, 10.0)
LONG_NS = 5_000_000  # from here on a shot's times are told in milliseconds
MOST_PULSES = 50  # in one shot that are drawn one by one
LIGHTS = {
    "pulses": "one pulse",
    "blocked": "the shutter keeps the pulses from the film",
    "cw": "continuous light",
    "none": "no light, the laser is not fired",
}

Lane = tuple[str, str, Sequence[tuple[float, float]], str]  # name, colour, begin and end of each mark (ns), words


class TimelinePicture(QWidget):
    """Shows a sketch, or says that there is none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sketch: PlanSketch | None = None
        self._stale = False
        self._empty = "checking ..."
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(360, 300)
        self.setAccessibleName("planned timeline")
        self.setToolTip("what happens in one shot, in the first cycle and in the whole run, as compiled; nothing has moved yet")

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Prefer room for three strips."""
        return QSize(700, 440)

    def show_sketch(self, sketch: PlanSketch) -> None:
        """Draw a planned run."""
        self._sketch, self._stale = sketch, False
        self.setAccessibleDescription(summary(sketch))
        self.update()

    def show_nothing(self, why: str) -> None:
        """Keep the last picture, paled, and say why it does not hold."""
        self._stale, self._empty = True, why
        self.setAccessibleDescription(why)
        self.update()

    @property
    def shown(self) -> PlanSketch | None:
        """Get what is drawn and holds."""
        return None if self._stale else self._sketch

    def paintEvent(self, a0: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Paint the three strips."""
        painter = QPainter(self)
        # everything stands upright: smoothing edges would cost time and change nothing
        look = theme.current()
        painter.fillRect(self.rect(), QColor(look.background))
        if self._sketch is not None:
            painter.setOpacity(0.25 if self._stale else 1.0)
            _Strips(painter, self._sketch, QRectF(self.rect()).adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)).paint()
            painter.setOpacity(1.0)
        if self._stale or self._sketch is None:
            painter.setFont(theme.font(11.0, bold=True))
            painter.setPen(QColor(look.text))
            flags = int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap)
            area = QRectF(self.rect()).adjusted(40, 0, -40, 0)
            behind = painter.boundingRect(area, flags, self._empty).adjusted(-12, -6, 12, 6)
            painter.fillRect(behind, QColor(look.panel))
            painter.drawText(area, flags, self._empty)
        painter.end()


def summary(sketch: PlanSketch) -> str:
    """Say the picture in words, for those who do not see it."""
    pattern = sketch.pattern
    light = f"the pulse at {pattern.pulse_ns / 1e3:g} us lies in" if _single_pulse(sketch) else f"{light_words(sketch)};"
    return (
        f"{sketch.blocks} {sketch.mode} blocks, {len(sketch.level_v)} stretches, {duration_text(sketch.price.duration_s)}; "
        f"in each {_shot_word(sketch)} of {pattern.period_ns / 1e3:g} us {light} the exposure from "
        f"{pattern.open_ns / 1e3:g} to {pattern.close_ns / 1e3:g} us"
    )


def light_words(sketch: PlanSketch) -> str:
    """Say what light reaches the film in one shot."""
    pulses = sketch.pattern.pulses
    return f"{pulses} pulses add up" if sketch.light == "pulses" and pulses > 1 else LIGHTS[sketch.light]


def _single_pulse(sketch: PlanSketch) -> bool:
    return sketch.light == "pulses" and sketch.pattern.pulses == 1


def _shot_word(sketch: PlanSketch) -> str:
    return "frame" if sketch.frames else "shot"


def _times(pattern: ShotPattern) -> tuple[float, str]:
    """Nanoseconds in the unit that a shot's times are told in, and the unit."""
    return (1e6, "ms") if pattern.period_ns >= LONG_NS else (1e3, "µs")


def columns(start_s: Floats, end_s: Floats, value: Floats, span_s: float, width: int) -> tuple[Floats, Floats, Floats]:
    """Reduce levels to at most `width` columns: position (0 to 1), least and greatest value of those that begin in each."""
    if len(start_s) == 0 or span_s <= 0 or width < 1:
        return np.empty(0), np.empty(0), np.empty(0)
    column = np.minimum((start_s / span_s * width).astype(np.int64), width - 1)
    firsts = np.flatnonzero(np.r_[True, column[1:] != column[:-1]])
    return column[firsts] / width, np.minimum.reduceat(value, firsts), np.maximum.reduceat(value, firsts)


def ticks(span: float, most: int = TICKS) -> list[float]:
    """Place round numbers on an axis from 0 to `span`."""
    if not (span > 0 and math.isfinite(span)):
        return [0.0]
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * one for one in STEPS if rough <= power * one * (1 + 1e-9))
    return [index * step for index in range(math.floor(span / step * (1 + 1e-9)) + 1)]


class _Strips:
    """One painting."""

    def __init__(self, painter: QPainter, sketch: PlanSketch, area: QRectF) -> None:
        self.painter, self.sketch, self.area = painter, sketch, area
        self.look = theme.current()
        painter.setFont(theme.font(9.0))
        metrics = QFontMetricsF(painter.font())
        self.line = metrics.height()
        self.left = (
            area.left() + max(metrics.horizontalAdvance(name) for name in ("voltage edge ", "spectrometer ", "−00.0 V ")) + 6
        )
        self.right = area.right() - metrics.horizontalAdvance("1000 µs") / 2

    def paint(self) -> None:
        top, height = self.area.top(), self.area.height()
        shot = 0.46 * height
        rest = (height - shot) / 2
        self._shot(top, shot - self.line)
        self._cycle(top + shot, rest - self.line / 2)
        self._run(top + shot + rest, rest)

    # --- strips

    def _shot(self, top: float, height: float) -> None:
        pattern, look = self.sketch.pattern, self.look
        unit_ns, unit = _times(pattern)
        light = "" if _single_pulse(self.sketch) else f", {light_words(self.sketch)}"
        title = f"One {_shot_word(self.sketch)}: {pattern.period_ns / unit_ns:g} {unit} ({1e9 / pattern.period_ns:g} Hz)"
        self._title(top, f"{title}{light}")
        lanes: list[Lane] = [
            *self._light_lanes(unit_ns, unit),
            ("spectrometer", look.text, [(pattern.spectrometer_ns, pattern.spectrometer_ns)], ""),
            (
                "exposure",
                look.band_520,
                [(pattern.open_ns, pattern.close_ns)],
                f"{(pattern.close_ns - pattern.open_ns) / unit_ns:g} {unit}",
            ),
            ("read-out", look.faint, [(pattern.close_ns, pattern.ready_ns)], ""),
        ]
        if pattern.edge_ns is not None and pattern.settled_ns is not None:
            text = f"settled after {pattern.settled_ns / unit_ns:g} {unit}"
            lanes.insert(0, ("voltage edge", look.voltage, [(pattern.edge_ns, pattern.settled_ns)], text))
        top += self.line + 2
        lane_height = (height - 2 * self.line) / len(lanes)
        span = float(max(pattern.period_ns, pattern.ready_ns))
        axis = top + lane_height * len(lanes)
        self._axis(axis, top, span / unit_ns, unit)
        for index, (name, colour, marks, text) in enumerate(lanes):
            self._lane(name, colour, [(a / span, b / span) for a, b in marks], text, top + index * lane_height, lane_height)
        if _single_pulse(self.sketch):
            pulse = self._x(pattern.pulse_ns / span)
            self.painter.setPen(QPen(QColor(look.alarm), 1.0, Qt.PenStyle.DotLine))
            self.painter.drawLine(QPointF(pulse, top), QPointF(pulse, axis))

    def _light_lanes(self, unit_ns: float, unit: str) -> list[Lane]:
        """List what fires the laser and what reaches the film."""
        pattern, look, light = self.sketch.pattern, self.look, self.sketch.light
        if light == "cw":
            return [("light", look.alarm, [(0, pattern.period_ns)], "continuous")]
        if light == "none":
            return []
        fired: list[Lane] = [("laser trigger", look.text, self._train(pattern.laser_ns), "")]
        if light == "blocked":
            return fired
        every = "" if pattern.triggers <= MOST_PULSES else f"one every {pattern.trigger_period_ns / 1e3:g} µs"
        text = f"{pattern.pulse_ns / unit_ns:g} {unit}" if pattern.triggers == 1 else every
        return [*fired, ("pulse", look.alarm, self._train(pattern.pulse_ns), text)]

    def _train(self, first_ns: int) -> list[tuple[float, float]]:
        """Mark each edge of a shot, or from the first to the last one where there are many (ns)."""
        pattern = self.sketch.pattern
        if pattern.triggers > MOST_PULSES:
            return [(first_ns, first_ns + (pattern.triggers - 1) * pattern.trigger_period_ns)]
        edges = [first_ns + number * pattern.trigger_period_ns for number in range(pattern.triggers)]
        return [(edge, edge) for edge in edges]

    def _lane(self, name: str, colour: str, marks: Sequence[tuple[float, float]], text: str, top: float, height: float) -> None:
        painter, middle = self.painter, top + height / 2
        painter.setPen(QColor(self.look.text))
        painter.drawText(QRectF(self.area.left(), top, self.left - self.area.left() - 6, height), _RIGHT, name)
        painter.setPen(QPen(QColor(self.look.faint), 0.5))
        painter.drawLine(QPointF(self.left, middle), QPointF(self.right, middle))
        half = min(height * 0.36, 9.0)
        for begin, end in marks:
            x, stop = self._x(begin), self._x(end)
            painter.setPen(QPen(QColor(colour), 2.0))
            if end > begin:
                fill = QColor(colour)
                fill.setAlphaF(0.45)
                painter.fillRect(QRectF(x, middle - half, max(1.5, stop - x), 2 * half), fill)
            painter.drawLine(QPointF(x, middle - half), QPointF(x, middle + half))
            self._beside(text, x, max(x, stop), QRectF(0, middle - self.line / 2, 0, self.line), inside=end > begin)

    def _beside(self, text: str, x: float, stop: float, row: QRectF, *, inside: bool) -> None:
        """Write into a window when it is wide enough, else right of it, else left of it."""
        if not text:
            return
        wide = QFontMetricsF(self.painter.font()).horizontalAdvance(text) + 8
        self.painter.setPen(QColor(self.look.text))
        if inside and wide <= stop - x:
            self.painter.drawText(QRectF(x, row.top(), stop - x, row.height()), int(Qt.AlignmentFlag.AlignCenter), text)
        elif stop + wide <= self.right:
            self.painter.drawText(QPointF(stop + 5, row.bottom() - self.line * 0.22), text)
        else:
            self.painter.drawText(QPointF(x - wide + 3, row.bottom() - self.line * 0.22), text)

    def _cycle(self, top: float, height: float) -> None:
        bursts, look = self.sketch.first_bursts, self.look
        span = bursts[-1][1]
        cycles, count = self.sketch.first_cycles, len(bursts)
        which = "First cycle" if cycles == 1 else f"First {cycles} cycles"
        title = f"{which}: {count} burst{'s' if count > 1 else ''}"
        volts = [burst.voltage_v for _, _, burst in bursts]
        edges = [number for number, (one, after) in enumerate(pairwise(volts), 1) if one != after]
        settle_s = np.array([self.sketch.settle_s[edge] for edge in edges or range(count)])
        flagged = f"{_spread(settle_s, 's')} flagged after each edge" if settle_s.max() > 0 else ""
        self._title(top, f"{title}{', ' + flagged if flagged else ''}")
        top += self.line + 2
        bottom = top + height - 2.2 * self.line - 2
        self._axis(bottom, top, span, "s")
        low, high = _range(np.array(volts))
        before: float | None = None
        for (start_s, end_s, burst), settle in zip(bursts, self.sketch.settle_s, strict=True):
            x, stop = self._x(start_s / span), self._x(end_s / span)
            y = _y(burst.voltage_v, low, high, top, bottom)
            colour = look.faint if burst.stretch is None else look.on if burst.voltage_v != 0 else look.off
            fill = QColor(colour)
            fill.setAlphaF(0.35)
            box = QRectF(x, top, max(1.0, stop - x), bottom - top)
            self.painter.fillRect(box, fill)
            if before is not None and before != burst.voltage_v and burst.stretch is not None:
                flagged_to = min(stop, self._x((start_s + settle) / span))
                self.painter.fillRect(QRectF(x, top, flagged_to - x, bottom - top), Qt.BrushStyle.BDiagPattern)
            self.painter.setPen(QPen(QColor(look.voltage), 2.0))
            self.painter.drawLine(QPointF(x, y), QPointF(max(stop, x + 1), y))
            if before is not None and before != burst.voltage_v:
                edge = _y(before, low, high, top, bottom)
                self.painter.drawLine(QPointF(x, edge), QPointF(x, y))
            if burst.stretch is not None:
                lead = f" ({burst.lead_in} lead-in)" if burst.lead_in else ""
                text = f"{burst.voltage_v:g} V · {burst.shots - burst.lead_in} {_shot_word(self.sketch)}s{lead}"
                self._inside(text, QRectF(x, (top + bottom - self.line) / 2, stop - x, self.line))
            before = burst.voltage_v
        self._levels(low, high, top, bottom)

    def _run(self, top: float, height: float) -> None:
        sketch, look = self.sketch, self.look
        span = float(sketch.end_s[-1])
        blocks = f"{sketch.blocks} {sketch.mode} block{'s' if sketch.blocks > 1 else ''}"
        fluence = _spread(sketch.fluence_uj_cm2, "µJ/cm²") if sketch.light == "pulses" else light_words(sketch)
        self._title(
            top, f"Whole run: {blocks}, {_spread(sketch.level_v, 'V')}, {fluence}, {duration_text(sketch.price.duration_s)}"
        )
        top += self.line + 2
        bottom = top + height - 2.2 * self.line - 2
        unit, scale = ("s", 1.0) if span < 300 else ("min", 60.0) if span < 18_000 else ("h", 3600.0)
        self._axis(bottom, top, span / scale, unit)
        low, high = _range(sketch.level_v)
        width = max(1, int(self.right - self.left))
        where, least, greatest = columns(sketch.start_s, sketch.end_s, sketch.level_v, span, width)
        crowded = len(sketch.level_v) > width / 3
        self._shade(span, crowded)
        if crowded:
            pale = QColor(look.voltage)
            pale.setAlphaF(0.5)
            self.painter.setPen(QPen(pale, 1.0))
            for at, a, b in zip(where.tolist(), least.tolist(), greatest.tolist(), strict=True):
                x = self._x(at)
                self.painter.drawLine(
                    QPointF(x, _y(a, low, high, top, bottom)), QPointF(x, _y(b, low, high, top, bottom) + 0.5)
                )
        else:
            self._steps(sketch.start_s, sketch.end_s, sketch.level_v, (low, high), (top, bottom), look.voltage)
        if sketch.light == "pulses" and len(np.unique(sketch.fluence_uj_cm2)) > 1:
            self._fluence(span, width, (top, bottom))
        self._levels(low, high, top, bottom)

    def _shade(self, span: float, crowded: bool) -> None:
        if crowded:
            return
        sketch, top = self.sketch, self._shade_top
        for start_s, end_s in zip(sketch.start_s[sketch.on].tolist(), sketch.end_s[sketch.on].tolist(), strict=True):
            x = self._x(start_s / span)
            area = QRectF(x, top, self._x(end_s / span) - x, self._shade_bottom - top)
            self.painter.fillRect(area, QColor(*self.look.on_shade))

    def _steps(
        self, start_s: Floats, end_s: Floats, value: Floats, limits: tuple[float, float], rows: tuple[float, float], colour: str
    ) -> None:
        span = float(end_s[-1])
        points = QPolygonF()
        for a, b, v in zip(start_s.tolist(), end_s.tolist(), value.tolist(), strict=True):
            y = _y(v, *limits, *rows)
            if points.count():  # the level before holds until the edge
                points.append(QPointF(self._x(a / span), points.last().y()))
            points.append(QPointF(self._x(a / span), y))
            points.append(QPointF(self._x(b / span), y))
        points.append(QPointF(self._x(1.0), _y(0.0, *limits, *rows)))  # every run ends there
        # a wide line through many corners is slow
        self.painter.setPen(QPen(QColor(colour), 2.0 if len(start_s) <= WIDE_STRETCHES else 1.0))
        self.painter.drawPolyline(points)

    def _fluence(self, span: float, width: int, rows: tuple[float, float]) -> None:
        sketch = self.sketch
        limits = _range(sketch.fluence_uj_cm2)
        where, least, _ = columns(sketch.start_s, sketch.end_s, sketch.fluence_uj_cm2, span, width)
        points = QPolygonF(
            [QPointF(self._x(at), _y(v, *limits, *rows)) for at, v in zip(where.tolist(), least.tolist(), strict=True)]
        )
        self.painter.setPen(QPen(QColor(self.look.band_535), 1.0))
        self.painter.drawPolyline(points)

    # --- parts

    def _x(self, part: float) -> float:
        return self.left + part * (self.right - self.left)

    def _title(self, top: float, text: str) -> None:
        painter = self.painter
        painter.setFont(theme.font(9.0, bold=True))
        painter.setPen(QColor(self.look.text))
        metrics = QFontMetricsF(painter.font())
        short = metrics.elidedText(text, Qt.TextElideMode.ElideRight, self.area.width())
        painter.drawText(QPointF(self.area.left(), top + metrics.ascent()), short)
        painter.setFont(theme.font(9.0))

    def _axis(self, bottom: float, top: float, span: float, unit: str) -> None:
        painter = self.painter
        self._shade_top, self._shade_bottom = top, bottom
        grid = QColor(self.look.faint)
        grid.setAlphaF(0.35)
        places = ticks(span)
        for index, value in enumerate(places):
            x = self._x(value / span)
            painter.setPen(QPen(grid, 0.7))
            painter.drawLine(QPointF(x, top), QPointF(x, bottom + 3))
            painter.setPen(QColor(self.look.faint))
            text = f"{value:g}{' ' + unit if index == len(places) - 1 else ''}"
            painter.drawText(QRectF(x - 60, bottom + 3, 120, self.line), int(Qt.AlignmentFlag.AlignCenter), text)
        painter.setPen(QPen(QColor(self.look.faint), 1.0))
        painter.drawLine(QPointF(self.left, bottom), QPointF(self.right, bottom))

    def _inside(self, text: str, area: QRectF) -> None:
        painter = self.painter
        metrics = QFontMetricsF(painter.font())
        if metrics.horizontalAdvance(text) > area.width():
            text = text.partition(" ·")[0]
        if metrics.horizontalAdvance(text) <= area.width():
            painter.setPen(QColor(self.look.text))
            painter.drawText(area, int(Qt.AlignmentFlag.AlignCenter), text)

    def _levels(self, low: float, high: float, top: float, bottom: float) -> None:
        self.painter.setPen(QColor(self.look.text))
        for value in {low, high} if self.line * 2 < bottom - top else {high}:
            y = _y(value, low, high, top, bottom)
            area = QRectF(self.area.left(), y - self.line / 2, self.left - self.area.left() - 6, self.line)
            self.painter.drawText(area, _RIGHT, f"{value:g} V")


_RIGHT = int(Qt.AlignmentFlag.AlignRight) | int(Qt.AlignmentFlag.AlignVCenter)


def _range(values: Floats) -> tuple[float, float]:
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    return (low, high) if high > low else (low, low + 1.0)


def _y(value: float, low: float, high: float, top: float, bottom: float) -> float:
    room = 0.12 * (bottom - top)
    return bottom - room - (value - low) / (high - low) * (bottom - top - 2 * room)


def _spread(values: Floats, unit: str) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:g} {unit}" if low == high else f"{low:g} to {high:g} {unit}"
