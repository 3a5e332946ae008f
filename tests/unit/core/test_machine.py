"""The machine from adoption to promotion and back, in a world without I/O."""

import pytest
from canaryrollout.api.status import Phase
from canaryrollout.core.machine import TABLE
from canaryrollout.core.snapshot import ProxyState, ProxyStatus
from world import Crashed, World, adopted, destination, destination_rule, pods, virtual_service


def condition(world: World, name: str) -> tuple[str, str]:
    found = next(c for c in world.parsed.conditions if c.type == name)
    return found.status, found.reason


def test_a_service_without_istio_objects_is_pinned_to_the_only_version() -> None:
    world = adopted()
    assert world.split() == {"v1": 100}
    assert world.objects["DestinationRule", "reviews"]["spec"]["subsets"] == [{"name": "v1", "labels": {"version": "v1"}}]
    assert condition(world, "Ready") == ("True", "Stable")
    assert world.parsed.stable_version == "v1"
    assert not world.finalizer


def test_a_virtual_service_that_already_pins_stable_is_not_written() -> None:
    world = World().add(virtual_service([{"route": [destination("v1")]}]), destination_rule("v1", "v2"))
    world.run_to(Phase.STABLE)
    assert world.writes == []


def test_a_healthy_version_passes_all_steps_and_becomes_stable() -> None:
    world = adopted().release("v2").run_to(Phase.STABLE, seconds=10).run(until=lambda w: w.parsed.stable_version == "v2")
    weights = [w["spec"]["http"][0]["route"] for w in world.writes if w["kind"] == "VirtualService"]
    canary = [next((e["weight"] for e in route if e["destination"]["subset"] == "v2"), 0) for route in weights]
    assert canary == [0, 5, 10, 25, 50, 100, 100]
    assert world.split() == {"v2": 100}
    assert condition(world, "Ready") == ("True", "Stable")
    assert world.parsed.history[0].outcome == "Promoted"
    assert not world.finalizer


def test_a_broken_version_is_rolled_back_at_the_first_step_and_stays_so() -> None:
    world = adopted(error_rate={"v2": 0.5}).release("v2").run_to(Phase.ROLLED_BACK)
    assert world.split() == {"v1": 100}
    assert condition(world, "Stalled") == ("True", "ErrorRate")
    assert world.parsed.history[0].weight == 5
    assert [s["name"] for s in world.objects["DestinationRule", "reviews"]["spec"]["subsets"]] == ["v1"]
    writes = len(world.writes)
    for _ in range(5):
        world.step()
    assert (world.phase, len(world.writes)) == (Phase.ROLLED_BACK, writes)


def test_a_slow_version_is_rolled_back_for_its_latency() -> None:
    world = adopted(slow_rate={"v2": 1.0}).release("v2").run_to(Phase.ROLLED_BACK)
    assert condition(world, "Stalled") == ("True", "Latency")


def test_a_rolled_back_version_is_tried_again_only_on_request() -> None:
    world = adopted(error_rate={"v2": 0.5}).release("v2").run_to(Phase.ROLLED_BACK)
    world.error_rate = {}
    world.annotations = {"canaryrollout.io/retry": "after the fix"}
    world.run(until=lambda w: w.parsed.stable_version == "v2")
    assert world.phase is Phase.STABLE


def test_another_version_in_mid_rollout_sends_traffic_back_before_it_starts() -> None:
    world = adopted().release("v2").run(until=lambda w: w.phase is Phase.ANALYSING and w.parsed.weight == 10)
    world.release("v3").run(until=lambda w: w.parsed.rollout is not None and w.parsed.rollout.version == "v3")
    assert world.split() == {"v1": 100}
    assert world.parsed.history[0].outcome == "Superseded"
    world.run(until=lambda w: w.parsed.stable_version == "v3")


def test_the_stable_version_in_mid_rollout_reverts() -> None:
    world = adopted().release("v2").run(until=lambda w: w.phase is Phase.ANALYSING and w.parsed.weight == 10)
    world.release("v1").run_to(Phase.STABLE)
    assert (world.split(), world.parsed.history[0].outcome) == ({"v1": 100}, "Reverted")
    assert condition(world, "Ready") == ("True", "Stable")


def test_the_previous_version_comes_back_at_once_and_without_analysis() -> None:
    world = adopted().release("v2").run(until=lambda w: w.parsed.stable_version == "v2")
    world.provider_down = True
    started = world.now
    world.release("v1").run(until=lambda w: w.parsed.stable_version == "v1")
    assert world.now - started < 5
    assert world.split() == {"v1": 100}


def test_the_previous_version_comes_back_although_the_present_one_has_no_endpoint_any_more() -> None:
    world = adopted().release("v2").run(until=lambda w: w.parsed.stable_version == "v2")
    world.versions["v2"] = pods("v2", ready=0, total=2)
    world.release("v1").run(until=lambda w: w.parsed.stable_version == "v1", seconds=30.0)
    assert (world.phase, world.split()) == (Phase.STABLE, {"v1": 100})


