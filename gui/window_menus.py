"""The menus of the window, and the list of its keys."""

from collections.abc import Callable, Sequence

from PyQt5.QtCore import Qt
from PyQt5.QtGui import QKeySequence
from PyQt5.QtWidgets import QAction, QActionGroup, QMainWindow, QMenu, QMenuBar, QMessageBox

from gui import theme
from gui.message_area import ACKNOWLEDGE_KEY
from gui.page_table import PAGES
from gui.run_controls import PAUSE_KEY, START_KEY, STOP_KEY_NAME

SHORTCUTS = (
    (STOP_KEY_NAME, "Stop: everything off, at once, wherever the focus is"),
    (START_KEY, "start the sequence of the Sequence page"),
    (PAUSE_KEY, "pause after this block / go on"),
    (ACKNOWLEDGE_KEY, "acknowledge the alarm"),
    *((page.key, f"{page.title}: {page.purpose}") for page in PAGES),
    ("Ctrl+6", "messages"),
    ("Ctrl+Shift+O", "open a run file"),
    ("Ctrl+T", "light or dark"),
    ("F1", "these keys; those of a page stand in its tooltips"),
    ("Ctrl+Q", "close the window"),
)


class WindowMenus:
    """The menu bar of a window; every action is the window's, too, so that its key works when the menu is closed."""

    def __init__(self, window: QMainWindow) -> None:
        self.bar = QMenuBar()
        self._window = window
        self._menus: dict[str, QMenu] = {}
        self._themes: dict[str, QAction] = {}
        self._faults: list[QAction] = []

    def add(self, menu: str, text: str, act: Callable[[], None], key: str = "") -> QAction:
        """Add an entry to a menu, which is made when it is not there."""
        if menu not in self._menus:
            made = self.bar.addMenu(menu)
            assert made is not None  # noqa: S101 - PyQt's types say it may be; it never is
            self._menus[menu] = made
        action = QAction(text, self._window)
        if key:
            action.setShortcut(QKeySequence(key))
        action.triggered.connect(lambda _checked: act())
        self._menus[menu].addAction(action)
        self._window.addAction(action)
        return action

    def add_themes(self, menu: str, use: Callable[[str], None]) -> None:
        """Add one entry per theme, of which one is chosen, and one that changes over."""
        group = QActionGroup(self._window)
        for name in theme.NAMES:
            action = self.add(menu, name.capitalize(), lambda name=name: use(name))
            action.setCheckable(True)
            group.addAction(action)
            self._themes[name] = action
        self.show_theme(theme.current().name)
        self.add(
            menu,
            "Switch light and &dark",
            lambda: use(next(name for name in theme.NAMES if name != theme.current().name)),
            "Ctrl+T",
        )

    def show_faults(self, menu: str, names: Sequence[str], put_in: Callable[[str], None]) -> None:
        """Offer what can be broken on a simulated bench; nothing of it where nothing can."""
        for action in self._faults:
            self._menus[menu].removeAction(action)
            self._window.removeAction(action)
        self._faults = [self.add(menu, f"Break it: {name.replace('-', ' ')}", lambda name=name: put_in(name)) for name in names]

    def show_theme(self, name: str) -> None:
        """Tick a theme."""
        self._themes[name].setChecked(True)

    def show_keys(self) -> None:
        """Show what every key means."""
        rows = "".join(f"<tr><td><b>{key}</b>&nbsp;&nbsp;</td><td>{what}</td></tr>" for key, what in SHORTCUTS)
        box = QMessageBox(self._window)
        box.setWindowTitle("Keys")
        box.setTextFormat(Qt.TextFormat.RichText)
        box.setText(f"<table>{rows}</table>")
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setModal(False)
        box.show()
