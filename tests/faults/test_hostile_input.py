"""Files and values that somebody gets wrong, or makes to do harm: refused with their place, in bounded time and memory.

What is refused is refused before anything is opened; what is only a name is kept as it is and leads nowhere.
"""

import json
import os
import re
import sys
import time
import tracemalloc
import types
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

import h5py
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).parent.parent / "run"))
from other_benches import nothing_in_the_beam, other_bench

from drivers.errors import ConfigError, Reason, RefusedError
from rig.bench import Bench, default_bench, parse_bench, read_bench
from rig.config_file import MAX_BYTES, ConfigModel, Where, dotted, parse_document, render_toml
from rig.measurements.on_off import OnOff
from rig.runfile import open_run
from rig.sequence import Block, BlockMode, Sequence, State, Stretch, parse_sequence, read_sequence
from rig.session import MEASUREMENTS, Session

LONG = bool(os.environ.get("RIG_LONG"))
HEADING = 'title = "t"\nsample = "s"\nmeasurement = "on_off"\n'
READ_S = 5.0  # measured: 0.6 s at most, on an idle computer
READ_MB = 200.0
PLAN_S = 15.0  # measured: 2.7 s for the 20 000 blocks that a sequence can have at most
PLAN_MB = 100.0


def cost_of(act: Callable[[], object]) -> tuple[float, float]:
    """Seconds and megabytes that something takes."""
    begin = time.perf_counter()
    tracemalloc.start()
    try:
        act()
        return time.perf_counter() - begin, tracemalloc.get_traced_memory()[1] * 1e-6
    finally:
        tracemalloc.stop()


def peak_mb() -> float:
    """The most memory that this process ever had; unlike the other it costs nothing."""
    if sys.platform == "win32":
        return 0.0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << (20 if sys.platform == "darwin" else 10))


# --- C1: files --------------------------------------------------------------------------------------------------------