def test_another_version_does_not_come_up_in_place_of_one_without_endpoints() -> None:
    world = adopted().release("v2").run(until=lambda w: w.parsed.stable_version == "v2")
    world.versions["v2"] = pods("v2", ready=0, total=2)
    world.release("v3")
    for _ in range(5):
        world.step()
    assert condition(world, "Stalled") == ("True", "StableNotReady")


def test_a_version_that_was_reverted_comes_back_only_with_analysis() -> None:
    world = adopted().release("v2").run(until=lambda w: w.parsed.stable_version == "v2")
    world.release("v1").run(until=lambda w: w.parsed.stable_version == "v1")
    world.error_rate = {"v2": 0.5}
    world.release("v2").run_to(Phase.ROLLED_BACK)
    assert world.parsed.history[0].weight == 5


def test_a_canary_without_ready_endpoints_never_gets_weight() -> None:
    world = adopted().release("v2", ready=0)
    world.versions["v2"] = pods("v2", ready=0, total=2)
    for _ in range(5):
        world.step()
    assert (world.phase, world.split()) == (Phase.STABLE, {"v1": 100})
    assert condition(world, "Stalled") == ("True", "CanaryNotReady")


def test_a_canary_that_loses_its_endpoints_loses_its_weight_in_the_same_pass() -> None:
    world = adopted().release("v2").run(until=lambda w: w.phase is Phase.ANALYSING and w.parsed.weight == 25)
    world.versions["v2"] = pods("v2", ready=0, total=2)
    world.step()
    assert world.split() == {"v1": 100}
    world.run_to(Phase.ROLLED_BACK)
    assert condition(world, "Stalled") == ("True", "CanaryWithoutEndpoints")


def test_a_proxy_that_does_not_acknowledge_holds_the_step_and_is_named_then_rolled_back() -> None:
    world = adopted().release("v2").run_to(Phase.PREPARING)
    world.step()
    world.run_to(Phase.SHIFTING)
    world.lagging = (ProxyStatus("client-7.shop", ProxyState.UNKNOWN, "", "not connected to any istiod"),)
    for _ in range(20):
        world.step()
        world.now += 1
    assert world.phase is Phase.SHIFTING
    assert "client-7.shop" in world.parsed.message
    assert condition(world, "ProxiesSynced") == ("False", "ProxyUnknown")
    world.run_to(Phase.ROLLING_BACK, seconds=90)
    assert world.split() == {"v1": 100}
    world.lagging = ()
    world.run_to(Phase.ROLLED_BACK)
    assert condition(world, "Stalled") == ("True", "SyncTimedOut")


def test_a_sync_timeout_may_pause_and_a_resume_goes_on() -> None:
    world = adopted()
    world.spec["sync"] = {"timeout": "10s", "onTimeout": "pause"}
    world.release("v2").run_to(Phase.SHIFTING)
    world.lagging = (ProxyStatus("client-7.shop", ProxyState.PENDING, "istiod-0"),)
    world.run_to(Phase.PAUSED)
    world.lagging = ()
    world.annotations = {"canaryrollout.io/resume": "1"}
    world.run(until=lambda w: w.parsed.stable_version == "v2")


def test_an_unreachable_provider_freezes_the_weights_and_the_rollout_goes_on_after() -> None:
    world = adopted().release("v2").run(until=lambda w: w.phase is Phase.ANALYSING and w.parsed.weight == 10)
    world.provider_down = True
    before = len(world.writes)
    for _ in range(12):
        world.step()
        world.now += 5
    assert (world.phase, len(world.writes)) == (Phase.ANALYSING, before)
    assert condition(world, "Analysis") == ("Unknown", "PrometheusUnreachable")
    world.provider_down = False
    world.run(until=lambda w: w.parsed.stable_version == "v2")


def test_no_traffic_is_inconclusive_and_pauses() -> None:
    world = adopted(rps=0.0)
    world.spec["analysis"] = {"maxDuration": "2m"}
    world.release("v2").run_to(Phase.PAUSED)
    assert world.split() == {"v1": 95, "v2": 5}
    assert condition(world, "Analysis") == ("Unknown", "NoTraffic")
    assert "no verdict within 2m:" in world.parsed.message


def test_a_breach_while_paused_is_undone() -> None:
    world = adopted().release("v2").run(until=lambda w: w.phase is Phase.ANALYSING)
    world.spec["paused"] = True
    world.run_to(Phase.PAUSED)
    world.error_rate = {"v2": 0.5}
    world.run_to(Phase.ROLLING_BACK, seconds=60)


