"""Foreign changes of weights and subsets: noticed, put right ever more slowly, and given way to where that is safe."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from canaryrollout.api.drift import DRIFT_LIMIT, DriftState
from canaryrollout.api.status import Phase
from canaryrollout.core import drift
from canaryrollout.core.drift import LAST_DELAY_SECONDS, WINDOW_SECONDS, Look, at_rest, delay, flapping, followed, recent
from canaryrollout.core.requested import RESUME
from hypothesis import given
from hypothesis import strategies as st
from world import World, destination, destination_rule, pods, virtual_service

ROUTES = frozenset({"VirtualService"})
NOTHING = frozenset[Any]()


# --- the back-off, by itself ---


@given(st.integers(0, 10_000))
def test_the_first_change_is_put_right_at_once_and_no_wait_is_ever_longer_than_the_bound(count: int) -> None:
    assert 0.0 <= delay(count) <= LAST_DELAY_SECONDS
    assert delay(count) <= delay(count + 1)
    assert (delay(count) == 0.0) == (count <= 1)
    if count >= 2 and delay(count + 1) < LAST_DELAY_SECONDS:
        assert delay(count + 1) == 2 * delay(count)


gaps = st.lists(st.floats(0.01, 400.0), min_size=1, max_size=40)


@given(gaps)
def test_whatever_the_rhythm_of_changes_each_is_counted_once_and_answered_within_the_bound(waits: list[float]) -> None:
    now, state, times = 1_000_000.0, followed(None, "t", Look(NOTHING, 1_000_000.0)), []
    for wait in waits:
        now += wait
        times.append(now)
        state = followed(state, "t", Look(ROUTES, now))
        within = [time for time in times if time > now - WINDOW_SECONDS]
        assert recent(state, now) == min(len(within), DRIFT_LIMIT)
        assert flapping(state, now) == (len(within) >= DRIFT_LIMIT)
        assert state.next_attempt is not None
        assert state.next_attempt == now + delay(recent(state, now))
        seen_again = followed(state, "t", Look(ROUTES, now + 0.001))
        assert seen_again == state, "the same change is not counted twice"
        assert drift.waiting(state, "VirtualService", state.next_attempt) is False
        state = followed(state, "t", Look(NOTHING, now + 0.002))
        assert (state.changed, state.next_attempt) == ((), None)
        assert not flapping(state, now), "what is in place is no conflict"
    stored = state.model_dump(mode="json", by_alias=True)
    assert DriftState.model_validate(stored).model_dump(mode="json", by_alias=True) == stored


@given(gaps)
def test_a_writer_that_is_faster_than_a_look_is_counted_by_the_writes_that_landed(waits: list[float]) -> None:
    now = 1_000_000.0
    state = drift.aimed(None, "t")
    for count, wait in enumerate(waits, start=1):
        now += wait / 100
        state = followed(state, "t", Look(ROUTES, now, landed=frozenset({"VirtualService"})))
        assert len(state.times) == min(count, DRIFT_LIMIT)
    assert recent(state, now) == min(len(waits), DRIFT_LIMIT)


def test_what_is_wanted_anew_is_no_foreign_change_until_it_was_in_place() -> None:
    placed = followed(None, "10 %", Look(NOTHING, 1.0))
    next_step = followed(placed, "25 %", Look(ROUTES, 2.0))
    assert (next_step.times, next_step.placed) == ((), ("DestinationRule",))
    refused = followed(next_step, "25 %", Look(ROUTES, 3.0))
    assert refused.times == (), "a write that was refused or lost a race is only repeated"
    done = followed(refused, "25 %", Look(NOTHING, 4.0))
    assert followed(done, "25 %", Look(ROUTES, 5.0)).times == (5.0,)


def test_old_changes_are_forgotten_at_rest() -> None:
    state = at_rest(None, Look(ROUTES, 1000.0))
    assert state is not None
    state = at_rest(state, Look(NOTHING, 1001.0))
    assert state is not None
    assert at_rest(state, Look(NOTHING, 1000.0 + WINDOW_SECONDS)) is None


# --- the machine ---


def entry(manager: str, *fields: str) -> dict[str, Any]:
    owned = {"f:spec": {f"f:{name}": {} for name in fields}}
    return {"manager": manager, "operation": "Apply", "time": "2026-01-01T10:00:00Z", "fieldsV1": owned}


class Git:
    """A tool that applies what it holds whenever the live objects differ from it in the routes or subsets."""

    def __init__(self, world: World, manager: str, *objects: dict[str, Any]) -> None:
        self.world, self.manager = world, manager
        self.held = {(item["kind"], item["metadata"]["name"]): copy.deepcopy(item["spec"]) for item in objects or world.objects.values()}
        self.applied = 0

    def heal(self) -> None:
        for key, spec in self.held.items():
            item = self.world.objects[key]
            if item["spec"] != spec:
                self.applied += 1
                item["spec"] = copy.deepcopy(spec)
                item["metadata"]["resourceVersion"] = str(int(item["metadata"]["resourceVersion"]) + 1)
                item["metadata"]["managedFields"] = [entry(self.manager, "http", "subsets", "hosts", "host")]


def live(world: World, git: Git, until: Callable[[World], bool], seconds: float = 120.0, interval: float = 3.0) -> None:
    """Passes as the machine asks for them and at each write of the tool, which heals every `interval` seconds."""
    end, heals = world.now + seconds, world.now + interval
    while not until(world):
        assert world.now < end, f"still {world.phase}: {world.parsed.message}"
        requeue = world.step().requeue_after
        due = world.now + max(0.01, 5.0 if requeue is None else requeue)
        if due >= heals:
            world.now, heals = heals, heals + interval
            git.heal()
        else:
            world.now = due


def condition(world: World, name: str) -> tuple[str, str]:
    found = next(c for c in world.parsed.conditions if c.type == name)
    return found.status, found.reason


def at_ten(**more: Any) -> World:
    """v2 has its 10 %, acknowledged, in objects that somebody keeps in git."""
    world = World(**more).add(virtual_service([{"name": "main", "route": [destination("v1", 100)]}]), destination_rule("v1", "v2"))
    return world.run_to(Phase.STABLE).release("v2").run(until=lambda w: w.phase is Phase.ANALYSING and w.parsed.weight == 10)


def test_the_manager_that_changed_the_weights_is_named_and_the_step_counts_as_unproved() -> None:
    world = at_ten()
    world.run(until=lambda w: bool(w.parsed.rollout and w.parsed.rollout.step and w.parsed.rollout.step.observed_from))
    service = world.objects["VirtualService", "reviews"]
    service["spec"]["http"][0]["route"][0]["weight"], service["spec"]["http"][0]["route"][1]["weight"] = 50, 50
    service["metadata"]["managedFields"] = [entry("kubectl-edit", "http")]
    world.step()
    assert (world.phase, world.split()) == (Phase.SHIFTING, {"v1": 90, "v2": 10})
    assert world.events[-1].reason == "Drifted"
    assert world.events[-1].message.startswith("kubectl-edit (Apply at 10:00:00 UTC) changed VirtualService reviews (change 1")
    step = world.parsed.rollout.step if world.parsed.rollout else None
    assert step is not None
    assert (step.synced_at, step.observed_from) == (None, None)
    world.run(until=lambda w: w.parsed.stable_version == "v2")


def test_a_second_change_waits_and_says_for_what() -> None:
    world = at_ten()
    git = Git(world, "argocd-controller", virtual_service([{"name": "main", "route": [destination("v1", 100)]}]))
    git.heal()
    world.step()
    world.run_to(Phase.ANALYSING)
    git.heal()
    decision = world.step()
    assert (world.phase, world.split()) == (Phase.SHIFTING, {"v1": 100})
    assert "argocd-controller" in world.parsed.message
    assert "written again in 1 s" in world.parsed.message
    world.now += 0.5
    world.step()
    assert world.split() == {"v1": 100}
    assert decision.requeue_after == 0.0
    world.now += 0.6
    world.step()
    assert world.split() == {"v1": 90, "v2": 10}


def test_a_tool_that_insists_on_stable_is_given_way_to_with_the_rule_to_paste_and_resuming_goes_on() -> None:
    world = at_ten()
    git = Git(world, "argocd-controller", virtual_service([{"name": "main", "route": [destination("v1", 100)]}]))
    started = world.now
    live(world, git, lambda w: w.phase is Phase.PAUSED)
    assert world.now - started < 40
    assert condition(world, "Stalled") == ("True", "DriftConflict")
    message = world.parsed.message
    assert message.startswith("argocd-controller (Apply")
    start = message.index("{ignoreDifferences")
    rule = yaml.safe_load(message[start : message.index("}.", start) + 1])
    assert {item["kind"] for item in rule["ignoreDifferences"]} == {"VirtualService", "DestinationRule"}
    written = len(world.writes)
    live(world, git, lambda w: w.now - started > 100)
    assert (len(world.writes), world.split()) == (written, {"v1": 100}), "it no longer fights"
    git.held.clear()
    world.annotations[RESUME] = "ignored now"
    world.run(until=lambda w: w.parsed.stable_version == "v2")


def test_a_tool_that_insists_on_more_for_the_canary_than_was_proved_ends_the_rollout_and_the_way_back_never_gives_up() -> None:
    world = at_ten()
    git = Git(world, "kubectl-patch", virtual_service([{"name": "main", "route": [destination("v1", 40), destination("v2", 60)]}]))
    live(world, git, lambda w: w.phase is Phase.ROLLING_BACK)
    assert world.parsed.rollout is not None
    assert (world.parsed.rollout.reason, world.parsed.weight) == ("DriftConflict", 0)
    live(world, git, lambda w: w.phase is Phase.ROLLED_BACK)
    assert condition(world, "Stalled") == ("True", "DriftConflict")
    for _ in range(30):
        git.heal()
        world.run(until=lambda w: w.split() == {"v1": 100, "v2": 0}, seconds=6.1)
    assert world.phase in (Phase.ROLLED_BACK, Phase.ADOPTING)
    world.run_to(Phase.ROLLED_BACK)
    assert len(world.parsed.history) == 1
    assert sum(event.reason == "Drifted" for event in world.events) < 60


def test_a_plain_host_in_mid_rollout_gives_the_canary_what_nobody_proved_so_it_is_not_given_way_to() -> None:
    world = at_ten()
    plain = virtual_service([{"name": "main", "route": [{"destination": {"host": "reviews"}}]}])
    live(world, Git(world, "argocd-controller", plain), lambda w: w.phase is Phase.ROLLING_BACK)


def test_a_tool_that_writes_one_object_after_the_other_is_judged_by_what_it_leaves() -> None:
    world = at_ten()
    git = Git(world, "argocd-controller", destination_rule("v1"), virtual_service([{"name": "main", "route": [destination("v1", 100)]}]))
    for _ in range(DRIFT_LIMIT - 1):
        git.heal()
        world.step()
        world.run(until=lambda w: w.split() == {"v1": 90, "v2": 10}, seconds=10)
        world.step()
    world.objects["DestinationRule", "reviews"]["spec"] = copy.deepcopy(git.held["DestinationRule", "reviews"])
    decision = world.step()
    assert world.phase is Phase.SHIFTING
    assert decision.requeue_after is not None
    assert decision.requeue_after <= 1.0
    world.now += 0.1
    git.heal()
    world.step()
    assert (world.phase, world.split()) == (Phase.PAUSED, {"v1": 100})


def test_while_given_way_to_the_canary_must_not_get_more_and_a_breach_is_undone() -> None:
    for share, then in ((60, "DriftConflict"), (10, "ErrorRate")):
        world = at_ten()
        git = Git(world, "argocd-controller", virtual_service([{"name": "main", "route": [destination("v1", 100)]}]))
        live(world, git, lambda w: w.phase is Phase.PAUSED)
        world.objects["VirtualService", "reviews"]["spec"]["http"][0]["route"] = [destination("v1", 100 - share), destination("v2", share)]
        world.error_rate = {"v2": 0.5} if share == 10 else {}
        world.run_to(Phase.ROLLING_BACK, seconds=120)
        assert world.parsed.rollout is not None
        assert world.parsed.rollout.reason == then


def test_a_subset_that_was_taken_away_is_proved_again_before_its_weights() -> None:
    world = at_ten()
    world.objects["DestinationRule", "reviews"]["spec"]["subsets"].pop()
    world.objects["VirtualService", "reviews"]["spec"]["http"][0]["route"] = [destination("v1", 100)]
    world.step()
    assert [s["name"] for s in world.objects["DestinationRule", "reviews"]["spec"]["subsets"]] == ["v1", "v2"]
    assert world.split() == {"v1": 100}
    world.istiod_knows = False
    for _ in range(3):
        world.now += 1
        world.step()
    assert world.split() == {"v1": 100}, "no weight before every proxy knows the cluster"
    world.istiod_knows = True
    world.run(until=lambda w: w.split() == {"v1": 90, "v2": 10}, seconds=5)


def test_a_writer_that_undoes_each_write_at_once_is_not_fought_without_end() -> None:
    world = at_ten()
    git = Git(world, "other-operator", virtual_service([{"name": "main", "route": [destination("v1", 100)]}]))
    world.on_write = lambda _: git.heal()
    git.heal()
    written = len(world.writes)
    world.run_to(Phase.PAUSED, seconds=60)
    assert len(world.writes) - written < 2 * DRIFT_LIMIT
    assert "other-operator" in world.parsed.message


@pytest.mark.parametrize("paused", [False, True])
def test_weights_are_put_right_in_promotion_and_in_a_pause(paused: bool) -> None:
    world = at_ten()
    if paused:
        world.spec["paused"] = True
        world.run_to(Phase.PAUSED)
    else:
        world.run_to(Phase.PROMOTING)
        world.istiod_knows = False
        world.step()
        assert world.phase is Phase.PROMOTING
    wanted = world.split()
    world.objects["VirtualService", "reviews"]["spec"]["http"][0]["route"] = [destination("v1", 70), destination("v2", 30)]
    world.step()
    assert world.split().get("v2") == wanted["v2"]
    assert world.events[-1].reason == "Drifted"


def test_objects_that_were_reset_together_in_a_pause_are_put_right_through_a_proof() -> None:
    world = at_ten()
    world.spec["paused"] = True
    world.run_to(Phase.PAUSED)
    world.objects["DestinationRule", "reviews"]["spec"]["subsets"] = []
    world.objects["VirtualService", "reviews"]["spec"]["http"][0]["route"] = [{"destination": {"host": "reviews"}}]
    world.istiod_knows = False
    for _ in range(5):
        world.step()
        world.now += 1
    assert world.split() == {"": 100}, "no weight before every proxy knows the clusters"
    world.istiod_knows = True
    world.run(until=lambda w: w.split() == {"v1": 90, "v2": 10}, seconds=15)
    assert world.phase is Phase.PAUSED


def test_an_edit_of_the_trial_policy_is_no_foreign_change() -> None:
    world = at_ten()
    world.spec["canaryTrafficPolicy"] = {"outlierDetection": {"consecutive5xxErrors": 3}}
    world.run(
        until=lambda w: w.phase is Phase.ANALYSING and "trafficPolicy" in w.objects["DestinationRule", "reviews"]["spec"]["subsets"][1]
    )
    assert not any(event.reason == "Drifted" for event in world.events)


def test_a_deletion_goes_on_putting_stable_back_however_often_it_is_undone() -> None:
    world = at_ten()
    git = Git(world, "kubectl-patch", virtual_service([{"name": "main", "route": [destination("v1", 40), destination("v2", 60)]}]))
    world.deleting = True
    world.lagging = ()
    for _ in range(8):
        world.istiod_knows = False
        git.heal()
        world.run(until=lambda w: w.split() == {"v1": 100}, seconds=6.1)
    world.istiod_knows = True
    world.run(until=lambda w: w.gone, seconds=10)
    assert world.split() == {"v1": 100}


# --- at rest ---


def promoted() -> World:
    """v2 serves everything, in objects of git."""
    world = World().add(
        virtual_service(
            [
                {"name": "pin", "match": [{"uri": {"prefix": "/old"}}], "route": [destination("v1")]},
                {"name": "main", "route": [destination("v1", 100)]},
            ]
        ),
        destination_rule("v1"),
    )
    world.run_to(Phase.STABLE).release("v2").run(until=lambda w: w.parsed.stable_version == "v2")
    world.step()
    return world


def test_at_rest_nothing_more_than_the_routes_is_remembered() -> None:
    world = promoted()
    assert world.parsed.routing is not None
    assert (world.parsed.routing.routes, world.parsed.routing.pinned) == ((), world.parsed.routing.pinned)
    assert [pin.split("|")[0] for pin in world.parsed.routing.pinned] == ["name:pin", "name:main"]
    assert world.parsed.drift is None


@pytest.mark.parametrize(
    "route",
    [[destination("v1", 100)], [{"destination": {"host": "reviews"}}], [destination("v2", 50), destination("v1", 50)]],
    ids=["old version", "plain host", "split"],
)
def test_routes_that_were_reset_at_rest_go_back_to_stable_through_a_proof(route: list[dict[str, Any]]) -> None:
    world = promoted()
    world.objects["VirtualService", "reviews"]["spec"]["http"][1]["route"] = copy.deepcopy(route)
    world.objects["VirtualService", "reviews"]["metadata"]["managedFields"] = [entry("argocd-controller", "http")]
    world.step()
    assert world.phase is Phase.ADOPTING
    assert "argocd-controller" in next(event.message for event in world.events if event.reason == "Drifted")
    world.run_to(Phase.STABLE)
    assert {subset for subset, weight in world.split(route=1).items() if weight} == {"v2"}
    world.step()
    assert condition(world, "Ready") == ("True", "Stable")


def test_stables_subset_that_was_taken_away_at_rest_comes_back_before_the_routes() -> None:
    world = promoted()
    world.objects["DestinationRule", "reviews"]["spec"]["subsets"] = [{"name": "v1", "labels": {"version": "v1"}}]
    world.run(until=lambda w: any(s["name"] == "v2" for s in w.objects["DestinationRule", "reviews"]["spec"]["subsets"]), seconds=10)
    world.run_to(Phase.STABLE)


def test_a_route_that_people_newly_pin_by_a_match_and_another_subset_of_the_same_version_are_theirs() -> None:
    world = promoted()
    service, rule = world.objects["VirtualService", "reviews"], world.objects["DestinationRule", "reviews"]
    rule["spec"]["subsets"] = [{"name": "prod", "labels": {"version": "v2"}}, {"name": "v1", "labels": {"version": "v1"}}]
    service["spec"]["http"] = [
        {"name": "debug", "match": [{"headers": {"x-debug": {"exact": "1"}}}], "route": [destination("v1")]},
        {"name": "pin", "match": [{"uri": {"prefix": "/other"}}], "route": [destination("v1")]},
        {"name": "main", "route": [destination("prod")]},
    ]
    writes = len(world.writes)
    for _ in range(5):
        world.step()
        world.now += 5
    assert (world.phase, len(world.writes), world.parsed.drift) == (Phase.STABLE, writes, None)


def test_a_tool_that_insists_at_rest_is_given_way_to_and_told_until_the_routes_are_right_or_somebody_resumes() -> None:
    for resume in (False, True):
        world = promoted()
        held = copy.deepcopy(world.objects["VirtualService", "reviews"])
        held["spec"]["http"][1]["route"] = [destination("v1", 100)]
        world.objects["DestinationRule", "reviews"]["spec"]["subsets"] = [{"name": v, "labels": {"version": v}} for v in ("v1", "v2")]
        git = Git(world, "kustomize-controller", held)
        live(world, git, lambda w: condition(w, "Stalled") == ("True", "DriftConflict"))
        assert world.phase is Phase.STABLE
        assert "kustomize.toolkit.fluxcd.io/ssa: IfNotPresent" in world.parsed.message
        writes = len(world.writes)
        live(world, git, lambda w, end=world.now + 60: w.now > end)  # type: ignore[misc]
        assert len(world.writes) == writes
        git.held.clear()
        if resume:
            world.annotations[RESUME] = "again"
        else:
            world.objects["VirtualService", "reviews"]["spec"]["http"][1]["route"] = [destination("v2", 100)]
        world.run(until=lambda w: w.phase is Phase.STABLE and condition(w, "Ready") == ("True", "Stable"), seconds=30)
        assert {subset for subset, weight in world.split(route=1).items() if weight} == {"v2"}


def test_where_requests_fail_nobody_is_given_way_to_at_rest() -> None:
    world = promoted()
    git = Git(world, "argocd-controller", destination_rule("v1"))
    for _ in range(12):
        git.heal()
        world.run(until=lambda w: any(s["name"] == "v2" for s in w.objects["DestinationRule", "reviews"]["spec"]["subsets"]), seconds=6.1)
    world.run_to(Phase.STABLE)
    assert git.applied == 12


def test_after_a_rollback_the_version_that_failed_is_kept_away_for_good() -> None:
    world = at_ten()
    world.error_rate = {"v2": 0.5}
    world.run_to(Phase.ROLLED_BACK)
    git = Git(world, "argocd-controller", virtual_service([{"name": "main", "route": [{"destination": {"host": "reviews"}}]}]))
    for _ in range(8):
        git.heal()
        world.run(until=lambda w: w.split() == {"v1": 100}, seconds=6.1)
    world.run_to(Phase.ROLLED_BACK)
    assert condition(world, "Stalled") == ("True", "ErrorRate")
    assert len(world.parsed.history) == 1


def test_nothing_is_sent_to_a_stable_version_without_endpoints_and_a_deleted_virtual_service_is_not_made_again() -> None:
    world = promoted()
    world.versions["v2"] = pods("v2", ready=0, total=2)
    world.objects["VirtualService", "reviews"]["spec"]["http"][1]["route"] = [destination("v1", 100)]
    writes = len(world.writes)
    for _ in range(4):
        assert world.step().requeue_after is not None
        world.now += 5
    assert (world.phase, len(world.writes)) == (Phase.STABLE, writes)
    del world.objects["VirtualService", "reviews"]
    world.step()
    assert ("VirtualService", "reviews") not in world.objects
