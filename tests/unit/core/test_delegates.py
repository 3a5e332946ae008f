"""How the proxies show a delegate's routes: under its roots' names, where they apply, beside what else the roots route."""

import json
from typing import Any

import pytest
from canaryrollout.api.status import Phase
from canaryrollout.core.envoy_routes import EnvoySplit, Shown, shown
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.snapshot import Expectation
from canaryrollout.mesh.config_dump import read_dump
from world import NAMESPACE, World, destination, destination_rule, virtual_service

HOST = ServiceHost("reviews", NAMESPACE)
FQDN = HOST.fqdn
SPLIT: EnvoySplit = ((FQDN, "v1", 90), (FQDN, "v2", 10))


def delegate(*routes: dict[str, Any], name: str = "reviews") -> dict[str, Any]:
    service = virtual_service(list(routes) or [{"route": [destination("v1", 90), destination("v2", 10)]}], name=name)
    del service["spec"]["hosts"]
    return service


def root(*routes: dict[str, Any], name: str = "root", namespace: str = NAMESPACE, **spec: Any) -> dict[str, Any]:
    to_ours = {"delegate": {"name": "reviews", "namespace": NAMESPACE}}
    found = virtual_service(list(routes) or [to_ours], name=name, **{"hosts": ["shop.example"], "gateways": ["edge"], **spec})
    found["metadata"]["namespace"] = namespace
    return found


def see(*roots: dict[str, Any], of: dict[str, Any] | None = None) -> Shown:
    of = of or delegate()
    return shown(of, HOST, (of, *roots))


def test_a_gateways_root_gives_the_name_and_no_sidecar_is_waited_for() -> None:
    assert see(root()) == Shown((SPLIT,), (SPLIT,), ((NAMESPACE, "root"),), sidecars=False, visible_in=())


def test_an_ordinary_virtual_service_shows_under_its_own_name() -> None:
    service = virtual_service([{"route": [destination("v1", 90), destination("v2", 10)]}])
    assert shown(service, HOST) == Shown((SPLIT,), (SPLIT,), ((NAMESPACE, "reviews"),), sidecars=True, visible_in=())


@pytest.mark.parametrize(
    ("spec", "sidecars"),
    [
        ({"hosts": ["shop.example"], "gateways": ["edge", "mesh"]}, False),
        ({"hosts": ["shop.example", "reviews"], "gateways": ["edge", "mesh"]}, True),
        ({"hosts": ["*.shop.svc.cluster.local"], "gateways": ["mesh"]}, True),
        ({"hosts": ["reviews"], "gateways": ["edge"]}, False),
    ],
)
def test_sidecars_are_waited_for_where_the_services_own_host_is_routed_in_the_mesh(spec: dict[str, Any], sidecars: bool) -> None:
    assert see(root(**spec)).sidecars is sidecars
    assert shown(virtual_service([{"route": [destination("v1")]}], **spec), HOST).sidecars is sidecars


def test_roots_of_any_namespace_count_and_only_their_visibility_does() -> None:
    roots = root(name="a", exportTo=["."]), root(name="b", namespace="edge", exportTo=["edge", "web"])
    found = see(*roots)
    assert found.sources == (("edge", "b"), (NAMESPACE, "a"))
    assert found.visible_in == ("edge", NAMESPACE, "web")
    assert see(*roots, root(name="c")).visible_in == ()


def test_another_s_delegate_of_the_same_name_is_not_ours() -> None:
    assert see(root({"delegate": {"name": "reviews"}}, namespace="edge")).sources == ()


def test_what_else_a_root_routes_to_the_service_is_allowed_and_not_required() -> None:
    other = delegate({"route": [destination("v3")]}, name="other")
    own = {"match": [{"uri": {"prefix": "/own"}}], "route": [destination("v4")]}
    found = shown(delegate(), HOST, (other, root(own, {"delegate": {"name": "other"}}, {"delegate": {"name": "reviews"}})))
    assert set(found.allowed) == {SPLIT, ((FQDN, "v3", 100),), ((FQDN, "v4", 100),)}


