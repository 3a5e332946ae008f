"""Looking around: seldom, once for all rollouts, and only as far as the operator may."""

import asyncio
from collections import Counter

import pytest
from canaryrollout.controller import surroundings
from canaryrollout.controller.surroundings import KINDS, MAX_AGE_SECONDS, SurroundingsReader
from canaryrollout.kube.errors import Forbidden, KindMissing, Unavailable
from canaryrollout.kube.resources import CONFIGMAPS, DESTINATIONRULES, ENVOYFILTERS, GATEWAYS, SERVICES, VIRTUALSERVICES, Resource
from memory_api import NAMESPACE, MemoryApi, Object
from reconciling import analysing, rolling_out, stable


class Api(MemoryApi):
    """Counts reads, lists all namespaces, and can refuse or fail by kind."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[str] = Counter()
        self.errors: dict[str, Exception] = {}
        self.gate: asyncio.Event | None = None

    async def list(self, resource: Resource, namespace: str | None, *, label_selector: str = "", field_selector: str = "") -> list[Object]:
        self.reads[resource.kind] += 1
        if self.gate is not None:
            await self.gate.wait()
        if resource.kind in self.errors:
            raise self.errors[resource.kind]
        if namespace is not None and f"{resource.kind}/{namespace}" in self.errors:
            raise self.errors[f"{resource.kind}/{namespace}"]
        return [item for (plural, of, _), item in self.objects.items() if plural == resource.plural and namespace in (None, of)]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def reader(api: Api, *namespaces: str) -> tuple[SurroundingsReader, Clock]:
    clock = Clock()
    return SurroundingsReader(api, "istio-system", namespaces, clock), clock  # type: ignore[arg-type]


def other(kind: Resource, name: str, namespace: str, **spec: object) -> Object:
    return {"kind": kind.kind, "metadata": {"name": name, "namespace": namespace, "managedFields": ["x"]}, "spec": spec}


async def settled(look: SurroundingsReader) -> None:
    """A refresh under way has ended."""
    if look._reading is not None:
        await look._reading


async def test_many_rollouts_share_one_look_until_it_is_too_old() -> None:
    api = Api()
    look, clock = reader(api)
    await asyncio.gather(*(look.around(f"team-{n}") for n in range(50)))
    clock.now += MAX_AGE_SECONDS - 1
    await look.around("team-1")
    assert api.reads == {kind.kind: 1 for kind in KINDS}
    clock.now += 2
    await asyncio.gather(*(look.around(f"team-{n}") for n in range(50)))
    await settled(look)
    assert api.reads == {kind.kind: 2 for kind in KINDS}


async def test_nobody_waits_for_a_newer_look() -> None:
    api = Api()
    look, clock = reader(api)
    before = await look.around("shop")
    api.gate = asyncio.Event()
    clock.now += 1000
    assert await look.around("shop") is before
    api.put(GATEWAYS, other(GATEWAYS, "edge", "edge"))
    api.gate.set()
    await settled(look)
    after = await look.around("shop")
    assert after is not None
    assert len(after.gateways) == 1


async def test_the_first_look_is_waited_for_with_bounded_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api()
    api.gate = asyncio.Event()
    monkeypatch.setattr(surroundings, "PATIENCE_SECONDS", 0.01)
    look, _ = reader(api)
    assert await look.around("shop") is None
    api.gate.set()
    await settled(look)
    assert await look.around("shop") is not None


async def test_a_kind_that_may_not_be_read_is_named_and_nothing_else_is_lost() -> None:
    api = Api()
    api.errors["EnvoyFilter"] = Forbidden(403, "Forbidden", "no")
    api.put(VIRTUALSERVICES, other(VIRTUALSERVICES, "v", "other", hosts=["reviews.shop.svc.cluster.local"]))
    look, _ = reader(api)
    found = await look.around("shop")
    assert found is not None
    assert "EnvoyFilter" in found.unreadable
    assert found.complete("VirtualService", "Gateway")
    assert [item["metadata"] for item in found.virtual_services] == [{"name": "v", "namespace": "other"}]


async def test_a_kind_that_is_not_installed_has_no_objects() -> None:
    api = Api()
    api.errors["EnvoyFilter"] = KindMissing(404, "NotFound", "no such kind")
    look, _ = reader(api)
    found = await look.around("shop")
    assert found is not None
    assert found.complete("EnvoyFilter")


async def test_while_the_api_server_is_away_the_last_look_counts() -> None:
    api = Api()
    api.put(ENVOYFILTERS, other(ENVOYFILTERS, "limit", "shop"))
    look, clock = reader(api)
    await look.around("shop")
    api.errors["EnvoyFilter"] = Unavailable(503, "", "away")
    api.errors["Gateway"] = Unavailable(503, "", "away")
    clock.now += 1000
    await look.around("shop")
    await settled(look)
    found = await look.around("shop")
    assert found is not None
    assert (len(found.envoy_filters), found.complete("EnvoyFilter", "Gateway")) == (1, True)


async def test_with_roles_only_their_namespaces_and_the_root_namespace_are_read() -> None:
    api = Api()
    api.errors["Service/istio-system"] = Forbidden(403, "Forbidden", "no")
    for namespace in ("shop", "istio-system", "elsewhere"):
        api.put(GATEWAYS, other(GATEWAYS, "gateway", namespace))
    look, _ = reader(api, "shop")
    found = await look.around("shop")
    assert found is not None
    assert [item["metadata"]["namespace"] for item in found.gateways] == ["shop", "istio-system"]
    assert not found.complete("Gateway"), "there may be more that nobody could see"


@pytest.mark.parametrize("count", [1, 10, 200])
def test_reading_namespace_by_namespace_keeps_to_a_rate(count: int) -> None:
    look, _ = reader(Api(), *(f"team-{n}" for n in range(count)))
    assert MAX_AGE_SECONDS <= look.max_age <= 60.0


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"mesh": "outboundTrafficPolicy:\n  mode: REGISTRY_ONLY\n"}, {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}),
        ({"mesh": "{"}, None),
        ({}, None),
    ],
)
async def test_the_mesh_config_is_read_from_istio_s_config_map(data: Object, expected: Object | None) -> None:
    api = Api()
    api.put(CONFIGMAPS, {"metadata": {"name": "istio", "namespace": "istio-system"}, "data": data})
    look, _ = reader(api)
    found = await look.around("shop")
    assert found is not None
    assert found.mesh_config == expected
    assert found.complete("MeshConfig") == (expected is not None)


async def test_nobody_looks_around_at_rest() -> None:
    operator = await stable()
    api = Api()
    operator.observer._surroundings = reader(api)[0]
    await operator.passes(5)
    assert not api.reads


async def test_a_rollout_under_way_looks_around() -> None:
    operator = await rolling_out()
    api = Api()
    operator.observer._surroundings = reader(api)[0]
    await operator.passes(5)
    assert api.reads[SERVICES.kind] == 1


async def test_before_a_subset_goes_other_namespaces_are_looked_at_and_not_before_the_routes_are_written() -> None:
    operator = await analysing()
    operator.edit(version="v1")
    await operator.passes(1)
    api = Api()
    operator.observer._surroundings = reader(api)[0]
    weights = operator.api.find(VIRTUALSERVICES, "reviews")["spec"]["http"][0]["route"]
    assert (operator.phase, len(weights), api.reads[VIRTUALSERVICES.kind]) == ("RollingBack", 1, 0)
    tester = other(
        VIRTUALSERVICES, "ingress", "edge", http=[{"route": [{"destination": {"host": f"reviews.{NAMESPACE}.svc", "subset": "v2"}}]}]
    )
    api.put(VIRTUALSERVICES, tester)
    while operator.phase != "Stable":
        await operator.passes(1)
    assert len(operator.api.find(DESTINATIONRULES, "reviews")["spec"]["subsets"]) == 2
