"""kopf as informer: every event becomes a key in the work queue, and nothing is decided here."""

import time
from collections.abc import Mapping
from typing import Any

import kopf

from canaryrollout.controller.cache import Directory
from canaryrollout.controller.conflicts import PREFIX
from canaryrollout.controller.reconciler import Key
from canaryrollout.controller.revisions import Revisions
from canaryrollout.controller.workqueue import WorkQueue
from canaryrollout.kube.resources import CANARYROLLOUTS, DESTINATIONRULES, ENDPOINTSLICES, VIRTUALSERVICES, Resource

TOGETHER_SECONDS = 0.2
"""Edits that nobody waits for are looked at together when they come faster than this: somebody who edits many times a second must
not keep the operator from its other objects."""


class WatchLag:
    """For how long the watch of CanaryRollouts has been behind what lists show.

    Its silence tells nothing: where nobody changes anything no event comes for days (kopf keeps bookmarks to itself).
    """

    def __init__(self) -> None:
        self._seen: dict[Key, tuple[str, float]] = {}
        self._missed: dict[Key, float] = {}

    def seen(self, key: Key, revision: str) -> None:
        """The watch brought an object."""
        self._seen[key] = revision, time.monotonic()
        self._missed.pop(key, None)

    def listed(self, revisions: Mapping[Key, str], asked: float) -> None:
        """What a list shows that was asked for at `asked` (monotonic); what the watch brought later may be newer."""
        self._seen = {key: seen for key, seen in self._seen.items() if key in revisions or seen[1] >= asked}
        behind = [key for key, revision in revisions.items() if self._behind(key, revision, asked)]
        self._missed = {key: self._missed.get(key, asked) for key in behind}

    def _behind(self, key: Key, revision: str, asked: float) -> bool:
        seen = self._seen.get(key)
        return seen is None or (seen[0] != revision and seen[1] < asked)

    def __call__(self) -> float | None:
        """Seconds since a list first showed what the watch has not brought; None where there is no such thing."""
        return time.monotonic() - min(self._missed.values()) if self._missed else None


def register(registry: kopf.OperatorRegistry, queue: WorkQueue[Key], directory: Directory, lag: WatchLag, revisions: Revisions) -> None:
    """Watch CanaryRollouts and what they depend on."""

    async def rollout(type: str | None, namespace: str, name: str, spec: kopf.Spec, event: kopf.RawEvent, **_: Any) -> None:
        key = Key(namespace, name)
        lag.seen(key, str(event["object"]["metadata"].get("resourceVersion", "")))
        new = True
        if type == "DELETED":
            directory.drop(key)
        else:
            directory.put(key, str(spec.get("service", "")))
            new = directory.asks(key, _request(event["object"]["metadata"]))
        await queue.add(key, 0.0 if new else TOGETHER_SECONDS)
        # A neighbour may have waited for this one's claim.
        for other in directory.for_service(namespace, str(spec.get("service", ""))):
            await queue.add(other, TOGETHER_SECONDS)

    async def neighbour(type: str | None, namespace: str, event: kopf.RawEvent, **_: Any) -> None:
        await revisions.seen(type, dict(event["object"]))
        for key in directory.in_namespace(namespace):
            await queue.add(key, TOGETHER_SECONDS)

    async def endpoints(namespace: str, labels: kopf.Labels, **_: Any) -> None:
        for key in directory.for_service(namespace, labels.get("kubernetes.io/service-name", "")):
            await queue.add(key)

    _on_event(registry, CANARYROLLOUTS, rollout)
    _on_event(registry, VIRTUALSERVICES, neighbour)
    _on_event(registry, DESTINATIONRULES, neighbour)
    _on_event(registry, ENDPOINTSLICES, endpoints)


def _request(metadata: Mapping[str, Any]) -> tuple[object, ...]:
    """What people ask of a CanaryRollout: another spec, its deletion, or something by annotation."""
    annotations = metadata.get("annotations") or {}
    asked = sorted((name, value) for name, value in annotations.items() if name.startswith(PREFIX))
    return metadata.get("generation"), metadata.get("deletionTimestamp"), *asked


def _on_event(registry: kopf.OperatorRegistry, resource: Resource, handler: Any) -> None:
    kopf.on.event(resource.group, resource.version, resource.plural, registry=registry, id=resource.plural)(handler)


def configure(settings: kopf.OperatorSettings, *, namespaced: bool) -> None:
    """Watches that notice when they stall; no posting, no annotations, no finalizers of kopf's own."""
    settings.posting.enabled = False
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.inactivity_timeout = 70
    settings.networking.request_timeout = 30
    # Requests are also repeated by the watches themselves; nine patient tries would only delay what a Role forbids.
    settings.networking.error_backoffs = (0.1, 0.5, 2.0)
    # With Roles for some namespaces nobody may watch namespaces and CRDs: what is there at the start is served.
    settings.scanning.disabled = namespaced
