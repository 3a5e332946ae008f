"""Reading what lies around the rollouts' own objects: once for all of them, seldom, and only what may be read."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog
import yaml

from canaryrollout.core.surroundings import Cluster, Surroundings
from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.errors import ApiError, Forbidden, KindMissing
from canaryrollout.kube.resources import (
    CONFIGMAPS,
    DESTINATIONRULES,
    ENVOYFILTERS,
    GATEWAYS,
    PEERAUTHENTICATIONS,
    SERVICEENTRIES,
    SERVICES,
    SIDECARS,
    VIRTUALSERVICES,
    Resource,
)

Object = dict[str, Any]

MAX_AGE_SECONDS = 20.0
"""How old the surroundings may be that a rollout goes by. Its own objects are always read live."""
LONGEST_AGE_SECONDS = 60.0
PATIENCE_SECONDS = 5.0
"""How long a pass waits for the first look of all."""
REQUESTS_PER_SECOND = 0.5
"""What reading them may cost on average while rollouts are under way, whatever their number."""

KINDS: tuple[Resource, ...] = (
    VIRTUALSERVICES,
    DESTINATIONRULES,
    GATEWAYS,
    ENVOYFILTERS,
    PEERAUTHENTICATIONS,
    SERVICEENTRIES,
    SIDECARS,
    SERVICES,
)
MESH_CONFIG = "MeshConfig"
_CONFIG_MAP, _KEY = "istio", "mesh"

log = structlog.get_logger(__name__)


class SurroundingsReader:
    """A cache shared by all rollouts of the process; it is filled when one of them asks, and only then."""

    def __init__(
        self,
        kube: KubeClient,
        root_namespace: str = "istio-system",
        namespaces: Iterable[str] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`namespaces` are those that may be read besides the root namespace; empty: all."""
        self._kube = kube
        self._root = root_namespace
        named = tuple(namespaces)
        self._scopes: tuple[str | None, ...] = tuple(dict.fromkeys((*named, root_namespace))) if named else (None,)
        self._monotonic = monotonic
        self._reading: asyncio.Task[None] | None = None
        self._cluster: Cluster | None = None
        self._read_at = 0.0
        self._known: dict[tuple[str, str | None], list[Object]] = {}

    @property
    def max_age(self) -> float:
        """Seconds: longer where many namespaces have to be read one by one."""
        requests = len(self._scopes) * len(KINDS) + 1
        return min(max(MAX_AGE_SECONDS, requests / REQUESTS_PER_SECOND), LONGEST_AGE_SECONDS)

    async def around(self, namespace: str) -> Surroundings | None:
        """What concerns a namespace; None before it is known. Never raises ApiError: what cannot be read is named.

        A look that is too old is still given while a newer one is under way: no pass waits for it, least of all a rollback.
        """
        if self._reading is None and (self._cluster is None or self._monotonic() - self._read_at >= self.max_age):
            self._reading = asyncio.create_task(self._refresh(), name="surroundings")
        if self._cluster is None and self._reading is not None:
            await asyncio.wait({self._reading}, timeout=PATIENCE_SECONDS)
        return self._cluster.around(namespace) if self._cluster is not None else None

    async def _refresh(self) -> None:
        try:
            self._cluster = await self._read()
        except Exception:
            log.exception("the surroundings could not be read")
        finally:
            self._read_at = self._monotonic()
            self._reading = None

    async def _read(self) -> Cluster:
        wanted = [(kind, scope) for kind in KINDS for scope in self._scopes]
        lists = asyncio.gather(*(self._list(kind, scope) for kind, scope in wanted))
        config, answers = await asyncio.gather(self._mesh_config(), lists)
        unreadable: set[str] = set() if self._scopes == (None,) else {kind.kind for kind in KINDS}
        if config is None:
            unreadable.add(MESH_CONFIG)
        objects: dict[str, list[Object]] = {kind.kind: [] for kind in KINDS}
        for (kind, _), found in zip(wanted, answers, strict=True):
            if found is None:
                unreadable.add(kind.kind)
            else:
                objects[kind.kind] += found
        return Cluster(objects, mesh_config=config, root_namespace=self._root, unreadable=unreadable)

    async def _list(self, kind: Resource, scope: str | None) -> list[Object] | None:
        """All of a kind; None where it may not be read, or not now and never before."""
        key = (kind.kind, scope)
        try:
            found = [_slim(item, kind) for item in await self._kube.list(kind, scope)]
        except KindMissing:
            found = []
        except Forbidden as error:
            log.debug("surroundings are read in part", kind=kind.kind, scope=scope or "all namespaces", error=error.message)
            return None
        except ApiError as error:
            log.info("surroundings could not be read", kind=kind.kind, scope=scope or "all namespaces", error=str(error))
            return self._known.get(key)
        self._known[key] = found
        return found

    async def _mesh_config(self) -> Object | None:
        """Istio's MeshConfig; None where it cannot be read. A ConfigMap of another name (a revision's, say) is not looked for."""
        try:
            found = await self._kube.get(CONFIGMAPS, self._root, _CONFIG_MAP)
        except ApiError:
            return None
        try:
            config = yaml.safe_load(((found or {}).get("data") or {}).get(_KEY, ""))
        except yaml.YAMLError:
            return None
        return config if isinstance(config, dict) else None


def _slim(item: Object, kind: Resource) -> Object:
    """As much of an object as a check can want: there may be thousands."""
    metadata = {key: item["metadata"][key] for key in ("name", "namespace", "creationTimestamp", "labels") if key in item["metadata"]}
    spec = item.get("spec") or {}
    if kind is SERVICES:
        spec = {"ports": [{"port": port["port"]} for port in spec.get("ports") or [] if "port" in port]}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}
