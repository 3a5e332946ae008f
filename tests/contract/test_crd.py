"""The generated definition, put to a real API server."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from apiserver import ApiServer, wait_until
from canaryrollout.api.crd import CRD_NAME, GROUP, PLURAL, VERSION, custom_resource_definition
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus

NAMESPACE = "bookinfo"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PATH = f"/apis/{GROUP}/{VERSION}/namespaces/{NAMESPACE}/{PLURAL}"
MERGE_PATCH = "application/merge-patch+json"


@pytest.fixture(scope="module")
def server(apiserver: ApiServer) -> ApiServer:
    """An API server that serves CanaryRollouts and has a namespace for them."""
    apiserver.request("POST", CRDS, custom_resource_definition())  # another module may have brought it
    apiserver.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    wait_until(lambda: apiserver.request("GET", PATH).ok, "CanaryRollouts are not served")
    return apiserver


@pytest.fixture
def created(server: ApiServer) -> Iterator[dict[str, Any]]:
    """A rollout with nothing but what is required."""
    yield server.create(PATH, rollout())
    server.request("DELETE", f"{PATH}/reviews")


def rollout(name: str = "reviews", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "CanaryRollout",
        "metadata": {"name": name},
        "spec": {"service": "reviews", "version": "v2"} | spec,
    }


def refusal(server: ApiServer, body: dict[str, Any]) -> str:
    """Why the API server does not take `body`."""
    response = server.request("POST", f"{PATH}?dryRun=All", body)
    assert response.status_code == 422, response.text
    return str(response.json()["message"])


def weights(*values: int) -> list[dict[str, int]]:
    return [{"weight": value} for value in values]


def test_the_definition_is_structural_and_its_names_are_accepted(server: ApiServer) -> None:
    found = server.request("GET", f"{CRDS}/{CRD_NAME}").json()
    conditions = {condition["type"]: condition["status"] for condition in found["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions["NamesAccepted"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


def test_the_definition_is_stored_as_generated(server: ApiServer) -> None:
    """Nothing in it is pruned or rewritten by the API server, which would hide a typing error in the generator."""
    found = server.request("GET", f"{CRDS}/{CRD_NAME}").json()
    stored = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert stored == custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def test_defaults_are_filled_in(created: dict[str, Any]) -> None:
    spec = created["spec"]
    assert [step["weight"] for step in spec["steps"]] == [5, 10, 25, 50, 100]
    assert spec["analysis"]["maxErrorRate"] == "1%"
    assert spec["analysis"]["maxP99Latency"] == "500ms"
    assert spec["sync"] == {"verify": "acknowledged", "timeout": "60s", "onTimeout": "rollback"}
    assert spec["versionLabel"] == "version"
    assert "stableVersion" not in spec


def test_the_defaults_are_those_of_the_models(created: dict[str, Any]) -> None:
    assert CanaryRolloutSpec.model_validate(created["spec"]) == CanaryRolloutSpec(service="reviews", version="v2")


def test_defaults_inside_a_given_object_are_filled_in(server: ApiServer) -> None:
    body = rollout(analysis={"maxErrorRate": "0.5%"})
    made = server.request("POST", f"{PATH}?dryRun=All", body).json()
    assert made["spec"]["analysis"]["maxErrorRate"] == "0.5%"
    assert made["spec"]["analysis"]["minRequests"] == 100


def test_an_object_that_no_operator_has_seen_reports_generation_minus_one(server: ApiServer, created: dict[str, Any]) -> None:
    assert created["metadata"]["generation"] == 1
    found = server.request("GET", f"{PATH}/reviews").json()
    assert found["status"] == {"observedGeneration": -1}
    CanaryRolloutStatus.model_validate(found["status"])


def test_a_whole_spec_survives_the_api_server_and_the_models(server: ApiServer) -> None:
    spec = CanaryRolloutSpec.model_validate(
        {
            "service": "reviews",
            "version": "v2",
            "versionLabel": "example.com/release",
            "stableVersion": "v1",
            "virtualService": {"name": "reviews-routes"},
            "destinationRule": {"name": "reviews-subsets"},
            "canaryTrafficPolicy": {"outlierDetection": {"consecutive5xxErrors": 3}, "connectionPool": {"http": {"maxRetries": 1}}},
            "steps": [{"weight": 20, "minDuration": "1m30s"}, {"weight": 100}],
            "analysis": {"maxErrorRate": "0.25%", "maxP99Latency": "1s", "minRequests": 5, "onInconclusive": "rollback"},
            "sync": {"timeout": "10s", "onTimeout": "pause"},
            "deletionPolicy": "Keep",
            "paused": True,
        }
    )
    written = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    made = server.request("POST", f"{PATH}?dryRun=All", rollout(**written)).json()
    assert made["spec"] == written
    assert CanaryRolloutSpec.model_validate(made["spec"]) == spec


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"steps": weights(10, 5, 100)}, "step weights must rise"),
        ({"steps": weights(5, 5, 100)}, "step weights must rise"),
        ({"steps": weights(5, 50)}, "the last must be 100"),
        ({"steps": weights(5, 101)}, "less than or equal to 100"),
        ({"steps": weights(0, 100)}, "greater than or equal to 1"),
        ({"steps": []}, "should have at least 1 items"),
        ({"steps": weights(*range(1, 21), 100)}, "must have at most 20 items"),
        ({"steps": [{"minDuration": "5s"}]}, "weight: Required value"),
        ({"steps": [{"weight": 100, "minDuration": "5"}]}, "write a number and a unit"),
        ({"analysis": {"maxErrorRate": "1"}}, "write a percentage"),
        ({"analysis": {"maxErrorRate": "101%"}}, "write a percentage"),
        ({"analysis": {"maxErrorRate": "one percent"}}, "write a percentage"),
        ({"analysis": {"maxP99Latency": "0.5s"}}, "write a number and a unit"),
        ({"analysis": {"maxP99Latency": "fast"}}, "write a number and a unit"),
        ({"analysis": {"maxP99Latency": "0s"}}, 'spec.analysis.maxP99Latency: Invalid value: "0s": must be longer than 0s'),
        (
            {"analysis": {"maxDuration": "0h00ms", "minDuration": "0s"}},
            'spec.analysis.maxDuration: Invalid value: "0h00ms": must be longer than 0s',
        ),
        ({"steps": [{"weight": 100, "analysis": {"maxP99Latency": "0ms"}}]}, 'maxP99Latency: Invalid value: "0ms": must be longer than 0s'),
        ({"sync": {"timeout": "0s"}}, 'spec.sync.timeout: Invalid value: "0s": must be longer than 0s'),
        ({"steps": [{"weight": 100, "analysis": {"maxDuration": "0m"}}]}, 'maxDuration: Invalid value: "0m": must be longer than 0s'),
        ({"analysis": {"confidence": "49%"}}, "spec.analysis.confidence"),
        ({"analysis": {"confidence": "100%"}}, "spec.analysis.confidence"),
        ({"analysis": {"minRequests": 0}}, "greater than or equal to 1"),
        ({"analysis": {"onInconclusive": "hope"}}, 'supported values: "pause", "rollback", "promote"'),
        ({"sync": {"timeout": "-5s"}}, "write a number and a unit"),
        ({"service": "reviews.other"}, "spec.service"),
        ({"service": ""}, "spec.service"),
        ({"version": "v 2"}, "spec.version"),
        ({"version": "x" * 64}, "may not be more than 63"),
        ({"deletionPolicy": "Maybe"}, 'supported values: "Restore", "Keep"'),
    ],
)
def test_a_spec_that_cannot_be_meant_is_refused(server: ApiServer, spec: dict[str, Any], message: str) -> None:
    assert message in refusal(server, rollout(**spec))
    with pytest.raises(ValueError):
        CanaryRolloutSpec.model_validate({"service": "reviews", "version": "v2"} | spec)


def test_a_number_is_not_a_percentage(server: ApiServer) -> None:
    """1 could mean 1 % or all of them."""
    assert "must be of type string" in refusal(server, rollout(analysis={"maxErrorRate": 1}))


def test_a_name_that_fits_no_label_is_refused(server: ApiServer) -> None:
    assert "at most 63 characters" in refusal(server, rollout(name="r" * 64))


@pytest.mark.parametrize("missing", ["service", "version"])
def test_service_and_version_are_required(server: ApiServer, missing: str) -> None:
    body = rollout()
    del body["spec"][missing]
    assert f"spec.{missing}: Required value" in refusal(server, body)


def test_another_service_is_refused_on_update(server: ApiServer, created: dict[str, Any]) -> None:
    response = server.request("PATCH", f"{PATH}/reviews", {"spec": {"service": "ratings"}}, MERGE_PATCH)
    assert response.status_code == 422
    assert "service is immutable" in response.json()["message"]


def test_another_version_is_accepted_on_update(server: ApiServer, created: dict[str, Any]) -> None:
    response = server.request("PATCH", f"{PATH}/reviews", {"spec": {"version": "v3"}}, MERGE_PATCH)
    assert response.ok
    assert response.json()["metadata"]["generation"] == 2


def test_the_status_is_written_only_through_its_subresource(server: ApiServer, created: dict[str, Any]) -> None:
    changed = copy.deepcopy(created) | {"status": {"phase": "Stable"}}
    assert server.request("PUT", f"{PATH}/reviews", changed).json()["status"].get("phase") is None
    written = server.request("PATCH", f"{PATH}/reviews/status", {"status": {"phase": "Stable"}}, MERGE_PATCH)
    assert written.json()["status"]["phase"] == "Stable"
    assert written.json()["metadata"]["generation"] == 1


def test_a_whole_status_survives_the_api_server_and_the_models(server: ApiServer, created: dict[str, Any]) -> None:
    status = CanaryRolloutStatus.model_validate(
        {
            "observedGeneration": 1,
            "phase": "Analysing",
            "stableVersion": "v1",
            "weight": 5,
            "step": "1/5",
            "routing": {
                "virtualService": "reviews",
                "destinationRule": "reviews",
                "stableSubset": "v1",
                "canarySubset": "v2",
                "canaryPolicyBefore": {"tls": {"mode": "DISABLE"}, "portLevelSettings": [{"port": {"number": 80}}]},
                "routes": [{"key": "main", "added": True}],
            },
            "rollout": {
                "version": "v2",
                "stable": "v1",
                "startedAt": "2026-01-01T00:00:00.000001Z",
                "phaseSince": "2026-01-01T00:00:01.500000Z",
                "step": {"index": 0, "weight": 5, "startedAt": "2026-01-01T00:00:01Z", "observedFrom": 1767225601.25},
                "evidence": {"errors": {"total": 12.5}, "cursor": 1767225601.25},
            },
            "proxies": {"total": 2, "synced": 1, "lagging": ["productpage-1.bookinfo"]},
            "relevantWorkloads": ["bookinfo/productpage"],
            "conditions": [
                {"type": "Ready", "status": "False", "reason": "x", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}
            ],
            "history": [
                {
                    "version": "v1",
                    "stable": "v0",
                    "outcome": "Promoted",
                    "startedAt": "2026-01-01T00:00:00Z",
                    "endedAt": "2026-01-01T00:10:00Z",
                }
            ],
        }
    )
    written = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    found = server.request("PATCH", f"{PATH}/reviews/status", {"status": written}, MERGE_PATCH).json()["status"]
    assert found == written
    assert CanaryRolloutStatus.model_validate(found) == status


def test_a_table_shows_the_columns(server: ApiServer, created: dict[str, Any]) -> None:
    conditions = [
        {"type": "Reconciling", "status": "False", "reason": "x", "message": "", "lastTransitionTime": "2026-01-01T00:00:00.000000Z"},
        {"type": "Ready", "status": "True", "reason": "x", "message": "", "lastTransitionTime": "2026-01-01T00:00:00.000000Z"},
    ]
    status = {"phase": "Analysing", "step": "2/5", "weight": 10, "message": "10 % proved", "conditions": conditions}
    assert server.request("PATCH", f"{PATH}/reviews/status", {"status": status}, MERGE_PATCH).ok
    table = server.request("GET", PATH, accept="application/json;as=Table;v=v1;g=meta.k8s.io").json()
    columns = [column["name"] for column in table["columnDefinitions"]]
    assert columns == ["Name", "Version", "Phase", "Step", "Weight", "Ready", "Age", "Message"]
    assert [column["name"] for column in table["columnDefinitions"] if column["priority"]] == ["Message"]
    cells = table["rows"][0]["cells"]
    assert cells[:6] == ["reviews", "v2", "Analysing", "2/5", 10, "True"]
    assert cells[7] == "10 % proved"


def test_short_name_and_categories_are_served(server: ApiServer) -> None:
    resources = server.request("GET", f"/apis/{GROUP}/{VERSION}").json()["resources"]
    ours = next(resource for resource in resources if resource["name"] == PLURAL)
    assert ours["shortNames"] == ["crollout"]
    assert ours["categories"] == ["all", "canary"]
