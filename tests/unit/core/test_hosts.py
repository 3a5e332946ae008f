"""Which objects apply to the service's host: every form of a name, wildcards, and what other namespaces have."""

from typing import Any

import pytest
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import Phase
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.preflight import hosts
from canaryrollout.core.preflight.inputs import Input
from canaryrollout.core.snapshot import MeshObjects, Raw, Snapshot
from canaryrollout.core.surroundings import Cluster, Surroundings
from test_strange_meshes import refused
from world import NAMESPACE, World, destination, destination_rule, virtual_service

HOST = ServiceHost("reviews", NAMESPACE)
FQDN = "reviews.shop.svc.cluster.local"
POLICY = {"tls": {"mode": "ISTIO_MUTUAL"}}


@pytest.mark.parametrize(
    ("name", "namespace", "resolved", "short"),
    [
        ("reviews", "shop", True, False),
        ("reviews", "other", False, False),
        (FQDN, "other", True, False),
        ("reviews.shop", "shop", True, True),
        ("reviews.shop.svc", "other", True, True),
        ("reviews.other", "shop", False, False),
        ("reviews.shop.svc.example", "shop", False, False),
        ("", "shop", False, False),
    ],
)
def test_a_name_means_the_service_and_istio_may_not_resolve_it(name: str, namespace: str, resolved: bool, short: bool) -> None:
    assert (HOST.matches(name, namespace), HOST.is_short_form(name)) == (resolved, short)


@pytest.mark.parametrize(
    ("name", "covered"),
    [
        ("*", True),
        ("*.local", True),
        ("*.shop.svc.cluster.local", True),
        ("*.other.svc.cluster.local", False),
        ("*.shop", False),
        (FQDN, False),
        ("", False),
    ],
)
def test_a_wildcard_covers_the_service_by_its_full_name(name: str, covered: bool) -> None:
    assert HOST.is_covered_by(name) is covered


def elsewhere(item: dict[str, Any], namespace: str, created: str = "2024-01-01T00:00:00Z", **spec: Any) -> dict[str, Any]:
    """An object as of another namespace."""
    metadata = {**item["metadata"], "namespace": namespace, "creationTimestamp": created}
    return {**item, "metadata": metadata, "spec": {**item["spec"], **spec}}


def given(*objects: Raw, around: tuple[Raw, ...] | None = (), version: str = "v1", **spec: Any) -> Input:
    """The input of a check."""
    mesh = MeshObjects(
        tuple(o for o in objects if o["kind"] == "VirtualService"), tuple(o for o in objects if o["kind"] == "DestinationRule")
    )
    surroundings = None
    if around is not None:
        kinds = {kind: [o for o in (*around, *objects) if o["kind"] == kind] for kind in ("VirtualService", "DestinationRule")}
        surroundings = Cluster(kinds).around(NAMESPACE)
    snapshot = Snapshot(name="reviews", namespace=NAMESPACE, uid="u", generation=1, now=0.0, mesh=mesh, surroundings=surroundings)
    return Input(snapshot, CanaryRolloutSpec.model_validate({"service": "reviews", "version": version, **spec}), HOST)


# --- forms of names ---


@pytest.mark.parametrize("name", ["reviews.shop", "reviews.shop.svc"])
def test_short_forms_with_dots_are_refused_wherever_they_stand(name: str) -> None:
    plain: dict[str, Any] = {"destination": {"host": name}}
    assert refused(World().add(virtual_service([{"route": [plain]}]))) == "HostNotResolved"
    assert (
        refused(World().add(virtual_service([{"route": [destination("v1")]}], hosts=[name]), destination_rule("v1"))) == "HostNotResolved"
    )
    world = World().add(destination_rule("v1", host=name))
    assert refused(world) == "HostNotResolved"
    assert FQDN in world.parsed.message


@pytest.mark.parametrize("more", [{"hosts": ["reviews", "reviews.shop"]}, {"hosts": ["reviews.shop"], "gateways": ["edge"]}])
def test_short_forms_beside_the_name_or_on_a_gateway_are_only_domains(more: dict[str, Any]) -> None:
    service = virtual_service([{"route": [destination("v1")]}], **more)
    World().add(service, destination_rule("v1")).run_to(Phase.STABLE)


@pytest.mark.parametrize("name", ["reviews", FQDN])
def test_names_that_istio_resolves_are_adopted(name: str) -> None:
    entry: dict[str, Any] = {"destination": {"host": name, "subset": "v1"}}
    world = World().add(virtual_service([{"route": [entry]}], hosts=[name]), destination_rule("v1", host=name)).run_to(Phase.STABLE)
    assert world.writes == []


# --- wildcards of the namespace ---


@pytest.mark.parametrize("name", ["*", "*.shop.svc.cluster.local", "*.local"])
def test_no_virtual_service_is_created_in_the_place_of_a_wildcards(name: str) -> None:
    wildcard = virtual_service([{"timeout": "3s", "route": [{"destination": {"host": "proxy"}}]}], name="all", hosts=[name])
    world = World().add(wildcard, destination_rule("v1"))
    assert refused(world) == "WildcardVirtualService"
    assert "VirtualService/shop/all" in world.parsed.message


