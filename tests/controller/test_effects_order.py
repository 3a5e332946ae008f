"""Effects run in the order of the decision, and one that fails ends the pass."""

import pytest
from canaryrollout.controller.cluster import FINALIZER
from canaryrollout.controller.effects import Effects
from canaryrollout.controller.recorder import Recorder
from canaryrollout.core.decision import Action, CreateObject, EmitEvent, PatchObject, SetFinalizer
from canaryrollout.kube.errors import AlreadyExists, ApiError, Conflict, Forbidden, Invalid, PreconditionFailed, Unavailable
from canaryrollout.kube.resources import CANARYROLLOUTS, DESTINATIONRULES, EVENTS
from memory_api import NAMESPACE, MemoryApi, Object, rollout

RULE = {"metadata": {"name": "reviews", "namespace": NAMESPACE}, "spec": {"host": "reviews"}}
CREATE = CreateObject("DestinationRule", "reviews", RULE)
TOLD = EmitEvent("StepStarted", "step 1/5: 5 % to version v2")


@pytest.fixture
def api() -> MemoryApi:
    return MemoryApi()


def effects(api: MemoryApi) -> Effects:
    return Effects(api, Recorder(api, "operator-0"))  # type: ignore[arg-type]


def nothing_else(item: Object) -> None:
    """No other way to get there."""


async def test_the_finalizer_is_held_before_the_mesh_is_written_and_the_event_comes_last(api: MemoryApi) -> None:
    raw = api.put(CANARYROLLOUTS, rollout())
    await effects(api).run(raw, (SetFinalizer(held=True), CREATE, TOLD), nothing_else)
    assert [(verb, plural) for verb, plural, _ in api.calls] == [
        ("merge_patch", "canaryrollouts"),
        ("create", "destinationrules"),
        ("create", "events"),
    ]
    assert api.find(CANARYROLLOUTS, "reviews")["metadata"]["finalizers"] == [FINALIZER]


async def test_where_the_finalizer_cannot_be_held_the_mesh_is_not_touched(api: MemoryApi) -> None:
    raw = api.put(CANARYROLLOUTS, rollout())
    api.put(CANARYROLLOUTS, rollout(version="v2"))  # somebody else wrote in between
    with pytest.raises(Conflict):
        await effects(api).run(raw, (SetFinalizer(held=True), CREATE, TOLD), nothing_else)
    assert [(verb, plural) for verb, plural, _ in api.calls] == [("merge_patch", "canaryrollouts"), ("create", "events")]


async def test_an_object_that_exists_already_is_never_overwritten_and_what_was_decided_is_told(api: MemoryApi) -> None:
    raw = api.put(CANARYROLLOUTS, rollout())
    theirs = api.put(DESTINATIONRULES, {**RULE, "spec": {"host": "reviews", "subsets": []}})
    with pytest.raises(AlreadyExists):
        await effects(api).run(raw, (CREATE, TOLD), nothing_else)
    assert api.find(DESTINATIONRULES, "reviews") == theirs
    assert [verb for verb, plural, _ in api.calls if plural == EVENTS.plural] == ["create"], "the next pass does not decide it again"


async def test_a_patch_of_an_older_revision_changes_nothing(api: MemoryApi) -> None:
    raw = api.put(CANARYROLLOUTS, rollout())
    old = api.put(DESTINATIONRULES, RULE)["metadata"]["resourceVersion"]
    newer = api.put(DESTINATIONRULES, RULE)
    operations = (
        {"op": "test", "path": "/metadata/resourceVersion", "value": old},
        {"op": "add", "path": "/spec/subsets", "value": []},
    )
    with pytest.raises(PreconditionFailed):
        await effects(api).run(raw, (PatchObject("DestinationRule", "reviews", operations), TOLD), nothing_else)
    assert api.find(DESTINATIONRULES, "reviews") == newer


async def test_finalizers_of_others_stay(api: MemoryApi) -> None:
    item = rollout()
    item["metadata"]["finalizers"] = ["example.com/theirs", FINALIZER]
    raw = api.put(CANARYROLLOUTS, item)
    await effects(api).run(raw, (SetFinalizer(held=False),), nothing_else)
    assert api.find(CANARYROLLOUTS, "reviews")["metadata"]["finalizers"] == ["example.com/theirs"]


async def test_the_finalizer_can_be_released_in_the_pass_that_held_it(api: MemoryApi) -> None:
    raw = api.put(CANARYROLLOUTS, rollout())
    await effects(api).run(raw, (SetFinalizer(held=True), SetFinalizer(held=False)), nothing_else)
    assert api.find(CANARYROLLOUTS, "reviews")["metadata"]["finalizers"] == []


@pytest.mark.parametrize(
    "refusal",
    [
        Forbidden(403, "Forbidden", "admission webhook denied the request"),
        Invalid(422, "Invalid", "spec.http is refused"),
        Unavailable(500, "InternalError", "failed calling webhook"),
    ],
    ids=lambda refusal: type(refusal).__name__,
)
async def test_what_was_decided_is_told_though_its_write_is_refused(api: MemoryApi, refusal: ApiError) -> None:
    raw = api.put(CANARYROLLOUTS, rollout())

    def refuse(verb: str, plural: str, name: str) -> None:
        if plural == DESTINATIONRULES.plural:
            raise refusal

    api.before = refuse
    with pytest.raises(type(refusal)):
        await effects(api).run(raw, (CREATE, SetFinalizer(held=True), TOLD), nothing_else)
    assert [(verb, plural) for verb, plural, _ in api.calls] == [("create", "destinationrules"), ("create", "events")]


@pytest.mark.parametrize("then", [SetFinalizer(held=True), TOLD], ids=["written", "told"])
async def test_an_api_server_that_goes_away_ends_the_pass_and_nothing_more_is(api: MemoryApi, then: Action) -> None:
    raw = api.put(CANARYROLLOUTS, rollout())

    def away(verb: str, plural: str, name: str) -> None:
        raise Unavailable(0, "Timeout", "no answer")

    api.before = away
    with pytest.raises(Unavailable):
        await effects(api).run(raw, (CREATE, then), nothing_else)
    assert len(api.calls) == 1, "the write is repeated sooner"
