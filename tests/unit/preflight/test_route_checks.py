"""Routes: faults, weights, shadows, ports, and other namespaces' ways in."""

from typing import Any

import pytest
from scene import FQDN, Scene, item, routing, said, to

MATCH = [{"headers": {"x-tester": {"exact": "yes"}}}]


def test_a_sound_configuration_has_nothing_to_be_said_about() -> None:
    assert Scene().findings() == ()
    assert Scene().skipped() == ()


@pytest.mark.parametrize("kind", ["delay", "abort"])
@pytest.mark.parametrize("percentage", [{"percentage": {"value": 0.1}}, {"percent": 10}])
def test_a_fault_on_a_moving_route_forbids_everything(kind: str, percentage: dict[str, Any]) -> None:
    http = [{"name": "all", "fault": {kind: {**percentage, "httpStatus": 500}}, "route": [to("v1")]}]
    assert said(http=http) == [("FaultInjected", "error", "spec.http[0].fault")]


def test_a_fault_says_where_and_what_to_do() -> None:
    http = [{"name": "all", "fault": {"abort": {"percentage": {"value": 5}, "httpStatus": 500}}, "route": [to("v1")]}]
    (finding,) = Scene(http=http).findings()
    assert finding.placed.reason == "FaultInjected"
    assert finding.placed.message.startswith("VirtualService/shop/reviews, spec.http[0].fault: route 'all' injects a fault (abort)")
    assert "remove fault" in finding.placed.message


@pytest.mark.parametrize("fault", [{}, {"abort": {"httpStatus": 500}}, {"delay": {"percentage": {"value": 0}, "fixedDelay": "5s"}}])
def test_a_fault_that_meets_no_request_is_none(fault: dict[str, Any]) -> None:
    assert said(http=[{"fault": fault, "route": [to("v1")]}]) == []


def test_a_fault_on_a_route_that_stays_is_left_alone() -> None:
    pinned = {"match": MATCH, "fault": {"abort": {"percentage": {"value": 100}, "httpStatus": 500}}, "route": [to("v2")]}
    assert said(http=[pinned, {"route": [to("v1")]}]) == []


def test_which_routes_move_is_taken_from_the_rollout_under_way() -> None:
    fault = {"abort": {"percentage": {"value": 100}, "httpStatus": 500}}
    http = [{"name": "pinned", "match": MATCH, "route": [to("v1")], "fault": fault}, {"name": "all", "route": [to("v1")]}]
    assert said(http=http, routing=routing(routes=[{"key": "name:all"}])) == []
    assert len(said(http=http, routing=routing(routes=[{"key": "name:all"}, {"key": "name:pinned"}]))) == 1


@pytest.mark.parametrize(("weights", "expected"), [((90, 10), 0), ((9, 1), 1), ((100, 100), 1)])
def test_weights_that_are_shares_of_another_sum_are_named(weights: tuple[int, int], expected: int) -> None:
    found = said(http=[{"route": [to("v1", weights[0]), to("v2", weights[1])]}])
    assert found == [("WeightsNotHundred", "warning", "spec.http[0].route")] * expected


def test_a_lone_destination_needs_no_weight() -> None:
    assert said(http=[{"route": [to("v1", 7)]}]) == []


SHADOWS: list[tuple[list[dict[str, Any]], list[dict[str, Any]], bool]] = [
    ([], MATCH, True),
    ([{"uri": {"prefix": "/"}}], MATCH, True),
    (MATCH, MATCH, True),
    (MATCH, [{**MATCH[0], "uri": {"exact": "/x"}}], True),
    ([{"uri": {"prefix": "/api"}}], [{"uri": {"exact": "/api/v1"}}], True),
    ([{"uri": {"prefix": "/api"}}], [{"uri": {"prefix": "/api/v1"}}], True),
    ([{"uri": {"prefix": "/API"}, "ignoreUriCase": True}], [{"uri": {"prefix": "/api/v1"}}], True),
    ([{"gateways": ["mesh"]}], MATCH, True),
    ([{"gateways": ["shop/edge"]}], MATCH, False),
    (MATCH, [], False),
    ([{"uri": {"prefix": "/api/v1"}}], [{"uri": {"prefix": "/api"}}], False),
    ([{"uri": {"exact": "/api"}}], [{"uri": {"prefix": "/api"}}], False),
    ([{"uri": {"regex": "/api.*"}}], [{"uri": {"prefix": "/api"}}], False),
    ([{"uri": {"prefix": "/api"}}], [{"uri": {"prefix": "/api"}, "ignoreUriCase": True}], False),
    ([{"uri": {"prefix": "/API"}}], [{"uri": {"prefix": "/api"}}], False),
    ([{"method": {"exact": "GET"}}], MATCH, False),
    ([{"port": 80}], [{"port": 81}], False),
    ([{"port": 80}], [{"port": 80, **MATCH[0]}], True),
    ([{"sourceLabels": {"app": "a"}}], [{"sourceLabels": {"app": "a", "version": "v1"}}], True),
    ([{"sourceLabels": {"app": "a", "version": "v1"}}], [{"sourceLabels": {"app": "a"}}], False),
    ([{"withoutHeaders": {"x": {}}}], MATCH, False),
    ([{"somethingNew": {"exact": "x"}}], [{"somethingNew": {"exact": "x"}}], False),
]


