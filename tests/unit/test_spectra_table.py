"""Tables of exported spectra in many spellings, and every bad one refused with its reasons."""

import codecs
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.errors import ConfigError
from rig.spectra_table import read_spectra, unit_of

WAVELENGTH_NM = np.arange(480.0, 570.0, 0.5)
FLUENCES = np.array([12.5, 20.0, 40.0, 80.0])
FAR_NM = np.linspace(445.0, 600.0, len(WAVELENGTH_NM))
LIGHT = np.round(1000 * FLUENCES[:, None] * np.exp(-(((WAVELENGTH_NM - 520.25) / 11) ** 2)), 3)
HEADER = ["wavelength (nm)", *(f"{f:g} uJ/cm2" for f in FLUENCES)]


def text(
    header: list[str] | None = HEADER,
    light: np.ndarray = LIGHT,
    wavelength: np.ndarray = WAVELENGTH_NM,
    delimiter: str = ",",
    decimal: str = ".",
) -> str:
    rows = [] if header is None else [delimiter.join(header)]
    for at, values in zip(wavelength, light.T, strict=True):
        rows.append(delimiter.join(f"{v:.3f}".replace(".", decimal) for v in (at, *values)))
    return "\n".join(rows) + "\n"


def saved(folder: Path, content: str | bytes, name: str = "spectra.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def codes(path: Path, *arguments: Path, **options: object) -> set[str]:
    with pytest.raises(ConfigError) as refused:
        read_spectra(path, *arguments, **options)  # type: ignore[arg-type]
    assert refused.value.next_step
    return {reason.code for reason in refused.value.reasons}


# --- what is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        text().encode(),
        text(delimiter="\t").encode(),
        text(delimiter=";").encode(),
        text(delimiter=";", decimal=",").encode(),
        text(delimiter="\t", decimal=",").encode(),
        codecs.BOM_UTF8 + text().encode(),
        text().encode("utf-16"),
        text().replace("\n", "\r\n").encode(),
        ("# exported by something\n\n% 1 s\n" + text()).encode(),
        text(["nm", *(f"F = {f:g} µJ/cm²" for f in FLUENCES)]).encode(),
        text(["nm", *(f"F = {f:g} µJ/cm²" for f in FLUENCES)]).encode("latin-1"),
        text(["", *(f"20 V, {f / 1000:g} mJ/cm^2" for f in FLUENCES)], delimiter=";").encode(),
        text(["Wavelength [nm]", *(f"{f / 100:g} J/m2" for f in FLUENCES)]).encode(),
        text(["Wavelength [nm]", *(f"{1000 * f:g} nJ cm-2" for f in FLUENCES)]).encode(),
        text(wavelength=WAVELENGTH_NM[::-1], light=LIGHT[:, ::-1]).encode(),
        text([HEADER[0], *HEADER[:0:-1]], light=LIGHT[::-1]).encode(),
    ],
)
def test_the_same_spectra_come_out_of_every_spelling(tmp_path: Path, content: bytes) -> None:
    table = read_spectra(saved(tmp_path, content))
    assert table.fluence_uj_cm2 == pytest.approx(FLUENCES)
    assert table.wavelength_nm == pytest.approx(WAVELENGTH_NM)
    assert table.light == pytest.approx(LIGHT, abs=1e-3)


@pytest.mark.parametrize(
    "fluences",
    [
        "fluence (uJ/cm2)\n12.5\n20\n40\n80\n",
        "12.5 uJ/cm2\n20 uJ/cm2\n40 uJ/cm2\n80 uJ/cm2\n",
        "name;fluence (uJ/cm2)\nd;80\na;12,5\nc;40\nb;20\n",
        "a,12.5 uJ/cm2\nb,20 uJ/cm2\nc,40 uJ/cm2\nd,80 uJ/cm2\n",
    ],
)
def test_fluences_come_from_a_second_table(tmp_path: Path, fluences: str) -> None:
    path = saved(tmp_path, text(["nm", "a", "b", "c", "d"]))
    assert read_spectra(path, saved(tmp_path, fluences, "f.csv")).fluence_uj_cm2.tolist() == FLUENCES.tolist()


def test_without_any_header_a_second_table_is_enough(tmp_path: Path) -> None:
    fluences = saved(tmp_path, "12.5\n20\n40\n80\n", "f.csv")
    assert read_spectra(saved(tmp_path, text(None)), fluences, unit="uJ/cm2").light == pytest.approx(LIGHT)


