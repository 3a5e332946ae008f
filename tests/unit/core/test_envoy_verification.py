"""Rollouts whose proof asks for more than acknowledgements (spec.sync.verify: envoy)."""

from dataclasses import replace

from canaryrollout.api.status import Phase
from canaryrollout.core.snapshot import EnvoysRead, Expectation, Problem, ProxyState, ProxyStatus, SyncReport
from world import World, adopted


def careful(**sync: object) -> World:
    world = adopted()
    world.spec["sync"] = {"verify": "envoy", **sync}
    return world


def condition(world: World, name: str) -> tuple[str, str, str]:
    found = next(c for c in world.parsed.conditions if c.type == name)
    return found.status, found.reason, found.message


def told(world: World, reason: str) -> list[str]:
    return [event.message for event in world.events if event.reason == reason]


DIFFERENT = ProxyStatus("client-7.shop", ProxyState.DIFFERS, "istiod-0", "acknowledged, but virtual host 80/reviews:80 serves v1 100")


def test_by_default_no_envoy_is_read() -> None:
    world = adopted().release("v2").run_to(Phase.ANALYSING)
    assert not any(question.verify for question in world.questions)
    assert condition(world, "ProxiesSynced")[1] == "Acknowledged"
    assert world.parsed.proxies is not None
    assert world.parsed.proxies.envoys_read == 0


def test_the_condition_and_the_event_say_how_many_envoys_were_read() -> None:
    world = careful().release("v2").run_to(Phase.ANALYSING)
    assert world.questions[-1].verify
    state, reason, message = condition(world, "ProxiesSynced")
    assert (state, reason) == ("True", "Verified")
    assert "4 Envoys were read and have it: all 1 gateways, 3 of 40 sidecars" in message
    assert told(world, "StepSynced") == [
        "step 1/5: every proxy has acknowledged 5 % for version v2; counting begins; 4 Envoys were read and have it"
    ]
    assert world.parsed.proxies is not None
    assert world.parsed.proxies.envoys_read == 4


def test_acknowledgements_alone_do_not_release_a_step() -> None:
    class Unread(World):
        def prove(self, expectation: Expectation) -> SyncReport:
            return replace(super().prove(expectation), envoys=None)

    world = Unread().run_to(Phase.STABLE)
    world.spec["sync"] = {"verify": "envoy"}
    world.release("v2").run_to(Phase.ROLLED_BACK, Phase.SHIFTING, Phase.ROLLING_BACK)
    assert world.phase is Phase.ROLLING_BACK, "not even the subsets' clusters were proved"


def test_an_envoy_that_serves_something_else_holds_the_step_is_named_and_rolled_back() -> None:
    world = careful().release("v2").run_to(Phase.SHIFTING)
    world.lagging = (DIFFERENT,)
    for _ in range(20):
        world.step()
        world.now += 1
    assert world.phase is Phase.SHIFTING
    assert condition(world, "ProxiesSynced")[:2] == ("False", "ProxyDiffers")
    assert "client-7.shop (Differs: acknowledged, but virtual host 80/reviews:80 serves v1 100)" in world.parsed.message
    world.run_to(Phase.ROLLING_BACK, seconds=90)
    assert world.split() == {"v1": 100}, "the way back is written in the same pass, whatever can be read"
    assert "did not prove to have the weights within 60 s" in world.parsed.message
    world.step()
    assert world.phase is Phase.ROLLING_BACK, "only calling it done waits for the Envoys"
    world.lagging = ()
    world.run_to(Phase.ROLLED_BACK)
    assert condition(world, "Stalled")[:2] == ("True", "ProxyDiffers")
    assert world.parsed.history[0].reason == "ProxyDiffers"


def test_a_pause_instead_of_a_rollback_is_the_same_choice_as_for_acknowledgements() -> None:
    world = careful(timeout="10s", onTimeout="pause").release("v2").run_to(Phase.SHIFTING)
    world.lagging = (DIFFERENT,)
    world.run_to(Phase.PAUSED)
    assert world.parsed.rollout is not None
    assert world.parsed.rollout.reason == "SyncTimedOut"
    assert "client-7.shop (Differs" in world.parsed.message


def test_a_missing_right_is_told_and_nothing_goes_on() -> None:
    class Denied(World):
        def prove(self, expectation: Expectation) -> SyncReport:
            report = super().prove(expectation)
            refused = Problem("PortForwardDenied", "set istio.verifyEnvoys")
            return replace(report, problem=refused, envoys=None) if expectation.verify else report

    world = Denied().run_to(Phase.STABLE)
    world.spec["sync"] = {"verify": "envoy", "timeout": "10s"}
    world.release("v2").run_to(Phase.PREPARING)
    world.step()
    world.step()
    assert condition(world, "ProxiesSynced") == ("Unknown", "PortForwardDenied", "set istio.verifyEnvoys")
    assert told(world, "PortForwardDenied") == ["set istio.verifyEnvoys"]
    assert "v2" not in world.split()


def test_asking_for_more_in_mid_step_needs_a_new_proof() -> None:
    world = adopted().release("v2").run_to(Phase.SHIFTING)
    world.spec["sync"] = {"verify": "envoy"}
    world.run_to(Phase.ANALYSING)
    assert world.questions[-1].verify
    assert condition(world, "ProxiesSynced")[1] == "Verified"


def test_a_deletion_does_not_wait_for_envoys() -> None:
    world = careful().release("v2").run_to(Phase.ANALYSING)
    world.deleting = True
    world.run(until=lambda w: w.gone)
    restoring = [question for question in world.questions if question.splits][-1]
    assert not restoring.verify
    assert world.split() == {"v1": 100}


def test_a_rollback_s_own_proof_reads_envoys_too() -> None:
    world = careful().release("v2")
    world.error_rate = {"v2": 0.5}
    world.run_to(Phase.ROLLED_BACK)
    assert world.questions[-1].verify
    assert EnvoysRead(1, 3, 40).total == 4
