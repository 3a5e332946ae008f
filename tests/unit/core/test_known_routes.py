"""Which live routes a rollout takes for its own, whatever people do to the VirtualService meanwhile.

After a rollback no route that it has moved is left on the canary, and no route that was never its own is touched.
"""

import copy
from dataclasses import dataclass, field
from typing import Any

import pytest
from canaryrollout.api.status import Phase
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from world import World, destination, destination_rule, pods, virtual_service

Route = dict[str, Any]


def match(path: str) -> list[dict[str, Any]]:
    return [{"uri": {"prefix": path}}]


MINE: dict[str, list[Route]] = {
    "stable": [destination("v1")],
    "weighted": [destination("v1", 100)],
    "plain": [{"destination": {"host": "reviews"}}],
}
THEIRS: dict[str, list[Route]] = {
    "pinned": [destination("v2")],
    "pinned beside stable": [destination("v1", 0), destination("v2", 100)],
    "elsewhere": [destination("v3")],
    "mixed": [destination("v2", 50), destination("v3", 50)],
}


class Everywhere(World):
    """Its requests come by the last route, whatever the others are."""

    def served(self) -> dict[str, int]:
        return self.split(route=-1)


@dataclass
class Edited:
    """A rollout whose routes people edit. A route's timeout says which one it is, under whatever name and match."""

    world: World
    away: dict[str, Route] = field(default_factory=dict)

    @property
    def http(self) -> list[Route]:
        found: list[Route] = self.world.objects["VirtualService", "reviews"]["spec"]["http"]
        return found

    def route(self, which: str) -> Route:
        return next(route for route in self.http if route.get("timeout") == which)

    def take(self, which: str) -> Route:
        self.away[which] = route = self.route(which)
        self.http.remove(route)
        return route

    def give_back(self, which: str, **edit: Any) -> None:
        self.http.insert(0, {**self.away.pop(which), **edit})

    def seen(self) -> None:
        """The operator looks."""
        self.world.step()
        self.world.now += 1

    def roll_back(self) -> None:
        self.world.versions["v2"] = pods("v2", ready=0, total=2)
        self.world.run(until=lambda w: w.phase is Phase.ROLLING_BACK)
        self.world.istiod_knows = True
        self.world.run_to(Phase.ROLLED_BACK)

    def share(self, which: str) -> int:
        """Percent of the route for the canary."""
        entries = self.route(which)["route"]
        return sum(e.get("weight", 100) for e in entries if e["destination"].get("subset") == "v2")


def rollout(routes: list[Route], stage: int | str, names: list[str] | None = None) -> Edited:
    """A rollout from v1 to v2, at that weight, or as it is promoted and stable's destinations have left."""
    world = Everywhere().add(virtual_service(copy.deepcopy(routes)), destination_rule("v1", "v2", "v3"))
    world.spec |= {"stableVersion": "v1", "virtualService": {"routes": names} if names else {}}
    world.run_to(Phase.STABLE).release("v2")
    if stage == "promoting":
        world.run_to(Phase.PROMOTING)
        world.istiod_knows = False
        world.run(until=lambda w: w.served() == {"v2": 100}, seconds=10)
    else:
        world.run(until=lambda w: w.phase is Phase.ANALYSING and w.parsed.weight == stage)
    return Edited(world)


