"""What people do to the mesh while a rollout is under way."""

from typing import Any

import pytest
from canaryrollout.api.status import Phase
from canaryrollout.core.surroundings import KINDS, Surroundings
from world import World, adopted, destination, destination_rule, pods, virtual_service


def analysing_at(weight: int, world: World | None = None) -> World:
    """A rollout from v1 to v2 whose step of that weight is under analysis."""
    world = (world or adopted()).release("v2")
    return world.run(until=lambda w: w.phase is Phase.ANALYSING and w.parsed.weight == weight)


def routes(world: World) -> list[dict[str, Any]]:
    """The live HTTP routes."""
    found: list[dict[str, Any]] = world.objects["VirtualService", "reviews"]["spec"]["http"]
    return found


@pytest.mark.parametrize("weight", [50, 100])
def test_a_route_renamed_in_mid_rollout_goes_back_to_stable_with_the_others(weight: int) -> None:
    world = analysing_at(weight)
    routes(world)[0]["name"] = "main"
    world.error_rate = {"v2": 0.5}
    world.run_to(Phase.ROLLED_BACK)
    assert world.split() == {"v1": 100}


def test_a_route_matched_anew_in_mid_rollout_is_promoted_with_the_others() -> None:
    world = analysing_at(10)
    del routes(world)[0]["name"]
    routes(world)[0]["match"] = [{"uri": {"prefix": "/v1"}}]
    world.run(until=lambda w: w.parsed.stable_version == "v2")
    assert world.split() == {"v2": 100}


def test_a_route_added_in_mid_rollout_moves_by_the_same_rule() -> None:
    world = analysing_at(10)
    routes(world).append({"name": "late", "route": [destination("v1")]})
    world.run(until=lambda w: w.parsed.stable_version == "v2")
    assert world.split(route=1) == {"v2": 100}


def test_a_route_pinned_to_the_canary_in_mid_rollout_stays_as_it_is() -> None:
    world = analysing_at(10)
    pinned = {"name": "testers", "match": [{"headers": {"x-tester": {"exact": "1"}}}], "route": [destination("v2")]}
    routes(world).append(pinned)
    world.run(until=lambda w: w.parsed.weight == 50)
    assert routes(world)[1] == pinned


@pytest.mark.parametrize(
    "use",
    [
        {"http": [{"name": "testers", "route": [destination("v2")]}]},
        {"http": [{"route": [destination("v1")], "mirror": {"host": "reviews", "subset": "v2"}}]},
        {"tcp": [{"route": [{"destination": {"host": "reviews.shop.svc.cluster.local", "subset": "v2"}}]}]},
    ],
)
def test_the_canarys_subset_stays_while_another_virtual_service_uses_it(use: dict[str, Any]) -> None:
    world = analysing_at(50)
    other = virtual_service([], name="ingress", hosts=["shop.example.com"], gateways=["public"])
    other["spec"] |= use
    world.add(other)
    world.error_rate = {"v2": 0.5}
    world.run_to(Phase.ROLLED_BACK)
    assert "v2" in [subset["name"] for subset in world.objects["DestinationRule", "reviews"]["spec"]["subsets"]]


def test_the_canarys_subset_stays_while_a_virtual_service_of_another_namespace_uses_it() -> None:
    world = analysing_at(50)
    testers = {"route": [{"destination": {"host": "reviews.shop.svc.cluster.local", "subset": "v2"}}], "match": [{"port": 8443}]}
    ingress = virtual_service([testers], name="ingress", hosts=["shop.example.com"], gateways=["public"])
    ingress["metadata"]["namespace"] = "edge"
    world.surroundings = Surroundings(virtual_services=(ingress,), unreadable=KINDS)
    world.error_rate = {"v2": 0.5}
    world.run_to(Phase.ROLLED_BACK)
    assert "v2" in [subset["name"] for subset in world.objects["DestinationRule", "reviews"]["spec"]["subsets"]]


