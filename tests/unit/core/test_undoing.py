"""deletionPolicy Undo: what the operator narrowed and added goes with the object, and no request changes its way for it."""

import contextlib
import copy
from typing import Any

import pytest
from canaryrollout.api.status import Phase
from canaryrollout.core.snapshot import PodSeen
from world import Crashed, World, adopted, destination, destination_rule, pods, virtual_service

PLAIN: dict[str, Any] = {"destination": {"host": "reviews"}}


def undoing(**spec: Any) -> World:
    return World(spec={"service": "reviews", "version": "v1", "deletionPolicy": "Undo", **spec})


def plain(**route: Any) -> dict[str, Any]:
    return virtual_service([{"name": "main", "route": [copy.deepcopy(PLAIN)], **route}])


def other_destination_rule() -> dict[str, Any]:
    """A DestinationRule without subsets, as people have for their policies."""
    rule = destination_rule(trafficPolicy={"loadBalancer": {"simple": "RANDOM"}})
    del rule["spec"]["subsets"]
    return rule


def deleted(world: World) -> World:
    """Until the object is gone."""
    world.deleting = True
    return world.run(until=lambda w: w.gone, seconds=60)


def specs(world: World) -> dict[str, Any]:
    return {kind: item["spec"] for (kind, _), item in world.objects.items()}


def test_a_plain_host_is_plain_again_and_the_added_subset_gone() -> None:
    world = undoing().add(plain(), other_destination_rule())
    before = copy.deepcopy(specs(world))
    world.run_to(Phase.STABLE)
    assert (world.split(), world.finalizer) == ({"v1": 100}, True)
    assert specs(deleted(world)) == before


def test_the_routes_are_proved_plain_before_the_subset_goes() -> None:
    world = undoing().add(plain(), other_destination_rule()).run_to(Phase.STABLE)
    world.istiod_knows, world.deleting = False, True
    for _ in range(5):
        world.step()
        world.now += 1
    assert (world.split(), world.gone) == ({"": 100}, False)
    assert [subset["name"] for subset in world.objects["DestinationRule", "reviews"]["spec"]["subsets"]] == ["v1"]
    world.istiod_knows = True
    deleted(world)
    assert "subsets" not in world.objects["DestinationRule", "reviews"]["spec"]


def test_after_a_promotion_the_host_is_plain_again_too() -> None:
    world = undoing().add(plain(), other_destination_rule())
    before = copy.deepcopy(specs(world))
    world.run_to(Phase.STABLE).release("v2").run(until=lambda w: w.parsed.stable_version == "v2")
    assert world.finalizer
    del world.versions["v1"]
    assert specs(deleted(world)) == before


def test_after_a_rollback_the_host_is_plain_again_once_the_canary_has_no_pods() -> None:
    world = undoing().add(plain(), other_destination_rule())
    before = copy.deepcopy(specs(world))
    world.run_to(Phase.STABLE).release("v2").run_to(Phase.ANALYSING)
    world.error_rate = {"v2": 0.5}
    world.run_to(Phase.ROLLED_BACK)
    world.versions["v2"] = pods("v2", 0)
    assert specs(deleted(world)) == before


def test_a_version_that_has_pods_gets_no_request_by_a_deletion() -> None:
    world = undoing().add(plain(), other_destination_rule()).run_to(Phase.STABLE)
    world.versions["v2"] = pods("v2")
    writes = len(world.writes)
    deleted(world)
    assert (world.split(), len(world.writes)) == ({"v1": 100}, writes)
    assert [event.reason for event in world.events][-1] == "LeftNarrowed"


def test_a_pod_without_a_version_gets_no_request_by_a_deletion() -> None:
    world = undoing().add(plain(), other_destination_rule()).run_to(Phase.STABLE)
    world.pods = (PodSeen("v1-0", {"app": "reviews", "version": "v1"}, ready=True), PodSeen("debug", {"app": "reviews"}, ready=True))
    deleted(world)
    assert (world.split(), world.events[-1].reason) == ({"v1": 100}, "LeftNarrowed")


def test_deleted_in_mid_rollout_stable_gets_everything_by_its_subset_while_the_canary_has_pods() -> None:
    world = undoing().add(plain(), other_destination_rule()).run_to(Phase.STABLE).release("v2").run_to(Phase.ANALYSING)
    assert deleted(world).split() == {"v1": 100}
    assert [subset["name"] for subset in world.objects["DestinationRule", "reviews"]["spec"]["subsets"]] == ["v1"]


