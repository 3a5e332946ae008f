"""The written rule: which routes move, which stay, why, and what spec.virtualService.routes changes about it."""

import copy
from typing import Any

import pytest
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus, Phase
from canaryrollout.core import virtual_services as vs
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.route_rule import RouteVerdict, Why, explain_routes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from test_strange_meshes import refused
from world import NAMESPACE, World, destination, destination_rule, pods, virtual_service

HOST = ServiceHost("reviews", NAMESPACE)
PLAIN: dict[str, Any] = {"destination": {"host": "reviews"}}
TESTERS = [{"headers": {"x-tester": {"exact": "1"}}}]


def verdict(route: dict[str, Any], wanted: tuple[str, ...] | None = None) -> RouteVerdict:
    (found,) = explain_routes(virtual_service([route]), HOST, "v1", "v2", wanted)
    return found


@pytest.mark.parametrize(
    ("route", "why", "moves"),
    [
        ({"route": [destination("v1")]}, Why.STABLE, True),
        ({"route": [destination("v1", 100), destination("v3", 0)]}, Why.STABLE, True),
        ({"route": [destination("v1", 90), destination("v2", 10)]}, Why.STABLE_AND_CANARY, True),
        ({"route": [PLAIN]}, Why.PLAIN_HOST, True),
        ({"route": [{**PLAIN, "weight": 50}, destination("v2", 50)]}, Why.PLAIN_HOST, True),
        ({"match": TESTERS, "route": [destination("v2")]}, Why.PINNED_TO_CANARY, False),
        ({"route": [destination("v1", 0), destination("v2", 100)]}, Why.PINNED_TO_CANARY, False),
        ({"route": [destination("v1", 50), destination("v3", 50)]}, Why.PINNED_ELSEWHERE, False),
        ({"route": [{**PLAIN, "weight": 50}, destination("v3", 50)]}, Why.PINNED_ELSEWHERE, False),
        ({"route": [destination("v1", 0), {"destination": {"host": "other"}, "weight": 100}]}, Why.NO_TRAFFIC, False),
        ({"route": [{"destination": {"host": "other"}}]}, Why.OTHER_TRAFFIC, False),
        ({"redirect": {"uri": "/new"}}, Why.OTHER_TRAFFIC, False),
        ({"directResponse": {"status": 503}}, Why.OTHER_TRAFFIC, False),
        ({"delegate": {"name": "reviews-routes"}}, Why.DELEGATED, False),
    ],
)
def test_every_route_has_a_reason_to_move_or_to_stay(route: dict[str, Any], why: Why, moves: bool) -> None:
    found = verdict(route)
    assert (found.why, found.moves) == (why, moves)
    assert found.explanation.startswith("moves: " if moves else "stays: ")


def test_a_route_pinned_elsewhere_says_where() -> None:
    assert verdict({"route": [destination("v3", 50), destination("v4", 50)]}).explanation.endswith("subset 'v3', 'v4'")


def test_only_listed_routes_move_and_the_others_keep_their_own_reason() -> None:
    routes = [
        {"name": "api", "route": [destination("v1")]},
        {"name": "web", "route": [destination("v1")]},
        {"name": "testers", "route": [destination("v2")]},
        {"route": [PLAIN]},
    ]
    found = explain_routes(virtual_service(routes), HOST, "v1", "v2", ("web",))
    assert [(verdict.key, verdict.why) for verdict in found] == [
        ("name:api", Why.NOT_LISTED),
        ("name:web", Why.STABLE),
        ("name:testers", Why.PINNED_TO_CANARY),
        ("default", Why.NOT_LISTED),
    ]


# --- in a whole rollout ---


def listed(*names: str, world: World | None = None) -> World:
    world = world or World()
    world.spec["virtualService"] = {"routes": list(names)}
    return world


def two_routes() -> tuple[dict[str, Any], dict[str, Any]]:
    routes = [{"name": "web", "match": [{"uri": {"prefix": "/web"}}], "route": [PLAIN]}, {"name": "api", "route": [PLAIN]}]
    return virtual_service(copy.deepcopy(routes)), destination_rule("v1")


