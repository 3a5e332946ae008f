"""Weighted routes: reading them, and what the destinations of those that move become; everything else untouched.

Which routes move is core.route_rule. Destinations of other services in the same route keep their weights; ours are scaled inside
the service's share.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from canaryrollout.api.status import RouteRecord
from canaryrollout.core.decision import Operation
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.shapes import mapping, mappings, text, texts, whole
from canaryrollout.core.snapshot import Raw

Entry = Mapping[str, Any]
"""One element of http[].route[]: destination, weight, headers."""

LONGEST_NAME = 200
"""Characters of a route's name that are kept in the status; Istio sets no limit."""


@dataclass(frozen=True, slots=True)
class Split:
    """What a moving route is to serve. `canary` may be "" while no canary is on trial."""

    stable: str
    canary: str
    weight: int
    """Percent of the service's share for the canary."""
    keep_canary: bool
    """Keep the canary's destination in routes where the operator added it."""
    keep_stable: bool = True
    """Keep stable's destination at weight 0 in routes where the canary's was added (False only on promotion)."""
    widen: bool = False
    """Take stable's subset out of the routes in which a plain host was narrowed to it."""


def http_routes(virtual_service: Raw) -> list[Mapping[str, Any]]:
    """The HTTP routes in order."""
    return mappings(mapping(virtual_service.get("spec")).get("http"))


def route_key(route: Mapping[str, Any]) -> str:
    """What identifies a route across edits: its name, else a digest of its matches (positions are not stable)."""
    name = str(route.get("name") or "")
    if name:
        return f"name:{name}" if len(name) <= LONGEST_NAME else f"named:{_digest(name)}"
    return f"match:{_digest(route['match'])}" if route.get("match") else "default"


def match_digest(route: Mapping[str, Any]) -> str:
    """A digest of its matches; "" where it has none."""
    return _digest(route["match"]) if route.get("match") else ""


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def route_keys(virtual_service: Raw) -> list[str]:
    """The keys of all HTTP routes; a repeated key is numbered."""
    keys: dict[str, None] = {}
    numbers: Counter[str] = Counter()
    for route in http_routes(virtual_service):
        key = found = route_key(route)
        while found in keys:  # a name may itself look like a numbered one
            numbers[key] += 1
            found = f"{key}#{numbers[key]}"
        keys[found] = None
    return list(keys)


def weight_of(entry: Entry, entries: list[Entry]) -> int:
    """The effective weight of a destination: 100 for a lone one, whatever it says."""
    return 100 if len(entries) == 1 else whole(entry.get("weight")) or 0


def weightless(entries: list[Entry]) -> bool:
    """Whether a route has a lone destination that says no weight."""
    return len(entries) == 1 and "weight" not in entries[0]


def service_entries(virtual_service: Raw, route: Mapping[str, Any], host: ServiceHost) -> list[tuple[int, Entry]]:
    """The destinations of the service in a route, with their positions."""
    namespace = virtual_service["metadata"]["namespace"]
    return [
        (index, entry)
        for index, entry in enumerate(mappings(route.get("route")))
        if host.matches(mapping(entry.get("destination")).get("host"), namespace)
    ]


def subset_of(entry: Entry) -> str:
    """The subset of a destination, "" for a plain host."""
    return text(mapping(entry.get("destination")).get("subset"))


def live_subsets(virtual_service: Raw, host: ServiceHost, names: tuple[str, ...] | None = None, *, unmatched: bool = False) -> set[str]:
    """Every subset ("" for the plain host) that gets traffic of the service in some route (of those names; None: in any).

    `unmatched`: only in routes that take whatever request comes to them.
    """
    live = set()
    for route in http_routes(virtual_service):
        if (names is not None and route.get("name") not in names) or (unmatched and route.get("match")):
            continue
        entries = mappings(route.get("route"))
        live |= {subset_of(entry) for _, entry in service_entries(virtual_service, route, host) if weight_of(entry, entries) > 0}
    return live


