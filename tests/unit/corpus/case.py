"""The corpus: VirtualServices and DestinationRules as companies accumulate them, one file per case.

The first document of a file says what is to be released and what the operator is expected to do, the others are the objects:

    case: what is peculiar about it, one line
    service: the Service in namespace `shop`
    stable, canary: versions (default v1 and v2)
    stableSubset, canarySubset: names of their subsets, where these are not those of the first subset with that label (or the version)
    spec: further fields of the CanaryRollout
    moves: the HTTP routes of the first VirtualService that move, by name or position
    refused: instead of `moves`, the reason for which nothing is touched
    adoption: "untouched" (default), or "normalized" where subsets or weights have to be written before stable is pinned
    unknown: true where fields occur that Istio's API does not have (an API server drops them)
    rejected: what Istio's own definitions say against it, where an API server would not take it today
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

CASES = Path(__file__).parent / "cases"
NAMESPACE = "shop"

Item = dict[str, Any]
Objects = dict[tuple[str, str], Item]
"""By kind and name."""


@dataclass(frozen=True)
class Case:
    """One file of the corpus, or what a generator made up."""

    name: str
    service: str
    objects: tuple[Item, ...]
    moves: tuple[str | int, ...] = ()
    refused: str = ""
    stable: str = "v1"
    canary: str = "v2"
    spec: Mapping[str, Any] = field(default_factory=dict)
    adoption: str = "untouched"
    unknown: bool = False
    rejected: str = ""
    stable_subset: str = ""
    canary_subset: str = ""

    def __post_init__(self) -> None:
        for attribute, version in (("stable_subset", self.stable), ("canary_subset", self.canary)):
            if not getattr(self, attribute):
                object.__setattr__(self, attribute, self._subset(version))

    @property
    def label(self) -> str:
        """The label that tells versions apart."""
        return str(self.spec.get("versionLabel", "version"))

    @property
    def virtual_service(self) -> Item:
        """The VirtualService that the case is about."""
        return next(item for item in self.objects if item["kind"] == "VirtualService")

    @property
    def rule(self) -> Item | None:
        """The service's DestinationRule."""
        rules = (item for item in self.objects if item["kind"] == "DestinationRule")
        return next((rule for rule in rules if self.is_service(rule["spec"]["host"])), None)

    @property
    def moving(self) -> tuple[int, ...]:
        """Positions of the routes that move."""
        names = [route.get("name") for route in self.virtual_service["spec"].get("http") or []]
        return tuple(moved if isinstance(moved, int) else names.index(moved) for moved in self.moves)

    def turned(self) -> "Case":
        """The way back: the canary serves, and stable is released."""
        return replace(self, stable=self.canary, canary=self.stable, stable_subset=self.canary_subset, canary_subset=self.stable_subset)

    @property
    def pins_canary(self) -> bool:
        """Whether a route that does not move sends traffic to the canary: once that is stable, the route is one of stable's."""
        routes = self.virtual_service["spec"].get("http") or []
        staying = [entry for index, route in enumerate(routes) if index not in self.moving for entry in route.get("route") or []]
        named = [entry["destination"] for entry in staying if entry["destination"].get("subset") == self.canary_subset]
        return any(self.is_service(destination["host"]) for destination in named)

    def is_service(self, host: str) -> bool:
        """Whether a host, written in a rule of the namespace, is the service."""
        short, qualified = self.service, f"{self.service}.{NAMESPACE}"
        return host in (short, qualified, f"{qualified}.svc", f"{qualified}.svc.cluster.local")

    def fresh(self) -> list[Item]:
        """The objects, to be changed."""
        return deepcopy(list(self.objects))

    def _subset(self, version: str) -> str:
        found = (self.rule or {}).get("spec", {}).get("subsets") or []
        return next((str(s["name"]) for s in found if (s.get("labels") or {}).get(self.label) == version), version)


def load(path: Path) -> Case:
    """The case of one file."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    header, *objects = yaml.load_all(path.read_text(), Loader=loader)
    for item in objects:
        item["metadata"].setdefault("namespace", NAMESPACE)
        item["metadata"].setdefault("resourceVersion", "1")
    renamed = {"stableSubset": "stable_subset", "canarySubset": "canary_subset"}
    known = {renamed.get(key, key): value for key, value in header.items() if key != "case"}
    known["moves"] = tuple(known.get("moves", ()))
    return Case(name=path.stem, objects=tuple(objects), **known)


def corpus() -> Iterator[Case]:
    """All cases."""
    for path in sorted(CASES.glob("*.yaml")):
        yield load(path)
