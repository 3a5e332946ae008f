"""Phases by what may happen in them, and how far a pass looks around in each."""

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus, Phase

WATCHED = frozenset({Phase.SHIFTING, Phase.ANALYSING, Phase.PAUSED, Phase.PROMOTING})
"""Phases in which evidence is counted, so that a breach is undone: all in which the canary may have traffic."""

COUNTED = frozenset(WATCHED | {Phase.PREPARING})
"""Phases in which the provider is polled: the count begins before the canary's first request."""

OFF_BASELINE = frozenset(COUNTED | {Phase.ROLLING_BACK, Phase.RESTORING})
"""Phases in which deletion has to wait until the mesh is restored."""

WRITING = frozenset(OFF_BASELINE | {Phase.ADOPTING})
"""Phases in which the machine may touch the mesh."""

AT_REST = frozenset({Phase.STABLE, Phase.ROLLED_BACK})
"""Phases in which nothing of the operator's is under way in the mesh."""

PROVING = frozenset(WRITING - {Phase.ANALYSING, Phase.PAUSED})
"""Phases that wait for the proxies."""

EXAMINED = frozenset({Phase.PREPARING, Phase.SHIFTING, Phase.ANALYSING, Phase.PAUSED})
"""Phases of a rollout in which another step may follow, so that everything of preflight has to hold."""


def looks_around(spec: CanaryRolloutSpec, status: CanaryRolloutStatus) -> bool:
    """Whether the whole of preflight is asked for: before a start, and before each step. At rest, and on the way back to a version
    that served before, only what the machine itself stands on has to be there.
    """
    if status.phase is Phase.STABLE:
        return spec.version not in (status.stable_version, status.previous_version)
    return status.phase in EXAMINED and status.rollout is not None and not status.rollout.revert


def reads_around(spec: CanaryRolloutSpec, status: CanaryRolloutStatus) -> bool:
    """Whether other namespaces are looked at: for the whole of preflight, before the first write, and always for a delegate, whose
    roots may be there.
    """
    delegate = status.routing is not None and bool(status.routing.roots)
    return looks_around(spec, status) or status.phase is Phase.PENDING or delegate
