"""Files that are wrong, and sequences that this bench cannot run: refused, with every reason, before anything is opened."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, refused, told
from test_command_line import bench, sequence

# --- files ------------------------------------------------------------------------------------------------------------

BAD_FILES = {
    "missing": (None, "file-missing"),
    "empty": ("", "missing-key"),
    "not TOML": ("title = = 3", "toml-malformed"),
    "twice": ('title = "a"\ntitle = "b"', "duplicate-key"),
    "a run file by mistake": ("\x89HDF\r\n\x1a\n\0\0", "toml-malformed"),
}


@pytest.mark.fault("C1")
@pytest.mark.parametrize("kind", BAD_FILES)
@pytest.mark.parametrize("place", ["sequence", "bench"])
def test_missing_and_malformed_files(desk: Desk, kind: str, place: str) -> None:
    text, code = BAD_FILES[kind]
    if text is not None:
        Path("bad.toml").write_text(text, encoding="utf-8")
    words = ("bad.toml",) if place == "sequence" else (sequence(), "--bench", "bad.toml")
    for command in ("run", "check", "plan"):
        said = desk.rig(command, *words)
        refused(said, code)
        assert "bad.toml" in said.err
    assert desk.benches == []


@pytest.mark.fault("C1")
def test_a_file_that_is_not_text(desk: Desk) -> None:
    Path("bad.toml").write_bytes(b"\xff\xfe" * 40)
    refused(desk.rig("run", "bad.toml"), "not-utf8")


@pytest.mark.fault("C1")
def test_mistakes_in_sequence_and_bench_come_together(desk: Desk) -> None:
    Path("s.toml").write_text(Path(sequence(cycles=0)).read_text("utf-8") + "volts = 3\n", encoding="utf-8")
    said = desk.rig("run", "s.toml", "--bench", bench(rate_hz='"fast"'))
    refused(said, "out-of-range", "unknown-key", "wrong-type")
    for place in ("s.toml:10 parameters.cycles", "s.toml:13 parameters.volts", "b.toml:24 laser_trigger.rate_hz"):
        assert place in said.err


@pytest.mark.fault("C1")
def test_hundreds_of_mistakes_still_fit_one_screen_and_all_are_in_the_json(desk: Desk) -> None:
    with Path(sequence()).open("a", encoding="utf-8") as file:
        file.writelines(f"key_{number} = 1\n" for number in range(300))
    said = desk.rig("run", "s.toml", "--json")
    refused(said, "unknown-key")
    assert re.search(r"and 2\d\d more", said.err)
    assert len(said.json["error"]["reasons"]) == 300


@pytest.mark.fault("C2", "C3", "C5", "C7", "C8")
@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"volt": 20.5}, "voltage-above-limit", ("20.5 V", "-20 to 20 V", "s.toml:7 parameters.voltage_on_v")),
        ({"volt": -21.0}, "voltage-above-limit", ("-21 V",)),
        ({"cycles": 0}, "out-of-range", ("lowest value accepted, 1",)),
        ({"cycles": -1}, "out-of-range", ("lowest value accepted, 1",)),
        ({"cycles": 10**12}, "out-of-range", ("highest value accepted, 10000",)),
        ({"cycles": "1.5"}, "wrong-type", ("whole number",)),
        ({"cycles": 10000, "on_s": 50.0, "off_s": 50.0}, "run-too-long", ("1e+09 shots", "TB")),
        ({"on_s": 0.0}, "out-of-range", ("on_time_s",)),
        ({"on_s": "nan"}, "not-finite", ("on_time_s",)),
        ({"on_s": 0.0505}, "part-of-a-shot", ("50.5 shots",)),
        ({"on_s": 61.0, "off_s": 61.0}, "on-time-above-limit", ("61 s", "60 s")),
        ({"on_s": 0.2}, "duty-above-limit", ("80 %", "60 %")),
        ({"fluence": 161.0}, "fluence-out-of-reach", ("161 uJ/cm2", "0.16 to 160", "default_bench.toml:10")),
        ({"volt": "20000.0"}, "wrong-magnitude", ("mV",)),
    ],
)
def test_a_sequence_that_the_bench_does_not_allow(
    desk: Desk, changes: dict[str, Any], code: str, words: tuple[str, ...]
) -> None:
    begin = time.perf_counter()
    said = desk.rig("run", sequence(**changes))
    refused(said, code)
    told(said.err, *words)
    assert desk.benches == []
    assert time.perf_counter() - begin < 2


@pytest.mark.fault("Y3")
@pytest.mark.parametrize(
    ("changes", "mode", "code", "words"),
    [
        ({"integration_time_s": "1.1e-3"}, "auto", "exposure-too-long", ("1000 Hz",)),
        ({"rate_hz": "2100.0"}, "auto", "exposure-too-long", ("2100 Hz",)),
        ({"pulse_delay_s": "900e-6"}, "auto", "window-beyond-period", ("pulse_delay_s",)),
        ({"integration_time_s": "700e-6"}, "stepped", "window-beyond-period", ("1000 us",)),
        ({"integration_time_s": "990e-6"}, "gated", "spectrometer-too-slow", ("every second trigger",)),
        ({"integration_time_s": "3e-6"}, "auto", "pulse-outside-window", ("2 us to spare",)),
        ({"model": '"srs-dg535"'}, "auto", "unknown-model", ("srs-dg645",)),
    ],
)
def test_a_bench_whose_times_do_not_fit(
    desk: Desk, changes: dict[str, str], mode: str, code: str, words: tuple[str, ...]
) -> None:
    if "model" in changes:
        Path("b.toml").write_text(Path(bench()).read_text("utf-8").replace('"srs-dg645"', changes["model"]), encoding="utf-8")
    else:
        bench(**changes)
    said = desk.rig("run", sequence(mode=mode), "--bench", "b.toml", "--simulate")
    refused(said, code)
    told(said.err, *words)
    assert desk.benches == []


def test_stepped_mode_without_its_cable(desk: Desk) -> None:
    text = Path(bench()).read_text("utf-8")
    begin, end = text.index("[[cable]]                "), text.index("[environment]")
    Path("b.toml").write_text(text[:begin] + text[end:], encoding="utf-8")
    said = desk.rig("run", sequence(mode="stepped"), "--bench", "b.toml", "--simulate")
    refused(said, "no-cable-to-source")
    told(said.err, "laser_trigger.T0 to voltage_source.trigger_link_1", "gated")
    said = desk.rig("check", sequence(mode="auto"), "--bench", "b.toml")
    assert said.code == 0
    assert "gated: stepped blocks are not possible: stepped blocks need a cable" in " ".join(said.out.replace("│", " ").split())


@pytest.mark.parametrize("command", ["show", "export", "recover"])
@pytest.mark.parametrize("kind", ["missing", "not HDF5", "folder"])
def test_run_files_that_are_none(desk: Desk, command: str, kind: str) -> None:
    path = Path("x.h5")
    if kind == "not HDF5":
        path.write_text("not a run", encoding="utf-8")
    if kind == "folder":
        path.mkdir()
    said = desk.rig(command, str(path), *(("--csv",) if command == "export" else ()))
    assert said.code == 2
    told(said.err, "x.h5", "nothing was touched")


def test_a_run_file_of_which_half_was_copied(desk: Desk) -> None:
    made = desk.rig("run", sequence(), "--quiet", "--json").json["file"]
    Path("x.h5").write_bytes(Path(made).read_bytes()[:200_000])
    for command in ("show", "recover"):
        said = desk.rig(command, "x.h5")
        assert said.code == 2
        told(said.err, "x.h5", "damaged", "nothing was touched")


@pytest.mark.fault("Y3")
def test_shots_faster_than_the_spectrometer_makes_frames(desk: Desk) -> None:
    """At 5 kHz every second trigger would be missed, however short the exposure."""
    name = bench(rate_hz="5000.0", integration_time_s="100e-6")
    refused(desk.rig("run", sequence(), "--bench", name, "--simulate"), "spectrometer-too-slow")
