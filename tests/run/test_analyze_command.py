"""`rig analyze threshold` as its user meets it: a table in, a threshold or a refusal out, judged by the film itself."""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from film.threshold_sweeps import DENSE, Design, SweptFilm

from rig import cli
from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters

BELOW = Design("below", 3.0, 24.0, 26, 30, 0.015)
ABOVE = Design("above", 40.0, 160.0, 26, 30, 0.015)
NOMINAL_20_V = 32.0


@functools.cache
def spectra(design: Design) -> tuple[np.ndarray, np.ndarray]:
    """Wavelengths and mean spectra of the nominal film at 20 V."""
    [(_, sweep)] = SweptFilm(FilmParameters.nominal(), design, 7).sweep((20.0,))
    return sweep.wavelength_nm, np.array([sweep.light[sweep.step == k].mean(axis=0) for k in range(design.points)])


def written(path: Path, design: Design, *, keep: slice = slice(None), unit: str = " uJ/cm2", decimal: str = ".") -> Path:
    wavelength_nm, light = spectra(design)
    delimiter = "," if decimal == "." else ";"
    lines = [delimiter.join(["wavelength (nm)", *(f"{f:.2f}".replace(".", decimal) + unit for f in design.fluences[keep])])]
    for at, values in zip(wavelength_nm, light[keep].T, strict=True):
        lines.append(delimiter.join(f"{value:.3f}".replace(".", decimal) for value in (at, *values)))
    path.write_text("\n".join(lines), encoding="utf-8-sig")
    return path


def told(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON object on stdout, everything on stderr."""
    code = cli.main(["analyze", "threshold", *map(str, words), "--json"])
    out, err = capsys.readouterr()
    [line] = out.splitlines()
    return code, json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} in JSON")), err


@pytest.mark.parametrize("decimal", [".", ","])
def test_threshold_of_the_film_is_in_the_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str], decimal: str) -> None:
    code, found, _ = told(capsys, written(tmp_path / "s.csv", DENSE, decimal=decimal))
    truth = Film(FilmParameters.nominal()).native_threshold(20.0)
    assert code == 0
    assert truth == pytest.approx(NOMINAL_20_V, abs=0.01)
    lo, hi = found["threshold"]["ci95"]
    assert lo < truth < hi
    assert hi - lo < 0.06 * truth
    assert found["fwhm_crossing"]["value"] == pytest.approx(truth, rel=0.25)
    assert found["threshold"]["unit"] == "uJ/cm2"
    assert found["method"] == "spectra as given"


def test_words_name_threshold_interval_and_estimator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["analyze", "threshold", str(written(tmp_path / "s.csv", DENSE))]) == 0
    out = capsys.readouterr().out
    assert "threshold" in out
    assert "±" in out
    assert "rate equation" in out
    assert "spot area" in out


def test_fluences_of_a_second_table_give_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "s.csv", DENSE)
    _, with_header, _ = told(capsys, path)
    listed = tmp_path / "f.csv"
    listed.write_text("fluence (uJ/cm2)\n" + "\n".join(f"{f:.2f}" for f in DENSE.fluences), encoding="utf-8")
    _, with_list, _ = told(capsys, written(path, DENSE, unit=" (no unit)"), "--fluences", listed)
    assert with_list["threshold"] == with_header["threshold"]


def test_unit_scales_the_threshold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, found, _ = told(capsys, written(tmp_path / "s.csv", DENSE, unit=""), "--unit", "mJ/cm2")
    assert found["threshold"]["value"] == pytest.approx(32_000, rel=0.03)


def test_worse_fluences_widen_the_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "s.csv", DENSE)
    widths = []
    for percent in ("0.5", "4"):
        _, found, _ = told(capsys, path, "--fluence-error", percent)
        lo, hi = found["threshold"]["ci95"]
        widths.append(hi - lo)
    assert widths[1] > 1.3 * widths[0]


def test_figure_is_drawn_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "s.png"
    code, _, err = told(capsys, written(tmp_path / "s.csv", DENSE), "--figure", picture)
    assert code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert str(picture) in err


@pytest.mark.parametrize(
    ("design", "keep", "codes"),
    [
        (BELOW, slice(None), {"no-slope", "no-kink", "all-below"}),
        (ABOVE, slice(None), {"all-above"}),
        (DENSE, slice(0, 26, 4), {"too-few-points"}),
        (DENSE, slice(0, 12), {"all-below"}),
        (DENSE, slice(0, 11), {"all-below", "no-kink", "no-slope"}),
    ],
)
def test_no_threshold_is_refused_with_its_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], design: Design, keep: slice, codes: set[str]
) -> None:
    code, said, err = told(capsys, written(tmp_path / "s.csv", design, keep=keep))
    assert code == said["exit_code"] == 2
    assert said["error"]["reasons"][0]["code"] in codes
    assert "threshold" not in said
    assert "no threshold" in err


def test_figure_is_drawn_of_what_is_refused_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "s.png"
    assert told(capsys, written(tmp_path / "s.csv", ABOVE), "--figure", picture)[0] == 2
    assert picture.stat().st_size > 1000


def test_every_reason_of_a_bad_table_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "s.csv", DENSE, unit=" uJ")
    path.write_text(path.read_text(encoding="utf-8-sig").replace("wavelength (nm)", "energy (eV)"), encoding="utf-8")
    code, said, err = told(capsys, path)
    reasons = said["error"]["reasons"]
    assert code == 2
    assert {reason["code"] for reason in reasons} == {"wavelength-unit", "fluence-unit"}
    assert len(reasons) == 27
    assert "nothing was touched" in err


def test_spectra_without_light_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(1).standard_normal((161, 26))
    rows = [["nm", *(f"{f:.2f} uJ/cm2" for f in DENSE.fluences)]]
    rows += [[f"{485 + 0.5 * k:.1f}", *(f"{v:.3f}" for v in line)] for k, line in enumerate(noise)]
    path = tmp_path / "dark.csv"
    path.write_text("\n".join(",".join(row) for row in rows), encoding="utf-8")
    code, said, _ = told(capsys, path)
    assert code == 2
    assert said["error"]["reasons"][0]["code"] == "no-light"


def test_a_figure_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = told(capsys, written(tmp_path / "s.csv", DENSE), "--figure", tmp_path / "nowhere" / "s.png")
    assert code == 2
    assert "figure" in said["error"]["what"]
