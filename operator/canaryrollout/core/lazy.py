"""Attributes that are worked out when first asked for."""

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

Owner = TypeVar("Owner")
Answer = TypeVar("Answer")


class lazy(Generic[Owner, Answer]):
    """As functools.cached_property of Python 3.12: the one of 3.11 takes a lock each time, and a pass asks for some fifteen.

    Only for pure functions of frozen objects that have a __dict__: two threads may both work the answer out.
    """

    def __init__(self, function: Callable[[Owner], Answer]) -> None:
        self._function = function
        self._name = ""
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type[Owner], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: Any = None) -> Self: ...

    @overload
    def __get__(self, instance: Owner, owner: Any = None) -> Answer: ...

    def __get__(self, instance: Owner | None, owner: Any = None) -> Self | Answer:
        if instance is None:
            return self
        answer = instance.__dict__[self._name] = self._function(instance)
        return answer