def gives(virtual_service: Raw, host: ServiceHost, records: tuple[RouteRecord, ...], subset: str) -> bool:
    """Whether some recorded route sends requests to the subset."""
    keys = {record.key for record in records}
    for key, route in zip(route_keys(virtual_service), http_routes(virtual_service), strict=True):
        entries = mappings(route.get("route"))
        for _, entry in service_entries(virtual_service, route, host) if key in keys else ():
            if subset_of(entry) == subset and weight_of(entry, entries) > 0:
                return True
    return False


def names_subset(virtual_service: Raw, host: ServiceHost, subset: str) -> bool:
    """Whether anything in it (HTTP, TLS and TCP routes, mirrors) names the subset, at whatever weight."""
    return _names_subset(virtual_service.get("spec"), virtual_service["metadata"]["namespace"], host, subset)


def _names_subset(value: Any, namespace: str, host: ServiceHost, subset: str) -> bool:
    if isinstance(value, Mapping):
        if value.get("subset") == subset and host.matches(str(value.get("host") or ""), namespace):
            return True
        value = list(value.values())
    return isinstance(value, list) and any(_names_subset(inner, namespace, host, subset) for inner in value)


def routes_service(virtual_service: Raw, host: ServiceHost) -> bool:
    """Whether some HTTP route sends traffic to the service."""
    return any(service_entries(virtual_service, route, host) for route in http_routes(virtual_service))


def claims_host(virtual_service: Raw, host: ServiceHost) -> bool:
    """Whether the VirtualService applies to the service's own host inside the mesh (two such are not merged by Istio)."""
    hosts = texts(mapping(virtual_service.get("spec")).get("hosts"))
    return in_mesh(virtual_service) and any(host.matches(name, virtual_service["metadata"]["namespace"]) for name in hosts)


def applies_to_host(virtual_service: Raw, host: ServiceHost) -> bool:
    """As above, wildcard hosts included (Istio takes the most specific one)."""
    hosts = texts(mapping(virtual_service.get("spec")).get("hosts"))
    covered = in_mesh(virtual_service) and any(host.is_covered_by(str(name)) for name in hosts)
    return covered or claims_host(virtual_service, host)


def desired_entries(entries: list[Entry], ours: list[tuple[int, Entry]], record: RouteRecord, split: Split) -> list[dict[str, Any]]:
    """The destinations of one moving route after `split`; entries of other services and all other fields kept."""
    wanted: list[dict[str, Any]] = [dict(entry) for entry in entries]
    positions: dict[str, int] = {}
    share = 0
    for index, entry in ours:
        subset = subset_of(entry) or split.stable
        wanted[index]["destination"] = {**wanted[index]["destination"], "subset": subset}
        share += weight_of(entry, entries)
        # Repeated by somebody in mid-rollout: the first carries it all. Sent to yet another version: what moves does not go there.
        repeated, strayed = subset in positions, subset not in (split.stable, split.canary) and weight_of(entry, entries) > 0
        if repeated or strayed:
            wanted[index]["weight"] = 0
        positions.setdefault(subset, index)
    if ours and not {split.stable, split.canary} & set(positions):
        _take_over(wanted, positions, max(ours, key=lambda found: weight_of(found[1], entries))[0], split.stable)
    if len(ours) == len(entries):
        share = 100  # whatever total the weights had
    for subset, other in ((split.stable, split.canary), (split.canary, split.stable)):
        if subset and subset not in positions:
            _add_copy(wanted, positions, subset, other, after=subset == split.canary)
    canary_weight = round(share * split.weight / 100) if split.canary else 0
    weights = {split.stable: share - canary_weight, split.canary: canary_weight}
    for subset, position in positions.items():
        if subset in weights:
            wanted[position]["weight"] = weights[subset]
    _widen(wanted, positions, record, split)
    leaving = _leaving(record, split, positions)
    wanted = [entry for index, entry in enumerate(wanted) if index not in leaving]
    if len(wanted) == 1 and record.weightless:
        wanted[0].pop("weight", None)
    return wanted


