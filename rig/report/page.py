"""The report of a run as one HTML page that loads nothing: everything is inside, every text of the run escaped."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np

from rig.report.conditions import conditions
from rig.report.deviations import deviations, log_lines
from rig.report.element import Content, document, element, foreign, pairs, table
from rig.report.findings import Cell, Findings, Mark, ResultTable
from rig.report.methods_text import methods_text
from rig.report.page_style import STYLE
from rig.report.run_facts import RunFacts
from rig.runfile import Flag

BLOCKS_SHOWN = 200
# The page names nobody it would load from, and forbids it besides.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
LEDGER_WORDS = {
    "planned": "shots of data that were planned",
    "assigned": "shots with a frame whose place in the plan is certain",
    "unassigned": "shots with a frame whose place is not certain; used nowhere",
    "lost": "shots without a frame: not fired (yet, or any more), or lost",
    "received": "frames that arrived, lead-in included",
    "lead_in": "first frames after arming, never data",
    "surplus": "frames that no shot accounts for",
}
FLAG_WORDS = {
    Flag.SETTLING: "soon after a voltage edge, by plan",
    Flag.SATURATED: "a pixel at its end",
    Flag.MISSED_PULSE: "no light came",
    Flag.COMPLIANCE: "the source limited its current",
    Flag.UNASSIGNED: "place in the plan not certain",
    Flag.LEAD_IN: "never data",
    Flag.SURPLUS: "no shot accounts for it",
    Flag.MONITOR: "a monitor noted something",
    Flag.DARK_SHIFT: "the dark level had moved",
    Flag.REFERENCE: "the pump was kept from the film, by plan",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure that has been drawn: PNG bytes; `caption` says what is to be seen, `files` the names beside the page."""

    png: bytes
    caption: str
    files: tuple[str, ...] = ()


def report_page(facts: RunFacts, findings: Findings, pictures: Sequence[Picture], undrawn: Sequence[str] = ()) -> str:
    """Write the page; `undrawn` says which figures could not be drawn and why."""
    sections = (
        ("conditions", "Conditions", [pairs((name, foreign(text)) for name, text in conditions(facts))]),
        ("figures", "Figures", _figures(facts, pictures, undrawn)),
        ("results", "Results", _results(findings)),
        ("deviations", "Deviations from the plan", _deviations(facts)),
        ("ledger", "Ledger of shots", _ledger(facts)),
        ("methods", "For a methods section", [element("p", foreign(methods_text(facts, findings)))]),
        ("instruments", "Instruments and versions", _provenance(facts)),
        ("log", "Event log", _log(facts)),
        ("texts", "Sequence and bench", _texts(facts)),
    )
    links = element("nav", *(element("a", title, href=f"#{name}") for name, title, _ in sections), aria_label="sections")
    parts = [element("section", element("h2", title), *content, id=name) for name, title, content in sections]
    main = element("main", *_heading(facts, findings), links, *parts)
    return document(_head(facts), element("body", main))


def _head(facts: RunFacts) -> Element:
    simulated = "SIMULATED: " if facts.header.simulated else ""
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{simulated}{facts.header.title or facts.header.run_id}"),
        element("style", STYLE),
    )


def _heading(facts: RunFacts, findings: Findings) -> list[Element]:
    header = facts.header
    title: list[Content] = [element("span", "SIMULATED", class_="simulated"), " "] if header.simulated else []
    made = [
        element("h1", *title, foreign(header.title or header.run_id)),
        element("p", "run ", foreign(header.run_id), ", file ", foreign(facts.file), class_="soft"),
    ]
    if header.simulated:
        made.append(element("p", "No real instrument took part in this run. Everything below is SIMULATED.", class_="notice"))
    if state := _state(facts):
        made.append(element("p", foreign(state), class_="notice"))
    made.append(element("p", foreign(findings.sentence)))
    return made


def _state(facts: RunFacts) -> str:
    if facts.live:
        return (
            f"This run had not ended when the report was made (state: {facts.state}). Numbers are those of the frames so far."
        )
    if facts.cut_off:
        return "The program that wrote this run ended before the run did. All that it had recorded is here."
    return "" if facts.complete else f"This run did not end as planned. {facts.cause() or f'State: {facts.state}'}"


def _figures(facts: RunFacts, pictures: Sequence[Picture], undrawn: Sequence[str]) -> list[Element]:
    made: list[Element] = []
    for picture in pictures:
        caption = f"{'SIMULATED. ' if facts.header.simulated else ''}{picture.caption}"
        names = f" Files: {', '.join(picture.files)}." if picture.files else ""
        source = f"data:image/png;base64,{base64.b64encode(picture.png).decode('ascii')}"
        made.append(element("figure", element("img", src=source, alt=caption), element("figcaption", caption, foreign(names))))
    made += [element("p", foreign(why), class_="notice") for why in undrawn]
    return made or [element("p", "There is nothing to draw.")]


# --- results


def _results(findings: Findings) -> list[Element]:
    made = [element("p", foreign(findings.sentence))]
    for one in findings.tables:
        made += [element("h3", one.title), _result_table(one)]
        if one.note:
            made.append(element("p", one.note, class_="soft"))
    return made


