"""Requests at run time, made by annotations: each value acts once, and only on what there was when it was made."""

from canaryrollout.api.status import Phase
from canaryrollout.core.requested import RESUME, RETRY
from world import World, adopted


def some_passes(world: World) -> World:
    for _ in range(5):
        world.step()
        world.now += 1
    return world


def test_a_retry_acts_once_however_long_its_value() -> None:
    world = adopted(error_rate={"v2": 0.5}).release("v2").run_to(Phase.ROLLED_BACK)
    world.annotations = {RETRY: "x" * 300}
    world.run_to(Phase.PREPARING).run_to(Phase.ROLLED_BACK)
    assert some_passes(world).phase is Phase.ROLLED_BACK


def test_a_retry_asked_for_before_the_rollback_does_not_undo_it() -> None:
    world = adopted(error_rate={"v2": 0.5}, annotations={RETRY: "early"}).release("v2").run_to(Phase.ROLLED_BACK)
    assert some_passes(world).phase is Phase.ROLLED_BACK
    world.annotations = {RETRY: "now"}
    world.run_to(Phase.PREPARING)


def test_a_retry_asked_for_while_traffic_goes_back_is_carried_out() -> None:
    world = adopted(error_rate={"v2": 0.5}).release("v2").run_to(Phase.ROLLING_BACK)
    world.annotations = {RETRY: "soon"}
    world.run_to(Phase.ROLLED_BACK).run_to(Phase.PREPARING)


def test_a_resume_asked_for_before_the_pause_does_not_end_it() -> None:
    world = adopted(rps=0.0, annotations={RESUME: "early"})
    world.spec["analysis"] = {"maxDuration": "2m"}
    world.release("v2").run_to(Phase.PAUSED)
    assert some_passes(world).phase is Phase.PAUSED
    world.annotations = {RESUME: "now"}
    world.run_to(Phase.SHIFTING)
