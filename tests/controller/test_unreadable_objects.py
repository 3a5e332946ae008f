"""A rollout under way whose spec or evidence another version of the operator wrote: nothing passes, and rollback stays armed."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from canaryrollout.controller.subject import parse
from canaryrollout.core.machine import MachineSettings
from canaryrollout.kube.resources import CANARYROLLOUTS, ENDPOINTSLICES
from memory_api import Object, endpoint_slice
from reconciling import Operator, analysing, condition, stable

UNREADABLE: tuple[dict[str, Any], ...] = (
    {"addedLater": {"deadline": "1h"}},
    {"analysis": {"maxErrorRate": "many"}},
    {"analysis": {"minDuration": "1h", "maxDuration": "1m"}},
    {"steps": [{"mirror": 10}, {"weight": 5}, {"weight": 100}]},
    {"steps": [{"weight": 50}, {"weight": 5}]},
    {"steps": "all"},
)


def events(operator: Operator, reason: str) -> list[Object]:
    return [item for (plural, _, _), item in operator.api.objects.items() if plural == "events" and item["reason"] == reason]


@pytest.mark.parametrize("spec", UNREADABLE)
async def test_a_breach_is_undone_under_a_spec_that_cannot_be_read(spec: dict[str, Any]) -> None:
    operator = await analysing()
    operator.edit(**spec)
    operator.mesh.errors = 0.5
    await operator.polls(5)
    assert operator.phase in ("RollingBack", "RolledBack")
    assert operator.raw["status"]["rollout"]["reason"] == "ErrorRate"


async def test_a_spec_that_cannot_be_read_lets_nothing_pass_says_which_field_and_goes_on_when_mended() -> None:
    operator = await analysing()
    operator.edit(addedLater={"deadline": "1h"})
    await operator.polls(60)
    assert (operator.phase, operator.raw["status"]["weight"]) == ("Analysing", 5)
    ready = condition(operator, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "InvalidSpec")
    assert "spec.addedLater" in ready["message"]
    assert [event["note"].split(":")[0] for event in events(operator, "InvalidSpec")] == ["spec.addedLater"]
    operator.edit()
    mended = copy.deepcopy(operator.raw)
    del mended["spec"]["addedLater"]
    operator.api.put(CANARYROLLOUTS, mended)
    await operator.polls(5)
    assert operator.raw["status"]["weight"] > 5


async def test_a_canary_without_endpoints_loses_its_weight_under_a_spec_that_cannot_be_read() -> None:
    operator = await analysing()
    operator.edit(addedLater=1)
    operator.api.put(ENDPOINTSLICES, endpoint_slice("reviews-v1-a"))
    await operator.passes(1)
    assert (operator.phase, operator.raw["status"]["weight"]) == ("RollingBack", 0)


async def test_a_deleted_object_is_restored_and_released_under_a_spec_that_cannot_be_read() -> None:
    operator = await analysing()
    item = copy.deepcopy(operator.raw)
    item["spec"]["addedLater"] = 1
    item["metadata"]["deletionTimestamp"] = "2024-01-02T00:00:00Z"
    operator.api.put(CANARYROLLOUTS, item)
    await operator.polls(6)
    assert (operator.phase, operator.raw["metadata"]["finalizers"]) == ("Restoring", [])


async def test_the_way_back_can_be_asked_for_in_a_spec_that_cannot_be_read() -> None:
    operator = await analysing()
    operator.edit(version="v1", addedLater=1)
    await operator.passes(1)
    assert (operator.phase, operator.raw["status"]["weight"]) == ("RollingBack", 0)


async def test_another_version_in_a_spec_that_cannot_be_read_starts_nothing() -> None:
    operator = await analysing()
    operator.edit(version="v3", addedLater=1)
    await operator.polls(3)
    assert (operator.phase, operator.raw["status"]["rollout"]["version"]) == ("Analysing", "v2")


@pytest.mark.parametrize("spec", UNREADABLE)
async def test_what_can_be_read_of_a_spec_still_counts(spec: dict[str, Any]) -> None:
    """The owner's limits and policies rather than the defaults, which may be narrower or undo what was asked for."""
    operator = await analysing()
    policy = {"connectionPool": {"http": {"maxRetries": 1}}}
    own = {"paused": True, "deletionPolicy": "Keep", "canaryTrafficPolicy": policy, "virtualService": {"name": "other"}}
    analysis = {"maxP99Latency": "7s", **spec.get("analysis", {})}
    operator.edit(**{**spec, **own, "analysis": analysis})
    subject = parse(operator.raw)
    assert subject.spec is not None
    assert subject.problem is not None
    assert (subject.spec.paused, subject.spec.deletion_policy, subject.spec.canary_traffic_policy) == (True, "Keep", policy)
    assert (subject.spec.analysis.max_p99_latency, subject.spec.analysis.max_error_rate) == (7.0, 0.01)
    assert (subject.spec.virtual_service.name, subject.spec.destination_rule.name) == ("reviews", "reviews")


