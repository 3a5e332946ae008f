"""Istio objects and specs as people really write them: what cannot be moved safely is refused with a reason, untouched."""

from typing import Any

import pytest
from canaryrollout.api.status import Phase
from canaryrollout.core.snapshot import PodSeen
from world import World, destination, destination_rule, virtual_service


def refused(world: World) -> str:
    """The reason for which nothing is touched."""
    writes = len(world.writes)
    for _ in range(5):
        world.step()
        world.now += 1
    assert (len(world.writes), world.phase in (Phase.PENDING, Phase.STABLE)) == (writes, True)
    return next(c.reason for c in world.parsed.conditions if c.type == "Stalled" and c.status == "True")


def promoted(world: World) -> bool:
    return world.parsed.stable_version == "v2"


def test_a_mistyped_virtual_service_makes_no_second_one_for_the_host() -> None:
    mesh = virtual_service([{"route": [destination("v1")]}]), destination_rule("v1")
    mistyped = {"service": "reviews", "version": "v1", "virtualService": {"name": "revews"}}
    assert refused(World(spec=mistyped).add(*mesh)) == "DuplicateVirtualService"
    world = World().add(*mesh).run_to(Phase.STABLE)
    world.spec["virtualService"] = {"name": "revews"}
    assert refused(world.release("v2")) == "DuplicateVirtualService"


def test_stable_is_not_pinned_to_a_subset_of_its_name_that_selects_another_version() -> None:
    rule = destination_rule("v1")
    rule["spec"]["subsets"][0]["labels"] = {"version": "v0"}
    assert refused(World().add(rule)) == "SubsetMismatch"


def test_a_subset_of_stable_that_was_given_other_labels_at_rest_stops_the_next_rollout() -> None:
    world = World().add(destination_rule("v1")).run_to(Phase.STABLE)
    world.objects["DestinationRule", "reviews"]["spec"]["subsets"][0]["labels"] = {"version": "v0"}
    assert refused(world.release("v2")) == "SubsetMismatch"


def test_nothing_is_sent_to_a_subset_whose_further_labels_no_pod_has() -> None:
    everywhere = tuple(PodSeen(version, {"app": "reviews", "version": version}, ready=True) for version in ("v1", "v2"))
    elsewhere, plain = {"region": "eu"}, virtual_service([{"route": [{"destination": {"host": "reviews"}}]}])
    rule = destination_rule("v1")
    rule["spec"]["subsets"][0]["labels"] |= elsewhere
    assert refused(World(pods=everywhere).add(rule, plain)) == "SubsetMismatch"
    rule = destination_rule("v1", "v2")
    rule["spec"]["subsets"][0]["labels"] |= {"app": "reviews"}
    rule["spec"]["subsets"][1]["labels"] |= elsewhere
    world = World(pods=everywhere).add(rule, plain).run_to(Phase.STABLE)
    assert refused(world.release("v2")) == "SubsetMismatch"
    assert "region=eu" in world.parsed.message
    world.pods = tuple(PodSeen(pod.name, {**pod.labels, **elsewhere}, ready=True) for pod in everywhere)
    world.run(until=promoted)


def test_of_two_subsets_for_one_version_the_routed_one_counts() -> None:
    rule = destination_rule("v1")
    rule["spec"]["subsets"].append({"name": "live", "labels": {"version": "v1"}})
    world = World().add(rule, virtual_service([{"route": [destination("live")]}])).run_to(Phase.STABLE)
    assert world.writes == []
    world.release("v2").run(until=promoted)


def test_a_subset_renamed_at_rest_is_found_again() -> None:
    world = World().add(virtual_service([{"route": [destination("v1")]}]), destination_rule("v1")).run_to(Phase.STABLE)
    world.objects["DestinationRule", "reviews"]["spec"]["subsets"][0]["name"] = "live"
    world.objects["VirtualService", "reviews"]["spec"]["http"][0]["route"] = [destination("live")]
    world.release("v2").run(until=promoted)
    assert world.split() == {"v2": 100}


def test_a_destination_rule_deleted_at_rest_is_made_again_under_the_names_that_routes_use() -> None:
    rule = destination_rule("v1")
    rule["spec"]["subsets"][0]["name"] = "live"
    world = World().add(virtual_service([{"route": [destination("live")]}]), rule).run_to(Phase.STABLE)
    del world.objects["DestinationRule", "reviews"]
    world.release("v2").run_to(Phase.ANALYSING)
    assert world.split() == {"live": 95, "v2": 5}


@pytest.mark.parametrize("totals", [(1, 0), (7, 0)])
def test_weights_of_any_total_become_percent(totals: tuple[int, int]) -> None:
    route = [destination("v1", totals[0]), destination("v2", totals[1])]
    world = World().add(virtual_service([{"route": route}]), destination_rule("v1", "v2"))
    world.run_to(Phase.STABLE).release("v2").run_to(Phase.ANALYSING)
    assert world.split() == {"v1": 95, "v2": 5}


def test_two_destinations_for_one_subset_are_refused() -> None:
    route = [destination("v1", 50), destination("v1", 50, headers={"request": {"add": {"x": "1"}}})]
    assert refused(World().add(virtual_service([{"route": route}]), destination_rule("v1"))) == "RepeatedDestination"


def test_a_destination_repeated_in_mid_rollout_gets_no_weight_of_its_own() -> None:
    world = World().run_to(Phase.STABLE).release("v2").run_to(Phase.ANALYSING)
    entries: list[dict[str, Any]] = world.objects["VirtualService", "reviews"]["spec"]["http"][0]["route"]
    entries.append(destination("v1", 40))
    world.step()
    entries = world.objects["VirtualService", "reviews"]["spec"]["http"][0]["route"]
    assert [entry["weight"] for entry in entries] == [95, 5, 0]


def test_a_route_name_of_any_length_is_kept_track_of() -> None:
    world = World().add(virtual_service([{"name": "x" * 500, "route": [destination("v1")]}]), destination_rule("v1"))
    world.run_to(Phase.STABLE).release("v2").run(until=promoted)
    assert world.split() == {"v2": 100}


def test_more_routes_than_the_status_can_hold_are_refused() -> None:
    routes = [{"name": f"route-{number}", "route": [destination("v1")]} for number in range(257)]
    assert refused(World().add(virtual_service(routes), destination_rule("v1"))) == "TooManyRoutes"
