"""Clients at 200 requests per second, whose connections come and go, while versions and pods come and go: none of them notices."""

import time
from collections import Counter
from typing import Any

import pytest
from arena import Arena, seconds
from localmesh.load import Answer


def restart(place: Arena, deployment: str) -> None:
    """As `kubectl rollout restart`: every pod is replaced, one after the other."""
    stamp = {"kubectl.kubernetes.io/restartedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    path = f"/apis/apps/v1/namespaces/{place.namespace}/deployments/{deployment}"
    place.mesh.patch(path, {"spec": {"template": {"metadata": {"annotations": stamp}}}})


def told(answers: list[Answer]) -> Counter[tuple[int, str]]:
    """How many answers of each status and version."""
    return Counter((answer.status, answer.version) for answer in answers)


def subsets(place: Arena) -> list[str]:
    """Names of the subsets."""
    return [subset["name"] for subset in place.destination_rule()["spec"]["subsets"]]


@pytest.mark.alone  # what a machine busy with other meshes drops would count as failed here
def test_no_request_fails_by_configuration_in_promotions_and_a_rollback_with_churning_connections_and_pods(
    place: Arena, busy: dict[str, Any]
) -> None:
    mesh = place.mesh
    place.deploy("v1", replicas=2)
    place.rollout("v1", **busy)
    place.wait_phase("Stable")
    client = place.pod("productpage")
    with (
        mesh.load(place.namespace, rps=140, connection_churn=5) as outside,
        mesh.load(place.namespace, rps=60, connection_churn=2, via=client) as inside,
    ):
        place.release("v2", replicas=2)
        place.wait_phase("Analysing")
        restart(place, "reviews-v1")
        assert place.wait_outcome("v2")["outcome"] == "Promoted"
        assert subsets(place) == ["v1", "v2"], "the way back to v1 stays open"

        place.edit(steps=[{"weight": 100}])
        place.release("v3")
        assert place.wait_outcome("v3")["outcome"] == "Promoted"
        assert subsets(place) == ["v2", "v3"], "v1's subset is cleaned up"
        good = [*outside.answers(), *inside.answers()]
        assert [answer for answer in good if answer.failed] == [], told(good)

        place.edit(steps=busy["steps"])
        place.release("v4", error_rate=0.5)
        rolled_back = place.wait_outcome("v4")
        assert (rolled_back["outcome"], rolled_back["reason"]) == ("RolledBack", "ErrorRate")
        assert subsets(place) == ["v2", "v3"], "v4's subset is cleaned up"
        back = seconds(rolled_back["endedAt"])
        mesh.wait(lambda: len(inside.answers(since=back)) > 100)
    answers = [*outside.answers(), *inside.answers()]
    print(f"{len(answers)} requests, {told(answers)}")
    strange = [answer for answer in answers if answer.failed and (answer.status, answer.version) != (500, "v4")]
    assert strange == [], told(answers)
    assert {answer.version for answer in answers if answer.start >= back} == {"v3"}, told(answers)
    assert {version for _, version in told(good)} == {"v1", "v2", "v3"}
    assert len(good) > 5000
