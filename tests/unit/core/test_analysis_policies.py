"""What the machine makes of verdicts and of Kubernetes' own signals: policies, overrides, crashing pods."""

import dataclasses
from typing import Any

import pytest
from canaryrollout.api.status import Phase
from canaryrollout.core.requested import RESUME
from canaryrollout.core.snapshot import ProxyState, ProxyStatus
from world import World, adopted, pods


def released(analysis: dict[str, Any] | None = None, **more: Any) -> World:
    world = adopted(**more)
    world.spec["analysis"] = analysis or {}
    return world.release("v2").run_to(Phase.ANALYSING)


def reason(world: World) -> str:
    rollout = world.parsed.rollout
    return rollout.reason if rollout else ""


def both_fail(world: World) -> World:
    world.error_rate = {"v1": 0.08, "v2": 0.08}
    return world


def test_a_failure_that_stable_shares_rolls_back_by_default_and_says_so() -> None:
    world = both_fail(released()).run_to(Phase.ROLLED_BACK)
    assert reason(world) == "ErrorRate"
    assert world.parsed.message.endswith("stable does no better")


def test_a_failure_that_stable_shares_pauses_where_the_owner_wants_to_be_asked() -> None:
    world = both_fail(released({"onSharedFailure": "pause"})).run_to(Phase.PAUSED)
    assert reason(world) == "SharedFailure"
    end = world.now + 120
    world.run(until=lambda w: w.now > end)
    assert world.phase is Phase.PAUSED


@pytest.mark.parametrize("outage", [0, 30, 600])
@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
def test_after_a_shared_failure_that_is_over_the_pause_stands_until_somebody_resumes(rate: float, outage: int) -> None:
    world = released({"onSharedFailure": "pause"})
    world.error_rate = {"v1": rate, "v2": rate}
    world.run_to(Phase.PAUSED)
    end = world.now + outage
    world.run(until=lambda w: w.now > end)
    world.error_rate = {}
    world.run(until=lambda w: w.now > end + 900)
    assert (world.phase, reason(world), world.parsed.weight) == (Phase.PAUSED, "SharedFailure", 5)


def test_a_failure_that_stable_shares_is_one_in_every_pause() -> None:
    world = released({"onSharedFailure": "pause"})
    world.spec["paused"] = True
    both_fail(world.run_to(Phase.PAUSED)).run(until=lambda w: reason(w) == "SharedFailure", seconds=120)
    world.spec["paused"] = False
    world.error_rate = {}
    end = world.now + 300
    world.run(until=lambda w: w.now > end)
    assert world.phase is Phase.PAUSED


@pytest.mark.parametrize("rps", [3.0, 10.0])
def test_a_shared_failure_is_known_at_little_traffic_too(rps: float) -> None:
    world = adopted(rps=rps)
    world.spec |= {"analysis": {"onSharedFailure": "pause"}, "steps": [{"weight": 50}, {"weight": 100}]}
    world.release("v2").run_to(Phase.ANALYSING)
    world.error_rate = {"v1": 0.5, "v2": 0.5}
    world.run_to(Phase.PAUSED, Phase.ROLLING_BACK)
    assert reason(world) == "SharedFailure"


def test_another_fault_of_the_canary_alone_is_rolled_back_from_the_pause() -> None:
    world = both_fail(released({"onSharedFailure": "pause"})).run_to(Phase.PAUSED)
    end = world.now + 120
    world.run(until=lambda w: w.now > end)
    world.error_rate, world.slow_rate = {}, {"v2": 1.0}
    world.run_to(Phase.ROLLED_BACK, seconds=60)
    assert reason(world) == "Latency"


def test_after_a_shared_failure_a_resume_starts_the_evidence_anew_and_promotes() -> None:
    world = both_fail(released({"onSharedFailure": "pause"})).run_to(Phase.PAUSED)
    world.error_rate = {}
    world.annotations = {RESUME: "all-clear"}
    world.run_to(Phase.STABLE)
    assert world.parsed.stable_version == "v2"


def test_a_canary_that_goes_on_failing_after_stable_has_recovered_is_rolled_back_from_the_pause() -> None:
    world = both_fail(released({"onSharedFailure": "pause"})).run_to(Phase.PAUSED)
    world.error_rate = {"v2": 0.5}
    world.run_to(Phase.ROLLED_BACK, seconds=600)
    assert reason(world) == "ErrorRate"


