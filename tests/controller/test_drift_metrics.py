"""What the alerts about foreign changes are made of, from the pass that notices one."""

import copy

import pytest
from canaryrollout.api.drift import DRIFT_LIMIT
from canaryrollout.kube.errors import Unavailable
from canaryrollout.kube.resources import CANARYROLLOUTS, VIRTUALSERVICES
from memory_api import NAMESPACE
from reconciling import Operator, analysing, rolling_out

WHO = {"namespace": NAMESPACE, "name": "reviews"}


def value(operator: Operator, name: str, **labels: str) -> float | None:
    return operator.metrics.registry.get_sample_value(f"canaryrollout_{name}", WHO | labels)


def all_to_stable(operator: Operator) -> None:
    """As a tool that knows nothing of the canary would."""
    item = copy.deepcopy(operator.api.find(VIRTUALSERVICES, "reviews"))
    for entry in item["spec"]["http"][0]["route"]:
        entry["weight"] = 100 if entry["destination"].get("subset") == "v1" else 0
    operator.api.put(VIRTUALSERVICES, item)


def weights(operator: Operator) -> list[int]:
    route = operator.api.find(VIRTUALSERVICES, "reviews")["spec"]["http"][0]["route"]
    return [entry.get("weight", 100) for entry in route]


async def test_each_foreign_change_is_counted_once_and_giving_way_shows_until_somebody_resumes() -> None:
    operator = await analysing()
    await operator.passes(3)
    assert value(operator, "foreign_changes_total") == 0.0
    for count in range(1, DRIFT_LIMIT + 1):
        all_to_stable(operator)
        await operator.passes(1)
        assert value(operator, "foreign_changes_total") == count
        await operator.passes(8)
        assert value(operator, "foreign_changes_total") == count
    assert operator.phase == "Paused"
    assert value(operator, "given_way", reason="DriftConflict") == 1.0
    item = copy.deepcopy(operator.raw)
    item["metadata"].setdefault("annotations", {})["canaryrollout.io/resume"] = "again"
    operator.api.put(CANARYROLLOUTS, item)
    await operator.passes(2)
    assert operator.phase != "Paused"
    assert value(operator, "given_way", reason="DriftConflict") is None


async def test_a_takeover_shows_until_the_routing_is_given_back() -> None:
    operator = await analysing()
    for annotations in ({"canaryrollout.io/takeover": "incident 7"}, {}):
        item = copy.deepcopy(operator.raw)
        item["metadata"]["annotations"] = annotations
        operator.api.put(CANARYROLLOUTS, item)
        await operator.passes(2)
        assert (value(operator, "given_way", reason="TakenOver") == 1.0) == bool(annotations)


async def test_a_write_that_does_not_get_through_is_nobodys_change() -> None:
    operator = await rolling_out()
    operator.mesh.rps = 100.0
    while operator.phase != "Shifting":
        await operator.passes(1)
    assert weights(operator) == [95, 5]
    operator.edit(version="v1")

    def away(verb: str, plural: str, name: str) -> None:
        if verb == "json_patch":
            raise Unavailable(503, "ServiceUnavailable", "away")

    operator.api.before = away
    for _ in range(DRIFT_LIMIT):
        with pytest.raises(Unavailable):
            await operator.passes(1)
    assert (operator.phase, weights(operator)) == ("RollingBack", [95, 5])
    operator.api.before = lambda *_: None
    await operator.passes(1)
    assert (weights(operator), value(operator, "foreign_changes_total")) == ([100], 0.0)
