"""Weighted routes: what moves, what stays byte for byte."""

import copy
from typing import Any

import jsonpatch
import pytest
from canaryrollout.api.status import RouteRecord
from canaryrollout.core import envoy_routes
from canaryrollout.core import virtual_services as vs
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.route_rule import moving_routes
from hypothesis import given
from hypothesis import strategies as st
from world import NAMESPACE, destination, virtual_service

HOST = ServiceHost("reviews", NAMESPACE)


def moved(service: dict[str, Any], split: vs.Split, records: tuple[RouteRecord, ...] | None = None) -> dict[str, Any]:
    """The VirtualService after the split's operations."""
    records = moving_routes(service, HOST, split.stable, split.canary) if records is None else records
    return dict(jsonpatch.apply_patch(service, vs.split_operations(service, HOST, records, split)))


def at(weight: int, *, keep_canary: bool = True, keep_stable: bool = True) -> vs.Split:
    return vs.Split("v1", "v2", weight, keep_canary=keep_canary, keep_stable=keep_stable)


@pytest.mark.parametrize(
    ("entries", "moves"),
    [
        ([destination("v1")], True),
        ([{"destination": {"host": "reviews"}}], True),
        ([destination("v1", 100), destination("v2", 0)], True),
        ([destination("v1", 90), destination("v2", 10)], True),
        ([destination("v2")], False),
        ([destination("v3")], False),
        ([destination("v1", 50), destination("v3", 50)], False),
        ([{"destination": {"host": "ratings", "subset": "v1"}}], False),
        ([{"destination": {"host": "reviews.shop.svc.cluster.local", "subset": "v1"}}], True),
        ([{"destination": {"host": "reviews.other", "subset": "v1"}}], False),
    ],
)
def test_a_route_moves_only_if_all_of_the_services_traffic_goes_to_stable_or_canary(entries: list[Any], moves: bool) -> None:
    assert bool(moving_routes(virtual_service([{"route": entries}]), HOST, "v1", "v2")) is moves


def test_a_copied_destination_keeps_port_and_headers() -> None:
    entry = destination("v1", headers={"request": {"add": {"x-env": "prod"}}})
    entry["destination"]["port"] = {"number": 8080}
    after = moved(virtual_service([{"route": [entry]}]), at(5))
    canary = after["spec"]["http"][0]["route"][1]
    assert canary["destination"] == {"host": "reviews", "subset": "v2", "port": {"number": 8080}}
    assert canary["headers"] == entry["headers"]
    assert canary["weight"] == 5


def test_other_services_in_the_route_keep_their_share() -> None:
    other = {"destination": {"host": "legacy"}, "weight": 40}
    after = moved(virtual_service([{"route": [destination("v1", 60), other]}]), at(50))
    weights = {(e["destination"]["host"], e["destination"].get("subset")): e["weight"] for e in after["spec"]["http"][0]["route"]}
    assert weights == {("reviews", "v1"): 30, ("reviews", "v2"): 30, ("legacy", None): 40}


def test_a_rollback_gives_back_exactly_what_the_user_wrote() -> None:
    for route in ([destination("v1")], [destination("v1", 100)], [destination("v1", 100), destination("v2", 0)]):
        before = virtual_service([{"name": "main", "route": route, "timeout": "3s"}])
        records = moving_routes(before, HOST, "v1", "v2")
        after = moved(moved(copy.deepcopy(before), at(25), records), at(0, keep_canary=False), records)
        assert after == before


def test_a_promotion_leaves_as_many_destinations_as_there_were() -> None:
    before = virtual_service([{"route": [destination("v1")]}])
    records = moving_routes(before, HOST, "v1", "v2")
    after = moved(moved(before, at(100), records), at(100, keep_stable=False), records)
    assert after["spec"]["http"][0]["route"] == [destination("v2")]


def test_a_rollback_after_stable_left_the_routes_brings_it_back() -> None:
    before = virtual_service([{"route": [destination("v1")]}])
    records = moving_routes(before, HOST, "v1", "v2")
    promoted = moved(moved(before, at(100), records), at(100, keep_stable=False), records)
    assert moved(promoted, at(0, keep_canary=False), records) == before


