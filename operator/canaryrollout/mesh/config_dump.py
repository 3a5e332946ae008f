"""Reading istiod's /debug/config_dump: which splits and clusters it generates for a proxy."""

from collections.abc import Iterator, Mapping
from typing import Any

from canaryrollout.core.snapshot import Expectation
from canaryrollout.core.sync import Generated, push_number

Dump = Mapping[str, Any]
Split = tuple[tuple[str, str, int], ...]


def compare(dump: Dump, expectation: Expectation, *, sidecar: bool, namespace: str) -> Generated:
    """Whether a proxy is relevant to the expectation and whether istiod generates just that for it.

    `namespace` is the proxy's own. Raises ValueError for an answer that is no config dump.
    """
    routes, clusters = _section(dump, "RoutesConfigDump"), _section(dump, "ClustersConfigDump")
    known = _subsets(clusters, expectation.host)
    has_clusters = set(expectation.subsets) <= known
    push = push_number(str(clusters.get("versionInfo", "")))
    if not expectation.splits:
        return Generated(push, relevant=bool(known), expected=has_clusters)
    ours, defaults = _splits(routes, expectation)
    visible = not expectation.visible_in or namespace in expectation.visible_in
    applies = sidecar and expectation.sidecars and visible
    relevant = bool(ours) or (applies and defaults)
    expected = has_clusters and ours <= set(expectation.splits) and set(expectation.required) <= ours and not (applies and defaults)
    return Generated(push, relevant=relevant, expected=relevant and expected)


def _section(dump: Dump, name: str) -> Mapping[str, Any]:
    for section in dump.get("configs") or []:
        if str(section.get("@type", "")).endswith(f".{name}"):
            return dict(section)
    raise ValueError(f"the config dump has no {name}")


def _subsets(clusters: Mapping[str, Any], host: str) -> set[str]:
    """Subsets ("" for the whole service) of the host's outbound clusters."""
    found = set()
    for item in clusters.get("dynamicActiveClusters") or []:
        parsed = _cluster(str((item.get("cluster") or {}).get("name", "")))
        if parsed is not None and parsed[0] == host:
            found.add(parsed[1])
    return found


def _cluster(name: str) -> tuple[str, str] | None:
    """(host, subset) of "outbound|PORT|SUBSET|HOST"."""
    parts = name.split("|")
    return (parts[3], parts[2]) if len(parts) == 4 and parts[0] == "outbound" else None


def _splits(routes: Mapping[str, Any], expectation: Expectation) -> tuple[set[Split], bool]:
    """The splits that our VirtualService produced, and whether Istio's default routes to the host are still there."""
    suffix = f"/namespaces/{expectation.namespace}/virtual-service/{expectation.virtual_service}"
    ours: set[Split] = set()
    defaults = False
    for route in _all_routes(routes):
        split = _split(route.get("route") or {})
        if not any(host == expectation.host for host, _, _ in split):
            continue
        source = (((route.get("metadata") or {}).get("filterMetadata") or {}).get("istio") or {}).get("config", "")
        if str(source).endswith(suffix):
            ours.add(split)
        elif not source:
            defaults = True
    return ours, defaults


def _all_routes(routes: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for item in routes.get("dynamicRouteConfigs") or []:
        for host in (item.get("routeConfig") or {}).get("virtualHosts") or []:
            yield from host.get("routes") or []


def _split(action: Mapping[str, Any]) -> Split:
    weighted = (action.get("weightedClusters") or {}).get("clusters")
    entries = weighted if weighted else [{"name": action.get("cluster", ""), "weight": 100}]
    found = []
    for entry in entries:
        parsed = _cluster(str(entry.get("name", "")))
        weight = int(entry.get("weight") or 0)
        if parsed is not None and weight > 0:
            found.append((*parsed, weight))
    return tuple(sorted(found))
