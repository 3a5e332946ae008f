"""What is ours in a VirtualService and a DestinationRule, written down once and independently of the operator's code.

Ours are, and nothing else:

- in the HTTP routes that move: `weight` and `destination.subset` of the service's destinations for stable and the canary (a
  destination without subset counts as stable's), and such a destination itself where the operator put it beside its counterpart;
- in the service's DestinationRule: a subset that the operator added, and `trafficPolicy` of the canary's subset for the time of the
  trial where the spec has a canaryTrafficPolicy;
- resourceVersion, generation and managedFields, which the API server counts.

Everything else is compared as JSON text: values, the order of lists and keys, and fields nobody knows.
"""

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from tests.unit.core.world import World
from tests.unit.corpus.case import Case, Item, Objects

COUNTED = ("resourceVersion", "generation", "managedFields")


def text(item: Mapping[str, Any]) -> str:
    """An object as JSON, without what the API server counts; keys in the order in which they stand."""
    metadata = {key: value for key, value in item["metadata"].items() if key not in COUNTED}
    return json.dumps({**item, "metadata": metadata}, indent=1, ensure_ascii=False)


def texts(objects: Objects) -> dict[tuple[str, str], str]:
    """All objects as JSON."""
    return {key: text(item) for key, item in objects.items()}


def is_ours(case: Case, entry: Mapping[str, Any]) -> bool:
    """Whether a destination of a moving route is the service's, for stable or the canary."""
    destination = entry["destination"]
    return case.is_service(destination["host"]) and (destination.get("subset") or "") in ("", case.stable_subset, case.canary_subset)


def foreign(case: Case, item: Item) -> str:
    """An object, without what is ours."""
    stripped = deepcopy(item)
    if item["metadata"]["name"] == case.virtual_service["metadata"]["name"] and item["kind"] == "VirtualService":
        for index in case.moving:
            route = stripped["spec"]["http"][index]
            route["route"] = _without_ours(case, route["route"])
    elif item["kind"] == "DestinationRule" and case.is_service(item["spec"]["host"]):
        _strip_subsets(case, stripped["spec"])
    return text(stripped)


def _without_ours(case: Case, entries: list[Item]) -> list[Any]:
    """The destinations in order; those of ours without subset and weight, and a copy beside its like left out."""
    kept: list[Any] = []
    for entry in entries:
        if not is_ours(case, entry):
            kept.append(entry)
            continue
        rest = {key: value for key, value in entry.items() if key != "weight"}
        rest["destination"] = {key: value for key, value in entry["destination"].items() if key != "subset"}
        if not kept or json.dumps(kept[-1]) != json.dumps({"ours": rest}):
            kept.append({"ours": rest})
    return kept


def _strip_subsets(case: Case, spec: Item) -> None:
    before = case.rule["spec"].get("subsets") if case.rule else None
    theirs = {subset["name"] for subset in before or []}
    kept = [subset for subset in spec.get("subsets") or [] if subset["name"] in theirs]
    if case.spec.get("canaryTrafficPolicy"):
        for subset in kept:
            if subset["name"] == case.canary_subset:
                subset.pop("trafficPolicy", None)
    if kept or before is not None:
        spec["subsets"] = kept
    else:
        spec.pop("subsets", None)


def assert_foreign_survived(case: Case, world: World, before: Objects) -> None:
    """In everything that was ever written, whatever is not ours is as it was before."""
    for written in [*world.writes, *world.objects.values()]:
        key = written["kind"], written["metadata"]["name"]
        if key in before:
            assert foreign(case, written) == foreign(case, before[key])


def rolled_back(case: Case, adopted: Objects) -> Objects:
    """What the objects must be after a rollback: as they were, and stable has what a moving route had given to the canary."""
    expected = deepcopy(adopted)
    for entries in _moving_entries(case, expected):
        stable, canary = _pair(case, entries)
        if canary is not None and canary.get("weight"):
            stable["weight"] = stable.get("weight", 0) + canary["weight"]
            canary["weight"] = 0
    return expected


def promoted(case: Case, adopted: Objects) -> Objects:
    """What the objects must be once the canary serves everything, from what they were with stable pinned."""
    expected = deepcopy(adopted)
    for entries in _moving_entries(case, expected):
        stable, canary = _pair(case, entries)
        if canary is None:  # the canary's destination takes over, and takes stable's place
            stable["destination"]["subset"] = case.canary_subset
        else:
            canary["weight"] = stable.get("weight", 0) + canary.get("weight", 0)
            stable["weight"] = 0
    rule = next((item for item in expected.values() if item["kind"] == "DestinationRule" and case.is_service(item["spec"]["host"])), None)
    subsets = rule["spec"].get("subsets") or [] if rule else []
    if rule and case.canary_subset not in [subset["name"] for subset in subsets]:
        rule["spec"]["subsets"] = [*subsets, {"name": case.canary_subset, "labels": {case.label: case.canary}}]
    return expected


def _moving_entries(case: Case, objects: Objects) -> list[list[Item]]:
    service = objects["VirtualService", case.virtual_service["metadata"]["name"]]
    return [service["spec"]["http"][index]["route"] for index in case.moving]


def _pair(case: Case, entries: list[Item]) -> tuple[Item, Item | None]:
    """The destinations of stable and of the canary in a moving route."""
    by_subset = {entry["destination"].get("subset"): entry for entry in entries if is_ours(case, entry)}
    return by_subset[case.stable_subset], by_subset.get(case.canary_subset)