def test_a_wildcard_on_a_gateway_is_nobody_s_rival() -> None:
    wildcard = virtual_service([{"route": [{"destination": {"host": "proxy"}}]}], name="all", hosts=["*"], gateways=["edge"])
    World().add(wildcard).run_to(Phase.STABLE)


def test_a_wildcard_that_routes_the_service_carries_the_weights() -> None:
    wildcard = virtual_service([{"route": [destination("v1")]}], hosts=["*.shop.svc.cluster.local"])
    world = World().add(wildcard, destination_rule("v1")).run_to(Phase.STABLE).release("v2").run_to(Phase.ANALYSING)
    assert world.split() == {"v1": 95, "v2": 5}


@pytest.mark.parametrize("name", ["*", "*.shop.svc.cluster.local", "*.local"])
@pytest.mark.parametrize("spec", [{"trafficPolicy": POLICY}, {"subsets": [{"name": "v1", "labels": {"version": "v1"}}]}])
def test_no_destination_rule_is_created_in_the_place_of_a_wildcards_policies(name: str, spec: dict[str, Any]) -> None:
    world = World().add(virtual_service([{"route": [destination("")]}]))
    world.objects["VirtualService", "reviews"]["spec"]["http"][0]["route"] = [{"destination": {"host": "reviews"}}]
    rule = destination_rule(name="all", host=name)
    del rule["spec"]["subsets"]
    rule["spec"] |= spec
    assert refused(world.add(rule)) == "WildcardDestinationRule"
    del world.objects["DestinationRule", "all"]
    world.run_to(Phase.STABLE)


def test_a_wildcard_rule_that_says_nothing_is_no_loss_and_one_beside_the_services_own_is_none_either() -> None:
    empty = destination_rule(name="all", host="*.local")
    del empty["spec"]["subsets"]
    World().add(empty).run_to(Phase.STABLE)
    policy = destination_rule(name="all", host="*.local", trafficPolicy=POLICY)
    World().add(policy, destination_rule("v1")).run_to(Phase.STABLE)


# --- other namespaces ---


def test_a_rule_of_the_root_namespace_is_not_lost_by_one_that_is_created() -> None:
    rule = elsewhere(destination_rule(name="default", host="*.local", trafficPolicy=POLICY), "istio-system")
    problem = hosts.destination_rule_would_shadow(given(around=(rule,)))
    assert problem is not None
    assert problem.reason == "WildcardDestinationRule"
    assert "DestinationRule/istio-system/default" in problem.message
    assert hosts.destination_rule_would_shadow(given(destination_rule("v1"), around=(rule,))) is None
    hidden = elsewhere(rule, "istio-system", exportTo=["."])
    assert hosts.destination_rule_would_shadow(given(around=(hidden,))) is None
    elsewhere_rule = elsewhere(rule, "web")
    assert hosts.destination_rule_would_shadow(given(around=(elsewhere_rule,))) is None, "a client's rule is not inherited"


# --- delegates ---


def delegate(**more: Any) -> dict[str, Any]:
    found = virtual_service([{"route": [destination("v1")]}], **more)
    del found["spec"]["hosts"]
    return found


def root(namespace: str = NAMESPACE, target: dict[str, str] | None = None) -> dict[str, Any]:
    found = virtual_service([{"delegate": {"name": "reviews", **(target or {})}}], name="root", hosts=["shop.example"], gateways=["edge"])
    return elsewhere(found, namespace)


def test_a_delegate_needs_a_root_in_sight() -> None:
    checks = {
        "none": given(delegate(), destination_rule("v1")),
        "of another": given(delegate(), root("edge"), destination_rule("v1")),
        "here": given(delegate(), root(), destination_rule("v1")),
        "elsewhere": given(delegate(), destination_rule("v1"), around=(root("edge", {"namespace": "shop"}),)),
    }
    found = {name: hosts.delegate_has_root(seen) for name, seen in checks.items()}
    assert {name: problem.reason for name, problem in found.items() if problem} == {
        "none": "DelegateWithoutRoot",
        "of another": "DelegateWithoutRoot",
    }


def test_a_delegate_whose_root_may_not_be_read_is_refused_with_the_right_that_is_missing() -> None:
    blind = Surroundings(unreadable=("VirtualService",))
    for around in (None, blind):
        seen = given(delegate(), around=None)
        snapshot = Snapshot(
            name="reviews", namespace=NAMESPACE, uid="u", generation=1, now=0.0, mesh=seen.snapshot.mesh, surroundings=around
        )
        problem = hosts.delegate_has_root(Input(snapshot, seen.spec, HOST))
        assert problem is not None
        assert "let the operator read VirtualServices of all namespaces" in problem.message
