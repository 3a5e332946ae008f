"""Limits that people edit in mid-rollout: what has been counted and bet so far, in the light of what counts from now on.

A test's evidence speaks against the limit that it was bet against, and against every stricter one. Where the limit is loosened it says
nothing any more, so the test begins anew with at most what has been staked on it. The evidence is at most the whole stake then, so from the
last edit on a canary that keeps the limits as they are is rolled back with at most the promised chance; one that has kept all of them all
the time over the whole rollout, for what is only ever lessened stays a supermartingale.
"""

import zlib

from canaryrollout.api.evidence import NO_COMPARISON, CustomEvidence, EvidenceState, ReporterEvidence, Trouble
from canaryrollout.core import stakes
from canaryrollout.core.limits import Limits
from canaryrollout.core.snapshot import CustomMetricQuery


def under(state: EvidenceState, limits: Limits) -> EvidenceState:
    """The evidence as it counts under these limits."""
    return _know_metrics(_same_latency(_lessened(state, limits), limits.latency), limits)


def _lessened(state: EvidenceState, limits: Limits) -> EvidenceState:
    increase = min(limits.max_increase, NO_COMPARISON)
    if (state.max_error_rate, state.max_increase, state.latency) == (limits.max_error_rate, increase, limits.latency):
        return state
    tests = _no_longer_against(state, limits, increase)
    lessened = stakes.begun_anew(state, tests)
    update: dict[str, object] = {"max_error_rate": limits.max_error_rate, "max_increase": increase}
    if "errors" in tests:
        # What was trouble by the stricter limit would thin out, in a rollback's explanation, what breaks the looser one.
        calm = {"errors_trouble": Trouble()}
        update |= {"source": lessened.source.model_copy(update=calm), "destination": lessened.destination.model_copy(update=calm)}
    return lessened.model_copy(update=update)


def _no_longer_against(state: EvidenceState, limits: Limits, increase: float) -> frozenset[str]:
    """The tests whose evidence says nothing about these limits; a limit that is not known has not changed."""
    tests: set[str] = set()
    if state.max_error_rate is not None and limits.max_error_rate > state.max_error_rate:
        tests |= {"errors", "catastrophe"}
    if state.max_increase is not None and increase > state.max_increase:
        tests |= {"errors_relative", "slow_relative"}
    if state.latency is not None and limits.latency != state.latency:
        tests.add("slow_relative")  # by another threshold stable may look otherwise, too
        if limits.latency > state.latency:
            tests.add("slow")
    return frozenset(tests)


def _same_latency(state: EvidenceState, latency: float) -> EvidenceState:
    """Requests counted by another threshold cannot speak for this one."""
    if state.latency == latency:
        return state
    update: dict[str, object] = {"latency": latency}
    if state.latency is not None:
        update |= {"source": _without_latency(state.source), "destination": _without_latency(state.destination)}
    return state.model_copy(update=update)


def _without_latency(view: ReporterEvidence) -> ReporterEvidence:
    none = {"timed": 0.0, "slow": 0.0, "not_fast": 0.0}
    untimed = {name: getattr(view, name).model_copy(update=none) for name in ("canary", "stable", "passed", "passing")}
    return view.model_copy(update={**untimed, "latency_trouble": Trouble()})


def _know_metrics(state: EvidenceState, limits: Limits) -> EvidenceState:
    """Custom metrics come and go with the spec; a new or changed one begins anew, and has to wait for the next stake."""
    known = {metric.digest: metric for metric in state.custom}
    fresh = (CustomEvidence(name=m.name, digest=_digest(m), ratio=not m.value) for m in limits.custom)
    kept = (metric for metric in state.custom if metric.name in limits.custom_unknown)
    custom = (*(known.get(metric.digest, metric) for metric in fresh), *kept)
    return state if custom == state.custom else state.model_copy(update={"custom": custom})


def _digest(metric: CustomMetricQuery) -> str:
    return f"{zlib.crc32(repr(metric).encode()):08x}"
