"""The mesh in memory obeys JSON Patch as the API server does."""

from typing import Any

import jsonpatch
import pytest
from canaryrollout.core.decision import CreateObject, PatchObject
from canaryrollout.core.json_patch import PatchRefused, patched
from canaryrollout.core.memory_mesh import MemoryMesh

DOCUMENT = {"metadata": {"resourceVersion": "3", "labels": {"a/b": "c"}}, "spec": {"http": [{"name": "x", "route": [1, 2]}, {"name": "y"}]}}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/spec/http/1/name", "value": "y"},
        {"op": "test", "path": "/metadata/labels/a~1b", "value": "c"},
        {"op": "replace", "path": "/spec/http/0/route", "value": [3]},
        {"op": "add", "path": "/spec/http/-", "value": {"name": "z"}},
        {"op": "add", "path": "/spec/http/1", "value": {"name": "z"}},
        {"op": "add", "path": "/spec/hosts", "value": ["h"]},
        {"op": "remove", "path": "/spec/http/0"},
        {"op": "remove", "path": "/metadata/labels"},
    ],
)
def test_an_operation_does_what_the_standard_says(operation: dict[str, Any]) -> None:
    before = jsonpatch.apply_patch(DOCUMENT, [])
    assert patched(DOCUMENT, operation) == jsonpatch.apply_patch(DOCUMENT, [operation])
    assert before == DOCUMENT


def test_a_write_on_false_assumptions_is_refused() -> None:
    mesh = MemoryMesh()
    body = {"kind": "DestinationRule", "metadata": {"name": "reviews"}, "spec": {"subsets": []}}
    mesh.write(CreateObject("DestinationRule", "reviews", body))
    with pytest.raises(PatchRefused, match="exists"):
        mesh.write(CreateObject("DestinationRule", "reviews", body))
    stale = {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}
    with pytest.raises(PatchRefused, match="not as expected"):
        mesh.write(PatchObject("DestinationRule", "reviews", (stale,)))


def test_a_write_leaves_earlier_views_alone() -> None:
    mesh = MemoryMesh()
    mesh.write(CreateObject("DestinationRule", "reviews", {"metadata": {"name": "reviews"}, "spec": {"subsets": []}}))
    before = mesh.view
    mesh.write(PatchObject("DestinationRule", "reviews", ({"op": "add", "path": "/spec/subsets/-", "value": {"name": "v2"}},)))
    assert before.destination_rules[0]["spec"]["subsets"] == []
    assert mesh.view.destination_rules[0]["spec"]["subsets"] == [{"name": "v2"}]
    revisions = [view.destination_rules[0]["metadata"]["resourceVersion"] for view in (before, mesh.view)]
    assert revisions == ["1", "2"]
