"""`rig report`: one page and figures from a run file, whatever state the run is in."""

import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from desk import Desk
from test_command_line import sequence

from rig.commands_report import write_report
from rig.measurements.live_view import LiveView
from rig.measurements.on_off import OnOff
from rig.run_state import Progress
from rig.runfile import open_run
from rig.sequence import Sequence
from rig.session import Session

HOSTILE = "<script>x()</script>\"'& $\\bad{ \u05e9\u05dc\u05d5\u05dd"
SHORT = OnOff(on_time_s=0.1, off_time_s=0.1, cycles=2, settle_s=0.01)


class Words(HTMLParser):
    """The text of a page, and its tags."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.tags = "", set[str]()
        self.feed(path.read_text("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_finished_run_has_its_page_and_figures_where_they_are_asked_for(desk: Desk) -> None:
    assert desk.rig("run", sequence(on_s=0.1, off_s=0.1), "--quiet").code == 0
    [run] = Path("runs").glob("*.h5")
    before = run.read_bytes()
    said = desk.rig("report", str(run), "--out", "there/it/is")
    assert (said.code, said.err) == (0, "")
    files = [f"{run.stem}_{end}" for end in ("course.png", "course.svg", "report.html", "switching.png", "switching.svg")]
    assert names(Path("there/it/is")) == files
    assert "SIMULATED" in said.out
    assert all(name in said.out for name in files)
    assert run.read_bytes() == before
    page = Words(Path("there/it/is") / f"{run.stem}_report.html")
    for word in ("SIMULATED short", "C19", "535 ± 1 nm", "pass", "50", "[pump]", 'measurement = "on_off"', "KEITHLEY"):
        assert word in page.text
    assert "did not end as planned" not in page.text


def test_without_a_folder_it_is_beside_the_run(desk: Desk) -> None:
    desk.rig("run", sequence(), "--quiet")
    [run] = Path("runs").glob("*.h5")
    assert desk.rig("report", str(run)).code == 0
    assert run.with_name(f"{run.stem}_report.html").exists()


def test_a_fault_is_told_with_its_values_and_has_a_page(desk: Desk) -> None:
    assert desk.rig("run", sequence(on_s=0.5, off_s=0.5), "--quiet", "--fault", "breakdown@3s").code == 4
    [run] = Path("runs").glob("*.h5")
    assert desk.rig("report", str(run)).code == 0
    page = Words(run.with_name(f"{run.stem}_report.html"))
    assert "This run did not end as planned. fault: The source reached its current limit" in page.text
    assert "breakdown@3s" in page.text
    assert "at the current limit" in page.text
    assert "INCOMPLETE: the run ended as fault." in page.text


def test_hostile_names_get_through_the_whole_way_as_text(tmp_path: Path) -> None:
    result = Session(out=tmp_path, seed=1).run(Sequence.of(SHORT, title=HOSTILE, sample=HOSTILE))
    page, figures = write_report(open_run(result.path), tmp_path / "out")
    assert "script" not in Words(page).tags
    assert Words(page).text.count("<script>x()</script>\"'& $\\bad{ שלום") >= 3
    assert {path.name.rpartition("_")[2] for path in figures} == {"switching.png", "switching.svg", "course.png", "course.svg"}


def test_a_run_that_is_being_written_and_one_that_was_cut_off_have_a_page(tmp_path: Path) -> None:
    live: list[Words] = []
    cut = tmp_path / "cut.h5"

    def look(progress: Progress) -> None:
        if progress.shots_done >= 250 and not live:
            path = Path(progress.file) if progress.file else next(tmp_path.glob("*on_off*.h5"))
            live.append(Words(write_report(open_run(path), tmp_path / "live")[0]))
            shutil.copyfile(path, cut)

    Session(out=tmp_path, seed=1).run(Sequence.of(SHORT, title="t", sample="s"), observe=look)
    assert "This run had not ended when the report was made" in live[0].text
    assert "PRELIMINARY" in live[0].text
    assert "planned shots have no frame yet" in live[0].text
    left = Words(write_report(open_run(cut), tmp_path / "cut")[0]).text
    assert "The program that wrote this run ended before the run did" in left
    assert "the file does not say that everything was switched off" in left
    assert "INCOMPLETE: the run was cut off." in left


def test_a_live_view_has_a_page_without_conclusions(tmp_path: Path) -> None:
    result = Session(out=tmp_path, seed=1).run(Sequence.of(LiveView(duration_s=0.3), mode="gated"))
    page, figures = write_report(open_run(result.path), tmp_path)
    assert "nothing is concluded from it" in Words(page).text
    assert "C19" not in Words(page).text
    assert [path.suffix for path in figures] == [".png", ".svg"]


@pytest.mark.parametrize("content", [None, b"no run at all"])
def test_what_is_no_run_is_refused_and_nothing_is_written(desk: Desk, content: bytes | None) -> None:
    if content is not None:
        Path("x.h5").write_bytes(content)
    said = desk.rig("report", "x.h5", "--out", "out")
    assert said.code == 2
    assert "x.h5" in said.err
    assert not Path("out").exists()


def test_a_folder_that_cannot_be_written_is_told(desk: Desk) -> None:
    desk.rig("run", sequence(), "--quiet")
    [run] = Path("runs").glob("*.h5")
    Path("taken").write_text("a file")
    said = desk.rig("report", str(run), "--out", "taken")
    assert said.code == 2
    assert "The report cannot be written" in said.err
    assert "--out" in said.err
