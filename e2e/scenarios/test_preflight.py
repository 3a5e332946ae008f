"""What preflight finds while a rollout is under way, by the rights of the chart."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from arena import ISTIO, Arena

TEAPOT = 418
FAULT = {"abort": {"percentage": {"value": 20}, "httpStatus": TEAPOT}}


def edit_route(place: Arena, fault: dict[str, Any] | None) -> None:
    """Somebody puts a fault on the route, or takes it off."""
    operation = {"op": "add", "value": fault} if fault is not None else {"op": "remove"}
    place.mesh.request(
        "PATCH",
        f"{ISTIO}/namespaces/{place.namespace}/virtualservices/reviews",
        [{**operation, "path": "/spec/http/0/fault"}],
        content_type="application/json-patch+json",
    )


@contextmanager
def way_in_from_elsewhere(place: Arena) -> Iterator[None]:
    """A VirtualService of the root namespace that sends requests to the whole Service. Exported to nobody, it changes no proxy."""
    host = f"reviews.{place.namespace}.svc.cluster.local"
    path = f"{ISTIO}/namespaces/istio-system/virtualservices"
    name = f"elsewhere-{place.namespace}"
    spec = {"hosts": [host], "exportTo": ["."], "http": [{"route": [{"destination": {"host": host}}]}]}
    body = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": name}, "spec": spec}
    place.mesh.request("POST", path, body)
    try:
        yield
    finally:
        place.mesh.request("DELETE", f"{path}/{name}")


def test_a_fault_injected_in_mid_rollout_holds_the_next_step_until_it_is_gone(place: Arena, quick: dict[str, Any]) -> None:
    place.rollout("v1", **quick)
    place.wait_phase("Stable")
    caller = place.pod("productpage")
    with place.mesh.load(place.namespace, rps=80, via=caller) as load, way_in_from_elsewhere(place):
        place.release("v2")
        place.wait(lambda: place.phase() == "Analysing", what="the first step")
        edit_route(place, FAULT)
        place.wait(lambda: place.condition("Ready")["reason"] == "FaultInjected", what="the reason for holding")
        place.wait(lambda: place.condition("Analysis")["status"] == "True", what="evidence enough for the next step")
        held = load.answers()[-1].start
        place.wait(lambda: load.answers(held + 8.0), what="eight more seconds of requests")
        assert (place.phase(), place.split()) == ("Analysing", {"v1": 75, "v2": 25})
        assert "held by: VirtualService/" in place.status()["message"]
        assert TEAPOT in {answer.status for answer in load.answers()}
        edit_route(place, None)
        assert place.wait_outcome("v2", 120)["outcome"] == "Promoted"
        assert load.failures() == [], "nobody but the injected fault refused a request"
    told = [event["reason"] for event in place.events() if event["type"] == "Warning"]
    assert told.count("FaultInjected") == 1
    assert told.count("RoutedFromElsewhere") == 1, "the root namespace is read by the chart's Role"
