"""What is counted: sums of requests that can be stored, and the span since the canary last looked well."""

from canaryrollout.api.evidence import MOST_COUNT, Tally, Trouble
from canaryrollout.core import evidence_formulas as formulas
from canaryrollout.core.snapshot import Counts

_TROUBLE_BET = formulas.FAIL_MULTIPLES.index(3.0)
_FADING = 0.9
"""Per slice: what is recent fades within about a minute."""
_NO_TROUBLE = Trouble()


def troubled(
    trouble: Trouble, canary: tuple[float, float], stable: tuple[float, float], limit: float, besides: tuple[float, float] = (0.0, 0.0)
) -> Trouble:
    """Page's cumulative sum (1954) against three times the limit: where it is back at 0, the trouble is over.

    `canary` and `stable` are (bad, total) of a slice, `besides` its errors without a workload and the clients that gave up.
    """
    score = trouble.score + formulas.failing_bets(limit)[_TROUBLE_BET].log_ratio(*canary)
    if score <= 0.0:
        return _NO_TROUBLE
    recent = tuple(round(grown(old * _FADING, new), 3) for old, new in zip(trouble.recent, (*canary, *stable), strict=True))
    return trouble.model_copy(
        update={
            "score": round(min(score, 1e6), 3),
            "bad": grown(trouble.bad, canary[0]),
            "total": grown(trouble.total, canary[1]),
            "stable_bad": grown(trouble.stable_bad, stable[0]),
            "stable_total": grown(trouble.stable_total, stable[1]),
            "unattributed": grown(trouble.unattributed, besides[0]),
            "aborted": grown(trouble.aborted, besides[1]),
            "recent": recent,
        }
    )


def grown(count: float, more: float) -> float:
    """A sum that can be stored: beyond this a float counts no single request any more, and parts of one need three digits."""
    found = min(count + more, MOST_COUNT)
    return found if found.is_integer() else round(found, 3)


def plus(tally: Tally, counts: Counts) -> Tally:
    """A tally with what a slice counted."""
    if not (counts.total or counts.timed):
        return tally
    return tally.model_copy(
        update={
            "total": grown(tally.total, counts.total),
            "errors": grown(tally.errors, counts.errors),
            "timed": grown(tally.timed, counts.timed),
            "slow": grown(tally.slow, counts.slow),
            "not_fast": grown(tally.not_fast, counts.not_fast),
        }
    )


def summed(one: Tally, other: Tally) -> Tally:
    """Two tallies as one."""
    return plus(one, Counts(other.total, other.errors, other.slow, other.timed, other.not_fast))
