"""Figures of a report as files and as bytes: PNG and SVG, the same from the same run."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from rig.report.element import printable
from rig.report.findings import Drawing
from rig.report.page import Picture
from rig.small_file import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150
LONGEST_TITLE = 160


def write_pictures(drawings: Sequence[Drawing], folder: Path, stem: str) -> tuple[list[Picture], list[str], list[Path]]:
    """Draw and write STEM_NAME.png and .svg; return pictures, reasons why some could not be drawn, and paths.

    Raises
    ------
    OSError  a file cannot be written
    """
    pictures: list[Picture] = []
    undrawn: list[str] = []
    paths: list[Path] = []
    for drawing in drawings:
        try:
            drawn = {kind: _bytes(drawing, kind) for kind in ("png", "svg")}
        except (ValueError, IndexError) as error:
            undrawn.append(f"The figure {drawing.name!r} could not be drawn: {error}")
            continue
        here = [folder / f"{stem}_{drawing.name}.{kind}" for kind in drawn]
        for path, content in zip(here, drawn.values(), strict=True):
            write_whole(path, content)
        pictures.append(Picture(drawn["png"], drawing.caption, tuple(path.name for path in here)))
        paths += here
    return pictures, undrawn, paths


def _bytes(drawing: Drawing, kind: str) -> bytes:
    target = io.BytesIO()
    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {}
    with warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": drawing.name}):
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure = drawing.draw()
        _make_plain(figure)
        figure.savefig(target, format=kind, dpi=DPI, metadata=metadata)
    return target.getvalue()


def _make_plain(figure: "Figure") -> None:
    """What a user typed is text, not mathematics between dollar signs, and no longer than the figure is wide."""
    for text in figure.texts:
        words = " ".join(printable(text.get_text()).split())
        text.set_text(words if len(words) <= LONGEST_TITLE else f"{words[:LONGEST_TITLE]}...")
        text.set_parse_math(False)
