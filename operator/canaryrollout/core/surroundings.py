"""What lies around a rollout's own objects and decides whether it can work: read by the shell, seldom, and never written."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from canaryrollout.core.shapes import ports_of

Raw = Mapping[str, Any]

KINDS = ("VirtualService", "DestinationRule", "Gateway", "EnvoyFilter", "PeerAuthentication", "ServiceEntry", "Sidecar", "Service")
"""What is read around a namespace."""

_HOST_KEYS = frozenset({"host", "hosts", "delegate"})
_ALL = "*"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Objects of all namespaces that the operator may read, as far as they can concern one namespace.

    A kind in `unreadable` was not read everywhere: what is here of it is there, what is missing proves nothing.
    """

    virtual_services: tuple[Raw, ...] = ()
    """Of other namespaces."""
    destination_rules: tuple[Raw, ...] = ()
    """Of other namespaces."""
    gateways: tuple[Raw, ...] = ()
    envoy_filters: tuple[Raw, ...] = ()
    peer_authentications: tuple[Raw, ...] = ()
    service_entries: tuple[Raw, ...] = ()
    sidecars: tuple[Raw, ...] = ()
    services: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Ports of all Services, by "NAMESPACE/NAME"."""
    mesh_config: Raw | None = None
    """Istio's MeshConfig of the default revision; None where it could not be read."""
    root_namespace: str = "istio-system"
    """Where objects hold for the whole mesh."""
    unreadable: tuple[str, ...] = ()
    """Kinds of which not everything could be read, such as "EnvoyFilter"; "MeshConfig" for the mesh's own."""

    def complete(self, *kinds: str) -> bool:
        """Whether all objects of the kinds have been read, so that what is missing does not exist."""
        return not set(kinds) & set(self.unreadable)


class Cluster:
    """Everything that was read in one go, ready to be looked at from any namespace.

    Of the kinds that may be many, a namespace sees only what can concern it: thousands of VirtualServices that speak of
    their own services alone cost the other namespaces nothing.
    """

    def __init__(
        self,
        objects: Mapping[str, Sequence[Raw]],
        *,
        mesh_config: Raw | None = None,
        root_namespace: str = "istio-system",
        unreadable: Iterable[str] = (),
    ) -> None:
        """`objects` by kind: VirtualService, DestinationRule, Gateway, EnvoyFilter, PeerAuthentication, ServiceEntry, Sidecar, Service."""
        self._objects = objects
        self._mesh_config = mesh_config
        self._root = root_namespace
        self._unreadable = tuple(sorted(set(unreadable)))
        self._services = {f"{namespace_of(item)}/{item['metadata']['name']}": tuple(ports_of(item)) for item in objects.get("Service", ())}
        self._virtual_services = _Index(objects.get("VirtualService", ()))
        self._destination_rules = _Index(objects.get("DestinationRule", ()))
        self._seen: dict[str, Surroundings] = {}

    def around(self, namespace: str) -> Surroundings:
        """What concerns a namespace. The same object for each call."""
        found = self._seen.get(namespace)
        if found is None:
            found = self._seen[namespace] = self._around(namespace)
        return found

    def _around(self, namespace: str) -> Surroundings:
        return Surroundings(
            virtual_services=self._virtual_services.concerning(namespace),
            destination_rules=self._destination_rules.concerning(namespace),
            gateways=self._of("Gateway"),
            envoy_filters=self._of("EnvoyFilter"),
            peer_authentications=self._of("PeerAuthentication", namespace),
            service_entries=self._of("ServiceEntry"),
            sidecars=self._of("Sidecar"),
            services=self._services,
            mesh_config=self._mesh_config,
            root_namespace=self._root,
            unreadable=self._unreadable,
        )

    def _of(self, kind: str, namespace: str | None = None) -> tuple[Raw, ...]:
        """All of a kind, or those that hold in a namespace."""
        return tuple(i for i in self._objects.get(kind, ()) if namespace is None or namespace_of(i) in (namespace, self._root))


class _Index:
    """Objects by the namespaces and hosts that they speak of."""

    def __init__(self, objects: Iterable[Raw]) -> None:
        self._by_namespace: dict[str, list[Raw]] = defaultdict(list)
        self._by_host: dict[str, list[Raw]] = defaultdict(list)
        self._hosts_of: dict[str, set[str]] = defaultdict(set)
        for item in objects:
            own, hosts = namespace_of(item), set(_hosts(item.get("spec") or {}))
            concerned = {namespace for host in hosts for namespace in _spoken_of(host)}
            for namespace in concerned - {own}:
                self._by_namespace[namespace].append(item)
            for host in hosts:
                if "." in host or "*" in host:
                    self._by_host[host].append(item)
                    self._hosts_of[own].add(host)

    def concerning(self, namespace: str) -> tuple[Raw, ...]:
        """Objects of other namespaces that speak of this one, of everything, or of a host that this one speaks of, too."""
        shared = (item for host in sorted(self._hosts_of.get(namespace, ())) for item in self._by_host[host])
        found = {
            (namespace_of(item), str(item["metadata"]["name"])): item
            for item in (*self._by_namespace.get(namespace, ()), *self._by_namespace.get(_ALL, ()), *shared)
            if namespace_of(item) != namespace
        }
        return tuple(found[key] for key in sorted(found))


def namespace_of(item: Raw) -> str:
    """The namespace of an object."""
    return str(item["metadata"].get("namespace", ""))


def _hosts(value: Any, key: str = "") -> Iterator[str]:
    """Every host, and the namespace of every delegate, anywhere in a spec."""
    if isinstance(value, Mapping):
        if key == "delegate" and value.get("namespace"):
            yield f"delegate.{value['namespace']}"
            return
        for name, inner in value.items():
            yield from _hosts(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _hosts(inner, key)
    elif key in _HOST_KEYS and isinstance(value, str):
        yield value


def _spoken_of(host: str) -> Iterator[str]:
    """The namespaces that a host may name: those of the forms NAME.NAMESPACE and *.NAMESPACE...; all for wilder ones."""
    first, _, rest = host.partition(".")
    if host == "*" or (first == "*" and rest.split(".")[0] in ("svc", "local", "cluster")):
        yield _ALL
    elif rest:
        yield rest.split(".")[0]
