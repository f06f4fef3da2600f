"""What PyMeasure asks of every driver, and what this project asks on top."""

import ast
import re
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from pymeasure.instruments import Channel, Instrument
from pymeasure.instruments.common_base import CommonBase, DynamicProperty

import drivers
from drivers import registry
from drivers.errors import ConfigError, InstrumentError

ENTRIES = {entry.model: entry for entry in registry.entries()}
CLASSES = [entry.build for entry in ENTRIES.values() if entry.build is not None]
WITH_OFF = [cls for cls in CLASSES if getattr(cls, "off_message", b"")]
VERBS = ("Control ", "Get ", "Measure ", "Set ")
# a value, a word in quotes, a type or a unit in brackets
SAYS_WHAT = re.compile(r"\([^)]*(\b(bool|str|list|V|A|s|Hz|us|nm|counts|spectra|bits?)\b|\d)[^)]*\)")


def own_properties(cls):
    """(name, property) of what a driver and its channels define themselves."""
    classes = [cls, *(pair[0] for pair in CommonBase.get_channel_pairs(cls))]
    for one in dict.fromkeys(classes):
        inherited = set(dir(Instrument)) | set(dir(Channel))
        for name in dir(one):
            member = getattr(one, name)
            if isinstance(member, property | DynamicProperty) and not name.startswith("_"):
                if name not in inherited or name in vars(one):
                    yield f"{one.__name__}.{name}", member


PROPERTIES = [pytest.param(member, id=name) for cls in CLASSES for name, member in own_properties(cls)]


def errors_of_instruments():
    """Every place in a driver that makes an error of an instrument: file and line, keywords given."""
    families = {cls.__name__ for cls in (InstrumentError, *InstrumentError.__subclasses__())}
    for path in sorted(Path(drivers.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in families:
                yield f"{path.name}:{node.lineno}", {keyword.arg for keyword in node.keywords}


def test_every_error_of_an_instrument_says_where_and_what_to_do_next():
    found = dict(errors_of_instruments())
    assert len(found) > 50
    assert not {place for place, told in found.items() if not {"where", "next_step"} <= told}


def test_the_three_models_of_the_bench_are_found():
    assert {"keithley-2400", "srs-dg645", "ocean-fx"} <= set(ENTRIES)
    assert len(PROPERTIES) > 60


@pytest.mark.parametrize("cls", CLASSES)
class TestConstruction:
    def test_takes_an_adapter_and_says_nothing(self, cls):
        adapter = MagicMock()
        assert cls(adapter).adapter is adapter
        assert adapter.mock_calls == []

    def test_takes_a_name(self, cls):
        assert cls(MagicMock(), name="Name_Test").name == "Name_Test"

    def test_hands_settings_to_the_adapter(self, cls):
        expected = "'kwarg_test' is not a valid attribute for type SerialInstrument"
        with pytest.raises(ValueError, match=expected):
            cls("ASRL2::INSTR", visa_library="@sim", kwarg_test=True)


@pytest.mark.parametrize("cls", WITH_OFF)
def test_shutting_down_sends_off_and_nothing_else(cls):
    adapter = MagicMock()
    cls(adapter).shutdown()
    assert adapter.mock_calls[0].args == (cls.off_message,)
    assert len(adapter.mock_calls) == 1


@pytest.mark.parametrize("member", PROPERTIES)
class TestProperties:
    def test_begins_with_a_verb(self, member):
        assert member.__doc__.startswith(VERBS)

    def test_says_the_type_unit_or_legal_values(self, member):
        assert SAYS_WHAT.search(member.__doc__), member.__doc__

    def test_the_verb_tells_whether_it_can_be_set(self, member):
        settable = member.fset is not None
        if settable and not isinstance(member, DynamicProperty):
            # PyMeasure's measurement() has a setter that refuses
            with pytest.raises((LookupError, ValueError, TypeError, AttributeError)) as refused:
                member.fset(MagicMock(id="AB"), object())
            settable = refused.type is not LookupError
        assert settable == member.__doc__.startswith(("Control ", "Set "))


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="no driver for keithley-9999") as refused:
        registry.find("keithley-9999")
    assert "keithley-2400" in str(refused.value)
    assert [reason.code for reason in refused.value.reasons] == ["unknown-model"]


def test_a_model_in_the_wrong_role_is_refused():
    with pytest.raises(ConfigError, match="srs-dg645 as voltage source"):
        registry.find("srs-dg645", "voltage_source")
    assert registry.find("srs-dg645", "laser_trigger") is ENTRIES["srs-dg645"]


@pytest.mark.parametrize(
    ("idn", "model"),
    [
        ("KEITHLEY INSTRUMENTS INC.,MODEL 2400,4102311,C30   Mar 17 2006 09:29:29/A02  /K/J", "keithley-2400"),
        ("KEITHLEY INSTRUMENTS INC., MODEL 2400, 4102311, C30", "keithley-2400"),
        ("Keithley Instruments Inc.,Model 2400,4102311,C30", "keithley-2400"),
        ("Stanford Research Systems,DG645,s/n004025,ver1.00.00E", "srs-dg645"),
        ("Ocean Insight,OceanFX,FX-0231,0x0104", "ocean-fx"),
        ("KEITHLEY INSTRUMENTS INC.,MODEL 2410,1,C30", None),
        ("KEITHLEY INSTRUMENTS INC.,MODEL 24001,1,C30", None),
        ("Stanford Research Systems,DG535,1,1", None),
        ("", None),
    ],
)
def test_identities_find_their_driver(idn, model):
    found = registry.match_idn(idn)
    assert (found.model if found else None) == model
