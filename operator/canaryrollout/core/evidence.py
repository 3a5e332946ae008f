"""Counting: what each poll adds to the evidence about a canary.

Evidence starts at 1. If the canary is within its limits, the chance that the evidence against it ever reaches its line
(1/alpha = 100) is at most alpha = 1 %, over the whole rollout, however often we look. A step passes when the evidence *for* the
canary reaches 1/beta (core.verdict).

Evidence against the canary takes every slice and is never reset; evidence for it takes only slices that lie wholly after
a step's weights were proved. Everything here is pure: the same slices give the same state, in one process or in many.
"""

import math
from collections import defaultdict
from collections.abc import Iterable

from canaryrollout.api.evidence import CustomEvidence, EvidenceState, ReporterEvidence, Tally
from canaryrollout.core import counting, stakes, tallies
from canaryrollout.core.changed_limits import under
from canaryrollout.core.limits import Limits
from canaryrollout.core.snapshot import CustomSlice, Poll, Reporter, Slice
from canaryrollout.core.stakes import Gains, Learned
from canaryrollout.core.wealth import REPORTERS, evidence_against, out_of_bounds, view_of

__all__ = ["EvidenceState", "begin_anew", "begin_step", "observe", "resume_step"]


def begin_step(state: EvidenceState) -> EvidenceState:
    """A step begins: a fresh stake against the canary, and evidence for it that has to grow anew."""
    placed = _staked(state)
    return placed.model_copy(
        update={
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
    placed = _staked(state)
    return placed.model_copy(
        update={"source": placed.source.model_copy(update=heard), "destination": placed.destination.model_copy(update=heard)}
    )


def _staked(state: EvidenceState) -> EvidenceState:
    """A fresh stake, the first and largest with the canary's first weight."""
    if state.weight_since is not None:
        return stakes.turn(state, stakes.LATER_STEP)
    return stakes.turn(state, stakes.FIRST_STEP).model_copy(update={"weight_since": state.cursor})


def begin_anew(state: EvidenceState, warmup: float) -> EvidenceState:
    """After a failure that has been judged: nothing of it counts a second time, but a warmup that is over does not begin again."""
    anew = begin_step(EvidenceState(cursor=state.cursor))
    if state.weight_since is None or state.cursor is None:
        return anew
    return anew.model_copy(update={"weight_since": max(state.weight_since, state.cursor - warmup)})


def _new_step(view: ReporterEvidence) -> ReporterEvidence:
    fresh = dict.fromkeys(("step", "step_stable", "lost", "charged", "proved_stable"), 0.0)
    return view.model_copy(update={**fresh, "passed": tallies.summed(view.passed, view.passing), "passing": Tally()})


def _new_custom_step(metric: CustomEvidence) -> CustomEvidence:
    return metric.model_copy(
        update={
            "passed_bad": tallies.grown(metric.passed_bad, metric.passing_bad),
            "passed_total": tallies.grown(metric.passed_total, metric.passing_total),
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
    state = under(state, limits)
    times: dict[float, list[Slice | CustomSlice]] = defaultdict(list)
    for piece in pieces:
        times[piece.end].append(piece)
    first = state
    for end in sorted(times):
        counts = counts_for_pass_from is not None and min(p.start for p in times[end]) >= counts_for_pass_from
        part = stakes.slice_part(end - state.weight_since) if state.weight_since is not None else 0.0
        counted, learned = _counted(state, times[end], limits, counts=counts, weight=canary_weight)
        state = stakes.turn(counted, part, learned, cursor=end)
        if _breached(state, limits) and not _breached(first, limits):
            # What comes later must not hide it: a breach found in a backlog counts as one found at once.
            return state
    ends = max(cursor, poll.time)
    return state if state.cursor is not None and state.cursor >= ends else state.model_copy(update={"cursor": ends})


def _breached(state: EvidenceState, limits: Limits) -> bool:
    return evidence_against(state, limits) >= limits.fail_line or out_of_bounds(state, limits) is not None


def _counted(
    state: EvidenceState, pieces: Iterable[Slice | CustomSlice], limits: Limits, *, counts: bool, weight: int
) -> tuple[EvidenceState, Learned]:
    """The state with what was counted up to one time, and what that says against the canary."""
    warm = state.weight_since is not None and limits.warmup > 0.0
    views = {reporter: view_of(state, reporter) for reporter in REPORTERS}
    custom = {metric.name: metric for metric in state.custom}
    queries = {query.name: query for query in limits.custom}
    gains: dict[Reporter, Gains] = {reporter: {} for reporter in REPORTERS}
    custom_gains: Gains = {}
    for piece in pieces:
        if isinstance(piece, Slice):
            cold = warm and piece.start < (state.weight_since or 0.0) + limits.warmup
            views[piece.reporter], said = counting.add(views[piece.reporter], piece, limits, counts=counts, cold=cold, weight=weight)
            gains[piece.reporter] = stakes.both(gains[piece.reporter], said)
        elif piece.name in queries and piece.value is None:
            custom[piece.name], shown = counting.add_ratio(custom[piece.name], piece, queries[piece.name], counts=counts)
            custom_gains = stakes.both(custom_gains, {piece.name: shown})
        elif piece.name in queries and state.weight_since is not None:
            query = queries[piece.name]
            custom[piece.name] = counting.add_value(custom[piece.name], piece, query, limits.scrape_interval, counts=counts)
    source, destination = REPORTERS
    counted = state.model_copy(update={"source": views[source], "destination": views[destination], "custom": tuple(custom.values())})
    return counted, Learned(gains[source], gains[destination], custom_gains)
