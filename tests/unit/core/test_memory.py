"""What is remembered is what was asked: about the very same objects, with the same rest."""

import weakref

import pytest
from canaryrollout.core.memory import Memory

Numbers = list[int]


class Thing:
    """Something that one can see go."""


def test_an_answer_is_worked_out_once_for_the_same_objects() -> None:
    asked: list[str] = []

    def ask(same: tuple[Numbers], alike: tuple[str]) -> int:
        asked.extend(alike)
        return len(same[0])

    memory, numbers = Memory(ask), [1, 2]
    assert memory((numbers,), ("x",)) == memory((numbers,), ("x",)) == 2
    assert asked == ["x"]


def test_equal_objects_that_are_not_the_same_are_looked_at_again() -> None:
    def ask(same: tuple[Numbers], _alike: tuple[()]) -> int:
        return same[0][0]

    memory, before, after = Memory(ask), [1], [1]
    assert memory((before,), ()) == 1
    after[0] = 2
    assert memory((after,), ()) == 2
    assert memory((before,), ()) == 1


def test_another_rest_has_another_answer() -> None:
    def ask(_same: tuple[Numbers], alike: tuple[int]) -> int:
        return alike[0]

    memory, numbers = Memory(ask), [1]
    assert [memory((numbers,), (weight,)) for weight in (5, 10, 5)] == [5, 10, 5]


def test_what_is_remembered_is_held_so_that_no_other_object_gets_its_identity() -> None:
    def ask(same: tuple[Numbers], _alike: tuple[()]) -> int:
        return same[0][0]

    memory = Memory(ask)
    assert [memory(([number],), ()) for number in range(1000)] == list(range(1000))


def test_an_error_is_not_remembered() -> None:
    def ask(same: tuple[Numbers], _alike: tuple[()]) -> int:
        return same[0].pop()

    memory, numbers = Memory(ask), list[int]()
    with pytest.raises(IndexError):
        memory((numbers,), ())
    numbers.append(3)
    assert memory((numbers,), ()) == 3


def test_only_the_last_few_are_held() -> None:
    def ask(same: tuple[Thing], _alike: tuple[()]) -> Thing:
        return same[0]

    memory, seen = Memory(ask), list[weakref.ref[Thing]]()
    for _ in range(100):
        seen.append(weakref.ref(memory((Thing(),), ())))
    held = [ref() is not None for ref in seen]
    assert held[-1]
    assert sum(held) < 10
