"""Views on run files and engine events (PyQt5, pyqtgraph)."""

__distribution__ = "ito-rig"
