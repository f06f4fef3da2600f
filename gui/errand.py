"""A command of `rig` done in a process of its own, for when the engine cannot do it: off, recover."""

from collections.abc import Callable

from PyQt5.QtCore import QObject, QProcess, QProcessEnvironment, pyqtSignal

from gui.engine_process import rig_command, rig_environment

MAX_WORDS = 20_000
MEANINGS = {
    0: "done",
    2: "refused, nothing was switched on",
    4: "fault, hardware is safe",
    5: "HARDWARE STATE UNKNOWN: go and look",
}


class Errand(QObject):
    """One such process; it ends by itself, also when the window is closed meanwhile.

    Signals
    -------
    done  int: exit code, -1 when it could not be started or has crashed; str: what it said
    """

    done = pyqtSignal(int, str)

    def __init__(self, words: tuple[str, ...], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.words = words
        self._said = ""
        self._ended = False
        self._process = QProcess(self)
        environment = QProcessEnvironment()
        for name, value in {**rig_environment(), "COLUMNS": "100", "NO_COLOR": "1"}.items():
            environment.insert(name, value)
        self._process.setProcessEnvironment(environment)
        self._process.setProcessChannelMode(QProcess.ProcessChannelMode.MergedChannels)
        self._process.readyRead.connect(self._read)
        self._process.finished.connect(lambda code, status: self._end(code if status == QProcess.ExitStatus.NormalExit else -1))
        self._process.errorOccurred.connect(self._failed)

    def begin(self) -> None:
        """Start it."""
        program, *rest = rig_command(*self.words)
        self._process.start(program, rest)

    @property
    def running(self) -> bool:
        """Get whether it is still at work."""
        return self._process.state() != QProcess.ProcessState.NotRunning

    def close(self, patience_ms: int = 20_000) -> None:
        """Wait for its end; it is never cut short, it may be switching off."""
        if self.running:
            self._process.waitForFinished(patience_ms)

    def _read(self) -> None:
        piece = bytes(self._process.readAll()).decode("utf-8", "replace")
        self._said = (self._said + piece)[-MAX_WORDS:]

    def _failed(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._said = f"It could not be started: {self._process.errorString()}"
            self._end(-1)

    def _end(self, code: int) -> None:
        if not self._ended:
            self._ended = True
            self._read()
            self.done.emit(code, self._said.strip())


Begin = Callable[[tuple[str, ...]], Errand]
