"""What an Envoy is configured with, as far as it concerns one service, and what is wrong with it.

Two describe it: istiod what it generates (/debug/config_dump, camelCase) and the Envoy itself what it has (its admin's
/config_dump, snake_case). Both are JSON of the same protobuf messages.

What only the Envoy knows is what it has. istiod's dump is read for one proxy of a workload and taken for all of them; a pod
with labels of its own may get something else (an EnvoyFilter selects by labels) and acknowledges that just as well. And only
active clusters count here: one that is warming takes no requests (Envoy holds its acknowledgements back meanwhile).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from canaryrollout.core.snapshot import Expectation
from canaryrollout.core.sync import Split

Message = Mapping[str, Any]
"""A protobuf message as JSON."""

Cluster = tuple[int, str]
"""(port, subset) of a cluster of the host; subset "" is the whole service."""

WORDS_LIMIT = 3


def part(message: Message, name: str) -> Any:
    """A field, by its name in the .proto file or by that in camelCase; None where it is left out."""
    return message[name] if name in message else message.get(_camel(name))


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def cluster_of(name: str) -> tuple[str, int, str] | None:
    """(host, port, subset) of "outbound|PORT|SUBSET|HOST"; None for other clusters."""
    parts = name.split("|")
    return (parts[3], int(parts[1]), parts[2]) if len(parts) == 4 and parts[0] == "outbound" and parts[1].isdecimal() else None


def clusters_of(names: Iterable[str], host: str) -> frozenset[Cluster]:
    """The clusters of a host among those of these names."""
    found = (cluster_of(name) for name in names)
    return frozenset((cluster[1], cluster[2]) for cluster in found if cluster is not None and cluster[0] == host)


def split_of(action: Message) -> Split:
    """The split of a route's action.

    Istio leaves destinations of weight 0 out where others remain, and writes a single one without weights.
    """
    weighted = part(part(action, "weighted_clusters") or {}, "clusters")
    entries = weighted if weighted else [{"name": action.get("cluster", ""), "weight": 100}]
    found: list[tuple[str, str, int]] = []
    for entry in entries:
        cluster, weight = cluster_of(str(entry.get("name", ""))), int(entry.get("weight") or 0)
        if cluster is not None and weight > 0:
            found.append((cluster[0], cluster[2], weight))
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class Routes:
    """What the route configurations of a proxy hold."""

    splits: Mapping[str, frozenset[Split]] = field(default_factory=dict)
    """By virtual host ("ROUTE CONFIGURATION/VIRTUAL HOST"), the splits of our VirtualService's routes to the host."""
    defaults: bool = False
    """Whether Istio's own default routes to the host are there (where no VirtualService applies)."""

    @property
    def all_splits(self) -> frozenset[Split]:
        """Of all virtual hosts."""
        return frozenset(split for splits in self.splits.values() for split in splits)


def read_routes(configurations: Iterable[Message], expectation: Expectation) -> Routes:
    """What RouteConfigurations say about the expectation's host and VirtualService."""
    # The API version in it is that in which the object was read (v1, v1beta1 or v1alpha3).
    sources = expectation.sources or ((expectation.namespace, expectation.virtual_service),)
    suffixes = tuple(f"/namespaces/{namespace}/virtual-service/{name}" for namespace, name in sources)
    ours: dict[str, set[Split]] = defaultdict(set)
    defaults = False
    for virtual_host, route in _routes(configurations):
        split = split_of(route.get("route") or {})
        if not any(host == expectation.host for host, _, _ in split):
            continue
        source = _source(route)
        if source.endswith(suffixes):
            ours[virtual_host].add(split)
        elif not source:
            defaults = True
    return Routes({name: frozenset(splits) for name, splits in ours.items()}, defaults)


def _routes(configurations: Iterable[Message]) -> Iterator[tuple[str, Message]]:
    for configuration in configurations:
        for host in part(configuration, "virtual_hosts") or []:
            name = f"{configuration.get('name', '')}/{host.get('name', '')}"
            yield from ((name, route) for route in host.get("routes") or [])


def _source(route: Message) -> str:
    """The Istio object that a route comes from."""
    return str(((part(route.get("metadata") or {}, "filter_metadata") or {}).get("istio") or {}).get("config", ""))


@dataclass(frozen=True, slots=True)
class EnvoyView:
    """What one Envoy says about itself."""

    routes: Routes = Routes()
    clusters: frozenset[Cluster] = frozenset()
    """The host's active clusters."""


def difference(expectation: Expectation, view: EnvoyView) -> str:
    """In what a relevant Envoy deviates from the expectation; "" where it is exactly as expected.

    Each virtual host has to show every required split: where only one of several was updated, its requests tell.
    """
    return _missing_clusters(expectation, view) or (_other_routes(expectation, view.routes) if expectation.splits else "")


def _missing_clusters(expectation: Expectation, view: EnvoyView) -> str:
    ports = sorted(port for port, subset in view.clusters if not subset)
    if not ports:
        return f"it has no active cluster of {expectation.host}"
    missing = [(port, subset) for port in ports for subset in expectation.subsets if (port, subset) not in view.clusters]
    return f"its cluster outbound|{missing[0][0]}|{missing[0][1]}|{expectation.host} is not active" if missing else ""


def _other_routes(expectation: Expectation, routes: Routes) -> str:
    allowed, required = set(expectation.splits), set(expectation.required)
    if not routes.splits:
        return f"it has no route of VirtualService {expectation.namespace}/{expectation.virtual_service}"
    for name, splits in sorted(routes.splits.items()):
        if other := splits - allowed:
            return f"virtual host {name} serves {_words(other, expectation.host)} instead of {_words(allowed, expectation.host)}"
        if missing := required - splits:
            return f"virtual host {name} lacks {_words(missing, expectation.host)}"
    return ""


def _words(splits: Iterable[Split], host: str) -> str:
    """Such as "v1 90, v2 10"."""
    ordered = sorted(splits)
    named = [", ".join(f"{subset or 'all'}{'' if to == host else ' of ' + to} {weight}" for to, subset, weight in s) for s in ordered]
    return " or ".join(named[:WORDS_LIMIT]) + (" or others" if len(named) > WORDS_LIMIT else "")
