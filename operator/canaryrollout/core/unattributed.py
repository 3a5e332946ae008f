"""Errors that no workload answered (UH, NC, NR): which of them the canary has to answer for.

No version can be read off them, but every request went to one of the two. A canary that gets fewer requests than its weight says, by
more than chance explains, has lost the rest; what the hour before already showed is nobody's.
"""

import math

from canaryrollout.api.evidence import ReporterEvidence
from canaryrollout.core.limits import Limits
from canaryrollout.core.snapshot import Slice

DEVIATIONS = 3.0
"""The canary's number of requests varies like draws; only what it lacks beyond so many standard deviations counts against it."""

_ALLOWANCE = 2.0


def excess(piece: Slice, limits: Limits) -> float:
    """The errors of a slice beyond twice what the hour before lets us expect."""
    return max(0.0, piece.unattributed_errors - _ALLOWANCE * limits.unattributed_rate * (piece.end - piece.start))


def charged(view: ReporterEvidence, piece: Slice, lost: float, weight: int) -> float:
    """How many of this slice's `lost` count against the canary, from all that was counted since the step's proof.

    Counting from the proof, not slice by slice: single slices are short of requests by chance half of the time.
    """
    every = view.lost + lost
    if every <= 0.0 or weight <= 0:
        return 0.0
    mine = view.passing.total - view.charged + piece.canary.total
    share, total = weight / 100.0, mine + view.proved_stable + piece.stable.total + every
    short = share * total - mine - DEVIATIONS * math.sqrt(share * (1.0 - share) * total)
    return math.floor(max(0.0, min(short, every) - view.charged) * 1000.0) / 1000.0
