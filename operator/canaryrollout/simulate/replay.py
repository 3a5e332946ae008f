"""One simulated rollout: the operator's own machine, pass by pass, against traffic and a mesh in memory.

Only the shell around `decide` is simulated: when a pass runs, what the proxies acknowledge, what the provider counts. Passes
that could bring nothing new (questions to the control plane before the proxies follow) are left out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from canaryrollout.api.evidence import Baseline
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus, Phase
from canaryrollout.core import slicing
from canaryrollout.core.context import Context
from canaryrollout.core.decision import CreateObject, Decision, PatchObject
from canaryrollout.core.machine import MachineSettings, decide
from canaryrollout.core.memory import Memory
from canaryrollout.core.memory_mesh import MemoryMesh
from canaryrollout.core.observation import limits
from canaryrollout.core.phases import COUNTED, PROVING
from canaryrollout.core.rehearsal import Rehearsal
from canaryrollout.core.snapshot import Expectation, Poll, ProxyState, ProxyStatus, Slice, Snapshot, SyncReport, VersionPods
from canaryrollout.core.virtual_services import http_routes, subset_of, weight_of

SLICE_SECONDS = 5.0
EPOCH = 1_700_000_000.0
"""Where simulated time begins: status times have to be real times."""
_BEGIN_SECONDS = 1.0
"""How soon after a proof the provider may be asked again, as in controller.observe."""
_IN_SYNC = (ProxyStatus("gateway", ProxyState.SYNCED, "istiod"),)
_STABLE = "stable"
_SERVICE = {"spec": {"selector": {"app": "simulated"}}}
"""One and the same in all passes, so that what was found of it need not be found again."""


class Source(Protocol):
    """Where the counts come from: simulated traffic, or history."""

    def set_weight(self, weight: int) -> None:
        """The proxies serve a new weight from now on."""

    def run_to(self, time: float) -> None:
        """Let time pass."""

    def baseline(self) -> Baseline | None:
        """What stable was like before the rollout."""

    def slices(self, start: float, length: float, count: int) -> tuple[Slice, ...]:
        """What the provider would count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """How the operator and the mesh around the machine behave. Seconds."""

    machine: MachineSettings = field(default_factory=MachineSettings)
    sync_delay: float = 1.0
    """From a write to the acknowledgement of all proxies; they serve it from then on."""
    ingestion_delay: float = 0.5
    """As metrics.istio.Sampling: slices end so long before a poll."""
    longest: float = 86_400.0
    """Give up after so long."""


Watcher = Callable[[float, CanaryRolloutStatus], None]
"""Called after each pass with the time and the status that was stored."""


