"""What edits of an object leave the question to the proxies alone, and how an intent is carried out on an object that was edited."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jsonpatch
import pytest
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import Phase
from canaryrollout.core.context import Context
from canaryrollout.core.decision import PatchObject
from canaryrollout.core.machine import decide, decide_again
from canaryrollout.core.observation import limits
from canaryrollout.core.plan import MeshPlan
from canaryrollout.core.snapshot import MeshObjects, Snapshot
from canaryrollout.core.standing import asked, asking
from world import SETTINGS, World, destination, destination_rule, virtual_service

Object = dict[str, Any]
Edit = Callable[[Object], object]


def identified(item: Object) -> Object:
    return {**item, "metadata": {**item["metadata"], "uid": f"{item['kind']}/{item['metadata']['name']}"}}


def seen(world: World) -> Snapshot:
    """What the shell would observe, with the objects' uids."""
    snapshot = world.snapshot()
    mesh = snapshot.mesh
    services, rules = (tuple(identified(dict(item)) for item in found) for found in (mesh.virtual_services, mesh.destination_rules))
    return replace(snapshot, mesh=MeshObjects(services, rules))


def context(world: World) -> Context:
    spec, snapshot = CanaryRolloutSpec.model_validate(world.spec), seen(world)
    return Context(spec, world.parsed, snapshot, limits=limits(spec, world.parsed, snapshot))


def old_world() -> World:
    """Reviews in a VirtualService with routes of others; v1 is stable and v2 is there."""
    others = {"name": "others", "match": [{"uri": {"prefix": "/o"}}], "route": [{"destination": {"host": "ratings"}, "weight": 100}]}
    main = {"name": "main", "route": [destination("v1", 100)]}
    world = World().add(virtual_service([others, main]), destination_rule("v1")).run_to(Phase.STABLE)
    return world.release("v2")


def shifted() -> World:
    """The first weight is written, and the proxies are asked for it."""
    return old_world().run(until=lambda world: world.phase is Phase.SHIFTING and plan(world).routes is None)


def plan(world: World) -> MeshPlan:
    found = context(world).plan
    assert found is not None
    return found


def live(world: World, kind: str) -> Object:
    return identified(copy.deepcopy(world.objects[kind, "reviews"]))


def main(item: Object) -> Object:
    found: Object = item["spec"]["http"][1]
    return found


HARMLESS: dict[str, Edit] = {
    "annotation": lambda item: item["metadata"].update(annotations={"a": "b"}),
    "timeout": lambda item: main(item).update(timeout="3s"),
    "retries": lambda item: main(item).update(retries={"attempts": 3}),
    "headers": lambda item: main(item).update(headers={"request": {"set": {"a": "b"}}}),
    "headers of a destination": lambda item: main(item)["route"][0].update(headers={"request": {"set": {"a": "b"}}}),
    "weights of another service": lambda item: item["spec"]["http"][0]["route"].append({"destination": {"host": "x"}, "weight": 7}),
    "another route": lambda item: item["spec"]["http"].insert(
        0, {"name": "n", "match": [{"uri": {"exact": "/n"}}], "redirect": {"uri": "/"}}
    ),
}

HARMFUL: dict[str, Edit] = {
    "our weight": lambda item: main(item)["route"][0].update(weight=1),
    "a destination of ours": lambda item: main(item)["route"].pop(),
    "a route of the service": lambda item: item["spec"]["http"].insert(0, {"match": [{"port": 1}], "route": [destination("v1")]}),
    "a route that hides ours": lambda item: item["spec"]["http"].insert(0, {"redirect": {"uri": "/"}}),
    "out of sight": lambda item: item["spec"].update(exportTo=["."]),
    "out of the mesh": lambda item: item["spec"].update(gateways=["g"]),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_edits_of_other_things_leave_the_question_alone(name: str) -> None:
    world = shifted()
    now, item = context(world), live(world, "VirtualService")
    HARMLESS[name](item)
    item["metadata"]["resourceVersion"] = "77"
    question = asked(now, item)
    assert question is not None
    assert question.revision == "77"
    assert now.plan is not None
    assert question == replace(now.plan.question or question, revision="77")


@pytest.mark.parametrize("name", HARMFUL)
def test_edits_of_what_is_asked_for_change_the_question(name: str) -> None:
    world = shifted()
    now, item = context(world), live(world, "VirtualService")
    HARMFUL[name](item)
    question = asked(now, item)
    assert now.plan is not None
    assert now.plan.question is not None
    assert question is None or replace(question, revision="") != replace(now.plan.question, revision="")


def test_a_rule_without_our_subset_asks_for_nothing_and_one_with_another_policy_for_the_same() -> None:
    world = old_world().run(until=lambda world: world.phase is Phase.PREPARING and plan(world).subsets is None)
    now, item = context(world), live(world, "DestinationRule")
    assert now.plan is not None
    item["spec"]["trafficPolicy"] = {"loadBalancer": {"simple": "RANDOM"}}
    assert asked(now, item) == now.plan.question
    item["spec"]["subsets"].pop()
    assert asked(now, item) is None


def test_a_question_names_the_revision_since_which_it_stands() -> None:
    world = shifted()
    now = context(world)
    assert now.plan is not None
    assert now.plan.question is not None
    item = asking(now.plan.question, now.snapshot.mesh)
    assert item is not None
    revision = item["metadata"]["resourceVersion"]
    standing = replace(now.snapshot, mesh=replace(now.snapshot.mesh, since={revision: "since"}))
    held = Context(now.spec, now.status, standing, limits=now.limits).plan
    assert held is not None
    assert held.question == replace(now.plan.question, revision="since")


@pytest.mark.parametrize("name", HARMLESS)
def test_a_write_that_met_an_edit_is_made_on_the_edited_object_and_keeps_the_edit(name: str) -> None:
    world = old_world().run_to(Phase.PREPARING)
    while True:
        snapshot = seen(world)
        decision = decide(CanaryRolloutSpec.model_validate(world.spec), world.parsed, snapshot, SETTINGS)
        writes = [action for action in decision.actions if isinstance(action, PatchObject) and action.kind == "VirtualService"]
        if writes:
            break
        world.step()
        world.now += 1
    edited = live(world, "VirtualService")
    HARMLESS[name](edited)
    edited["metadata"]["resourceVersion"] = "77"
    with pytest.raises((jsonpatch.JsonPatchTestFailed, jsonpatch.JsonPatchException)):
        jsonpatch.apply_patch(edited, list(writes[0].operations))
    again = decide_again(CanaryRolloutSpec.model_validate(world.spec), decision.status, snapshot, SETTINGS, edited)
    assert isinstance(again, PatchObject)
    result = jsonpatch.apply_patch(edited, list(again.operations))
    written = next(route for route in result["spec"]["http"] if route.get("name") == "main")
    assert {entry["destination"]["subset"]: entry["weight"] for entry in written["route"]} == {"v1": 95, "v2": 5}
    ours = next(index for index, route in enumerate(edited["spec"]["http"]) if route.get("name") == "main")
    result["spec"]["http"][ours]["route"] = edited["spec"]["http"][ours]["route"]
    assert result == edited


def test_what_is_already_as_wanted_is_not_written_again() -> None:
    world = shifted()
    spec = CanaryRolloutSpec.model_validate(world.spec)
    assert decide_again(spec, world.parsed, seen(world), SETTINGS, live(world, "VirtualService")) is None
