"""Subsets and the pods behind them."""

from typing import Any

import pytest
from scene import FQDN, Scene, item, pod, routing, said, to

MATCH = [{"headers": {"x-tester": {"exact": "yes"}}}]
ALL = {"name": "all", "route": [to("v1")]}
SUBSET = "spec.http[0].route[0].destination.subset"
V3 = {"name": "v3", "labels": {"version": "v3"}}
PODS = tuple(pod(version, number) for version in ("v1", "v2") for number in (1, 2))


def subsets(*more: dict[str, Any]) -> list[dict[str, Any]]:
    return [*({"name": v, "labels": {"version": v}} for v in ("v1", "v2")), *more]


def test_a_route_to_a_subset_that_is_nowhere_is_named() -> None:
    assert said(http=[{"match": MATCH, "route": [to("v3")]}, ALL]) == [("SubsetMissing", "warning", SUBSET)]


def test_it_forbids_everything_where_the_route_takes_ordinary_requests() -> None:
    http = [{"match": MATCH, "route": [to("v1")]}, {"route": [to("v3")]}]
    assert said(http=http) == [("SubsetMissing", "error", SUBSET.replace("http[0]", "http[1]"))]


def test_a_destination_without_weight_is_a_warning() -> None:
    assert said(http=[{"route": [to("v1", 100), to("v3", 0)]}]) == [("SubsetMissing", "warning", SUBSET.replace("route[0]", "route[1]"))]


def test_the_rollout_s_own_subsets_are_brought_by_itself() -> None:
    http = [{"route": [to("v1", 95), to("v2", 5)]}]
    assert said(subsets=[], http=http) == []


def test_other_virtual_services_of_the_namespace_are_looked_at_too() -> None:
    other = item("VirtualService", "other", hosts=["other"], http=[{"match": MATCH, "route": [to("v3")]}])
    found = Scene(mesh=[other], spec={"virtualService": {"name": "reviews"}}).findings()
    assert [(f.code, f.severity.value, f.subject) for f in found] == [("SubsetMissing", "warning", "VirtualService/shop/other")]


def test_those_of_other_namespaces_never_hold_a_rollout() -> None:
    other = item("VirtualService", "edge", "edge", hosts=["edge"], http=[{"route": [to("v3", host=FQDN)]}])
    assert said(others=[other]) == [("SubsetMissing", "warning", SUBSET)]


@pytest.mark.parametrize(
    ("route", "severity"), [({"route": [to("v3")]}, "error"), ({"match": MATCH, "route": [to("v3")]}, "warning"), (None, "info")]
)
def test_a_subset_without_pods_weighs_as_much_as_the_requests_it_gets(route: dict[str, Any] | None, severity: str) -> None:
    http = [
        {"match": [{"uri": {"prefix": "/a"}}], "route": [to("v1")]},
        *([route] if route else []),
        *([] if severity == "error" else [ALL]),
    ]
    assert said(http=http, subsets=subsets(V3)) == [("SubsetWithoutPods", severity, "spec.subsets[2]")]


def test_a_subset_whose_pods_are_not_ready_is_as_bad() -> None:
    found = Scene(http=[{"route": [to("v3")]}], subsets=subsets(V3), pods=(*PODS, pod("v3", ready=False))).findings()
    assert [(f.code, f.severity.value) for f in found] == [("SubsetWithoutPods", "error")]
    assert "has no ready pod" in found[0].message


def test_a_subset_with_ready_pods_is_in_order() -> None:
    assert said(http=[{"route": [to("v3")]}], subsets=subsets(V3), pods=(*PODS, pod("v3"))) == []


def test_all_labels_of_a_subset_count() -> None:
    track = {"name": "track", "labels": {"version": "v1", "track": "fast"}}
    http = [{"match": MATCH, "route": [to("track")]}, ALL]
    assert said(http=http, subsets=subsets(track)) == [("SubsetWithoutPods", "warning", "spec.subsets[2]")]
    assert said(http=http, subsets=subsets(track), pods=(*PODS, pod("v1", 3, track="fast"))) == []


def test_the_rollout_s_own_pods_are_watched_elsewhere() -> None:
    assert said(pods=(pod("v1"), pod("v2", ready=False), pod("v2", 2, ready=False))) == []


@pytest.mark.parametrize(
    ("mirroring", "path"),
    [
        ({"mirror": {"host": "reviews", "subset": "v3"}}, "spec.http[0].mirror.subset"),
        ({"mirrors": [{"destination": {"host": FQDN, "subset": "v3"}}]}, "spec.http[0].mirrors[0].destination.subset"),
    ],
)
def test_a_mirror_to_a_subset_that_is_nowhere_is_named(mirroring: dict[str, Any], path: str) -> None:
    assert said(http=[{**ALL, **mirroring}]) == [("SubsetMissing", "warning", path)]
    assert said(http=[{**ALL, "mirror": {"host": "ratings", "subset": "v3"}}]) == []


def test_two_subsets_of_one_name_are_named() -> None:
    assert said(subsets=subsets({"name": "v2", "labels": {"version": "v2"}})) == [("DuplicateSubset", "warning", "spec.subsets")]


def test_pods_without_a_version_are_named() -> None:
    (finding,) = Scene(pods=(*PODS, pod(""))).findings()
    assert (finding.code, finding.severity.value) == ("VersionLabelMissing", "warning")
    assert "1 of 5 pods" in finding.message
    assert "reviews-none-1" in finding.message


def test_the_label_is_the_one_that_the_spec_names() -> None:
    labelled = tuple(pod("", n, release=release) for n, release in enumerate(("a", "a", "b", "b")))
    codes = [code for code, _, _ in said(pods=labelled, spec={"versionLabel": "release"}, routing=None, subsets=[])]
    assert "VersionLabelMissing" not in codes


def test_a_single_canary_pod_is_named() -> None:
    assert said(pods=PODS[:3]) == [("SingleCanaryPod", "warning", "")]


def test_without_a_look_at_the_pods_nothing_is_said_of_them_and_that_is_said() -> None:
    scene = Scene(pods=None, http=[{"route": [to("v3")]}], subsets=subsets(V3))
    assert scene.findings() == ()
    assert {line.split(":")[0] for line in scene.skipped()} >= {"SubsetWithoutPods", "SingleCanaryPod", "VersionLabelMissing"}


def test_the_subsets_that_count_are_those_of_the_routing() -> None:
    assert said(routing=routing(stable_subset="v3", canary_subset="v2"), http=[{"route": [to("v3")]}]) == []
