"""Counting: what each poll adds to the evidence about a canary.

Evidence starts at 1. If the canary is within its limits, the chance that the evidence against it ever reaches its line
(1/alpha = 100) is at most alpha = 1 %, over the whole rollout, however often we look. A step passes when the evidence *for* the
canary reaches 1/beta (core.verdict).

Evidence against the canary takes every slice and is never reset; evidence for it takes only slices that lie wholly after
a step's weights were proved. Everything here is pure: the same slices give the same state, in one process or in many.
"""

import math
import zlib
from collections import defaultdict
from collections.abc import Iterable

from canaryrollout.api.evidence import MOST_COUNT, CustomEvidence, EvidenceState, ReporterEvidence, Tally, Trouble
from canaryrollout.core import evidence_formulas as formulas
from canaryrollout.core import stakes, unattributed
from canaryrollout.core.limits import Bursts, Limits
from canaryrollout.core.snapshot import Counts, CustomMetricQuery, CustomSlice, Poll, Reporter, Slice
from canaryrollout.core.wealth import REPORTERS, evidence_against, out_of_bounds, view_of

__all__ = ["EvidenceState", "begin_anew", "begin_step", "observe", "resume_step"]

_TROUBLE_BET = formulas.FAIL_MULTIPLES.index(3.0)
_SAME_SCRAPE = 0.9
_GAP = 2.5
"""In scrape intervals."""
_FADING = 0.9
"""Per slice: what is recent fades within about a minute."""
_NO_TROUBLE = Trouble()


def begin_step(state: EvidenceState) -> EvidenceState:
    """A step begins: a fresh stake against the canary, and evidence for it that has to grow anew."""
    first = state.weight_since is None
    placed = stakes.stored(stakes.place(state, stakes.FIRST_STEP if first else stakes.LATER_STEP))
    return placed.model_copy(
        update={
            "weight_since": state.cursor if first else state.weight_since,
            "source": _new_step(placed.source),
            "destination": _new_step(placed.destination),
            "custom": tuple(_new_custom_step(metric) for metric in placed.custom),
        }
    )


def resume_step(state: EvidenceState) -> EvidenceState:
    """The same step goes on after a break: a fresh stake against the canary; what it has shown stands.

    Were the evidence for it begun anew, each break would be another try.
    """
    heard = {"step": 0.0, "step_stable": 0.0}
    placed = stakes.stored(stakes.place(state, stakes.FIRST_STEP if state.weight_since is None else stakes.LATER_STEP))
    return placed.model_copy(
        update={
            "weight_since": state.cursor if state.weight_since is None else state.weight_since,
            "source": placed.source.model_copy(update=heard),
            "destination": placed.destination.model_copy(update=heard),
        }
    )


def begin_anew(state: EvidenceState, warmup: float) -> EvidenceState:
    """After a failure that has been judged: nothing of it counts a second time, but a warmup that is over does not begin again."""
    anew = begin_step(EvidenceState(cursor=state.cursor))
    if state.weight_since is None or state.cursor is None:
        return anew
    return anew.model_copy(update={"weight_since": max(state.weight_since, state.cursor - warmup)})


def _new_step(view: ReporterEvidence) -> ReporterEvidence:
    fresh = dict.fromkeys(("step", "step_stable", "lost", "charged", "proved_stable"), 0.0)
    return view.model_copy(update={**fresh, "passed": _sum(view.passed, view.passing), "passing": Tally()})


def _new_custom_step(metric: CustomEvidence) -> CustomEvidence:
    return metric.model_copy(
        update={
            "passed_bad": _grown(metric.passed_bad, metric.passing_bad),
            "passed_total": _grown(metric.passed_total, metric.passing_total),
            "passing_bad": 0.0,
            "passing_total": 0.0,
            "inside": 0,
        }
    )


def observe(
    state: EvidenceState, poll: Poll, limits: Limits, *, counts_for_pass_from: float | None, canary_weight: int = 100
) -> EvidenceState:
    """Fold in a poll.

    `counts_for_pass_from` is the Prometheus time from which requests belong to the step's proved weights: slices that start earlier
    count against the canary only (None: not proved yet). A slice up to the cursor is ignored, so that a replayed poll
    changes nothing; one that straddles the cursor would count requests twice, so it is refused and the cursor stays:
    the next poll, asked from the cursor, brings its rest.
    """
    cursor = -math.inf if state.cursor is None else state.cursor
    every: tuple[Slice | CustomSlice, ...] = (*poll.slices, *poll.custom)
    pieces = [piece for piece in every if piece.end > cursor]
    if any(piece.start < cursor for piece in pieces):
        return state
    state = _know_metrics(_same_latency(state, limits.latency), limits)
    times: dict[float, list[Slice | CustomSlice]] = defaultdict(list)
    for piece in pieces:
        times[piece.end].append(piece)
    first = state
    for end in sorted(times):
        if state.weight_since is not None:
            state = stakes.place(state, stakes.slice_part(end - state.weight_since))
        counts = counts_for_pass_from is not None and min(p.start for p in times[end]) >= counts_for_pass_from
        state = stakes.stored(_fold(state, times[end], limits, counts=counts, weight=canary_weight))
        if _breached(state, limits) and not _breached(first, limits):
            # What comes later must not hide it: a breach found in a backlog counts as one found at once.
            return state.model_copy(update={"cursor": end})
    return state.model_copy(update={"cursor": max([cursor, poll.time, *times])})


