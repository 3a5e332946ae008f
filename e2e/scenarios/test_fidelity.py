"""What users wrote survives byte for byte: only our destinations' weights change, and a rollback leaves nothing."""

import copy
from typing import Any

from arena import Arena

NETWORKING = "networking.istio.io/v1"


def old_and_strange(place: Arena) -> tuple[dict[str, Any], dict[str, Any]]:
    """A VirtualService and a DestinationRule with everything around the routes that a rollout moves."""
    comment = '# do not touch: owned by payments\nsee runbook, weight: 100 {"json": [1, 2]}'
    metadata = {"namespace": place.namespace, "annotations": {"note": comment}, "labels": {"team": "payments"}}
    other = {"destination": {"host": "productpage"}}
    stable: dict[str, Any] = {"destination": {"host": "reviews", "subset": "stable"}}
    service = {
        "apiVersion": NETWORKING,
        "kind": "VirtualService",
        "metadata": {**metadata, "name": "legacy-routes"},
        "spec": {
            "hosts": ["reviews"],
            "http": [
                {"name": "pinned", "match": [{"headers": {"x-tester": {"exact": "yes"}}}], "route": [copy.deepcopy(stable)]},
                {"name": "old-path", "match": [{"uri": {"prefix": "/old"}}], "redirect": {"uri": "/new"}},
                {
                    "match": [{"uri": {"regex": "/api/v[12]/.*"}, "method": {"exact": "GET"}, "queryParams": {"q": {"exact": "1"}}}],
                    "rewrite": {"uri": "/"},
                    "route": [{**copy.deepcopy(stable), "headers": {"response": {"add": {"x-served": "legacy"}}}}],
                    "timeout": "3s",
                    "retries": {"attempts": 2, "perTryTimeout": "1s", "retryOn": "connect-failure"},
                    "corsPolicy": {"allowOrigins": [{"exact": "https://shop.example"}], "allowMethods": ["GET"], "maxAge": "24h"},
                },
                {"name": "elsewhere", "match": [{"uri": {"exact": "/elsewhere"}}], "route": [other]},
                {
                    "name": "main",
                    "route": [{**copy.deepcopy(stable), "weight": 100}],
                    "mirror": {"host": "productpage"},
                    "mirrorPercentage": {"value": 0.1},
                    "headers": {"request": {"set": {"x-route": "main"}}},
                },
            ],
        },
    }
    rule = {
        "apiVersion": NETWORKING,
        "kind": "DestinationRule",
        "metadata": {**metadata, "name": "legacy-subsets"},
        "spec": {
            "host": f"reviews.{place.namespace}.svc.cluster.local",
            "trafficPolicy": {"connectionPool": {"http": {"http1MaxPendingRequests": 512}}, "loadBalancer": {"simple": "LEAST_REQUEST"}},
            "subsets": [
                {"name": "stable", "labels": {"version": "v1"}, "trafficPolicy": {"connectionPool": {"tcp": {"maxConnections": 300}}}},
                {"name": "everything", "labels": {"app": "reviews"}},
            ],
        },
    }
    return service, rule


def foreign(item: dict[str, Any]) -> dict[str, Any]:
    """An object without what the API server itself counts."""
    kept = copy.deepcopy(item)
    for field in ("resourceVersion", "generation", "managedFields"):
        kept["metadata"].pop(field, None)
    return kept


def without_destinations_of_reviews(service: dict[str, Any]) -> dict[str, Any]:
    """The VirtualService without the entries whose weights are ours."""
    kept = foreign(service)
    for route in kept["spec"]["http"]:
        if "route" in route:
            route["route"] = [entry for entry in route["route"] if entry["destination"]["host"] != "reviews"]
    return kept


