"""Answers about frozen objects that are still the very same.

A simulation, a preview and a backtest look at the same frozen objects in hundreds of passes, and one pass of the operator several
times. The operator reads them anew for each pass, so that what it remembers is never older than its pass.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Generic, TypeVar

Same = TypeVar("Same", bound=tuple[Any, ...])
Alike = TypeVar("Alike", bound=tuple[Any, ...])
Answer = TypeVar("Answer")

_KEPT = 4


class _Question(Generic[Same, Alike]):
    """Equal to another one about the very same objects (`same`) with equal rest (`alike`)."""

    __slots__ = ("alike", "same")

    def __init__(self, same: Same, alike: Alike) -> None:
        self.same = same
        self.alike = alike

    def __hash__(self) -> int:
        return hash(tuple(map(id, self.same)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Question):
            return False
        return all(mine is theirs for mine, theirs in zip(self.same, other.same, strict=True)) and self.alike == other.alike


class Memory(Generic[Same, Alike, Answer]):
    """The last few answers of one pure function of two tuples. Threads may share it."""

    def __init__(self, function: Callable[[Same, Alike], Answer]) -> None:
        """`function` must look at nothing but its arguments."""

        @lru_cache(maxsize=_KEPT)
        def answer(question: _Question[Same, Alike]) -> Answer:
            return function(question.same, question.alike)

        self._answer = answer

    def __call__(self, same: Same, alike: Alike) -> Answer:
        """The answer, worked out where it is not remembered. What is in `same` is compared by identity, in `alike` by value."""
        return self._answer(_Question(same, alike))
