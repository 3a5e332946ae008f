"""Patches whose preconditions are about what they change: they get through other edits, and never through edits of the same."""

import copy
from typing import Any

import jsonpatch
import pytest
from canaryrollout.core import destination_rules as dr
from canaryrollout.core import virtual_services as vs
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.narrow import narrowed, status_patch
from canaryrollout.core.route_rule import moving_routes
from hypothesis import given
from hypothesis import strategies as st
from world import NAMESPACE, destination, destination_rule, virtual_service

HOST = ServiceHost("reviews", NAMESPACE)
SPLIT = vs.Split("v1", "v2", 25, keep_canary=True)

Object = dict[str, Any]


def identified(item: Object) -> Object:
    return {**item, "metadata": {**item["metadata"], "uid": "u", "generation": 1}}


def service() -> Object:
    """A route of another service, one of ours with a name and one without."""
    other = {"name": "other", "match": [{"uri": {"prefix": "/o"}}], "route": [{"destination": {"host": "ratings"}}]}
    named = {"name": "main", "match": [{"uri": {"prefix": "/m"}}], "route": [destination("v1", 100)], "timeout": "1s"}
    return identified(virtual_service([other, named, {"route": [destination("v1", 100)], "timeout": "2s"}]))


def split_patch(item: Object) -> list[Object]:
    records = moving_routes(item, HOST, "v1", "v2")
    operations = vs.split_operations(item, HOST, records, SPLIT)
    assert len(records) == 2
    return operations


ELSEWHERE = {
    "an annotation": lambda item: item["metadata"].update(annotations={"a": "b"}),
    "another route's weights": lambda item: item["spec"]["http"][0]["route"].append({"destination": {"host": "x"}, "weight": 3}),
    "the timeout of a named route": lambda item: item["spec"]["http"][1].update(timeout="9s"),
    "hosts": lambda item: item["spec"].update(hosts=["reviews", "more"]),
    "a route at the end": lambda item: item["spec"]["http"].append({"name": "z", "redirect": {"uri": "/"}}),
}

HERE = {
    "our weight": lambda item: item["spec"]["http"][1]["route"][0].update(weight=7),
    "a route before ours": lambda item: item["spec"]["http"].insert(0, {"name": "z", "redirect": {"uri": "/"}}),
    "the route's name": lambda item: item["spec"]["http"][1].update(name="renamed"),
    "anything of a route without a name": lambda item: item["spec"]["http"][2].update(timeout="9s"),
    "a match for a route without a name": lambda item: item["spec"]["http"][2].update(match=[{"port": 1}]),
    "routes in another order": lambda item: item["spec"]["http"].reverse(),
    "another object of that name": lambda item: item["metadata"].update(uid="v"),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_split_gets_through_an_edit_elsewhere_and_keeps_it(name: str) -> None:
    item = service()
    patch = narrowed(split_patch(item), item)
    assert patch is not None
    edited = copy.deepcopy(item)
    ELSEWHERE[name](edited)
    edited["metadata"]["resourceVersion"] = "2"
    wanted = copy.deepcopy(edited)
    for index in (1, 2):
        wanted["spec"]["http"][index]["route"] = [destination("v1", 75), destination("v2", 25)]
    assert jsonpatch.apply_patch(edited, list(patch)) == wanted


@pytest.mark.parametrize("name", HERE)
def test_a_split_does_not_get_through_an_edit_of_what_it_replaces_or_finds_it_by(name: str) -> None:
    item = service()
    patch = narrowed(split_patch(item), item)
    assert patch is not None
    edited = copy.deepcopy(item)
    HERE[name](edited)
    with pytest.raises((jsonpatch.JsonPatchTestFailed, jsonpatch.JsonPointerException)):
        jsonpatch.apply_patch(edited, list(patch))


def subset_patches(rule: Object) -> dict[str, list[Object]]:
    policy = {"outlierDetection": {"consecutive5xxErrors": 7}}
    return {
        "add": dr.ensure_subsets(rule, (dr.SubsetTarget("v2", "v2"),), "version"),
        "dress": dr.ensure_subsets(rule, (dr.SubsetTarget("v1", "v1", policy, manage_policy=True),), "version"),
        "remove": dr.remove_subset(rule, "v1"),
    }


@pytest.mark.parametrize("kind", ["add", "dress", "remove"])
def test_subsets_get_through_a_change_of_the_rules_policy_but_not_of_any_subset(kind: str) -> None:
    rule = identified(destination_rule("v1"))
    patch = narrowed(subset_patches(rule)[kind], rule)
    assert patch is not None
    edited = copy.deepcopy(rule)
    edited["spec"]["trafficPolicy"] = {"loadBalancer": {"simple": "RANDOM"}}
    assert jsonpatch.apply_patch(edited, list(patch))["spec"]["trafficPolicy"] == {"loadBalancer": {"simple": "RANDOM"}}
    edited["spec"]["subsets"].append({"name": "v2", "labels": {"version": "v2"}})
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch(edited, list(patch))


def test_the_first_subset_of_a_rule_needs_its_revision() -> None:
    rule = identified(destination_rule())
    del rule["spec"]["subsets"]
    assert narrowed(subset_patches(rule)["add"], rule) is None


def test_a_patch_of_an_older_revision_or_of_other_fields_is_not_narrowed() -> None:
    item = service()
    assert narrowed(split_patch(item), {**item, "metadata": {**item["metadata"], "resourceVersion": "2"}}) is None
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": "1"}
    assert narrowed([test, {"op": "remove", "path": "/metadata/managedFields/0"}], item) is None
    assert narrowed([], item) is None


ROLLOUT: Object = {"metadata": {"uid": "u", "generation": 2}, "spec": {"version": "v2"}, "status": {"phase": "Shifting"}}


@given(labels=st.dictionaries(st.text("abc", min_size=1), st.text("abc")))
def test_a_status_gets_through_edits_of_labels(labels: dict[str, str]) -> None:
    patch = status_patch(ROLLOUT, {"phase": "Analysing"})
    assert patch is not None
    edited = {**ROLLOUT, "metadata": {**ROLLOUT["metadata"], "labels": labels}}
    assert jsonpatch.apply_patch(edited, list(patch)) == {**edited, "status": {"phase": "Analysing"}}


@pytest.mark.parametrize(
    "change", [{"metadata": {"uid": "v", "generation": 2}}, {"metadata": {"uid": "u", "generation": 3}}, {"status": {}}]
)
def test_a_status_does_not_get_through_another_spec_or_status(change: Object) -> None:
    patch = status_patch(ROLLOUT, {"phase": "Analysing"})
    assert patch is not None
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch({**ROLLOUT, **change}, list(patch))


def test_the_first_status_needs_its_revision() -> None:
    assert status_patch({**ROLLOUT, "status": {}}, {"phase": "Pending"}) is None
