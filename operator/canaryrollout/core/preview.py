"""What a rollout would make of the VirtualService and the DestinationRule, stage by stage, and what a rollback would leave."""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus, Phase, Routing
from canaryrollout.core.adoption import serving_version
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.machine import MachineSettings
from canaryrollout.core.preflight.chain import structural_problem
from canaryrollout.core.preflight.inputs import Input
from canaryrollout.core.rehearsal import Move, Rehearsal, all_ready, easily_passed
from canaryrollout.core.requested import RESUME, RETRY
from canaryrollout.core.snapshot import MeshObjects, Problem, Raw, Snapshot
from canaryrollout.core.surroundings import KINDS as AROUND
from canaryrollout.core.surroundings import Surroundings
from canaryrollout.core.virtual_services import http_routes

_MOST_MOVES = 500
"""More than the longest schedule takes."""


class Kind(StrEnum):
    """What a stage of the preview is."""

    ADOPTION = "adoption"
    PREPARATION = "preparation"
    STEP = "step"
    PROMOTION = "promotion"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Stage:
    """The mesh once a stage is settled: written, proved, and cleaned up after."""

    kind: Kind
    mesh: MeshObjects
    step: str = ""
    """"2/5" of a step."""
    weight: int = 0
    """Percent of the service's traffic for the version on trial."""


@dataclass(frozen=True, slots=True)
class Preview:
    """Everything that would happen to the mesh, from now to the end of the rollout."""

    before: MeshObjects
    """As found."""
    stages: tuple[Stage, ...] = ()
    stable: str = ""
    """The version that serves now; "" where that cannot be told."""
    version: str = ""
    """The version that is, or would be, on trial."""
    routing: Routing | None = None
    """What the rollout found when it began, the routes that move among it; None where none begins."""
    baseline: MeshObjects | None = None
    """What a rollback has to restore; None where the rollout began before this preview."""
    rollback: MeshObjects | None = None
    """What a rollback from the last step leaves; None where there is nothing to roll back."""
    stopped: Problem | None = None
    """Why nothing (more) would happen, where the rollout would not come to its end."""

    @property
    def restores(self) -> bool | None:
        """Whether a rollback leaves what there was before the rollout; None where there is nothing to compare."""
        if self.baseline is None or self.rollback is None:
            return None
        return _plain(self.baseline) == _plain(self.rollback)


def preview(spec: CanaryRolloutSpec, status: CanaryRolloutStatus, snapshot: Snapshot, settings: MachineSettings) -> Preview:
    """Run the machine in memory from here: every version ready, every proxy in sync, a canary that passes, nobody who pauses.

    What forbids the rollout in the objects themselves forbids it here too, and is what `stopped` says.
    """
    host = ServiceHost(spec.service, snapshot.namespace, settings.cluster_domain)
    if not snapshot.observed_mesh:
        return Preview(snapshot.mesh, stopped=next(iter(snapshot.problems), None))
    given = Input(snapshot, spec, host, status.routing)
    stable = status.stable_version or serving_version(given)
    if isinstance(stable, Problem):  # which version serves is asked after the structure
        return Preview(snapshot.mesh, stopped=structural_problem(given) or stable)
    taken = easily_passed(spec).model_copy(update={"stable_version": stable})
    asked = {Phase.PAUSED: {RESUME: "preview"}, Phase.ROLLED_BACK: {RETRY: "preview"}}
    annotations = {**snapshot.annotations, **asked.get(status.phase, {})}
    mesh = MeshObjects(_unmanaged(snapshot.mesh.virtual_services), _unmanaged(snapshot.mesh.destination_rules))
    around = _roots_alone(snapshot.surroundings)
    ideal = replace(
        snapshot,
        problems=(),
        surroundings=around,
        pods=None,
        custom_metrics=(),
        custom_unknown=frozenset(),
        annotations=annotations,
        mesh=mesh,
    )
    on_trial = (status.rollout.version, status.rollout.stable) if status.rollout is not None else ()
    versions = {version: f"{spec.service}-{version}" for version in (spec.version, stable, *on_trial)}
    return _Run(taken, status, ideal, versions, settings).preview(stable)


def _roots_alone(around: Surroundings | None) -> Surroundings | None:
    """Of other namespaces only the VirtualServices that delegate: without them a delegate would have no root."""
    if around is None:
        return None
    roots = tuple(item for item in around.virtual_services if any(route.get("delegate") for route in http_routes(item)))
    return Surroundings(virtual_services=roots, root_namespace=around.root_namespace, unreadable=AROUND) if roots else None


