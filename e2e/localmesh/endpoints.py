"""Endpoints as the API server has them and as an Envoy has them. No I/O here."""

from collections.abc import Iterable

from localmesh.kube import Object

Endpoints = dict[str, set[str]]
"""Addresses per host name of a Service."""


def ready_endpoints(slices: Iterable[Object]) -> Endpoints:
    """Ready addresses in EndpointSlices."""
    found: Endpoints = {}
    for item in slices:
        meta = item["metadata"]
        host = f"{meta['labels']['kubernetes.io/service-name']}.{meta['namespace']}.svc.cluster.local"
        addresses = found.setdefault(host, set())
        for endpoint in item.get("endpoints") or []:
            if endpoint.get("conditions", {}).get("ready"):
                addresses.update(endpoint["addresses"])
    return found


def healthy_endpoints(clusters: Object) -> Endpoints:
    """Addresses that an Envoy would send to, from its admin interface's /clusters?format=json, subsets left out."""
    found: Endpoints = {}
    for cluster in clusters.get("cluster_statuses", []):
        direction, *rest = cluster["name"].split("|")
        if direction != "outbound" or rest[1]:
            continue
        addresses = found.setdefault(rest[2], set())
        for host in cluster.get("host_statuses", []):
            if host.get("health_status", {}).get("eds_health_status", "HEALTHY") == "HEALTHY":
                addresses.add(host["address"]["socket_address"]["address"])
    return found
