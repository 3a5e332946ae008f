"""Verdicts about traffic that is not plainly good or bad, on counts of a real Prometheus."""

from pathlib import Path
from typing import Any

from arena import Arena, arena
from localmesh.mesh import Mesh


def counted(place: Arena, **labels: str) -> float:
    """Requests to reviews v2 that Prometheus has seen with these labels."""
    selector = {"destination_workload": "reviews-v2", "destination_workload_namespace": place.namespace, **labels}
    found = place.mesh.query("sum(istio_requests_total{" + ",".join(f'{k}="{v}"' for k, v in selector.items()) + "})")
    return float(found[0]["value"][1]) if found else 0.0


def test_grpc_errors_within_http_200_roll_a_canary_back_and_a_good_one_is_promoted(mesh: Mesh, brief: dict[str, Any]) -> None:
    with arena(mesh, "grpc", protocol="grpc") as place:
        place.rollout("v1", **brief)
        place.wait_phase("Stable")
        with mesh.load(place.namespace, rps=60) as load:
            place.release("v2", error_rate=0.6)
            entry = place.wait_outcome("v2", 90)
            assert (entry["outcome"], entry["reason"], entry["weight"]) == ("RolledBack", "ErrorRate", 25)
            assert counted(place, request_protocol="grpc", response_code="200", grpc_response_status="14") > 0
            assert counted(place) == counted(place, response_code="200"), "HTTP shows no error at all"
            place.release("v3")
            assert place.wait_outcome("v3", 120)["outcome"] == "Promoted"
            assert {answer.version for answer in load.failures()} == {"v2"}


def test_a_canary_that_fails_only_under_half_of_the_load_is_rolled_back_there(place: Arena, quick: dict[str, Any]) -> None:
    place.rollout("v1", **quick)
    place.wait_phase("Stable")
    with place.mesh.load(place.namespace, rps=80) as load:
        place.release("v2", capacity_rps=27)
        entry = place.wait_outcome("v2", 120)
        assert (entry["outcome"], entry["reason"], entry["weight"]) == ("RolledBack", "ErrorRate", 50)
        assert {answer.version for answer in load.failures()} == {"v2"}
    assert place.split() == {"v1": 100}


HALVES = {"steps": [{"weight": 50}, {"weight": 100}]}


def test_where_stable_is_as_bad_and_the_owner_wants_to_be_asked_the_rollout_pauses(mesh: Mesh) -> None:
    with arena(mesh, "shared", stable={"error_rate": 0.05}) as place:
        place.rollout("v1", **HALVES, analysis={"onSharedFailure": "pause"})
        place.wait_phase("Stable")
        with mesh.load(place.namespace, rps=120):
            place.release("v2", error_rate=0.05)
            status = place.wait_phase("Paused", timeout=90)
            assert place.split() == {"v1": 50, "v2": 50}
            assert "stable does no better" in status["message"]
            assert status["rollout"]["reason"] == "SharedFailure"


def test_where_stable_is_as_bad_the_canary_is_rolled_back_by_default_and_the_reason_says_so(mesh: Mesh) -> None:
    with arena(mesh, "shared", stable={"error_rate": 0.05}) as place:
        place.rollout("v1", **HALVES)
        place.wait_phase("Stable")
        with mesh.load(place.namespace, rps=120):
            place.release("v2", error_rate=0.05)
            entry = place.wait_outcome("v2", 90)
        assert (entry["outcome"], entry["reason"], entry["weight"]) == ("RolledBack", "ErrorRate", 50)
        assert "stable does no better" in entry["message"]


def test_a_canary_with_the_few_errors_of_stable_is_promoted(mesh: Mesh) -> None:
    with arena(mesh, "rare", stable={"error_rate": 0.001}) as place:
        place.rollout("v1", **HALVES)
        place.wait_phase("Stable")
        with mesh.load(place.namespace, rps=150):
            place.release("v2", error_rate=0.001)
            assert place.wait_outcome("v2", 150)["outcome"] == "Promoted"


TEMPLATES = """
refused:
  description: Requests that the client is blamed for.
  bad: sum((N - (N offset {{interval}} or N * 0)) >= 0) or vector(0)
  total: sum((M - (M offset {{interval}} or M * 0)) >= 0)
  maxRate: 2%
"""
COUNTED = 'istio_requests_total{reporter="destination",destination_workload=~"{{canary_workloads}}",namespace="{{namespace}}"'


def test_a_metric_of_an_admins_template_rolls_back_what_istios_metrics_find_good(mesh: Mesh, brief: dict[str, Any], tmp_path: Path) -> None:
    templates = tmp_path / "templates.yaml"
    templates.write_text(TEMPLATES.replace("N", COUNTED + ',response_code=~"4.."}').replace("M", COUNTED + "}"))
    with arena(mesh, "custom", flags={"metrics-templates-file": str(templates)}) as place:
        brief["analysis"]["metrics"] = [{"name": "refused", "template": "refused"}]
        place.rollout("v1", **brief)
        place.wait_phase("Stable")
        with mesh.load(place.namespace, rps=60) as load:
            place.release("v2", error_rate=0.5, error_code=404)
            entry = place.wait_outcome("v2", 90)
            assert (entry["outcome"], entry["reason"], entry["weight"]) == ("RolledBack", "CustomMetric", 25)
            assert "refused were bad" in entry["message"]
            place.release("v3")
            assert place.wait_outcome("v3", 120)["outcome"] == "Promoted"
            assert load.failures() == []