def test_a_rollout_moves_the_listed_routes_and_never_touches_another() -> None:
    world = listed("web").add(*two_routes()).run_to(Phase.STABLE)
    assert world.parsed.routing is not None
    assert [(record.key, record.why) for record in world.parsed.routing.routes] == [("name:web", "PlainHost")]
    world.release("v2").run(until=lambda w: w.parsed.stable_version == "v2")
    assert world.split() == {"v2": 100}
    assert world.objects["VirtualService", "reviews"]["spec"]["http"][1] == two_routes()[0]["spec"]["http"][1]


def test_a_route_added_in_mid_rollout_moves_only_if_its_name_was_listed() -> None:
    world = listed("web").add(*two_routes()).run_to(Phase.STABLE).release("v2").run_to(Phase.ANALYSING)
    routes = world.objects["VirtualService", "reviews"]["spec"]["http"]
    routes.insert(0, {"name": "late", "match": [{"uri": {"prefix": "/late"}}], "route": [destination("v1")]})
    routes.insert(0, {"name": "web", "match": [{"uri": {"prefix": "/w"}}], "route": [destination("v1")]})
    world.run(until=lambda w: w.parsed.stable_version == "v2")
    assert [world.split(route=index) for index in (0, 1)] == [{"v2": 100}, {"v1": 100}]


def test_a_listed_route_renamed_in_mid_rollout_still_goes_back_to_stable() -> None:
    world = listed("web").add(*two_routes()).run_to(Phase.STABLE).release("v2").run_to(Phase.ANALYSING)
    world.objects["VirtualService", "reviews"]["spec"]["http"][0]["name"] = "shop"
    world.error_rate = {"v2": 0.5}
    world.run_to(Phase.ROLLED_BACK)
    assert world.split() == {"v1": 100}


def test_an_edit_of_the_list_waits_for_the_next_rollout() -> None:
    world = listed("web").add(*two_routes()).run_to(Phase.STABLE).release("v2").run_to(Phase.ANALYSING)
    listed("api", world=world)
    world.run(until=lambda w: w.parsed.stable_version == "v2")
    assert (world.split(route=0), world.split(route=1)) == ({"v2": 100}, {"": 100})
    world.release("v3").run_to(Phase.SHIFTING)
    world.run_to(Phase.ANALYSING)
    assert (world.split(route=0), world.split(route=1)) == ({"v2": 100}, {"v2": 95, "v3": 5})