async def test_without_a_readable_service_nothing_is_decided() -> None:
    operator = await analysing()
    operator.edit(service=7)
    assert parse(operator.raw).spec is None


async def test_at_rest_a_spec_that_cannot_be_read_is_refused() -> None:
    operator = await stable()
    operator.edit(addedLater=1)
    assert parse(operator.raw).spec is None


def _with_rollout(operator: Operator, **parts: Any) -> None:
    """As another version of the operator may have left it."""
    item = copy.deepcopy(operator.raw)
    item["status"]["rollout"] |= parts
    operator.api.put(CANARYROLLOUTS, item)


LOST: tuple[Callable[[Object], dict[str, Any]], ...] = (
    lambda rollout: {"evidence": {**rollout["evidence"], "cursor": "soon"}},
    lambda rollout: {"evidence": {**rollout["evidence"], "source": {"errors": [0.0] * 99}}},
    lambda rollout: {"evidence": "much"},
    lambda rollout: {"baseline": {"seconds": -1}},
)


@pytest.mark.parametrize("lost", LOST)
async def test_evidence_that_cannot_be_read_is_counted_anew_and_said_once(lost: Callable[[Object], dict[str, Any]]) -> None:
    operator = await analysing()
    _with_rollout(operator, **lost(operator.raw["status"]["rollout"]))
    await operator.polls(2)
    assert (operator.phase, operator.raw["status"]["weight"]) == ("Analysing", 5)
    assert parse(operator.raw).lost is None
    (told,) = events(operator, "EvidenceUnreadable")
    assert told["note"].startswith("the evidence was not written by this operator: counting begins anew (status.rollout.")
    operator.mesh.errors = 0.5
    await operator.polls(5)
    assert operator.phase in ("RollingBack", "RolledBack")


async def test_evidence_that_cannot_be_read_is_replaced_where_nothing_else_changes() -> None:
    """Else the operator would find and tell it again at each pass."""
    operator = await analysing()
    operator.mesh.errors = 0.5
    while operator.phase != "RolledBack":
        await operator.polls(1)
    _with_rollout(operator, evidence="much")
    await operator.passes(1)
    assert "evidence" not in operator.raw["status"]["rollout"]
    operator.api.calls.clear()
    await operator.passes(2)
    assert operator.api.calls == []


async def test_a_good_baseline_outlives_evidence_that_cannot_be_read() -> None:
    operator = await analysing()
    _with_rollout(operator, evidence="much", baseline={"seconds": 3600.0})
    subject = parse(operator.raw)
    assert subject.status.rollout is not None
    assert subject.status.rollout.baseline is not None
    assert subject.status.rollout.baseline.seconds == 3600.0


async def test_a_status_whose_other_parts_cannot_be_read_either_is_left_alone() -> None:
    operator = await analysing()
    _with_rollout(operator, evidence="much", version=["v2"])
    before = copy.deepcopy(operator.raw)
    assert await operator.passes(1) == MachineSettings().retry_interval
    assert operator.raw == before
