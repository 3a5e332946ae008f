"""What people read about proxies that have not acknowledged a change yet."""

from canaryrollout.core.context import Context
from canaryrollout.core.snapshot import WRITE_REFUSED, ProxyState


def sync_reason(context: Context) -> str:
    """The reason of a failure to acknowledge: a refusal says more than a delay."""
    lagging = context.snapshot.sync.lagging if context.snapshot.sync else ()
    return "ProxyRejected" if any(proxy.state is ProxyState.REJECTED for proxy in lagging) else "SyncTimedOut"


def sync_explanation(context: Context) -> str:
    """What was waited for in vain."""
    timeout = f"{context.spec.sync.timeout:g} s"
    return f"the proxies did not acknowledge the weights within {timeout}: {lagging_summary(context)}"


def lagging_summary(context: Context, limit: int = 5) -> str:
    """What holds up the proof: pods that are not ready, or the proxies, by name and in their own words."""
    if context.plan is not None and context.plan.routes is not None and not context.safe:
        rollout = context.status.rollout
        empty = context.status.stable_version if rollout is None or context.canary.ready else rollout.version
        return f"the weights are not written while version {empty} has no ready endpoint"
    if context.plan is not None and context.plan.question is None:
        refusal = next((problem for problem in context.snapshot.problems if problem.reason == WRITE_REFUSED), None)
        return refusal.message if refusal is not None else "the configuration is being written"
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
