"""A world in which the machine can be run step by step: objects that obey JSON Patch, proxies that follow at a chosen pace,
a provider that counts at chosen rates. Only the pure core runs; time moves when the test says so.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jsonpatch
from canaryrollout.api.evidence import Baseline
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus, Phase
from canaryrollout.core.context import Context
from canaryrollout.core.decision import Action, CreateObject, Decision, EmitEvent, PatchObject, SetFinalizer
from canaryrollout.core.guards import ROLLBACK_REASONS
from canaryrollout.core.machine import MachineSettings, decide
from canaryrollout.core.observation import limits
from canaryrollout.core.phases import COUNTED
from canaryrollout.core.snapshot import (
    Counts,
    EnvoysRead,
    Expectation,
    MeshObjects,
    PodSeen,
    Poll,
    PollFailure,
    Problem,
    ProxyState,
    ProxyStatus,
    Reporter,
    Slice,
    Snapshot,
    SyncReport,
    VersionPods,
)
from canaryrollout.core.surroundings import Surroundings

NAMESPACE = "shop"
SETTINGS = MachineSettings()


def pods(version: str, ready: int = 2, total: int | None = None) -> VersionPods:
    """Pods of a Deployment of their own."""
    return VersionPods(total=ready if total is None else total, ready=ready, workloads=(f"reviews-{version}",))


def virtual_service(routes: list[dict[str, Any]], name: str = "reviews", **spec: Any) -> dict[str, Any]:
    """A VirtualService of the service `reviews`."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": NAMESPACE, "resourceVersion": "1"},
        "spec": {"hosts": ["reviews"], "http": routes, **spec},
    }