def _result_table(given: ResultTable) -> Element:
    return table(given.columns, ((_cell(cell) for cell in row) for row in given.rows))


def _cell(cell: Cell) -> Content:
    return element("span", cell.text, class_=cell.tone) if isinstance(cell, Mark) else foreign(cell)


def _deviations(facts: RunFacts) -> list[Element]:
    found = deviations(facts)
    if not found:
        return [element("p", "None: every planned shot was recorded, nothing was flagged but the frames after an edge.")]
    rows = ((element("span", one.kind, class_="bad" if one.serious else "open"), foreign(one.text)) for one in found)
    return [table(("what", "in words"), rows)]


# --- ledger


def _ledger(facts: RunFacts) -> list[Element]:
    ledger = facts.ledger
    counts = [(name, str(ledger[name]), words) for name, words in LEDGER_WORDS.items() if name in ledger]
    made = [table(("shots", "number", "meaning"), counts)] if counts else [element("p", "No reconciliation yet.")]
    if {"planned", "assigned", "unassigned", "lost"} <= ledger.keys():
        total = ledger["assigned"] + ledger["unassigned"] + ledger["lost"]
        holds = "holds" if total == ledger["planned"] else "DOES NOT HOLD"
        made.append(element("p", f"assigned + unassigned + lost = {total} = planned: {holds}.", class_="soft"))
    flags = facts.rows["flags"]
    lines = [
        ((flag.name or "").lower().replace("_", " "), str(int(np.count_nonzero(flags & int(flag)))), words)
        for flag, words in FLAG_WORDS.items()
    ]
    made += [element("h3", f"Flags of the {len(flags)} frames in the file"), table(("flag", "frames", "meaning"), lines)]
    return [*made, element("h3", "Blocks"), *_blocks(facts)]


def _blocks(facts: RunFacts) -> list[Element]:
    numbers, first, counts = np.unique(facts.rows["block"], return_index=True, return_counts=True)
    fluences = {one.block: one for one in facts.fluence.blocks} if facts.fluence is not None else {}
    rows: list[tuple[str, ...]] = []
    for number, start, count in list(zip(numbers, first, counts, strict=True))[:BLOCKS_SHOWN]:
        here = facts.rows[facts.rows["block"] == number]
        usable_count = int(np.count_nonzero(here["flags"] == 0))
        fluence = fluences.get(int(number))
        asked = "-" if fluence is None or fluence.asked_uj_cm2 is None else f"{fluence.asked_uj_cm2:g}"
        measured = "-" if fluence is None or fluence.measured_uj_cm2 is None else f"{fluence.measured_uj_cm2:.4g}"
        voltages = ", ".join(f"{v:g}" for v in np.unique(here["planned_voltage_v"][np.isfinite(here["planned_voltage_v"])]))
        t_s = (int(facts.rows["device_time_us"][start]) - int(facts.rows["device_time_us"][0])) * 1e-6
        rows.append((str(number), f"{t_s:.3f}", voltages, str(count), str(usable_count), asked, measured))
    columns = ("block", "from (s)", "voltages (V)", "frames", "used", "asked (µJ/cm²)", "measured (µJ/cm²)")
    made = [table(columns, rows)]
    if len(numbers) > BLOCKS_SHOWN:
        made.append(element("p", f"{len(numbers) - BLOCKS_SHOWN} more blocks are in the file.", class_="soft"))
    return made


# --- where it comes from


def _provenance(facts: RunFacts) -> list[Element]:
    made = [
        element("h3", "Instruments, as they named themselves"),
        _mapping(facts.identities),
        element("h3", "Programs"),
        _mapping(facts.versions),
    ]
    if facts.header.simulated:
        seed = {} if facts.header.seed is None else {"seed": facts.header.seed}
        made += [element("h3", "SIMULATED bench"), _mapping({**seed, **facts.simulation})]
    if facts.assumed:
        names = ((name, foreign(_plain(value))) for name, value in facts.assumed.items())
        made += [element("h3", "Assumed of the simulated film" if facts.header.simulated else "Assumed"), pairs(names)]
    return made


def _mapping(values: Mapping[str, object]) -> Element:
    if not values:
        return element("p", "not recorded")
    return pairs((name.replace("_", " "), foreign(_plain(value))) for name, value in values.items())


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_plain(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "none"
    return "not recorded" if value in (None, "") else str(value)


def _log(facts: RunFacts) -> list[Element]:
    rows = ((f"{t_s:.3f}", foreign(text)) for t_s, text in log_lines(facts))
    return [table(("time (s)", "event"), rows, "Times since the first entry, on the computer's clock.")]


def _texts(facts: RunFacts) -> list[Element]:
    header = facts.header
    named: Iterable[tuple[str, str]] = (
        ("Sequence", header.sequence_toml),
        ("Bench", header.bench_toml),
        ("Fluence calibration", header.calibration_toml),
    )
    return [part for name, text in named if text for part in (element("h3", name), element("pre", text))]
