"""What the operator records: the whole state of a rollout lives here, so that a crash at any line loses nothing.

`phase` and `message` are for people; machines read `conditions`. Everything under `rollout` is the machine's memory.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from canaryrollout.api.drift import DriftState
from canaryrollout.api.evidence import Baseline, EvidenceState
from canaryrollout.api.model import StatusModel as Model
from canaryrollout.api.quantities import Time


class Phase(StrEnum):
    """Where a CanaryRollout is; the transitions are the table in core.machine."""

    PENDING = "Pending"
    """Not adopted yet, or something is missing that the conditions name; the mesh is untouched."""
    ADOPTING = "Adopting"
    """All traffic is being pinned to the version that already serves."""
    STABLE = "Stable"
    """One version serves everything, and it is the desired one."""
    PREPARING = "Preparing"
    """The canary's subset is being created; its clusters are not proved yet. Weight 0."""
    SHIFTING = "Shifting"
    """A step's weights are written; the proxies' acknowledgement is awaited."""
    ANALYSING = "Analysing"
    """The weights are proved; evidence is being counted."""
    PAUSED = "Paused"
    """Weights are held, by request or for lack of a verdict. Rollback stays armed."""
    PROMOTING = "Promoting"
    """The canary passed; the old version leaves the routes and the trial policy is undone."""
    ROLLING_BACK = "RollingBack"
    """All traffic is going back to stable; the proxies' acknowledgement is awaited."""
    ROLLED_BACK = "RolledBack"
    """Stable serves everything again; stays so until spec.version changes or a retry is asked for."""
    RESTORING = "Restoring"
    """Deleted in mid-rollout: all traffic is going back to stable before the finalizer is released."""


class Condition(Model):
    """A Kubernetes condition (metav1.Condition)."""

    type: Annotated[str, Field(max_length=64)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Field(max_length=128)]
    message: Annotated[str, Field(max_length=4096)]
    last_transition_time: Time
    observed_generation: int = 0


class RouteRecord(Model):
    """One HTTP route that moves, as found when the rollout began."""

    key: Annotated[str, Field(max_length=256)] = Field(description="The route's name, or a digest of its matches where it has none.")
    why: Annotated[str, Field(max_length=32)] = Field(default="", description="Why it moves: Stable, StableAndCanary or PlainHost.")
    added: bool = Field(default=False, description="The canary's destination was added by the operator.")
    weightless: bool = Field(default=False, description="Stable's destination carried no weight field.")
    narrowed: bool = Field(default=False, description="Stable's destination carried no subset (plain host).")


ROUTES_LIMIT = 256


