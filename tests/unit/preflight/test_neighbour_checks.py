"""Other namespaces' objects for the same service, and other services in its routes."""

from typing import Any

import pytest
from scene import FQDN, Scene, item, said, to


def claiming(created: str, **spec: Any) -> dict[str, Any]:
    return item("VirtualService", "other", "edge", created, hosts=[FQDN], http=[{"route": [to("v1", host=FQDN)]}], **spec)


def test_an_older_claim_of_the_host_forbids_everything() -> None:
    assert said(others=[claiming("2023-01-01T00:00:00Z")]) == [("HostClaimedElsewhere", "error", "spec.hosts")]


def test_a_younger_one_is_dropped_by_istio_and_only_told() -> None:
    assert said(others=[claiming("2025-01-01T00:00:00Z")]) == [("HostClaimedElsewhere", "warning", "spec.hosts")]


@pytest.mark.parametrize("spec", [{"exportTo": ["."]}, {"exportTo": ["search"]}, {"gateways": ["edge/public"]}])
def test_a_claim_that_does_not_reach_the_namespace_is_none(spec: dict[str, Any]) -> None:
    assert said(others=[claiming("2023-01-01T00:00:00Z", **spec)]) == []


def rule(host: str, *subsets: str, namespace: str = "edge") -> dict[str, Any]:
    return item("DestinationRule", "other", namespace, host=host, subsets=[{"name": name} for name in subsets])


@pytest.mark.parametrize("host", [FQDN, "*.shop.svc.cluster.local", "*.local"])
def test_a_rule_of_callers_that_lacks_a_subset_is_named(host: str) -> None:
    (finding,) = Scene(others=[rule(host, "v1")]).findings()
    assert (finding.code, finding.severity.value, finding.subject) == ("DestinationRuleElsewhere", "warning", "DestinationRule/edge/other")
    assert "lacks subset 'v2'" in finding.message
    assert "waits in vain for their proxies' proof, and then times out (sync.timeout)" in finding.message


@pytest.mark.parametrize(
    "found", [rule(FQDN, "v1", "v2"), rule(FQDN, namespace="istio-system"), rule("reviews.shop"), rule("ratings.shop.svc.cluster.local")]
)
def test_a_rule_with_the_subsets_or_for_others_is_in_order(found: dict[str, Any]) -> None:
    assert said(others=[found]) == []


PATH = "spec.http[0].route[1].destination.host"


def split(host: str) -> list[dict[str, Any]]:
    return [{"route": [to("v1", 90), to("", 10, host=host)]}]


@pytest.mark.parametrize("host", ["details", "details.shop.svc.cluster.local", "api.example.com", "ratings.search"])
def test_a_destination_that_the_mesh_does_not_know_is_named(host: str) -> None:
    assert said(http=split(host)) == [("DestinationUnknown", "warning", PATH)]


@pytest.mark.parametrize("host", ["ratings", "ratings.shop", "ratings.shop.svc", "ratings.shop.svc.cluster.local"])
def test_a_service_is_known_by_all_its_names(host: str) -> None:
    assert said(http=split(host)) == []


@pytest.mark.parametrize(("hosts", "known"), [(["api.example.com"], True), (["*.example.com"], True), (["api.example.org"], False)])
def test_a_service_entry_makes_a_host_known(hosts: list[str], known: bool) -> None:
    assert (said(http=split("api.example.com"), others=[item("ServiceEntry", "api", hosts=hosts)]) == []) == known


def test_a_service_entry_that_is_not_exported_does_not() -> None:
    entry = item("ServiceEntry", "api", "edge", hosts=["api.example.com"], exportTo=["."])
    assert said(http=split("api.example.com"), others=[entry]) == [("DestinationUnknown", "warning", PATH)]


def test_a_mesh_that_lets_nothing_out_is_mentioned() -> None:
    config = {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}
    (finding,) = Scene(http=split("api.example.com"), mesh_config=config).findings()
    assert "REGISTRY_ONLY" in finding.message


@pytest.mark.parametrize("unreadable", ["Service", "ServiceEntry"])
def test_without_all_services_and_entries_nothing_is_unknown(unreadable: str) -> None:
    assert said(http=split("api.example.com"), unreadable=(unreadable,)) == []
