"""Reading istiod's debug answers (/debug/syncz, /debug/config_dump) and Envoy's admin's (/config_dump): what concerns one host.

The formats are those of Go's encoding/json (syncz) and of protobuf's JSON (config dumps). A dump of a large mesh has tens of
megabytes, so its elements are decoded and dropped one by one.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from canaryrollout.core.envoy_view import Message, Routes, clusters_of, part, read_routes
from canaryrollout.core.snapshot import Expectation
from canaryrollout.core.sync import Connection, Generated, Watched, push_number

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
    clusters = clusters_of((_cluster_name(item) for item in _elements(text, "dynamicActiveClusters")), expectation.host)
    routes = read_routes((item.get("routeConfig") or {} for item in _elements(text, "dynamicRouteConfigs")), expectation)
    return Generated(push_number(version[1]), routes.all_splits, routes.defaults, clusters)


def read_admin_routes(body: bytes, expectation: Expectation) -> Routes:
    """The routes in an Envoy's /config_dump?resource=dynamic_route_configs. Raises ValueError."""
    return read_routes((part(item, "route_config") or {} for item in _configs(body)), expectation)


def read_admin_clusters(body: bytes) -> list[str]:
    """The names of the clusters in an Envoy's /config_dump?resource=dynamic_active_clusters. Raises ValueError."""
    return [_cluster_name(item) for item in _configs(body)]


def _configs(body: bytes) -> Iterator[dict[str, Any]]:
    """What one resource of Envoy's dump holds; the array is left out where it is empty."""
    text = body.decode()
    if not text.lstrip().startswith("{"):
        raise ValueError("/config_dump is no config dump")
    return _elements(text, "configs")


def _cluster_name(item: Message) -> str:
    return str((item.get("cluster") or {}).get("name", ""))


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
