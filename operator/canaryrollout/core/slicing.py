"""Where slices end, and when the next one can be counted."""

from canaryrollout.core.snapshot import Poll, PollFailure

MOST_SLICES = 60
"""In one poll; the next goes on from there."""

_SHORTEST_WAIT = 0.1


def stretches(cursor: int, visible: int, length: int, boundary: int | None) -> list[range]:
    """The ends of the slices that are complete at `visible`, those of one length together (the step of a range); milliseconds.

    They lie on the grid cursor + i x length, which begins anew at the boundary.
    """
    if boundary is None or not cursor < boundary <= visible:
        found = [_grid(cursor, visible, length)]
    else:
        before = _grid(cursor, boundary, length)
        if len(before) == MOST_SLICES:
            return [before]
        reached = before[-1] if before else cursor
        cut = range(boundary, boundary + 1, boundary - reached) if reached < boundary else range(0)
        found = [before, cut, _grid(boundary, visible, length)]
    return [ends for ends in found if ends]


def _grid(cursor: int, visible: int, length: int) -> range:
    count = min(max(visible - cursor, 0) // length, MOST_SLICES)
    return range(cursor + length, cursor + count * length + 1, length)


def next_poll(poll: Poll | PollFailure, boundary: float | None, interval: float, visible_after: float) -> float:
    """Seconds until it is worth while to poll again: just after the end of the slice under way, `visible_after` later.

    Every second later than that is a second of failed requests. The cut at the boundary says nothing by itself: it is counted with
    the slice that follows.
    """
    if not isinstance(poll, Poll) or poll.now is None:
        return interval
    start = boundary if boundary is not None and poll.time < boundary < poll.time + interval else poll.time
    return min(max(start + interval + visible_after - poll.now, _SHORTEST_WAIT), interval)
