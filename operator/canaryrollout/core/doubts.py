"""What forbids finding for the canary, whatever has been counted. It holds nothing up that is found against it."""

from canaryrollout.core.snapshot import Poll, PollFailure, Problem, Snapshot, VersionPods


def doubts(snapshot: Snapshot, canary: VersionPods, stable: VersionPods) -> tuple[Problem, ...]:
    """All of them, the provider's first."""
    return (*_unanswered(snapshot.poll), *_unready(snapshot, canary), *_shared_workload(canary, stable))


def _unanswered(poll: Poll | PollFailure | None) -> tuple[Problem, ...]:
    if poll is None:
        return (Problem("BetweenPolls", "the provider was not asked in this pass"),)
    return (poll.problem,) if isinstance(poll, PollFailure) else poll.problems


def _unready(snapshot: Snapshot, canary: VersionPods) -> tuple[Problem, ...]:
    """Pods of the canary that do not serve: what the others show is not yet what all will do."""
    if canary.ready >= canary.total or not snapshot.observed_endpoints:
        return ()
    failing = f" ({'; '.join(canary.failing)})" if canary.failing else ""
    return (Problem("CanaryPodsUnready", f"{canary.ready} of {canary.total} canary pods are ready{failing}"),)


def _shared_workload(canary: VersionPods, stable: VersionPods) -> tuple[Problem, ...]:
    """A workload with pods of both versions: its requests cannot be told apart."""
    shared = sorted(set(canary.workloads) & set(stable.workloads))
    if not shared:
        return ()
    return (Problem("SharedWorkload", f"pods of both versions belong to {', '.join(shared)}: their requests cannot be told apart"),)