def test_deleted_in_mid_rollout_everything_goes_where_the_canary_has_no_pods_any_more() -> None:
    world = undoing().add(plain(), other_destination_rule())
    before = copy.deepcopy(specs(world))
    world.run_to(Phase.STABLE).release("v2").run_to(Phase.ANALYSING)
    del world.versions["v2"]
    assert specs(deleted(world)) == before


def test_objects_of_the_operators_own_stay_and_say_nothing() -> None:
    world = deleted(undoing().run_to(Phase.STABLE))
    assert specs(world) == {
        "VirtualService": {
            "hosts": ["reviews"],
            "http": [{"name": "primary", "route": [{"destination": {"host": "reviews"}, "weight": 100}]}],
        },
        "DestinationRule": {"host": "reviews"},
    }


def test_what_the_user_pinned_stays_pinned_and_holds_nothing_up() -> None:
    mesh = virtual_service([{"route": [destination("v1")]}]), destination_rule("v1")
    world = undoing().add(*copy.deepcopy(mesh)).run_to(Phase.STABLE)
    assert not world.finalizer, "nothing of the operator's is there"
    world.release("v2").run(until=lambda w: w.parsed.stable_version == "v2")
    assert world.finalizer, "the subset of v2 is"
    del world.versions["v1"]
    assert deleted(world).split() == {"v2": 100}
    names = [subset["name"] for subset in world.objects["DestinationRule", "reviews"]["spec"]["subsets"]]
    assert names == ["v1", "v2"], "a route names it, so it stays"


def test_a_route_renamed_at_rest_stays_narrowed_and_keeps_its_subset() -> None:
    world = undoing().add(plain(), other_destination_rule()).run_to(Phase.STABLE)
    world.objects["VirtualService", "reviews"]["spec"]["http"][0]["name"] = "web"
    assert deleted(world).split() == {"v1": 100}
    assert [subset["name"] for subset in world.objects["DestinationRule", "reviews"]["spec"]["subsets"]] == ["v1"]


def test_a_service_scaled_to_nothing_holds_no_deletion_up() -> None:
    world = undoing().add(plain(), other_destination_rule()).run_to(Phase.STABLE)
    world.versions = {}
    assert deleted(world).split() == {"": 100}


def test_a_namespace_that_goes_with_everything_in_it_is_not_held_up() -> None:
    world = undoing().run_to(Phase.STABLE)
    world.objects.clear()
    world.service_exists, world.versions = False, {}
    deleted(world)
    assert world.objects == {}


def test_the_finalizer_is_held_before_the_first_route_is_narrowed() -> None:
    world = undoing().add(plain(), other_destination_rule())
    world.on_write = lambda w: (_ for _ in ()).throw(AssertionError("written without a finalizer")) if not w.finalizer else None
    world.run_to(Phase.STABLE)


@pytest.mark.parametrize("policy", ["Restore", "Keep"])
def test_with_other_policies_nothing_is_held_at_rest_and_nothing_taken_out(policy: str) -> None:
    world = undoing(deletionPolicy=policy).add(plain(), other_destination_rule()).run_to(Phase.STABLE)
    assert not world.finalizer
    world.deleting = True
    writes = len(world.writes)
    world.step()
    assert (len(world.writes), world.split()) == (writes, {"v1": 100})


def test_the_policy_may_be_changed_at_rest() -> None:
    world = adopted()
    world.spec["deletionPolicy"] = "Undo"
    world.step()
    assert world.finalizer
    world.spec["deletionPolicy"] = "Restore"
    world.step()
    assert not world.finalizer


@pytest.mark.parametrize("crash", range(2))
def test_a_crash_while_undoing_is_made_good_by_the_next_pass(crash: int) -> None:
    world = undoing().add(plain(), other_destination_rule())
    before = copy.deepcopy(specs(world))
    world.run_to(Phase.STABLE)
    world.deleting = True
    for _ in range(3):
        with contextlib.suppress(Crashed):
            world.step(crash_after=crash)
        world.now += 1
        if world.gone:
            break
    assert specs(world if world.gone else deleted(world)) == before


def test_while_the_service_is_away_nobody_knows_whose_pods_a_plain_host_would_mean() -> None:
    world = undoing().add(plain(), other_destination_rule()).run_to(Phase.STABLE)
    world.service_exists, world.versions = False, {}
    assert deleted(world).split() == {"v1": 100}, "once it is back, pods of other versions may be there"


def test_what_cannot_be_read_at_deletion_is_waited_for_and_taken_out_then() -> None:
    world = undoing().add(plain(), other_destination_rule())
    before = copy.deepcopy(specs(world))
    world.run_to(Phase.STABLE)
    world.mesh_readable, world.deleting = False, True
    assert world.step().requeue_after is not None, "no event tells that it can be read again"
    world.mesh_readable = True
    assert specs(deleted(world)) == before
