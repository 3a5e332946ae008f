"""Statuses that another version of the operator wrote."""

from canaryrollout.api.status import Phase
from world import adopted


def test_fields_of_a_newer_operator_do_not_hold_up_a_rollout_after_a_downgrade() -> None:
    world = adopted(error_rate={"v2": 0.5}).release("v2").run_to(Phase.ANALYSING)
    for part in (world.status, world.status["rollout"], world.status["rollout"]["evidence"], world.status["rollout"]["evidence"]["source"]):
        part["addedLater"] = 1
    world.run_to(Phase.ROLLED_BACK)


def test_an_upgrade_takes_the_routing_of_the_operator_before_for_the_wanted_one() -> None:
    world = adopted().release("v2").run_to(Phase.ANALYSING)
    assert world.status["drift"]["target"] == "c77537bfac096c3f", "else foreign changes and subsets to be proved anew are forgotten"
