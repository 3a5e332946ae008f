"""The chart, installed by helm on a real API server: everything is accepted, and the rights are what they should be."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apiserver import ApiServer, running_apiserver
from chartkit import CHART, helm, render

NAMESPACE = "canaryrollout-system"
OPERATOR = f"system:serviceaccount:{NAMESPACE}:canaryrollout"
READER = "system:serviceaccount:istio-system:canaryrollout-mesh-reader"

# The deployed objects of a release need a cluster with controllers to become ready; here they only have to be accepted.
RELEASE = ("canaryrollout", str(CHART), "--namespace", NAMESPACE)


class Cluster:
    """An API server, and helm talking to it."""

    def __init__(self, server: ApiServer, kubeconfig: Path) -> None:
        self.server = server
        self._kubeconfig = kubeconfig

    def helm(self, command: str, *arguments: str) -> str:
        return helm(command, *arguments, "--kubeconfig", str(self._kubeconfig))

    def may(self, user: str, verb: str, resource: str, namespace: str = "", *, group: str = "", name: str = "") -> bool:
        """A SubjectAccessReview; `resource` may carry a subresource after a slash."""
        resource, _, subresource = resource.partition("/")
        attributes = {"verb": verb, "resource": resource, "namespace": namespace, "group": group, "name": name, "subresource": subresource}
        _, _, account_namespace, _ = user.split(":")
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{account_namespace}", "system:authenticated"]
        body = {"spec": {"user": user, "groups": groups, "resourceAttributes": attributes}}
        review = self.server.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
        return bool(review["status"]["allowed"])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A release of the chart in a namespace that enforces the restricted Pod Security Standard."""
    folder = tmp_path_factory.mktemp("chart")
    with running_apiserver(folder) as server:
        restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
        for name, labels in (("istio-system", {}), ("bookinfo", {}), (NAMESPACE, restricted)):
            server.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
        cluster = Cluster(server, server.write_kubeconfig(folder / "kubeconfig"))
        cluster.helm("install", *RELEASE)
        yield cluster


def test_a_second_upgrade_changes_nothing(cluster: Cluster) -> None:
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/canaryrollout"
    before = cluster.server.request("GET", path).json()["metadata"]["generation"]
    cluster.helm("upgrade", *RELEASE)
    assert cluster.server.request("GET", path).json()["metadata"]["generation"] == before


def test_the_pod_is_admitted_where_the_restricted_standard_is_enforced(cluster: Cluster) -> None:
    deployment = cluster.server.request("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/canaryrollout").json()
    template: dict[str, Any] = deployment["spec"]["template"]
    pod = {"metadata": {"name": "operator"} | template["metadata"], "spec": template["spec"]}
    response = cluster.server.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All", pod)
    assert response.status_code == 201, response.text


def test_the_test_pod_is_admitted_where_the_restricted_standard_is_enforced(cluster: Cluster) -> None:
    (pod,) = [found for found in render(tests=True) if found["kind"] == "Pod"]
    pod["spec"]["serviceAccountName"] = "canaryrollout"  # no controller makes the account "default" here
    response = cluster.server.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All", pod)
    assert response.status_code == 201, response.text


ISTIO = "networking.istio.io"
OURS = "canaryrollout.io"


@pytest.mark.parametrize(
    ("verb", "resource", "namespace", "group", "name"),
    [
        ("list", "canaryrollouts", "", OURS, ""),
        ("watch", "canaryrollouts", "", OURS, ""),
        ("patch", "canaryrollouts", "bookinfo", OURS, "reviews"),
        ("patch", "canaryrollouts/status", "bookinfo", OURS, "reviews"),
        ("update", "canaryrollouts/status", "bookinfo", OURS, "reviews"),
        ("create", "virtualservices", "bookinfo", ISTIO, ""),
        ("patch", "virtualservices", "bookinfo", ISTIO, "reviews"),
        ("create", "destinationrules", "bookinfo", ISTIO, ""),
        ("patch", "destinationrules", "bookinfo", ISTIO, "reviews"),
        ("list", "pods", "", "", ""),
        ("get", "services", "bookinfo", "", "reviews"),
        ("watch", "endpointslices", "", "discovery.k8s.io", ""),
        ("watch", "namespaces", "", "", ""),
        ("watch", "customresourcedefinitions", "", "apiextensions.k8s.io", ""),
        ("create", "events", "bookinfo", "events.k8s.io", ""),
        ("patch", "events", "bookinfo", "events.k8s.io", "x"),
        ("create", "leases", NAMESPACE, "coordination.k8s.io", ""),
        ("update", "leases", NAMESPACE, "coordination.k8s.io", "canaryrollout-operator"),
        ("create", "serviceaccounts/token", "istio-system", "", "canaryrollout-mesh-reader"),
        ("list", "pods", "istio-system", "", ""),
    ],
)
def test_the_operator_may(cluster: Cluster, verb: str, resource: str, namespace: str, group: str, name: str) -> None:
    assert cluster.may(OPERATOR, verb, resource, namespace, group=group, name=name)


