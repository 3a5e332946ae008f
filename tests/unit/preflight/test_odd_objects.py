"""Objects of any shape: older than Istio's definitions, or with fields that those do not describe. Preflight never raises."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from canaryrollout.api.status import CanaryRolloutStatus, Phase
from canaryrollout.core.findings import Finding, Severity
from canaryrollout.core.machine import MachineSettings, decide
from canaryrollout.core.preflight import chain
from canaryrollout.core.preflight.chain import CHECKS, examine, skipped
from canaryrollout.core.preflight.inputs import Input
from canaryrollout.core.preflight.kinds import Check
from canaryrollout.core.preflight.view import View
from canaryrollout.core.snapshot import MeshObjects
from canaryrollout.core.surroundings import Cluster
from hypothesis import given, settings
from hypothesis import strategies as st
from scene import FQDN, NAMESPACE, Scene, item, routing, to

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-200, 200)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "*", "v1", "reviews", "mesh", "5s"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["host", "subset", "mode", "name", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)

ROUTE: dict[str, Any] = {
    "name": "all",
    "match": [
        {
            "uri": {"prefix": "/a"},
            "headers": {"x": {"exact": "y"}},
            "method": {"exact": "GET"},
            "gateways": ["mesh"],
            "ignoreUriCase": True,
        },
        {"withoutHeaders": {"z": {"regex": ".*"}}, "sourceLabels": {"app": "web"}, "queryParams": {"q": {"exact": "1"}}, "port": 80},
    ],
    "timeout": "3s",
    "retries": {"attempts": 3, "perTryTimeout": "2s", "retryOn": "5xx"},
    "fault": {"delay": {"percentage": {"value": 0}, "fixedDelay": "1s"}, "abort": {"percent": 0}},
    "mirror": {"host": "reviews", "subset": "v1"},
    "mirrors": [{"destination": {"host": "reviews", "subset": "v2"}, "percentage": {"value": 5}}],
    "route": [to("v1", 90, port={"number": 80}), to("", 10, host="ratings")],
}
POLICY: dict[str, Any] = {
    "tls": {"mode": "ISTIO_MUTUAL"},
    "outlierDetection": {"maxEjectionPercent": 50},
    "portLevelSettings": [{"port": {"number": 80}, "tls": {"mode": "ISTIO_MUTUAL"}}],
}
OBJECTS: list[dict[str, Any]] = [
    item(
        "VirtualService",
        "reviews",
        hosts=["reviews"],
        gateways=["mesh", "edge/public"],
        exportTo=["*"],
        http=[ROUTE, {"route": [to("v1")]}],
    ),
    item("DestinationRule", "reviews", host="reviews", exportTo=["*"], trafficPolicy=POLICY)
    | {
        "spec": {"host": "reviews", "trafficPolicy": POLICY, "subsets": [{"name": v, "labels": {"version": v}} for v in ("v1", "v2", "v3")]}
    },
    item(
        "VirtualService",
        "beside",
        hosts=["ratings"],
        http=[{"delegate": {"name": "reviews", "namespace": NAMESPACE}}],
        tcp=[{"route": [to()]}],
    ),
    item("VirtualService", "edge", "edge", hosts=[FQDN, "*.local"], gateways=["mesh"], http=[{"route": [to("v1", host=FQDN)]}]),
    item("DestinationRule", "edge", "edge", host="*.local", subsets=[{"name": "v1", "labels": {}}]),
    item("DestinationRule", "root", "istio-system", host="*.local", exportTo=["*"], trafficPolicy={"tls": {}}),
    item("Gateway", "public", "edge", selector={"istio": "edge"}, servers=[{"hosts": ["*/*"], "port": {"number": 80}}]),
    item("EnvoyFilter", "limit", configPatches=[{"patch": {"value": {"name": "x"}}}], workloadSelector={"labels": {"app": "web"}}),
    item("PeerAuthentication", "strict", mtls={"mode": "STRICT"}, selector={"matchLabels": {"app": "reviews"}}),
    item("ServiceEntry", "api", "edge", hosts=["api.example.com"], exportTo=["."]),
    item("Sidecar", "default", egress=[{"hosts": ["./*"]}]),
    item("Service", "reviews", selector={"app": "reviews"}, ports=[{"port": 80}, {"port": 81}]),
    item("Service", "ratings", "edge", ports=[{"port": 80}]),
]
MESH_CONFIG: dict[str, Any] = {"outboundTrafficPolicy": {"mode": "ALLOW_ANY"}, "enableAutoMtls": True}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place below a value."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, found in inner:
        yield from places(found, (*path, key))


PLACES = [(index, ("spec", *path)) for index, found in enumerate(OBJECTS) for path in ((), *places(found["spec"]))]


@st.composite
def odd_objects(draw: st.DrawFn) -> list[dict[str, Any]]:
    """The objects with something else in up to three places."""
    objects = copy.deepcopy(OBJECTS)
    for index, path in draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=3)):
        node: Any = objects[index]
        try:
            for key in path[:-1]:
                node = node[key]
            node[path[-1]] = draw(JSON)
        except (KeyError, IndexError, TypeError):
            continue  # gone with what was above it
    return objects


def seen(objects: list[dict[str, Any]], **spec: Any) -> Input:
    """As preflight gets them."""
    of: dict[str, list[Any]] = {}
    for found in objects:
        of.setdefault(found["kind"], []).append(found)
    plain = Scene(spec=spec).given()
    own = {kind: tuple(o for o in of[kind] if o["metadata"]["namespace"] == NAMESPACE) for kind in ("VirtualService", "DestinationRule")}
    snapshot = replace(
        plain.snapshot,
        mesh=MeshObjects(own["VirtualService"], own["DestinationRule"]),
        service=next(o for o in of["Service"] if o["metadata"]["name"] == "reviews"),
        surroundings=Cluster(of, mesh_config=MESH_CONFIG).around(NAMESPACE),
    )
    return Input(snapshot, plain.spec, plain.host, plain.recorded)


def codes(findings: tuple[Finding, ...]) -> set[str]:
    return {finding.code for finding in findings}


def test_the_objects_themselves_are_read_whole() -> None:
    assert "CheckFailed" not in codes(examine(seen(OBJECTS)))
    assert {"DestinationRuleElsewhere", "RetriesRepeatWrites"} <= codes(examine(seen(OBJECTS, virtualService={"name": "reviews"})))


@settings(max_examples=300)
@given(odd_objects(), st.sampled_from([routing(), None]))
def test_no_check_raises_whatever_the_objects_look_like(objects: list[dict[str, Any]], recorded: Any) -> None:
    looked_at = replace(seen(objects), recorded=recorded)
    found = examine(looked_at)
    skipped(looked_at)
    assert [finding.message for finding in found if finding.code == "CheckFailed"] == []


@settings(max_examples=150)
@given(odd_objects(), st.sampled_from([Phase.PENDING, Phase.STABLE, Phase.ADOPTING, Phase.PREPARING, Phase.SHIFTING, Phase.ROLLING_BACK]))
def test_the_machine_decides_whatever_the_objects_look_like(objects: list[dict[str, Any]], phase: Phase) -> None:
    looked_at = seen(objects)
    rollout = None if phase in (Phase.PENDING, Phase.STABLE) else {"version": "v2", "stable": "v1", "startedAt": 0.0, "phaseSince": 0.0}
    known = (
        {}
        if phase is Phase.PENDING
        else {"routing": routing(routes=[{"key": "name:all", "why": "Stable"}]).model_dump(by_alias=True), "stableVersion": "v1"}
    )
    status = CanaryRolloutStatus.model_validate({"phase": phase.value, "rollout": rollout, **known})
    decide(looked_at.spec, status, looked_at.snapshot, MachineSettings())


def test_a_check_that_raises_is_a_finding_about_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: View) -> list[Finding]:
        raise KeyError("name")

    monkeypatch.setattr(chain, "CHECKS", (Check(broken, CHECKS[0].kinds), *CHECKS))
    (finding,) = examine(Scene().given())
    assert (finding.code, finding.severity, finding.subject) == ("CheckFailed", Severity.WARNING, "CanaryRollout/shop/reviews")
    assert finding.message == "check broken failed (KeyError: 'name'), so that FaultInjected could not be looked for"


def test_nothing_rests_on_a_structure_that_could_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Input) -> None:
        raise TypeError("odd")

    monkeypatch.setattr(chain, "STRUCTURE", (broken,))
    (finding,) = examine(Scene().given())
    assert (finding.code, finding.severity) == ("CheckFailed", Severity.ERROR)
    assert "check broken failed (TypeError: odd)" in finding.message


def test_a_subset_whose_version_is_no_text_selects_no_version() -> None:
    objects = copy.deepcopy(OBJECTS)
    objects[1]["spec"]["subsets"][0]["labels"] = {"version": ["v1"]}
    looked_at = seen(objects)
    decided = decide(looked_at.spec, CanaryRolloutStatus(), looked_at.snapshot, MachineSettings())
    assert "SubsetNotFound" in {condition.reason for condition in decided.status.conditions}