def test_deletion_in_mid_rollout_restores_stable_before_the_finalizer_goes() -> None:
    world = adopted().release("v2").run(until=lambda w: w.phase is Phase.ANALYSING)
    assert world.finalizer
    world.deleting = True
    world.lagging = (ProxyStatus("client-7.shop", ProxyState.PENDING, "istiod-0"),)
    for _ in range(5):
        world.step()
    assert (world.gone, world.split()) == (False, {"v1": 100})
    world.lagging = ()
    world.run(until=lambda w: w.gone)


def test_deletion_with_policy_keep_leaves_the_weights() -> None:
    world = adopted().release("v2").run(until=lambda w: w.phase is Phase.ANALYSING)
    world.spec["deletionPolicy"] = "Keep"
    world.deleting = True
    world.run(until=lambda w: w.gone)
    assert world.split() == {"v1": 95, "v2": 5}


def test_a_foreign_change_of_the_weights_is_reasserted_and_proved_again() -> None:
    world = adopted().release("v2").run(until=lambda w: w.phase is Phase.ANALYSING and w.parsed.weight == 10)
    world.objects["VirtualService", "reviews"]["spec"]["http"][0]["route"][0]["weight"] = 50
    world.objects["VirtualService", "reviews"]["spec"]["http"][0]["route"][1]["weight"] = 50
    world.step()
    assert (world.phase, world.split()) == (Phase.SHIFTING, {"v1": 90, "v2": 10})
    assert world.events[-1].reason == "Drifted"


def test_an_inconclusive_step_is_not_promoted_while_something_is_wrong() -> None:
    world = adopted(rps=50.0, error_rate={"v1": 0.008, "v2": 0.008})
    world.spec["analysis"] = {"maxDuration": "1m", "onInconclusive": "promote"}
    world.release("v2").run_to(Phase.ANALYSING)
    world.add(virtual_service([{"route": [destination("v1")]}], name="second"))
    for _ in range(30):
        world.step()
        world.now += 5
    assert (world.phase, world.parsed.weight) == (Phase.ANALYSING, 5)
    del world.objects["VirtualService", "second"]
    world.run(until=lambda w: w.parsed.weight == 10)


def test_an_inconclusive_step_without_sound_data_is_paused_even_where_promotion_is_the_policy() -> None:
    for silence in ({"rps": 0.0}, {"provider_down": True}):
        world = adopted()
        world.spec["analysis"] = {"maxDuration": "1m", "onInconclusive": "promote"}
        world.release("v2").run_to(Phase.ANALYSING)
        for name, value in silence.items():
            setattr(world, name, value)
        world.run_to(Phase.PAUSED, seconds=300)
        assert world.parsed.weight == 5


def test_the_trial_policy_is_on_the_canary_only_while_on_trial() -> None:
    policy = {"outlierDetection": {"consecutive5xxErrors": 3}}
    world = adopted()
    world.spec["canaryTrafficPolicy"] = policy
    world.release("v2").run(until=lambda w: w.phase is Phase.ANALYSING)
    assert world.objects["DestinationRule", "reviews"]["spec"]["subsets"][1]["trafficPolicy"] == policy
    world.run(until=lambda w: w.parsed.stable_version == "v2")
    assert all("trafficPolicy" not in s for s in world.objects["DestinationRule", "reviews"]["spec"]["subsets"])


def test_every_phase_has_rules_and_every_rollback_phase_is_armed() -> None:
    assert set(TABLE) == set(Phase)
    for phase in (Phase.SHIFTING, Phase.ANALYSING, Phase.PAUSED, Phase.PROMOTING):
        events = [rule.event for rule in TABLE[phase]]
        assert events[:5] == ["Deleted", "VersionChanged", "CanaryWithoutEndpoints", "CanaryCrashing", "LimitBreached"]


@pytest.mark.parametrize("error_rate", [0.0, 0.5])
@pytest.mark.parametrize("crash_after", [0, 1, 2])
def test_a_crash_after_any_store_or_effect_changes_nothing_of_the_outcome(error_rate: float, crash_after: int) -> None:
    calm, crashing = adopted(error_rate={"v2": error_rate}), adopted(error_rate={"v2": error_rate})
    for world in (calm, crashing):
        world.release("v2")
    ends = (Phase.ROLLED_BACK,) if error_rate else (Phase.STABLE,)

    def over(world: World) -> bool:
        return world.phase in ends and bool(world.parsed.history)

    calm.run(until=over)
    while not over(crashing):
        try:
            crashing.step(crash_after=crash_after)
        except Crashed:
            crashing.last_poll = -1e18
        crashing.step()
        crashing.now += 0.5
    assert crashing.split() == calm.split()
    assert crashing.parsed.stable_version == calm.parsed.stable_version
    assert crashing.parsed.history[0].outcome == calm.parsed.history[0].outcome
