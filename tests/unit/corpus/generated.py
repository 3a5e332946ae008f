"""Cases generated from Istio's definitions: one VirtualService and one DestinationRule of the service `web`, with anything around."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.unit.corpus.case import NAMESPACE, Case, Item
from tests.unit.corpus.schema import spec_schema, values

SERVICE = "web"
HOSTS = ["web", "web.shop.svc.cluster.local"]
NOT_A_ROUTE = frozenset({"redirect", "directResponse", "delegate", "fault"})
"""What stands instead of a route; and faults, with which nothing may be released on a route."""

STABLE = [["v1"], ["v1"], ["v1", "v0"], ["v0", "v1"], [""]]
MIXED = [["v1"], ["v1", "v2"], ["v2", "v1"], ["v1", "v0"], ["v0"], ["v2"], [""], []]
"""The subsets that a route names for the service, "" for none."""

Draw = Callable[[st.SearchStrategy[Any]], Any]


def _metadata(draw: Draw) -> Item:
    metadata: Item = {"name": SERVICE, "namespace": NAMESPACE, "resourceVersion": "1"}
    for field in draw(st.lists(st.sampled_from(["annotations", "labels"]), unique=True)):
        metadata[field] = {key: "v" for key in draw(st.lists(st.sampled_from(["b", "a", "z.example/k", "c"]), unique=True, max_size=3))}
    return metadata


def _weights(draw: Draw, count: int) -> list[int]:
    """Shares that add up to 100, in tens: a tenth of a smaller one could not be written down."""
    cuts = sorted(draw(st.lists(st.integers(0, 10), min_size=count - 1, max_size=count - 1)))
    return [10 * (high - low) for low, high in zip([0, *cuts], [*cuts, 10], strict=True)]


def _entry(draw: Draw, rest: st.SearchStrategy[Any], host: str, subset: str) -> Item:
    """A destination with anything else that the definitions allow in it."""
    entry: Item = dict(draw(rest))
    destination = {**entry["destination"], "host": host}
    destination.pop("subset", None)
    entry["destination"] = {**destination, "subset": subset} if subset else destination
    entry.pop("weight", None)
    return entry


@st.composite
def _route(draw: st.DrawFn, schema: dict[str, Any], choices: list[list[str]]) -> Item:
    """A route to the service, to others, or to both, with anything else that the definitions allow in it."""
    route: Item = dict(draw(values(schema, without=NOT_A_ROUTE | {"route", "name"})))
    rest = values(schema["properties"]["route"]["items"])
    subsets = draw(st.sampled_from(choices))
    entries = [_entry(draw, rest, draw(st.sampled_from(HOSTS)), subset) for subset in subsets]
    entries += [_entry(draw, rest, f"other-{index}", "") for index in range(draw(st.integers(0 if entries else 1, 2)))]
    if len(entries) > 1 or draw(st.booleans()):
        for entry, weight in zip(entries, _weights(draw, len(entries)), strict=True):
            entry["weight"] = weight
    route["route"] = list(draw(st.permutations(entries)))
    if draw(st.booleans()):
        route["name"] = draw(st.sampled_from(["a", "b", "größe"]))
    return {key: route[key] for key in draw(st.permutations(sorted(route)))}


def _live(entries: list[Item]) -> Iterator[str]:
    """The subsets of the service that a route sends traffic to."""
    for entry in entries:
        if entry["destination"]["host"] in HOSTS and (len(entries) == 1 or entry.get("weight", 0) > 0):
            yield entry["destination"].get("subset", "")


def moves(route: Item) -> bool:
    """The written rule: all of the service's traffic goes to stable, or to stable and the canary."""
    live = set(_live(route.get("route") or []))
    return bool(live) and live <= {"", "v1", "v2"} and bool(live & {"", "v1"})


@st.composite
def cases(draw: st.DrawFn, crds: Path) -> Case:
    """A case whose stable version is v1 and whose canary is v2."""
    schema: Any = spec_schema(crds, "VirtualService")
    route = schema["properties"]["http"]["items"]
    elsewhere = values(route, without=frozenset({"route"}))
    others = draw(st.lists(_route(route, MIXED) | elsewhere, max_size=2))
    http = draw(st.permutations([draw(_route(route, STABLE)), *others]))
    spec = {**draw(values(schema, without=frozenset({"http", "hosts", "gateways"}))), "hosts": [SERVICE], "http": http}
    service = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": _metadata(draw)}
    service["spec"] = {key: spec[key] for key in draw(st.permutations(sorted(spec)))}
    moving = tuple(index for index, found in enumerate(http) if moves(found))
    named = {entry["destination"].get("subset") for found in http for entry in found.get("route") or []}
    rule = _rule(draw, spec_schema(crds, "DestinationRule"), named)
    return Case("generated", SERVICE, (service, rule), moves=moving, spec={"stableVersion": "v1", **_trial(draw)})


def _rule(draw: Draw, schema: Any, named: set[str]) -> Item:
    """With stable's subset, and the canary's where a route names it: what is named must exist, before a rollout and after it."""
    subset = schema["properties"]["subsets"]["items"]
    subsets = []
    orders = [["v0", "v1", "v2"], ["v2", "v1", "v0"], *([] if "v2" in named else [["v1", "v0"]])]
    for name in draw(st.sampled_from(orders)):
        found = {"name": name, "labels": {"version": name}, **draw(values(subset, without=frozenset({"name", "labels"})))}
        subsets.append({key: found[key] for key in draw(st.permutations(sorted(found)))})
    spec = {**draw(values(schema, without=frozenset({"host", "subsets"}))), "host": draw(st.sampled_from(HOSTS)), "subsets": subsets}
    return {"kind": "DestinationRule", "spec": spec, "metadata": _metadata(draw), "apiVersion": "networking.istio.io/v1"}


def _trial(draw: Draw) -> Item:
    policy = {"outlierDetection": {"consecutive5xxErrors": 7}}
    return {"canaryTrafficPolicy": policy} if draw(st.booleans()) else {}
