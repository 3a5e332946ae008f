"""The real machine against simulated traffic."""

from copy import deepcopy
from random import Random

import pytest
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import Phase
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.virtual_services import live_subsets
from canaryrollout.simulate.many import run_many, run_one
from canaryrollout.simulate.replay import EPOCH, Replay, Shell
from canaryrollout.simulate.source import SimulatedSource
from canaryrollout.simulate.traffic import Traffic

SPEC = CanaryRolloutSpec(service="reviews", version="v2")
HEALTHY = Traffic(rps=500, canary_errors=0.001, stable_errors=0.001)
BROKEN = Traffic(rps=50, canary_errors=0.5, stable_errors=0.001)


def replay(traffic: Traffic, spec: CanaryRolloutSpec = SPEC) -> Replay:
    shell = Shell()
    return Replay(spec, SimulatedSource(traffic, Random(1), EPOCH, shell), shell).run()


def test_a_healthy_release_ends_with_all_traffic() -> None:
    done = replay(HEALTHY)
    assert (done.status.phase, done.status.stable_version) == (Phase.STABLE, "v2")
    (service,) = done.mesh.view.virtual_services
    assert live_subsets(service, ServiceHost("reviews", "simulated")) == {"v2"}


def test_a_broken_release_ends_with_none() -> None:
    done = replay(BROKEN)
    assert done.status.phase is Phase.ROLLED_BACK
    (service,) = done.mesh.view.virtual_services
    assert live_subsets(service, ServiceHost("reviews", "simulated")) == {"stable"}
    assert done.served_weight == 0
    assert done.rolled_back_at is not None


def test_every_step_is_served_in_turn() -> None:
    run = run_one(SPEC, HEALTHY, Shell(), "1/1")
    assert [weight for weight, _ in run.steps] == [5, 10, 25, 50, 100]
    assert all(seconds > 0.0 for _, seconds in run.steps)


def test_the_same_seed_gives_the_same_runs_however_many_processes() -> None:
    alone = run_many(SPEC, BROKEN, 6, seed=3, processes=1)
    assert run_many(SPEC, BROKEN, 6, seed=3, processes=2) == alone
    assert run_many(SPEC, BROKEN, 6, seed=4, processes=1) != alone


def test_requests_are_served_by_the_canary_until_the_proxies_follow() -> None:
    slow, quick = (run_one(SPEC, BROKEN, Shell(sync_delay=delay), "1/1") for delay in (20.0, 0.5))
    assert slow.outcome == quick.outcome == "RolledBack"
    assert slow.seconds > quick.seconds


def test_every_rollout_of_a_spec_begins_the_same_whatever_became_of_others() -> None:
    shell = Shell()
    one, other = (Replay(SPEC, SimulatedSource(BROKEN, Random(1), EPOCH, shell), shell) for _ in range(2))
    before = other.status, deepcopy(other.mesh.objects)
    one.run()
    assert one.status.phase is Phase.ROLLED_BACK
    later = Replay(SPEC, SimulatedSource(BROKEN, Random(1), EPOCH, shell), shell)
    for begun in (other, later):
        assert (begun.status, begun.mesh.objects) == before
    assert other.run().status == one.status == later.run().status


def test_an_inconclusive_release_is_paused_by_default() -> None:
    spec = CanaryRolloutSpec.model_validate({"service": "reviews", "version": "v2", "analysis": {"maxDuration": "2m"}})
    run = run_one(spec, Traffic(rps=1), Shell(), "1/1")
    assert (run.outcome, run.reason) == ("Paused", "Inconclusive")
    assert run.seconds == pytest.approx(120, abs=30)


def test_a_version_named_like_any_other_can_be_simulated() -> None:
    for version in ("v1", "stable", "1.2.3"):
        spec = SPEC.model_copy(update={"version": version})
        assert run_one(spec, HEALTHY, Shell(), "1/1").outcome == "Promoted"


def test_a_fault_under_load_is_caught_where_it_begins() -> None:
    traffic = Traffic(rps=300, canary_errors=0.3, stable_errors=0.001, fault_from_weight=25)
    run = run_one(SPEC, traffic, Shell(), "1/1")
    assert (run.outcome, run.weight) == ("RolledBack", 25)
    assert run.since_fault is not None
    assert run.since_fault < 30.0