@dataclass
class _Run:
    """One rehearsal and what is kept of it."""

    spec: CanaryRolloutSpec
    status: CanaryRolloutStatus
    snapshot: Snapshot
    versions: dict[str, str]
    settings: MachineSettings
    stages: list[Stage] = field(default_factory=list)
    routing: Routing | None = None
    baseline: MeshObjects | None = None
    on_trial: tuple[CanaryRolloutStatus, MeshObjects] | None = None
    """The last state in which the canary had traffic."""

    def preview(self, stable: str) -> Preview:
        rehearsal = Rehearsal(self.spec, self.status, all_ready(self.snapshot, self.versions), self.settings)
        if self.status.rollout is not None and self.status.rollout.ended_at is None:
            self.routing = self.status.routing
            if self.status.weight:
                self.on_trial = self.status, self.snapshot.mesh
        stopped = self._rehearse(rehearsal)
        return Preview(
            self.snapshot.mesh, tuple(self.stages), stable, self.spec.version, self.routing, self.baseline, self._undone(), stopped
        )

    def _rehearse(self, rehearsal: Rehearsal) -> Problem | None:
        """Keep what happens; the reason why it stops short, None at its proper end."""
        for _ in range(_MOST_MOVES):
            if rehearsal.status.phase is Phase.STABLE and rehearsal.status.stable_version == self.spec.version:
                return None
            move = rehearsal.next_move()
            if move is None:
                return _hindrance(rehearsal.status)
            stage = _stage(move)
            self.stages += [stage] if stage is not None else []
            self._keep(move)
            if move.ended or move.after is Phase.ROLLED_BACK:
                return None
        return _hindrance(rehearsal.status)

    def _keep(self, move: Move) -> None:
        if move.after is Phase.PREPARING and move.before is Phase.STABLE:
            self.routing, self.baseline = move.status.routing, move.mesh
        if move.after is Phase.ANALYSING:
            self.on_trial = move.status, move.mesh

    def _undone(self) -> MeshObjects | None:
        """The mesh after the canary has lost its last endpoint."""
        if self.on_trial is None or self.on_trial[0].rollout is None:
            return None
        status, mesh = self.on_trial
        rollout = self.on_trial[0].rollout
        seen = replace(all_ready(self.snapshot, self.versions, gone=rollout.version), now=rollout.phase_since, mesh=mesh)
        rehearsal = Rehearsal(self.spec, status, seen, self.settings)
        for _ in range(_MOST_MOVES):
            move = rehearsal.next_move()
            if move is None:
                return None
            if move.after in (Phase.ROLLED_BACK, Phase.STABLE):
                return move.mesh
        return None


def _hindrance(status: CanaryRolloutStatus) -> Problem:
    """What the machine itself gives as the reason."""
    ready = next(condition for condition in status.conditions if condition.type == "Ready")
    return Problem(ready.reason, ready.message)


_SETTLED = {
    (Phase.ADOPTING, Phase.STABLE): Kind.ADOPTION,
    (Phase.PREPARING, Phase.SHIFTING): Kind.PREPARATION,
    (Phase.SHIFTING, Phase.ANALYSING): Kind.STEP,
    (Phase.SHIFTING, Phase.PROMOTING): Kind.STEP,
    (Phase.PROMOTING, Phase.STABLE): Kind.PROMOTION,
    (Phase.ROLLING_BACK, Phase.ROLLED_BACK): Kind.ROLLBACK,
    (Phase.ROLLING_BACK, Phase.STABLE): Kind.ROLLBACK,
}
"""Transitions that prove a phase's mesh."""


def _stage(move: Move) -> Stage | None:
    kind = Kind.ROLLBACK if move.ended else _SETTLED.get((move.before, move.after))
    if kind is None:
        return None
    at_step = kind is Kind.STEP
    return Stage(kind, move.mesh, move.status.step if at_step else "", move.status.weight if at_step else 0)


def _plain(mesh: MeshObjects) -> tuple[dict[str, Raw], dict[str, Raw]]:
    """The objects by name, without what the API server counts."""
    return _by_name(mesh.virtual_services), _by_name(mesh.destination_rules)


def _by_name(items: tuple[Raw, ...]) -> dict[str, Raw]:
    return {str(item["metadata"]["name"]): without_bookkeeping(item) for item in items}


def _unmanaged(items: tuple[Raw, ...]) -> tuple[Raw, ...]:
    """Who owns which field is no part of a preview."""
    return tuple({**item, "metadata": {k: v for k, v in item["metadata"].items() if k != "managedFields"}} for item in items)


_BOOKKEEPING = frozenset({"resourceVersion", "uid", "generation", "creationTimestamp", "managedFields", "selfLink"})


def without_bookkeeping(item: Raw) -> Raw:
    """An object without the metadata that only the API server writes, and without status."""
    metadata = {name: value for name, value in item["metadata"].items() if name not in _BOOKKEEPING}
    return {name: metadata if name == "metadata" else value for name, value in item.items() if name != "status"}
