"""What there is: resources that a VISA library finds, who answers there, and the models that are known.

Nobody is asked anything unless the user says so: a question can disturb an instrument that belongs to somebody.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyvisa import ResourceManager

from drivers.registry import entries, match_idn
from rig.bench import Bench
from rig.simulation import simulated_models

ASK_TIMEOUT_MS = 500
ANSWER_BYTES = 256


@dataclass(frozen=True, slots=True)
class Found:
    """One resource.

    Parameters
    ----------
    role    what the bench file says stands there, "" for nothing
    listed  the VISA library has found it by itself (it finds no raw sockets)
    answer  to *IDN?; "" when nobody was asked or nobody answered
    model   the model with that answer, as in a bench file
    """

    resource: str
    role: str = ""
    listed: bool = True
    answer: str = ""
    model: str = ""


def resources(manager: ResourceManager, bench: Bench | None, *, ask: bool) -> tuple[list[Found], list[str]]:
    """Return the resources there are, those of the bench file too, and what the VISA library has warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)  # a socket that pyvisa-py's search forgets is no news to a user
        listed = list(manager.list_resources("?*"))
    warned = list(dict.fromkeys(str(warning.message).strip() for warning in caught))
    roles = {} if bench is None else {getattr(bench, role).resource: role for role in bench.roles()}
    known = {name.upper(): role for name, role in roles.items()}
    found = [Found(name, known.get(name.upper(), "").replace("_", " ")) for name in listed]
    missing = [name for name in roles if name.upper() not in {one.upper() for one in listed}]
    found += [Found(name, roles[name].replace("_", " "), listed=False) for name in missing]
    return [_asked(manager, one) if ask else one for one in found], warned


def _asked(manager: ResourceManager, one: Found) -> Found:
    try:
        resource: Any = manager.open_resource(one.resource, open_timeout=2 * ASK_TIMEOUT_MS)
    except Exception as error:  # noqa: BLE001 - pyvisa-py reports a failed connection as a bare Exception
        return Found(one.resource, one.role, one.listed, f"cannot be opened: {error}")
    try:
        resource.timeout = ASK_TIMEOUT_MS
        resource.write_raw(b"*IDN?\n")
        resource.read_termination = "\n"
        answer = bytes(resource.read_bytes(ANSWER_BYTES, break_on_termchar=True))
    except Exception as error:  # noqa: BLE001 - as above; a binary instrument has no answer to this question
        return Found(one.resource, one.role, one.listed, f"no answer ({type(error).__name__})")
    finally:
        resource.close()
    text = answer.decode("ascii", "replace").strip()
    entry = match_idn(text)
    return Found(one.resource, one.role, one.listed, text, entry.model if entry else "")


def models() -> dict[str, dict[str, Mapping[str, bool]]]:
    """Known models: role -> model -> {"driver", "simulated"}."""
    simulated = simulated_models()
    driven: dict[str, list[str]] = {}
    for entry in entries():
        driven.setdefault(entry.role, []).append(entry.model)
    return {
        role: {
            model: {"driver": model in driven.get(role, []), "simulated": model in simulated.get(role, [])}
            for model in sorted({*driven.get(role, []), *simulated.get(role, [])})
        }
        for role in sorted({*driven, *simulated})
    }