def test_foreign_configuration_survives_a_rollback_and_a_promotion_byte_for_byte(place: Arena, quick: dict[str, Any]) -> None:
    service, rule = old_and_strange(place)
    place.mesh.apply(rule)
    place.mesh.apply(service)
    before_service, before_rule = place.virtual_service("legacy-routes"), place.destination_rule("legacy-subsets")
    place.rollout("v1", **quick, canaryTrafficPolicy={"outlierDetection": {"consecutive5xxErrors": 7}})
    place.wait_phase("Stable")
    assert place.virtual_service("legacy-routes") == before_service, "adopting what already pins stable writes nothing"
    assert place.destination_rule("legacy-subsets") == before_rule
    with place.mesh.load(place.namespace, rps=80) as load:
        place.release("v2", error_rate=0.7)
        place.wait_phase("Shifting", "Analysing")
        trial = place.destination_rule("legacy-subsets")["spec"]["subsets"][2]
        assert trial["trafficPolicy"] == {"outlierDetection": {"consecutive5xxErrors": 7}}
        assert place.wait_outcome("v2")["outcome"] == "RolledBack"
        assert foreign(place.virtual_service("legacy-routes")) == foreign(before_service)
        assert foreign(place.destination_rule("legacy-subsets")) == foreign(before_rule)
        place.release("v3")
        place.wait_phase("Analysing")
        moved = place.virtual_service("legacy-routes")
        assert without_destinations_of_reviews(moved) == without_destinations_of_reviews(before_service)
        retried = moved["spec"]["http"][2]["route"]
        assert [entry["headers"] for entry in retried] == [{"response": {"add": {"x-served": "legacy"}}}] * 2
        assert place.wait_outcome("v3")["outcome"] == "Promoted"
        assert load.failures() == [] or {a.version for a in load.failures()} <= {"v2", ""}
    after = place.virtual_service("legacy-routes")
    assert without_destinations_of_reviews(after) == without_destinations_of_reviews(before_service)
    assert [[e["destination"]["subset"] for e in r["route"]] for r in after["spec"]["http"] if r.get("name") in (None, "main")] == [
        ["v3"],
        ["v3"],
    ]
    subsets = place.destination_rule("legacy-subsets")["spec"]["subsets"]
    assert subsets == [*before_rule["spec"]["subsets"], {"name": "v3", "labels": {"version": "v3"}}]
    assert place.virtual_service("legacy-routes")["metadata"]["annotations"] == before_service["metadata"]["annotations"]


def test_a_foreign_edit_in_mid_step_survives(place: Arena, quick: dict[str, Any]) -> None:
    place.rollout("v1", **quick)
    place.wait_phase("Stable")
    with place.mesh.load(place.namespace, rps=80) as load:
        place.release("v2")
        place.wait_phase("Analysing")
        edited = place.virtual_service()
        edited["spec"]["http"].insert(
            0, {"name": "new", "match": [{"uri": {"prefix": "/new"}}], "route": [{"destination": {"host": "productpage"}}]}
        )
        edited["spec"]["http"][1]["timeout"] = "7s"
        path = f"/apis/{NETWORKING}/namespaces/{place.namespace}/virtualservices/reviews"
        place.mesh.request("PUT", path, edited)
        assert place.wait_outcome("v2")["outcome"] == "Promoted"
        assert load.failures() == []
    after = place.virtual_service()["spec"]["http"]
    assert [route["name"] for route in after] == ["new", "primary"]
    assert after[1]["timeout"] == "7s"
    assert place.split(route=1) == {"v2": 100}


def test_deletion_in_mid_rollout_sends_everything_back_to_stable_first(place: Arena, quick: dict[str, Any]) -> None:
    place.rollout("v1", **quick)
    place.wait_phase("Stable")
    with place.mesh.load(place.namespace, rps=40) as load:
        place.release("v2")
        place.wait_phase("Analysing")
        place.mesh.delete(place.path())
        place.wait(lambda: place.mesh.find(place.path()) is None, 60, "the object to go")
        assert place.split() == {"v1": 100}
        assert load.failures() == []


def test_another_version_in_mid_rollout_and_the_way_back_to_the_previous_one(place: Arena, quick: dict[str, Any]) -> None:
    place.rollout("v1", **quick)
    place.wait_phase("Stable")
    with place.mesh.load(place.namespace, rps=80) as load:
        place.release("v2")
        place.wait_phase("Analysing")
        place.release("v3")
        assert place.wait_outcome("v3", 240)["outcome"] == "Promoted"
        assert place.status()["history"][1]["outcome"] == "Superseded"
        place.edit(version="v1")
        entry = place.wait_outcome("v1", 60)
        assert entry["outcome"] == "Promoted"
        assert place.status()["stableVersion"] == "v1"
        assert load.failures() == []
    started = [e["note"] for e in place.events() if e["reason"] == "StepStarted" and e["note"].endswith("version v1")]
    assert len(started) == 1, "back to the previous version in one step, without analysis"