A = {"name": "a", "match": match("/a"), "timeout": "1s", "route": MINE["stable"]}
MAIN = {"name": "main", "timeout": "9s", "route": MINE["stable"]}
STAGES = [10, 100, "promoting"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("edit", [{}, {"name": "b"}])
def test_a_route_that_comes_back_after_a_while_is_taken_back_whatever_it_still_sends_to_the_canary(
    stage: int | str, edit: dict[str, Any]
) -> None:
    edited = rollout([A, MAIN], stage)
    edited.take("1s")
    edited.seen()
    edited.give_back("1s", **edit)
    edited.seen()
    edited.roll_back()
    assert edited.share("1s") == 0


@pytest.mark.parametrize("stage", [10, 100])
def test_so_is_one_that_comes_back_under_its_name_with_another_match(stage: int) -> None:
    edited = rollout([A, MAIN], stage)
    edited.take("1s")
    edited.seen()
    edited.give_back("1s", match=match("/z"))
    edited.seen()
    edited.roll_back()
    assert edited.share("1s") == 0


def test_so_is_one_that_was_added_and_then_away_in_mid_rollout() -> None:
    edited = rollout([A, MAIN], 10)
    edited.http.insert(0, {"name": "late", "match": match("/l"), "timeout": "2s", "route": copy.deepcopy(MINE["stable"])})
    edited.world.run(until=lambda w: w.phase is Phase.ANALYSING and w.parsed.weight == 100)
    edited.take("2s")
    edited.seen()
    edited.give_back("2s")
    edited.seen()
    edited.roll_back()
    assert edited.share("2s") == 0


def test_so_is_a_listed_one_that_was_renamed_before_it_was_away() -> None:
    edited = rollout([A, MAIN], 100, ["a", "main"])
    edited.route("1s")["name"] = "b"
    edited.seen()
    edited.take("1s")
    edited.seen()
    edited.give_back("1s")
    edited.seen()
    edited.roll_back()
    assert edited.share("1s") == 0


@pytest.mark.parametrize("stage", STAGES)
def test_one_that_comes_back_after_the_rollback_goes_to_stable_too(stage: int | str) -> None:
    edited = rollout([A, MAIN], stage)
    edited.take("1s")
    edited.seen()
    edited.roll_back()
    edited.give_back("1s")
    edited.world.run(until=lambda _: edited.share("1s") == 0, seconds=60)


@pytest.mark.parametrize("listed", [None, ["a", "main"]])
@pytest.mark.parametrize("kind", ["pinned", "pinned beside stable"])
@pytest.mark.parametrize("path", ["/t", "/a"])
def test_a_route_of_other_people_stays_as_it_is_when_one_of_the_rollouts_goes(kind: str, path: str, listed: list[str] | None) -> None:
    theirs = {"name": "testers", "match": match(path), "timeout": "2s", "route": THEIRS[kind]}
    edited = rollout([theirs, A, MAIN], 10, listed)
    edited.take("1s")
    edited.seen()
    edited.roll_back()
    assert edited.route("2s") == theirs


def test_so_does_a_split_that_the_list_leaves_out() -> None:
    theirs = {"name": "testers", "timeout": "2s", "match": match("/t"), "route": [destination("v1", 90), destination("v2", 10)]}
    edited = rollout([theirs, A, MAIN], 10, ["a", "main"])
    edited.route("1s")["name"] = "b"
    edited.seen()
    edited.roll_back()
    assert (edited.route("2s"), edited.share("1s")) == (theirs, 0)


def test_a_pin_that_takes_the_name_of_a_route_that_has_gone_is_left_alone() -> None:
    theirs = {"name": "a", "match": match("/t"), "timeout": "2s", "route": THEIRS["pinned"]}
    edited = rollout([A, MAIN], 10)
    edited.take("1s")
    edited.seen()
    edited.http.insert(0, copy.deepcopy(theirs))
    edited.seen()
    edited.roll_back()
    assert edited.route("2s") == theirs


def test_a_route_that_comes_back_beside_a_pin_that_has_taken_its_name_is_known_by_its_match() -> None:
    theirs = {"name": "a", "match": match("/t"), "timeout": "2s", "route": THEIRS["pinned"]}
    edited = rollout([A, MAIN], "promoting")
    edited.take("1s")
    edited.seen()
    edited.http.insert(0, copy.deepcopy(theirs))
    edited.seen()
    edited.give_back("1s")
    edited.seen()
    edited.roll_back()
    assert (edited.route("2s"), edited.share("1s")) == (theirs, 0)


@pytest.mark.parametrize("kind", ["pinned", "pinned beside stable"])
@pytest.mark.parametrize("gone", [False, True])
def test_of_two_routes_of_one_name_the_rollouts_is_known_by_its_match(kind: str, gone: bool) -> None:
    theirs = {"name": "a", "match": match("/t"), "timeout": "2s", "route": THEIRS[kind]}
    edited = rollout([A, theirs, MAIN], 10)
    ours = edited.take("1s")
    if not gone:
        edited.http.insert(1, ours)
    edited.seen()
    edited.roll_back()
    assert edited.route("2s") == theirs
    assert gone or edited.share("1s") == 0


OPERATIONS = ["rename", "match anew", "take", "give back", "give back renamed", "delegate", "reorder", "pin under its name", "wait"]


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Route], list[str] | None, int | str, list[tuple[str, int]]]:
    """Routes, those listed, the stage, and edits of the routes one after another."""
    routes, listed = [], draw(st.booleans())
    for number in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from([*MINE, *MINE, *THEIRS]))
        named = listed or draw(st.booleans())
        name = {"name": f"r{number}"} if named else {}
        entries = copy.deepcopy((MINE | THEIRS)[kind])
        routes.append({**name, "match": match(f"/{number}"), "timeout": f"{number + 1}s", "route": entries})
    names = [r["name"] for r in routes if listed and r["route"] in MINE.values()]
    edits = draw(st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, len(routes) - 1)), min_size=1, max_size=5))
    return [*routes, MAIN], [*names, "main"] if listed else None, draw(st.sampled_from(STAGES)), edits


