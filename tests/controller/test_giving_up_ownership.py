"""Giving up the ownership of fields is a courtesy: a deletion does not wait for it."""

import copy
from typing import Any

import pytest
from canaryrollout.controller.cluster import FINALIZER
from canaryrollout.core.ownership import MANAGER
from canaryrollout.kube.errors import ApiError, Forbidden, PreconditionFailed
from canaryrollout.kube.resources import CANARYROLLOUTS, DESTINATIONRULES, VIRTUALSERVICES, Resource
from reconciling import Operator, analysing


async def deleted_in_mid_rollout() -> Operator:
    """People's objects, in which the operator owns fields."""
    operator = await analysing()
    for resource in (VIRTUALSERVICES, DESTINATIONRULES):
        item = copy.deepcopy(operator.api.find(resource, "reviews"))
        item["metadata"] |= {"labels": {}, "managedFields": [{"manager": "kubectl"}, {"manager": MANAGER, "operation": "Update"}]}
        operator.api.put(resource, item)
    item = copy.deepcopy(operator.raw)
    item["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z"
    operator.api.put(CANARYROLLOUTS, item)
    return operator


@pytest.mark.parametrize("error", [Forbidden(403, "Forbidden", "by a policy"), PreconditionFailed(422, "Invalid", "a test failed")])
async def test_a_deletion_ends_where_it_is_refused(error: ApiError) -> None:
    operator = await deleted_in_mid_rollout()
    patch = operator.api.json_patch

    async def refusing(resource: Resource, namespace: str | None, name: str, ops: Any, *, manager: str = "") -> Any:
        if any("managedFields" in operation["path"] for operation in ops):
            raise error
        return await patch(resource, namespace, name, ops, manager=manager)

    operator.api.json_patch = refusing  # type: ignore[method-assign]
    await operator.passes(6)
    assert FINALIZER not in operator.raw["metadata"]["finalizers"]


async def test_a_deletion_gives_it_up_where_it_may() -> None:
    operator = await deleted_in_mid_rollout()
    await operator.passes(6)
    assert FINALIZER not in operator.raw["metadata"]["finalizers"]
    for resource in (VIRTUALSERVICES, DESTINATIONRULES):
        assert [entry["manager"] for entry in operator.api.find(resource, "reviews")["metadata"]["managedFields"]] == ["kubectl"]
