"""People take the routing over: nothing is written, the evidence is told all the same, and giving it back goes on."""

from dataclasses import replace

import pytest
import world as worlds
from canaryrollout.api.status import Phase
from canaryrollout.core.requested import RESUME, TAKEOVER
from world import World, destination, destination_rule, virtual_service


def at_ten() -> World:
    """v2 has its 10 %, acknowledged."""
    world = World().add(virtual_service([{"name": "main", "route": [destination("v1", 100)]}]), destination_rule("v1", "v2"))
    return world.run_to(Phase.STABLE).release("v2").run(until=lambda w: w.phase is Phase.ANALYSING and w.parsed.weight == 10)


def annotate(world: World, holder: str, value: str = "true") -> None:
    """Take the routing over by an annotation of one of the three objects; "" gives it back."""
    if holder == "CanaryRollout":
        world.annotations[TAKEOVER] = value
        return
    metadata = world.objects[holder, "reviews"]["metadata"]
    metadata["annotations"] = {TAKEOVER: value}
    owned = {"f:metadata": {"f:annotations": {f"f:{TAKEOVER}": {}}}}
    metadata["managedFields"] = [{"manager": "kubectl-annotate", "operation": "Update", "time": "2026-01-01T10:00:00Z", "fieldsV1": owned}]


def by_hand(world: World, manager: str = "kubectl-edit") -> None:
    """Somebody sends everything to v1."""
    service = world.objects["VirtualService", "reviews"]
    service["spec"]["http"][0]["route"] = [destination("v1", 100)]
    service["metadata"]["managedFields"] = [
        {"manager": manager, "operation": "Update", "time": "2026-01-01T10:00:00Z", "fieldsV1": {"f:spec": {"f:http": {}}}}
    ]


def reasons(world: World) -> dict[str, str]:
    return {condition.type: condition.reason for condition in world.parsed.conditions}


@pytest.mark.parametrize("holder", ["CanaryRollout", "VirtualService", "DestinationRule"])
def test_an_annotation_of_any_of_the_objects_holds_the_rollout_and_taking_it_away_goes_on(holder: str) -> None:
    world = at_ten()
    annotate(world, holder, "database is on fire")
    writes = len(world.writes)
    world.run_to(Phase.PAUSED, seconds=5)
    assert reasons(world)["Ready"] == "TakenOver"
    assert "database is on fire" in world.parsed.message
    assert holder == "CanaryRollout" or "by kubectl-annotate (Update at 10:00:00 UTC)" in world.parsed.message
    by_hand(world)
    for _ in range(10):
        world.step()
        world.now += 5
    assert (world.phase, len(world.writes), world.split()) == (Phase.PAUSED, writes, {"v1": 100})
    assert sum(event.reason == "Paused" for event in world.events) == 1
    annotate(world, holder, "false")
    world.run(until=lambda w: w.parsed.stable_version == "v2")


def test_given_back_in_a_pause_the_step_has_its_weights_again_and_nobody_is_blamed() -> None:
    world = at_ten()
    annotate(world, "CanaryRollout")
    world.run_to(Phase.PAUSED, seconds=5)
    world.objects["VirtualService", "reviews"]["spec"]["http"][0]["route"] = [destination("v1", 20), destination("v2", 80)]
    world.spec["paused"] = True
    annotate(world, "CanaryRollout", "")
    for _ in range(3):
        world.step()
        world.now += 1
    assert (world.phase, world.split(), reasons(world)["Ready"]) == (Phase.PAUSED, {"v1": 90, "v2": 10}, "Paused")
    assert "spec.paused" in world.parsed.message
    assert not any(event.reason == "Drifted" for event in world.events)
    world.spec["paused"] = False
    world.run(until=lambda w: w.parsed.stable_version == "v2")


def test_a_subset_that_people_took_away_is_proved_before_its_weight_when_the_routing_is_given_back() -> None:
    world = at_ten()
    annotate(world, "CanaryRollout")
    world.run_to(Phase.PAUSED, seconds=5)
    by_hand(world)
    world.objects["DestinationRule", "reviews"]["spec"]["subsets"].pop()
    world.istiod_knows = False
    annotate(world, "CanaryRollout", "")
    for _ in range(5):
        world.step()
        world.now += 1
    assert [s["name"] for s in world.objects["DestinationRule", "reviews"]["spec"]["subsets"]] == ["v1", "v2"]
    assert world.split() == {"v1": 100}, "no weight before every proxy knows the cluster"
    world.istiod_knows = True
    world.run(until=lambda w: w.split() == {"v1": 90, "v2": 10}, seconds=5)