def carry_out(edited: Edited, number: int, operation: str, which: str) -> None:
    """One edit, where it can be made. A match is changed only of a named route: else nothing says that it is the same."""
    here = any(route.get("timeout") == which for route in edited.http)
    match operation:
        case "rename" if here:
            edited.route(which)["name"] = f"n{number}"
        case "match anew" if here and "name" in edited.route(which):
            edited.route(which)["match"] = [{"uri": {"prefix": f"/m{number}"}}]
        case "take" | "delegate" if here:
            route = edited.take(which)
            if operation == "delegate":
                edited.http.insert(0, {**{k: v for k, v in route.items() if k in ("match",)}, "delegate": {"name": f"d{number}"}})
        case "give back" if not here:
            edited.http[:] = [route for route in edited.http if route.get("match") != edited.away[which].get("match")]
            edited.give_back(which)
        case "give back renamed" if not here:
            edited.give_back(which, name=f"n{number}")
        case "pin under its name" if not here and "name" in edited.away[which]:
            name, entries = edited.away[which]["name"], copy.deepcopy(THEIRS["pinned"])
            edited.http.insert(
                0, {"name": name, "match": [{"uri": {"prefix": f"/p{number}"}}], "timeout": f"{number}00s", "route": entries}
            )
        case "reorder":
            edited.http[:-1] = edited.http[-2::-1]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(cases())
def test_after_a_rollback_nothing_that_was_moved_is_on_the_canary_and_nothing_else_was_touched(
    case: tuple[list[Route], list[str] | None, int | str, list[tuple[str, int]]],
) -> None:
    routes, names, stage, edits = case
    edited = rollout(routes, stage, names)
    mine = {route["timeout"] for route in routes if route["route"] in MINE.values()}
    for number, (operation, index) in enumerate(edits, start=1):
        carry_out(edited, number, operation, routes[index]["timeout"])
        edited.seen()
    edited.roll_back()
    theirs = {route["timeout"]: route["route"] for route in routes if route["timeout"] not in mine}
    for route in edited.http:
        which = route.get("timeout", "")
        if which in mine:
            assert edited.share(which) == 0
        elif which:
            assert route["route"] == theirs.get(which, THEIRS["pinned"])