@pytest.mark.parametrize(
    ("names", "routes", "reason"),
    [
        (["wbe"], [{"name": "web", "route": [PLAIN]}], "RouteNotFound"),
        (["web"], [{"route": [PLAIN]}], "RouteNotFound"),
        (["old"], [{"name": "web", "route": [PLAIN]}, {"name": "old", "redirect": {"uri": "/"}}], "RouteNotMovable"),
        (["web", "testers"], [{"name": "testers", "route": [destination("v2")]}, {"name": "web", "route": [PLAIN]}], "RouteNotMovable"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused_before_anything_is_touched(
    names: list[str], routes: list[dict[str, Any]], reason: str
) -> None:
    world = listed(*names).add(virtual_service(copy.deepcopy(routes)), destination_rule("v1", "v2"))
    world.spec["stableVersion"] = "v1"
    assert refused(world) == reason


def test_a_list_without_a_virtual_service_is_refused() -> None:
    assert refused(listed("web")) == "RouteNotFound"


def test_a_list_that_becomes_wrong_at_rest_stops_the_next_rollout() -> None:
    world = listed("web").add(*two_routes()).run_to(Phase.STABLE)
    world.objects["VirtualService", "reviews"]["spec"]["http"][0]["name"] = "shop"
    assert refused(world.release("v2")) == "RouteNotFound"


def test_live_routes_that_are_not_listed_do_not_tell_which_version_is_stable() -> None:
    routes = [{"name": "testers", "match": TESTERS, "route": [destination("v2")]}, {"name": "web", "route": [destination("v1")]}]
    world = listed("web").add(virtual_service(routes), destination_rule("v1", "v2"))
    world.versions["v2"] = pods("v2")
    assert world.run_to(Phase.STABLE).parsed.stable_version == "v1"
    assert world.writes == []


@pytest.mark.parametrize("names", [[], ["web", "web"], ["x" * 254], [""], [f"route-{number}" for number in range(65)]])
def test_a_list_is_bounded_and_names_each_route_once(names: list[str]) -> None:
    with pytest.raises(ValidationError):
        CanaryRolloutSpec.model_validate({"service": "reviews", "version": "v1", "virtualService": {"routes": names}})


def test_the_message_about_no_movable_route_says_why_each_one_stays() -> None:
    routes = [{"name": "testers", "match": TESTERS, "route": [destination("v3")]}, {"redirect": {"uri": "/"}}]
    world = World(spec={"service": "reviews", "version": "v1", "stableVersion": "v1"})
    assert refused(world.add(virtual_service(routes), destination_rule("v1", "v3"))) == "NoMovableRoute"
    assert "route 'testers' stays: it sends traffic of the service to subset 'v3'" in world.parsed.message
    assert "route default stays: it has no destination of the service" in world.parsed.message


# --- TCP and TLS ---


def opaque(kind: str, *subsets: str, weights: bool = False) -> dict[str, Any]:
    """spec.tcp or spec.tls with one route."""
    entries = [destination(subset, 50 if weights else None) if subset else copy.deepcopy(PLAIN) for subset in subsets]
    match = {"match": [{"port": 443, "sniHosts": ["reviews.shop.svc.cluster.local"]}]} if kind == "tls" else {}
    return {kind: [{**match, "route": entries}]}


@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_a_service_that_is_routed_by_connections_alone_is_refused(kind: str) -> None:
    service = virtual_service([], **opaque(kind, "v1"))
    del service["spec"]["http"]
    world = World().add(service, destination_rule("v1"))
    assert refused(world) == "OnlyOpaqueRoutes"
    assert "HTTP metric" in world.parsed.message


@pytest.mark.parametrize("kind", ["tcp", "tls"])
@pytest.mark.parametrize("subsets", [("v1",), ("v1", "v3")])
def test_connections_on_stables_subset_would_stay_behind_and_are_refused(kind: str, subsets: tuple[str, ...]) -> None:
    service = virtual_service([{"route": [destination("v1")]}], **opaque(kind, *subsets, weights=len(subsets) > 1))
    assert refused(World().add(service, destination_rule("v1", "v3"))) == "OpaqueRouteOnStable"


def test_connections_on_stables_subset_in_another_virtual_service_are_refused_too() -> None:
    other = virtual_service([], name="ingress", hosts=["db.example"], gateways=["edge"], **opaque("tcp", "v1"))
    service = virtual_service([{"route": [destination("v1")]}])
    assert refused(World().add(service, other, destination_rule("v1"))) == "OpaqueRouteOnStable"


@pytest.mark.parametrize("kind", ["tcp", "tls"])
@pytest.mark.parametrize("subsets", [("",), ("v3",), ("", "v3")])
def test_other_connections_stay_as_they_are_through_a_whole_rollout(kind: str, subsets: tuple[str, ...]) -> None:
    extra = opaque(kind, *subsets, weights=len(subsets) > 1)
    world = World().add(virtual_service([{"route": [destination("v1")]}], **copy.deepcopy(extra)), destination_rule("v1", "v3"))
    world.run_to(Phase.STABLE).release("v2").run(until=lambda w: w.parsed.stable_version == "v2")
    assert world.objects["VirtualService", "reviews"]["spec"][kind] == extra[kind]


# --- adopting a split that is live ---


def test_a_live_split_is_refused_until_stable_is_named() -> None:
    world = World(spec={"service": "reviews", "version": "v2"}).add(
        virtual_service([{"route": [destination("v1", 90), destination("v2", 10)]}]), destination_rule("v1", "v2")
    )
    world.versions["v2"] = pods("v2")
    assert refused(world) == "StableUnknown"
    assert "spec.stableVersion" in world.parsed.message


def test_a_pin_by_a_match_does_not_hide_which_version_everybody_else_gets() -> None:
    testers = {"name": "testers", "match": [{"headers": {"x-tester": {"exact": "yes"}}}], "route": [destination("v2")]}
    world = World().add(virtual_service([testers, {"name": "web", "route": [destination("v1")]}]), destination_rule("v1", "v2"))
    world.versions["v2"] = pods("v2")
    world.run_to(Phase.STABLE)
    assert world.parsed.stable_version == "v1"
    assert world.writes == [], "the pin stays as it is"


def test_routes_that_all_have_a_match_are_refused_where_they_disagree() -> None:
    matched = [
        {"match": [{"uri": {"prefix": f"/{version}"}}], "route": [destination(version)], "name": version} for version in ("v1", "v2")
    ]
    world = World().add(virtual_service(matched), destination_rule("v1", "v2"))
    world.versions["v2"] = pods("v2")
    assert refused(world) == "StableUnknown"


def test_a_named_stable_gets_the_canarys_share_before_the_first_step() -> None:
    world = World(spec={"service": "reviews", "version": "v2", "stableVersion": "v1"}).add(
        virtual_service([{"route": [destination("v1", 90), destination("v2", 10)]}]), destination_rule("v1", "v2")
    )
    world.versions["v2"] = pods("v2")
    world.run_to(Phase.STABLE)
    assert world.split() == {"v1": 100, "v2": 0}
    world.run_to(Phase.ANALYSING)
    assert world.split() == {"v1": 95, "v2": 5}


def canary_shares(service: dict[str, Any]) -> list[float]:
    """Per route, the share of its requests that goes to the canary's subset (of a plain host: half, there are as many pods)."""
    shares = []
    for route in vs.http_routes(service):
        entries = list(route.get("route") or [])
        total = sum(vs.weight_of(entry, entries) for entry in entries) or 1
        ours = vs.service_entries(service, route, HOST)
        part = {"v2": 1.0, "": 0.5}
        shares.append(sum(part.get(vs.subset_of(entry), 0.0) * vs.weight_of(entry, entries) for _, entry in ours) / total)
    return shares


@st.composite
def live_routes(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Routes by hand: any split of the service between versions and other services, named, matched or neither."""
    routes = []
    for number in range(draw(st.integers(1, 4))):
        subsets = draw(st.lists(st.sampled_from(["v1", "v2", "v3", "", "other"]), min_size=1, max_size=4, unique=True))
        cuts = sorted(draw(st.lists(st.integers(0, 100), min_size=len(subsets) - 1, max_size=len(subsets) - 1)))
        entries: list[dict[str, Any]] = []
        for subset, low, high in zip(subsets, [0, *cuts], [*cuts, 100], strict=True):
            plain = {"destination": {"host": "reviews" if subset == "" else "other"}}
            entries.append({**(destination(subset) if subset.startswith("v") else plain), "weight": high - low})
        name = {"name": f"route-{number}"} if draw(st.booleans()) else {}
        routes.append({**name, "match": [{"uri": {"exact": f"/{number}"}}], "route": entries})
    return routes


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(live_routes(), st.sampled_from(["v1", "v2"]), st.sampled_from([None, ["route-0"], ["route-0", "route-1"]]))
def test_whatever_is_live_adopting_never_gives_the_canary_more(routes: list[dict[str, Any]], version: str, names: list[str] | None) -> None:
    world = World(spec={"service": "reviews", "version": version, "stableVersion": "v1"})
    if names:
        world.spec["virtualService"] = {"routes": names}
    world.versions["v2"] = pods("v2")
    before = virtual_service(routes)
    world.add(copy.deepcopy(before), destination_rule("v1", "v2", "v3"))
    for _ in range(6):
        if world.phase is Phase.STABLE:
            break
        world.step()
        world.now += 1
    after = world.objects["VirtualService", "reviews"]
    assert all(new <= old for new, old in zip(canary_shares(after), canary_shares(before), strict=True))
    status: CanaryRolloutStatus = world.parsed
    moved = {record.key for record in status.routing.routes} if status.routing else set()
    for key, old, new, share in zip(
        vs.route_keys(before), before["spec"]["http"], after["spec"]["http"], canary_shares(after), strict=True
    ):
        assert (share == 0) if key in moved else (new == old)
