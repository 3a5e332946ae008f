"""Others edit the same objects all the time: nothing of theirs is lost, the decision is carried out, and a stale one is not."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from canaryrollout.controller import conflicts
from canaryrollout.controller.cluster import FINALIZER
from canaryrollout.controller.conflicts import PREFIX, QUICK_TRIES, unchanged
from canaryrollout.controller.reconciler import CONFLICT_RETRY_SECONDS
from canaryrollout.core.snapshot import ProxyState
from canaryrollout.kube.resources import CANARYROLLOUTS, DESTINATIONRULES, PODS, VIRTUALSERVICES, Resource
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory_api import NAMESPACE, MemoryApi, Object, pod
from reconciling import Operator, analysing, rolling_out, stable

WRITES = ("replace_status", "patch_status", "merge_patch", "json_patch")
RESOURCES = {resource.plural: resource for resource in (CANARYROLLOUTS, VIRTUALSERVICES, DESTINATIONRULES)}

Edit = Callable[[Object], None]


def annotated(number: int) -> Edit:
    """An annotation of somebody else's."""

    def edit(item: Object) -> None:
        item["metadata"].setdefault("annotations", {})["example.com/note"] = str(number)

    return edit


class Fuzzer:
    """Edits whatever object the operator is about to write, right before the write, as long as `script` says so."""

    def __init__(self, api: MemoryApi, script: list[bool]) -> None:
        self._api, self._script = api, script
        self.edits: dict[tuple[str, str], int] = {}
        self._number = 0
        api.before = self

    def __call__(self, verb: str, plural: str, name: str) -> None:
        if verb in WRITES and plural in RESOURCES and self._script and self._script.pop(0):
            self.edit(RESOURCES[plural], name)

    def edit(self, resource: Resource, name: str) -> None:
        self._number += 1
        item = copy.deepcopy(self._api.find(resource, name))
        annotated(self._number)(item)
        if resource is VIRTUALSERVICES:
            item["spec"]["http"][0]["timeout"] = f"{self._number}s"
            item["metadata"]["generation"] = item["metadata"].get("generation", 1) + 1
        if resource is DESTINATIONRULES:
            item["spec"]["trafficPolicy"] = {"connectionPool": {"http": {"maxRetries": self._number}}}
        self._api.put(resource, item)
        self.edits[resource.plural, name] = self._number

    def assert_nothing_was_lost(self) -> None:
        for (plural, name), number in self.edits.items():
            item = self._api.find(RESOURCES[plural], name)
            assert item["metadata"]["annotations"]["example.com/note"] == str(number)
            if plural == VIRTUALSERVICES.plural:
                assert item["spec"]["http"][0]["timeout"] == f"{number}s"
            if plural == DESTINATIONRULES.plural:
                assert item["spec"]["trafficPolicy"] == {"connectionPool": {"http": {"maxRetries": number}}}


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conflicts, "PAUSE_SECONDS", 0.0)


async def wanting_v2() -> Operator:
    """v2 is there and asked for; the next pass begins the rollout."""
    operator = await stable()
    operator.api.put(PODS, pod("reviews-v2-a", "v2"))
    operator.edit(version="v2")
    return operator


def weights(operator: Operator) -> dict[str, int]:
    """By subset."""
    entries = operator.api.find(VIRTUALSERVICES, "reviews")["spec"]["http"][0]["route"]
    return {entry["destination"]["subset"]: entry.get("weight", 100) for entry in entries}


async def test_an_edit_before_every_first_try_holds_nothing_up() -> None:
    operator = await wanting_v2()
    fuzzer = Fuzzer(operator.api, [True, False] * 3)
    await operator.passes(1)
    written = [verb for verb, plural, _ in operator.api.calls if plural in RESOURCES]
    assert written == ["replace_status", "patch_status", "merge_patch", "merge_patch", "json_patch", "json_patch"]
    assert operator.phase == "Preparing"
    assert operator.raw["metadata"]["finalizers"] == [FINALIZER]
    assert [s["name"] for s in operator.api.find(DESTINATIONRULES, "reviews")["spec"]["subsets"]] == ["v1", "v2"]
    assert set(fuzzer.edits) == {("canaryrollouts", "reviews"), ("destinationrules", "reviews")}
    fuzzer.assert_nothing_was_lost()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(st.booleans(), max_size=60))
