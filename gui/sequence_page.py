"""The page where a run is written down, checked, priced and looked at before anything moves; and the queue of runs."""

from collections.abc import Callable
from inspect import getdoc
from pathlib import Path

from PyQt5.QtCore import QEvent, Qt, QTimer, pyqtSignal
from PyQt5.QtGui import QColor, QKeySequence, QPalette
from PyQt5.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QPushButton,
    QScrollArea,
    QShortcut,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from drivers.errors import ConfigError, Reason, RigError
from gui import theme
from gui.form_field import FormField
from gui.parameter_form import ParameterForm
from gui.price_strip import PriceStrip
from gui.queue_panel import QueuePanel
from gui.run_queue import Entry, RunQueue
from gui.sequence_check import SequenceChecker, Verdict
from gui.sequence_draft import SequenceDraft, field_of, told
from gui.timeline_picture import TimelinePicture
from rig.bench import Bench
from rig.config_file import Loc, parse_document, read_document
from rig.control import EngineStatus, ErrorWords, Event
from rig.sequence import slug
from rig.session import MEASUREMENTS
from rig.small_file import write_whole

DEBOUNCE_MS = 250
MAX_LISTED = 30
ROOM = 12  # px, left and right of a button's text
MEASUREMENT: Loc = ("measurement",)


