"""The prover against a model of istiod, under any order of events: never a false proof, and a proof in the end."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from unittest.mock import patch

import pytest
from canaryrollout.core.snapshot import Expectation, SyncReport
from canaryrollout.core.sync import Generated, MeshPod
from canaryrollout.mesh import proxy_sync
from canaryrollout.mesh.inventory import Census, Listed
from canaryrollout.mesh.istiod import Istiod
from canaryrollout.mesh.proxy_sync import IstiodSyncProver
from canaryrollout.settings import IstioSettings
from hypothesis import example, given, settings
from hypothesis import strategies as st
from istiod_model import NEW, OLD, Proxy
from istiod_model import Istiod as Model

QUESTION = Expectation(
    namespace="shop",
    host="reviews.shop.svc.cluster.local",
    virtual_service="reviews",
    subsets=("v1", "v2"),
    splits=tuple(NEW),
    required=tuple(NEW),
    revision="2",
)


class Asker:
    """The real prover; only what it would read over the network and the clock come from the model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.prover = IstiodSyncProver(None, IstioSettings())  # type: ignore[arg-type]
        self.prover._inventory.census = self._census  # type: ignore[method-assign]
        self.prover._client.generated = self._generated  # type: ignore[method-assign]
        self._istiod = Istiod("istiod-0", "10.0.0.1", "p", required=True)
        self.meanwhile: list[Callable[[], None]] = []
        """What happens between the list of connections and the dumps."""

    def ask(self, loop: asyncio.AbstractEventLoop) -> SyncReport:
        with patch.object(proxy_sync.time, "monotonic", lambda: self.model.now), patch.object(proxy_sync, "CALL_SECONDS", -1.0):
            return loop.run_until_complete(self.prover.prove(QUESTION, frozenset()))

    async def _census(self, _: float) -> Census:
        connections = tuple(proxy.connection() for proxy in self.model.proxies)
        pods = tuple(MeshPod(connection.proxy.partition(".")[0], "shop", "client") for connection in connections)
        return Census(pods, (), (Listed(self._istiod, self.model.now, connections, {"shop/client": connections}),))

    async def _generated(self, _istiod: Istiod, name: str, _question: Expectation) -> Generated:
        while self.meanwhile:
            self.meanwhile.pop(0)()
        return self.model.dump(next(proxy for proxy in self.model.proxies if proxy.name == name))


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    created = asyncio.new_event_loop()
    yield created
    created.close()


KINDS = ["ask", "serve", "push routes", "push other", "push endpoints", "write", "begin", "finish", "acknowledge", "reconnect", "stop"]
OFTEN = {"ask": 5, "serve": 5, "push routes": 2}
STEPS = st.tuples(
    st.sampled_from([kind for kind in KINDS for _ in range(OFTEN.get(kind, 1))]),
    st.integers(0, 2),
    st.sampled_from([0.001, 0.05, 0.2, 1.0, 3.0]),
)
"""What happens, to which proxy, and how much time passes then. Of what follows an "ask", so many steps happen while it asks."""

WAITING_TOO_LONG = [
    *[(step, 0, 0.001) for step in ("ask", "write", "push routes")],
    *[("begin", 0, 3.0), ("ask", 0, 0.2), ("ask", 0, 1.0)],
    *[("push routes", 0, 0.001), ("ask", 0, 0.001)],
]
"""Two proxies wait in istiod's queue through a second push: to look at one of them would be wrong."""


def apply(model: Model, step: str, proxy: Proxy) -> None:
    match step.split():
        case ["push", kind]:
            model.push(kind)
        case ["write"]:
            model.write()
        case ["stop"]:
            proxy.stopped = not proxy.stopped
        case ["serve"]:
            model.begin(proxy)
            model.finish(proxy)
            model.acknowledge(proxy)
        case [other]:
            getattr(model, other)(proxy)


@settings(max_examples=1000)
@given(st.lists(STEPS, max_size=60))
@example([("write", 0, 0.05), ("push other", 0, 0.05), ("ask", 0, 0.05)])
@example(WAITING_TOO_LONG)
def test_in_sync_is_never_claimed_while_a_proxy_serves_something_else(
    loop: asyncio.AbstractEventLoop, steps: list[tuple[str, int, float]]
) -> None:
    model = Model(3)
    asker = Asker(model)
    steps = list(steps)
    while steps:
        step, index, seconds = steps.pop(0)
        if step == "ask":
            during = [steps.pop(0) for _ in range(min(index, len(steps))) if steps[0][0] != "ask"]
            asker.meanwhile = [partial(apply, model, kind, model.proxies[which]) for kind, which, _ in during]
            # Nothing changes for the worse again, so what is true afterwards is the least that may be claimed.
            if asker.ask(loop).in_sync:
                assert all(proxy.applied == NEW for proxy in model.proxies)
            for left in asker.meanwhile:
                left()
        else:
            apply(model, step, model.proxies[index])
        model.tick(seconds)
    asker.meanwhile = []
    _settles(model, asker, loop)


@settings(max_examples=400)
@given(st.lists(STEPS.filter(lambda step: step[0] != "ask"), max_size=40))
def test_a_prover_that_comes_late_gets_its_proof(loop: asyncio.AbstractEventLoop, steps: list[tuple[str, int, float]]) -> None:
    """An operator that restarted knows nothing of what was pushed when."""
    model = Model(3)
    for step, index, seconds in steps:
        apply(model, step, model.proxies[index])
        model.tick(seconds)
    assert _settles(model, Asker(model), loop)


def _settles(model: Model, asker: Asker, loop: asyncio.AbstractEventLoop) -> bool:
    """Everything gets pushed and acknowledged; within a minute the answer must be the truth."""
    model.write()
    model.drain()
    in_sync = False
    for _ in range(240):
        model.tick(0.25)
        in_sync = asker.ask(loop).in_sync
        if in_sync:
            break
    assert in_sync == all(proxy.applied == NEW for proxy in model.proxies)
    return in_sync


def test_a_dump_while_a_push_is_on_its_way_poisons_the_cache() -> None:
    """What the model is for: looking at the wrong moment leaves every proxy with the old weights, acknowledged and for good."""
    model = Model(3)
    model.write()
    model.push("other")
    model.dump(model.proxies[0])
    model.drain()
    assert all(proxy.applied == OLD for proxy in model.proxies)


def test_the_prover_does_not_look_while_its_own_change_is_on_its_way(loop: asyncio.AbstractEventLoop) -> None:
    model = Model(3)
    asker = Asker(model)
    model.write()
    for _ in range(10):
        asker.ask(loop)
        model.tick(0.02)
    model.push("other")
    for _ in range(10):
        asker.ask(loop)
        model.tick(0.02)
    model.drain()
    assert all(proxy.applied == NEW for proxy in model.proxies)
    assert _settles(model, asker, loop)
