"""deletionPolicy Undo on the mesh: the user's objects are as they were, and no request fails on the way there."""

from typing import Any

from arena import ISTIO, Arena

NETWORKING = "networking.istio.io/v1"


def plain(place: Arena) -> tuple[dict[str, Any], dict[str, Any]]:
    """A VirtualService without subsets and a DestinationRule with a policy only, as people have them before their first rollout."""
    metadata = {"name": "reviews", "namespace": place.namespace}
    route = {"name": "main", "timeout": "5s", "route": [{"destination": {"host": "reviews"}}]}
    policy = {"connectionPool": {"tcp": {"maxConnections": 1000}}}
    return (
        {"apiVersion": NETWORKING, "kind": "VirtualService", "metadata": metadata, "spec": {"hosts": ["reviews"], "http": [route]}},
        {"apiVersion": NETWORKING, "kind": "DestinationRule", "metadata": metadata, "spec": {"host": "reviews", "trafficPolicy": policy}},
    )


def test_a_plain_host_is_given_back_after_a_promotion_without_one_failed_request(place: Arena, brief: dict[str, Any]) -> None:
    place.mesh.apply(*plain(place))
    service, rule = place.virtual_service(), place.destination_rule()
    place.rollout("v1", **brief, deletionPolicy="Undo")
    place.wait_phase("Stable")
    assert place.split() == {"v1": 100}
    with place.mesh.load(place.namespace, rps=80) as load:
        place.release("v2")
        assert place.wait_outcome("v2")["outcome"] == "Promoted"
        place.mesh.delete(f"/apis/apps/v1/namespaces/{place.namespace}/deployments/reviews-v1")
        place.wait(lambda: not place.mesh.pods(place.namespace, app="reviews", version="v1"), 60, "v1 to go")
        place.mesh.delete(place.path())
        place.wait(lambda: place.mesh.find(place.path()) is None, 60, "the object to go")
        assert place.virtual_service()["spec"] == service["spec"]
        assert place.destination_rule()["spec"] == rule["spec"]
        since = len(load.answers())
        place.mesh.wait(lambda: len(load.answers()) > since + 100, 30, "some more answers")
        assert load.failures() == []
    assert place.mesh.find(f"{ISTIO}/namespaces/{place.namespace}/virtualservices/reviews") is not None


def test_a_canary_that_is_still_there_gets_no_request_by_a_deletion(place: Arena, brief: dict[str, Any]) -> None:
    place.mesh.apply(*plain(place))
    place.rollout("v1", **brief, deletionPolicy="Undo")
    place.wait_phase("Stable")
    place.deploy("v2")
    with place.mesh.load(place.namespace, rps=80) as load:
        place.mesh.delete(place.path())
        place.wait(lambda: place.mesh.find(place.path()) is None, 60, "the object to go")
        since = len(load.answers())
        place.mesh.wait(lambda: len(load.answers()) > since + 200, 30, "some more answers")
        assert (load.failures(), set(load.versions())) == ([], {"v1"})
    assert place.split() == {"v1": 100}
    assert place.events()[-1]["reason"] == "LeftNarrowed"
