"""Writes that met somebody else's: made again at once where that changes nothing about the decision, else left to the next pass.

A pass takes a tenth of a second or more, and an object that is edited twenty times a second is another one by then. So what was refused
is not given up but made again on the object as it is now, a few times; every other time with preconditions on nothing but what is
changed (core.narrow), for on a busy machine even two requests in a row may take longer than somebody's next edit.

The fence of a stale leader stays: before each further try the CanaryRollout is read again, after the object that is to be written. If
another leader has stored another intent by then, nothing is written; if it stores one later, it writes later, and its own or our
precondition fails.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from canaryrollout.controller.subject import Object
from canaryrollout.core.decision import MeshWrite, PatchObject
from canaryrollout.core.narrow import narrowed, status_patch
from canaryrollout.core.snapshot import Raw
from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.errors import Conflict, PreconditionFailed
from canaryrollout.kube.resources import CANARYROLLOUTS, Resource

QUICK_TRIES = 8
"""Including the first."""
PAUSE_SECONDS = 0.01
"""Before each further try, times its number: two controllers that edit at the same pace must not keep step."""

PREFIX = "canaryrollout.io/"

Replan = Callable[[Raw], MeshWrite | None]
"""What the stored intent asks for where an Istio object is as given."""

log = structlog.get_logger(__name__)


def unchanged(read: Object, now: Object | None) -> bool:
    """Whether a CanaryRollout says what it said when a decision was made on it: only what no decision depends on may differ.

    That is its spec (with its deletion, the generation), its status, which other leaders write, and the requests in annotations.
    """
    return now is not None and _basis(read) == _basis(now)


def _basis(item: Object) -> tuple[Any, ...]:
    metadata = item["metadata"]
    requests = {name: value for name, value in (metadata.get("annotations") or {}).items() if name.startswith(PREFIX)}
    ours = [name for name in metadata.get("finalizers") or [] if name.startswith(PREFIX)]
    state = metadata["uid"], metadata.get("generation"), metadata.get("deletionTimestamp")
    return *state, item.get("spec"), item.get("status") or {}, requests, ours


async def store_fenced(kube: KubeClient, read: Object, status: Object) -> Object:
    """Store the status that was decided on a CanaryRollout as it was read; gives the object.

    Raises Conflict or PreconditionFailed where it is not what was read any more, or where no try was quick enough.
    """

    async def write(item: Object, attempt: int) -> Object:
        metadata = item["metadata"]
        narrow = status_patch(item, status) if attempt % 2 == 0 else None
        if narrow is not None:
            return await kube.patch_status(CANARYROLLOUTS, metadata["namespace"], metadata["name"], narrow)
        return await kube.replace_status(CANARYROLLOUTS, metadata["namespace"], metadata["name"], {**item, "status": status})

    return await write_fenced(kube, read, write)


async def write_fenced(kube: KubeClient, read: Object, write: Callable[[Object, int], Awaitable[Object]]) -> Object:
    """Write to a CanaryRollout on which a decision was made. `write` is given the object as it is now and the number of the try.

    Raises as `store_fenced`.
    """
    metadata = read["metadata"]
    item = read
    for attempt in range(1, QUICK_TRIES):
        try:
            return await write(item, attempt)
        except (Conflict, PreconditionFailed):
            await asyncio.sleep(PAUSE_SECONDS * attempt)
            now = await kube.get(CANARYROLLOUTS, metadata["namespace"], metadata["name"])
            if now is None or not unchanged(read, now):
                raise
            log.info("written again after a conflict", kind=CANARYROLLOUTS.kind, name=metadata["name"], attempt=attempt)
            item = now
    return await write(item, QUICK_TRIES)


async def patch_fenced(
    kube: KubeClient, intent: Object, resource: Resource, patch: PatchObject, replan: Replan, *, manager: str
) -> PatchObject:
    """Patch an Istio object for the intent that is stored in the CanaryRollout `intent`; gives the patch that was applied.

    Raises PreconditionFailed where the intent does not stand any more, asks for something else by now, or no try was quick enough.
    """
    namespace, operations = intent["metadata"]["namespace"], patch.operations
    for attempt in range(1, QUICK_TRIES):
        try:
            await kube.json_patch(resource, namespace, patch.name, operations, manager=manager)
        except PreconditionFailed:
            await asyncio.sleep(PAUSE_SECONDS * attempt)
            item = await kube.get(resource, namespace, patch.name)
            again = replan(item) if item is not None else None
            if item is None or not isinstance(again, PatchObject) or (again.kind, again.name) != (patch.kind, patch.name):
                raise
            if not unchanged(intent, await kube.get(CANARYROLLOUTS, namespace, intent["metadata"]["name"])):
                raise
            log.info("written again after a conflict", kind=patch.kind, name=patch.name, attempt=attempt)
            patch = again
            operations = (narrowed(again.operations, item) if attempt % 2 else None) or again.operations
        else:
            return patch
    await kube.json_patch(resource, namespace, patch.name, operations, manager=manager)
    return patch