class Routing(Model):
    """What the rollout found in the mesh, so that leaving restores exactly that."""

    virtual_service: Annotated[str, Field(max_length=253)]
    destination_rule: Annotated[str, Field(max_length=253)]
    stable_subset: Annotated[str, Field(max_length=63)]
    canary_subset: Annotated[str, Field(max_length=63)] = ""
    added_stable_subset: bool = False
    added_canary_subset: bool = False
    retired_subset: Annotated[str, Field(max_length=63)] = Field(
        default="", description="Subset that the operator added for the version before stable; removed when the next rollout is promoted."
    )
    canary_policy_before: dict[str, Any] | None = Field(
        default=None,
        description="The trafficPolicy that the canary's own subset had.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    trial_policy: bool = Field(default=False, description="The operator gave the canary's subset spec.canaryTrafficPolicy; it has to go.")
    version_label: Annotated[str, Field(max_length=317)] = Field(
        default="", description="The label that told versions apart when this was found; an edit of it waits for the next rollout."
    )
    routes: Annotated[tuple[RouteRecord, ...], Field(max_length=ROUTES_LIMIT)] = ()
    narrowed: Annotated[tuple[Annotated[str, Field(max_length=256)], ...], Field(max_length=ROUTES_LIMIT)] = Field(
        default=(), description="Keys of routes in which a destination without a subset got stable's, or which the operator created."
    )
    roots: Annotated[tuple[Annotated[str, Field(max_length=317)], ...], Field(max_length=64)] = Field(
        default=(), description='"NAMESPACE/NAME" of the VirtualServices that delegate to it, where it is a delegate.'
    )
    only_routes: Annotated[tuple[Annotated[str, Field(max_length=253)], ...], Field(max_length=64)] | None = Field(
        default=None, description="spec.virtualService.routes when this was found; an edit of it waits for the next rollout."
    )
    pinned: Annotated[tuple[Annotated[str, Field(max_length=300)], ...], Field(max_length=ROUTES_LIMIT)] = Field(
        default=(),
        description="Routes that moved or were left on stable, each with a digest of its matches: by that they are known again in "
        "mid-rollout, and kept on stable at rest.",
    )
    others: Annotated[tuple[Annotated[str, Field(max_length=300)], ...], Field(max_length=ROUTES_LIMIT)] | None = Field(
        default=None,
        description="Routes to the canary's subset that were there beside those that move, each with a digest of its matches: people's, "
        "and left alone.",
    )


class StepStatus(Model):
    """The step under way."""

    index: int = Field(description="Counted from 0; spec.steps[index] at the time.")
    weight: int
    started_at: Time = Field(description="API time at which the weights were intended.")
    synced_at: Time | None = Field(default=None, description="API time at which every proxy had acknowledged them.")
    observed_from: float | None = Field(default=None, description="Prometheus time from which requests count towards passing.")
    observed_until: float | None = Field(default=None, description="Prometheus time up to which requests have been counted.")


NOTICES_LIMIT = 20


class Notice(Model):
    """Something to know that holds nothing up."""

    reason: Annotated[str, Field(max_length=128)]
    message: Annotated[str, Field(max_length=1024)]


class RolloutState(Model):
    """A rollout under way, or the last one."""

    version: Annotated[str, Field(max_length=63)]
    stable: Annotated[str, Field(max_length=63)]
    started_at: Time
    ended_at: Time | None = None
    phase_since: Time
    step: StepStatus | None = None
    reason: Annotated[str, Field(max_length=128)] = ""
    explanation: Annotated[str, Field(max_length=2048)] = ""
    revert: bool = Field(default=False, description="Goes back to the version that served before: one step, no analysis.")
    baseline: Baseline | None = Field(default=None, description="What stable was like in the hour before the rollout.")
    forecast: Annotated[str, Field(max_length=1024)] = Field(default="", description="How long the steps take at the traffic of that hour.")
    notices: Annotated[tuple[Notice, ...], Field(max_length=NOTICES_LIMIT)] = Field(
        default=(), description="What to know about the configuration, and about the data that the rollout is judged by."
    )
    evidence: EvidenceState | None = Field(default=None, description="What has been counted, and what it says.")


class Handled(Model):
    """The last runtime requests that were carried out (values of the annotations)."""

    retry: Annotated[str, Field(max_length=253)] = ""
    resume: Annotated[str, Field(max_length=253)] = ""


class ProxySummary(Model):
    """The last proof in numbers; `lagging` names at most ten proxies."""

    total: int = 0
    synced: int = 0
    envoys_read: int = Field(default=0, description="Envoys that were read besides and have it (spec.sync.verify: envoy).")
    lagging: Annotated[tuple[Annotated[str, Field(max_length=512)], ...], Field(max_length=10)] = ()


Outcome = Literal["Promoted", "RolledBack", "Superseded", "Reverted"]
"""How a rollout ended."""


class HistoryEntry(Model):
    """One finished rollout."""

    version: Annotated[str, Field(max_length=63)]
    stable: Annotated[str, Field(max_length=63)]
    outcome: Outcome
    reason: Annotated[str, Field(max_length=128)] = ""
    message: Annotated[str, Field(max_length=2048)] = ""
    weight: int = 0
    started_at: Time
    ended_at: Time


class CanaryRolloutStatus(Model):
    """Observed state. Empty on a new object."""

    observed_generation: int = 0
    phase: Phase = Phase.PENDING
    message: Annotated[str, Field(max_length=4096)] = ""
    stable_version: Annotated[str, Field(max_length=63)] = ""
    previous_version: Annotated[str, Field(max_length=63)] = Field(
        default="", description="Served before; reverting to it needs no analysis."
    )
    weight: int = Field(default=0, description="Percent of traffic intended for the version on trial.")
    step: Annotated[str, Field(max_length=16)] = Field(default="", description='Step of steps, such as "2/5".')
    routing: Routing | None = None
    rollout: RolloutState | None = None
    drift: DriftState | None = Field(default=None, description="Foreign changes of the weights and subsets.")
    handled: Handled = Field(default_factory=Handled)
    proxies: ProxySummary | None = None
    relevant_workloads: Annotated[tuple[Annotated[str, Field(max_length=512)], ...], Field(max_length=1000)] = Field(
        default=(), description='"NAMESPACE/WORKLOAD" whose proxies route this service; a proxy that disconnects stays expected.'
    )
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = Field(
        default=(), json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    )
    history: Annotated[tuple[HistoryEntry, ...], Field(max_length=10)] = ()

    @property
    def pause_reason(self) -> str:
        """Why the rollout is held; "" while it is not."""
        return self.rollout.reason if self.phase is Phase.PAUSED and self.rollout is not None else ""
