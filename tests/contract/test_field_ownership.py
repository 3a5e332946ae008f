"""What core.ownership relies on in the API server: whom a JSON Patch takes a list from, and how it is given back."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from apiserver import ApiServer
from canaryrollout.core.ownership import MANAGER, last_author, release
from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.errors import Conflict, PreconditionFailed
from canaryrollout.kube.resources import VIRTUALSERVICES

NAMESPACE = "owners"


@pytest.fixture(scope="module")
def with_istio(istio_apiserver: ApiServer) -> ApiServer:
    istio_apiserver.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    return istio_apiserver


@pytest_asyncio.fixture
async def kube(with_istio: ApiServer, tmp_path: Path) -> AsyncIterator[KubeClient]:
    async with await KubeClient.load(with_istio.write_kubeconfig(tmp_path / "kubeconfig")) as client:
        yield client


def manifest(name: str, timeout: str = "", **labels: str) -> dict[str, Any]:
    """A VirtualService as it lies in git."""
    route = {"name": "primary", "route": [{"destination": {"host": "reviews", "subset": "v1"}, "weight": 100}]}
    return {
        "apiVersion": VIRTUALSERVICES.api_version,
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {"hosts": ["reviews"], "http": [{**route, **({"timeout": timeout} if timeout else {})}]},
    }


def shift(item: dict[str, Any]) -> list[dict[str, Any]]:
    """What a step writes."""
    route = [{"destination": {"host": "reviews", "subset": s}, "weight": w} for s, w in (("v1", 90), ("v2", 10))]
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": item["metadata"]["resourceVersion"]},
        {"op": "replace", "path": "/spec/http/0/route", "value": route},
    ]


def managers(item: dict[str, Any]) -> list[str]:
    return [entry["manager"] for entry in item["metadata"].get("managedFields") or []]


async def patch(kube: KubeClient, item: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    return await kube.json_patch(VIRTUALSERVICES, NAMESPACE, item["metadata"]["name"], operations, manager=MANAGER)


async def test_a_weight_takes_all_routes_from_their_applier_and_a_release_gives_them_back(kube: KubeClient) -> None:
    applied = await kube.apply(VIRTUALSERVICES, NAMESPACE, "git", manifest("git"), manager="argocd-controller", force=True)
    shifted = await patch(kube, applied, shift(applied))
    assert managers(shifted) == ["argocd-controller", MANAGER]
    author = last_author(shifted)
    assert author is not None
    assert author.manager == "argocd-controller"
    with pytest.raises(Conflict, match="canaryrollout"):
        await kube.apply(VIRTUALSERVICES, NAMESPACE, "git", manifest("git", "5s"), manager="argocd-controller")
    released = await patch(kube, shifted, release(shifted))
    assert managers(released) == ["argocd-controller"]
    assert released["metadata"]["generation"] == shifted["metadata"]["generation"]
    assert released["spec"] == shifted["spec"]
    assert release(released) == []
    changed = await kube.apply(VIRTUALSERVICES, NAMESPACE, "git", manifest("git", "5s", team="shop"), manager="argocd-controller")
    assert (changed["spec"]["http"][0]["timeout"], changed["metadata"]["labels"]) == ("5s", {"team": "shop"})


async def test_a_release_is_refused_where_the_object_was_written_in_between(kube: KubeClient) -> None:
    applied = await kube.apply(VIRTUALSERVICES, NAMESPACE, "raced", manifest("raced"), manager="flux", force=True)
    shifted = await patch(kube, applied, shift(applied))
    stale = release(shifted)
    await kube.apply(VIRTUALSERVICES, NAMESPACE, "raced", manifest("raced", team="shop"), manager="flux", force=True)
    with pytest.raises(PreconditionFailed):
        await patch(kube, shifted, stale)


async def test_the_last_entry_is_released_too(kube: KubeClient) -> None:
    applied = await kube.apply(VIRTUALSERVICES, NAMESPACE, "bare", manifest("bare"), manager=MANAGER)
    released = await patch(kube, applied, release(applied))
    assert managers(released) == []
    assert released["metadata"]["generation"] == applied["metadata"]["generation"]
    again = await kube.apply(VIRTUALSERVICES, NAMESPACE, "bare", manifest("bare", "5s"), manager="flux", force=True)
    assert MANAGER not in managers(again)
