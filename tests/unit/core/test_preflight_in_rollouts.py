"""What preflight finds: errors hold a rollout where it is, with rollback armed; warnings are told once; at rest nothing is asked."""

import copy
from typing import Any

import pytest
from canaryrollout.api.status import Phase
from canaryrollout.core.notices import joined
from canaryrollout.core.snapshot import Problem
from world import World, adopted

FAULT = {"delay": {"percentage": {"value": 50}, "fixedDelay": "1s"}}


def edit(world: World, **route: Any) -> None:
    """Somebody changes the first route; None takes a field out."""
    found = copy.deepcopy(world.objects["VirtualService", "reviews"])
    changed = {**found["spec"]["http"][0], **route}
    found["spec"]["http"][0] = {key: value for key, value in changed.items() if value is not None}
    found["metadata"]["resourceVersion"] = f"{found['metadata']['resourceVersion']}9"
    world.objects["VirtualService", "reviews"] = found


def condition(world: World, kind: str) -> Any:
    return next(c for c in world.parsed.conditions if c.type == kind)


def later(world: World, seconds: float) -> World:
    until = world.now + seconds
    return world.run(until=lambda w: w.now >= until, seconds=seconds + 60)


def analysing() -> World:
    return adopted().release("v2").run_to(Phase.ANALYSING)


def test_an_error_holds_the_next_step_and_says_so_until_it_is_gone() -> None:
    world = analysing()
    edit(world, fault=FAULT)
    later(world, 900)
    assert (world.phase, world.parsed.weight, world.split()) == (Phase.ANALYSING, 5, {"v1": 95, "v2": 5})
    ready = condition(world, "Ready")
    assert (ready.status, ready.reason) == ("False", "FaultInjected")
    assert "held by: VirtualService/shop/reviews, spec.http[0].fault: route 'primary' injects a fault (delay)" in ready.message
    assert (condition(world, "Reconciling").status, condition(world, "Stalled").status) == ("True", "False")
    edit(world, fault=None)
    world.run_to(Phase.STABLE)
    assert world.parsed.stable_version == "v2"


def test_rollback_stays_armed_while_something_holds() -> None:
    world = analysing()
    edit(world, fault=FAULT)
    later(world, 60)
    world.error_rate["v2"] = 0.5
    world.run_to(Phase.ROLLED_BACK, seconds=120)
    assert world.split() == {"v1": 100}


def test_what_holds_is_told_once_in_a_step() -> None:
    world = analysing()
    edit(world, fault=FAULT)
    later(world, 300)
    assert {(event.reason, event.warning, event.key) for event in world.events if event.reason == "FaultInjected"} == {
        ("FaultInjected", True, "step 1/5")
    }


def test_an_error_before_the_start_is_stalled() -> None:
    world = adopted()
    edit(world, fault=FAULT)
    later(world.release("v2"), 60)
    assert (world.phase, condition(world, "Stalled").status, condition(world, "Stalled").reason) == (Phase.STABLE, "True", "FaultInjected")
    edit(world, fault=None)
    world.run_to(Phase.SHIFTING)


def test_an_error_between_the_start_and_the_first_weight_holds_at_nothing() -> None:
    world = adopted().release("v2").run_to(Phase.PREPARING)
    edit(world, fault=FAULT)
    later(world, 60)
    assert (world.phase, world.parsed.weight) == (Phase.PREPARING, 0)
    edit(world, fault=None)
    world.run_to(Phase.SHIFTING)


def test_at_rest_only_the_structure_is_asked_for() -> None:
    world = adopted()
    edit(world, fault=FAULT)
    later(world, 60)
    assert condition(world, "Ready").status == "True"


def test_the_way_back_to_the_version_before_is_not_held() -> None:
    world = analysing().run_to(Phase.STABLE)
    edit(world, fault=FAULT)
    world.spec["version"] = "v1"
    world.run_to(Phase.PROMOTING).run_to(Phase.STABLE)
    assert world.parsed.stable_version == "v1"


RETRIES = {"attempts": 2, "retryOn": "5xx"}


def test_a_warning_is_told_once_in_a_rollout_and_kept() -> None:
    world = adopted()
    edit(world, retries=RETRIES)
    world.release("v2").run_to(Phase.PREPARING)
    rollout = world.parsed.rollout
    assert rollout is not None
    assert [notice.reason for notice in rollout.notices] == ["RetriesRepeatWrites"]
    assert rollout.notices[0].message.startswith(
        "VirtualService/shop/reviews, spec.http[0].retries.retryOn: route 'primary' retries on 5xx"
    )
    world.run_to(Phase.STABLE)
    assert [event.warning for event in world.events if event.reason == "RetriesRepeatWrites"] == [True]
    assert world.parsed.stable_version == "v2"
    world.release("v3").run_to(Phase.ANALYSING)
    assert [event.warning for event in world.events if event.reason == "RetriesRepeatWrites"] == [True, True]


def test_a_warning_that_comes_up_in_mid_rollout_is_told_then() -> None:
    world = analysing()
    edit(world, retries=RETRIES)
    later(world, 10)
    rollout = world.parsed.rollout
    assert rollout is not None
    assert "RetriesRepeatWrites" in [notice.reason for notice in rollout.notices]
    edit(world, retries=None)
    later(world, 10)
    edit(world, retries=RETRIES)
    world.run_to(Phase.STABLE)
    assert len([event for event in world.events if event.reason == "RetriesRepeatWrites"]) == 1


@pytest.mark.parametrize(("count", "kept"), [(3, 3), (40, 20)])
def test_there_is_room_for_so_many_notices(count: int, kept: int) -> None:
    known = joined((), [Problem("A", "first")])
    assert len(joined(known, [Problem(f"R{n}", "x" * 5000) for n in range(count - 1)])) == kept
    assert joined(known, [Problem("A", "second")]) == known
