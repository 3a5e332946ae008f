"""The subsets that routes name, and the pods behind them."""

from collections.abc import Iterator, Mapping
from typing import Any

from canaryrollout.core import destination_rules as dr
from canaryrollout.core import virtual_services as vs
from canaryrollout.core.findings import Finding, Severity
from canaryrollout.core.preflight.inputs import subject_of
from canaryrollout.core.preflight.kinds import Check, Kind
from canaryrollout.core.preflight.view import POD, Route, View, listed, selects
from canaryrollout.core.shapes import mapping, mappings, text
from canaryrollout.core.snapshot import Raw

MISSING = Kind(
    "SubsetMissing",
    Severity.ERROR,
    "a route names a subset that no DestinationRule of the Service has: its requests are answered 503 (NC). A warning where the route "
    "has a match of its own or belongs to another namespace, or where the weight is 0",
    "add the subset to the DestinationRule, or take the destination out of the route",
    analyze=("IST0101",),
)
EMPTY = Kind(
    "SubsetWithoutPods",
    Severity.ERROR,
    "a route sends requests to a subset that selects no pod, or none that is ready: they are answered 503 (UH). A warning where the route "
    "has a match of its own; only information where no route uses the subset",
    "bring the pods back, correct the subset's labels, or take the destination out of the route",
    analyze=("IST0173",),
)
REPEATED = Kind(
    "DuplicateSubset",
    Severity.WARNING,
    "two subsets of the DestinationRule have one name: Istio uses the first and drops the other",
    "rename one of them",
)
UNLABELLED = Kind(
    "VersionLabelMissing",
    Severity.WARNING,
    "pods of the Service carry no version label: they belong to no version and get no requests through a subset",
    "label the pods' template with a version, or set spec.versionLabel to the label that they have",
)
SINGLE = Kind(
    "SingleCanaryPod",
    Severity.WARNING,
    "the canary has one pod: when it ends, the canary's whole share of the requests fails until the rollback",
    "run at least two pods of the new version",
)


def subsets_exist(view: View) -> Iterator[Finding]:
    """Every subset that a route names. Those of stable and the canary are brought by the rollout."""
    known = {str(subset.get("name")) for subset in dr.subsets(view.rule)} | view.own_subsets
    for route in (*view.every_route, *view.foreign_routes):
        own = route.service["metadata"].get("namespace") == view.namespace
        for position, entry in route.ours:
            name = vs.subset_of(entry)
            if name and name not in known:
                grave = own and route.ordinary and route.weight(entry) > 0
                said = f"{route.named} names subset {name!r}, which the DestinationRule of {view.host.fqdn} does not have"
                path = f"{route.path}.route[{position}].destination.subset"
                yield MISSING.found(said, route.subject, path, severity=Severity.ERROR if grave else Severity.WARNING)
    for service in view.given.snapshot.mesh.virtual_services:
        for path, destination in _mirrors(service):
            name = str(destination.get("subset") or "")
            if name and name not in known and view.host.matches(str(destination.get("host") or ""), view.namespace):
                said = f"a mirror names subset {name!r}, which the DestinationRule of {view.host.fqdn} does not have"
                yield MISSING.found(said, subject_of(service), path, severity=Severity.WARNING)


def _mirrors(service: Raw) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for index, route in enumerate(vs.http_routes(service)):
        if mapping(route.get("mirror")):
            yield f"spec.http[{index}].mirror.subset", route["mirror"]
        for position, mirror in enumerate(mappings(route.get("mirrors"))):
            yield f"spec.http[{index}].mirrors[{position}].destination.subset", mapping(mirror.get("destination"))


def subsets_select_pods(view: View) -> Iterator[Finding]:
    """Every subset but those of the rollout itself, whose pods are watched all the time."""
    for index, subset in enumerate(dr.subsets(view.rule)):
        name = str(subset.get("name"))
        selected = [pod for pod in view.pods if selects(subset.get("labels"), pod.labels)]
        if name in view.own_subsets or any(pod.ready for pod in selected):
            continue
        lack = "has no ready pod" if selected else "selects no pod"
        path = f"spec.subsets[{index}]"
        using = _using(view, name)
        if using is not None:
            said = f"subset {name!r} {lack}, and {using.named} of {using.subject} sends requests to it"
            yield EMPTY.found(said, view.rule_subject, path, severity=Severity.ERROR if using.ordinary else Severity.WARNING)
        elif not selected:
            fix = "remove the subset if it is no longer needed"
            yield EMPTY.found(f"subset {name!r} {lack}; no route uses it", view.rule_subject, path, fix=fix, severity=Severity.INFO)


def _using(view: View, name: str) -> Route | None:
    """A route that sends requests to the subset, an ordinary one before others."""
    found = [r for r in view.every_route if any(vs.subset_of(e) == name and r.weight(e) > 0 for _, e in r.ours)]
    return min(found, key=lambda route: not route.ordinary, default=None)


def subset_names_are_unique(view: View) -> Iterator[Finding]:
    """Istio keeps the first of a name."""
    names = [name for subset in dr.subsets(view.rule) if (name := text(subset.get("name")))]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield REPEATED.found(f"{names.count(name)} subsets are named {name!r}", view.rule_subject, "spec.subsets")


def pods_carry_a_version(view: View) -> Iterator[Finding]:
    """Pods that the Service selects without a version."""
    label = view.spec.version_label
    without = [pod.name for pod in view.pods if not pod.labels.get(label)]
    if without:
        said = f"{len(without)} of {len(view.pods)} pods of Service {view.host.name!r} have no label {label!r} ({listed(without, 3)})"
        yield UNLABELLED.found(said, view.service_subject, "spec.selector")


def canary_has_a_second_pod(view: View) -> Iterator[Finding]:
    """One pod is no spare."""
    pods = view.given.snapshot.versions.get(view.spec.version)
    if pods is not None and pods.total == 1:
        yield SINGLE.found(f"version {view.spec.version} has a single pod", view.service_subject)


CHECKS = (
    Check(subsets_exist, (MISSING,)),
    Check(subsets_select_pods, (EMPTY,), needs=(POD,)),
    Check(subset_names_are_unique, (REPEATED,)),
    Check(pods_carry_a_version, (UNLABELLED,), needs=(POD,)),
    Check(canary_has_a_second_pod, (SINGLE,), needs=(POD,)),
)
