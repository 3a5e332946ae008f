"""Reading istiod's debug answers: /debug/syncz and /debug/config_dump, of which only what concerns one host is kept.

The formats are those of Go's encoding/json (syncz) and protojson (config dumps). A dump of a large mesh has tens of megabytes,
so its elements are decoded and dropped one by one.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from canaryrollout.core.snapshot import Expectation
from canaryrollout.core.sync import Connection, Generated, Split, Watched, push_number

_TYPES = {
    "type.googleapis.com/envoy.config.cluster.v3.Cluster": "clusters",
    "type.googleapis.com/envoy.config.listener.v3.Listener": "listeners",
    "type.googleapis.com/envoy.config.route.v3.RouteConfiguration": "routes",
    "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment": "endpoints",
}
_VERSION = re.compile(r'"versionInfo":\s*"([^"]*)"')
_SEPARATORS = re.compile(r"[\s,]*")
_DECODER = json.JSONDecoder()


def read_syncz(body: bytes) -> tuple[Connection, ...]:
    """The connections of an istiod. Raises ValueError for anything else."""
    rows = json.loads(body)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("/debug/syncz is not a list of proxies")
    return tuple(_connection(row) for row in rows if row.get("proxy"))


def _connection(row: Mapping[str, Any]) -> Connection:
    watches = {
        _TYPES.get(kind, kind): Watched(str(item.get("sent") or ""), str(item.get("acked") or ""), str(item.get("lastError") or ""))
        for kind, item in (row.get("resources") or {}).items()
    }
    return Connection(str(row["proxy"]), str(row.get("proxy_type") or ""), watches)


def read_dump(body: bytes, expectation: Expectation) -> Generated:
    """What istiod generates for a proxy that concerns the expectation's host and VirtualService. Raises ValueError."""
    text = body.decode()
    version = _VERSION.search(text)
    if version is None or "ClustersConfigDump" not in text:
        raise ValueError("/debug/config_dump is no config dump")
    clusters = frozenset(
        (port, subset)
        for item in _elements(text, "dynamicActiveClusters")
        for host, port, subset in _cluster(str(item["cluster"].get("name", "")))
        if host == expectation.host
    )
    splits, defaults = _splits(text, expectation)
    return Generated(push_number(version[1]), splits, defaults, clusters)


def _elements(text: str, name: str) -> Iterator[dict[str, Any]]:
    """The elements of the array of that name, one at a time."""
    key = re.search(rf'"{name}":\s*\[', text)
    position = key.end() if key else len(text)
    while (position := _skip(text, position)) < len(text) and text[position] != "]":
        item, position = _DECODER.raw_decode(text, position)
        yield item


def _skip(text: str, position: int) -> int:
    match = _SEPARATORS.match(text, position)
    return match.end() if match else position


def _cluster(name: str) -> list[tuple[str, int, str]]:
    """(host, port, subset) of "outbound|PORT|SUBSET|HOST"; empty for other clusters."""
    parts = name.split("|")
    return [(parts[3], int(parts[1]), parts[2])] if len(parts) == 4 and parts[0] == "outbound" and parts[1].isdecimal() else []


def _splits(text: str, expectation: Expectation) -> tuple[frozenset[Split], bool]:
    """The splits that our VirtualService produced, and whether Istio's default routes to the host are there."""
    # The API version in it is that in which the object was read (v1, v1beta1 or v1alpha3).
    suffix = f"/namespaces/{expectation.namespace}/virtual-service/{expectation.virtual_service}"
    ours: set[Split] = set()
    defaults = False
    for item in _elements(text, "dynamicRouteConfigs"):
        for route in _routes(item):
            split = _split(route.get("route") or {})
            if not any(host == expectation.host for host, _, _ in split):
                continue
            source = (((route.get("metadata") or {}).get("filterMetadata") or {}).get("istio") or {}).get("config", "")
            if str(source).endswith(suffix):
                ours.add(split)
            elif not source:
                defaults = True
    return frozenset(ours), defaults


def _routes(item: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for host in (item.get("routeConfig") or {}).get("virtualHosts") or []:
        yield from host.get("routes") or []


def _split(action: Mapping[str, Any]) -> Split:
    """Istio leaves destinations of weight 0 out where others remain, and writes a single one without weights."""
    weighted = (action.get("weightedClusters") or {}).get("clusters")
    entries = weighted if weighted else [{"name": action.get("cluster", ""), "weight": 100}]
    found: list[tuple[str, str, int]] = []
    for entry in entries:
        weight = int(entry.get("weight") or 0)
        found += [(host, subset, weight) for host, _, subset in _cluster(str(entry.get("name", ""))) if weight > 0]
    return tuple(sorted(found))