def _widen(wanted: list[dict[str, Any]], positions: Mapping[str, int], record: RouteRecord, split: Split) -> None:
    """Make a destination that was narrowed a plain host again, if it is to be."""
    if split.widen and record.narrowed and split.stable in positions:
        wanted[positions[split.stable]]["destination"].pop("subset", None)


def _take_over(wanted: list[dict[str, Any]], positions: dict[str, int], index: int, subset: str) -> None:
    """Give a destination that somebody sent elsewhere to `subset`, for nothing of the route is left to copy."""
    wanted[index]["destination"]["subset"] = subset
    positions[subset] = index


def _add_copy(wanted: list[dict[str, Any]], positions: dict[str, int], subset: str, template: str, *, after: bool) -> None:
    """Insert a destination for `subset` beside its counterpart, alike in everything else (port, headers): whichever of the two
    leaves in the end, the other stands where the user's stood."""
    source = positions.get(template)
    if source is None:
        return
    copy = deepcopy(wanted[source])
    copy["destination"]["subset"] = subset
    place = source + 1 if after else source
    for name, position in positions.items():
        positions[name] = position + 1 if position >= place else position
    wanted.insert(place, copy)
    positions[subset] = place


def _leaving(record: RouteRecord, split: Split, positions: Mapping[str, int]) -> set[int]:
    """Positions of destinations that the operator takes out again: one was added, so one leaves in the end."""
    leaving = set()
    if record.added and split.weight == 0 and not split.keep_canary and split.canary in positions:
        leaving.add(positions[split.canary])
    if record.added and split.weight == 100 and not split.keep_stable and split.stable in positions:
        leaving.add(positions[split.stable])
    return leaving


def split_operations(virtual_service: Raw, host: ServiceHost, records: tuple[RouteRecord, ...], split: Split) -> list[Operation]:
    """Operations that give every recorded route the split; empty when all have it. A vanished route is left alone."""
    by_key = {record.key: record for record in records}
    operations: list[Operation] = []
    for index, (key, route) in enumerate(zip(route_keys(virtual_service), http_routes(virtual_service), strict=True)):
        ours = service_entries(virtual_service, route, host)
        if key not in by_key or not ours:
            continue
        entries = mappings(route.get("route"))
        wanted = desired_entries(entries, ours, by_key[key], split)
        if wanted != entries:
            operations += _route_operations(index, route, entries, wanted)
    if not operations:
        return []
    version = virtual_service["metadata"]["resourceVersion"]
    return [{"op": "test", "path": "/metadata/resourceVersion", "value": version}, *operations]


def _route_operations(index: int, route: Mapping[str, Any], entries: list[Entry], wanted: list[dict[str, Any]]) -> list[Operation]:
    path = f"/spec/http/{index}"
    operations: list[Operation] = []
    if route.get("name"):
        operations.append({"op": "test", "path": f"{path}/name", "value": route["name"]})
    operations.append({"op": "test", "path": f"{path}/route", "value": entries})
    operations.append({"op": "replace", "path": f"{path}/route", "value": wanted})
    return operations


def new_virtual_service(
    name: str, namespace: str, host: ServiceHost, subset: str, *, delegate: bool = False, route: str = "primary"
) -> dict[str, Any]:
    """A VirtualService of our own: one route, all of the service's traffic to one subset. A delegate has no hosts."""
    destination = {"destination": {"host": host.name, "subset": subset}, "weight": 100}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "canaryrollout"}},
        "spec": {**({} if delegate else {"hosts": [host.name]}), "http": [{"name": route, "route": [destination]}]},
    }


def in_mesh(virtual_service: Raw) -> bool:
    """Whether it applies to sidecars."""
    return "mesh" in (texts(mapping(virtual_service.get("spec")).get("gateways")) or ["mesh"])
