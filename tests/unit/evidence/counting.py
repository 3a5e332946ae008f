"""Small helpers to feed the evidence with counts."""

from canaryrollout.core.evidence import EvidenceState, begin_step, observe
from canaryrollout.core.limits import Limits
from canaryrollout.core.snapshot import Counts, CustomSlice, Poll, Reporter, Slice

LIMITS = Limits(max_error_rate=0.01, latency=0.5, min_requests=1, max_increase=2.0)
SLICE = 5.0


def counts(total: float, errors: float = 0, slow: float = 0) -> Counts:
    """Requests of one version in a slice, all timed."""
    return Counts(total=total, errors=errors, slow=slow, timed=total, not_fast=slow)


def started(limits: Limits = LIMITS) -> EvidenceState:
    """The first step has begun at Prometheus time 0."""
    return begin_step(observe(EvidenceState(), Poll(time=0), limits, counts_for_pass_from=None))


def fed(
    state: EvidenceState,
    *rows: tuple[Counts, Counts],
    limits: Limits = LIMITS,
    reporters: tuple[Reporter, ...] = tuple(Reporter),
    lost: float = 0.0,
    weight: int = 5,
    custom: tuple[CustomSlice, ...] = (),
) -> EvidenceState:
    """With slices of (canary, stable), all of which count towards passing; `lost` of each reached no pod."""
    for canary, stable in rows:
        start = state.cursor or 0.0
        end = start + SLICE
        pieces = tuple(Slice(start, end, r, canary, stable, lost if r is Reporter.SOURCE else 0.0) for r in reporters)
        own = tuple(CustomSlice(c.name, start, end, c.bad, c.total, c.value) for c in custom)
        state = observe(state, Poll(end, pieces, custom=own), limits, counts_for_pass_from=0.0, canary_weight=weight)
    return state
