"""The API server's clock, estimated from the Date header of its answers.

A Date header is the server's time cut to whole seconds, taken somewhere between the sending of a request and the arrival
of its answer. Each answer thus bounds the offset to the local monotonic clock from both sides; the bounds of several
answers intersect to well below a second.
"""

from collections.abc import Callable
from email.utils import parsedate_to_datetime


class ServerClock:
    """Keeps the estimate. `monotonic` is the local clock, in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._low: float | None = None
        self._high = 0.0
        self._latest = float("-inf")

    def observe(self, date: str, sent: float) -> None:
        """Take in the Date header of an answer to a request sent at `sent` (monotonic). An unreadable header is ignored."""
        try:
            seconds = parsedate_to_datetime(date).timestamp()
        except ValueError:
            return
        low, high = seconds - self._monotonic(), seconds + 1.0 - sent
        if self._low is None or low > self._high or high < self._low:
            # First answer, or the server's clock was stepped: the newest answer counts.
            self._low, self._high = low, high
        else:
            self._low, self._high = max(low, self._low), min(high, self._high)

    def now(self) -> float:
        """Seconds since the epoch; never less than returned before, so it stands still after the server's clock went back.

        Raises LookupError before the first answer: the local clock would silently take the server's place.
        """
        if self._low is None:
            raise LookupError("the API server has not answered yet, its time is unknown")
        self._latest = max(self._latest, self._monotonic() + self._low)
        return self._latest
