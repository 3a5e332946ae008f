"""The guards of the transition table: one question each, answered from the context alone."""

from canaryrollout.core import proof
from canaryrollout.core.adoption import adopt, begin, next_step
from canaryrollout.core.context import Context
from canaryrollout.core.drift_wording import DRIFT_CONFLICT, TAKEN_OVER
from canaryrollout.core.requested import RESUME, RETRY, open_request
from canaryrollout.core.snapshot import Poll, Problem
from canaryrollout.core.verdict import Fail, Pass, Wait

FAILURES = frozenset(
    {
        "CanaryWithoutEndpoints",
        "CanaryCrashing",
        "ErrorRate",
        "Latency",
        "CustomMetric",
        "SyncTimedOut",
        "ProxyRejected",
        "ProxyDiffers",
        "Inconclusive",
        DRIFT_CONFLICT,
    }
)
"""Reasons of a rollback that speak against the version itself or its rollout; others (superseded) do not."""

ROLLBACK_REASONS = FAILURES | {"Superseded", "Reverted"}
"""All of them."""


SHARED_FAILURE = "SharedFailure"
"""Reason of a pause because stable does no better than the canary."""


def deleted(context: Context) -> bool:
    """The object is being deleted."""
    return context.snapshot.deleting


def deleted_at_rest(context: Context) -> bool:
    """As above, with something of the operator's left to take out, and nobody whom that would give requests to."""
    return context.snapshot.deleting and context.undoable and context.snapshot.observed_mesh


def adoptable(context: Context) -> bool:
    """Nothing is wrong, and the serving version is known, ready and routable."""
    if context.snapshot.deleting or context.problem is not None or isinstance(context.stable_found, Problem):
        return False
    return not isinstance(adopt(context.given, context.stable_found), Problem)


def version_changed(context: Context) -> bool:
    """The desired version is not the one on trial."""
    return context.status.rollout is not None and context.spec.version != context.status.rollout.version


def startable(context: Context) -> bool:
    """Another version is desired, it is ready, and nothing is in the way."""
    status = context.status
    if context.snapshot.deleting or context.spec.paused or context.spec.version == status.stable_version:
        return False
    if start_problem(context) is not None or status.routing is None:
        return False
    return not isinstance(begin(context.given, status.routing, status.stable_version), Problem)


def start_problem(context: Context) -> Problem | None:
    """Why a rollout cannot start: preflight, or a version that could not take a single request."""
    return context.problem or _canary_problem(context) or _stable_problem(context)


def _canary_problem(context: Context) -> Problem | None:
    version, pods = context.spec.version, context.pods(context.spec.version)
    label, service = context.spec.version_label, context.spec.service
    if pods.total == 0:
        return Problem(
            "VersionWithoutPods", f"no pod of Service {service!r} is labelled {label}={version}: deploy it or correct spec.version"
        )
    if pods.ready == 0:
        failing = f" ({'; '.join(pods.failing)})" if pods.failing else ""
        return Problem(
            "CanaryNotReady", f"none of the {pods.total} pods of version {version} is a ready endpoint of Service {service!r}{failing}"
        )
    if pods.crashing:
        return Problem(
            "CanaryCrashing", f"pods of version {version} end again and again ({'; '.join(pods.crashing)}): mend or remove them first"
        )
    return None


def _stable_problem(context: Context) -> Problem | None:
    stable, version = context.status.stable_version, context.spec.version
    # Nobody who asks for the version before wants to come back to one that answers nothing.
    if context.pods(stable).ready == 0 and version != context.status.previous_version:
        return Problem(
            "StableNotReady",
            f"version {stable}, to which a rollback would return, has no ready endpoint of Service {context.spec.service!r}: "
            "bring its pods back",
        )
    shared = sorted(set(context.pods(version).workloads) & set(context.pods(stable).workloads))
    if shared:
        return Problem(
            "SharedWorkload",
            f"versions {stable} and {version} are pods of one workload, {', '.join(context.pods(version).workloads)}: "
            "deploy each version as its own Deployment, so that their requests can be told apart",
        )
    return None


def canary_gone(context: Context) -> bool:
    """The canary has, or is about to have, traffic but no ready endpoint."""
    return context.status.weight > 0 and context.canary.ready == 0 and context.snapshot.observed_endpoints


def canary_crashing(context: Context) -> bool:
    """The canary has traffic, and some of its pods end again and again although others still answer."""
    rollout = context.status.rollout
    reverting = rollout is not None and rollout.revert
    return context.status.weight > 0 and bool(context.canary.crashing) and context.snapshot.observed_endpoints and not reverting


def breached(context: Context) -> bool:
    """The evidence against the canary has reached the line, and nobody has to be asked first."""
    rollout, verdict = context.status.rollout, context.verdict
    if not isinstance(verdict, Fail) or (rollout is not None and rollout.revert):
        return False
    return not _asks_first(context)


def shared_failure(context: Context) -> bool:
    """As above, but stable does no better, and the owner wants to be asked."""
    rollout = context.status.rollout
    return isinstance(context.verdict, Fail) and _asks_first(context) and not (rollout is not None and rollout.revert)


