"""What a report says and how: every text escaped, nothing loaded, nothing out of the ordinary left out."""

import importlib.resources
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from runfile_case import HEADER, PIXELS

from rig.commands_report import write_report
from rig.fluence_calibration import FluenceCalibration, Point
from rig.report.course_figure import course_figure
from rig.report.deviations import Deviation, deviations
from rig.report.element import document, element, printable
from rig.report.findings import Drawing, Findings, Mark, ResultTable
from rig.report.methods_text import methods_text
from rig.report.page import Picture, report_page
from rig.report.picture_files import write_pictures
from rig.report.run_facts import RunFacts, read_facts
from rig.runfile import FRAME_DTYPE, Flag, RunFile, RunHeader, open_run

BENCH = importlib.resources.files("rig").joinpath("default_bench.toml").read_text("utf-8")
PROGRAMS = json.dumps([{"fluence_uj_cm2": "40.0"}])
GOOD = replace(
    HEADER,
    bench_toml=BENCH,
    programs_json=PROGRAMS,
    assumed_json="{}",
    environment_json='{"temperature_c": 21.5, "humidity_percent": 33.0, "operator": "A. B."}',
    versions_json='{"ito-rig": "0.1.0", "git": "abc1234"}',
)
LEDGER = {"planned": 20, "assigned": 20, "unassigned": 0, "lost": 0, "received": 21, "lead_in": 1, "surplus": 0}
SAFE = "safe: voltage source: confirmed by read-back (output off)"
HOSTILE = (
    "<script>alert('x')</script> \"quoted\" & 'single' </style><img src=x onerror=y> "
    "$\\frac{ \u05e9\u05dc\u05d5\u05dd \u202eevil\x00"
)
NOTHING = Findings("No results: a test.")


