"""How long proxies are waited for, and who is to blame when they are late."""

import pytest
from canaryrollout.api.status import Phase
from canaryrollout.core.snapshot import ProxyState, ProxyStatus
from world import Crashed, World, adopted

LATE = (ProxyStatus("client-7.shop", ProxyState.PENDING, "istiod-0"),)


def synced(world: World) -> str:
    """The status of ProxiesSynced."""
    return next(c.status for c in world.parsed.conditions if c.type == "ProxiesSynced")


@pytest.mark.parametrize("phase", [Phase.PREPARING, Phase.SHIFTING])
def test_time_in_which_no_operator_ran_is_nobodys_delay(phase: Phase) -> None:
    world = adopted().release("v2")
    while world.phase is not phase:
        try:
            world.step(crash_after=0)
        except Crashed:
            if world.phase is not phase:
                world.step()
    world.now += 600
    world.watched_since = world.now
    world.run(until=lambda w: w.parsed.stable_version == "v2")
    assert Phase.ROLLING_BACK not in world.phases


def test_after_a_gap_the_whole_timeout_is_granted_once_more() -> None:
    world = adopted(lagging=()).release("v2").run_to(Phase.SHIFTING)
    world.now += 600
    world.watched_since, world.lagging = world.now, LATE
    started = world.now
    world.run_to(Phase.ROLLING_BACK, seconds=120)
    assert world.now - started >= 60


def test_a_proxy_that_drops_out_while_preparing_rests_on_its_proof_gets_the_whole_timeout() -> None:
    world = adopted(provider_down=True).release("v2").run_to(Phase.PREPARING)
    for _ in range(30):
        world.step()
        world.now += 5
    assert (world.phase, synced(world)) == (Phase.PREPARING, "True")
    world.lagging, started = LATE, world.now
    world.run_to(Phase.ROLLING_BACK, seconds=120)
    assert world.now - started >= 60


def test_written_weights_are_not_called_acknowledged_before_anybody_was_asked() -> None:
    world = adopted().release("v2").run_to(Phase.SHIFTING)
    assert world.split() == {"v1": 95, "v2": 5}
    assert synced(world) == "False"


def test_a_write_that_is_undone_each_time_is_not_repeated_without_a_pause() -> None:
    def prune(world: World) -> None:
        for subset in world.objects["DestinationRule", "reviews"]["spec"]["subsets"]:
            subset.pop("trafficPolicy", None)

    world = adopted(on_write=prune)
    world.spec["canaryTrafficPolicy"] = {"unknownToIstio": 1}
    world.release("v2").run_to(Phase.PREPARING)
    writes = len(world.writes)
    world.run_to(Phase.PAUSED, seconds=120)
    assert len(world.writes) - writes < 10
    assert world.parsed.rollout is not None
    assert world.parsed.rollout.reason == "DriftConflict"


def test_a_proof_that_does_not_come_is_asked_for_more_and_more_slowly_without_a_rollout_too() -> None:
    world = World(lagging=LATE).run_to(Phase.ADOPTING)
    first = world.step().requeue_after or 0.0
    for _ in range(60):
        last = world.step().requeue_after or 0.0
        world.now += 1
    assert world.phase is Phase.ADOPTING
    assert first < 1 < last


def test_at_rest_the_proof_with_which_it_began_is_what_is_told() -> None:
    world = adopted()
    assert synced(world) == "True"
    world.release("v2").run(until=lambda w: w.parsed.stable_version == "v2")
    assert synced(world) == "True"
    world.release("v3").run_to(Phase.ANALYSING)
    world.error_rate = {"v3": 0.5}
    world.run_to(Phase.ROLLED_BACK)
    assert synced(world) == "True"