@pytest.mark.parametrize(
    ("routes", "required"),
    [
        ([{"delegate": {"name": "reviews"}}], True),
        ([{"match": [{"uri": {"prefix": "/r"}}], "delegate": {"name": "reviews"}}], True),
        ([{"match": [{"sourceLabels": {"app": "x"}}], "delegate": {"name": "reviews"}}], False),
        ([{"route": [{"destination": {"host": "all"}}]}, {"delegate": {"name": "reviews"}}], False),
    ],
)
def test_a_root_that_may_hide_the_delegates_routes_from_a_proxy_requires_none(routes: list[dict[str, Any]], required: bool) -> None:
    assert bool(see(root(*routes)).required) is required


def test_matches_of_root_and_delegate_may_conflict_so_that_nothing_is_required() -> None:
    matched = delegate({"match": [{"uri": {"prefix": "/x"}}], "route": [destination("v1")]})
    assert see(root({"match": [{"uri": {"prefix": "/r"}}], "delegate": {"name": "reviews"}}), of=matched).required == ()
    assert see(root(), of=matched).required != ()


def dump(*sources: str) -> bytes:
    """A config dump with one route to reviews for each "NAMESPACE/virtual-service/NAME"."""
    routes = [
        {
            "route": {"cluster": f"outbound|80|v{number}|{FQDN}"},
            "metadata": {"filterMetadata": {"istio": {"config": f"/apis/networking.istio.io/v1/namespaces/{source}"}}},
        }
        for number, source in enumerate(sources, 1)
    ]
    clusters = {"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump", "versionInfo": "2024-01-01T00:00:00Z/7"}
    config = {"dynamicRouteConfigs": [{"routeConfig": {"virtualHosts": [{"routes": routes}]}}]}
    return json.dumps({"configs": [{**clusters, "dynamicActiveClusters": []}, config]}).encode()


def test_a_dump_is_read_by_the_names_of_the_roots() -> None:
    body = dump("shop/virtual-service/reviews", "edge/virtual-service/root", "shop/virtual-service/root")
    question = Expectation(NAMESPACE, FQDN, "reviews", ("v1",))
    assert read_dump(body, question).splits == {((FQDN, "v1", 100),)}
    by_roots = Expectation(NAMESPACE, FQDN, "reviews", ("v1",), sources=(("edge", "root"), ("shop", "root")))
    assert read_dump(body, by_roots).splits == {((FQDN, "v2", 100),), ((FQDN, "v3", 100),)}


def test_a_delegate_goes_through_a_whole_rollout_and_its_root_is_never_written() -> None:
    service, gateway = delegate({"route": [destination("v1")]}), root()
    world = World().add(service, gateway, destination_rule("v1")).run_to(Phase.STABLE)
    assert world.parsed.routing is not None
    assert world.parsed.routing.roots == ("shop/root",)
    world.release("v2").run(until=lambda w: w.parsed.stable_version == "v2")
    assert world.split() == {"v2": 100}
    assert {item["metadata"]["name"] for item in world.writes if item["kind"] == "VirtualService"} == {"reviews"}
    assert world.objects["VirtualService", "root"] == gateway


def test_a_delegate_deleted_in_mid_rollout_is_made_again_as_a_delegate() -> None:
    world = World().add(delegate({"route": [destination("v1")]}), root(), destination_rule("v1")).run_to(Phase.STABLE)
    world.release("v2").run(until=lambda w: w.phase is Phase.ANALYSING and w.parsed.weight == 10)
    del world.objects["VirtualService", "reviews"]
    world.run(until=lambda w: w.parsed.stable_version == "v2")
    assert "hosts" not in world.objects["VirtualService", "reviews"]["spec"]
    assert world.split() == {"v2": 100}


def test_the_roots_that_a_rollout_began_with_are_asked_for_even_when_they_are_out_of_sight() -> None:
    found = shown(delegate(), HOST, (), recorded=(("edge", "root"),))
    assert (found.sources, found.required, found.sidecars) == ((("edge", "root"),), (), False)