def filled(unit: str, head: str = "") -> str:
    """As many times a text as the largest file takes."""
    return head + unit * ((MAX_BYTES - len(head)) // len(unit))


def rows(make: Callable[[int], str], head: str = "") -> str:
    """As many different lines as the largest file takes."""
    lines, size, number = [head], len(head), 0
    while (size := size + len(line := make(number))) <= MAX_BYTES:
        lines.append(line)
        number += 1
    return "".join(lines)


HOSTILE_FILES: dict[str, Callable[[], str]] = {
    "as many keys as there is room for": lambda: rows(lambda n: f"{n:x}=1\n"),
    "as many keys that resemble one of ours": lambda: rows(lambda n: f"cycles{n:x}=1\n", HEADING + "[parameters]\n"),
    "as many tables": lambda: rows(lambda n: f"[k{n:x}]\n"),
    "as many cables": lambda: filled("[[cable]]\n"),
    "as many empty tables in a list": lambda: filled("{},\n", "cable = [") + "]",
    "long dotted keys": lambda: rows(lambda n: f"x{n}.{'a.' * 1900}k=1\n"),
    "long dotted tables": lambda: rows(lambda n: f"[x{n}.{'a.' * 1900}k]\n"),
    "the longest dotted keys that are read": lambda: rows(lambda n: f"x{n}.{'a.' * 14}k=1\n"),
    "nested lists": lambda: rows(lambda n: f"k{n}={'[' * 400}{']' * 400}\n"),
    "nested tables": lambda: rows(lambda n: f"k{n}={'{a=' * 300}1{'}' * 300}\n"),
    "lists too deep": lambda: f"a = {'[' * 1900}{']' * 1900}",
    "long whole numbers": lambda: rows(lambda n: f"k{n}={'9' * 3900}\n"),
    "long hexadecimal numbers": lambda: rows(lambda n: f"k{n}=0x{'f' * 3900}\n"),
    "quotes that never close": lambda: HEADING + '"' * 3999,
    "escapes": lambda: rows(lambda n: f'k{n}="\\u0041"\n'),
    "NULs": lambda: filled("\0"),
    "NULs in a text": lambda: HEADING + 'x = "\0"',
    "NULs in a key": lambda: HEADING + '"\\u0000" = 1',
    "half of a surrogate pair": lambda: HEADING + 'x = "\\ud800"',
    "the same key again and again": lambda: filled("x=1979-05-27T07:32:00.999999999+00:00\n"),
}


@pytest.mark.fault("C1")
@pytest.mark.parametrize("kind", HOSTILE_FILES)
def test_a_hostile_file_is_refused_in_bounded_time_and_memory(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(HOSTILE_FILES[kind](), "utf-8")
    assert path.stat().st_size <= MAX_BYTES

    def refused(read: Callable[[], object]) -> None:
        with pytest.raises(ConfigError) as caught:
            read()
        assert 1 <= len(caught.value.reasons) <= 1001
        assert all(len(reason.message) < 400 for reason in caught.value.reasons)
        assert caught.value.hardware_state == "nothing was touched"

    for read in (lambda: read_bench(path), lambda: read_sequence(path, MEASUREMENTS)):
        begin, before_mb = time.perf_counter(), peak_mb()
        refused(read)
        assert time.perf_counter() - begin < READ_S
        assert peak_mb() - before_mb < READ_MB


@pytest.mark.fault("C1")
@pytest.mark.skipif(sys.platform == "win32", reason="a file with holes")
def test_of_a_file_of_100_mb_no_more_is_read_than_of_the_largest_that_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    with path.open("wb") as file:
        file.truncate(100_000_000)

    def refused() -> None:
        with pytest.raises(ConfigError) as caught:
            read_bench(path)
        assert [reason.code for reason in caught.value.reasons] == ["file-too-large"]

    took_s, took_mb = cost_of(refused)
    assert took_s < 0.5
    assert took_mb < 1.0


@pytest.mark.fault("C1")
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le", "latin-1", "cp1252"])
def test_a_file_in_another_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(HEADING.replace('"s"', '"Grün"').encode(encoding))
    with pytest.raises(ConfigError) as caught:
        read_sequence(path, MEASUREMENTS)
    assert caught.value.reasons[0].code in ("not-utf8", "toml-malformed")


# --- C3: numbers ------------------------------------------------------------------------------------------------------

MARK = "a place for a number"
NOT_FINITE = {"nan", "inf", "-inf", "1e400", "-1e400"}
FAR_OUT = {"1e300", "-1e300"}
BEYOND = f"1{'0' * 400}"  # no float is so large
WRONG_TYPE = {"true", '"3"', "[]", "{}", "1979-05-27"}
Place = tuple[str | int, ...]


def parts(annotation: Any) -> tuple[Any, ...]:
    """What an annotation may stand for, without notes and None."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return parts(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return tuple(part for one in get_args(annotation) for part in parts(one) if part is not type(None))
    return (annotation,)


def numbers(model: type[BaseModel], at: Place = ()) -> Iterator[tuple[Place, type]]:
    """Every place in a file that takes a number, with its type."""
    for name, field in model.model_fields.items():
        place = (*at, field.alias or name)
        for part in parts(field.annotation):
            if part in (int, float):
                yield place, part
            elif get_origin(part) is tuple:
                for index, inner in enumerate(one for one in get_args(part) if one is not Ellipsis):
                    [kind] = parts(inner)
                    if kind in (int, float):
                        yield (*place, index), kind
                    elif isinstance(kind, type) and issubclass(kind, BaseModel):
                        yield from numbers(kind, (*place, index))
            elif isinstance(part, type) and issubclass(part, BaseModel):
                yield from numbers(part, place)


def with_mark(values: Any, place: Place) -> Any:
    """The same values with the mark at a place."""
    if not place:
        return MARK
    key, *rest = place
    if isinstance(key, int):
        there = values or [{} if rest else 1.0] * 2
        return [with_mark(one, tuple(rest)) if number == key else one for number, one in enumerate(there)]
    return {**values, key: with_mark(values.get(key, {}), tuple(rest))}


ANY_FINITE = {"monitor[0].between[0]", "monitor[0].between[1]"}  # in the unit of what is watched
BENCH_VALUES: dict[str, Any] = json.loads(default_bench().model_dump_json(by_alias=True, exclude_none=True))
SEQUENCE_VALUES = {"title": "", "sample": "", "measurement": "on_off", "parameters": OnOff().model_dump()}
PLACES = [
    *((Bench, place, kind) for place, kind in numbers(Bench)),
    *((OnOff, ("parameters", *place), kind) for place, kind in numbers(OnOff)),
]


def reasons_of(model: type[BaseModel], place: Place, literal: str) -> list[Reason]:
    """Why a file is refused in which a number is written as `literal`."""
    text = render_toml(with_mark(BENCH_VALUES if model is Bench else SEQUENCE_VALUES, place))
    assert text.count(f'"{MARK}"') == 1
    document = parse_document(text.replace(f'"{MARK}"', literal), Path("x.toml"))
    with pytest.raises(ConfigError) as caught:
        parse_bench(document) if model is Bench else parse_sequence(document, MEASUREMENTS)
    return list(caught.value.reasons)


def test_there_are_numbers_to_be_got_wrong() -> None:
    names = {dotted(place) for _, place, _ in PLACES}
    assert {"voltage_source.limits.voltage_v[1]", "laser.clock_ppm", "parameters.cycles", "safety.guard_silence_s"} <= names
    assert len(names) >= 35


@pytest.mark.fault("C3")
@pytest.mark.parametrize("place", PLACES, ids=[dotted(place) for _, place, _ in PLACES])
def test_a_number_is_finite_plausible_and_nothing_else(place: tuple[type[BaseModel], Place, type]) -> None:
    model, where, kind = place
    for literal in (*NOT_FINITE, *FAR_OUT, *WRONG_TYPE, "-0.0", "1.5", BEYOND):
        if (literal == "1.5" and kind is float) or (literal in FAR_OUT and dotted(where) in ANY_FINITE):
            continue
        told = {dotted(where), dotted(where[:-1])} if literal == "-0.0" and isinstance(where[-1], int) else {dotted(where)}
        # (of a range both ends at once)
        codes = {one.code for one in reasons_of(model, where, literal) if one.where.rpartition(" ")[2] in told}
        assert codes <= expected(literal, kind), literal
        assert codes, literal


def expected(literal: str, kind: type) -> set[str]:
    if kind is int:
        return {"out-of-range"} if literal == BEYOND else {"wrong-type"}
    if literal in WRONG_TYPE:
        return {"wrong-type"}
    if literal in NOT_FINITE or literal == BEYOND:
        return {"not-finite"}
    return {"negative-zero", "out-of-range"} if literal == "-0.0" else {"out-of-range"}


SIGNED = {
    "voltage_source.limits.voltage_v[0]",
    "voltage_source.limits.voltage_v[1]",
    "environment.temperature_c",
    "parameters.voltage_on_v",
    "parameters.voltage_off_v",
}


@pytest.mark.fault("C3")
@pytest.mark.parametrize("place", PLACES, ids=[dotted(place) for _, place, _ in PLACES])
def test_only_voltages_and_temperatures_may_be_negative(place: tuple[type[BaseModel], Place, type]) -> None:
    model, where, _ = place
    if dotted(where) in SIGNED | ANY_FINITE:
        return
    codes = {reason.code for reason in reasons_of(model, where, "-1") if reason.where.endswith(f" {dotted(where)}")}
    assert codes == {"out-of-range"}


# --- C4: names --------------------------------------------------------------------------------------------------------

NAMES = ["../x", "/etc/x", "..\\x", "C:\\x", "CON", "con.txt", "a:b", "x.", "x ", "...", "", "\u202egnp.exe", "x" * 300, "a\nb"]


@pytest.mark.fault("C4")
@given(name=st.text(st.characters(codec="utf-8"), max_size=300))
@example(name="a\x00b")
@settings(max_examples=200 if LONG else 6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_name_is_kept_as_it_is_and_leads_nowhere(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    stored_as_it_is(tmp_path_factory.mktemp("names"), name)


@pytest.mark.fault("C4")
def test_names_that_mean_something_elsewhere_lead_nowhere(tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        stored_as_it_is(tmp_path / f"n{number}", name)


def stored_as_it_is(parent: Path, name: str) -> None:
    """Run a sequence with that name of sample and title: text, file and its folder."""
    folder = parent / "data"
    text = render_toml({**SEQUENCE_VALUES, "title": name, "sample": name, "parameters": SHORTEST.model_dump()})
    sequence = parse_sequence(parse_document(text, Path("s.toml")), MEASUREMENTS)
    path = Session(other_bench(nothing_in_the_beam), simulate=True, out=folder).run(sequence).path
    assert path.resolve().parent == folder.resolve()
    assert [one.name for one in parent.iterdir()] == ["data"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,120}\.h5", path.name)
    header = open_run(path).header
    assert (header.sample, header.title) == (name, name)
    with h5py.File(path, "r") as file:
        assert file["entry"].attrs["default"] is not None


SHORTEST = OnOff(cycles=1, on_time_s=0.01, off_time_s=0.01, settle_s=0.005)


@pytest.mark.fault("C4")
def test_a_name_that_no_file_can_hold_is_refused_or_kept(tmp_path: Path) -> None:
    """Half of a surrogate pair, from Python: no UTF-8 text has it."""
    with pytest.raises((ValueError, RefusedError)):
        Session(out=tmp_path).run(Sequence.of(SHORTEST, sample="\ud800"))
    assert not list(tmp_path.glob("*"))


# --- C5: sizes --------------------------------------------------------------------------------------------------------


@pytest.mark.fault("C5")
@given(
    cycles=st.integers(1, 10_000),
    on_ms=st.integers(1, 10**6),
    off_ms=st.integers(1, 10**6),
    mode=st.sampled_from(["gated", "stepped", "auto"]),
)
@example(cycles=10_000, on_ms=10**6, off_ms=10**6, mode="auto")
@example(cycles=10_000, on_ms=5000, off_ms=5000, mode="gated")
@settings(max_examples=100 if LONG else 3, deadline=None)
def test_whatever_its_size_a_run_is_planned_or_refused_in_bounded_time_and_memory(
    cycles: int, on_ms: int, off_ms: int, mode: Any
) -> None:
    session = Session()
    wanted = OnOff(cycles=cycles, on_time_s=on_ms * 1e-3, off_time_s=off_ms * 1e-3, settle_s=0.0)

    def attempt() -> None:
        try:
            assert session.plan(Sequence.of(wanted, mode=mode)).planned_shots <= 10**8
        except RefusedError as refused:
            if cycles * (on_ms + off_ms) > 10**8:
                assert [reason.code for reason in refused.reasons] == ["run-too-long"]  # noqa: PT017 - both outcomes are right
                assert re.search(r"shots, [\d.e+]+ TB; one run may have 1e\+08", refused.reasons[0].message)  # noqa: PT017

    begin, before_mb = time.perf_counter(), peak_mb()
    attempt()
    assert time.perf_counter() - begin < PLAN_S
    assert peak_mb() - before_mb < PLAN_MB


class Endless(ConfigModel):
    """A measurement that says how much it will do, and does more."""

    name: ClassVar[str] = "endless"
    declared: int = 50
    per_block: int = 20

    def check(self, rate_hz: float, where: Where = dotted) -> list[Reason]:
        return []

    def max_shots(self, rate_hz: float) -> int:
        return self.declared

    def blocks(self, rate_hz: float, mode: BlockMode) -> Generator[Block, object, None]:
        for index in range(10**12):
            yield Block(index, (Stretch(State.OFF, 0.0, self.per_block, 0),), 0.0, 40.0)


@pytest.mark.fault("C5")
@pytest.mark.parametrize(
    ("values", "code", "words"),
    [
        ({}, "blocks-not-as-declared", "50 shots were declared, block 2 goes beyond them"),
        ({"per_block": 60}, "blocks-not-as-declared", "block 0 goes beyond them"),
        ({"per_block": 0}, "blocks-not-as-declared", "block 0 has no shots"),
        ({"declared": 10**12}, "run-too-long", "1e+12 shots, 4.38e+03 TB"),
    ],
)
def test_a_measurement_that_never_ends_is_refused_at_once(values: dict[str, int], code: str, words: str) -> None:
    def attempt() -> None:
        with pytest.raises(RefusedError) as caught:
            Session().plan(Sequence.of(Endless(**values), mode="gated"))
        [reason] = [one for one in caught.value.reasons if one.code == code]
        assert words in reason.message

    took_s, took_mb = cost_of(attempt)
    assert took_s < 1.0
    assert took_mb < 5.0