def _breached(state: EvidenceState, limits: Limits) -> bool:
    return evidence_against(state, limits) >= limits.fail_line or out_of_bounds(state, limits) is not None


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
    tallies = {name: getattr(view, name).model_copy(update=none) for name in ("canary", "stable", "passed", "passing")}
    return view.model_copy(update={**tallies, "latency_trouble": Trouble()})


def _know_metrics(state: EvidenceState, limits: Limits) -> EvidenceState:
    """Custom metrics come and go with the spec; a new or changed one begins anew, and has to wait for the next stake."""
    known = {metric.digest: metric for metric in state.custom}
    fresh = (CustomEvidence(name=m.name, digest=_digest(m), ratio=not m.value) for m in limits.custom)
    kept = (metric for metric in state.custom if metric.name in limits.custom_unknown)
    custom = (*(known.get(metric.digest, metric) for metric in fresh), *kept)
    return state if custom == state.custom else state.model_copy(update={"custom": custom})


def _digest(metric: CustomMetricQuery) -> str:
    return f"{zlib.crc32(repr(metric).encode()):08x}"


def _fold(state: EvidenceState, pieces: Iterable[Slice | CustomSlice], limits: Limits, *, counts: bool, weight: int) -> EvidenceState:
    """What was counted up to one time."""
    warm = state.weight_since is not None and limits.warmup > 0.0
    views = {reporter: view_of(state, reporter) for reporter in REPORTERS}
    custom = {metric.name: metric for metric in state.custom}
    queries = {query.name: query for query in limits.custom}
    for piece in pieces:
        if isinstance(piece, Slice):
            cold = warm and piece.start < (state.weight_since or 0.0) + limits.warmup
            views[piece.reporter] = _add(views[piece.reporter], piece, limits, counts=counts, cold=cold, weight=weight)
        elif piece.name in queries and piece.value is None:
            custom[piece.name] = _add_ratio(custom[piece.name], piece, queries[piece.name], counts=counts)
        elif piece.name in queries and state.weight_since is not None:
            custom[piece.name] = _add_value(custom[piece.name], piece, queries[piece.name], limits.scrape_interval, counts=counts)
    return state.model_copy(
        update={"source": views[Reporter.SOURCE], "destination": views[Reporter.DESTINATION], "custom": tuple(custom.values())}
    )


def _add(view: ReporterEvidence, piece: Slice, limits: Limits, *, counts: bool, cold: bool, weight: int) -> ReporterEvidence:
    if not (piece.canary.total or piece.canary.timed or piece.stable.total or piece.stable.timed or piece.unattributed_errors):
        return view
    lost = unattributed.excess(piece, limits) if counts else 0.0
    charged = unattributed.charged(view, piece, lost, weight) if counts else 0.0
    canary = _with_lost(piece.canary, charged)
    stable = _with_lost(piece.stable, max(0.0, lost - charged))
    if cold:
        canary, stable = _untimed(canary), _untimed(stable)
    bursts = limits.bursts(piece.reporter)
    return view.model_copy(
        update={
            **_errors_against(view, canary, stable, limits, bursts, charged=charged),
            **_latency_against(view, canary, stable, limits, bursts.fail_slow),
            "canary": _plus(view.canary, canary),
            "stable": _plus(view.stable, stable),
            "aborted": _grown(view.aborted, canary.aborted),
            "unattributed": _grown(view.unattributed, charged),
            "lost": _grown(view.lost, lost),
            "charged": _grown(view.charged, charged),
            "proved_stable": _grown(view.proved_stable, piece.stable.total if counts else 0.0),
            "step": _grown(view.step, canary.total),
            "step_stable": _grown(view.step_stable, stable.total),
            "passing": _plus(view.passing, canary) if counts else view.passing,
        }
    )


def _with_lost(counts: Counts, lost: float) -> Counts:
    if lost <= 0.0:
        return counts
    return Counts(counts.total + lost, counts.errors + lost, counts.slow, counts.timed, counts.not_fast, counts.aborted)


def _untimed(counts: Counts) -> Counts:
    return Counts(total=counts.total, errors=counts.errors, aborted=counts.aborted)