async def test_whatever_is_edited_between_reading_and_writing_survives_and_the_rollout_goes_on(script: list[bool]) -> None:
    operator = await wanting_v2()
    operator.mesh.rps = 100.0
    fuzzer = Fuzzer(operator.api, list(script))
    for _ in range(60):
        operator.restart()
        await operator.passes(1)
        fuzzer.assert_nothing_was_lost()
        assert sum(weights(operator).values()) == 100
        if operator.phase == "Analysing":
            break
    assert (operator.phase, weights(operator)) == ("Analysing", {"v1": 95, "v2": 5})


@pytest.mark.parametrize("verb", ["status", "json_patch"])
async def test_one_that_is_always_faster_does_not_hold_up_what_he_does_not_edit(verb: str) -> None:
    operator = await wanting_v2()
    fuzzer = Fuzzer(operator.api, [])

    def faster(called: str, plural: str, name: str) -> None:
        if verb in called:
            fuzzer.edit(RESOURCES[plural], name)

    operator.api.before = faster
    await operator.passes(1)
    assert operator.phase == "Preparing"
    assert [s["name"] for s in operator.api.find(DESTINATIONRULES, "reviews")["spec"]["subsets"]] == ["v1", "v2"]
    fuzzer.assert_nothing_was_lost()


def another_finalizer(operator: Operator, number: int) -> None:
    item = copy.deepcopy(operator.raw)
    item["metadata"]["finalizers"] = [f"example.com/{number}"]
    operator.api.put(CANARYROLLOUTS, item)


def another_subset(operator: Operator, number: int) -> None:
    item = copy.deepcopy(operator.api.find(DESTINATIONRULES, "reviews"))
    item["spec"]["subsets"][1:] = [{"name": f"theirs-{number}", "labels": {"version": "v9"}}]
    operator.api.put(DESTINATIONRULES, item)


@pytest.mark.parametrize(("verb", "edit"), [("merge_patch", another_finalizer), ("json_patch", another_subset)])
async def test_one_that_is_always_faster_at_the_same_thing_leaves_the_pass_to_be_repeated_soon(
    verb: str, edit: Callable[[Operator, int], None]
) -> None:
    operator = await wanting_v2()
    tries = 0

    def faster(called: str, plural: str, name: str) -> None:
        nonlocal tries
        if called == verb:
            tries += 1
            edit(operator, tries)

    operator.api.before = faster
    assert await operator.passes(1) == CONFLICT_RETRY_SECONDS
    assert tries == QUICK_TRIES
    operator.api.before = lambda *_: None
    operator.restart()
    await operator.passes(1)
    found = [s["name"] for s in operator.api.find(DESTINATIONRULES, "reviews")["spec"]["subsets"]]
    assert found == (["v1", "v2"] if verb == "merge_patch" else ["v1", f"theirs-{QUICK_TRIES}", "v2"])
    assert FINALIZER in operator.raw["metadata"]["finalizers"]


async def up_to_the_first_weight(operator: Operator) -> float | None:
    """Passes until the first weight was to be written; gives the last one's answer."""
    operator.mesh.rps = 100.0
    again = None
    while not any(plural == "virtualservices" for _, plural, _ in operator.api.calls):
        operator.restart()
        again = await operator.passes(1)
    return again


def aborted(item: Object) -> None:
    item["spec"]["version"] = "v1"
    item["metadata"]["generation"] += 1


