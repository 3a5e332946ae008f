"""What acknowledgements cannot tell and Envoys can (spec.sync.verify: envoy), read through the API server's port-forward."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
from arena import Arena, arena
from canaryrollout.core.snapshot import EnvoysRead, ProxyState, SyncReport
from canaryrollout.mesh.envoy_verify import EnvoyVerifier
from localmesh.mesh import Mesh
from proverkit import Stage, stage

ISTIO = "networking.istio.io/v1"
FILTER = "networking.istio.io/v1alpha3"
ADMIN_PORT = 15000


def pin(namespace: str, host: str) -> dict[str, Any]:
    """An EnvoyFilter as people leave it behind after debugging: every route of one pod goes to v1."""
    patch = {"operation": "MERGE", "value": {"route": {"cluster": f"outbound|80|v1|{host}"}}}
    spec = {
        "workloadSelector": {"labels": {"debug": "pinned"}},
        "configPatches": [{"applyTo": "HTTP_ROUTE", "match": {"context": "SIDECAR_OUTBOUND"}, "patch": patch}],
    }
    return {"apiVersion": FILTER, "kind": "EnvoyFilter", "metadata": {"name": "pin", "namespace": namespace}, "spec": spec}


def label(mesh: Mesh, namespace: str, app: str) -> str:
    """Label the pod of an app that istiod is not asked about: the first by name stands for its workload."""
    pod = max(str(item["metadata"]["name"]) for item in mesh.pods(namespace, app=app))
    mesh.patch(f"/api/v1/namespaces/{namespace}/pods/{pod}", {"metadata": {"labels": {"debug": "pinned"}}})
    return pod


# With an operator


@pytest.fixture
def careful(mesh: Mesh) -> Iterator[Arena]:
    """As `crowded`, with the chart's right to read Envoys."""
    with arena(mesh, bystander=True, values={"istio": {"verifyEnvoys": True}}) as created:
        yield created