def test_a_reordered_virtual_service_is_still_edited_at_the_right_route() -> None:
    named = {"name": "main", "route": [destination("v1")]}
    records = moving_routes(virtual_service([named]), HOST, "v1", "v2")
    shifted = virtual_service([{"name": "new", "match": [{"uri": {"prefix": "/x"}}], "route": [destination("v1")]}, named])
    after = moved(shifted, at(10), records)
    assert after["spec"]["http"][0] == shifted["spec"]["http"][0]
    assert {e["destination"]["subset"]: e["weight"] for e in after["spec"]["http"][1]["route"]} == {"v1": 90, "v2": 10}


def test_every_write_names_what_it_expects_to_find() -> None:
    service = virtual_service([{"name": "main", "route": [destination("v1")]}])
    operations = vs.split_operations(service, HOST, moving_routes(service, HOST, "v1", "v2"), at(5))
    assert [(o["op"], o["path"]) for o in operations] == [
        ("test", "/metadata/resourceVersion"),
        ("test", "/spec/http/0/name"),
        ("test", "/spec/http/0/route"),
        ("replace", "/spec/http/0/route"),
    ]


def test_envoys_view_leaves_weight_zero_out_and_takes_a_lone_destination_as_all() -> None:
    service = virtual_service([{"route": [destination("v1", 100), destination("v2", 0)]}, {"route": [destination("v1")]}])
    only = ((("reviews.shop.svc.cluster.local", "v1", 100),),)
    assert envoy_routes.expected_splits(service, HOST) == (only, only)


def test_a_route_that_only_some_proxies_get_is_allowed_but_not_required() -> None:
    pinned = {"match": [{"sourceLabels": {"app": "tester"}}], "route": [destination("v2")]}
    service = virtual_service([pinned, {"route": [destination("v1", 90), destination("v2", 10)]}, {"route": [destination("v3")]}])
    allowed, required = envoy_routes.expected_splits(service, HOST)
    host = "reviews.shop.svc.cluster.local"
    assert set(allowed) == {((host, "v2", 100),), ((host, "v1", 90), (host, "v2", 10)), ((host, "v3", 100),)}
    assert required == (((host, "v1", 90), (host, "v2", 10)),)


# --- properties ---

matches = st.lists(st.dictionaries(st.sampled_from(["uri", "headers", "port"]), st.integers(), min_size=1), min_size=1, max_size=2)
leaves = st.one_of(st.booleans(), st.integers(), st.text("ab\u00e9", max_size=5))
foreign = st.dictionaries(
    st.sampled_from(["timeout", "retries", "mirror", "fault", "corsPolicy", "headers", "x-unknown"]),
    st.recursive(leaves, lambda inner: st.lists(inner, max_size=3), max_leaves=4),
)


@st.composite
def routes(draw: st.DrawFn) -> dict[str, Any]:
    """A route of our service, or somebody else's, with foreign fields."""
    route: dict[str, Any] = dict(draw(foreign))
    if draw(st.booleans()):
        route["name"] = draw(st.sampled_from(["a", "b", "c", "d"]))
    if draw(st.booleans()):
        route["match"] = draw(matches)
    ours = draw(st.sampled_from([["v1"], ["v1", "v2"], ["v2"], ["v3"], [""], []]))
    others = draw(st.integers(0, 2)) if ours else 1
    entries: list[dict[str, Any]] = []
    for subset in ours:
        target = {"host": "reviews", "subset": subset} if subset else {"host": "reviews"}
        entries.append({"destination": target, **draw(foreign)})
    entries += [{"destination": {"host": f"other-{index}"}} for index in range(others)]
    if len(entries) > 1 or draw(st.booleans()):
        cuts = sorted(draw(st.lists(st.integers(0, 100), min_size=len(entries) - 1, max_size=len(entries) - 1)))
        for entry, low, high in zip(entries, [0, *cuts], [*cuts, 100], strict=True):
            entry["weight"] = high - low
    route["route"] = draw(st.permutations(entries))
    return route


