"""A pod's status."""

from pathlib import Path
from typing import Any

from localmesh.container import Container, Ended
from localmesh.podspec import UnrunnableContainerError
from localmesh.podstatus import PodStatus
from localmesh.process import Process
from pods import WORKLOAD, pod

IP = "10.244.1.7"


def container(ready: bool = False, exit_code: int | None = None, restarts: int = 0) -> Container:
    process = Process("p", ["true"], Path("log"))
    made = Container("reviews", "image", process, probe=None, policy="Never", changed=lambda: None)
    made.ready, made.restarts = ready, restarts
    if exit_code is not None:
        made.last, made.finished = Ended(exit_code, 0.0, 5.0), True
    return made


def build(*containers: Container, failure: UnrunnableContainerError | None = None) -> dict[str, Any]:
    ready = bool(containers) and all(item.ready for item in containers)
    return PodStatus(started_at=1.0).build(pod(WORKLOAD), IP, containers, ready, failure)


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(item for item in status["conditions"] if item["type"] == kind)


def test_a_pod_is_ready_when_its_containers_are() -> None:
    assert condition(build(container(ready=True)), "Ready")["status"] == "True"
    status = build(container(ready=True), container())
    assert condition(status, "Ready")["status"] == "False"
    assert condition(status, "PodScheduled")["status"] == "True"


def test_a_pod_whose_containers_all_ended_is_over() -> None:
    assert build(container(exit_code=0))["phase"] == "Succeeded"
    assert build(container(exit_code=0), container(exit_code=-9))["phase"] == "Failed"
    assert build(container(exit_code=0), container())["phase"] == "Pending"


def test_a_signal_is_reported_as_shells_do() -> None:
    state = build(container(exit_code=-9))["containerStatuses"][0]["state"]["terminated"]
    assert (state["exitCode"], state["reason"], state["finishedAt"]) == (137, "Error", "1970-01-01T00:00:05Z")


def test_a_container_that_cannot_be_made_says_why() -> None:
    status = build(failure=UnrunnableContainerError("image x is unknown", reason="ErrImagePull"))
    waiting = status["containerStatuses"][0]["state"]["waiting"]
    assert waiting == {"reason": "ErrImagePull", "message": "image x is unknown"}
    assert status["phase"] == "Pending"


def test_the_time_of_readiness_changes_only_with_readiness() -> None:
    status = PodStatus(started_at=1.0)
    first = condition(status.build(pod(WORKLOAD), IP, [container(ready=True)], True, None), "Ready")
    again = condition(status.build(pod(WORKLOAD), IP, [container(ready=True)], True, None), "Ready")
    assert first == again
