"""Answers about frozen objects that are still the very same.

A simulation, a preview and a backtest look at the same frozen objects in hundreds of passes, and one pass of the operator several
times. The operator reads them anew for each pass, so that what it remembers is never older than its pass.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

Same = TypeVar("Same", bound=tuple[Any, ...])
Alike = TypeVar("Alike", bound=tuple[Any, ...])
Answer = TypeVar("Answer")

_KEPT = 4


class Memory(Generic[Same, Alike, Answer]):
    """The last few answers of one pure function of two tuples. Threads may share it."""

    def __init__(self, function: Callable[[Same, Alike], Answer]) -> None:
        """`function` must look at nothing but its arguments."""
        self._function = function
        self._kept: tuple[tuple[tuple[int, ...], Alike, Answer, Same], ...] = ()
        """The newest first; never changed, only replaced. The objects are kept, so that nothing else gets their ids."""

    def __call__(self, same: Same, alike: Alike) -> Answer:
        """The answer, worked out where it is not remembered. What is in `same` is compared by identity, in `alike` by value."""
        ids = (*map(id, same),)
        for known, rest, answer, _ in self._kept:
            if known == ids and rest == alike:
                return answer
        answer = self._function(same, alike)
        self._kept = ((ids, alike, answer, same), *self._kept[: _KEPT - 1])
        return answer