def deleted(item: Object) -> None:
    item["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z"


def moved_by_another_leader(item: Object) -> None:
    item["status"]["phase"] = "RollingBack"


def asked_to_retry(item: Object) -> None:
    item["metadata"].setdefault("annotations", {})[f"{PREFIX}retry"] = "now"


@pytest.mark.parametrize("change", [aborted, deleted, moved_by_another_leader, asked_to_retry])
async def test_a_weight_is_not_written_again_for_an_intent_that_may_not_stand_any_more(change: Edit) -> None:
    operator = await rolling_out()

    def meanwhile(verb: str, plural: str, name: str) -> None:
        if verb == "json_patch":
            assert plural == "virtualservices"
            fuzzer.edit(VIRTUALSERVICES, "reviews")
            item = copy.deepcopy(operator.raw)
            change(item)
            operator.api.put(CANARYROLLOUTS, item)

    fuzzer = Fuzzer(operator.api, [])
    operator.api.before = meanwhile
    assert await up_to_the_first_weight(operator) == CONFLICT_RETRY_SECONDS
    assert [verb for verb, plural, _ in operator.api.calls if plural == "virtualservices"] == ["json_patch"]
    assert weights(operator) == {"v1": 100}


async def test_another_leader_who_wrote_after_the_fence_was_read_is_not_overwritten() -> None:
    operator = await rolling_out()
    fuzzer, tries = Fuzzer(operator.api, []), 0
    theirs = [{"destination": {"host": "reviews", "subset": name}, "weight": weight} for name, weight in (("v1", 50), ("v2", 50))]

    def meanwhile(verb: str, plural: str, name: str) -> None:
        nonlocal tries
        if (verb, plural) != ("json_patch", "virtualservices"):
            return
        tries += 1
        if tries == 1:
            fuzzer.edit(VIRTUALSERVICES, "reviews")
        else:  # between the fence and this write: another leader's intent is stored, then his weights
            item = copy.deepcopy(operator.raw)
            moved_by_another_leader(item)
            operator.api.put(CANARYROLLOUTS, item)
            service = copy.deepcopy(operator.api.find(VIRTUALSERVICES, "reviews"))
            service["spec"]["http"][0]["route"] = theirs
            operator.api.put(VIRTUALSERVICES, service)

    operator.api.before = meanwhile
    assert await up_to_the_first_weight(operator) == CONFLICT_RETRY_SECONDS
    assert (tries, weights(operator)) == (2, {"v1": 50, "v2": 50})


async def test_weights_that_somebody_changed_meanwhile_are_written_from_what_they_are_now() -> None:
    operator = await analysing()
    operator.edit(version="v1")  # back to stable: weight 0 is due
    new = {"name": "new", "match": [{"uri": {"prefix": "/new"}}], "route": [{"destination": {"host": "other"}}]}

    def inserted(verb: str, plural: str, name: str) -> None:
        if verb == "json_patch" and plural == "virtualservices":
            operator.api.before = lambda *_: None
            item = copy.deepcopy(operator.api.find(VIRTUALSERVICES, "reviews"))
            item["spec"]["http"].insert(0, new)
            operator.api.put(VIRTUALSERVICES, item)

    operator.api.before = inserted
    for _ in range(5):
        operator.restart()
        await operator.passes(1)
    routes = operator.api.find(VIRTUALSERVICES, "reviews")["spec"]["http"]
    assert routes[0] == new
    assert [entry["destination"]["subset"] for entry in routes[1]["route"]] == ["v1"]


def test_what_a_decision_does_not_rest_on_may_differ_and_nothing_else() -> None:
    read: dict[str, Any] = {
        "metadata": {"uid": "u", "generation": 2, "resourceVersion": "7", "finalizers": ["example.com/x"], "namespace": NAMESPACE},
        "spec": {"version": "v2"},
        "status": {"phase": "Stable"},
    }
    harmless = {
        "resourceVersion": "9",
        "labels": {"a": "b"},
        "annotations": {"note": "x"},
        "finalizers": ["example.com/y"],
        "managedFields": [],
    }
    assert unchanged(read, {**read, "metadata": {**read["metadata"], **harmless}})
    assert not unchanged(read, None)
    for name, value in {"uid": "v", "generation": 3, "deletionTimestamp": "t", "annotations": {f"{PREFIX}resume": "1"}}.items():
        assert not unchanged(read, {**read, "metadata": {**read["metadata"], name: value}})
    assert not unchanged(read, {**read, "spec": {"version": "v3"}})
    assert not unchanged(read, {**read, "status": {"phase": "Preparing"}})


async def test_a_proof_goes_on_through_edits_of_other_things_and_begins_anew_after_a_change_that_was_undone() -> None:
    operator = await rolling_out()
    operator.mesh.rps = 100.0
    fuzzer = Fuzzer(operator.api, [])
    live = partial(operator.api.find, VIRTUALSERVICES, "reviews")

    async def watched() -> None:
        await operator.revisions.seen("MODIFIED", copy.deepcopy(live()))

    await operator.revisions.seen(None, copy.deepcopy(live()))
    while weights(operator) == {"v1": 100}:
        await operator.passes(1)
    operator.mesh.state = ProxyState.PENDING
    await watched()
    await operator.passes(1)
    since = operator.mesh.asked[-1].revision
    assert since == live()["metadata"]["resourceVersion"]
    for _ in range(3):
        fuzzer.edit(VIRTUALSERVICES, "reviews")
        await watched()
        await operator.passes(1)
        assert operator.mesh.asked[-1].revision == since
    written = copy.deepcopy(live())
    operator.api.put(VIRTUALSERVICES, {**written, "spec": {**written["spec"], "http": [{"route": [{"destination": {"host": "reviews"}}]}]}})
    await watched()
    undone = operator.api.put(VIRTUALSERVICES, written)
    await watched()
    await operator.passes(1)
    assert operator.phase == "Shifting"
    assert operator.mesh.asked[-1].revision == undone["metadata"]["resourceVersion"]