@pytest.mark.parametrize("edit", [{}, {"canaryTrafficPolicy": {"outlierDetection": {"consecutive5xxErrors": 9}}}])
@pytest.mark.parametrize("before", [None, {"loadBalancer": {"simple": "RANDOM"}}])
@pytest.mark.parametrize("error_rate", [0.0, 0.5])
def test_a_trial_policy_edited_in_mid_rollout_is_undone_at_the_end(
    edit: dict[str, Any], before: dict[str, Any] | None, error_rate: float
) -> None:
    rule = destination_rule("v1", "v2")
    if before:
        rule["spec"]["subsets"][1]["trafficPolicy"] = before
    world = World().add(rule).run_to(Phase.STABLE)
    world.spec["canaryTrafficPolicy"] = {"outlierDetection": {"consecutive5xxErrors": 3}}
    analysing_at(5, world)
    del world.spec["canaryTrafficPolicy"]
    world.spec |= edit
    world.error_rate = {"v2": error_rate}
    world.run(until=lambda w: w.phase in (Phase.STABLE, Phase.ROLLED_BACK))
    assert world.objects["DestinationRule", "reviews"]["spec"]["subsets"][1].get("trafficPolicy") == before


def test_a_trial_policy_added_in_mid_rollout_is_undone_at_the_end() -> None:
    world = analysing_at(5)
    world.spec["canaryTrafficPolicy"] = {"outlierDetection": {"consecutive5xxErrors": 3}}
    world.run(until=lambda w: w.parsed.weight == 25)
    del world.spec["canaryTrafficPolicy"]
    world.run(until=lambda w: w.parsed.stable_version == "v2")
    assert all("trafficPolicy" not in subset for subset in world.objects["DestinationRule", "reviews"]["spec"]["subsets"])


def test_a_version_label_edited_in_mid_rollout_waits_for_the_next_one() -> None:
    world = analysing_at(5)
    world.spec["versionLabel"] = "release"
    del world.objects["DestinationRule", "reviews"]
    world.step()
    labels = [subset["labels"] for subset in world.objects["DestinationRule", "reviews"]["spec"]["subsets"]]
    assert labels == [{"version": "v1"}, {"version": "v2"}]


