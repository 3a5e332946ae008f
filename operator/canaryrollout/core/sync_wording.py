"""What people read about proxies that have not acknowledged a change yet."""

from canaryrollout.core.context import Context
from canaryrollout.core.drift_wording import waiting
from canaryrollout.core.proof import settled
from canaryrollout.core.snapshot import WRITE_REFUSED, EnvoysRead, ProxyState


def sync_reason(context: Context) -> str:
    """The reason of a failed proof: a refusal says more than a difference, and that more than a delay."""
    found = {proxy.state for proxy in context.snapshot.sync.lagging} if context.snapshot.sync else set()
    return next((reason for state, reason in _TELLING.items() if state in found), "SyncTimedOut")


_TELLING = {ProxyState.REJECTED: "ProxyRejected", ProxyState.DIFFERS: "ProxyDiffers"}


def envoys_read(read: EnvoysRead) -> str:
    """How many Envoys were read and have it."""
    return f"{read.total} Envoys were read and have it: all {read.gateways} gateways, {read.sidecars} of {read.of_sidecars} sidecars"


def sync_explanation(context: Context) -> str:
    """What was waited for in vain."""
    proved = "prove to have" if context.spec.sync.verify == "envoy" else "acknowledge"
    return f"the proxies did not {proved} the weights within {context.spec.sync.timeout:g} s: {lagging_summary(context)}"


def lagging_summary(context: Context, limit: int = 5) -> str:
    """What holds up the proof: pods that are not ready, or the proxies, by name and in their own words."""
    if context.plan is not None and context.plan.routes is not None and not context.safe:
        rollout = context.status.rollout
        empty = context.status.stable_version if rollout is None or context.canary.ready else rollout.version
        return f"the weights are not written while version {empty} has no ready endpoint"
    if context.plan is not None and (context.plan.pending or (settled(context) and context.plan.cleanup is not None)):
        return _unwritten(context)
    sync = context.snapshot.sync
    if sync is None:
        return "istiod has not been asked yet"
    if sync.problem is not None:
        return sync.problem.message
    named = [f"{proxy.proxy} ({proxy.state.value}{': ' + proxy.detail if proxy.detail else ''})" for proxy in sync.lagging]
    if not named:
        return "istiod does not generate the new configuration yet" if not sync.generated else "waiting for a proof of the latest write"
    more = f" and {len(named) - limit} more" if len(named) > limit else ""
    return ", ".join(named[:limit]) + more


def _unwritten(context: Context) -> str:
    drift, now = context.status.drift, context.snapshot.now
    if context.taken_over:
        return f"taken over ({context.taken_over}): nothing is written"
    if drift is not None and drift.next_attempt is not None and drift.next_attempt > now:
        return waiting(drift, now)
    refusal = next((problem for problem in context.snapshot.problems if problem.reason == WRITE_REFUSED), None)
    if refusal is not None:
        return refusal.message
    rule = context.status.routing.destination_rule if context.status.routing is not None else ""
    cleaning = f"all proxies have it; taking out of DestinationRule {rule} what is not needed any more"
    return cleaning if settled(context) else "the configuration is being written"
