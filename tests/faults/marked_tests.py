"""Which tests carry the marker of which fault, read from the code: no test has to run for it.

Understood are `@pytest.mark.fault("W1", ...)` on functions and classes, `pytest.param(..., marks=pytest.mark.fault("W1"))` in a
decorator or in a list of the module that a decorator names, `pytestmark = ...` of a module, class or state machine. A list may
be made of a table in which the rows stand: `pytest.param(a, marks=pytest.mark.fault(*rows)) for rows, a in ((["W1"], 1), ...)`.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROW = re.compile(r"[A-Z]\d{1,2}")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class MarkedTest:
    """A test of a file, `file::name` or `file::Class::name`, and a row that it carries."""

    test: str
    row: str


def marked_tests(folder: Path) -> list[MarkedTest]:
    """Every (test, row) of all test files below a folder, in order; ValueError for a marker whose rows are nowhere written."""
    found: list[MarkedTest] = []
    for path in sorted(folder.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        found += (
            MarkedTest(f"{path.relative_to(folder).as_posix()}::{name}", row)
            for name, rows in _Module(ast.parse(text), path).tests()
            for row in rows
        )
    return found


class _Module:
    """One file's tests."""

    def __init__(self, tree: ast.Module, path: Path) -> None:
        self.tree = tree
        self.path = path
        self.values = {name: node.value for node in tree.body for name in _assigned(node) if _value(node)}  # type: ignore[union-attr]

    def tests(self) -> Iterator[tuple[str, list[str]]]:
        yield from self._tests_of(self.tree.body, "", self._pytestmark(self.tree.body))

    def _tests_of(self, body: list[ast.stmt], within: str, rows: list[str]) -> Iterator[tuple[str, list[str]]]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield within + node.name, _once([*rows, *self._decorated(node)])
            elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                inside = [*rows, *self._decorated(node), *self._pytestmark(node.body)]
                yield from self._tests_of(node.body, f"{within}{node.name}::", inside)
            elif isinstance(node, ast.Assign) and _is_machine(node):  # TestRuns = Machine.TestCase
                [name] = _assigned(node)
                yield f"{within}{name}", _once([*rows, *self._set_on(name)])

    def _decorated(self, node: Definition) -> list[str]:
        return [row for decorator in node.decorator_list for row in self._rows(decorator)]

    def _pytestmark(self, body: Iterable[ast.stmt]) -> list[str]:
        return [row for node in body if "pytestmark" in _assigned(node) for row in self._rows(node)]

    def _set_on(self, name: str) -> list[str]:
        """Rows of `name.pytestmark = ...`."""
        return [
            row
            for node in self.tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == f"{name}.pytestmark"
            for row in self._rows(node.value)
        ]

    def _rows(self, node: ast.AST, seen: frozenset[str] = frozenset()) -> list[str]:
        """Rows of all markers below a node and below what it names."""
        rows: list[str] = []
        for part in ast.walk(node):
            if isinstance(part, ast.Call) and ast.unparse(part.func).endswith("mark.fault"):
                rows += self._texts(part.args, node)
            elif isinstance(part, ast.Name) and part.id in self.values and part.id not in seen:
                rows += self._rows(self.values[part.id], seen | {part.id})
        return rows

    def _texts(self, arguments: list[ast.expr], around: ast.AST) -> list[str]:
        """The rows that a marker names; where they come from a table, every word of that table that looks like a row."""
        if all(isinstance(argument, ast.Constant) for argument in arguments):
            return [str(ast.literal_eval(argument)) for argument in arguments]
        words = (part.value for part in ast.walk(around) if isinstance(part, ast.Constant) and isinstance(part.value, str))
        if found := [word for word in words if ROW.fullmatch(word)]:
            return found
        raise ValueError(f"{self.path.name}:{arguments[0].lineno}: which rows are {ast.unparse(arguments[0])}?")


def _value(node: ast.stmt) -> ast.expr | None:
    return node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None


def _assigned(node: ast.stmt) -> list[str]:
    """The names that a statement gives a value to."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _is_machine(node: ast.Assign) -> bool:
    return any(name.startswith("Test") for name in _assigned(node)) and ast.unparse(node.value).endswith(".TestCase")


def _once(rows: list[str]) -> list[str]:
    return list(dict.fromkeys(rows))