services = st.lists(routes(), min_size=1, max_size=4).map(virtual_service)


def foreign_part(service: dict[str, Any], records: tuple[RouteRecord, ...]) -> dict[str, Any]:
    """The VirtualService without what a rollout may change: our weights and added destinations in moving routes."""
    stripped = copy.deepcopy(service)
    keys = {record.key for record in records}
    for key, route in zip(vs.route_keys(service), stripped["spec"]["http"], strict=True):
        if key in keys:
            route["route"] = [e for e in route["route"] if e["destination"]["host"] != "reviews"]
    return stripped


@given(services, st.integers(0, 100))
def test_whatever_the_virtual_service_only_our_weights_change_and_totals_stand(service: dict[str, Any], weight: int) -> None:
    records = moving_routes(service, HOST, "v1", "v2")
    after = moved(copy.deepcopy(service), at(weight), records)
    assert foreign_part(after, records) == foreign_part(service, records)
    for before_route, after_route in zip(vs.http_routes(service), vs.http_routes(after), strict=True):
        old, new = list(before_route["route"]), list(after_route["route"])
        assert sum(vs.weight_of(e, old) for e in old) == sum(vs.weight_of(e, new) for e in new) == 100


@given(services, st.lists(st.integers(1, 100), min_size=1, max_size=4))
def test_whatever_was_done_a_rollback_restores_the_narrowed_routes(service: dict[str, Any], weights: list[int]) -> None:
    narrowed = moved(copy.deepcopy(service), vs.Split("v1", "v2", 0, keep_canary=True), moving_routes(service, HOST, "v1", ""))
    records = moving_routes(narrowed, HOST, "v1", "v2")
    live = vs.live_subsets(narrowed, HOST)
    if "v2" in live:
        return
    after = narrowed
    for weight in weights:
        after = moved(copy.deepcopy(after), at(weight), records)
    assert moved(copy.deepcopy(after), at(0, keep_canary=False), records) == narrowed
    settled = moved(copy.deepcopy(after), at(0, keep_canary=False), records)
    assert vs.split_operations(settled, HOST, records, at(0, keep_canary=False)) == []


def test_a_route_that_somebody_sent_to_yet_another_version_is_brought_back_whole() -> None:
    before = virtual_service([{"name": "main", "route": [destination("v1", 90), destination("v2", 10)]}])
    records = moving_routes(before, HOST, "v1", "v2")
    lone = virtual_service([{"name": "main", "route": [{**destination("v0"), "headers": {"request": {"set": {"a": "b"}}}}]}])
    assert [(e["destination"]["subset"], e["weight"]) for e in moved(lone, at(10), records)["spec"]["http"][0]["route"]] == [
        ("v1", 90),
        ("v2", 10),
    ]
    mixed = virtual_service([{"name": "main", "route": [destination("v1", 40), destination("v2", 10), destination("v0", 50)]}])
    assert [e["weight"] for e in moved(mixed, at(10), records)["spec"]["http"][0]["route"]] == [90, 10, 0]
    shared = virtual_service(
        [{"name": "main", "route": [destination("v0", 60), {"destination": {"host": "ratings"}, "weight": 40}]}],
    )
    assert [e["weight"] for e in moved(shared, at(50), records)["spec"]["http"][0]["route"]] in ([30, 40, 30], [30, 30, 40])


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (("", "", ""), ["default", "default#1", "default#2"]),
        (("a", "a#1", "a"), ["name:a", "name:a#1", "name:a#2"]),
        (("a", "a", "a#1"), ["name:a", "name:a#1", "name:a#1#1"]),
        (("a#1", "a"), ["name:a#1", "name:a"]),
        (("a#1", "a", "a"), ["name:a#1", "name:a", "name:a#2"]),
    ],
)
def test_no_two_routes_have_one_key(names: tuple[str, ...], keys: list[str]) -> None:
    assert vs.route_keys(virtual_service([{"name": name} if name else {} for name in names])) == keys
