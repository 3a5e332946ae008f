"""Folding what was seen into the status: evidence, the span of Prometheus time for which the step has been watched, and the
routes that people added or renamed in mid-rollout.
"""

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import ROUTES_LIMIT, CanaryRolloutStatus, Phase
from canaryrollout.core import virtual_services as vs
from canaryrollout.core.context import COUNTED, OFF_BASELINE
from canaryrollout.core.evidence import EvidenceState, Limits, observe
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.plan import named
from canaryrollout.core.snapshot import MeshObjects, Poll, Snapshot


def limits_of(spec: CanaryRolloutSpec) -> Limits:
    """The limits that the spec sets."""
    analysis = spec.analysis
    return Limits(
        max_error_rate=analysis.max_error_rate,
        latency=analysis.max_p99_latency,
        min_requests=analysis.min_requests,
        beta=1.0 - analysis.confidence,
    )


def count(spec: CanaryRolloutSpec, status: CanaryRolloutStatus, snapshot: Snapshot, settle: float) -> CanaryRolloutStatus:
    """The status with this pass's poll counted; unchanged where there is none or nothing is on trial.

    A step counts towards passing from `settle` seconds of Prometheus time after the first poll that followed its proof.
    """
    rollout, poll = status.rollout, snapshot.poll
    if rollout is None or status.phase not in COUNTED or not isinstance(poll, Poll):
        return status
    step = rollout.step
    if step is not None and status.phase is Phase.ANALYSING:
        observed_from = poll.time + settle if step.observed_from is None else step.observed_from
        step = step.model_copy(update={"observed_from": observed_from, "observed_until": poll.time})
    counts_from = step.observed_from if step is not None and status.phase is Phase.ANALYSING else None
    known = EvidenceState.model_validate(rollout.evidence) if rollout.evidence else EvidenceState.begin()
    evidence = observe(known, poll, limits_of(spec), counts_for_pass_from=counts_from, canary_weight=status.weight)
    stored = evidence.model_dump(mode="json", by_alias=True)
    return status.model_copy(update={"rollout": rollout.model_copy(update={"step": step, "evidence": stored})})


def track(spec: CanaryRolloutSpec, status: CanaryRolloutStatus, host: ServiceHost, mesh: MeshObjects) -> CanaryRolloutStatus:
    """The status with what people changed in mid-rollout: what is moved or dressed is recorded before it is, to be undone."""
    routing = status.routing
    if routing is None or status.rollout is None or status.phase not in OFF_BASELINE:
        return status
    service = named(mesh.virtual_services, routing.virtual_service)
    routes = routing.routes if service is None else vs.tracked_routes(service, host, routing)[:ROUTES_LIMIT]
    dressed = routing.trial_policy or spec.canary_traffic_policy is not None
    return status.model_copy(update={"routing": routing.model_copy(update={"routes": routes, "trial_policy": dressed})})
