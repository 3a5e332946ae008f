"""Objects of any shape, read without raising: what is not of the type that its API asks for counts as not given.

The API server keeps objects that are older than the definitions it checks by, and definitions leave fields open. Positions are kept, so
that a finding or a patch names the right place.
"""

from collections.abc import Mapping
from typing import Any

_NOTHING: Mapping[str, Any] = {}
_MAPPING = (dict, Mapping)
"""What clients bring is a dict, and to ask for that first takes a tenth of the time."""


def mapping(value: Any) -> Mapping[str, Any]:
    """An object; an empty one for anything else."""
    return value if isinstance(value, _MAPPING) else _NOTHING


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """A list of objects, an empty one in the place of anything else."""
    return [item if isinstance(item, _MAPPING) else _NOTHING for item in value] if isinstance(value, list) else []


def texts(value: Any) -> list[str]:
    """The strings of a list."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def text(value: Any) -> str:
    """A string; "" for anything else."""
    return value if isinstance(value, str) else ""


def whole(value: Any) -> int | None:
    """A whole number; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def ports_of(service: Any) -> list[int]:
    """The port numbers of a Service."""
    found = (whole(port.get("port")) for port in mappings(mapping(mapping(service).get("spec")).get("ports")))
    return [number for number in found if number is not None]
