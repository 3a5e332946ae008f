"""What an event of a watch sets going: what people ask for at once, what is edited many times a second together."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import kopf
import pytest
from canaryrollout.controller import handlers
from canaryrollout.controller.cache import Directory
from canaryrollout.controller.handlers import TOGETHER_SECONDS, WatchLag
from canaryrollout.controller.reconciler import Key
from canaryrollout.controller.revisions import Revisions

KEY, OTHER = Key("shop", "reviews"), Key("shop", "ratings")


class Queue:
    """Notes what is added."""

    def __init__(self) -> None:
        self.added: list[tuple[Key, float]] = []

    async def add(self, key: Key, delay: float = 0.0) -> None:
        self.added.append((key, delay))


class Watches:
    """The handlers as kopf would call them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queue, self.revisions, self.lag = Queue(), Revisions(), WatchLag()
        self.handlers: dict[str, Callable[..., Awaitable[None]]] = {}
        monkeypatch.setattr(handlers, "_on_event", lambda registry, resource, handler: self.handlers.update({resource.plural: handler}))
        handlers.register(kopf.OperatorRegistry(), self.queue, Directory(), self.lag, self.revisions)  # type: ignore[arg-type]

    async def rollout(
        self, name: str = "reviews", type: str | None = "MODIFIED", generation: int = 1, **metadata: Any
    ) -> list[tuple[Key, float]]:
        item = {"metadata": {"name": name, "namespace": "shop", "generation": generation, **metadata}, "spec": {"service": name}}
        return await self._told("canaryrollouts", type, item, name=name, spec=item["spec"])

    async def mesh(self, plural: str, type: str | None, revision: int) -> list[tuple[Key, float]]:
        item = {"metadata": {"name": "x", "namespace": "shop", "uid": "u", "resourceVersion": str(revision)}}
        return await self._told(plural, type, item, name="x")

    async def _told(self, plural: str, type: str | None, item: dict[str, Any], **more: Any) -> list[tuple[Key, float]]:
        self.queue.added.clear()
        await self.handlers[plural](type=type, namespace="shop", event={"type": type, "object": item}, labels={}, **more)
        return list(self.queue.added)


@pytest.fixture
def watches(monkeypatch: pytest.MonkeyPatch) -> Watches:
    return Watches(monkeypatch)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"generation": 2}, id="another spec"),
        pytest.param({"deletionTimestamp": "2024-01-01T00:00:00Z"}, id="deletion"),
        pytest.param({"annotations": {"canaryrollout.io/retry": "1"}}, id="a request"),
    ],
)
async def test_what_people_ask_for_is_looked_at_at_once(watches: Watches, asked: dict[str, Any]) -> None:
    assert (KEY, 0.0) in await watches.rollout(type="ADDED")
    assert (KEY, 0.0) not in await watches.rollout(), "nothing new"
    assert (KEY, 0.0) in await watches.rollout(**asked)
    assert (KEY, 0.0) not in await watches.rollout(**asked)


async def test_edits_of_other_things_are_looked_at_together(watches: Watches) -> None:
    await watches.rollout(type="ADDED")
    assert {delay for _, delay in await watches.rollout(annotations={"example.com/note": "1"}, labels={"a": "b"})} == {TOGETHER_SECONDS}


async def test_one_that_was_made_again_is_new(watches: Watches) -> None:
    await watches.rollout(type="ADDED")
    assert (KEY, 0.0) in await watches.rollout(type="DELETED")
    assert (KEY, 0.0) in await watches.rollout(type="ADDED")


@pytest.mark.parametrize("plural", ["virtualservices", "destinationrules"])
async def test_edits_of_istio_objects_wake_all_of_the_namespace_together_and_none_is_missed(watches: Watches, plural: str) -> None:
    await watches.rollout(type=None)
    await watches.rollout(name="ratings", type=None)
    assert set(await watches.mesh(plural, "ADDED", 1)) == {(KEY, TOGETHER_SECONDS), (OTHER, TOGETHER_SECONDS)}
    item = {"metadata": {"uid": "u", "resourceVersion": "1"}}
    watches.revisions.follow(item)
    for revision in (2, 3):
        await watches.mesh(plural, "MODIFIED", revision)
    found = await watches.revisions.after("1", {"metadata": {"uid": "u", "resourceVersion": "3"}}, 0)
    assert [revision["metadata"]["resourceVersion"] for revision in found or ()] == ["2", "3"]


async def test_a_watch_that_is_silent_because_nothing_happens_is_not_behind(watches: Watches, monkeypatch: pytest.MonkeyPatch) -> None:
    await watches.rollout(type=None, resourceVersion="7")
    hours = time.monotonic() + 36_000.0
    monkeypatch.setattr(handlers.time, "monotonic", lambda: hours)
    assert watches.lag() is None
    watches.lag.listed({KEY: "7"}, hours)
    assert watches.lag() is None


async def test_a_watch_is_behind_from_when_a_list_shows_what_it_has_not_brought(watches: Watches, monkeypatch: pytest.MonkeyPatch) -> None:
    await watches.rollout(type=None, resourceVersion="7")
    start = time.monotonic()
    watches.lag.listed({KEY: "8", OTHER: "3"}, start)
    monkeypatch.setattr(handlers.time, "monotonic", lambda: start + 300.0)
    watches.lag.listed({KEY: "9", OTHER: "3"}, start + 300.0)
    assert watches.lag() == pytest.approx(300.0)
    await watches.rollout(resourceVersion="9")
    assert watches.lag() == pytest.approx(300.0), "the other one is still missing"
    await watches.rollout(name="ratings", type="ADDED", resourceVersion="3")
    assert watches.lag() is None


async def test_what_the_watch_brings_while_a_list_is_read_may_be_newer(watches: Watches) -> None:
    asked = time.monotonic()
    await watches.rollout(resourceVersion="9")
    watches.lag.listed({KEY: "8"}, asked)
    watches.lag.listed({}, asked)
    assert watches.lag() is None
    watches.lag.listed({KEY: "9"}, time.monotonic())
    assert watches.lag() is None


async def test_one_that_is_gone_is_not_waited_for(watches: Watches) -> None:
    watches.lag.listed({KEY: "8"}, time.monotonic())
    watches.lag.listed({}, time.monotonic())
    assert watches.lag() is None
