"""Folding what was seen into the status: evidence, the span of Prometheus time for which the step has been watched, and the
routes that people added or renamed in mid-rollout.
"""

from canaryrollout.api.evidence import Baseline
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus, Notice, Phase
from canaryrollout.core import forecast, known_routes
from canaryrollout.core.changed_limits import under
from canaryrollout.core.evidence import EvidenceState, begin_step, observe
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.limits import Limits, limits_of
from canaryrollout.core.notices import joined
from canaryrollout.core.phases import COUNTED, OFF_BASELINE
from canaryrollout.core.plan import named
from canaryrollout.core.snapshot import MeshObjects, Poll, Snapshot


def limits(spec: CanaryRolloutSpec, status: CanaryRolloutStatus, snapshot: Snapshot) -> Limits:
    """The limits at the present weight."""
    baseline = status.rollout.baseline if status.rollout is not None else None
    return limits_of(spec, status.weight, baseline, snapshot.custom_metrics, snapshot.custom_unknown)


def count(spec: CanaryRolloutSpec, status: CanaryRolloutStatus, snapshot: Snapshot, settle: float) -> CanaryRolloutStatus:
    """The status with this pass's poll counted. Without a poll only what was edited since the last one is applied: limits count at once.

    A step counts towards passing from one scrape interval of Prometheus time (`settle` seconds where it could not be measured)
    after the first poll that followed its proof: what is scraped earlier may have happened under the old weights.
    The cursor moves with each poll, in a pause too, so each poll is stored: rollback is armed in a pause, and who takes over has to go on
    counting where the last one stopped, not from before the pause, of which Prometheus may know no more.
    """
    rollout, poll = status.rollout, snapshot.poll
    if rollout is None or status.phase not in COUNTED:
        return status
    if not isinstance(poll, Poll):
        known = rollout.evidence and under(rollout.evidence, limits(spec, status, snapshot))
        same = known is rollout.evidence
        return status if same else status.model_copy(update={"rollout": rollout.model_copy(update={"evidence": known})})
    baseline = rollout.baseline or poll.baseline
    if baseline is not None and baseline.scrape_interval is None:
        baseline = baseline.model_copy(update={"scrape_interval": settle})
    step = rollout.step
    if step is not None and status.phase is Phase.ANALYSING:
        asked_at = poll.time if poll.now is None else poll.now
        interval = baseline.scrape_interval if baseline is not None else None
        observed_from = round(asked_at + (interval or settle), 3) if step.observed_from is None else step.observed_from
        step = step.model_copy(update={"observed_from": observed_from, "observed_until": poll.time})
    counts_from = step.observed_from if step is not None and status.phase is Phase.ANALYSING else None
    terms = limits_of(spec, status.weight, baseline, snapshot.custom_metrics, snapshot.custom_unknown)
    known = rollout.evidence or EvidenceState()
    evidence = observe(known, poll, terms, counts_for_pass_from=counts_from, canary_weight=status.weight)
    foreseen = (
        _foreseen(spec, baseline, settle, rollout.notices)
        if rollout.baseline is None and baseline is not None and not rollout.revert
        else {}
    )
    if rollout.evidence is None and status.weight > 0:
        evidence = begin_step(evidence)
    seen = {"step": step, "evidence": evidence, "baseline": baseline, **foreseen}
    return status.model_copy(update={"rollout": rollout.model_copy(update=seen)})


def _foreseen(spec: CanaryRolloutSpec, baseline: Baseline, scrape_interval: float, known: tuple[Notice, ...]) -> dict[str, object]:
    given = forecast.Given(spec, baseline, scrape_interval)
    return {"forecast": forecast.told(given), "notices": joined(known, forecast.notices(given))}


def track(spec: CanaryRolloutSpec, status: CanaryRolloutStatus, host: ServiceHost, mesh: MeshObjects) -> CanaryRolloutStatus:
    """The status with what people changed in mid-rollout: what is moved or dressed is recorded before it is, to be undone."""
    routing = status.routing
    if routing is None or status.rollout is None or status.phase not in OFF_BASELINE:
        return status
    service = named(mesh.virtual_services, routing.virtual_service)
    found = routing if service is None else known_routes.tracked(service, host, routing)
    if spec.canary_traffic_policy is not None and not found.trial_policy:
        found = found.model_copy(update={"trial_policy": True})
    return status if found is routing else status.model_copy(update={"routing": found})
