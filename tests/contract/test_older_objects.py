"""Objects that were stored before Istio's definitions became stricter: what an API server says to a step of a rollout."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from apiserver import ApiServer, running_apiserver, wait_until
from localmesh.binaries import istio_crds

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PATH = "/apis/networking.istio.io/v1/namespaces/default/virtualservices"
STEP = [{"op": "replace", "path": "/spec/http/0/route/0/weight", "value": 95}]


def without_rules(schema: Any) -> Any:
    """A definition as it was before CEL rules."""
    if isinstance(schema, dict):
        return {name: without_rules(value) for name, value in schema.items() if name != "x-kubernetes-validations"}
    return [without_rules(value) for value in schema] if isinstance(schema, list) else schema


def manifest(timeout: str) -> dict[str, Any]:
    """The timeout is on another route than the one that moves."""
    moving = {"name": "main", "route": [{"destination": {"host": "web", "subset": "v1"}, "weight": 100}]}
    other = {"name": "stream", "timeout": timeout, "route": [{"destination": {"host": "stream"}}]}
    spec = {"hosts": ["web"], "http": [moving, other]}
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "web"}, "spec": spec}


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server whose definition of VirtualServices becomes Istio's present one after `web` was stored."""
    definitions = yaml.load_all(istio_crds().read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    present = next(found for found in definitions if found and found["spec"]["names"]["kind"] == "VirtualService")
    with running_apiserver(tmp_path_factory.mktemp("older")) as server:
        found = server.create(CRDS, without_rules(present))["metadata"]["name"]
        wait_until(lambda: server.request("GET", PATH).ok, "VirtualServices are not served")
        wait_until(lambda: server.request("GET", "/api/v1/namespaces/default").ok, "the namespace")
        server.create(PATH, manifest("0s"))
        version = server.request("GET", f"{CRDS}/{found}").json()["metadata"]["resourceVersion"]
        present["metadata"]["resourceVersion"] = version
        assert server.request("PUT", f"{CRDS}/{found}", present).ok
        probe = {**manifest("0s"), "metadata": {"name": "probe"}}
        wait_until(lambda: server.request("POST", f"{PATH}?dryRun=All", probe).status_code == 422, "the new definition is not in force")
        yield server


def test_a_route_that_would_not_be_taken_today_holds_up_every_step_until_it_is_mended(server: ApiServer) -> None:
    def step() -> Any:
        return server.request("PATCH", f"{PATH}/web", STEP, content_type="application/json-patch+json")

    refused = step()
    assert refused.status_code == 422
    assert "spec.http[1].timeout" in refused.json()["message"]
    assert server.request("PATCH", f"{PATH}/web", [{"op": "remove", "path": "/spec/http/1/timeout"}], "application/json-patch+json").ok
    assert step().ok