def test_unit_by_word_is_used_where_none_stands(tmp_path: Path) -> None:
    path = saved(tmp_path, text(["nm", *(f"{f / 1000:g}" for f in FLUENCES)]))
    assert read_spectra(path, unit="mJ/cm2").fluence_uj_cm2 == pytest.approx(FLUENCES)


def test_any_order_is_sorted_with_its_spectra(tmp_path: Path) -> None:
    order = [2, 0, 3, 1]
    path = saved(tmp_path, text([HEADER[0], *(HEADER[1 + k] for k in order)], light=LIGHT[order]))
    table = read_spectra(path, any_order=True)
    assert table.fluence_uj_cm2.tolist() == FLUENCES.tolist()
    assert table.light == pytest.approx(LIGHT)
    assert table.names == tuple(HEADER[1:])


def test_latin_1_is_remarked(tmp_path: Path) -> None:
    content = text(["nm", *(f"{f:g} µJ/cm²" for f in FLUENCES)]).encode("latin-1")
    assert any("Latin-1" in note for note in read_spectra(saved(tmp_path, content)).notes)


def test_a_rounded_band_is_not_taken_for_a_flat_top(tmp_path: Path) -> None:
    smooth = np.round(LIGHT / 500)
    assert (np.diff(np.flatnonzero(smooth[0] == smooth[0].max())) == 1).sum() >= 2
    assert read_spectra(saved(tmp_path, text(light=smooth))).light.shape == LIGHT.shape


@pytest.mark.parametrize(
    ("said", "unit"),
    [
        ("12 µJ/cm²", "uJ/cm2"),
        ("12 μJ·cm⁻²", "uJ/cm2"),
        ("F (mJ/cm^2)", "mJ/cm2"),
        ("3 J/m2", "J/m2"),
        ("3 MJ/cm2", None),
        ("12 uJ", None),
        ("12 V", None),
        ("12", None),
    ],
)
def test_units_are_recognised(said: str, unit: str | None) -> None:
    assert unit_of(said) == unit


# --- what is refused --------------------------------------------------------------------------------------------------


def with_cell(cell: str) -> str:
    lines = text().split("\n")
    lines[50] = lines[50].rsplit(",", 1)[0] + f",{cell}"
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "empty"),
        ("# only a comment\n", "empty"),
        (",".join(HEADER) + "\n", "empty"),
        ("just words\nand more of them\n", "no-table"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\xff", "not-text"),
        (text()[:-30], "uneven-lines"),
        (with_cell("nan"), "not-a-number"),
        (with_cell("inf"), "not-a-number"),
        (with_cell("---"), "not-a-number"),
        (with_cell("1e999"), "not-a-number"),
        (text(["wavenumber (cm-1)", *HEADER[1:]]), "wavelength-unit"),
        (text(["energy (eV)", *HEADER[1:]]), "wavelength-unit"),
        (text(["pixel", *HEADER[1:]]), "wavelength-unit"),
        (text(wavelength=WAVELENGTH_NM + 25), "wavelength-range"),
        (text(wavelength=WAVELENGTH_NM / 10), "wavelength-range"),
        (text(wavelength=np.r_[WAVELENGTH_NM[:90], WAVELENGTH_NM[89:-1]]), "wavelength-order"),
        (text(wavelength=WAVELENGTH_NM[::8], light=LIGHT[:, ::8]), "too-coarse"),
        (text(["nm", "12.5", "20", "40", "80"]), "fluence-unit"),
        (text(["nm", "12.5 uJ", "20 uJ", "40 uJ", "80 uJ"]), "fluence-unit"),
        (text(["nm", "12.5 V", "20 V", "40 V", "80 V"]), "fluence-unit"),
        (text(["nm", "12.5 MJ/cm2", *HEADER[2:]]), "fluence-unit"),
        (text(["nm", "first", *HEADER[2:]]), "fluence-missing"),
        (text(["nm", "spectrum 1", *HEADER[2:]]), "fluence-missing"),
        (text(["nm", "uJ/cm2", *HEADER[2:]]), "fluence-missing"),
        (text(["nm", "0 uJ/cm2", *HEADER[2:]]), "fluence-range"),
        (text(["nm", "-3 uJ/cm2", *HEADER[2:]]), "fluence-range"),
        (text([HEADER[0], HEADER[1], HEADER[3], HEADER[2], HEADER[4]]), "fluence-order"),
        (text(None), "fluence-missing"),
        (text(delimiter=";").replace("480.500", "480,500"), "decimal-sign"),
        (text(["nm", "12,5 uJ/cm2", *HEADER[2:]], delimiter=";"), "decimal-sign"),
        (text(light=np.minimum(LIGHT, 40_000)), "saturated"),
        (text(wavelength=FAR_NM, light=LIGHT + 30_000), "dark-not-subtracted"),
    ],
)
def test_each_mistake_has_its_code(tmp_path: Path, content: str | bytes, code: str) -> None:
    assert code in codes(saved(tmp_path, content))


