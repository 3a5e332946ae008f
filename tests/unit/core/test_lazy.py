"""What is worked out when first asked for is worked out once for each object."""

from dataclasses import dataclass, field, replace

from canaryrollout.core.lazy import lazy


@dataclass(frozen=True)
class Sum:
    numbers: tuple[int, ...]
    asked: list[int] = field(default_factory=list)

    @lazy
    def total(self) -> int:
        """Their sum."""
        self.asked.append(1)
        return sum(self.numbers)


def test_an_answer_is_worked_out_once() -> None:
    found = Sum((1, 2))
    assert not found.asked
    assert (found.total, found.total, len(found.asked)) == (3, 3, 1)


def test_another_object_has_an_answer_of_its_own() -> None:
    before = Sum((1, 2))
    assert before.total == 3
    assert replace(before, numbers=(5,)).total == 5


def test_the_documentation_is_that_of_the_function() -> None:
    assert Sum.total.__doc__ == "Their sum."
