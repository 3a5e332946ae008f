"""The machine run in memory: its own decisions against objects that obey it, proxies that follow at once and a canary that passes.

Whatever shows or needs the outcome of a rollout before it happens goes through here, so that it cannot differ from what the operator does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from canaryrollout.api.spec import CanaryRolloutSpec, Sync
from canaryrollout.api.status import CanaryRolloutStatus, Phase
from canaryrollout.core.context import Context
from canaryrollout.core.decision import CreateObject, Decision, PatchObject, SetFinalizer
from canaryrollout.core.machine import MachineSettings, decide
from canaryrollout.core.memory_mesh import MemoryMesh
from canaryrollout.core.observation import limits
from canaryrollout.core.phases import COUNTED
from canaryrollout.core.snapshot import (
    Counts,
    MeshObjects,
    Poll,
    ProxyState,
    ProxyStatus,
    Reporter,
    Slice,
    Snapshot,
    SyncReport,
    VersionPods,
)

_IN_SYNC = (ProxyStatus("every proxy", ProxyState.SYNCED, "istiod"),)
_HEALTHY = Counts(total=1e6, timed=1e6)
_EPOCH = 1_700_000_000.0
"""Where time begins when the snapshot has none: status times have to be real times."""
_SECONDS = 10.0
"""Between two passes while evidence is counted: a scrape and a slice."""
_INSTANT = 0.1
_PATIENCE = 12
"""Passes without a move after which nothing will ever move."""


@dataclass(frozen=True, slots=True)
class Move:
    """One pass that changed the phase or the mesh."""

    before: Phase
    after: Phase
    status: CanaryRolloutStatus
    """As stored by this pass."""
    mesh: MeshObjects
    """As found by this pass, before its own write."""
    ended: bool = False
    """A deleted object was let go: nothing follows."""


class Rehearsal:
    """A rollout in memory. `status` and `mesh` are where it has got to."""

    def __init__(self, spec: CanaryRolloutSpec, status: CanaryRolloutStatus, snapshot: Snapshot, settings: MachineSettings) -> None:
        """`snapshot` gives everything but the mesh's future, the proofs and the counts."""
        self.spec = spec
        self.status = status
        self.mesh = memory_of(snapshot.mesh)
        self._seen = snapshot
        self._settings = settings
        self._now = snapshot.now or _EPOCH

    def next_move(self) -> Move | None:
        """Passes until one changes the phase or the mesh; None when none does any more."""
        for _ in range(_PATIENCE):
            before, view = self.status.phase, self.mesh.view
            decision = self._pass()
            ended = before is Phase.RESTORING and SetFinalizer(held=False) in decision.actions
            if ended or self.status.phase is not before or self.mesh.view is not view:
                return Move(before, self.status.phase, self.status, view, ended)
        return None

    def _pass(self) -> Decision:
        decision = decide(self.spec, self.status, self._snapshot(), self._settings)
        moved = decision.status.phase is not self.status.phase
        self.status = decision.status
        for action in decision.actions:
            if isinstance(action, CreateObject | PatchObject):
                self.mesh.write(action)
        self._now += _SECONDS if self.status.phase is Phase.ANALYSING and not moved else _INSTANT
        return decision

    def _snapshot(self) -> Snapshot:
        seen = replace(self._seen, now=self._now, mesh=self.mesh.view, finalizer_held=True)
        context = Context(self.spec, self.status, seen, self._settings.cluster_domain, limits=limits(self.spec, self.status, seen))
        question = context.question
        sync = SyncReport(question, generated=True, proxies=_IN_SYNC) if question is not None else None
        return replace(seen, sync=sync, poll=self._poll() if self.status.phase in COUNTED else None)

    def _poll(self) -> Poll:
        """A million healthy requests to each version, cut where the step begins to count."""
        rollout = self.status.rollout
        cursor = rollout.evidence.cursor if rollout is not None and rollout.evidence is not None else None
        if cursor is None or cursor >= self._now:
            return Poll(self._now)
        boundary = rollout.step.observed_from if rollout is not None and rollout.step is not None else None
        cuts = [cursor, *([boundary] if boundary is not None and cursor < boundary < self._now else []), self._now]
        slices = (Slice(start, end, reporter, _HEALTHY, _HEALTHY) for start, end in pairwise(cuts) for reporter in Reporter)
        return Poll(self._now, tuple(slices))


def memory_of(mesh: MeshObjects) -> MemoryMesh:
    """A mesh in memory with these objects."""
    objects = {("VirtualService", str(item["metadata"]["name"])): item for item in mesh.virtual_services}
    return MemoryMesh({**objects, **{("DestinationRule", str(item["metadata"]["name"])): item for item in mesh.destination_rules}})


def easily_passed(spec: CanaryRolloutSpec) -> CanaryRolloutSpec:
    """The spec with nothing in it that takes time or a person: what it does to the mesh is the same."""
    quick = {"min_duration": 0.0, "warmup": 0.0, "min_requests": 1, "metrics": ()}
    steps = tuple(step.model_copy(update={"min_duration": None, "analysis": None}) for step in spec.steps)
    sync = Sync(timeout=spec.sync.timeout, on_timeout=spec.sync.on_timeout)  # nobody's Envoy can be read here
    return spec.model_copy(update={"paused": False, "steps": steps, "sync": sync, "analysis": spec.analysis.model_copy(update=quick)})


def all_ready(snapshot: Snapshot, versions: Mapping[str, str], *, gone: str = "") -> Snapshot:
    """The snapshot with ready pods for every version of `versions` (version to workload), except the one that is `gone`."""
    found = {
        version: VersionPods(total=1, ready=0 if version == gone else 1, workloads=(workload,)) for version, workload in versions.items()
    }
    return replace(snapshot, versions=found, observed_endpoints=True)
