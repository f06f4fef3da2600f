"""The README says what is true: its Python runs, its commands exist, its pictures are there."""

import re
from pathlib import Path

import pytest

from rig.cli import parser

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = re.search(r"<!-- docs: python -->\n```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    assert len([line for line in code[1].splitlines() if line.strip()]) <= 6
    exec(compile(code[1], "README.md", "exec"), {})  # noqa: S102 - our own file
    assert (tmp_path / "figure_2.png").stat().st_size > 10_000
    assert "'assigned': 2000" in capsys.readouterr().out


def test_every_command_of_the_readme_exists() -> None:
    named = set(re.findall(r"`rig ([a-z-]+)", README))
    known = set(parser()._subparsers._group_actions[0].choices)  # type: ignore[union-attr]
    assert named
    assert named <= known


def test_every_file_that_the_readme_names_exists() -> None:
    pictures = re.findall(r"\]\((docs/[^)]+)\)", README)
    assert pictures
    for path in pictures + re.findall(r"`((?:rig|docs|drivers|examples|tests)/[\w/.]*)`", README):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("name", ["job", "tests"])
def test_ci_finds_its_commands(name: str) -> None:
    block = re.search(rf"<!-- ci: {name} -->\n```sh\n(.+)\n```", README)
    assert block is not None
    assert "\n" not in block[1]