def test_while_people_have_the_routing_failures_are_told_and_not_acted_on_and_then_undone_at_once() -> None:
    world = at_ten()
    annotate(world, "CanaryRollout")
    world.run_to(Phase.PAUSED, seconds=5)
    world.error_rate = {"v2": 0.9}
    writes = len(world.writes)
    for _ in range(20):
        world.step()
        world.now += 5
    assert (world.phase, len(world.writes)) == (Phase.PAUSED, writes)
    assert reasons(world)["Analysis"] == "ErrorRate"
    world.versions["v2"] = worlds.pods("v2", ready=0, total=2)
    world.step()
    assert (world.phase, len(world.writes)) == (Phase.PAUSED, writes)
    world.annotations.clear()
    world.step()
    assert world.phase is Phase.ROLLING_BACK


def test_a_rollback_under_way_stops_too_and_goes_on_when_it_is_given_back() -> None:
    world = at_ten()
    world.error_rate = {"v2": 0.5}
    world.istiod_knows = False
    world.run_to(Phase.ROLLING_BACK, seconds=60)
    annotate(world, "VirtualService")
    world.objects["VirtualService", "reviews"]["spec"]["http"][0]["route"] = [destination("v1", 80), destination("v2", 20)]
    before = len(world.writes)
    for _ in range(5):
        world.step()
        world.now += 5
    assert (world.phase, len(world.writes)) == (Phase.ROLLING_BACK, before)
    assert "taken over" in world.parsed.message
    annotate(world, "VirtualService", "")
    world.istiod_knows = True
    world.run_to(Phase.ROLLED_BACK, seconds=60)
    assert world.split() == {"v1": 100}


def test_deletion_leaves_the_routing_to_those_who_have_it() -> None:
    world = at_ten()
    annotate(world, "CanaryRollout")
    world.deleting = True
    writes = len(world.writes)
    world.run(until=lambda w: w.gone, seconds=10)
    assert len(world.writes) == writes


def test_at_rest_nothing_starts_and_nothing_is_put_right_while_people_have_the_routing() -> None:
    world = World().add(virtual_service([{"name": "main", "route": [destination("v1", 100)]}]), destination_rule("v1", "v2"))
    world.run_to(Phase.STABLE)
    annotate(world, "CanaryRollout")
    world.release("v2")
    world.objects["VirtualService", "reviews"]["spec"]["http"][0]["route"] = [destination("v2", 100)]
    for _ in range(3):
        world.step()
        world.now += 5
    assert (world.phase, world.writes) == (Phase.STABLE, [])
    assert reasons(world)["Stalled"] == "TakenOver"
    world.annotations.clear()
    world.run(until=lambda w: w.split() == {"v1": 100, "v2": 0} or w.split() == {"v1": 100}, seconds=10)


@pytest.fixture
def kubectl_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator whose admin has named kubectl's editors as managers that take over."""
    monkeypatch.setattr(worlds, "SETTINGS", replace(worlds.SETTINGS, takeover_managers=("kubectl-edit", "kubectl-patch")))


@pytest.mark.usefixtures("kubectl_takes_over")
def test_a_change_by_a_configured_manager_takes_over_until_somebody_resumes() -> None:
    world = at_ten()
    world.annotations[RESUME] = "from long ago"
    by_hand(world)
    writes = len(world.writes)
    for _ in range(5):
        world.step()
        world.now += 5
    assert (world.phase, len(world.writes), world.split()) == (Phase.PAUSED, writes, {"v1": 100})
    assert "kubectl-edit (Update at 10:00:00 UTC)" in world.parsed.message
    world.annotations[RESUME] = "thank you"
    world.run(until=lambda w: w.parsed.stable_version == "v2")


@pytest.mark.usefixtures("kubectl_takes_over")
def test_other_managers_do_not_take_over_and_at_rest_a_resume_puts_the_routes_back() -> None:
    world = at_ten()
    by_hand(world, "argocd-controller")
    world.step()
    assert (world.phase, world.split()) == (Phase.SHIFTING, {"v1": 90, "v2": 10})
    world.run(until=lambda w: w.parsed.stable_version == "v2")
    world.step()
    by_hand(world)
    for _ in range(3):
        world.step()
        world.now += 5
    assert (world.phase, world.split(), reasons(world)["Stalled"]) == (Phase.STABLE, {"v1": 100}, "TakenOver")
    world.annotations[RESUME] = "1"
    world.run(until=lambda w: w.phase is Phase.STABLE and sum(w.split().values()) == w.split().get("v2"), seconds=30)


@pytest.mark.parametrize("holder", ["CanaryRollout", "VirtualService", "DestinationRule"])
def test_what_people_write_into_the_annotation_cannot_steer_a_terminal(holder: str) -> None:
    world = at_ten()
    annotate(world, holder, "incident\n7\x1b]0;owned\x07 \u202etxt.exe\x9b2J")
    world.run_to(Phase.PAUSED)
    told = [condition.message for condition in world.parsed.conditions] + [world.parsed.message]
    assert any("incident 7" in message for message in told)
    assert all(message.isprintable() for message in told)
    assert world.parsed.rollout is not None
    assert world.parsed.rollout.explanation.isprintable()
