"""Events about what holds a rollout up: one for each thing and step, not one for each time that it shows."""

import dataclasses

from canaryrollout.api.status import Phase
from canaryrollout.core.context import Context
from canaryrollout.core.snapshot import Poll, PollFailure, Problem
from world import World


class Flapping(World):
    """Every second poll finds the data stale, each time for longer."""

    polls = 0

    def poll(self, context: Context) -> Poll | PollFailure | None:
        found = super().poll(context)
        if not isinstance(found, Poll):
            return found
        self.polls += 1
        stale = Problem("StaleData", f"the newest sample is {self.polls} s old")
        return dataclasses.replace(found, problems=(stale,)) if self.polls % 2 else found


def test_data_that_is_stale_at_every_second_poll_is_one_event_in_a_step() -> None:
    world = Flapping()
    world.spec["analysis"] = {"minRequests": 1_000_000}
    world.run_to(Phase.STABLE).release("v2").run_to(Phase.ANALYSING)
    world.run(until=lambda _: world.polls >= 60)
    told = [event for event in world.events if event.reason == "StaleData"]
    assert len({event.message for event in told}) > 20
    assert {event.key for event in told} == {"step 1/5"}