def test_thousands_are_not_taken_for_decimals(tmp_path: Path) -> None:
    lines = [";".join(HEADER)]
    lines += [f"{w:.0f};" + ";".join("1,234" for _ in FLUENCES) for w in np.arange(480, 570)]
    assert codes(saved(tmp_path, "\n".join(lines))) == {"decimal-sign"}


def test_all_mistakes_are_said_at_once(tmp_path: Path) -> None:
    content = with_cell("nan").replace("wavelength (nm)", "energy (eV)").replace("20 uJ/cm2", "20")
    assert codes(saved(tmp_path, content)) == {"not-a-number", "wavelength-unit", "fluence-unit"}


def test_a_little_dark_is_remarked(tmp_path: Path) -> None:
    table = read_spectra(saved(tmp_path, text(wavelength=FAR_NM, light=LIGHT + 1200)))
    assert any("subtract the dark" in note for note in table.notes)


def test_a_dark_that_cannot_be_checked_is_remarked(tmp_path: Path) -> None:
    assert any("not checked" in note for note in read_spectra(saved(tmp_path, text())).notes)


def test_a_limit_of_saturation_is_used(tmp_path: Path) -> None:
    path = saved(tmp_path, text())
    assert codes(path, saturation_counts=70_000.0) == {"saturated"}
    assert len(read_spectra(path, saturation_counts=90_000.0).names) == 4


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert codes(tmp_path / "nothing.csv") == {"unreadable"}
    assert codes(tmp_path) == {"unreadable"}


@pytest.mark.parametrize(
    ("fluences", "code"),
    [
        ("12.5\n20\n40\n80\n", "fluence-unit"),
        ("fluence (uJ/cm2)\n12.5\n20\n40\n", "fluence-count"),
        ("fluence (uJ/cm2)\n12.5\nnan\n40\n80\n", "fluence-missing"),
        ("energy (uJ)\n12.5\n20\n40\n80\n", "fluence-unit"),
        ("a,12.5 uJ/cm2\nb,20 uJ/cm2\nc,40 uJ/cm2\n", "fluence-missing"),
        ("a,12.5 uJ/cm2\nb,20 uJ/cm2\nc,40 uJ/cm2\nd,80 uJ/cm2\ne,90 uJ/cm2\n", "fluence-names"),
        ("a,12.5 uJ/cm2\na,20 uJ/cm2\nb,20 uJ/cm2\nc,40 uJ/cm2\nd,80 uJ/cm2\n", "fluence-names"),
        ("a,1,12.5 uJ/cm2\nb,2,20 uJ/cm2\n", "fluence-table"),
        ("", "empty"),
    ],
)
def test_each_mistake_of_the_second_table_has_its_code(tmp_path: Path, fluences: str, code: str) -> None:
    path = saved(tmp_path, text(["nm", "a", "b", "c", "d"]))
    assert code in codes(path, saved(tmp_path, fluences, "f.csv"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.text(alphabet="0123456789.,;\t\n-e# nmuJ/c\"'", max_size=300).map(str.encode),
        st.tuples(st.integers(0, 3000), st.binary(min_size=1, max_size=3)).map(
            lambda cut: text().encode()[: cut[0]] + cut[1] + text().encode()[cut[0] + len(cut[1]) :]
        ),
    )
)
def test_any_bytes_are_a_table_or_refused(tmp_path: Path, data: bytes) -> None:
    path = saved(tmp_path, data)
    said = ()
    try:
        table = read_spectra(path, unit="uJ/cm2", any_order=True)
    except ConfigError as error:
        said = error.reasons
    else:
        assert np.isfinite(table.light).all()
        assert (np.diff(table.wavelength_nm) > 0).all()
        return
    assert said
    assert all(reason.code and reason.message for reason in said)
