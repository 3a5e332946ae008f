"""Leader election against a real API server: several candidates, at most one leader at any time."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from apiserver import ApiServer
from canaryrollout.controller.lease import LeaseElector, LeaseLost
from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.resources import LEASES, NAMESPACES

QUICK = {"duration": 3.0, "renew_deadline": 2.0, "retry_period": 0.3}


@pytest_asyncio.fixture
async def kube(apiserver: ApiServer, tmp_path: Path) -> AsyncIterator[KubeClient]:
    async with await KubeClient.load(apiserver.write_kubeconfig(tmp_path / "kubeconfig")) as client:
        yield client


@pytest_asyncio.fixture
async def elector(kube: KubeClient) -> Callable[[str], LeaseElector]:
    """Makes candidates for one Lease."""
    namespace = f"lease-{secrets.token_hex(3)}"
    await kube.create(NAMESPACES, None, {"metadata": {"name": namespace}})
    return lambda identity: LeaseElector(kube, namespace=namespace, name="operator", identity=identity, **QUICK)


async def lease(kube: KubeClient, candidate: LeaseElector) -> dict[str, object]:
    found = await kube.get(LEASES, candidate._namespace, "operator")
    assert found is not None
    return dict(found["spec"])


async def test_the_first_candidate_makes_the_lease_and_renews_it(kube: KubeClient, elector: Callable[[str], LeaseElector]) -> None:
    first = elector("a")
    await first.acquire()
    before = await lease(kube, first)
    assert (before["holderIdentity"], before["leaseDurationSeconds"], before["leaseTransitions"]) == ("a", 3, 0)
    holding = asyncio.create_task(first.hold())
    for _ in range(200):
        now = await lease(kube, first)
        if now["renewTime"] != before["renewTime"]:
            break
        await asyncio.sleep(0.05)
    holding.cancel()
    assert now["renewTime"] > before["renewTime"]
    assert now["acquireTime"] == before["acquireTime"]


async def test_a_released_lease_is_taken_over_at_once(kube: KubeClient, elector: Callable[[str], LeaseElector]) -> None:
    first, second = elector("a"), elector("b")
    await first.acquire()
    waiting = asyncio.create_task(second.acquire())
    await asyncio.sleep(0.5)
    assert not waiting.done()
    await first.release()
    assert (await lease(kube, first))["holderIdentity"] in ("", "b")
    await asyncio.wait_for(waiting, 2.5)
    taken = await lease(kube, second)
    assert (taken["holderIdentity"], taken["leaseTransitions"]) == ("b", 1)


async def test_a_dead_holder_is_followed_after_its_lease_and_not_before(elector: Callable[[str], LeaseElector]) -> None:
    first, second = elector("a"), elector("b")
    await first.acquire()
    renewed = time.monotonic()
    await asyncio.wait_for(second.acquire(), 30)
    assert time.monotonic() - renewed >= QUICK["duration"]


async def test_a_holder_that_finds_another_in_its_place_gives_up(kube: KubeClient, elector: Callable[[str], LeaseElector]) -> None:
    first = elector("a")
    await first.acquire()
    holding = asyncio.create_task(first.hold())
    await kube.merge_patch(LEASES, first._namespace, "operator", {"spec": {"holderIdentity": "b"}})
    with pytest.raises(LeaseLost, match="held by b"):
        await asyncio.wait_for(holding, 10)


async def test_a_holder_that_reaches_no_api_server_gives_up_before_its_lease_ends(
    elector: Callable[[str], LeaseElector], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = elector("a")
    await first.acquire()
    renewed = time.monotonic()

    async def hang(*_: object, **__: object) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(first._kube, "_exchange", hang)
    with pytest.raises(LeaseLost, match="not renewed within 2 s"):
        await asyncio.wait_for(first.hold(), 30)
    assert time.monotonic() - renewed < QUICK["duration"]


async def test_a_renewal_counts_from_when_it_was_asked_for(elector: Callable[[str], LeaseElector], monkeypatch: pytest.MonkeyPatch) -> None:
    """The others count from when the API server took it, which may be long before its answer arrives."""
    first = elector("a")
    exchange = first._kube._exchange

    async def slow(method: str, *arguments: Any) -> Any:
        answer = await exchange(method, *arguments)
        if method in ("POST", "PUT"):
            await asyncio.sleep(1.5)
        return answer

    monkeypatch.setattr(first._kube, "_exchange", slow)
    asked = time.monotonic()
    await first.acquire()
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(first.hold(), 30)
    assert time.monotonic() - asked < QUICK["duration"]


async def test_at_most_one_of_many_candidates_leads_at_any_time(elector: Callable[[str], LeaseElector]) -> None:
    leading: set[str] = set()
    terms: list[str] = []

    async def candidate(identity: str) -> None:
        me = elector(identity)
        await me.acquire()
        assert not leading, f"{identity} leads beside {leading}"
        leading.add(identity)
        terms.append(identity)
        holding = asyncio.create_task(me.hold())
        await asyncio.sleep(0.7)
        assert not holding.done()
        holding.cancel()
        leading.remove(identity)
        if len(terms) % 2:
            await me.release()  # the others die without a word

    await asyncio.gather(*(candidate(name) for name in "abcdef"))
    assert sorted(terms) == sorted("abcdef")
