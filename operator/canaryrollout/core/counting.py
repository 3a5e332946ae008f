"""What a slice adds to the counts, and what it says against the canary: the gains of the tests (core.stakes)."""

import math
from collections.abc import Sequence

from canaryrollout.api.evidence import MOST_COUNT, CustomEvidence, ReporterEvidence
from canaryrollout.core import evidence_formulas as formulas
from canaryrollout.core import tallies, unattributed
from canaryrollout.core.limits import Limits
from canaryrollout.core.snapshot import Counts, CustomMetricQuery, CustomSlice, Slice
from canaryrollout.core.stakes import Gains

_SAME_SCRAPE = 0.9
_GAP = 2.5
"""In scrape intervals."""


def add(view: ReporterEvidence, piece: Slice, limits: Limits, *, counts: bool, cold: bool, weight: int) -> tuple[ReporterEvidence, Gains]:
    """One reporter's view with a slice, and what the slice says against the canary.

    `counts`: whether it can help to pass; `cold`: whether it is too early for latency; `weight`: the canary's, in percent.
    """
    if not (piece.canary.total or piece.canary.timed or piece.stable.total or piece.stable.timed or piece.unattributed_errors):
        return view, {}
    lost = unattributed.excess(piece, limits) if counts else 0.0
    charged = unattributed.charged(view, piece, lost, weight) if counts else 0.0
    canary = _with_lost(piece.canary, charged)
    stable = _with_lost(piece.stable, max(0.0, lost - charged))
    if cold:
        canary, stable = _untimed(canary), _untimed(stable)
    counted = view.model_copy(
        update={
            **_troubles(view, canary, stable, limits, charged),
            "canary": tallies.plus(view.canary, canary),
            "stable": tallies.plus(view.stable, stable),
            "aborted": tallies.grown(view.aborted, canary.aborted),
            "unattributed": tallies.grown(view.unattributed, charged),
            "lost": tallies.grown(view.lost, lost),
            "charged": tallies.grown(view.charged, charged),
            "proved_stable": tallies.grown(view.proved_stable, piece.stable.total if counts else 0.0),
            "step": tallies.grown(view.step, canary.total),
            "step_stable": tallies.grown(view.step_stable, stable.total),
            "passing": tallies.plus(view.passing, canary) if counts else view.passing,
        }
    )
    return counted, _gains(piece, canary, stable, limits)


def _with_lost(counts: Counts, lost: float) -> Counts:
    if lost <= 0.0:
        return counts
    return Counts(counts.total + lost, counts.errors + lost, counts.slow, counts.timed, counts.not_fast, counts.aborted)


def _untimed(counts: Counts) -> Counts:
    return Counts(total=counts.total, errors=counts.errors, aborted=counts.aborted)


def _troubles(view: ReporterEvidence, canary: Counts, stable: Counts, limits: Limits, charged: float) -> dict[str, object]:
    found: dict[str, object] = {}
    if canary.total > 0.0 or stable.total > 0.0:
        seen, besides = ((canary.errors, canary.total), (stable.errors, stable.total)), (charged, canary.aborted)
        found["errors_trouble"] = tallies.troubled(view.errors_trouble, *seen, limits.max_error_rate, besides)
    if canary.timed > 0.0 or stable.timed > 0.0:
        seen = (canary.slow, canary.timed), (stable.slow, stable.timed)
        found["latency_trouble"] = tallies.troubled(view.latency_trouble, *seen, limits.slow_share)
    return found


def _gains(piece: Slice, canary: Counts, stable: Counts, limits: Limits) -> Gains:
    bursts, found = limits.bursts(piece.reporter), dict[str, Sequence[float] | None]()
    if canary.total > 0.0 or stable.total > 0.0:
        seen = canary.errors, canary.total, limits.max_error_rate
        found["errors"] = formulas.absolute_gains(*seen, bursts.fail_errors)
        found["catastrophe"] = formulas.catastrophe_gains(*seen, limits.abort_error_rate, bursts.abort)
        # A client that gives up says nothing by itself; more of them than stable has do.
        compared = canary.errors + canary.aborted, canary.total, stable.errors + stable.aborted, stable.total
        found["errors_relative"] = formulas.relative_gains(*compared, increase=limits.max_increase, burst=bursts.fail_errors)
    if canary.timed > 0.0 or stable.timed > 0.0:
        found["slow"] = formulas.absolute_gains(canary.slow, canary.timed, limits.slow_share, bursts.fail_slow)
        compared = canary.slow, canary.timed, stable.slow, stable.timed
        found["slow_relative"] = formulas.relative_gains(*compared, increase=limits.max_increase, burst=bursts.fail_slow)
    return {test: gains for test, gains in found.items() if gains is not None}


def add_value(metric: CustomEvidence, piece: CustomSlice, query: CustomMetricQuery, interval: float, *, counts: bool) -> CustomEvidence:
    """A value counts once per scrape, for slices are shorter; after a gap nothing is in a row any more."""
    since = math.inf if metric.valued_at is None else piece.end - metric.valued_at
    if piece.value is None or since < interval * _SAME_SCRAPE:
        return metric
    low = query.minimum is not None and piece.value < query.minimum
    outside = low or (query.maximum is not None and piece.value > query.maximum)
    before = metric.outside if since <= interval * _GAP else 0
    return metric.model_copy(
        update={
            "value": piece.value,
            "valued_at": piece.end,
            "outside": before + 1 if outside else 0,
            "inside": metric.inside + (counts and not outside),
        }
    )


def add_ratio(
    metric: CustomEvidence, piece: CustomSlice, query: CustomMetricQuery, *, counts: bool
) -> tuple[CustomEvidence, Sequence[float]]:
    """A custom ratio with a slice, and what the slice says against the canary."""
    gains = formulas.absolute_gains(piece.bad, piece.total, query.max_rate if query.max_rate is not None else 1.0, 1.0)
    # Queries may count parts of a request: in doubt a little more are bad, and a little fewer are not.
    bad, total = math.ceil(min(piece.bad, MOST_COUNT) * 1000.0) / 1000.0, math.floor(min(piece.total, MOST_COUNT) * 1000.0) / 1000.0
    counted = metric.model_copy(
        update={
            "bad": tallies.grown(metric.bad, bad),
            "total": tallies.grown(metric.total, total),
            "passing_bad": tallies.grown(metric.passing_bad, bad if counts else 0.0),
            "passing_total": tallies.grown(metric.passing_total, total if counts else 0.0),
        }
    )
    return counted, gains
