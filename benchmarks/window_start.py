"""How long the window takes to be up after the import of pyqtgraph, each time in a fresh process; the aim is 0.5 s."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = """
import json, sys, time
began = time.monotonic()
import pyqtgraph
imported = time.monotonic()
import gui.main_window as m
from gui.commands import main
told = {}
def begin(window):
    told["up"] = time.monotonic() - imported
    window._begun = True
    window._make_visible_pages()
    window._application.processEvents()
    told["first page"] = time.monotonic() - imported
    print(json.dumps({"import": imported - began, **told}), flush=True)
    import os
    os._exit(0)
m.MainWindow.begin = begin
main(["--out", sys.argv[1]])
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=7)
    options = parser.parse_args()
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "ITO_RIG_STATE": str(Path(folder) / "state")}
        for _ in range(options.times + 1):
            said = subprocess.run(
                [sys.executable, "-c", PROGRAM, folder], env=environment, capture_output=True, text=True, check=True
            )
            rows.append(json.loads(said.stdout.splitlines()[-1]))
    for name in rows[0]:
        values = sorted(row[name] for row in rows[1:])  # the first fills the caches
        print(f"{name:12} median {statistics.median(values):6.3f} s   worst {values[-1]:6.3f} s")
    print("import: of pyqtgraph; the others: after it. up: shown and painted once; first page: its plots, too")
    return 0


if __name__ == "__main__":
    sys.exit(main())
