"""`kubectl canary` against a live cluster, while the operator works: what it foretells happens, and what it says is so."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import yaml
from arena import Arena
from localmesh import sample

BOOKKEEPING = ("resourceVersion", "uid", "generation", "creationTimestamp", "managedFields")


def canary(place: Arena, *arguments: str, given: str | None = None) -> "subprocess.CompletedProcess[str]":
    """The plugin, as a user whose kubeconfig names no namespace."""
    command = [sys.executable, "-c", "from canaryrollout.__main__ import kubectl; kubectl()", *arguments]
    where = ["-n", place.namespace, "--kubeconfig", str(place.mesh.kubeconfig)]
    return subprocess.run([*command, *where], input=given, capture_output=True, text=True, check=False, env=dict(os.environ), timeout=300)


def told(place: Arena, *arguments: str, given: str | None = None) -> dict[str, Any]:
    done = canary(place, *arguments, "-o", "json", given=given)
    assert done.stdout, done.stderr
    return dict(json.loads(done.stdout))


def live(place: Arena) -> dict[str, dict[str, Any]]:
    """VirtualService and DestinationRule without what the API server writes."""
    found = {"VirtualService": place.virtual_service(), "DestinationRule": place.destination_rule()}
    return {kind: {**o, "metadata": {k: v for k, v in o["metadata"].items() if k not in BOOKKEEPING}} for kind, o in found.items()}


def objects(plan: dict[str, Any]) -> list[dict[str, dict[str, Any]]]:
    """Both objects as they are foretold for each stage."""
    now: dict[str, dict[str, Any]] = {}
    stages = []
    for stage in plan["stages"]:
        now = {**now, **{item["kind"]: item for item in stage["objects"]}}
        stages.append(now)
    return stages


def rollout(place: Arena, version: str, spec: dict[str, Any]) -> str:
    """A manifest as it lies in git."""
    metadata = {"name": "reviews", "namespace": place.namespace}
    body = {"service": "reviews", "version": version, **spec}
    return yaml.safe_dump({"apiVersion": "canaryrollout.io/v1beta1", "kind": "CanaryRollout", "metadata": metadata, "spec": body})


def test_what_plan_foretells_is_what_the_operator_then_does(place: Arena, brief: dict[str, Any]) -> None:
    assert "there are no CanaryRollouts" in canary(place, "list").stderr
    assert canary(place, "status", "reviews").returncode == canary(place, "plan", "reviews").returncode == 3
    first = told(place, "plan", "-f", "-", given=rollout(place, "v1", brief))
    assert [(stage["stage"], len(stage["changes"])) for stage in first["stages"]] == [("adoption", 2)]

    place.rollout("v1", **brief)
    waited = canary(place, "status", "reviews", "--wait", "--timeout", "1m")
    assert (waited.returncode, "v1 serves all traffic" in waited.stdout) == (0, True), waited.stdout + waited.stderr
    assert live(place) == objects(first)[-1]

    early = told(place, "plan", "-f", "-", given=rollout(place, "v2", brief))
    assert [finding["code"] for finding in early["findings"] if finding["severity"] == "error"] == ["VersionWithoutPods"]
    workload = "\n---\n".join(yaml.safe_dump(manifest) for manifest in sample.reviews(place.namespace, "v2"))
    together = told(place, "plan", "-f", "-", given=f"{rollout(place, 'v2', brief)}\n---\n{workload}")
    assert together["counts"]["error"] == 0, together["findings"]
    assert together["stages"] == early["stages"]

    before = live(place)
    place.deploy("v2")
    plan = told(place, "plan", "-f", "-", given=rollout(place, "v2", brief))
    assert [stage["stage"] for stage in plan["stages"]] == ["preparation", "step", "step", "promotion"]
    with place.mesh.load(place.namespace, rps=50):
        place.edit(version="v2")
        place.wait(lambda: place.split().get("v2") == 25 and place.phase() == "Analysing", what="the first step")
        assert {**before, **objects(plan)[1]} == live(place)
        rest = told(place, "plan", "reviews")
        assert [(stage["stage"], stage["step"]) for stage in rest["stages"]][-2:] == [("step", "2/2"), ("promotion", None)]
        status = told(place, "status", "reviews")
        ready = place.condition("Ready")
        assert status["version"] == "v2"
        assert status["explanation"].split(";")[0] == ready["message"].split(";")[0]
        ended = canary(place, "status", "reviews", "--wait", "--timeout", "4m")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert live(place) == {**before, **objects(plan)[-1]}
    (item,) = told(place, "list")["items"]
    assert (item["outcome"], item["stable"], item["history"][0]["outcome"]) == ("OK", "v2", "Promoted")


def test_waiting_tells_a_rollback_from_a_pause_and_from_a_time_that_is_over(place: Arena, brief: dict[str, Any]) -> None:
    place.rollout("v1", **brief)
    assert canary(place, "status", "reviews", "--wait", "--timeout", "1m").returncode == 0
    before = live(place)
    place.edit(version="v2")
    over = canary(place, "status", "reviews", "--wait", "--timeout", "2s")
    assert (over.returncode, over.stderr) == (6, "error: gave up after 2s: the rollout goes on\n")
    assert "no pod of Service 'reviews' is labelled version=v2" in over.stdout
    with place.mesh.load(place.namespace, rps=50):
        place.deploy("v2", error_rate=0.5)
        back = canary(place, "status", "reviews", "--wait", "--timeout", "3m")
    assert back.returncode == 4, back.stdout + back.stderr
    assert place.condition("Ready")["message"] in back.stdout
    assert live(place) == before
    again = told(place, "plan", "reviews")
    assert (again["stages"][0]["stage"], again["rollback"]["restores"]) == ("preparation", True)
    place.edit(version="v3", paused=True)
    held = canary(place, "status", "reviews", "--wait", "--timeout", "1m")
    assert held.returncode == 5, held.stdout + held.stderr


@pytest.mark.parametrize("command", [("status", "reviews"), ("list",), ("plan", "reviews")])
def test_a_user_without_rights_gets_one_line(place: Arena, command: tuple[str, ...]) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody", "namespace": place.namespace}}
    place.mesh.apply(account)
    kubeconfig = place.mesh.token_kubeconfig(place.namespace, "nobody")
    run = [sys.executable, "-m", "canaryrollout", *command, "--kubeconfig", str(kubeconfig)]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert done.stderr.startswith("error: the API server refuses: ")
    assert f'in the namespace "{place.namespace}"' in done.stderr
