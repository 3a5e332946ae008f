"""Whatever people do to a rollout, in any order: no write breaks an invariant, and once they stop it comes to rest."""

import copy
from collections.abc import Callable

from canaryrollout.api.status import Phase
from canaryrollout.core.requested import RESUME, RETRY, TAKEOVER
from canaryrollout.core.snapshot import ProxyState, ProxyStatus
from hypothesis import given, settings
from hypothesis import strategies as st
from world import Crashed, World, adopted, destination, pods

VERSIONS = ("v1", "v2", "v3")
RESTING = (Phase.STABLE, Phase.ROLLED_BACK, Phase.PENDING)


def check(world: World) -> None:
    """Invariant 1, after each write to the mesh."""
    rule = world.objects.get(("DestinationRule", "reviews"), {"spec": {}})
    selected = {subset["name"]: subset["labels"]["version"] for subset in rule["spec"].get("subsets", [])}
    nobody = not any(world.versions[version].ready for version in VERSIONS)
    written = world.writes[-1]
    for route in written["spec"]["http"] if written["kind"] == "VirtualService" else ():
        entries = route["route"]
        weights = {e["destination"]["subset"]: 100 if len(entries) == 1 else e["weight"] for e in entries}
        assert sum(weights.values()) == 100
        for subset in (name for name, weight in weights.items() if weight > 0):
            assert subset in selected
            rollout = world.parsed.rollout
            others = [] if rollout is None else [world.versions[rollout.version], world.versions[rollout.stable]]
            assert nobody or world.versions[selected[subset]].ready or not any(pods.ready for pods in others)
    service = world.objects.get(("VirtualService", "reviews"))
    if written["kind"] == "DestinationRule" and service is not None and written["metadata"]["resourceVersion"] != "1":
        # One made again after somebody deleted it need not bring the canary back: it is on its way out of the routes.
        used = {e["destination"]["subset"] for route in service["spec"]["http"] for e in route["route"]}
        assert used <= set(selected)


def first_route(world: World) -> dict[str, object]:
    service = world.objects.get(("VirtualService", "reviews"))
    return service["spec"]["http"][0] if service else {"route": []}


def rename(world: World) -> None:
    route = first_route(world)
    route["name"] = f"{route.get('name', 'route')}x"[-20:]


def add_route(world: World) -> None:
    service = world.objects.get(("VirtualService", "reviews"))
    rollout = world.parsed.routing
    if service and rollout and len(service["spec"]["http"]) < 4:
        service["spec"]["http"].append({"name": f"added-{len(service['spec']['http'])}", "route": [destination(rollout.stable_subset)]})


def shift_by_hand(world: World) -> None:
    entries = first_route(world)["route"]
    if isinstance(entries, list) and len(entries) == 2:
        entries[0]["weight"], entries[1]["weight"] = 30, 70


def toggle(name: str, value: object, other: object) -> Callable[[World], None]:
    return lambda world: setattr(world, name, other if getattr(world, name) == value else value)


ACTS: dict[str, Callable[[World], None]] = {
    **{f"release {v}": lambda world, v=v: world.spec.update(version=v) for v in VERSIONS},  # type: ignore[misc]
    **{f"scale {v} to 0": lambda world, v=v: world.versions.update({v: pods(v, 0)}) for v in VERSIONS},  # type: ignore[misc]
    **{f"scale {v} up": lambda world, v=v: world.versions.update({v: pods(v)}) for v in VERSIONS},  # type: ignore[misc]
    "delete the VirtualService": lambda world: world.objects.pop(("VirtualService", "reviews"), None) and None,
    "delete the DestinationRule": lambda world: world.objects.pop(("DestinationRule", "reviews"), None) and None,
    "rename a route": rename,
    "add a route": add_route,
    "shift by hand": shift_by_hand,
    "cut a proxy off": toggle("lagging", (), (ProxyStatus("c.shop", ProxyState.UNKNOWN),)),
    "break v2": toggle("error_rate", {}, {"v2": 0.5}),
    "take Prometheus away": toggle("provider_down", False, True),
    "pause": lambda world: world.spec.update(paused=not world.spec.get("paused", False)),
    "fewer steps": lambda world: world.spec.update(steps=[{"weight": 20}, {"weight": 100}]),
    "take over, or give it back": lambda world: world.annotations.update({TAKEOVER: "" if world.annotations.get(TAKEOVER) else "true"}),
    "retry": lambda world: world.annotations.update({RETRY: str(world.now)}),
    "resume": lambda world: world.annotations.update({RESUME: str(world.now)}),
}
moves = st.lists(st.tuples(st.sampled_from(sorted(ACTS)), st.integers(0, 40), st.sampled_from([None, None, 0, 1])), min_size=1, max_size=12)


def live(world: World, passes: int, crash_after: int | None) -> None:
    for _ in range(passes):
        try:
            requeue = world.step(crash_after=crash_after).requeue_after
        except Crashed:
            requeue = 0.0
        crash_after = None
        world.now += max(0.05, 5.0 if requeue is None else requeue)


@settings(max_examples=60)
@given(moves)
def test_whatever_people_do_no_write_breaks_an_invariant_and_it_comes_to_rest(acts: list[tuple[str, int, int | None]]) -> None:
    world = adopted()
    world.versions = {version: pods(version) for version in VERSIONS}
    world.on_write = check
    for act, passes, crash_after in acts:
        ACTS[act](world)
        live(world, passes, crash_after)
    world.versions = {version: pods(version) for version in VERSIONS}
    world.lagging, world.error_rate, world.provider_down = (), {}, False
    world.spec["paused"] = False
    world.annotations |= {RESUME: "at last", TAKEOVER: ""}
    world.run_to(*RESTING)
    world.run(until=lambda w: w.phase in RESTING and w.step().requeue_after in (None, 15.0), seconds=3600)
    before = copy.deepcopy(world.objects)
    live(world, 3, None)
    assert world.objects == before
