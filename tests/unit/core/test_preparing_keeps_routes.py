"""Before the first step the canary gets nothing, whoever writes the routes meanwhile."""

from canaryrollout.api.status import Phase
from world import World, adopted, destination


def given_half(world: World) -> None:
    world.objects["VirtualService", "reviews"]["spec"]["http"][0]["route"] = [destination("v1", 50), destination("v2", 50)]


def preparing() -> World:
    world = adopted(provider_down=True).release("v2").run_to(Phase.PREPARING)
    for _ in range(4):
        world.step()
        world.now += 1
    return world


def test_what_somebody_gives_the_canary_before_its_first_step_is_taken_back_and_told() -> None:
    world = preparing()
    given_half(world)
    world.run(until=lambda w: w.served() == {"v1": 100}, seconds=10)
    assert (world.phase, "Drifted" in {event.reason for event in world.events}) == (Phase.PREPARING, True)


def test_who_insists_on_it_ends_the_rollout() -> None:
    world = preparing()
    given_half(world)
    world.on_write = given_half
    world.run_to(Phase.ROLLING_BACK, seconds=120)
    assert world.parsed.rollout is not None
    assert world.parsed.rollout.reason == "DriftConflict"


def test_the_rollout_goes_on_afterwards() -> None:
    world = preparing()
    given_half(world)
    world.run(until=lambda w: w.served() == {"v1": 100}, seconds=10)
    world.provider_down = False
    world.run(until=lambda w: w.parsed.stable_version == "v2")


def test_a_plain_host_is_narrowed_only_to_a_cluster_that_every_proxy_knows() -> None:
    world = adopted()
    world.objects["VirtualService", "reviews"]["spec"]["http"] = [{"name": "other", "route": [{"destination": {"host": "reviews"}}]}]
    del world.objects["DestinationRule", "reviews"]
    world.istiod_knows = False
    world.release("v2").run_to(Phase.PREPARING)
    for _ in range(5):
        world.step()
        world.now += 1
    assert [s["name"] for s in world.objects["DestinationRule", "reviews"]["spec"]["subsets"]] == ["v1", "v2"]
    assert world.split() == {"": 100}
    world.istiod_knows = True
    world.run(until=lambda w: w.split() == {"v1": 100}, seconds=5)
    assert world.phase is Phase.PREPARING
