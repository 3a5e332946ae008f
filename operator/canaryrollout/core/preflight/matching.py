"""Whether one match of an HTTP route takes every request that another one takes. In doubt it does not."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from canaryrollout.core.shapes import mapping, mappings, texts

Match = Mapping[str, Any]

_MAPS = ("headers", "queryParams", "sourceLabels")
_STRINGS = ("uri", "scheme", "method", "authority")
_SCALARS = ("port", "sourceNamespace")
_KNOWN = frozenset((*_MAPS, *_STRINGS, *_SCALARS, "withoutHeaders", "gateways", "name", "ignoreUriCase", "statPrefix"))


def matches_of(route: Mapping[str, Any]) -> list[Match]:
    """The matches of a route; one that takes everything where it has none."""
    return mappings(route.get("match")) or [{}]


def covered_by(match: Match, earlier: Iterable[Match], gateways: Sequence[str] = ("mesh",)) -> bool:
    """Whether one of the earlier matches takes all requests of `match`. `gateways` are those of the VirtualService."""
    return any(_takes_all(wide, match, gateways) for wide in earlier)


def _takes_all(wide: Match, narrow: Match, gateways: Sequence[str]) -> bool:
    if set(wide) - _KNOWN:
        return False
    if not set(texts(narrow.get("gateways")) or gateways) <= set(texts(wide.get("gateways")) or gateways):
        return False
    ignores_case = bool(wide.get("ignoreUriCase"))
    if bool(narrow.get("ignoreUriCase")) and not ignores_case and not _anything(wide.get("uri")):
        return False
    strings = all(_string(wide.get(key), narrow.get(key), ignores_case and key == "uri") for key in _STRINGS)
    maps = all(
        name in mapping(narrow.get(key)) and _string(wanted, mapping(narrow.get(key))[name])
        for key in _MAPS
        for name, wanted in mapping(wide.get(key)).items()
    )
    scalars = all(key not in wide or wide[key] == narrow.get(key) for key in _SCALARS)
    without = all(mapping(narrow.get("withoutHeaders")).get(n) == wanted for n, wanted in mapping(wide.get("withoutHeaders")).items())
    return strings and maps and scalars and without


def _anything(wide: Any) -> bool:
    return not wide or (isinstance(wide, Mapping) and wide.get("prefix") == "/")


def _string(wide: Any, narrow: Any, ignore_case: bool = False) -> bool:
    """StringMatch objects, or the plain strings of labels."""
    if wide is None or wide == narrow:
        return True
    if not isinstance(wide, Mapping):
        return False
    if wide.get("prefix") == "/" and len(wide) == 1:
        return True  # every path begins with it
    if not isinstance(narrow, Mapping):
        return False
    start, text = wide.get("prefix"), narrow.get("exact", narrow.get("prefix"))
    if not isinstance(text, str) or not isinstance(start, str):
        return ignore_case and _lowered(wide) == _lowered(narrow)
    return text.lower().startswith(start.lower()) if ignore_case else text.startswith(start)


def _lowered(value: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(text).lower() for key, text in value.items()}
