"""The page of a campaign: the table of claims, the figures, the runs it was made from. One HTML file that loads nothing."""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element

from rig.paper.assumed import entered, of_simulated_films
from rig.paper.claim import Judged
from rig.paper.claims import CLAIMS
from rig.paper.collected import Collected, state_of
from rig.report.element import Content, document, element, foreign, pairs, table
from rig.report.page import POLICY, Picture
from rig.report.page_style import STYLE
from rig.report.summary import value_text
from rig.runfile import RunHeader

SECTIONS = {
    "A": "A. Device, scenario, protocol",
    "B": "B. Figure 2: switching of amplified emission",
    "D": "D. Figure 4: weak-pump light, controls",
}
PROGRAMS = ("ito-rig", "git", "python", "numpy", "scipy")
TONES = {"pass": "good", "fail": "bad", "undecided": "open", "not measured": "open"}
ORDER = ("fail", "pass", "undecided", "not measured")  # a claim is the first of these that one of its rules is
COLUMNS = ("claim", "paper", "quantity", "this run", "rule", "verdict", "run", "note")
RUN_COLUMNS = ("measurement", "file", "began", "ended", "sample", "device", "bench", "program")
SOURCE = "Qin et al., Nano Lett. 2021, 21, 7831-7838"
NOTE = (
    "Numbers after ± are half the 95 % interval. Where the paper gives no number, the rule is ours and the note says so. "
    "A claim with several rules has a line for each."
)


def paper_page(judged: Sequence[Judged], found: Collected, pictures: Sequence[Picture], undrawn: Sequence[str]) -> str:
    """Write the page; `undrawn` says which figures could not be drawn and why."""
    title = "The paper's claims, measured"
    badge: list[Content] = [element("span", "SIMULATED", class_="simulated"), " "] if found.simulated else []
    body = [
        element("h1", *badge, title),
        element("p", f"Claims of {SOURCE}: device and protocol (A), Figure 2 (B), Figure 4 (D).", class_="soft"),
    ]
    if found.simulated:
        body.append(element("p", "No real instrument took part. Every number below is SIMULATED.", class_="notice"))
    body += [element("p", summary(judged)), *(element("p", foreign(why), class_="notice") for why in found.troubles)]
    for section, heading in SECTIONS.items():
        ids = {claim.id for claim in CLAIMS if claim.section == section}
        body += [element("h2", heading), _table([one for one in judged if one.claim in ids], found)]
    body += [element("p", NOTE, class_="soft"), element("h2", "Figures"), *_figures(pictures, undrawn, found)]
    body += [element("h2", "Assumed"), *_assumed(found), element("h2", "Runs"), *_runs(found)]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{'SIMULATED: ' if found.simulated else ''}{title}"),
        element("style", STYLE.replace("62rem", "80rem")),
    )
    return document(head, element("body", element("main", *body)))


def summary(judged: Sequence[Judged]) -> str:
    """Count the claims by their verdicts; one of several rules that fails fails its claim."""
    outcomes: dict[str, str] = {}
    for claim in dict.fromkeys(one.claim for one in judged):
        mine = {one.outcome for one in judged if one.claim == claim}
        outcomes[claim] = next(word for word in ORDER if word in mine)
    counts = {word: sum(outcome == word for outcome in outcomes.values()) for word in TONES}
    failing = [claim for claim, outcome in outcomes.items() if outcome == "fail"]
    named = f" ({', '.join(failing)})" if failing else ""
    parts = [one.claim for one in judged if one.outcome in ("undecided", "not measured") and outcomes[one.claim] == "pass"]
    in_part = f" ({len(set(parts))} of them in part only: {', '.join(dict.fromkeys(parts))})" if parts else ""
    undecided = f"{counts['undecided']} undecided, " if counts["undecided"] else ""
    return (
        f"Of {len(outcomes)} claims {counts['pass']} pass{in_part}, {counts['fail']} fail{named}, "
        f"{undecided}{counts['not measured']} are not measured."
    )


def _table(judged: Sequence[Judged], found: Collected) -> Element:
    measurements = {record.run.path.name: name for name, record in found.records.items()}
    claims = {claim.id: claim for claim in CLAIMS}
    rows: list[tuple[Content, ...]] = []
    previous = ""
    for one in judged:
        claim, repeated = claims[one.claim], one.claim == previous
        previous = one.claim
        rows.append(
            (
                "" if repeated else f"{claim.id} {claim.statement}",
                "" if repeated else claim.paper,
                one.quantity,
                value_text(one.value),
                one.rule,
                element("span", one.outcome, class_=TONES[one.outcome]),
                measurements.get(one.run, ""),
                foreign(one.note),
            )
        )
    return table(COLUMNS, rows)


def _figures(pictures: Sequence[Picture], undrawn: Sequence[str], found: Collected) -> list[Element]:
    made: list[Element] = []
    for picture in pictures:
        caption = f"{'SIMULATED. ' if found.simulated else ''}{picture.caption} Files: {', '.join(picture.files)}."
        source = f"data:image/png;base64,{base64.b64encode(picture.png).decode('ascii')}"
        made.append(element("figure", element("img", src=source, alt=picture.caption), element("figcaption", caption)))
    return made + [element("p", foreign(why), class_="notice") for why in undrawn]


def _assumed(found: Collected) -> list[Element]:
    made = [element("p", "Entered in the bench file, not measured by these runs:"), pairs(_isolated(entered(found.records)))]
    films = of_simulated_films(found.records)
    if films:
        made.append(element("details", element("summary", "What the SIMULATED films are made with"), pairs(_isolated(films))))
    return made if found.records else [element("p", "nothing: there are no runs")]


def _isolated(rows: Iterable[tuple[str, str]]) -> list[tuple[str, Content]]:
    return [(name, foreign(words)) for name, words in rows]


def _runs(found: Collected) -> list[Element]:
    if not found.records:
        return [element("p", "none")]
    rows: list[tuple[Content, ...]] = []
    for name, record in found.records.items():
        header = record.run.header
        device = f"{header.device or 'real'}{f', seed {header.seed}' if header.seed is not None else ''}"
        bench = _digits(header.bench_toml)
        words = (record.run.path.name, header.wall_start_label, state_of(record), header.sample, device, bench)
        rows.append((name, *map(foreign, words), foreign(_program(header))))
    made = [table(RUN_COLUMNS, rows, "Bench: the first digits of the SHA-256 of the bench file, whose text is below.")]
    if found.passed_over:
        made.append(element("p", "Not judged, as another run speaks for the measurement:"))
        made.append(element("ul", *(element("li", foreign(one)) for one in found.passed_over)))
    texts = dict.fromkeys(record.run.header.bench_toml for record in found.records.values())
    return made + [element("details", element("summary", f"Bench {_digits(one)}"), element("pre", one)) for one in texts]


def _digits(bench_toml: str) -> str:
    return hashlib.sha256(bench_toml.encode()).hexdigest()[:12]


def _program(header: RunHeader) -> str:
    versions = json.loads(header.versions_json or "{}")
    return ", ".join(f"{name} {versions[name]}" for name in PROGRAMS if versions.get(name)) or "not recorded"
