"""What is told at rest while somebody else has the routes: never that all is well."""

import copy
from typing import Any

import pytest
from canaryrollout.api.status import Phase
from canaryrollout.core.snapshot import VersionPods
from world import World, adopted, destination_rule, pods, virtual_service


def condition(world: World, kind: str) -> tuple[str, str, str]:
    return next((c.status, c.reason, c.message) for c in world.parsed.conditions if c.type == kind)


def strayed(ready: int) -> World:
    """Somebody has sent everything to v2, at rest."""
    world = adopted()
    world.versions = {"v1": pods("v1", ready, total=2), "v2": VersionPods(2, 2, ("reviews-v2",))}
    world.objects["DestinationRule", "reviews"]["spec"]["subsets"].append({"name": "v2", "labels": {"version": "v2"}})
    world.objects["VirtualService", "reviews"]["spec"]["http"][0]["route"][0]["destination"]["subset"] = "v2"
    return world


def test_routes_that_cannot_be_put_right_yet_are_not_called_stable() -> None:
    world = strayed(ready=0)
    world.step()
    assert world.served() == {"v2": 100}
    ready, reconciling, stalled = (condition(world, kind) for kind in ("Ready", "Reconciling", "Stalled"))
    assert (ready[:2], reconciling[:2], stalled[0]) == (("False", "Drifted"), ("True", "Drifted"), "False")
    assert "when version v1 has a ready endpoint of Service 'reviews' again" in ready[2]


def test_once_they_are_put_right_all_is_well_again() -> None:
    world = strayed(ready=0)
    world.step()
    world.versions["v1"] = pods("v1")
    world.run(until=lambda w: w.served() == {"v1": 100} and w.phase is Phase.STABLE)
    assert condition(world, "Ready")[:2] == ("True", "Stable")


@pytest.mark.parametrize("policy", [{}, {"trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}}])
def test_where_adopting_was_given_up_nobody_is_told_that_all_proxies_serve_stable(policy: dict[str, Any]) -> None:
    before = [{"name": "main", "route": [{"destination": {"host": "reviews"}}]}]

    def undo(world: World) -> None:
        world.objects["VirtualService", "reviews"]["spec"]["http"] = copy.deepcopy(before)

    world = World(on_write=undo).add(virtual_service(copy.deepcopy(before)), destination_rule("v1", **policy))
    world.run_to(Phase.STABLE, seconds=600)
    assert condition(world, "Stalled")[:2] == ("True", "DriftConflict")
    assert condition(world, "ProxiesSynced")[0] == "False"
    assert "Adopted" not in {event.reason for event in world.events}
