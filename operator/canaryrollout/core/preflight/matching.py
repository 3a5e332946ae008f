"""Whether one match of an HTTP route takes every request that another one takes. In doubt it does not."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from canaryrollout.core.shapes import mapping, mappings, texts

Match = Mapping[str, Any]

_MAPS = ("headers", "queryParams", "sourceLabels")
_STRINGS = ("scheme", "method", "authority")
_SCALARS = ("port", "sourceNamespace")
_KNOWN = frozenset((*_MAPS, *_STRINGS, *_SCALARS, "uri", "withoutHeaders", "gateways", "name", "ignoreUriCase", "statPrefix"))


def matches_of(route: Mapping[str, Any]) -> list[Match]:
    """The matches of a route without nulls, which the API server drops; one that takes everything where it has none."""
    return [_without_nulls(match) for match in mappings(route.get("match"))] or [{}]


def _without_nulls(match: Match) -> Match:
    return {
        name: _without_nulls(inner) if isinstance(inner, dict) else inner  # of many routes in each pass: no Mapping, which is slow to ask
        for name, inner in match.items()
        if inner is not None
    }


class Earlier:
    """The matches of the routes before one, each by a condition that it makes: there are VirtualServices with a thousand routes, and
    to compare each with each would take seconds of every pass.
    """

    def __init__(self, gateways: Sequence[str] = ("mesh",)) -> None:
        """`gateways` are those of the VirtualService."""
        self._gateways = gateways
        self._by_condition: defaultdict[str, list[tuple[int, Match]]] = defaultdict(list)

    def add(self, index: int, route: Mapping[str, Any]) -> None:
        """A route that comes after those that were added before."""
        for match in matches_of(route):
            self._by_condition[next(_conditions(match), "")].append((index, match))

    def taking(self, match: Match) -> int | None:
        """The index of the first of them that takes all requests of `match`; None where there is none."""
        asked = {"", *_conditions(match), *_uri_prefixes(match)}
        found = (entry for condition in asked for entry in self._by_condition.get(condition, ()))
        return min((index for index, wide in found if takes_all(wide, match, self._gateways)), default=None)


def _conditions(match: Match) -> Iterator[str]:
    """What a match says as one who takes all of its requests must say it (its path perhaps shorter), the most telling first."""
    uri = match.get("uri")
    if not _anything(uri) and not match.get("ignoreUriCase"):
        prefix = mapping(uri).get("prefix")
        yield _uri_prefix(prefix) if isinstance(prefix, str) else _said("uri", uri)
    for kind in _MAPS:
        for name, value in mapping(match.get(kind)).items():
            if not _is_prefix(value):
                yield _said(f"{kind}.{name}", value)
    for kind in ("authority", "method", "scheme"):
        if match.get(kind) is not None and not _is_prefix(match[kind]):
            yield _said(kind, match[kind])


def _uri_prefixes(match: Match) -> Iterator[str]:
    """Every prefix that the path of a request of this match has, as far as it says so."""
    uri = mapping(match.get("uri"))
    text = uri.get("exact", uri.get("prefix"))
    if isinstance(text, str):
        yield from (_uri_prefix(text[:length]) for length in range(len(text) + 1))


def _uri_prefix(prefix: str) -> str:
    return f"uri.prefix {prefix}"


def _is_prefix(value: Any) -> bool:
    return isinstance(value, Mapping) and "prefix" in value


def _said(what: str, value: Any) -> str:
    return f"{what} {json.dumps(value, sort_keys=True, default=str)}"


def takes_all(wide: Match, narrow: Match, gateways: Sequence[str]) -> bool:
    if set(wide) - _KNOWN:
        return False
    if not set(texts(narrow.get("gateways")) or gateways) <= set(texts(wide.get("gateways")) or gateways):
        return False
    ignores_case = bool(wide.get("ignoreUriCase"))
    if bool(narrow.get("ignoreUriCase")) and not ignores_case and not _anything(wide.get("uri")):
        return False
    strings = all(_string(wide.get(key), narrow.get(key)) for key in _STRINGS)
    path = _path(wide.get("uri"), narrow.get("uri"), ignores_case)
    maps = all(
        name in mapping(narrow.get(key)) and _string(wanted, mapping(narrow.get(key))[name])
        for key in _MAPS
        for name, wanted in mapping(wide.get(key)).items()
    )
    scalars = all(key not in wide or wide[key] == narrow.get(key) for key in _SCALARS)
    without = all(mapping(narrow.get("withoutHeaders")).get(n) == wanted for n, wanted in mapping(wide.get("withoutHeaders")).items())
    return path and strings and maps and scalars and without


def _anything(wide: Any) -> bool:
    return not wide or (isinstance(wide, Mapping) and wide.get("prefix") == "/")


def _path(wide: Any, narrow: Any, ignore_case: bool) -> bool:
    everything = isinstance(wide, Mapping) and wide.get("prefix") == "/" and len(wide) == 1  # every path begins with it
    return everything or _string(wide, narrow, ignore_case)


def _string(wide: Any, narrow: Any, ignore_case: bool = False) -> bool:
    """StringMatch objects, or the plain strings of labels."""
    if wide is None or wide == narrow:
        return True
    if not isinstance(wide, Mapping):
        return False
    if not isinstance(narrow, Mapping):
        return False
    start, text = wide.get("prefix"), narrow.get("exact", narrow.get("prefix"))
    if not isinstance(text, str) or not isinstance(start, str):
        return ignore_case and _lowered(wide) == _lowered(narrow)
    return text.lower().startswith(start.lower()) if ignore_case else text.startswith(start)


def _lowered(value: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(text).lower() for key, text in value.items()}
