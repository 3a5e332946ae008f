"""Somebody puts back, in the same moment, what is taken out of the DestinationRule at the end: the way out ends all the same."""

import copy

import pytest
from canaryrollout.api.status import Phase
from canaryrollout.core.proof import CLEANUP_SECONDS
from world import World, adopted, destination_rule, virtual_service


def with_v2(world: World) -> None:
    """As a manifest says that names the canary's subset."""
    subsets = world.objects["DestinationRule", "reviews"]["spec"].setdefault("subsets", [])
    if "v2" not in {subset["name"] for subset in subsets}:
        subsets.append({"name": "v2", "labels": {"version": "v2"}})


def with_a_policy(world: World) -> None:
    """As an admission webhook does that sets what is left out."""
    for subset in world.objects["DestinationRule", "reviews"]["spec"]["subsets"]:
        subset.setdefault("trafficPolicy", {"tls": {"mode": "ISTIO_MUTUAL"}})


def told(world: World) -> list[str]:
    return [event.reason for event in world.events]


def test_a_rollback_ends_and_says_what_is_left() -> None:
    world = adopted().release("v2").run_to(Phase.ANALYSING)
    world.error_rate, world.on_write = {"v2": 0.5}, with_v2
    world.run_to(Phase.ROLLING_BACK)
    writes, began = len(world.writes), world.now
    world.run_to(Phase.ROLLED_BACK, seconds=2 * CLEANUP_SECONDS)
    assert (world.split(), told(world).count("LeftOver")) == ({"v1": 100}, 1)
    assert world.now - began >= CLEANUP_SECONDS
    assert len(world.writes) - writes < 70
    assert "waiting for a proof" not in world.parsed.message


def test_while_it_is_tried_the_message_says_so() -> None:
    world = adopted().release("v2").run_to(Phase.ANALYSING)
    world.error_rate, world.on_write = {"v2": 0.5}, with_v2
    world.run_to(Phase.ROLLING_BACK)
    world.run(until=lambda w: "taking out of DestinationRule reviews" in w.parsed.message, seconds=30)


def test_a_deletion_ends_and_says_what_is_left() -> None:
    world = adopted().release("v2").run_to(Phase.ANALYSING)
    world.on_write, world.deleting = with_v2, True
    world.run(until=lambda w: w.gone, seconds=2 * CLEANUP_SECONDS)
    assert (world.split(), told(world).count("LeftOver")) == ({"v1": 100}, 1)


def test_a_promotion_ends_and_says_what_is_left() -> None:
    world = adopted(on_write=with_a_policy)
    world.spec["canaryTrafficPolicy"] = {"loadBalancer": {"simple": "RANDOM"}}
    world.release("v2").run(until=lambda w: w.parsed.stable_version == "v2")
    assert (world.served(), told(world).count("LeftOver")) == ({"v2": 100}, 1)


@pytest.mark.parametrize("pause", [0.0, 3600.0])
def test_traces_at_rest_are_tried_ever_more_slowly_and_then_left(pause: float) -> None:
    plain = {"name": "main", "route": [{"destination": {"host": "reviews"}}]}
    rule = destination_rule()
    rule["spec"] = {"host": "reviews"}
    world = World(spec={"service": "reviews", "version": "v1", "deletionPolicy": "Undo"}).add(virtual_service([copy.deepcopy(plain)]), rule)
    world.run_to(Phase.STABLE)
    world.now += pause
    kept = copy.deepcopy(world.objects["DestinationRule", "reviews"]["spec"]["subsets"])
    world.on_write = lambda w: w.objects["DestinationRule", "reviews"]["spec"].update(subsets=copy.deepcopy(kept))
    writes, world.deleting = len(world.writes), True
    world.run(until=lambda w: w.gone, seconds=2 * CLEANUP_SECONDS)
    assert (world.split(), told(world).count("LeftOver")) == ({"": 100}, 1)
    assert 20 < len(world.writes) - writes < 70, "often at first, then more and more slowly"