class SequencePage(QWidget):
    """Form, picture, price and queue.

    Parameters
    ----------
    bench        what sequences are checked against
    simulate     as of rig.session.Session
    queue        None for one that is not kept
    debounce_ms  a check begins this long after the last key
    """

    start_asked = pyqtSignal(str, str)  # text and name of a sequence that somebody wants to be started
    checked = pyqtSignal(object)  # Verdict, once it is shown

    def __init__(
        self,
        bench: Bench,
        *,
        simulate: bool = False,
        queue: RunQueue | None = None,
        debounce_ms: int = DEBOUNCE_MS,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._bench = bench
        self.draft = SequenceDraft(MEASUREMENTS)
        self.queue = queue or RunQueue()
        self.checker = SequenceChecker(bench, simulate=simulate, parent=self)
        self.checker.checked.connect(self._heed_verdict)
        self._verdict: Verdict | None = None
        self._asked = ""  # the text that is being checked
        self._cannot_start = ""
        self._folder = Path.cwd()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(debounce_ms)
        self._timer.timeout.connect(self._ask)
        self._make_widgets()
        self._lay_out()
        self.queue.listen(self._enable)
        self._fill()

    def close_page(self) -> None:
        """End the checking thread and give the queue's file back."""
        self._timer.stop()
        self.checker.close()
        self.queue.close()

    # --- for the window

    def heed(self, event: Event) -> None:
        """Hear what the engine says; the queue goes on by it."""
        self.queue.heed(event)
        self.advance()

    def engine_gone(self, why: str) -> None:
        """Hear that the engine cannot be heard any more."""
        self.queue.gone(why)

    def start_refused(self, error: ErrorWords) -> None:
        """Hear that a start that was asked for was refused."""
        if self.queue.running is not None and not self.queue.running.file:
            self.queue.refused(error)
            self.advance()
        else:
            self.say("\n".join([error.what, *(f"{r.message} [{r.code}]" for r in error.reasons), error.next_step]).strip())

    def set_status(self, status: EngineStatus | None) -> None:
        """Hear where the engine is: it decides whether one can start now."""
        busy = status is not None and status.state in ("running", "paused", "stopping")
        latched = status is not None and status.state == "latched"
        self._cannot_start = (
            "a run is under way: add this one to the queue"
            if busy
            else "the last run ended with a fault: acknowledge it first"
            if latched
            else ""
        )
        self._enable()
        if status is not None:
            self.queue.heed(status)
            self.advance()

    def advance(self) -> None:
        """Ask for the next run of the queue, when it is due and the engine has nothing to do."""
        if self._cannot_start:
            return
        try:
            entry = self.queue.next()
        except RigError as error:
            self.say(f"{error.what} {error.next_step}".strip())
            return
        if entry is not None:
            self.start_asked.emit(entry.toml, entry.name)

    def load(self, path: Path) -> None:
        """Open a sequence file, one with mistakes too; one that is no TOML is refused in words."""
        try:
            document = read_document(path)
        except ConfigError as error:
            self.say("\n".join([error.what, *(f"{one.where}: {one.message} [{one.code}]" for one in error.reasons)]))
            return
        self._folder = path.parent
        self.draft.load(document)
        self._fill()

    def begin(self, measurement: str) -> None:
        """Begin anew with the defaults of a measurement."""
        self.draft.new(measurement)
        self._fill()

    def save(self, path: Path) -> bool:
        """Write the sequence to a file, whatever is wrong with it; False when that failed, and says why."""
        try:
            text = self.draft.toml()
            write_whole(path, text)
            self.draft.load(parse_document(text, path))
        except ConfigError as error:
            self.say("\n".join([error.what, *(one.message for one in error.reasons), error.next_step]))
            return False
        except (OSError, ValueError) as error:
            self.say(f"{path.name} cannot be written: {getattr(error, 'strerror', None) or error}. Choose another folder.")
            return False
        self._folder = path.parent
        self._tell_file()
        return True

    @property
    def verdict(self) -> Verdict | None:
        """Get the check of what is in the form; None while that is under way."""
        return self._verdict

    @property
    def fields(self) -> tuple[FormField, ...]:
        """Get the fields that the page shows."""
        return (*self.heading.fields, *self.form.fields)

    def enter(self, loc: Loc, text: str) -> None:
        """Put a text into a box as if a person had."""
        form = self.heading if any(field.loc == loc for field in self.heading.fields) else self.form
        form.enter(loc, text)

    def marks(self, loc: Loc) -> str:
        """Get what stands beneath a box."""
        form = self.heading if any(field.loc == loc for field in self.heading.fields) else self.form
        return form.marks(loc)

    def say(self, text: str) -> None:
        """Say something that went wrong, until the next change."""
        self.message.setText(text)
        self.message.setVisible(bool(text))

    # --- form and check

    def _fill(self) -> None:
        heading, parameters = self.draft.heading(), self.draft.parameters()
        texts = {field.loc: self.draft.text_of(field) for field in (*heading, *parameters)}
        self.heading.set_fields(_with_choices(heading), texts)
        self.form.set_fields(parameters, texts)
        told_by_model = getdoc(MEASUREMENTS.get(self.draft.measurement)) or ""
        self.about.setText(told_by_model.partition("\n\n")[0].replace("\n", " ").replace("`", ""))
        self.about.setToolTip(told_by_model)
        width = max(self.heading.label_width, self.form.label_width)
        for form in (self.heading, self.form):
            form.set_label_width(width)
        self.say("")
        self._tell_file()
        self._changed()

    def _edited(self, field: FormField, text: str) -> None:
        self.draft.set_text(field, text)
        self.say("")
        if field.loc == MEASUREMENT:
            self._fill()
            return
        self._tell_file()
        self._changed()

    def _changed(self) -> None:
        self._verdict = None
        self.state.setText("checking ...")
        self._enable()
        self._timer.start()

    def _ask(self) -> None:
        try:
            self._asked = self.draft.toml()
            self.checker.ask(self._asked)
        except ConfigError as error:
            self._show(Verdict("", error.reasons))

    def _heed_verdict(self, verdict: Verdict) -> None:
        if not self._timer.isActive() and verdict.text == self._asked:  # nothing has changed since
            self._show(verdict)

    def _show(self, verdict: Verdict) -> None:
        self._verdict = verdict
        beside: dict[Loc, list[Reason]] = {}
        rest: list[Reason] = []
        for reason in verdict.reasons:
            field = field_of(reason, self.fields)
            if field is None:
                rest.append(reason)
            else:
                beside.setdefault(field.loc, []).append(reason)
        self.heading.mark(beside)
        self.form.mark(beside)
        lines = [f"✖ {told(reason)}" for reason in rest[:MAX_LISTED]]
        lines += [f"and {len(rest) - MAX_LISTED} more"] if len(rest) > MAX_LISTED else []
        self.rest.setText("\n".join(lines))
        self.rest.setVisible(bool(rest))
        self.drop.setVisible(any(reason.code == "unknown-key" for reason in rest) and bool(self.draft.unknown()))
        if verdict.sketch is None:
            count = len(verdict.reasons)
            self.state.setText(f"✖ {count} mistake{'s' if count > 1 else ''}: this bench would refuse it")
            self.picture.show_nothing("No timeline: correct what is marked.")
        else:
            self.state.setText(f"✔ this bench can run it, in {verdict.sketch.mode} blocks")
            self.state.setToolTip(verdict.sketch.why)
            self.picture.show_sketch(verdict.sketch)
        self.price.show_price(verdict.sketch)
        self._recolour()
        self._enable()
        self.checked.emit(verdict)

    def _enable(self) -> None:
        good = self._verdict is not None and self._verdict.sketch is not None
        runs = self.queue.running
        why_not = self._cannot_start or (f"the queue runs {runs.label}: add this one to it" if runs is not None else "")
        self.start.setEnabled(good and not why_not)
        self.start.setToolTip(why_not or ("starts this sequence (Ctrl+Return)" if good else "correct what is marked first"))
        self.to_queue.setEnabled(good and not self.queue.foreign)

    # --- what a person does

    def _start(self) -> None:
        verdict = self._verdict
        if verdict is not None and verdict.sketch is not None and self.start.isEnabled():
            self.start_asked.emit(verdict.text, self._name())

    def _queue_up(self) -> None:
        verdict = self._verdict
        if verdict is None or verdict.sketch is None:
            return
        try:
            self.queue.add(verdict.text, self._name())
        except RigError as error:
            self.say(f"{error.what} {error.next_step}".strip())

    def _name(self) -> str:
        path = self.draft.path
        return f"{slug(self.draft.measurement)}.toml" if path is None else path.name

    def _new(self) -> None:
        if self._may_forget():
            self.begin(self.draft.measurement if self.draft.measurement in MEASUREMENTS else next(iter(MEASUREMENTS)))

    def _open(self) -> None:
        if not self._may_forget():
            return
        name, _ = QFileDialog.getOpenFileName(self, "Open a sequence", str(self._folder), "Sequences (*.toml);;All files (*)")
        if name:
            self.load(Path(name))

    def _save(self) -> bool:
        path = self.draft.path
        return self._save_as() if path is None or not path.parent.is_dir() else self.save(path)

    def _save_as(self) -> bool:
        first = str(self.draft.path or self._folder / self._name())
        name, _ = QFileDialog.getSaveFileName(self, "Save the sequence", first, "Sequences (*.toml)")
        return bool(name) and self.save(Path(name if Path(name).suffix else f"{name}.toml"))

    def _may_forget(self) -> bool:
        """Ask what becomes of changes to a file; a form that never was one is given up without a question."""
        if self.draft.path is None or not self.draft.changed:
            return True
        buttons = QMessageBox.StandardButton
        answer = QMessageBox.question(
            self,
            "Sequence changed",
            f"{self.draft.path.name} has changes that are not saved.",
            QMessageBox.StandardButtons(buttons.Save) | buttons.Discard | buttons.Cancel,
            buttons.Save,
        )
        return self._save() if answer == buttons.Save else answer == buttons.Discard

    def _open_entry(self, entry: Entry | None) -> None:
        if entry is None or not self._may_forget():
            return
        try:
            document = parse_document(entry.toml, Path(entry.name))
        except ConfigError as error:
            self.say(error.what)
            return
        self.draft.load(document)
        self._fill()

    def _drop_unknown(self) -> None:
        self.draft.drop_unknown()
        self._fill()

    # --- looks

    def _make_widgets(self) -> None:
        self.heading, self.form = ParameterForm(self), ParameterForm(self)
        for form in (self.heading, self.form):
            form.edited.connect(self._edited)
        self.price, self.picture = PriceStrip(self), TimelinePicture(self)
        self.panel = QueuePanel(self.queue, self)
        self.panel.goes_on.connect(self.advance)
        self.panel.opened.connect(self._open_entry)
        self.file, self.state, self.about = QLabel("", self), QLabel("", self), QLabel("", self)
        self.rest, self.message, self.bench_label = QLabel("", self), QLabel("", self), QLabel("", self)
        for label in (self.rest, self.message, self.about, self.file, self.bench_label):
            label.setTextFormat(Qt.TextFormat.PlainText)
        for label in (self.rest, self.message, self.about):
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.rest.setAccessibleName("mistakes that belong to no single box")
        self.message.hide()
        self.state.setFont(theme.font(11.0, bold=True))
        self.start = self._button("Start", "Ctrl+Return", "start this sequence", self._start)
        self.start.setFont(theme.font(11.0, bold=True))
        self.to_queue = self._button("Add to queue", "Ctrl+Shift+Return", "put a copy of it into the queue", self._queue_up)
        self.drop = self._button(
            "Take out unknown keys", "Ctrl+U", "remove the keys that nothing here knows", self._drop_unknown
        )
        self.drop.hide()
        name = self._bench.path.name if self._bench.path is not None else "bench made in Python"
        self.bench_label.setText(f"{'SIMULATED  ·  ' if self.checker.simulated else ''}{name}")
        self.bench_label.setFont(theme.font(10.0, bold=True))
        self.bench_label.setToolTip(str(self._bench.path or "") or "the bench that sequences are checked against")

    def _button(self, text: str, key: str, tip: str, act: Callable[[], object]) -> QPushButton:
        button = QPushButton(text, self)
        button.setToolTip(f"{tip} ({key})")
        button.setAccessibleName(f"{text}: {tip}")
        button.setAutoDefault(False)
        button.setMinimumWidth(button.sizeHint().width() + ROOM)

        def press() -> None:
            if button.isEnabled() and not button.isHidden():
                act()

        button.clicked.connect(press)
        for one in (key, key.replace("Return", "Enter")) if "Return" in key else (key,):
            shortcut = QShortcut(QKeySequence(one), self, press)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        return button

    def _lay_out(self) -> None:
        bar = QHBoxLayout()
        for button in (
            self._button("New", "Ctrl+N", "begin with the defaults", self._new),
            self._button("Open…", "Ctrl+O", "open a sequence file", self._open),
            self._button("Save", "Ctrl+S", "save it to its file", self._save),
            self._button("Save as…", "Ctrl+Shift+S", "save it to another file", self._save_as),
        ):
            bar.addWidget(button)
        bar.addWidget(self.file, 1)
        bar.addWidget(self.bench_label)
        split = QSplitter(Qt.Orientation.Horizontal, self)
        split.addWidget(self._left())
        split.addWidget(self._right())
        split.setStretchFactor(0, 2)
        split.setStretchFactor(1, 3)
        split.setSizes([470, 800])
        split.setChildrenCollapsible(False)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(8, 8, 8, 8)
        whole.addLayout(bar)
        whole.addWidget(self.message)
        whole.addWidget(split, 1)

    def _left(self) -> QWidget:
        column, area = QWidget(self), QScrollArea(self)
        inner = QVBoxLayout(column)
        inner.setContentsMargins(2, 2, 8, 2)
        rule = QFrame(column)
        rule.setFrameShape(QFrame.Shape.HLine)
        for widget in (self.heading, rule, self.about, self.form, self.rest, self.drop):
            inner.addWidget(widget)
        inner.addStretch(1)
        area.setWidget(column)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setMinimumWidth(380)
        side, buttons, row = QWidget(self), QHBoxLayout(), QVBoxLayout()
        side.setLayout(row)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(area, 1)
        row.addWidget(self.state)
        buttons.addWidget(self.start, 2)
        buttons.addWidget(self.to_queue, 1)
        row.addLayout(buttons)
        return side

    def _right(self) -> QWidget:
        upper, right = QWidget(self), QSplitter(Qt.Orientation.Vertical, self)
        column = QVBoxLayout(upper)
        column.setContentsMargins(4, 0, 0, 0)
        column.addWidget(self.price)
        column.addWidget(self.picture, 1)
        right.addWidget(upper)
        right.addWidget(self.panel)
        right.setStretchFactor(0, 3)
        right.setStretchFactor(1, 1)
        right.setSizes([460, 230])
        right.setChildrenCollapsible(False)
        return right

    def _tell_file(self) -> None:
        path, text = self.draft.path, "not saved yet"
        if path is not None:
            text = f"{path.name}{' (changed)' if self.draft.changed else ''}"
            text += ", its comments will be lost" if self.draft.loses_comments else ""
        self.file.setText(text)
        self.file.setToolTip(str(path or ""))

    def _recolour(self) -> None:
        look = theme.current()
        good = self._verdict is not None and self._verdict.sketch is not None
        for label, colour in (
            (self.state, look.good if good else look.alarm),
            (self.rest, look.alarm),
            (self.message, look.alarm),
            (self.about, look.faint),
            (self.bench_label, look.warning if self.checker.simulated else look.text),
        ):
            palette = label.palette()
            if palette.color(QPalette.ColorRole.WindowText) != QColor(colour):
                palette.setColor(QPalette.ColorRole.WindowText, QColor(colour))
                label.setPalette(palette)

    def changeEvent(self, a0: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take the colours of a new theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange:
            self._recolour()
            self.picture.update()


def _with_choices(fields: tuple[FormField, ...]) -> tuple[FormField, ...]:
    """Let the measurement be chosen, not typed."""
    return tuple(field.chosen_from(tuple(MEASUREMENTS)) if field.loc == MEASUREMENT else field for field in fields)