def _errors_against(
    view: ReporterEvidence, canary: Counts, stable: Counts, limits: Limits, bursts: Bursts, *, charged: float
) -> dict[str, object]:
    bad, total = canary.errors, canary.total
    if total <= 0.0 and stable.total <= 0.0:
        return {}
    limit = limits.max_error_rate
    found: dict[str, object] = {
        "errors": stakes.multiplied(view.errors, formulas.absolute_gains(bad, total, limit, bursts.fail_errors)),
        "catastrophe": stakes.multiplied(
            view.catastrophe, formulas.catastrophe_gains(bad, total, limit, limits.abort_error_rate, bursts.abort)
        ),
        "errors_trouble": _trouble(view.errors_trouble, (bad, total), (stable.errors, stable.total), limit, (charged, canary.aborted)),
    }
    # A client that gives up says nothing by itself; more of them than stable has do.
    seen = (bad + canary.aborted, total, stable.errors + stable.aborted, stable.total)
    gains = formulas.relative_gains(*seen, increase=limits.max_increase, burst=bursts.fail_errors)
    if gains is not None:
        found["errors_relative"] = stakes.multiplied(view.errors_relative, gains)
    return found


def _latency_against(view: ReporterEvidence, canary: Counts, stable: Counts, limits: Limits, burst: float) -> dict[str, object]:
    bad, total = canary.slow, canary.timed
    if total <= 0.0 and stable.timed <= 0.0:
        return {}
    found: dict[str, object] = {
        "slow": stakes.multiplied(view.slow, formulas.absolute_gains(bad, total, limits.slow_share, burst)),
        "latency_trouble": _trouble(view.latency_trouble, (bad, total), (stable.slow, stable.timed), limits.slow_share),
    }
    gains = formulas.relative_gains(bad, total, stable.slow, stable.timed, increase=limits.max_increase, burst=burst)
    if gains is not None:
        found["slow_relative"] = stakes.multiplied(view.slow_relative, gains)
    return found


def _trouble(
    trouble: Trouble, canary: tuple[float, float], stable: tuple[float, float], limit: float, besides: tuple[float, float] = (0.0, 0.0)
) -> Trouble:
    """Page's cumulative sum (1954) against three times the limit: where it is back at 0, the trouble is over."""
    score = trouble.score + formulas.failing_bets(limit)[_TROUBLE_BET].log_ratio(*canary)
    if score <= 0.0:
        return _NO_TROUBLE
    recent = tuple(round(_grown(old * _FADING, new), 3) for old, new in zip(trouble.recent, (*canary, *stable), strict=True))
    return trouble.model_copy(
        update={
            "score": round(min(score, 1e6), 3),
            "bad": _grown(trouble.bad, canary[0]),
            "total": _grown(trouble.total, canary[1]),
            "stable_bad": _grown(trouble.stable_bad, stable[0]),
            "stable_total": _grown(trouble.stable_total, stable[1]),
            "unattributed": _grown(trouble.unattributed, besides[0]),
            "aborted": _grown(trouble.aborted, besides[1]),
            "recent": recent,
        }
    )


def _grown(count: float, more: float) -> float:
    """A sum that can be stored: beyond this a float counts no single request any more, and parts of one need three digits."""
    grown = min(count + more, MOST_COUNT)
    return grown if grown.is_integer() else round(grown, 3)


def _plus(tally: Tally, counts: Counts) -> Tally:
    if not (counts.total or counts.timed):
        return tally
    return tally.model_copy(
        update={
            "total": _grown(tally.total, counts.total),
            "errors": _grown(tally.errors, counts.errors),
            "timed": _grown(tally.timed, counts.timed),
            "slow": _grown(tally.slow, counts.slow),
            "not_fast": _grown(tally.not_fast, counts.not_fast),
        }
    )


def _sum(one: Tally, other: Tally) -> Tally:
    return _plus(one, Counts(other.total, other.errors, other.slow, other.timed, other.not_fast))


def _add_value(metric: CustomEvidence, piece: CustomSlice, query: CustomMetricQuery, interval: float, *, counts: bool) -> CustomEvidence:
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


def _add_ratio(metric: CustomEvidence, piece: CustomSlice, query: CustomMetricQuery, *, counts: bool) -> CustomEvidence:
    gains = formulas.absolute_gains(piece.bad, piece.total, query.max_rate if query.max_rate is not None else 1.0, 1.0)
    # Queries may count parts of a request: in doubt a little more are bad, and a little fewer are not.
    bad, total = math.ceil(min(piece.bad, MOST_COUNT) * 1000.0) / 1000.0, math.floor(min(piece.total, MOST_COUNT) * 1000.0) / 1000.0
    return metric.model_copy(
        update={
            "logs": stakes.multiplied(metric.logs, gains),
            "bad": _grown(metric.bad, bad),
            "total": _grown(metric.total, total),
            "passing_bad": _grown(metric.passing_bad, bad if counts else 0.0),
            "passing_total": _grown(metric.passing_total, total if counts else 0.0),
        }
    )
