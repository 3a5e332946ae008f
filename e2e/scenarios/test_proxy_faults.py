"""Proxies that are cut off, frozen or refuse a configuration: never counted as in sync, always named."""

from typing import Any

import pytest
from arena import Arena
from localmesh.mesh import Mesh

POLICY = "networking.istio.io/v1alpha3"


def names(place: Arena, proxy: str) -> bool:
    """Whether the condition says that a proxy is not in sync, by name."""
    condition = place.condition("ProxiesSynced")
    return condition["status"] == "False" and proxy in condition["message"]


@pytest.mark.parametrize("cut", ["stall", "refuse"])
def test_a_proxy_cut_off_from_istiod_is_never_in_sync_and_the_release_is_undone(crowded: Arena, cut: str, quick: dict[str, Any]) -> None:
    place = crowded
    place.rollout("v1", **quick, sync={"timeout": "15s"})
    place.wait_phase("Stable")
    client = place.pod("bystander")
    relay = place.mesh.xds(place.namespace, client)
    with place.mesh.load(place.namespace, rps=40) as load, place.mesh.load(place.namespace, rps=40, via=client) as cut_off:
        place.release("v2")
        place.wait_phase("Analysing")
        seen = len([event for event in place.events() if event["reason"] == "StepSynced"])
        getattr(relay, cut)()
        place.wait(lambda: names(place, client), 60, "the proxy's name in the condition")
        place.wait_phase("RollingBack", timeout=60)
        assert place.split() == {"v1": 100}
        place.wait(lambda: "RollingBack" in place.phase() and names(place, client), 30, "a rollback that waits for the proxy")
        assert len([event for event in place.events() if event["reason"] == "StepSynced"]) == seen
        relay.restore()
        entry = place.wait_outcome("v2", 60)
        assert (entry["outcome"], entry["reason"]) == ("RolledBack", "SyncTimedOut")
        assert client in entry["message"]
    assert [*load.failures(), *cut_off.failures()] == []


def test_a_proxy_that_istiod_no_longer_lists_still_holds_the_rollout_up(crowded: Arena, mesh: Mesh, quick: dict[str, Any]) -> None:
    place = crowded
    place.rollout("v1", **quick, sync={"timeout": "120s"})
    place.wait_phase("Stable")
    client = place.pod("bystander")
    relay = mesh.xds(place.namespace, client)
    with mesh.load(place.namespace, rps=80):
        place.deploy("v2")
        relay.refuse()
        place.edit(version="v2")
        place.wait(lambda: "not connected to any istiod" in place.condition("ProxiesSynced")["message"], 60, "an unknown proxy")
        assert names(place, client)
        assert place.phase() == "Preparing"
        assert place.split() == {"v1": 100}
        relay.restore()
        assert place.wait_outcome("v2", 180)["outcome"] == "Promoted"


def test_a_frozen_proxy_is_named_and_when_it_continues_in_time_the_rollout_goes_on(crowded: Arena, quick: dict[str, Any]) -> None:
    place = crowded
    place.rollout("v1", **quick, sync={"timeout": "120s"})
    place.wait_phase("Stable")
    envoy = place.mesh.envoy(place.namespace, place.pod("bystander"))
    with place.mesh.load(place.namespace, rps=80) as load:
        place.release("v2")
        place.wait_phase("Analysing")
        envoy.pause()
        place.wait(lambda: place.phase() == "Shifting" and names(place, "bystander"), 60, "a step that waits for the proxy")
        held = place.status()["step"]
        envoy.resume()
        place.wait(lambda: (place.phase(), place.status()["step"]) == ("Analysing", held), 60, "the step goes on")
        assert place.wait_outcome("v2", 180)["outcome"] == "Promoted"
        assert load.failures() == []


def test_a_frozen_proxy_pauses_the_rollout_where_the_policy_says_so(crowded: Arena, quick: dict[str, Any]) -> None:
    place = crowded
    place.rollout("v1", **quick, sync={"timeout": "10s", "onTimeout": "pause"})
    place.wait_phase("Stable")
    envoy = place.mesh.envoy(place.namespace, place.pod("bystander"))
    with place.mesh.load(place.namespace, rps=80):
        place.release("v2")
        place.wait_phase("Analysing")
        envoy.pause()
        status = place.wait_phase("Paused", timeout=90)
        assert "bystander" in status["message"]
        envoy.resume()
        place.annotate(resume="1")
        assert place.wait_outcome("v2", 180)["outcome"] == "Promoted"


def test_a_rejected_configuration_is_reported_in_the_proxys_own_words(crowded: Arena, quick: dict[str, Any]) -> None:
    place = crowded
    place.rollout("v1", **quick, sync={"timeout": "15s"})
    place.wait_phase("Stable")
    broken = {
        "apiVersion": POLICY,
        "kind": "EnvoyFilter",
        "metadata": {"name": "broken", "namespace": place.namespace},
        "spec": {
            "workloadSelector": {"labels": {"app": "bystander"}},
            "configPatches": [
                {
                    "applyTo": "CLUSTER",
                    "match": {"context": "SIDECAR_OUTBOUND"},
                    "patch": {"operation": "MERGE", "value": {"connect_timeout": "0s"}},
                }
            ],
        },
    }
    with place.mesh.load(place.namespace, rps=40):
        place.deploy("v2")
        place.mesh.apply(broken)
        place.edit(version="v2")
        place.wait(lambda: names(place, "bystander") and "rejected" in place.condition("ProxiesSynced")["message"], 60, "the rejection")
        assert place.condition("ProxiesSynced")["reason"] == "ProxyRejected"
        assert "ConnectTimeout" in place.condition("ProxiesSynced")["message"]
        place.wait_phase("RollingBack", timeout=60)
        place.mesh.delete(f"/apis/{POLICY}/namespaces/{place.namespace}/envoyfilters/broken")
        entry = place.wait_outcome("v2", 60)
        assert (entry["outcome"], entry["reason"]) == ("RolledBack", "ProxyRejected")
        assert "ConnectTimeout" in entry["message"]
