"""Good and bad releases under steady traffic, as clients see them."""

import math
from collections import Counter
from collections.abc import Sequence

import pytest
from arena import Arena, seconds
from localmesh.load import Answer


def step_times(place: Arena, version: str) -> list[tuple[int, float, float]]:
    """(weight, all proxies acknowledged it, the next weight was intended) of each step, from the Events."""
    synced: list[tuple[int, float]] = []
    moved: list[float] = []
    for event in place.events():
        note, time = event["note"], seconds(event["eventTime"])
        if event["reason"] == "StepSynced" and f"version {version}" in note:
            synced.append((int(note.split(" % ")[0].split()[-1]), time))
        if event["reason"] in ("StepStarted", "Promoting") and version in note:
            moved.append(time)
    return [(weight, start, next(t for t in moved if t > start)) for weight, start in synced]


def assert_share(answers: Sequence[Answer], version: str, weight: int, start: float, end: float) -> None:
    """The share that clients saw between two proofs lies within five standard errors of the weight."""
    seen = Counter(answer.version for answer in answers if start <= answer.start and answer.t < end)
    total = sum(seen.values())
    assert total > 0
    share, expected = seen[version] / total, weight / 100
    assert abs(share - expected) <= 5 * math.sqrt(expected * (1 - expected) / total) + 1e-9, (weight, seen)


def test_a_healthy_release_is_promoted_step_by_step_without_one_failed_request(place: Arena) -> None:
    place.rollout("v1", analysis={"maxErrorRate": "2%"})
    place.wait_phase("Stable")
    client = place.pod("productpage")
    with place.mesh.load(place.namespace, rps=50) as outside, place.mesh.load(place.namespace, rps=50, via=client) as inside:
        place.release("v2")
        entry = place.wait_outcome("v2")
        assert entry["outcome"] == "Promoted"
        assert place.split() == {"v2": 100}
    answers = [*outside.answers(), *inside.answers()]
    assert len(answers) > 5000
    assert [answer for answer in answers if answer.failed] == []
    times = step_times(place, "v2")
    assert [weight for weight, _, _ in times] == [5, 10, 25, 50, 100]
    for weight, start, end in times:
        assert_share(outside.answers(), "v2", weight, start, end)
        assert_share(inside.answers(), "v2", weight, start, end)


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        pytest.param({"error_rate": 0.5}, "ErrorRate", id="half-its-answers-500"),
        pytest.param({"latency_ms": 800}, "Latency", id="slow"),
        pytest.param({"error_rate": 1.0, "error_code": 503}, "ErrorRate", id="only-503-from-the-first-request"),
    ],
)
def test_a_bad_release_is_rolled_back_before_25_percent(place: Arena, faults: dict[str, float], reason: str) -> None:
    place.rollout("v1")
    place.wait_phase("Stable")
    with place.mesh.load(place.namespace, rps=50) as load:
        place.mesh.wait(lambda: len(load.answers()) > 50)
        place.release("v3", **faults)
        entry = place.wait_outcome("v3")
        assert (entry["outcome"], entry["reason"]) == ("RolledBack", reason)
        assert entry["weight"] < 25
        back = seconds(entry["endedAt"])
        place.mesh.wait(lambda: len(load.answers(since=back)) > 100)
        assert set(load.versions(since=back)) == {"v1"}
        assert load.failures(since=back) == []
    assert place.split() == {"v1": 100}
    assert [s["name"] for s in place.destination_rule()["spec"]["subsets"]] == ["v1"]
    stalled = place.condition("Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", reason)
    assert "canary requests" in stalled["message"]
    warning = next(event for event in place.events() if event["reason"] == "RollingBack")
    assert "limit" in warning["note"]