def destination_rule(*versions: str, name: str = "reviews", **spec: Any) -> dict[str, Any]:
    """A DestinationRule with a subset for each version."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": name, "namespace": NAMESPACE, "resourceVersion": "1"},
        "spec": {"host": "reviews", "subsets": [{"name": v, "labels": {"version": v}} for v in versions], **spec},
    }


def destination(subset: str, weight: int | None = None, **more: Any) -> dict[str, Any]:
    """One destination of a route."""
    entry: dict[str, Any] = {"destination": {"host": "reviews", "subset": subset}, **more}
    return entry if weight is None else {**entry, "weight": weight}


class Crashed(Exception):
    """The process ended here."""


@dataclass
class World:
    """Everything that a CanaryRollout lives in."""

    spec: dict[str, Any] = field(default_factory=lambda: {"service": "reviews", "version": "v1"})
    versions: dict[str, VersionPods] = field(default_factory=lambda: {"v1": pods("v1")})
    pods: tuple[PodSeen, ...] | None = None
    """Their labels, where they matter."""
    surroundings: Surroundings | None = None
    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    now: float = 1_700_000_000.0
    watched_since: float = 0.0
    rps: float = 100.0
    error_rate: dict[str, float] = field(default_factory=dict)
    slow_rate: dict[str, float] = field(default_factory=dict)
    provider_down: bool = False
    baseline: Baseline | None = None
    lagging: tuple[ProxyStatus, ...] = ()
    istiod_knows: bool = True
    questions: list[Expectation] = field(default_factory=list)
    """What the proxies were asked."""
    annotations: dict[str, str] = field(default_factory=dict)
    deleting: bool = False
    service_exists: bool = True
    mesh_readable: bool = True
    finalizer: bool = False
    gone: bool = False
    generation: int = 1
    status: dict[str, Any] = field(default_factory=dict)
    events: list[EmitEvent] = field(default_factory=list)
    writes: list[dict[str, Any]] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    last_poll: float = -1e18
    landed: frozenset[str] = frozenset()
    on_write: Callable[["World"], None] | None = None

    def add(self, *objects: dict[str, Any]) -> "World":
        """Put objects into the mesh."""
        for item in objects:
            self.objects[item["kind"], item["metadata"]["name"]] = item
        return self

    @property
    def parsed(self) -> CanaryRolloutStatus:
        """The stored status."""
        return CanaryRolloutStatus.model_validate(self.status)

    @property
    def phase(self) -> Phase:
        """The stored phase."""
        return self.parsed.phase

    def split(self, name: str = "reviews", route: int = 0) -> dict[str, int]:
        """Weights by subset of one route."""
        entries = self.objects["VirtualService", name]["spec"]["http"][route]["route"]
        lone = len(entries) == 1
        return {e["destination"].get("subset", ""): 100 if lone else e.get("weight", 0) for e in entries}

    def served(self) -> dict[str, int]:
        """Percent of the traffic by version: subsets are called like their versions here."""
        return self.split() if ("VirtualService", "reviews") in self.objects else {}

    def snapshot(self) -> Snapshot:
        """What the shell would observe now."""
        spec = CanaryRolloutSpec.model_validate(self.spec)
        status = self.parsed
        kinds: dict[str, list[dict[str, Any]]] = {"VirtualService": [], "DestinationRule": []}
        for (kind, _), item in sorted(self.objects.items()):
            kinds[kind].append(copy.deepcopy(item))
        seen = Snapshot(
            name="reviews",
            namespace=NAMESPACE,
            uid="uid-1",
            generation=self.generation,
            now=self.now,
            watched_since=self.watched_since,
            deleting=self.deleting,
            annotations=self.annotations,
            landed=self.landed,
            service={"spec": {"selector": {"app": "reviews"}}} if self.service_exists else None,
            observed_endpoints=self.service_exists,
            versions=self.versions,
            pods=self.pods,
            surroundings=self.surroundings,
            finalizer_held=self.finalizer,
            mesh=MeshObjects(tuple(kinds["VirtualService"]), tuple(kinds["DestinationRule"])) if self.mesh_readable else MeshObjects(),
            observed_mesh=self.mesh_readable,
        )
        context = Context(spec, status, seen, limits=limits(spec, status, seen))
        question = context.question
        sync = self.prove(question) if question else None
        return Snapshot(
            **{name: getattr(seen, name) for name in Snapshot.__slots__ if name not in ("sync", "poll")}, sync=sync, poll=self.poll(context)
        )

    def prove(self, expectation: Expectation) -> SyncReport:
        """The proxies' answer."""
        self.questions.append(expectation)
        proxies = self.lagging or (ProxyStatus("gateway-1.shop", ProxyState.SYNCED, "istiod-0"),)
        read = EnvoysRead(gateways=1, sidecars=3, of_sidecars=40) if expectation.verify else None
        return SyncReport(expectation, generated=self.istiod_knows, proxies=proxies, workloads=frozenset({"shop/gateway"}), envoys=read)

    def poll(self, context: Context) -> Poll | PollFailure | None:
        """The provider's answer, every five seconds, from live weights."""
        status = context.status
        if status.phase not in COUNTED or status.rollout is None or self.now - self.last_poll < 5.0:
            return None
        if self.provider_down:
            return PollFailure(Problem("PrometheusUnreachable", "Prometheus did not answer"))
        self.last_poll = self.now
        cursor = context.evidence.cursor if context.evidence else None
        if cursor is None or cursor >= self.now:
            return Poll(self.now, baseline=self.baseline if cursor is None else None)
        weights = self.served()
        requests = self.rps * (self.now - cursor)
        counts = {v: self._counts(v, requests * weights.get(v, 0) / 100) for v in (status.rollout.version, status.rollout.stable)}
        slices = tuple(
            Slice(cursor, self.now, reporter, counts[status.rollout.version], counts[status.rollout.stable]) for reporter in Reporter
        )
        return Poll(self.now, slices)

    def _counts(self, version: str, total: float) -> Counts:
        total = round(total)
        errors, slow = (round(total * rates.get(version, 0.0)) for rates in (self.error_rate, self.slow_rate))
        return Counts(total=total, errors=errors, slow=slow, timed=total)

    def step(self, *, crash_after: int | None = None) -> Decision:
        """One pass: decide, store, act. `crash_after` ends the process before that effect (0: nothing but the store)."""
        decision = decide(CanaryRolloutSpec.model_validate(self.spec), self.parsed, self.snapshot(), SETTINGS)
        if decision.status.phase is Phase.ROLLING_BACK:  # the metrics count each of these from 0 on
            assert decision.status.rollout is not None
            assert decision.status.rollout.reason in ROLLBACK_REASONS
        self.status = decision.status.model_dump(mode="json", by_alias=True, exclude_none=True)
        if not self.phases or self.phases[-1] is not decision.status.phase:
            self.phases.append(decision.status.phase)
        self.landed = frozenset()
        for index, action in enumerate(decision.actions):
            if index == crash_after:
                raise Crashed
            self.act(action)
        self.landed = frozenset(action.kind for action in decision.actions if isinstance(action, CreateObject | PatchObject))
        return decision

    def act(self, action: Action) -> None:
        """Carry out one effect as the API server would."""
        match action:
            case CreateObject(kind, name, body):
                assert (kind, name) not in self.objects
                self.objects[kind, name] = {**copy.deepcopy(dict(body))}
                self.objects[kind, name]["metadata"]["resourceVersion"] = "1"
            case PatchObject(kind, name, operations):
                patched = jsonpatch.apply_patch(self.objects[kind, name], list(operations))
                patched["metadata"]["resourceVersion"] = str(int(patched["metadata"]["resourceVersion"]) + 1)
                self.objects[kind, name] = patched
            case SetFinalizer(held):
                self.finalizer = held
                self.gone = self.deleting and not held
            case EmitEvent():
                self.events.append(action)
                return
        if isinstance(action, CreateObject | PatchObject):
            self.writes.append(copy.deepcopy(self.objects[action.kind, action.name]))
            if self.on_write:
                self.on_write(self)

    def run(self, *, until: Callable[["World"], bool], seconds: float = 3600.0) -> "World":
        """Passes, as often as the machine asks for them, until something holds."""
        end = self.now + seconds
        while not until(self):
            assert self.now < end, f"still {self.phase} after {seconds} s: {self.parsed.message}"
            decision = self.step()
            self.now += max(0.01, 5.0 if decision.requeue_after is None else decision.requeue_after)
        return self

    def run_to(self, *phases: Phase, seconds: float = 3600.0) -> "World":
        """Until one of the phases is reached."""
        return self.run(until=lambda world: world.phase in phases, seconds=seconds)

    def release(self, version: str, ready: int = 2) -> "World":
        """Deploy a version and ask for it."""
        self.versions = {**self.versions, version: pods(version, ready)}
        self.spec = {**self.spec, "version": version}
        self.generation += 1
        return self


def adopted(**more: Any) -> World:
    """A world in which v1 is stable."""
    return World(**more).run_to(Phase.STABLE)
