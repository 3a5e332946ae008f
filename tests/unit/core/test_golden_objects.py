"""The Istio objects at every stage of a rollout, compared with files under tests/unit/golden (GOLDEN=write writes them anew)."""

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from canaryrollout.api.status import Phase
from world import World, destination, virtual_service

GOLDEN = Path(__file__).parents[1] / "golden"

POLICIES: dict[str, dict[str, Any]] = {
    "connection-pool": {"connectionPool": {"tcp": {"maxConnections": 10}, "http": {"http1MaxPendingRequests": 1}}},
    "outlier-detection": {"outlierDetection": {"consecutive5xxErrors": 3, "interval": "5s", "maxEjectionPercent": 100}},
    "load-balancer": {"loadBalancer": {"simple": "LEAST_REQUEST", "warmup": {"duration": "30s"}}},
    "consistent-hash": {"loadBalancer": {"consistentHash": {"httpCookie": {"name": "user", "ttl": "0s"}, "maglev": {"tableSize": 65537}}}},
}


def compare(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{path} differs; look at the difference before GOLDEN=write"


class Named(World):
    """A world whose subsets need not be called like their versions, and whose first route need not be one that moves."""

    def served(self) -> dict[str, int]:
        split = self.split(route=len(self.objects["VirtualService", "reviews"]["spec"]["http"]) - 1)
        subsets = {subset["name"]: subset["labels"]["version"] for subset in self.objects["DestinationRule", "reviews"]["spec"]["subsets"]}
        return {subsets[name]: weight for name, weight in split.items()}


def recorded(world: World, stages: dict[str, Callable[[World], object]]) -> str:
    """The objects after each stage, as YAML documents in which the order of keys is that of the objects."""
    parts = []
    for stage, reach in stages.items():
        reach(world)
        for (kind, name), item in sorted(world.objects.items()):
            spec = yaml.safe_dump(item["spec"], sort_keys=False, width=110)
            parts.append(f"# {stage}: {kind} {name}\n{spec}")
    return "---\n".join(parts)


def at(weight: int) -> Callable[[World], object]:
    return lambda world: world.run(until=lambda w: w.phase is Phase.ANALYSING and w.parsed.weight == weight)


def rolled_back(world: World) -> None:
    world.error_rate = {"v2": 0.5}
    world.run_to(Phase.ROLLED_BACK)


def promoted(world: World) -> None:
    world.run(until=lambda w: w.parsed.stable_version == "v2")


def rich_rule() -> dict[str, Any]:
    """A DestinationRule with something in every place that a rollout must leave alone."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "reviews", "namespace": "shop", "resourceVersion": "1"},
        "spec": {
            "host": "reviews",
            "trafficPolicy": {
                "tls": {"mode": "ISTIO_MUTUAL"},
                "portLevelSettings": [{"port": {"number": 80}, "connectionPool": {"http": {"http2MaxRequests": 100}}}],
            },
            "exportTo": ["."],
            "subsets": [
                {
                    "labels": {"version": "v1", "tier": "gold"},
                    "name": "stable",
                    "trafficPolicy": {
                        "tls": {"mode": "SIMPLE", "sni": "reviews.internal"},
                        "portLevelSettings": [{"port": {"number": 80}, "loadBalancer": {"simple": "RANDOM"}}],
                        "connectionPool": {"tcp": {"maxConnections": 512}},
                    },
                },
                {"name": "next", "labels": {"version": "v2"}, "trafficPolicy": {"outlierDetection": {"consecutive5xxErrors": 9}}},
            ],
        },
    }


@pytest.mark.parametrize("name", POLICIES)
def test_the_canarys_policy_is_on_its_subset_while_on_trial_and_at_no_other_time(name: str) -> None:
    rule = rich_rule()
    world = Named().add(copy.deepcopy(rule), virtual_service([{"route": [destination("stable")]}]))
    world.spec["canaryTrafficPolicy"] = POLICIES[name]
    stages = {
        "adopted": lambda w: w.run_to(Phase.STABLE),
        "on trial": lambda w: at(5)(w.release("v2")),
        "rolled back": rolled_back,
    }
    text = recorded(world, stages)
    compare(f"canary-policy-{name}", text)
    assert world.objects["DestinationRule", "reviews"]["spec"] == rule["spec"]


@pytest.mark.parametrize("policy", [None, POLICIES["outlier-detection"]])
def test_objects_of_the_operators_own(policy: dict[str, Any] | None) -> None:
    world = World()
    if policy is not None:
        world.spec["canaryTrafficPolicy"] = policy
    stages = {
        "adopted": lambda w: w.run_to(Phase.STABLE),
        "5 %": lambda w: at(5)(w.release("v2")),
        "100 %": at(100),
        "promoted": promoted,
    }
    compare("created-with-policy" if policy is not None else "created", recorded(world, stages))


def test_routes_of_every_sort_side_by_side() -> None:
    testers = [{"headers": {"x-tester": {"exact": "1"}}}]
    routes = [
        {"name": "testers", "match": testers, "route": [destination("next")]},
        {"name": "old", "match": [{"uri": {"prefix": "/old"}}], "redirect": {"uri": "/new"}},
        {
            "timeout": "3s",
            "name": "shared",
            "match": [{"uri": {"prefix": "/shared"}}],
            "route": [{"weight": 40, "destination": {"host": "legacy"}}, {**destination("stable", 60), "headers": {"request": {}}}],
        },
        {"name": "third", "match": [{"uri": {"prefix": "/third"}}], "route": [destination("v3")]},
        {"name": "plain", "match": [{"uri": {"prefix": "/plain"}}], "route": [{"destination": {"host": "reviews"}}], "retries": {}},
        {"name": "rest", "route": [destination("stable", 100), destination("next", 0)]},
    ]
    rule = rich_rule()
    rule["spec"]["subsets"].append({"name": "v3", "labels": {"version": "v3"}})
    world = Named(spec={"service": "reviews", "version": "v1", "stableVersion": "v1"}).add(virtual_service(routes), rule)
    stages = {
        "adopted": lambda w: w.run_to(Phase.STABLE),
        "25 %": lambda w: at(25)(w.release("v2")),
        "promoted": promoted,
    }
    compare("routes-side-by-side", recorded(world, stages))