@pytest.mark.parametrize(("earlier", "later", "shadowed"), SHADOWS)
def test_a_route_behind_one_that_takes_the_same_requests_is_named(earlier: list[Any], later: list[Any], shadowed: bool) -> None:
    http = [
        {"name": "first", **({"match": earlier} if earlier else {}), "route": [to("v1")]},
        {"name": "second", **({"match": later} if later else {}), "route": [to("v1")]},
    ]
    edge = item("Gateway", "edge", servers=[{"hosts": ["*"]}])
    assert said(http=http, others=[edge]) == [("RouteShadowed", "warning", "spec.http[1]")] * shadowed


def test_one_match_of_several_that_is_taken_is_only_information() -> None:
    later = [*MATCH, {"uri": {"prefix": "/other"}}]
    http = [{"match": MATCH, "route": [to("v1")]}, {"match": later, "route": [to("v1")]}, {"route": [to("v1")]}]
    assert said(http=http) == [("MatchShadowed", "info", "spec.http[1].match[0]")]


def test_a_route_that_delegates_does_not_shadow() -> None:
    assert said(http=[{"delegate": {"name": "other"}}, {"route": [to("v1")]}]) == []


def two_ports() -> dict[str, Any]:
    return {"spec": {"selector": {"app": "reviews"}, "ports": [{"port": 80}, {"port": 9090}]}}


PORT = "spec.http[0].route[0].destination.port"


def test_a_port_that_the_service_lacks_forbids_everything() -> None:
    http = [{"route": [to("v1", port={"number": 8080})]}]
    assert said(http=http) == [("PortMismatch", "error", PORT)]
    assert said(http=[{"route": [to("v1", port={"number": 80})]}]) == []


def test_a_port_that_the_service_lacks_behind_a_match_is_a_warning() -> None:
    pinned = {"match": MATCH, "route": [to("v2", port={"number": 8080})]}
    assert said(http=[pinned, {"route": [to("v1")]}]) == [("PortMismatch", "warning", PORT)]


def test_a_destination_of_a_service_with_several_ports_should_name_one() -> None:
    assert said(service=two_ports()) == [("PortUnsaid", "info", PORT)]
    public = item("Gateway", "public", servers=[{"hosts": ["*"]}])
    assert said(service=two_ports(), gateways=["mesh", "public"], hosts=["shop.example.com"], others=[public]) == [
        ("PortUnsaid", "warning", PORT)
    ]
    assert said(service=two_ports(), http=[{"route": [to("v1", port={"number": 9090})]}]) == []


def test_a_way_in_from_another_namespace_that_reaches_all_versions_is_named() -> None:
    edge = item("VirtualService", "edge", "edge", hosts=["shop.example.com"], http=[{"route": [to(host=FQDN)]}], gateways=["edge/gw"])
    (finding,) = Scene(others=[edge]).findings()
    assert (finding.code, finding.severity, finding.subject) == ("RoutedFromElsewhere", "warning", "VirtualService/edge/edge")
    pinned = item("VirtualService", "edge", "edge", hosts=["shop.example.com"], http=[{"route": [to("v1", host=FQDN)]}])
    assert said(others=[pinned]) == []


def beside(name: str = "public", **spec: Any) -> dict[str, Any]:
    """Another VirtualService of the namespace."""
    return item("VirtualService", name, **{"hosts": ["shop.example.com"], "gateways": ["public"], **spec})


def besides(*others: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    found = Scene(mesh=list(others), spec={"virtualService": {"name": "reviews"}}, unreadable=("Gateway",)).findings()
    return [(f.code, f.severity.value, f.subject, f.path) for f in found]


def test_a_virtual_service_that_the_rollout_does_not_move_is_named() -> None:
    named = ("RoutedBesides", "warning", "VirtualService/shop/public", "spec.http[1]")
    elsewhere = {"route": [to(host="ratings")]}
    assert besides(beside(http=[elsewhere, {"route": [to()]}])) == [named]
    assert besides(beside(http=[elsewhere, {"route": [to("v1", host=FQDN)]}])) == [named]
    assert besides(beside(http=[elsewhere, {"match": MATCH, "route": [to("", 10), to("v1", 90)]}])) == [named]


def test_it_says_what_becomes_of_those_requests() -> None:
    wanted = {"virtualService": {"name": "reviews"}}
    plain, stable = beside(http=[{"route": [to()]}] * 2), beside("old", http=[{"route": [to("v1")]}])
    said = [finding.message for finding in Scene(mesh=[plain, stable], spec=wanted, unreadable=("Gateway",)).findings()]
    assert len(said) == 2
    assert "without a subset (http[0], http[1]): they reach pods of all versions" in said[0]
    assert "to stable's subset 'v1' (http[0]): they stay there" in said[1]


@pytest.mark.parametrize(
    "route",
    [
        {"route": [to("v2")]},
        {"route": [to("v2", 100), to("v1", 0)]},
        {"route": [to("", host="ratings")]},
        {"delegate": {"name": "reviews"}},
        {"redirect": {"uri": "/"}},
    ],
)
def test_what_is_pinned_or_of_others_is_meant_so(route: dict[str, Any]) -> None:
    assert besides(beside(http=[route])) == []


def test_a_delegate_counts_where_something_delegates_to_it() -> None:
    delegate = item("VirtualService", "routes", http=[{"route": [to()]}])
    root = beside("root", http=[{"delegate": {"name": "routes"}}])
    assert besides(delegate) == []
    assert besides(delegate, root) == [("RoutedBesides", "warning", "VirtualService/shop/routes", "spec.http[0]")]
