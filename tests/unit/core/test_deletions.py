"""Objects that vanish, the CanaryRollout's own first, at the worst moments."""

import pytest
from canaryrollout.api.status import Phase
from world import World, adopted, destination, destination_rule, pods, virtual_service

UNDER_WAY = (Phase.PREPARING, Phase.SHIFTING, Phase.ANALYSING, Phase.PROMOTING)


def analysing_at(weight: int) -> World:
    """A rollout from v1 to v2 whose step of that weight is under analysis."""
    world = World().add(virtual_service([{"route": [destination("v1")]}]), destination_rule("v1"))
    world.run_to(Phase.STABLE).release("v2")
    return world.run(until=lambda w: w.phase is Phase.ANALYSING and w.parsed.weight == weight)


def some_passes(world: World, count: int = 5) -> World:
    for _ in range(count):
        world.step()
        world.now += 1
    return world


def test_a_namespace_deleted_in_mid_rollout_is_not_held_up_and_nothing_is_created_in_it() -> None:
    world = analysing_at(50)
    writes = len(world.writes)
    world.deleting, world.service_exists, world.versions = True, False, {}
    world.objects.clear()
    some_passes(world)
    assert (world.gone, len(world.writes)) == (True, writes)


def test_deletion_after_all_pods_are_gone_still_restores_the_weights() -> None:
    world = analysing_at(50)
    world.deleting, world.versions = True, {}
    some_passes(world)
    assert (world.gone, world.split()) == (True, {"v1": 100})


def test_deletion_after_the_service_is_gone_restores_the_weights_without_a_proof() -> None:
    world = analysing_at(50)
    world.deleting, world.service_exists, world.versions, world.istiod_knows = True, False, {}, False
    some_passes(world)
    assert (world.gone, world.split()) == (True, {"v1": 100})


def test_deletion_while_the_mesh_may_not_be_read_waits_for_it() -> None:
    world = analysing_at(50)
    world.deleting, world.mesh_readable = True, False
    writes = len(world.writes)
    some_passes(world)
    assert (world.gone, len(world.writes)) == (False, writes)
    world.mesh_readable = True
    some_passes(world)
    assert (world.gone, world.split()) == (True, {"v1": 100})


def test_an_object_kept_by_another_finalizer_is_left_in_peace_once_restored() -> None:
    world = analysing_at(5)
    world.spec["deletionPolicy"] = "Keep"
    world.deleting = True
    some_passes(world)
    assert world.step().requeue_after is None


@pytest.mark.parametrize("phase", UNDER_WAY)
@pytest.mark.parametrize("kind", ["VirtualService", "DestinationRule"])
def test_an_istio_object_deleted_in_mid_rollout_is_made_again_and_the_rollout_goes_on(kind: str, phase: Phase) -> None:
    world = World().add(virtual_service([{"route": [destination("v1")]}]), destination_rule("v1")).run_to(Phase.STABLE)
    world.release("v2").run_to(phase)
    del world.objects[kind, "reviews"]
    world.run(until=lambda w: w.parsed.stable_version == "v2")
    assert world.split() == {"v2": 100}


def test_a_virtual_service_that_is_made_again_has_a_route_that_may_move() -> None:
    mesh = virtual_service([{"name": "main", "route": [destination("v1")]}]), destination_rule("v1")
    world = World(spec={"service": "reviews", "version": "v1", "virtualService": {"routes": ["main"]}}).add(*mesh).run_to(Phase.STABLE)
    world.release("v2").run_to(Phase.ANALYSING)
    del world.objects["VirtualService", "reviews"]
    world.run(until=lambda w: w.parsed.stable_version == "v2")
    assert world.split() == {"v2": 100}


@pytest.mark.parametrize("phase", UNDER_WAY)
def test_a_canary_scaled_to_nothing_has_no_weight_a_moment_later(phase: Phase) -> None:
    world = adopted().release("v2").run_to(phase)
    world.versions["v2"] = pods("v2", 0)
    assert some_passes(world).split().get("v2", 0) == 0


def test_a_rollback_waits_for_stables_pods_and_says_so() -> None:
    world = analysing_at(50)
    world.versions["v1"] = pods("v1", 0)
    world.error_rate = {"v2": 0.5}
    world.run_to(Phase.ROLLING_BACK)
    some_passes(world)
    assert world.split() == {"v1": 50, "v2": 50}
    assert "version v1 has no ready endpoint" in world.parsed.message
    world.versions["v1"] = pods("v1")
    world.run_to(Phase.ROLLED_BACK)
    assert world.split() == {"v1": 100}


def test_a_rollout_does_not_start_without_a_version_to_fall_back_to() -> None:
    world = adopted().release("v2")
    world.versions["v1"] = pods("v1", 0)
    some_passes(world)
    assert world.phase is Phase.STABLE
    assert next(c.reason for c in world.parsed.conditions if c.type == "Stalled") == "StableNotReady"
