"""A reconciler on an API server in memory, pass by pass."""

import copy
from functools import partial
from typing import Any

from canaryrollout.api.evidence import Baseline
from canaryrollout.controller.effects import Effects
from canaryrollout.controller.observe import Observer
from canaryrollout.controller.reconciler import Key, Reconciler
from canaryrollout.controller.recorder import Recorder
from canaryrollout.controller.revisions import Revisions
from canaryrollout.core.machine import MachineSettings
from canaryrollout.core.snapshot import Counts, CustomSlice, Expectation, Poll, ProxyState, ProxyStatus, Reporter, Slice, SyncReport
from canaryrollout.kube.resources import CANARYROLLOUTS, PODS
from canaryrollout.metrics.custom import resolve
from canaryrollout.metrics.provider import Question
from canaryrollout.telemetry import Metrics
from memory_api import NAMESPACE, Object, pod, shop

KEY = Key(NAMESPACE, "reviews")


class Mesh:
    """One proxy, in sync unless told otherwise, and a provider that has only its clock to tell until there is traffic."""

    def __init__(self) -> None:
        self.state = ProxyState.SYNCED
        self.questions: list[Question] = []
        self.asked: list[Expectation] = []
        self.rps = 0.0
        """Requests a second to each version."""
        self.errors = 0.0
        """Share of the canary's requests that fail."""
        self.baseline: Baseline | None = None
        """What a rollout is told when it begins."""
        self.now = 1_700_000_000.0

    async def prove(self, expectation: Expectation, workloads: frozenset[str]) -> SyncReport:
        self.asked.append(expectation)
        return SyncReport(expectation, generated=True, proxies=(ProxyStatus("client.shop", self.state, "istiod-0"),))

    async def poll(self, question: Question, cursor: float | None) -> Poll:
        self.questions.append(question)
        self.now += 1
        requests = self.rps * (self.now - cursor) if cursor is not None else 0.0
        if not requests:
            return Poll(self.now, baseline=self.baseline if cursor is None else None)
        canary, stable = Counts(requests, round(requests * self.errors), timed=requests), Counts(requests, timed=requests)
        slices = tuple(Slice(cursor or 0.0, self.now, reporter, canary, stable) for reporter in Reporter)
        custom = tuple(CustomSlice(query.name, cursor or 0.0, self.now, bad=canary.errors, total=requests) for query in question.metrics)
        return Poll(self.now, slices, custom=custom)


class Operator:
    """A reconciler on an API server in memory."""

    def __init__(self, **spec: Any) -> None:
        self.api, self.mesh = shop(**spec), Mesh()
        self.restart()

    def restart(self) -> None:
        """Forget everything that a process keeps."""
        settings, api, self.metrics = MachineSettings(), self.api, Metrics()
        self.revisions = Revisions()
        lookup = partial(resolve, templates={}, allow_custom=True)
        self.observer = Observer(api, self.mesh, self.mesh, settings, lookup, revisions=self.revisions)  # type: ignore[arg-type]
        self.reconciler = Reconciler(api, self.observer, Effects(api, Recorder(api, "op")), settings, self.metrics)  # type: ignore[arg-type]

    async def passes(self, count: int) -> float | None:
        again = None
        for _ in range(count):
            again = await self.reconciler.reconcile(KEY)
            self.api.time += 1
        return again

    async def polls(self, count: int) -> None:
        """Passes that each ask the provider, as after a restart."""
        for _ in range(count):
            self.restart()
            await self.passes(1)

    def edit(self, **spec: Any) -> None:
        """As a user would."""
        item = copy.deepcopy(self.raw)
        item["spec"] |= spec
        item["metadata"]["generation"] += 1
        self.api.put(CANARYROLLOUTS, item)

    @property
    def raw(self) -> Object:
        return self.api.find(CANARYROLLOUTS, "reviews")

    @property
    def phase(self) -> str:
        return str(self.raw["status"]["phase"])


def condition(operator: Operator, kind: str) -> Object:
    """A condition of the CanaryRollout."""
    return next(found for found in operator.raw["status"]["conditions"] if found["type"] == kind)


async def stable() -> Operator:
    """An operator that has adopted v1."""
    operator = Operator()
    await operator.passes(6)
    assert operator.phase == "Stable"
    operator.api.calls.clear()
    return operator


async def rolling_out() -> Operator:
    """v2 is asked for, and the rollout has begun."""
    operator = await stable()
    operator.api.put(PODS, pod("reviews-v2-a", "v2"))
    operator.edit(version="v2")
    await operator.passes(1)
    assert operator.phase == "Preparing"
    return operator


async def analysing() -> Operator:
    """v2 has its first 5 %, acknowledged; 100 requests a second go to each version."""
    operator = await rolling_out()
    operator.mesh.rps = 100.0
    while operator.phase != "Analysing":
        await operator.polls(1)
    return operator
