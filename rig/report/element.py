"""Pieces of an HTML page that cannot be broken by what is put into them: every text is escaped when the page is written."""

import unicodedata
from collections.abc import Iterable
from typing import TypeAlias
from xml.etree.ElementTree import Element, tostring

Content: TypeAlias = "str | Element"

# Controls that make the text around them read otherwise than it is stored. Source: Unicode Standard Annex 9, section 2
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_KEPT = frozenset("\n\t")
_HIDDEN = frozenset(("Cc", "Cs", "Co", "Cn"))


def printable(text: str) -> str:
    """Return `text` with every character that cannot be shown, or that would reorder its neighbours, named: <U+202E>."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"<U+{ord(one):04X}>" if _unfit(one) else one for one in text.replace("\r\n", "\n"))


def _unfit(one: str) -> bool:
    return one not in _KEPT and (one in _BIDI or unicodedata.category(one) in _HIDDEN)


def element(tag: str, *content: Content, **attributes: str) -> Element:
    """Make an element; names of attributes may end in _ (class_), texts are shown as they are, markup in them included."""
    made = Element(tag, {name.rstrip("_").replace("_", "-"): printable(value) for name, value in attributes.items()})
    for one in content:
        if isinstance(one, Element):
            made.append(one)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + printable(one)
        else:
            made.text = (made.text or "") + printable(one)
    return made


def foreign(text: str) -> Element:
    """Isolate a text that somebody typed, so that its writing direction stays its own."""
    return element("bdi", text)


def table(columns: Iterable[str], rows: Iterable[Iterable[Content]], caption: str = "") -> Element:
    """Make a table with a header row, inside a box that scrolls when it is too wide."""
    made = element("table")
    if caption:
        made.append(element("caption", caption))
    made.append(element("thead", element("tr", *(element("th", name, scope="col") for name in columns))))
    made.append(element("tbody", *(element("tr", *(element("td", cell) for cell in row)) for row in rows)))
    return element("div", made, class_="wide", tabindex="0")


def pairs(rows: Iterable[tuple[str, Content]]) -> Element:
    """Make a table of names and what belongs to them."""
    lines = (element("tr", element("th", name, scope="row"), element("td", value)) for name, value in rows)
    return element("div", element("table", element("tbody", *lines), class_="pairs"), class_="wide", tabindex="0")


def document(head: Element, body: Element) -> str:
    """Write a whole page."""
    page = element("html", head, body, lang="en")
    return "<!DOCTYPE html>\n" + tostring(page, encoding="unicode", method="html") + "\n"
