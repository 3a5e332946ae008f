"""A preview shows what the operator then does."""

import copy
from typing import Any

import pytest
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import Phase
from canaryrollout.core.preview import Kind, Preview, preview, without_bookkeeping
from canaryrollout.core.snapshot import MeshObjects
from hypothesis import Phase as Stages
from hypothesis import given, settings
from hypothesis import strategies as st
from world import SETTINGS, World, adopted, destination, destination_rule, pods, virtual_service

Objects = dict[tuple[str, str], Any]


def now(world: World) -> Objects:
    return {key: without_bookkeeping(copy.deepcopy(item)) for key, item in world.objects.items()}


def shown(mesh: MeshObjects) -> Objects:
    found = [("VirtualService", item) for item in mesh.virtual_services] + [("DestinationRule", item) for item in mesh.destination_rules]
    return {(kind, item["metadata"]["name"]): without_bookkeeping(item) for kind, item in found}


def previewed(world: World) -> Preview:
    return preview(CanaryRolloutSpec.model_validate(world.spec), world.parsed, world.snapshot(), SETTINGS)


def lived(world: World) -> list[tuple[str, Objects]]:
    """(stage, objects) of a whole rollout as it really goes."""
    found: list[tuple[str, Objects]] = []
    for _ in range(2000):
        before, objects = world.phase, now(world)
        if before is Phase.STABLE and world.parsed.stable_version == world.spec["version"]:
            return found
        decision = world.step()
        world.now += max(0.01, 5.0 if decision.requeue_after is None else decision.requeue_after)
        names = {
            (Phase.ADOPTING, Phase.STABLE): "adoption",
            (Phase.PREPARING, Phase.SHIFTING): "preparation",
            (Phase.SHIFTING, Phase.ANALYSING): "step",
            (Phase.PROMOTING, Phase.STABLE): "promotion",
        }
        if (before, world.phase) in names:
            found.append((names[before, world.phase], objects))
    raise AssertionError(f"still {world.phase}: {world.parsed.message}")


ROUTES: list[list[dict[str, Any]]] = [
    [{"route": [destination("v1")]}],
    [{"route": [{"destination": {"host": "reviews"}}]}],
    [{"name": "main", "route": [destination("v1", 100), destination("v2", 0)], "timeout": "3s"}],
    [{"match": [{"uri": {"prefix": "/a"}}], "route": [destination("v1", 100)]}, {"route": [destination("v3")]}],
    [{"name": "shared", "route": [destination("v1", 60), {"destination": {"host": "ratings"}, "weight": 40}]}],
    [{"match": [{"uri": {"prefix": "/a"}}], "route": [destination("v1")]}, {"name": "b", "route": [destination("v1", 100, headers={})]}],
]


def rules() -> list[dict[str, Any]]:
    dressed = destination_rule("v1", "v2", "v3")
    dressed["spec"]["subsets"][1]["trafficPolicy"] = {"connectionPool": {"http": {"http1MaxPendingRequests": 1}}}
    dressed["spec"]["unknown"] = {"kept": True}
    return [destination_rule("v1", "v3"), dressed]


worlds = st.fixed_dictionaries(
    {
        "routes": st.sampled_from(ROUTES),
        "rule": st.sampled_from(rules()),
        "steps": st.sampled_from([(100,), (5, 100), (5, 10, 25, 50, 100), (33, 66, 100)]),
        "policy": st.sampled_from([None, {"outlierDetection": {"consecutive5xxErrors": 3}}]),
    }
)


def world_of(drawn: dict[str, Any]) -> World:
    spec: dict[str, Any] = {"service": "reviews", "version": "v2", "stableVersion": "v1", "steps": [{"weight": w} for w in drawn["steps"]]}
    if drawn["policy"] is not None:
        spec["canaryTrafficPolicy"] = drawn["policy"]
    world = World(spec=spec, versions={version: pods(version) for version in ("v1", "v2", "v3")}, rps=5000.0)
    return world.add(copy.deepcopy(drawn["rule"]), virtual_service(copy.deepcopy(drawn["routes"])))


@given(worlds)
@settings(max_examples=20, deadline=None, phases=(Stages.explicit, Stages.generate))
def test_the_preview_shows_exactly_what_a_rollout_goes_through(drawn: dict[str, Any]) -> None:
    world = world_of(drawn)
    seen = previewed(world)
    assert seen.stopped is None
    assert [(stage.kind.value, shown(stage.mesh)) for stage in seen.stages] == lived(world)


