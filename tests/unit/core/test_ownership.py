"""Reading managedFields: who else changed what matters, and giving up what is ours once the work is done."""

from typing import Any

import pytest
from canaryrollout.api.status import Phase
from canaryrollout.core.json_patch import patched
from canaryrollout.core.ownership import MANAGER, last_author, release
from world import World, adopted, destination, destination_rule, virtual_service


def entry(manager: str, *fields: str, operation: str = "Apply", time: str | None = "2026-01-01T10:00:00Z", **more: Any) -> dict[str, Any]:
    """One entry of managedFields that owns fields of the spec."""
    owned = {"f:spec": {f"f:{name}": {} for name in fields}} if fields else {"f:metadata": {"f:labels": {}}}
    found = {
        "manager": manager,
        "operation": operation,
        "apiVersion": "networking.istio.io/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": owned,
    }
    return {**found, **({"time": time} if time else {}), **more}


def owned(*entries: dict[str, Any]) -> dict[str, Any]:
    """A VirtualService with these entries."""
    item = virtual_service([{"route": [destination("v1")]}])
    item["metadata"]["managedFields"] = list(entries)
    return item


def test_the_owner_of_the_routes_is_named_before_others_that_are_later() -> None:
    item = owned(entry("argocd-controller", "hosts", "http"), entry("labeller", "hosts", time="2026-01-01T11:00:00Z"))
    author = last_author(item)
    assert author is not None
    assert str(author) == "argocd-controller (Apply at 10:00:00 UTC)"


def test_the_latest_of_several_owners_of_the_spec_is_named_and_never_the_operator_itself() -> None:
    item = owned(
        entry("helm", "hosts"),
        entry("kubectl-edit", "hosts", operation="Update", time="2026-01-01T11:00:00Z"),
        entry(MANAGER, "http", operation="Update", time="2026-01-01T12:00:00Z"),
        entry("labeller", time="2026-01-01T13:00:00Z"),
        entry("istiod", "http", time="2026-01-01T14:00:00Z", subresource="status"),
    )
    author = last_author(item)
    assert author is not None
    assert (author.manager, author.operation) == ("kubectl-edit", "Update")


@pytest.mark.parametrize("fields", [None, [], [{}], [entry("x", "http", time=None)], [entry("x", "http", time="yesterday")]])
def test_absent_or_incomplete_managed_fields_are_tolerated(fields: list[dict[str, Any]] | None) -> None:
    item = virtual_service([])
    if fields is not None:
        item["metadata"]["managedFields"] = fields
    author = last_author(item)
    assert author is None or (author.manager, author.time) == ("x", None)
    assert release(item) == []
    assert last_author(None) is None


def after(item: dict[str, Any]) -> dict[str, Any]:
    for operation in release(item):
        item = patched(item, operation)
    return item


def test_releasing_takes_out_our_entry_and_touches_nothing_else() -> None:
    others = [entry("argocd-controller", "hosts"), entry("istiod", "http", subresource="status")]
    item = owned(others[0], entry(MANAGER, "http", operation="Update"), others[1])
    left = after(item)
    assert left["metadata"]["managedFields"] == others
    assert left["spec"] == item["spec"]
    assert release(left) == [], "a second time there is nothing to write"


def test_the_last_entry_is_emptied_because_the_api_server_takes_no_entries_for_nothing_to_change() -> None:
    left = after(owned(entry(MANAGER, "http", operation="Update")))
    assert left["metadata"]["managedFields"] == [{}]
    assert release(left) == []


def test_what_the_operator_created_stays_its_own() -> None:
    item = owned(entry(MANAGER, "http", operation="Update"))
    item["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "canaryrollout"}
    assert release(item) == []


def owners(world: World, kind: str) -> list[str]:
    return [found["manager"] for found in world.objects[kind, "reviews"]["metadata"]["managedFields"]]


@pytest.mark.parametrize(("error_rate", "rest"), [(0.0, Phase.STABLE), (0.5, Phase.ROLLED_BACK)])
def test_after_a_rollout_nothing_is_owned_and_in_its_course_nothing_is_released(error_rate: float, rest: Phase) -> None:
    """The world does not track ownership: it is put there, as if a step had just been written."""
    world = adopted(error_rate={"v2": error_rate}).add(virtual_service([{"route": [destination("v1")]}]), destination_rule("v1"))
    world.release("v2").run_to(Phase.ANALYSING)
    for item in world.objects.values():
        item["metadata"]["managedFields"] = [entry("argocd-controller", "hosts"), entry(MANAGER, "http", "subsets", operation="Update")]
    world.step()
    assert owners(world, "VirtualService") == ["argocd-controller", MANAGER]
    world.run(until=lambda w: w.phase is rest and bool(w.parsed.history))
    world.step()
    world.step()
    assert owners(world, "VirtualService") == owners(world, "DestinationRule") == ["argocd-controller"]
    writes = len(world.writes)
    world.step()
    assert len(world.writes) == writes


def test_deletion_in_mid_rollout_releases_before_the_object_goes() -> None:
    world = adopted().add(virtual_service([{"route": [destination("v1")]}]), destination_rule("v1"))
    world.release("v2").run_to(Phase.ANALYSING)
    world.objects["VirtualService", "reviews"]["metadata"]["managedFields"] = [entry("helm", "hosts"), entry(MANAGER, "http")]
    world.deleting = True
    world.run(until=lambda w: w.gone)
    assert owners(world, "VirtualService") == ["helm"]


def test_adopting_releases_too_and_a_mesh_that_was_right_already_is_not_written() -> None:
    world = World().add(virtual_service([{"route": [destination("v1")]}]), destination_rule("v1"))
    for item in world.objects.values():
        item["metadata"]["managedFields"] = [entry("helm", "hosts", "http", "subsets")]
    world.run_to(Phase.STABLE)
    world.step()
    assert world.writes == []
