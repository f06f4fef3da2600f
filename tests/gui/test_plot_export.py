"""Plots that are kept: the exact numbers in view with their units, pictures that say what they are of."""

import csv
import io
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PyQt5.QtGui import QImage
from pytestqt.qtbot import QtBot

from gui import theme
from gui.plot_export import file_name
from gui.plot_table import Column, PlotTable, RunLabel, csv_bytes
from gui.run_page import RunPage
from rig.runfile import Flag, open_run
from tests.gui.test_run_page import Link, read_whole

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def page(qtbot: QtBot, qapp: Any, run_file: Path, tmp_path: Path) -> Generator[RunPage]:
    theme.apply(qapp, "dark")
    context: Any = SimpleNamespace(bench=None, link=Link(), out=tmp_path, simulated=True)
    made = RunPage(context)
    qtbot.addWidget(made)
    made.resize(1366, 640)
    made.show()
    read_whole(made, qtbot, run_file)
    yield made
    made.close_page()


def kept(page: RunPage, qtbot: QtBot, plot: Any, path: Path) -> Path:
    with qtbot.waitSignal(page.export.kept):
        page.keep_as(plot.pane, path.suffix[1:], path)
    return path


def read(path: Path) -> tuple[list[str], list[str], list[list[float]]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    about = [line for line in lines if line.startswith("#")]
    table = list(csv.reader(lines[len(about) :]))
    return about, table[0], [[float(cell) if cell else np.nan for cell in row] for row in table[1:]]


def test_the_traces_in_view_are_the_exact_numbers_of_the_file(
    page: RunPage, qtbot: QtBot, tmp_path: Path, run_file: Path
) -> None:
    page.window_s.choose(0.1, 0.3)
    page.refresh()
    about, titles, numbers = read(kept(page, qtbot, page.views.traces, tmp_path / "t.csv"))
    assert titles == ["time (s)", "520 nm (counts)", "535 nm (counts)", "lost before, saturated or missed (0 or 1)"]
    run = open_run(run_file)
    time_s, rows = run.column("time_s"), run.frames()
    seen = (time_s >= 0.1) & (time_s <= 0.3)
    hidden = (rows["flags"] & int(Flag.SATURATED | Flag.MISSED_PULSE | Flag.LEAD_IN)) != 0
    found = np.array(numbers)
    assert np.array_equal(found[:, 0], time_s[seen])
    assert np.array_equal(found[:, 2], np.where(hidden, np.nan, rows["band_535"])[seen], equal_nan=True)
    assert about[0] == "# SIMULATED"
    assert f"# run: {run_file.name}" in about


def test_the_source_and_the_spectra_in_view_are_kept(page: RunPage, qtbot: QtBot, tmp_path: Path, run_file: Path) -> None:
    _, titles, numbers = read(kept(page, qtbot, page.views.source, tmp_path / "s.csv"))
    assert titles[:3] == ["time (s)", "voltage (V)", "current (A)"]
    readings = open_run(run_file).readings
    measured = {row[1] for row in numbers}
    assert measured <= set(readings["voltage_v"].tolist())
    assert max(measured) == pytest.approx(20.0, abs=0.1)
    _, titles, numbers = read(kept(page, qtbot, page.views.spectrum, tmp_path / "w.csv"))
    assert titles == ["wavelength (nm)", "newest frame (counts)", "mean OFF (counts)", "mean ON (counts)"]
    mean_on = page.feed.mean_spectrum(1)
    assert mean_on is not None
    assert {row[3] for row in numbers} <= set(mean_on.tolist())
    assert all(500.0 <= row[0] <= 560.0 for row in numbers)


def test_the_waterfall_is_kept_with_its_wavelengths(page: RunPage, qtbot: QtBot, tmp_path: Path) -> None:
    _, titles, numbers = read(kept(page, qtbot, page.views.waterfall, tmp_path / "f.csv"))
    wavelengths = [float(title.split()[0]) for title in titles[1:]]
    assert titles[1].endswith("nm (counts)")
    assert wavelengths == sorted(wavelengths)
    brightest = wavelengths[int(np.argmax(np.nanmax(np.array(numbers)[:, 1:], axis=0)))]
    assert brightest == pytest.approx(535.4, abs=1.0)


def test_other_bands_are_told_in_what_is_kept(page: RunPage, qtbot: QtBot, tmp_path: Path) -> None:
    page._set_bands(((520.0, 1.0), (540.0, 2.0)))
    qtbot.waitUntil(lambda: not page.feed.catching_up)
    about, _, _ = read(kept(page, qtbot, page.views.traces, tmp_path / "b.csv"))
    assert any("bands differ" in line and "540 ± 2" in line for line in about)


@pytest.mark.parametrize("which", ["traces", "source", "spectrum", "waterfall"])
def test_a_picture_is_sharp_and_a_drawing_says_simulated(page: RunPage, qtbot: QtBot, tmp_path: Path, which: str) -> None:
    plot = getattr(page.views, which)
    image = QImage(str(kept(page, qtbot, plot, tmp_path / "p.png")))
    assert image.width() == 2 * plot.pane.canvas.width()
    assert len({image.pixel(x, y) for x in range(0, image.width(), 3) for y in range(0, image.height(), 3)}) > 10
    root = ElementTree.parse(kept(page, qtbot, plot, tmp_path / "p.svg")).getroot()  # noqa: S314 - our own
    texts = [text.text or "" for text in root.iter(f"{SVG}text")]
    assert any("SIMULATED" in text for text in texts)
    assert len(list(root.iter(f"{SVG}polyline"))) + len(list(root.iter(f"{SVG}path"))) + len(list(root.iter(f"{SVG}image"))) > 0


def test_a_folder_that_is_gone_is_told_and_leaves_nothing(page: RunPage, qtbot: QtBot, tmp_path: Path) -> None:
    with qtbot.waitSignal(page.export.failed) as failed:
        page.keep_as(page.views.traces.pane, "csv", tmp_path / "gone" / "t.csv")
    assert "Choose another folder" in failed.args[1]
    assert not (tmp_path / "gone").exists()


def test_a_name_that_is_there_is_not_proposed(page: RunPage, tmp_path: Path) -> None:
    asked: list[str] = []

    def cancel(_: object, proposed: str, __: str) -> str:
        asked.append(Path(proposed).name)
        return ""

    page.ask_path = cancel
    page.keep(page.views.traces.pane, "png")
    assert asked[0].endswith("_light.png")
    assert file_name("run", "light", "png", {"run_light.png"}) == "run_light_2.png"


def test_numbers_read_back_as_the_same_numbers() -> None:
    values = np.random.default_rng(1).normal(size=10_000) * 1e-7
    table = PlotTable("x", (Column("a", "A", values), Column("n", "1", np.arange(10_000))))
    text = csv_bytes(table, RunLabel(title="one\nline", simulated=False)).decode()
    lines = text.splitlines()
    assert lines[0] == "# title: one line"
    found = np.loadtxt(io.StringIO("\n".join(lines[2:])), delimiter=",")
    assert np.array_equal(found[:, 0], values)
    assert "SIMULATED" not in text
