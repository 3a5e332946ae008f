"""Subsets: finding the one of a version, adding, dressing and removing it, everything else untouched."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from canaryrollout.core.decision import Operation
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.shapes import mapping, mappings, text
from canaryrollout.core.snapshot import Raw


def for_host(rules: tuple[Raw, ...], host: ServiceHost) -> list[Raw]:
    """The DestinationRules whose host is this service, by name."""
    found = [rule for rule in rules if host.matches(mapping(rule.get("spec")).get("host"), rule["metadata"]["namespace"])]
    return sorted(found, key=lambda rule: str(rule["metadata"]["name"]))


def subset_name(version: str) -> str:
    """A subset name for a version: the version itself where it is a DNS label (Istio's rule), else a readable digest."""
    label = re.sub(r"[^a-z0-9-]+", "-", version.lower()).strip("-")
    if label == version:
        return version
    return f"{label[:52]}-{hashlib.sha256(version.encode()).hexdigest()[:8]}".lstrip("-")


def subsets(rule: Raw | None) -> list[Mapping[str, Any]]:
    """The subsets of a rule; none for a rule that does not exist."""
    return mappings(mapping(mapping(rule).get("spec")).get("subsets"))


def has_subset(rule: Raw | None, name: str) -> bool:
    """Whether there is a subset of that name."""
    return any(subset.get("name") == name for subset in subsets(rule))


def find_subset(rule: Raw | None, version_label: str, version: str) -> Mapping[str, Any] | None:
    """The subset that selects a version, whatever its name (it has to have one); the one with no further labels first."""
    matching = [
        subset for subset in subsets(rule) if text(subset.get("name")) and mapping(subset.get("labels")).get(version_label) == version
    ]
    return min(matching, key=lambda subset: len(subset["labels"]), default=None)


def name_is_taken(rule: Raw | None, version_label: str, name: str, version: str) -> bool:
    """Whether the subset `name` exists and selects something else than `version`."""
    return any(s.get("name") == name and mapping(s.get("labels")).get(version_label) != version for s in subsets(rule))


def version_of(rule: Raw | None, version_label: str, name: str) -> str | None:
    """The version that a subset selects."""
    for subset in subsets(rule):
        if subset.get("name") == name:
            return text(mapping(subset.get("labels")).get(version_label)) or None
    return None


@dataclass(frozen=True, slots=True)
class SubsetTarget:
    """A subset that must exist. `policy` is its exact trafficPolicy where `manage_policy`; else it stays as found."""

    name: str
    version: str
    policy: Mapping[str, Any] | None = None
    manage_policy: bool = False
    own: bool = field(default=False, repr=False)
    """Whether the operator added it: its label is the operator's, too. No part of the digest of what is wanted (core.plan), by which
    an operator that has just been upgraded knows the work of the one before."""


def _body(target: SubsetTarget, version_label: str) -> dict[str, Any]:
    body: dict[str, Any] = {"name": target.name, "labels": {version_label: target.version}}
    if target.manage_policy and target.policy is not None:
        body["trafficPolicy"] = dict(target.policy)
    return body


def new_rule(name: str, namespace: str, host: ServiceHost, targets: tuple[SubsetTarget, ...], version_label: str) -> dict[str, Any]:
    """A DestinationRule of our own. The short host keeps it readable and is what users write."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "canaryrollout"}},
        "spec": {"host": host.name, "subsets": [_body(target, version_label) for target in targets]},
    }


def ensure_subsets(rule: Raw, targets: tuple[SubsetTarget, ...], version_label: str) -> list[Operation]:
    """Operations that add missing subsets, set managed policies and give own subsets their label back; empty when the rule is as wanted."""
    present = {text(subset.get("name")): (index, subset) for index, subset in enumerate(subsets(rule))}
    operations: list[Operation] = []
    missing: list[dict[str, Any]] = []
    for target in targets:
        if target.name not in present:
            missing.append(_body(target, version_label))
            continue
        index, subset = present[target.name]
        if target.own:
            operations += _label_operations(index, subset, target, version_label)
        if target.manage_policy:
            operations += _policy_operations(index, subset, target)
    if missing and mapping(rule.get("spec")).get("subsets") is None:
        operations.append({"op": "add", "path": "/spec/subsets", "value": missing})
    else:
        operations += [{"op": "add", "path": "/spec/subsets/-", "value": body} for body in missing]
    return _guarded(rule, operations)


def _label_operations(index: int, subset: Mapping[str, Any], target: SubsetTarget, version_label: str) -> list[Operation]:
    """What makes a subset select its version again; further labels stay."""
    labels, path = mapping(subset.get("labels")), f"/spec/subsets/{index}"
    if labels.get(version_label) == target.version:
        return []
    test: Operation = {"op": "test", "path": f"{path}/name", "value": target.name}
    return [test, {"op": "add", "path": f"{path}/labels", "value": {**labels, version_label: target.version}}]


def _policy_operations(index: int, subset: Mapping[str, Any], target: SubsetTarget) -> list[Operation]:
    path = f"/spec/subsets/{index}"
    test: Operation = {"op": "test", "path": f"{path}/name", "value": target.name}
    if target.policy is not None:
        if subset.get("trafficPolicy") == target.policy:
            return []
        return [test, {"op": "add", "path": f"{path}/trafficPolicy", "value": dict(target.policy)}]
    if "trafficPolicy" not in subset:
        return []
    return [test, {"op": "remove", "path": f"{path}/trafficPolicy"}]


def remove_subset(rule: Raw, name: str) -> list[Operation]:
    """Operations that take one subset out; empty when it is not there. An empty list goes with its last subset."""
    present = subsets(rule)
    for index, subset in enumerate(present):
        if subset.get("name") == name:
            test: Operation = {"op": "test", "path": f"/spec/subsets/{index}/name", "value": name}
            path = "/spec/subsets" if len(present) == 1 else f"/spec/subsets/{index}"
            return _guarded(rule, [test, {"op": "remove", "path": path}])
    return []


def _guarded(rule: Raw, operations: list[Operation]) -> list[Operation]:
    if not operations:
        return []
    version = rule["metadata"]["resourceVersion"]
    return [{"op": "test", "path": "/metadata/resourceVersion", "value": version}, *operations]