@given(worlds)
@settings(max_examples=20, deadline=None, phases=(Stages.explicit, Stages.generate))
def test_the_previewed_rollback_is_the_one_that_happens_and_restores_what_there_was(drawn: dict[str, Any]) -> None:
    world = world_of(drawn)
    seen = previewed(world)
    before = now(world.run_to(Phase.STABLE))
    world.error_rate = {"v2": 0.9}
    world.run_to(Phase.ROLLED_BACK)
    assert seen.rollback is not None
    assert shown(seen.rollback) == now(world)
    assert seen.restores is (now(world) == before)


def test_a_rollback_restores_what_there_was() -> None:
    for routes in ROUTES:
        world = world_of({"routes": routes, "rule": rules()[1], "steps": (50, 100), "policy": {"tls": {"mode": "DISABLE"}}})
        assert previewed(world).restores is True


def test_a_subset_that_a_route_already_named_is_said_to_stay() -> None:
    """Without it that route, at whatever weight, would be broken."""
    assert previewed(world_of({"routes": ROUTES[2], "rule": rules()[0], "steps": (100,), "policy": None})).restores is False


def test_without_istio_objects_it_shows_what_is_created() -> None:
    world = World(spec={"service": "reviews", "version": "v2", "stableVersion": "v1"}, versions={"v1": pods("v1"), "v2": pods("v2")})
    seen = previewed(world)
    assert (seen.before, seen.stages[0].kind) == (MeshObjects(), Kind.ADOPTION)
    assert [(stage.kind.value, shown(stage.mesh)) for stage in seen.stages] == lived(world)


def test_it_does_not_wait_for_pods_people_envoys_or_custom_metrics() -> None:
    metric = {"name": "queue", "value": "queue", "max": 5}
    analysis = {"minDuration": "30m", "warmup": "10m", "metrics": [metric]}
    world = adopted().release("v2", ready=0)
    world.spec = {**world.spec, "paused": True, "analysis": analysis, "sync": {"verify": "envoy"}}
    seen = previewed(world)
    assert (seen.stopped, [stage.weight for stage in seen.stages if stage.kind is Kind.STEP]) == (None, [5, 10, 25, 50, 100])


@pytest.mark.parametrize("phase", [Phase.PREPARING, Phase.SHIFTING, Phase.ANALYSING, Phase.PROMOTING])
def test_in_mid_rollout_it_shows_what_is_left(phase: Phase) -> None:
    world = adopted(rps=5000.0).release("v2").run_to(phase)
    seen = previewed(world)
    assert [(stage.kind.value, shown(stage.mesh)) for stage in seen.stages] == lived(world)
    assert seen.baseline is None


def test_a_version_that_was_rolled_back_shows_what_a_retry_would_do() -> None:
    world = adopted(error_rate={"v2": 0.5}, rps=5000.0).release("v2").run_to(Phase.ROLLED_BACK)
    seen = previewed(world)
    world.annotations, world.error_rate = {"canaryrollout.io/retry": "again"}, {}
    assert [(stage.kind.value, shown(stage.mesh)) for stage in seen.stages] == lived(world)


def test_the_version_that_serves_leaves_nothing_to_show() -> None:
    seen = previewed(adopted())
    assert (seen.stages, seen.stopped, seen.rollback, seen.routing) == ((), None, None, None)


def test_what_forbids_the_rollout_is_said() -> None:
    world = adopted().add(virtual_service([{"route": [destination("v1")]}], name="another")).release("v2")
    stopped = previewed(world).stopped
    assert stopped is not None
    assert (stopped.reason, "merge them into one" in stopped.message) == ("DuplicateVirtualService", True)


def test_a_serving_version_that_cannot_be_told_is_said() -> None:
    world = World(versions={"v1": pods("v1"), "v2": pods("v2")})
    seen = previewed(world)
    assert (seen.stages, seen.stable) == ((), "")
    assert seen.stopped is not None
    assert seen.stopped.reason == "StableUnknown"


def test_previewing_changes_nothing() -> None:
    world = world_of({"routes": ROUTES[2], "rule": rules()[1], "steps": (5, 100), "policy": None})
    before = copy.deepcopy(world.objects)
    previewed(world)
    assert world.objects == before