def at_the_gateway_too(place: Arena) -> None:
    """Let the gateway route reviews by the same VirtualService as the mesh."""
    place.mesh.patch(
        f"/apis/{ISTIO}/namespaces/{place.namespace}/gateways/ingressgateway",
        {"spec": {"servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]}},
    )
    route = [{"destination": {"host": "reviews", "subset": "v1"}, "weight": 100}]
    spec = {"hosts": ["reviews", "reviews.example"], "gateways": ["mesh", "ingressgateway"], "http": [{"name": "primary", "route": route}]}
    subsets = {"host": "reviews", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]}
    metadata = {"name": "reviews", "namespace": place.namespace}
    place.mesh.apply({"apiVersion": ISTIO, "kind": "DestinationRule", "metadata": metadata, "spec": subsets})
    place.mesh.apply({"apiVersion": ISTIO, "kind": "VirtualService", "metadata": metadata, "spec": spec})


def synced(place: Arena) -> list[str]:
    return [str(event["note"]) for event in place.events() if event["reason"] == "StepSynced"]


@pytest.mark.alone  # an Istio Gateway is also for the gateway pods of other tests' namespaces, which may not be read
def test_a_healthy_rollout_says_how_many_envoys_were_read(careful: Arena, brief: dict[str, Any]) -> None:
    place = careful
    at_the_gateway_too(place)
    place.rollout("v1", **brief, sync={"verify": "envoy"})
    place.wait_phase("Stable")
    with place.mesh.load(place.namespace, rps=80) as load:
        place.release("v2")
        place.wait_phase("Analysing", timeout=60)
        condition = place.condition("ProxiesSynced")
        assert (condition["status"], condition["reason"]) == ("True", "Verified")
        # The gateway, productpage, the bystander and both versions of reviews; so few are all read.
        assert "5 Envoys were read and have it: all 1 gateways, 4 of 4 sidecars" in condition["message"]
        assert place.wait_outcome("v2", 180)["outcome"] == "Promoted"
        assert load.failures() == []
    assert len(synced(place)) == 2
    assert all(note.endswith("counting begins; 5 Envoys were read and have it") for note in synced(place))


@pytest.mark.alone  # an Istio Gateway is also for the gateway pods of other tests' namespaces, which may not be read
def test_a_proxy_that_acknowledges_and_serves_something_else_is_named_and_the_release_undone(careful: Arena, quick: dict[str, Any]) -> None:
    place = careful
    place.mesh.scale(place.namespace, "bystander-v1", 2)
    place.mesh.wait_ready(place.namespace)
    place.rollout("v1", **quick, sync={"verify": "envoy", "timeout": "15s"})
    place.wait_phase("Stable")
    with place.mesh.load(place.namespace, rps=60) as load:
        place.release("v2")
        place.wait_phase("Analysing", timeout=60)
        pinned = label(place.mesh, place.namespace, "bystander")
        place.mesh.apply(pin(place.namespace, f"reviews.{place.namespace}.svc.cluster.local"))
        place.wait(lambda: place.condition("ProxiesSynced")["reason"] == "ProxyDiffers", 60, "an Envoy that differs")
        message = place.condition("ProxiesSynced")["message"]
        assert pinned in message
        assert "acknowledged, but virtual host" in message
        assert "serves v1 100 instead of v1 50, v2 50" in message
        place.wait_phase("RollingBack", timeout=60)
        assert place.split() == {"v1": 100}
        entry = place.wait_outcome("v2", 60)
        assert (entry["outcome"], entry["reason"]) == ("RolledBack", "ProxyDiffers")
        assert pinned in entry["message"]
        assert load.failures() == []


def test_by_acknowledgements_alone_the_same_release_goes_through(crowded: Arena, brief: dict[str, Any]) -> None:
    place = crowded
    place.mesh.scale(place.namespace, "bystander-v1", 2)
    place.mesh.wait_ready(place.namespace)
    place.rollout("v1", **brief)
    place.wait_phase("Stable")
    label(place.mesh, place.namespace, "bystander")
    place.mesh.apply(pin(place.namespace, f"reviews.{place.namespace}.svc.cluster.local"))
    with place.mesh.load(place.namespace, rps=80):
        place.release("v2")
        assert place.wait_outcome("v2", 180)["outcome"] == "Promoted"


def test_without_the_right_nothing_goes_on_and_the_reason_says_which_value_to_set(crowded: Arena, brief: dict[str, Any]) -> None:
    place = crowded
    place.rollout("v1", **brief, sync={"verify": "envoy"})
    place.wait(lambda: place.condition("ProxiesSynced")["reason"] == "PortForwardDenied", 60, "the reason")
    assert "istio.verifyEnvoys=true" in place.status()["message"]
    assert place.phase() == "Adopting"
    place.edit(sync={"verify": "acknowledged"})
    place.wait_phase("Stable")


# At the level of the prover


@dataclass
class Witness:
    """A stage and a verifier with exactly the rights it needs."""

    stage: Stage
    verifier: EnvoyVerifier

    async def until(self, holds: Callable[[SyncReport], bool], seconds: float = 30.0) -> SyncReport:
        """Ask for verified proofs until a report is as wanted."""
        assert self.stage.question is not None
        deadline = time.monotonic() + seconds
        while True:
            report = await self.verifier.prove(replace(self.stage.question, verify=True), self.stage.workloads)
            if holds(report):
                return report
            assert time.monotonic() < deadline, report
            await asyncio.sleep(0.1)


def allow_port_forward(place: Stage) -> None:
    path = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{place.namespace}"
    rule = {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get", "create"]}
    place.mesh.patch(path, {"rules": [*place.mesh.get(path)["rules"], rule]})


@pytest_asyncio.fixture
async def witness(mesh: Mesh) -> AsyncIterator[Witness]:
    async with stage(mesh) as created:
        verifier = EnvoyVerifier(created.kube, created.prover, ADMIN_PORT)
        try:
            yield Witness(created, verifier)
        finally:
            await verifier.close()


async def test_the_right_is_needed_and_enough(witness: Witness) -> None:
    place = witness.stage
    place.write_weight(10)
    report = await witness.until(lambda report: report.problem is not None)
    assert report.problem is not None
    assert report.problem.reason == "PortForwardDenied"
    assert f"namespace {place.namespace}" in report.problem.message
    allow_port_forward(place)
    report = await witness.until(lambda report: report.in_sync)
    assert report.envoys == EnvoysRead(gateways=0, sidecars=4, of_sidecars=4), "the gateway does not route reviews"


async def test_a_verified_proof_means_that_the_envoys_serve_the_weights(witness: Witness) -> None:
    place = witness.stage
    allow_port_forward(place)
    for weight in (0, 5, 50, 100, 0):
        place.write_weight(weight)
        await witness.until(lambda report: report.in_sync)
        assert all(found == {weight} for found in place.served_weights().values())


async def test_an_envoy_that_freezes_after_its_acknowledgement_is_unknown_until_it_answers(witness: Witness) -> None:
    place = witness.stage
    allow_port_forward(place)
    place.write_weight(10)
    await witness.until(lambda report: report.in_sync)
    place.write_weight(20)
    await place.in_sync()
    frozen = place.pod("reviews", version="v1")
    envoy = place.mesh.envoy(place.namespace, frozen)
    envoy.pause()
    try:
        report = await witness.until(lambda report: any(proxy.state is ProxyState.UNKNOWN for proxy in report.proxies))
        (late,) = report.lagging
        assert late.proxy == f"{frozen}.{place.namespace}"
        assert "admin interface cannot be read: no answer within" in late.detail
    finally:
        envoy.resume()
    await witness.until(lambda report: report.in_sync)


async def test_one_pod_of_a_workload_with_a_configuration_of_its_own_is_seen_only_by_its_envoy(witness: Witness) -> None:
    place = witness.stage
    allow_port_forward(place)
    place.write_weight(10)
    await witness.until(lambda report: report.in_sync)
    pinned = label(place.mesh, place.namespace, "productpage")
    place.mesh.apply(pin(place.namespace, place.host.fqdn))
    place.mesh.wait(lambda: place.served_weights()[pinned] == {0}, 30, "the pinned pod's routes")
    place.write_weight(30)
    report = await place.in_sync()
    assert all(proxy.state is ProxyState.SYNCED for proxy in report.proxies), "all have acknowledged what they were sent"
    report = await witness.until(lambda report: any(proxy.state is ProxyState.DIFFERS for proxy in report.proxies))
    (late,) = report.lagging
    assert late.proxy == f"{pinned}.{place.namespace}"
    assert "serves v1 100 instead of v1 70, v2 30" in late.detail
    assert place.served_weights()[pinned] == {0}
    place.mesh.delete(f"/apis/{FILTER}/namespaces/{place.namespace}/envoyfilters/pin")
    await witness.until(lambda report: report.in_sync)
    assert place.served_weights()[pinned] == {30}


async def test_a_port_that_nobody_listens_on_is_unknown_with_the_kubelets_words(witness: Witness) -> None:
    place = witness.stage
    allow_port_forward(place)
    place.write_weight(10)
    blind = Witness(place, EnvoyVerifier(place.kube, place.prover, 1))
    report = await blind.until(lambda report: any(proxy.state is ProxyState.UNKNOWN for proxy in report.proxies))
    assert "connection refused" in report.lagging[0].detail
    await blind.verifier.close()
