"""Storms of conflicts: somebody edits the same objects twenty times a second. Nothing of his is lost, and the rollout ends as it should."""

import json
import re
import urllib.request
from typing import Any

import pytest
from arena import ISTIO, Arena, seconds
from storm import Field, Fuzzer, Object, annotation, assert_no_edit_was_lost, label, recorded, storm

NETWORKING = "networking.istio.io/v1"


def objects(namespace: str) -> tuple[Object, Object]:
    """A VirtualService with a route of the service and one of others, and a DestinationRule."""
    service = {
        "apiVersion": NETWORKING,
        "kind": "VirtualService",
        "metadata": {"name": "reviews", "namespace": namespace},
        "spec": {
            "hosts": ["reviews"],
            "http": [
                {
                    "name": "others",
                    "match": [{"uri": {"prefix": "/others"}}],
                    "route": [
                        {"destination": {"host": "productpage"}, "weight": 50},
                        {"destination": {"host": "ingressgateway"}, "weight": 50},
                    ],
                },
                {"name": "main", "timeout": "10s", "route": [{"destination": {"host": "reviews", "subset": "v1"}, "weight": 100}]},
            ],
        },
    }
    rule = {
        "apiVersion": NETWORKING,
        "kind": "DestinationRule",
        "metadata": {"name": "reviews", "namespace": namespace},
        "spec": {"host": "reviews", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]},
    }
    return service, rule


def route(item: Object, name: str) -> Object:
    """A route of a VirtualService by its name."""
    return next(found for found in item["spec"]["http"] if found["name"] == name)


def fields_of_the_virtual_service(path: str) -> list[Field]:
    """An annotation, the timeout of our own route, a header of another one and the weights of other services."""

    def timeout(item: Object, value: str) -> None:
        route(item, "main")["timeout"] = value

    def header(item: Object, value: Object) -> None:
        route(item, "others")["headers"] = value

    def weights(item: Object, value: int) -> None:
        for entry, weight in zip(route(item, "others")["route"], (value, 100 - value), strict=True):
            entry["weight"] = weight

    return [
        annotation(path, "fuzz.example/note"),
        Field(path, lambda n: f"{10_000 + n}ms", lambda item: route(item, "main")["timeout"], change=timeout),
        Field(path, lambda n: {"request": {"set": {"x-edit": str(n)}}}, lambda item: route(item, "others").get("headers"), change=header),
        Field(path, lambda n: 1 + n % 99, lambda item: route(item, "others")["route"][0]["weight"], change=weights),
    ]


def fields_of_the_destination_rule(path: str) -> list[Field]:
    """A label and the service's connection pool."""
    return [
        label(path, "edit"),
        Field(
            path,
            value=lambda number: 1000 + number,
            read=lambda item: item["spec"].get("trafficPolicy", {}).get("connectionPool", {}).get("http", {}).get("maxRetries"),
            merge=lambda value: {"spec": {"trafficPolicy": {"connectionPool": {"http": {"maxRetries": value}}}}},
        ),
    ]


def conflicts(place: Arena) -> tuple[int, int]:
    """How many of the operator's writes met an edit: (written again at once, left to the next pass)."""
    said = [json.loads(line).get("event") for line in place.operator.log.read_text().splitlines() if line.startswith("{")]
    return said.count("written again after a conflict"), said.count("changed by somebody else in this pass")


def passes(place: Arena) -> str:
    """How many passes the operator made, and how long one took."""
    port = place.operator.command[place.operator.command.index("--server-metrics-port") + 1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        found = re.findall(r"canaryrollout_reconcile_time_seconds_(count|sum) (\S+)", answer.read().decode())
    figures = {name: float(value) for name, value in found}
    return f"{figures['count']:.0f} passes of {1000 * figures['sum'] / figures['count']:.0f} ms"


@pytest.mark.alone  # edits in such numbers delay istiod's pushes for everybody
@pytest.mark.parametrize(("faults", "outcome"), [({}, "Promoted"), ({"error_rate": 0.7}, "RolledBack")], ids=["good", "bad"])
def test_a_rollout_ends_as_it_should_while_all_its_objects_are_edited_twenty_times_a_second(
    place: Arena, busy: dict[str, Any], faults: dict[str, Any], outcome: str
) -> None:
    mesh, own = place.mesh, "" if outcome == "Promoted" else "v2"
    for item in objects(place.namespace):
        mesh.apply(item)
    place.rollout("v1", **busy)
    place.wait_phase("Stable")
    services, rules = (f"{ISTIO}/namespaces/{place.namespace}/{plural}" for plural in ("virtualservices", "destinationrules"))
    fuzzers = [
        Fuzzer(mesh, fields_of_the_virtual_service(f"{services}/reviews")),
        Fuzzer(mesh, fields_of_the_destination_rule(f"{rules}/reviews")),
        Fuzzer(mesh, [annotation(place.path(), "fuzz.example/note"), label(place.path(), "edit")]),
    ]
    place.deploy("v2", **faults)
    with (
        recorded(mesh, services) as of_services,
        recorded(mesh, rules) as of_rules,
        recorded(mesh, place.path().rpartition("/")[0]) as of_rollouts,
        mesh.load(place.namespace, rps=100, connection_churn=10) as load,
    ):
        with storm(*fuzzers):
            place.edit(version="v2")
            entry = place.wait_outcome("v2", 140)
            assert all(fuzzer.running for fuzzer in fuzzers), "the storm must not have ended before the rollout"
        assert entry["outcome"] == outcome
        for record, fuzzer in zip((of_services, of_rules, of_rollouts), fuzzers, strict=True):
            assert_no_edit_was_lost(record, fuzzer, mesh)
        for item in of_services.revisions("reviews"):
            weights = [entry.get("weight", 0) for entry in route(item, "main")["route"]]
            assert len(weights) == 1 or sum(weights) == 100, weights
        failures = [answer for answer in load.failures() if (answer.status, answer.version) != (500, own)]
    again, later = conflicts(place)
    edits, lost = sum(fuzzer.edits for fuzzer in fuzzers), sum(fuzzer.conflicts for fuzzer in fuzzers)
    took = seconds(entry["endedAt"]) - seconds(entry["startedAt"])
    told = (
        f"{outcome} in {took:.0f} s under {edits} edits in {fuzzers[0].seconds:.0f} s ({lost} refused); the operator's writes met "
        f"{again} of them and wrote again at once, {later} of {passes(place)} were given up; "
        f"{len(load.answers())} requests, {len(failures)} failed"
    )
    print(told)
    assert failures == [], told
    assert again > 0, told
    assert place.split(route=1) == {"v2" if outcome == "Promoted" else "v1": 100}
