"""Parts of the mesh that freeze, vanish or refuse while a rollout is under way."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from arena import Arena, arena, seconds
from localmesh.mesh import Mesh

PHASES = ("Preparing", "Shifting", "Analysing", "Paused", "Promoting", "RollingBack", "Adopting")


@pytest.fixture
def relayed(mesh: Mesh) -> Iterator[Arena]:
    """As `place`; productpage's sidecar reaches istiod through a relay that can be stopped."""
    with arena(mesh, xds_relay=True) as created:
        yield created


@pytest.mark.parametrize("cut", ["stall", "refuse"])
def test_a_proxy_that_is_cut_off_from_istiod_is_never_counted_as_in_sync(relayed: Arena, cut: str, quick: dict[str, Any]) -> None:
    place = relayed
    place.rollout("v1", **quick, sync={"timeout": "20s"})
    place.wait_phase("Stable")
    client = place.pod("productpage")
    with place.mesh.load(place.namespace, rps=50, via=client) as load:
        place.deploy("v2")
        relay = place.mesh.xds(place.namespace, client)
        getattr(relay, cut)()
        place.edit(version="v2")
        place.wait(lambda: client in place.condition("ProxiesSynced")["message"], 30, "the proxy's name in the condition")
        assert place.condition("ProxiesSynced")["status"] == "False"
        entry = place.wait_outcome_or_rollback("v2", 60)
        assert entry in ("RollingBack", "RolledBack")
        assert load.failures() == []
        relay.restore()
        place.wait_phase("RolledBack", timeout=60)
    assert not [event for event in place.events() if event["reason"] == "StepSynced"]


def test_a_frozen_proxy_holds_the_step_until_it_continues(place: Arena, quick: dict[str, Any]) -> None:
    place.rollout("v1", **quick, sync={"timeout": "60s"})
    place.wait_phase("Stable")
    client = place.pod("productpage")
    with place.mesh.load(place.namespace, rps=100):
        place.release("v2")
        place.wait(lambda: place.phase() == "Analysing")
        envoy = place.mesh.envoy(place.namespace, place.pod("ingressgateway"))
        sidecar = place.mesh.envoy(place.namespace, client)
        sidecar.pause()
        frozen = time.time()
        place.wait(lambda: place.phase() in ("Shifting", "Analysing"))
        sidecar.resume()
        assert envoy.admin("/ready")
        assert time.time() - frozen < 60
        assert place.wait_outcome("v2")["outcome"] == "Promoted"