def test_a_subset_that_people_add_in_place_of_one_that_was_removed_is_theirs() -> None:
    world = adopted().release("v2").run(until=lambda w: w.parsed.stable_version == "v2")
    world.release("v1").run_to(Phase.SHIFTING)
    world.versions["v1"] = pods("v1", ready=0, total=2)
    world.run_to(Phase.ROLLED_BACK)
    subsets = world.objects["DestinationRule", "reviews"]["spec"]["subsets"]
    assert [subset["name"] for subset in subsets] == ["v2"]
    theirs = {"name": "v1", "labels": {"version": "v1"}, "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}}
    subsets.append(theirs)
    world.release("v3").run(until=lambda w: w.parsed.stable_version == "v3")
    assert theirs in world.objects["DestinationRule", "reviews"]["spec"]["subsets"]


def test_a_route_renamed_after_stable_has_left_it_goes_back_to_stable_with_the_others() -> None:
    pinned = {"name": "testers", "match": [{"headers": {"x": {"exact": "1"}}}], "route": [destination("v2")]}
    mesh = virtual_service([pinned, {"name": "main", "route": [destination("v1")]}]), destination_rule("v1", "v2")
    world = World().add(*mesh).run_to(Phase.STABLE)
    world.release("v2").run_to(Phase.PROMOTING)
    world.istiod_knows = False
    world.run(until=lambda w: w.split(route=1) == {"v2": 100}, seconds=10)
    world.istiod_knows = True
    routes(world)[1]["name"] = "all"
    world.versions["v2"] = pods("v2", ready=0, total=2)
    world.run_to(Phase.ROLLED_BACK)
    assert (world.split(route=0), world.split(route=1)["v1"]) == ({"v2": 100}, 100)


@pytest.mark.parametrize("phase", [Phase.PREPARING, Phase.SHIFTING])
def test_where_no_route_is_left_to_move_nothing_is_called_moved(phase: Phase) -> None:
    mesh = virtual_service([{"name": "main", "route": [destination("v1")]}]), destination_rule("v1", "v2")
    world = World(spec={"service": "reviews", "version": "v1", "virtualService": {"routes": ["main"]}}).add(*mesh).run_to(Phase.STABLE)
    world.release("v2").run(until=lambda w: w.parsed.stable_version == "v2")
    world.release("v1").run_to(phase)
    world.objects["VirtualService", "reviews"]["spec"]["http"] = [{"name": "other", "route": [destination("v2")]}]
    for _ in range(20):
        world.step()
        world.now += 1
    assert (world.phase, world.parsed.stable_version) == (phase, "v2")
    assert "none of the HTTP routes" in world.parsed.message
    routes(world)[0]["name"] = "main"
    world.run(until=lambda w: w.parsed.stable_version == "v1")
    assert world.split() == {"v1": 100}


def selected(world: World) -> dict[str, dict[str, str]]:
    return {subset["name"]: subset["labels"] for subset in world.objects["DestinationRule", "reviews"]["spec"]["subsets"]}


@pytest.mark.parametrize(("subset", "other"), [("v1", "v2"), ("v2", "v3")])
def test_a_subset_of_the_operators_own_that_is_given_another_version_gets_its_own_back(subset: str, other: str) -> None:
    world = analysing_at(10)
    selected(world)[subset].update(version=other, tier="web")
    world.step()
    assert selected(world)[subset] == {"version": subset, "tier": "web"}
    assert "Drifted" in {event.reason for event in world.events}
    world.run(until=lambda w: w.parsed.stable_version == "v2")


def test_at_rest_stables_subset_of_the_operators_own_gets_its_version_back() -> None:
    world = adopted()
    selected(world)["v1"]["version"] = "v2"
    world.run(until=lambda w: selected(w) == {"v1": {"version": "v1"}} and w.phase is Phase.STABLE, seconds=60)


def test_nothing_is_promoted_while_stables_own_subset_selects_another_version() -> None:
    mesh = virtual_service([{"route": [destination("v1")]}]), destination_rule("v1", "v2")
    world = analysing_at(10, World().add(*mesh).run_to(Phase.STABLE))
    selected(world)["v1"]["version"] = "v2"
    for _ in range(20):
        world.step()
        world.now += 5
    assert (world.parsed.weight, selected(world)["v1"]) == (10, {"version": "v2"})
    assert "subset 'v1' of DestinationRule 'reviews' does not select version=v1 any more" in world.parsed.message


@pytest.mark.parametrize(("version", "serving"), [("v2", "v2"), ("v1", "v1")])
def test_the_only_route_moves_again_when_it_is_given_back_with_all_of_its_weight_on_the_canary(version: str, serving: str) -> None:
    world = analysing_at(100)
    spec = world.objects["VirtualService", "reviews"]["spec"]
    before, spec["http"] = spec["http"], [{"name": "other", "route": [destination("v3")]}]
    for _ in range(3):
        world.step()
    assert "none of the HTTP routes" in world.parsed.message
    spec["http"] = before
    world.spec["version"] = version
    world.run(until=lambda w: w.phase is Phase.STABLE and w.parsed.stable_version == serving, seconds=600)
    assert world.split() == {serving: 100}


def test_a_route_that_was_away_for_a_while_goes_back_to_stable_with_the_others() -> None:
    mesh = [
        {"name": "a", "match": [{"uri": {"prefix": "/a"}}], "route": [destination("v1")]},
        {"name": "main", "route": [destination("v1")]},
    ]
    world = analysing_at(100, World().add(virtual_service(mesh), destination_rule("v1", "v2")).run_to(Phase.STABLE))
    spec = world.objects["VirtualService", "reviews"]["spec"]
    before, spec["http"] = spec["http"], spec["http"][1:]
    world.step()
    spec["http"], world.spec["version"] = before, "v1"
    world.run_to(Phase.STABLE)
    assert [world.split(route=index)["v1"] for index in (0, 1)] == [100, 100]