class Page(HTMLParser):
    """A page as a browser takes it apart: elements with attributes, and the text outside of styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._style = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._style = False

    def handle_data(self, data: str) -> None:
        self.words += "" if self._style else data

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}


def make(folder: Path, header: RunHeader) -> RunFile:
    return RunFile.create(folder, "run", header, frame_capacity=30, reading_capacity=10, energy_capacity=10)


def facts_of(
    folder: Path,
    header: RunHeader = GOOD,
    *,
    events: Sequence[str] = ("done: all blocks done", SAFE),
    ledger: dict[str, int] = LEDGER,
    flags: dict[int, Flag] | None = None,
    energies_uj: Sequence[float] = (0.4, 0.41, 0.4, 0.39),
    state: str = "done",
    guard: str = "",
) -> RunFacts:
    """Write a run of 21 frames, 10 OFF and 10 ON after a lead-in, and read what a report needs of it."""
    run = make(folder, header)
    rows = np.zeros(21, FRAME_DTYPE)
    number = np.arange(21)
    rows["device_time_us"], rows["shot"] = 5_000_000 + 1000 * number, number - 1
    rows["state"] = np.where(number == 0, -1, number > 10)
    rows["stretch"] = number > 10
    rows["planned_voltage_v"] = np.where(number > 10, 20.0, 0.0)
    rows["measured_voltage_v"], rows["measured_current_a"] = rows["planned_voltage_v"] + 0.0025, 3e-4
    rows["band_520"], rows["band_535"], rows["pulse_energy_uj"] = 100.0, 50.0, np.nan
    rows["flags"][0] = int(Flag.LEAD_IN)
    for place, flag in (flags or {}).items():
        rows["flags"][place] = int(flag)
    run.append_frames(rows, np.zeros((21, PIXELS), np.uint16))
    run.append_readings([10, 20], [0.0, 20.0], [1e-9, 3e-4], [False, False], 0, [0, 1])
    if energies_uj:
        run.append_energies([1] * len(energies_uj), list(energies_uj), 0, 0)
    run.set_dark(np.full(PIXELS, 1500.0), np.full(PIXELS, 9.0), np.arange(PIXELS) == 3, 100)
    for place, text in enumerate(events):
        run.log(1_000_000_000 * (place + 1), text)
    run.set_ledger(ledger)
    path = run.path
    run.finish(state, wall_end_label="2024-05-01T12:01:00+02:00")
    if guard:
        path.with_suffix(".guard.json").write_text(guard, "utf-8")
    return read_facts(open_run(path))


def page_of(facts: RunFacts, findings: Any = NOTHING, pictures: Sequence[Picture] = ()) -> Page:
    return Page(report_page(facts, findings, pictures))


def kinds(found: Sequence[Deviation]) -> list[str]:
    return [one.kind for one in found]


# --- pieces


def test_markup_in_a_text_is_text() -> None:
    page = Page(document(element("head"), element("body", HOSTILE, element("p", HOSTILE, title=HOSTILE))))
    assert page.tags == {"html", "head", "body", "p"}
    assert page.words.count("<script>alert('x')</script> \"quoted\" & 'single' </style><img src=x onerror=y>") == 2
    assert dict(page.elements)["p"]["title"] == printable(HOSTILE)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb", "a<U+202E>b"),
        ("a\x00\x1bb", "a<U+0000><U+001B>b"),
        ("\ud800", "<U+D800>"),
        ("two\r\nlines\tand µ Δ שלום", "two\nlines\tand µ Δ שלום"),
    ],
)
def test_what_cannot_be_shown_or_reorders_its_neighbours_is_named(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()


# --- the page


def test_hostile_texts_of_a_run_stay_texts(tmp_path: Path) -> None:
    bad = {"operator": HOSTILE, "note": HOSTILE}
    header = replace(
        GOOD,
        title=HOSTILE,
        sample=HOSTILE,
        run_id=HOSTILE,
        device=HOSTILE,
        sequence_toml=f"# {HOSTILE}\n",
        environment_json=json.dumps(bad),
        identities_json=json.dumps({HOSTILE: HOSTILE}),
        versions_json=json.dumps({HOSTILE: HOSTILE}),
        simulation_json=json.dumps({"faults": [HOSTILE]}),
    )
    facts = facts_of(tmp_path, header, events=(f"stopped: {HOSTILE}", SAFE))
    table = ResultTable(HOSTILE, (HOSTILE,), ((HOSTILE,), (Mark(HOSTILE, "bad"),)), HOSTILE)
    findings = Findings(HOSTILE, (table,), (), HOSTILE)
    page = page_of(facts, findings, [Picture(b"png", HOSTILE, (HOSTILE,))])
    assert "script" not in page.tags
    assert page.elements.count(("style", {})) == 1
    assert [tag for tag, _ in page.elements].count("img") == 1
    assert not [name for _, given in page.elements for name in given if name.startswith("on")]
    assert page.words.count("<script>alert('x')</script>") > 15
    assert "\u202e" not in page.words
    assert "<U+202E>" in page.words


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    text = report_page(facts_of(tmp_path), NOTHING, [Picture(b"\x89PNG", "a figure")])
    links = [given[name] for _, given in Page(text).elements for name in ("src", "href", "srcset", "data") if name in given]
    assert links
    assert all(link and link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert not {"script", "link", "iframe", "object", "form", "base"} & Page(text).tags
    assert not re.search(r"@import|url\(|https?:", text.partition("</style>")[0])
    policy = [given for tag, given in Page(text).elements if tag == "meta" and "http-equiv" in given]
    assert str(policy[0]["content"]).startswith("default-src 'none'")


def test_every_link_leads_to_a_section(tmp_path: Path) -> None:
    page = page_of(facts_of(tmp_path))
    targets = {given["id"] for tag, given in page.elements if tag == "section"}
    assert {str(given["href"])[1:] for tag, given in page.elements if tag == "a"} == targets


@pytest.mark.parametrize("simulated", [True, False])
def test_only_a_simulated_run_is_called_so(tmp_path: Path, simulated: bool) -> None:
    facts = facts_of(tmp_path, replace(GOOD, simulated=simulated))
    text = report_page(facts, NOTHING, [Picture(b"png", "A figure.")])
    assert ("SIMULATED: ASE at 40" in text) == simulated
    assert ('<h1><span class="simulated">SIMULATED</span>' in text) == simulated
    assert ("<figcaption>SIMULATED. A figure." in text) == simulated
    assert methods_text(facts, NOTHING).startswith("SIMULATED") == simulated


def test_the_page_says_the_conditions_with_units(tmp_path: Path) -> None:
    words = page_of(facts_of(tmp_path)).words
    for said in ("CsPbBr3-07", "A. B.", "21.5 °C", "33.0 %", "40 µJ/cm²", "-20 to 20 V, 1 mA", "20.0025 V"):
        assert said in words
    assert "40.00 ± 0.41 (standard error) ± 2.2 (systematic" in words  # 0.4 uJ on 0.01 cm2; 5 % and 2 %


def test_texts_of_sequence_and_bench_are_inside_as_they_are(tmp_path: Path) -> None:
    words = page_of(facts_of(tmp_path)).words
    assert BENCH in words
    assert GOOD.sequence_toml in words


def test_results_are_shown_as_the_measurement_gives_them(tmp_path: Path) -> None:
    table = ResultTable("Claims", ("claim", "verdict"), (("C99", Mark("pass", "good")), ("C98", Mark("FAIL", "bad"))), "a note")
    text = report_page(facts_of(tmp_path), Findings("It did.", (table,)), [])
    assert '<span class="good">pass</span>' in text
    assert '<span class="bad">FAIL</span>' in text
    assert "a note" in text


# --- deviations


def test_a_run_as_planned_has_no_deviation(tmp_path: Path) -> None:
    routine = (
        "guard: process 7; off when the run's process ends",
        "dark: 100 frames, mean 1482.6 counts, 3 hot pixels",
        "block 0: 40 uJ/cm2, plate at 30.026 deg",
        "done: all blocks done",
        SAFE,
    )
    assert deviations(facts_of(tmp_path, events=routine, flags={1: Flag.SETTLING, 11: Flag.SETTLING})) == []


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("something that nobody has thought of", "event", "something that nobody has thought of"),
        ('tripped: the film is warm {"value": 31.5, "limit": 30, "note": null}', "trip", "(value 31.5, limit 30)"),
        ("tripped: torn {", "trip", "torn {"),
        ("stopped: by hand", "stop", "by hand"),
        ("dark: 90 frames, mean 1482.6 counts, 3 hot pixels, 10 more showed light and were not used", "event", "10 more"),
        ("safe: voltage source: off was sent, read-back failed (no answer)", "going safe", "read-back failed"),
        ("block 0: its frames stay unassigned: the source executed 3 of 5 levels", "event", "3 of 5 levels"),
    ],
)
def test_what_is_not_routine_in_the_log_is_a_deviation(tmp_path: Path, text: str, kind: str, said: str) -> None:
    [found] = deviations(facts_of(tmp_path, events=("done: all blocks done", SAFE, text)))
    assert found.kind == kind
    assert found.text.startswith("at 2.000 s: ")
    assert said in found.text


def test_lost_and_flagged_shots_are_told_with_their_numbers(tmp_path: Path) -> None:
    ledger = {**LEDGER, "assigned": 17, "unassigned": 1, "lost": 2}
    found = deviations(facts_of(tmp_path, ledger=ledger, flags={4: Flag.MISSED_PULSE, 9: Flag.UNASSIGNED}))
    assert {one.kind: one.text for one in found} == {
        "lost shots": "2 of 20 planned shots without a frame: not fired any more, or lost",
        "unassigned shots": "1 of 20 planned shots whose place in the plan is not certain (block 0)",
        "flagged frames": "1 flagged missed pulse: shots 3",
    }


def test_a_fluence_further_from_the_plan_than_its_uncertainty_is_a_deviation(tmp_path: Path) -> None:
    [found] = deviations(facts_of(tmp_path, energies_uj=(0.5, 0.5, 0.5)))
    assert found.kind == "fluence"
    assert "50 measured, 40 asked for" in found.text


def test_what_the_guard_did_is_told(tmp_path: Path) -> None:
    deed = json.dumps({"guard": [{"reason": "The run hung", "text": "off was sent"}]})
    [found] = deviations(facts_of(tmp_path, guard=deed))
    assert (found.kind, found.text) == ("guard", "The run hung. off was sent")


def test_a_run_that_did_not_say_it_is_off_is_told(tmp_path: Path) -> None:
    assert kinds(deviations(facts_of(tmp_path, events=("fault: it broke",), state="fault"))) == ["ending", "hardware", "fault"]


def test_a_changed_program_and_missing_conditions_are_told(tmp_path: Path) -> None:
    header = replace(GOOD, versions_json='{"git": "abc-dirty"}', environment_json='{"operator": "me"}')
    found = deviations(facts_of(tmp_path, header))
    assert kinds(found) == ["record", "program"]
    assert found[0].text == "not recorded: temperature_c, humidity_percent"


@pytest.mark.parametrize(("day", "old"), [("2024-04-20", False), ("2024-01-01", True), ("2024-06-01", True)])
def test_an_old_calibration_or_one_of_the_future_is_told(tmp_path: Path, day: str, old: bool) -> None:
    points = tuple(Point(angle_deg=a, energy_uj=1.0, standard_error_uj=0.1, residual_uj=0.0, pulses=5) for a in (0, 10, 20, 30))
    calibration = FluenceCalibration.model_validate(
        {
            "format": "ito-rig fluence calibration 1",
            "simulated": True,
            "calibrated_at": f"{day}T12:00:00+02:00",
            "bench": "b",
            "energy_open_uj": 1.6,
            "zero_deg": 0.0,
            "extinction": 0.001,
            "covariance": ((1.0, 0.0, 0.0),) * 3,
            "chi2": 1.0,
            "degrees_of_freedom": 1,
            "probability": 0.5,
            "spot_area_cm2": 0.01,
            "pickoff_ratio": 1.0,
            "wavelength_nm": 400.0,
            "rate_hz": 1000.0,
            "identities": {},
            "serials": {},
            "point": points,
        }
    )
    facts = facts_of(tmp_path, replace(GOOD, calibration_toml=calibration.text()))
    assert facts.unread == ()
    assert (kinds(deviations(facts)) == ["calibration"]) == old
    assert f"SIMULATED calibration {day}" in page_of(facts).words


def test_what_cannot_be_read_is_told_and_the_rest_is_there(tmp_path: Path) -> None:
    header = replace(HEADER, bench_toml="= broken", programs_json="{", identities_json="[1]", sequence_toml="=")
    facts = facts_of(tmp_path, header)
    assert facts.bench is None
    assert kinds(deviations(facts)).count("record") >= 4
    assert "CsPbBr3-07" in page_of(facts).words


def test_a_first_frame_is_never_data_whatever_its_flags(tmp_path: Path) -> None:
    assert deviations(facts_of(tmp_path, flags={0: Flag.LEAD_IN | Flag.COMPLIANCE})) == []


def test_a_run_that_cannot_be_reduced_has_a_page_that_says_why(tmp_path: Path) -> None:
    facts_of(tmp_path, replace(GOOD, bench_toml="= broken"))
    page, figures = write_report(open_run(tmp_path / "run.h5"), tmp_path)
    assert "No results: run.h5" in Page(page.read_text("utf-8")).words
    assert [path.name for path in figures] == ["run_course.png", "run_course.svg"]


# --- methods


def test_the_paragraph_takes_its_numbers_from_the_file(tmp_path: Path) -> None:
    text = methods_text(facts_of(tmp_path), Findings("", methods="The result was 42."))
    for said in ("1000 Hz", "400 nm", "10 shots OFF and 10 shots ON", "20.003 V at 20 V", "100 dark frames", "1 hot pixel"):
        assert said in text
    assert "which used 20 frames" in text
    assert "The result was 42." in text
    assert "abc1234" in text


@pytest.mark.parametrize("timing", ["{}", '{"pulses": "x", "period_ns": 1}', '{"pulses": 0}', "{", '{"light": 3}'])
def test_a_timing_that_is_none_harms_no_paragraph(tmp_path: Path, timing: str) -> None:
    text = methods_text(facts_of(tmp_path, replace(GOOD, timing_json=timing)), NOTHING)
    assert "one per laser pulse with an exposure of 500 µs" in text


def test_frames_of_several_pulses_are_called_so(tmp_path: Path) -> None:
    timing = json.dumps({"light": "pulses", "pulses": 10, "period_ns": 10_000_000, "open_ns": 0, "close_ns": 9_500_000})
    text = methods_text(facts_of(tmp_path, replace(GOOD, timing_json=timing)), NOTHING)
    assert "one for every 10 laser pulses with an exposure of 9.5 ms" in text


def test_the_paragraph_of_a_run_without_meter_or_frames_invents_nothing(tmp_path: Path) -> None:
    bench = re.sub(r"(?s)\[energy_meter\].*?(?=\[\[cable)", "", BENCH, count=1)
    run = make(tmp_path, replace(GOOD, bench_toml=bench, environment_json="{}", programs_json="[]"))
    run.finish("stopped")
    facts = read_facts(open_run(run.path))
    text = methods_text(facts, NOTHING)
    assert "The fluence was not measured" in text
    assert "No frame was recorded." in text
    assert "INCOMPLETE: the run ended as stopped." in text
    assert "400 nm" not in text
    assert "nominal" not in text
    assert page_of(facts).tags


# --- figures


def words_of(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.texts)


def test_hostile_names_are_drawn_as_they_are_and_give_sound_files(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, replace(GOOD, sample="\x00\u202eevil", run_id="--><script>$\\bad{$"))
    drawings = [Drawing("course", "", lambda: course_figure(facts))]
    [picture], undrawn, paths = write_pictures(drawings, tmp_path, "run")
    assert undrawn == []
    assert "U+202E" in paths[1].read_text("utf-8")
    assert picture.files == ("run_course.png", "run_course.svg")
    assert paths[0].read_bytes() == picture.png
    assert picture.png.startswith(b"\x89PNG")
    root = ElementTree.parse(paths[1]).getroot()  # noqa: S314 - our own file, just written
    assert not [one for one in root.iter() if one.tag.endswith("script")]


@pytest.mark.parametrize("simulated", [True, False])
def test_the_figure_of_a_simulated_run_says_so(tmp_path: Path, simulated: bool) -> None:
    facts = facts_of(tmp_path, replace(GOOD, simulated=simulated))
    assert ("SIMULATED" in words_of(course_figure(facts))) == simulated


def test_flagged_frames_are_marked_and_the_plan_is_drawn(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, flags={3: Flag.SATURATED, 5: Flag.SETTLING, 8: Flag.MISSED_PULSE})
    light, voltage, _ = course_figure(facts).axes
    assert "flagged (2)" in light.get_legend_handles_labels()[1]
    plan = voltage.lines[0]
    assert np.asarray(plan.get_xdata()).tolist() == pytest.approx([0.0, 0.010, 0.011, 0.020])
    assert np.asarray(plan.get_ydata()).tolist() == [0.0, 0.0, 20.0, 20.0]


def test_the_same_run_gives_the_same_files(tmp_path: Path) -> None:
    facts = facts_of(tmp_path)
    drawings = [Drawing("course", "", lambda: course_figure(facts))]
    first = [path.read_bytes() for path in write_pictures(drawings, tmp_path, "a")[2]]
    assert [path.read_bytes() for path in write_pictures(drawings, tmp_path, "b")[2]] == first


def test_a_figure_that_cannot_be_drawn_is_told_and_the_others_are_drawn(tmp_path: Path) -> None:
    def fail() -> Figure:
        raise ValueError("there is one frame only")

    facts = facts_of(tmp_path)
    drawings = [Drawing("bad", "", fail), Drawing("course", "", lambda: course_figure(facts))]
    pictures, undrawn, _ = write_pictures(drawings, tmp_path, "run")
    assert len(pictures) == 1
    assert undrawn == ["The figure 'bad' could not be drawn: there is one frame only"]
    assert undrawn[0] in Page(report_page(facts, NOTHING, pictures, undrawn)).words