class Replay:
    """A rollout to the version of a spec; `run` leaves the last status in `status`."""

    def __init__(
        self, spec: CanaryRolloutSpec, source: Source, shell: Shell, *, start: float = EPOCH, watch: Watcher | None = None
    ) -> None:
        begun = _BEGUN((spec,), (shell.machine, start))
        self.spec = begun.spec
        self.shell = shell
        self.source = source
        self.now = self.started = start
        self._pods = begun.pods
        self.status, self.mesh = begun.status, MemoryMesh(begun.objects)
        self.rolled_back_at: float | None = None
        """When weight 0 was written."""
        self.served_weight = 0
        self._watch = watch
        self._synced_from = start
        self._unserved = True
        """Whether the proxies have yet to follow what was written last."""
        self._polled = self._due = float("-inf")

    def run(self) -> "Replay":
        """To the rollout's end: promoted, rolled back or paused."""
        while self.now - self.started < self.shell.longest:
            decision = self._pass()
            if self._over():
                break
            self._advance(decision)
        return self

    def _over(self) -> bool:
        promoted = self.status.phase is Phase.STABLE and self.status.stable_version == self.spec.version
        return promoted or self.status.phase in (Phase.ROLLED_BACK, Phase.PAUSED)

    def _pass(self) -> Decision:
        decision = decide(self.spec, self.status, self._snapshot(), self.shell.machine)
        self.status = decision.status
        for action in decision.actions:
            if isinstance(action, CreateObject | PatchObject):
                self.mesh.write(action)
                self._unserved = True
                self._synced_from = self.now + self.shell.sync_delay
                if self.rolled_back_at is None and self.status.phase is Phase.ROLLING_BACK:
                    self.rolled_back_at = self.now
        if self._watch is not None:
            self._watch(self.now, self.status)
        return decision

    def _advance(self, decision: Decision) -> None:
        """To the next pass that can bring something new."""
        wait = decision.requeue_after
        ahead = self.now + (self.shell.machine.retry_interval if wait is None else wait)
        if self.now < self._synced_from and self.status.phase in PROVING:
            ahead = max(self._synced_from, ahead)
            if self.status.phase in COUNTED:
                ahead = min(ahead, max(self._due, self.now))
        self._run_to(ahead)

    def _run_to(self, time: float) -> None:
        if self.now < self._synced_from <= time:
            self.source.run_to(self._synced_from)
            self.now = self._synced_from
        if self.now >= self._synced_from and self._unserved:
            self._serve()
            self._unserved = False
        self.source.run_to(time)
        self.now = time

    def _serve(self) -> None:
        """The proxies have the weights that were written."""
        service = next(iter(self.mesh.view.virtual_services), None)
        canary = self.status.routing.canary_subset if self.status.routing else ""
        entries = list(http_routes(service)[0].get("route") or []) if service else []
        shares = {subset_of(entry): weight_of(entry, entries) for entry in entries}
        if self.status.phase is Phase.STABLE and self.status.stable_version == self.spec.version:
            return
        weight = shares.get(canary, 0) if canary else 0
        if weight != self.served_weight:
            self.served_weight = weight
            self.source.set_weight(weight)

    def _snapshot(self) -> Snapshot:
        poll = self._poll()
        due = self._due - self.now if self.status.phase in COUNTED and self._due > self.now else None
        seen = _snapshot(self.spec, self.mesh, self._pods, self.now, poll=poll, poll_due=due)
        if self.status.phase not in PROVING:
            return seen
        terms = limits(self.spec, self.status, seen)
        question = Context(self.spec, self.status, seen, self.shell.machine.cluster_domain, limits=terms).question
        return replace(seen, sync=self._prove(question)) if question is not None else seen

    def _prove(self, question: Expectation) -> SyncReport:
        synced = self.now >= self._synced_from
        return SyncReport(question, generated=synced, proxies=_IN_SYNC, workloads=frozenset())

    def _poll(self) -> Poll | None:
        rollout = self.status.rollout
        if rollout is None or self.status.phase not in COUNTED:
            return None
        step = rollout.step if self.status.phase is Phase.ANALYSING else None
        beginning = step is not None and step.observed_from is None
        if self.now < self._due - 1e-6 and not (beginning and self.now - self._polled >= _BEGIN_SECONDS):
            return None
        self._polled = self.now
        visible = self.now - self.shell.ingestion_delay
        boundary = step.observed_from if step is not None else None
        if rollout.evidence is None or rollout.evidence.cursor is None:
            poll = Poll(visible, now=self.now, baseline=self.source.baseline())
        else:
            poll = self._count(rollout.evidence.cursor, visible, boundary)
        machine = self.shell.machine
        self._due = self.now + slicing.next_poll(poll, boundary, machine.poll_interval, machine.visible_after)
        return poll

    def _count(self, cursor: float, visible: float, boundary: float | None) -> Poll:
        """As metrics.istio does it."""
        length = round(SLICE_SECONDS * 1000.0)
        edge = None if boundary is None else round(boundary * 1000.0)
        found: list[Slice] = []
        for ends in slicing.stretches(round(cursor * 1000.0), round(visible * 1000.0), length, edge):
            found += self.source.slices((ends[0] - ends.step) / 1000.0, ends.step / 1000.0, len(ends))
            cursor = ends[-1] / 1000.0
        return Poll(cursor, tuple(found), now=self.now)


def _snapshot(
    spec: CanaryRolloutSpec,
    mesh: MemoryMesh,
    versions: Mapping[str, VersionPods],
    now: float,
    *,
    poll: Poll | None = None,
    poll_due: float | None = None,
) -> Snapshot:
    return Snapshot(
        name=spec.service,
        namespace="simulated",
        uid="",
        generation=1,
        now=now,
        service=_SERVICE,
        versions=versions,
        finalizer_held=True,
        mesh=mesh.view,
        poll=poll,
        poll_due=poll_due,
    )


def _pods(spec: CanaryRolloutSpec, version: str) -> VersionPods:
    return VersionPods(total=2, ready=2, workloads=(f"{spec.service}-{version}",))


class _Begun(NamedTuple):
    """Where every rollout of a spec begins: a stable version serves everything, as the machine itself adopts it."""

    spec: CanaryRolloutSpec
    pods: Mapping[str, VersionPods]
    status: CanaryRolloutStatus
    objects: Mapping[tuple[str, str], Mapping[str, Any]]


def _begun(of: tuple[CanaryRolloutSpec], at: tuple[MachineSettings, float]) -> _Begun:
    (given,), (settings, now) = of, at
    stable = given.stable_version if given.stable_version not in (None, given.version) else _STABLE
    spec = given.model_copy(update={"paused": False, "stable_version": stable})
    pods = {version: _pods(spec, version) for version in (stable, spec.version)}
    resting = spec.model_copy(update={"version": stable})
    rehearsal = Rehearsal(resting, CanaryRolloutStatus(), _snapshot(resting, MemoryMesh(), pods, now), settings)
    while rehearsal.status.phase is not Phase.STABLE:
        if rehearsal.next_move() is None:
            raise ValueError(f"the rollout could not even begin: {rehearsal.status.message}")
    return _Begun(spec, pods, rehearsal.status, rehearsal.mesh.objects)


_BEGUN = Memory(_begun)
