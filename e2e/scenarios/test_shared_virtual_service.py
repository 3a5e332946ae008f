"""Two services in one VirtualService, each with a CanaryRollout of its own, rolled out at the same time."""

import contextlib
from collections import Counter
from typing import Any

from arena import ISTIO, Arena
from localmesh import sample
from storm import Object, recorded

NETWORKING = "networking.istio.io/v1"
SERVICES = ("reviews", "ratings")
SHARES = {"reviews": 60, "ratings": 40}
"""Of the route that both have."""


def shared(namespace: str) -> Object:
    """A VirtualService at the gateway: a path for each service, and one that both share."""

    def to(service: str, weight: int) -> Object:
        return {"destination": {"host": service, "port": {"number": sample.PORT}}, "weight": weight}

    return {
        "apiVersion": NETWORKING,
        "kind": "VirtualService",
        "metadata": {"name": "shop", "namespace": namespace},
        "spec": {
            "hosts": [sample.HOST],
            "gateways": ["ingressgateway"],
            "http": [
                {"name": "both", "match": [{"uri": {"prefix": "/both"}}], "route": [to(name, SHARES[name]) for name in SERVICES]},
                *({"name": name, "match": [{"uri": {"prefix": f"/{name}"}}], "route": [to(name, 100)]} for name in SERVICES),
                {"name": "page", "route": [to("productpage", 100)]},
            ],
        },
    }


def deploy_ratings(place: Arena, version: str) -> None:
    """A version of ratings, and its Service."""
    service, workload = sample.service(place.namespace, "ratings"), sample.workload(place.namespace, "ratings", version)
    place.mesh.apply(service, workload)


def assert_sound(revision: Object) -> None:
    """Every route's weights sum to 100, and each service keeps its share of the one that both have."""
    for route in revision["spec"]["http"]:
        weights = Counter[str]()
        for entry in route["route"]:
            weights[entry["destination"]["host"]] += entry.get("weight", 0)
        wanted = SHARES if route["name"] == "both" else {route["name"].replace("page", "productpage"): 100}
        assert weights == wanted, (route["name"], route["route"])


def assert_promoted_alike(revision: Object) -> None:
    """Each service's destinations are of version v2 now, whatever route."""
    for route in revision["spec"]["http"]:
        for entry in route["route"]:
            if entry["destination"]["host"] in SERVICES:
                assert entry["destination"]["subset"] == "v2", route


def test_two_services_of_one_virtual_service_are_rolled_out_at_once(place: Arena, busy: dict[str, Any]) -> None:
    mesh = place.mesh
    collection = f"{ISTIO}/namespaces/{place.namespace}/virtualservices"
    mesh.delete(f"{collection}/ingressgateway-productpage")
    mesh.apply(shared(place.namespace))
    deploy_ratings(place, "v1")
    mesh.wait_ready(place.namespace)
    for name in SERVICES:
        place.rollout("v1", name=name, **{**busy, "service": name, "virtualService": {"name": "shop"}})
    for name in SERVICES:
        place.wait_phase("Stable", name=name)
    place.deploy("v2", ready=False)
    deploy_ratings(place, "v2")
    mesh.wait_ready(place.namespace)
    with recorded(mesh, collection) as record, contextlib.ExitStack() as running:
        loads = [
            running.enter_context(mesh.load(place.namespace, rps=50, path=path, version_header=f"x-{header}-version", connection_churn=10))
            for path, header in (("/reviews", "reviews"), ("/ratings", "ratings"), ("/both", "reviews"))
        ]
        for name in SERVICES:
            place.edit(name=name, version="v2")
        for name in SERVICES:
            place.wait(lambda name=name: place.status(name).get("history"), 180, f"the end of the rollout of {name}")
        ended = {name: place.status(name)["history"][0] for name in SERVICES}
        assert {name: entry["outcome"] for name, entry in ended.items()} == dict.fromkeys(SERVICES, "Promoted"), ended
        final = place.virtual_service("shop")
        mesh.wait(lambda: record.caught_up(final), 10, "the watch to catch up")
        revisions = record.revisions("shop")
        answers = [answer for load in loads for answer in load.answers()]
    for revision in revisions:
        assert_sound(revision)
    assert_promoted_alike(final)
    assert len(revisions) >= 7, "at least 25 %, 100 % and the clean-up of two services"
    spans = sorted((entry["startedAt"], entry["endedAt"]) for entry in ended.values())
    assert spans[1][0] < spans[0][1], "both were under way at the same time"
    print(f"{len(answers)} requests, {len(revisions)} revisions")
    assert [answer for answer in answers if answer.failed] == [], Counter((a.status, a.version) for a in answers)
