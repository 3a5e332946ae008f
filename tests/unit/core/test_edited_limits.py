"""Limits that are edited in mid-rollout: they count in the very pass that sees them, whether or not Prometheus is asked in it."""

import pytest
from canaryrollout.api.evidence import EvidenceState
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import Phase
from canaryrollout.core.evidence import evidence_against
from canaryrollout.core.limits import limits_of
from canaryrollout.core.requested import TAKEOVER
from world import World, adopted


def evidence(world: World) -> EvidenceState:
    rollout = world.parsed.rollout
    assert rollout is not None
    assert rollout.evidence is not None
    return rollout.evidence


def against(world: World) -> float:
    """The evidence against the canary, under the limits as they are."""
    return evidence_against(evidence(world), limits_of(CanaryRolloutSpec.model_validate(world.spec), world.parsed.weight))


def failed_while_taken_over(errors: float = 0.0, slow: float = 0.0) -> World:
    """The canary has broken its limits at 10 %, but people have the routing."""
    world = adopted()
    world.spec["analysis"] = {"maxErrorRateIncrease": "off"}
    world.release("v2").run(until=lambda w: w.phase is Phase.ANALYSING and w.parsed.weight == 10)
    world.annotations[TAKEOVER] = "true"
    world.error_rate, world.slow_rate = {"v2": errors}, {"v2": slow}
    return world.run(until=lambda w: against(w) > 200.0)


@pytest.mark.parametrize("provider_down", [False, True])
@pytest.mark.parametrize(("rates", "edit"), [({"errors": 0.03}, {"maxErrorRate": "5%"}), ({"slow": 0.03}, {"maxP99Latency": "2s"})])
def test_who_loosens_a_limit_and_gives_the_routing_back_at_once_is_not_rolled_back_for_the_old_one(
    rates: dict[str, float], edit: dict[str, str], provider_down: bool
) -> None:
    world = failed_while_taken_over(**rates)
    world.now = world.last_poll + (60.0 if provider_down else 1.0)
    world.provider_down = provider_down
    world.spec["analysis"] |= edit
    world.annotations[TAKEOVER] = "false"
    world.slow_rate = {}
    world.step()
    assert world.phase is Phase.SHIFTING
    world.provider_down = False
    world.run(until=lambda w: w.parsed.stable_version == "v2" or w.phase is Phase.ROLLED_BACK, seconds=36000)
    assert world.parsed.stable_version == "v2"


def test_without_the_edit_it_is_rolled_back() -> None:
    world = failed_while_taken_over(errors=0.03)
    world.now = world.last_poll + 1.0
    world.annotations[TAKEOVER] = "false"
    world.step()
    assert world.phase is Phase.ROLLING_BACK


def test_a_pass_between_two_polls_changes_nothing_that_was_counted() -> None:
    world = adopted().release("v2").run(until=lambda w: w.phase is Phase.ANALYSING and w.parsed.weight == 10)
    world.error_rate = {"v2": 0.01}
    world.run(until=lambda w: evidence(w).source.canary.errors > 0.0)
    before = evidence(world)
    world.now = world.last_poll + 1.0
    world.step()
    assert evidence(world) == before