def crashing(world: World) -> World:
    """One of three canary pods ends again and again, the others serve."""
    said = "reviews-v2-x: reviews CrashLoopBackOff after 3 restarts"
    world.versions = {**world.versions, "v2": dataclasses.replace(pods("v2", ready=2, total=3), crashing=(said,))}
    return world


@pytest.mark.parametrize("phase", [Phase.SHIFTING, Phase.ANALYSING, Phase.PAUSED, Phase.PROMOTING])
def test_a_canary_with_a_crashing_pod_loses_its_traffic_in_every_phase(phase: Phase) -> None:
    world = adopted().release("v2")
    if phase is Phase.PAUSED:
        world.run_to(Phase.ANALYSING).spec["paused"] = True
    world.run_to(phase)
    crashing(world).run_to(Phase.ROLLED_BACK, seconds=30)
    assert reason(world) == "CanaryCrashing"
    assert "reviews-v2-x: reviews CrashLoopBackOff after 3 restarts" in world.parsed.message


def test_a_version_whose_pods_crash_does_not_start() -> None:
    world = adopted().release("v2")
    crashing(world)
    for _ in range(5):
        world.step()
        world.now += 15
    assert world.phase is Phase.STABLE
    assert world.parsed.message.startswith("pods of version v2 end again and again")


def test_a_canary_pod_that_is_not_ready_holds_the_pass_up_and_nothing_else() -> None:
    world = released()
    world.versions = {**world.versions, "v2": pods("v2", ready=2, total=3)}
    world.run(until=lambda w: w.now > w.parsed.rollout.phase_since + 300)  # type: ignore[union-attr]
    assert (world.phase, world.parsed.weight) == (Phase.ANALYSING, 5)
    assert world.parsed.message.endswith("2 of 3 canary pods are ready")
    world.versions = {**world.versions, "v2": pods("v2", ready=3)}
    world.run(until=lambda w: w.parsed.weight == 10, seconds=60)


def test_a_step_may_take_its_time() -> None:
    world = adopted(rps=10_000.0)
    world.spec["steps"] = [{"weight": 5, "analysis": {"minDuration": "2m"}}, {"weight": 100}]
    world.release("v2").run_to(Phase.ANALYSING)
    began = world.now
    world.run(until=lambda w: w.parsed.weight == 100)
    assert world.now - began >= 120


def test_the_warmup_begins_with_the_first_weight_and_not_with_a_resume_before_it() -> None:
    world = adopted(slow_rate={"v2": 0.3})
    world.spec |= {"analysis": {"warmup": "2m"}, "sync": {"onTimeout": "pause"}}
    world.lagging = (ProxyStatus("gateway-1.shop", ProxyState.PENDING, "istiod-0"),)
    world.release("v2").run_to(Phase.PAUSED)
    world.lagging, world.annotations = (), {RESUME: "proxies are back"}
    world.versions = {**world.versions, "v2": pods("v2", ready=0, total=2)}
    world.run_to(Phase.PREPARING)
    end = world.now + 300
    world.run(until=lambda w: w.now > end)
    rollout = world.parsed.rollout
    assert rollout is not None
    assert rollout.evidence is not None
    assert (rollout.evidence.weight_since, rollout.evidence.cash) == (None, 1.0)
    world.versions = {**world.versions, "v2": pods("v2")}
    end = world.run_to(Phase.ANALYSING).now + 100
    world.run(until=lambda w: w.now > end)
    assert (world.phase, world.parsed.weight) == (Phase.ANALYSING, 5)
    world.run_to(Phase.ROLLED_BACK, seconds=60)
    assert reason(world) == "Latency"


@pytest.mark.parametrize("resumed", [False, True])
def test_a_warmup_that_is_over_does_not_begin_again_after_a_shared_failure(resumed: bool) -> None:
    world = released({"onSharedFailure": "pause", "warmup": "5m"})
    world.run(until=lambda w: w.parsed.weight == 10)
    both_fail(world).run_to(Phase.PAUSED)
    world.error_rate, world.slow_rate = {}, {"v2": 1.0}
    if resumed:
        world.annotations = {RESUME: "all-clear"}
    world.run_to(Phase.ROLLED_BACK, seconds=90)
    assert reason(world) == "Latency"
