"""docs/paper.md: the claims, costs and conditions of the code, and a campaign in which nothing fails."""

import re
import runpy
from pathlib import Path

from rig.paper.claims import CLAIMS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = runpy.run_path(str(ROOT / "docs" / "make_paper_page.py"))
PAGE = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
LINES = [
    tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]) for line in PAGE.splitlines() if line.startswith("| ")
]
STORED = [line for line in LINES if re.fullmatch(r"C\d\d", line[0])]


def test_the_page_lists_every_claim_in_order_in_the_words_of_the_code() -> None:
    stored = list(dict.fromkeys(line[:3] for line in STORED))
    assert stored == [tuple(one.replace("<", r"\<") for one in (claim.id, claim.statement, claim.paper)) for claim in CLAIMS]


def test_text_and_costs_are_those_of_the_code() -> None:
    until = PAGE.index("| C01 |")
    assert PAGE[:until] == SCRIPT["page"](())[:until]


def test_nothing_fails_and_what_is_open_says_why() -> None:
    at = SCRIPT["COLUMNS"].index("verdict")
    assert {line[at] for line in STORED} == {"pass", "not measured"}
    assert all(line[at + 1] for line in STORED if line[at] == "not measured")