def _asks_first(context: Context) -> bool:
    return isinstance(context.verdict, Fail) and context.verdict.shared and context.analysis.on_shared_failure == "pause"


def ready_to_shift(context: Context) -> bool:
    """The canary's clusters are proved in every proxy, both versions can take requests, and counting has begun.

    The way back to the version before needs neither a count nor what it leads away from.
    """
    rollout = context.status.rollout
    if not proof.settled(context) or context.canary.ready == 0 or context.spec.paused or context.problem is not None:
        return False
    if rollout is not None and rollout.revert:
        return True
    return context.evidence is not None and context.stable.ready > 0 and not context.canary.crashing


def settled(context: Context) -> bool:
    """Every relevant proxy has acknowledged the step's weights."""
    return proof.settled(context) and not context.unmoved


def converged(context: Context) -> bool:
    """Acknowledged and cleaned up."""
    return proof.converged(context)


def converged_after_rollback(context: Context) -> bool:
    """As above, after somebody changed the routes of a version that has failed."""
    return proof.converged(context) and context.status.rollout is not None


def reverted(context: Context) -> bool:
    """Back on the version that served before: no analysis is asked for."""
    return settled(context) and context.status.rollout is not None and context.status.rollout.revert


def drifted(context: Context) -> bool:
    """Somebody changed the step's weights or subsets."""
    return context.drifted


def pause_requested(context: Context) -> bool:
    """spec.paused."""
    return context.spec.paused


def _observed_long_enough(context: Context) -> bool:
    """Whether the step has been watched for its minDuration, in Prometheus time."""
    step = context.status.rollout.step if context.status.rollout else None
    if step is None or step.observed_from is None or step.observed_until is None:
        return False
    return step.observed_until - step.observed_from >= context.analysis.min_duration


def passed(context: Context) -> bool:
    """Enough evidence for the canary, for long enough, with weights that still stand."""
    return isinstance(context.verdict, Pass) and _observed_long_enough(context) and context.problem is None


def _at_last_step(context: Context) -> bool:
    return next_step(context.spec, context.status.weight) is None


def passed_last(context: Context) -> bool:
    """The last step has passed."""
    return passed(context) and _at_last_step(context)


def _inconclusive(context: Context, policy: str) -> bool:
    step = context.status.rollout.step if context.status.rollout else None
    if step is None or step.synced_at is None or context.snapshot.poll is None:
        return False
    if context.snapshot.now - step.synced_at <= context.analysis.max_duration:
        return False
    return _inconclusive_policy(context) == policy and not isinstance(context.verdict, Pass)


def _inconclusive_policy(context: Context) -> str:
    """Promotion in doubt needs sound data that only leaves it open; without data it would be a pass by default (invariant 5)."""
    policy, verdict = context.analysis.on_inconclusive, context.verdict
    unsound = isinstance(verdict, Wait) and verdict.reason != "CollectingEvidence"
    return "pause" if policy == "promote" and unsound else policy


def inconclusive_pause(context: Context) -> bool:
    """No verdict within maxDuration: hold."""
    return _inconclusive(context, "pause")


def inconclusive_rollback(context: Context) -> bool:
    """No verdict within maxDuration: go back."""
    return _inconclusive(context, "rollback")


def inconclusive_promote(context: Context) -> bool:
    """No verdict within maxDuration: go on, as the owner asked for."""
    return _inconclusive(context, "promote") and isinstance(context.snapshot.poll, Poll) and context.problem is None


def inconclusive_promote_last(context: Context) -> bool:
    """As above, at the last step."""
    return inconclusive_promote(context) and _at_last_step(context)


def _sync_timed_out(context: Context, policy: str) -> bool:
    if context.spec.sync.on_timeout != policy or proof.settled(context):
        return False
    return context.snapshot.now - proof.waiting_since(context) > context.spec.sync.timeout


def sync_timed_out_rollback(context: Context) -> bool:
    """A proxy did not acknowledge in time: go back."""
    return _sync_timed_out(context, "rollback")


def sync_timed_out_pause(context: Context) -> bool:
    """A proxy did not acknowledge in time: hold."""
    return _sync_timed_out(context, "pause")


def resume_requested(context: Context) -> bool:
    """Somebody asks to go on."""
    return open_request(context.snapshot.annotations, RESUME, context.status.handled.resume)


def resumed(context: Context) -> bool:
    """Paused by request and the request is gone, or a resume is asked for."""
    rollout = context.status.rollout
    if context.spec.paused or rollout is None or context.taken_over_by_annotation:
        return False
    given_back = rollout.reason == TAKEN_OVER and not context.taken_over
    return rollout.reason == "PauseRequested" or given_back or resume_requested(context)


def resumed_before_shifting(context: Context) -> bool:
    """As above, before the first step."""
    rollout = context.status.rollout
    return resumed(context) and rollout is not None and rollout.step is None


def rolled_back_for_good(context: Context) -> bool:
    """Back on stable, for a reason that speaks against the version that is still desired."""
    rollout = context.status.rollout
    return proof.converged(context) and rollout is not None and rollout.version == context.spec.version and rollout.reason in FAILURES


def retry_requested(context: Context) -> bool:
    """Try the same version again."""
    return open_request(context.snapshot.annotations, RETRY, context.status.handled.retry)
