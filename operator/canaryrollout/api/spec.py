"""What a user writes: the spec of a CanaryRollout, defaults and validation included.

The CRD in crds/ is generated from these models (api.crd); `x-kubernetes-validations` carry the CEL rules, so that the
API server refuses most mistakes before the operator sees them. Every field has a bound: CEL cost limits need it.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from canaryrollout.api.analysis import Analysis, AnalysisOverrides
from canaryrollout.api.model import Model
from canaryrollout.api.quantities import Duration, PositiveDuration

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
LABEL_VALUE = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"

ServiceName = Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL)]
# A version names a subset and an Envoy cluster: the label alphabet minus nothing, at most a label value long.
Version = Annotated[str, Field(min_length=1, max_length=63, pattern=LABEL_VALUE)]
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]

RouteName = Annotated[str, Field(min_length=1, max_length=253)]


class VirtualServiceRef(Model):
    """Which VirtualService carries the weights."""

    name: ObjectName | None = Field(
        default=None,
        description="Defaults to the one VirtualService of this namespace that routes the service; created when there is none.",
    )
    routes: Annotated[tuple[RouteName, ...], Field(min_length=1, max_length=64)] | None = Field(
        default=None,
        description="Names of the HTTP routes that move; all others stay as they are. Defaults to every route whose traffic of the "
        "service goes to stable. An edit waits for the next rollout.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )

    @field_validator("routes")
    @classmethod
    def _each_once(cls, routes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if routes is not None and len(set(routes)) < len(routes):
            raise ValueError("each route may be named once")
        return routes


class DestinationRuleRef(Model):
    """Which DestinationRule carries the subsets."""

    name: ObjectName | None = Field(
        default=None,
        description="Defaults to the one DestinationRule of this namespace for the service; created when there is none.",
    )


class Step(Model):
    """One step of the schedule."""

    weight: int = Field(ge=1, le=100, description="Percent of the service's traffic that the canary gets.")
    min_duration: Duration | None = Field(default=None, description="Overrides analysis.minDuration for this step.")
    analysis: AnalysisOverrides | None = Field(default=None, description="What this step has otherwise than spec.analysis.")


class Sync(Model):
    """What the proxies have to prove, and how long it is waited for."""

    verify: Literal["acknowledged", "envoy"] = Field(
        default="acknowledged",
        description="acknowledged: every relevant proxy has acknowledged what istiod is known to generate. "
        "envoy: besides, all gateways' Envoys and a sample of the sidecars' are read and must have it; "
        "the operator needs the chart's istio.verifyEnvoys for that.",
    )

    timeout: PositiveDuration = Field(
        default="60s", validate_default=True, description="How long proxies may take to acknowledge a change before onTimeout applies."
    )
    on_timeout: Literal["rollback", "pause"] = Field(default="rollback", description="What to do when a proxy did not acknowledge in time.")


DEFAULT_STEPS = tuple({"weight": weight} for weight in (5, 10, 25, 50, 100))

_ASCENDING: Any = {
    "rule": "self.all(s, self.exists_one(o, o.weight == s.weight))"
    " && self.map(s, s.weight).isSorted() && self[self.size() - 1].weight == 100",
    "message": "step weights must rise from step to step and the last must be 100, for example 5, 10, 25, 50, 100",
}


class CanaryRolloutSpec(Model):
    """The desired version of a service and how to get there."""

    service: ServiceName = Field(
        description="The Service, in this namespace, whose traffic is shifted.",
        json_schema_extra={
            "x-kubernetes-validations": [
                {"rule": "self == oldSelf", "message": "service is immutable: create another CanaryRollout for another service"}
            ]
        },
    )
    version: Version = Field(description="The version that should serve everything. Editing this line starts a rollout.")
    version_label: Annotated[str, Field(min_length=1, max_length=317, pattern=LABEL_KEY)] = Field(
        default="version", description="The pod label that tells versions apart."
    )
    stable_version: Version | None = Field(
        default=None,
        description="The version that serves now; read only while status.stableVersion is empty, needed where live routing does not tell.",
    )
    virtual_service: VirtualServiceRef = Field(default_factory=VirtualServiceRef)
    destination_rule: DestinationRuleRef = Field(default_factory=DestinationRuleRef)
    canary_traffic_policy: dict[str, Any] | None = Field(
        default=None,
        description="Istio trafficPolicy of the canary's subset while it is on trial.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=20)] = Field(
        default=DEFAULT_STEPS,
        validate_default=True,
        description="The weights, in rising order, ending at 100.",
        json_schema_extra={"x-kubernetes-validations": [_ASCENDING]},
    )
    analysis: Analysis = Field(default_factory=Analysis)
    sync: Sync = Field(default_factory=Sync)
    deletion_policy: Literal["Restore", "Keep", "Undo"] = Field(
        default="Restore",
        description="Deleted in mid-rollout: Restore sends all traffic to stable first, Keep leaves the weights alone. Undo restores, and "
        "takes out what the operator narrowed and added, at rest too, unless another version has pods.",
    )
    paused: bool = Field(default=False, description="Holds the rollout at its present weights; rollback stays armed.")

    @model_validator(mode="after")
    def _weights_rise_to_100(self) -> Self:
        weights = [step.weight for step in self.steps]
        if weights != sorted(set(weights)) or weights[-1] != 100:
            raise ValueError(str(_ASCENDING["message"]))
        return self

    def analysis_at(self, weight: int) -> Analysis:
        """The analysis of the step with that weight, its overrides applied; spec.analysis where there is none.

        A step that has to last longer than its maxDuration gets the time: the one may be the step's, the other the spec's.
        """
        step = next((step for step in self.steps if step.weight == weight), None)
        if step is None:
            return self.analysis
        analysis = step.analysis.applied_to(self.analysis) if step.analysis is not None else self.analysis
        shortest = analysis.min_duration if step.min_duration is None else step.min_duration
        if shortest == analysis.min_duration <= analysis.max_duration:
            return analysis
        return analysis.model_copy(update={"min_duration": shortest, "max_duration": max(shortest, analysis.max_duration)})