@pytest.mark.parametrize(
    ("verb", "resource", "namespace", "group", "name"),
    [
        ("create", "canaryrollouts", "bookinfo", OURS, ""),
        ("update", "canaryrollouts", "bookinfo", OURS, "reviews"),
        ("delete", "canaryrollouts", "bookinfo", OURS, "reviews"),
        ("delete", "virtualservices", "bookinfo", ISTIO, "reviews"),
        ("delete", "destinationrules", "bookinfo", ISTIO, "reviews"),
        ("create", "envoyfilters", "bookinfo", ISTIO, ""),
        ("get", "secrets", NAMESPACE, "", "x"),
        ("list", "secrets", "", "", ""),
        ("get", "deployments", "bookinfo", "apps", "reviews-v1"),
        ("list", "replicasets", "bookinfo", "apps", ""),
        ("patch", "deployments", "bookinfo", "apps", "reviews-v1"),
        ("create", "pods/exec", "istio-system", "", "istiod-0"),
        ("create", "serviceaccounts/token", "istio-system", "", "istiod"),
        ("create", "serviceaccounts/token", "bookinfo", "", "canaryrollout-mesh-reader"),
        ("update", "leases", "bookinfo", "coordination.k8s.io", "canaryrollout-operator"),
        ("update", "leases", NAMESPACE, "coordination.k8s.io", "another"),
        ("create", "clusterrolebindings", "", "rbac.authorization.k8s.io", ""),
    ],
)
def test_the_operator_may_not(cluster: Cluster, verb: str, resource: str, namespace: str, group: str, name: str) -> None:
    assert not cluster.may(OPERATOR, verb, resource, namespace, group=group, name=name)


@pytest.mark.parametrize("resource", ["pods", "secrets", "configmaps", "serviceaccounts"])
def test_the_account_for_asking_istiod_has_no_rights(cluster: Cluster, resource: str) -> None:
    assert not cluster.may(READER, "get", resource, "istio-system", name="x")


def test_tokens_for_istiod_are_issued_with_its_audience(cluster: Cluster) -> None:
    path = "/api/v1/namespaces/istio-system/serviceaccounts/canaryrollout-mesh-reader/token"
    answer = cluster.server.create(path, {"spec": {"audiences": ["istio-ca"], "expirationSeconds": 600}})
    assert answer["spec"]["audiences"] == ["istio-ca"]
    assert answer["status"]["token"]


def test_the_notes_say_what_was_installed(cluster: Cluster) -> None:
    notes = cluster.helm("get", "notes", "canaryrollout", "--namespace", NAMESPACE)
    assert "serves CanaryRollouts in all namespaces" in notes


def test_uninstalling_keeps_the_definition_and_with_it_every_rollout(tmp_path: Path) -> None:
    with running_apiserver(tmp_path) as server:
        for name in ("istio-system", NAMESPACE):
            server.create("/api/v1/namespaces", {"metadata": {"name": name}})
        cluster = Cluster(server, server.write_kubeconfig(tmp_path / "kubeconfig"))
        cluster.helm("install", *RELEASE)
        cluster.helm("uninstall", "canaryrollout", "--namespace", NAMESPACE)
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/canaryrollouts.canaryrollout.io"
        assert server.request("GET", path).ok
        assert server.request("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/canaryrollout").status_code == 404
