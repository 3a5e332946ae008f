"""The chain of revisions that a question stands on: without a gap, or not believed."""

import asyncio
from dataclasses import dataclass

import pytest
from canaryrollout.controller import revisions as module
from canaryrollout.controller.revisions import KEPT, Object, Revisions
from canaryrollout.core.snapshot import Expectation
from canaryrollout.core.standing import Standing, stand
from hypothesis import given, settings
from hypothesis import strategies as st


def revision(number: int, content: str = "", uid: str = "u") -> Object:
    return {"metadata": {"uid": uid, "resourceVersion": str(number)}, "content": content}


def numbers(items: list[Object] | None) -> list[str] | None:
    return None if items is None else [item["metadata"]["resourceVersion"] for item in items]


async def followed(*seen: int) -> Revisions:
    """Revisions that have been followed since the first one."""
    revisions = Revisions()
    await revisions.seen("ADDED", revision(seen[0]))
    revisions.follow(revision(seen[0]))
    for number in seen[1:]:
        await revisions.seen("MODIFIED", revision(number))
    return revisions


async def test_every_revision_since_one_that_is_known() -> None:
    revisions = await followed(3, 5, 8, 9)
    assert numbers(await revisions.after("3", revision(9), 0)) == ["5", "8", "9"]
    assert numbers(await revisions.after("5", revision(8), 0)) == ["8"]
    assert numbers(await revisions.after("9", revision(9), 0)) == []


async def test_before_it_was_followed_nothing_is_known() -> None:
    revisions = Revisions()
    for number in (3, 5, 8):
        await revisions.seen("MODIFIED", revision(number))
    assert await revisions.after("3", revision(8), 0) is None
    assert numbers(await revisions.after("8", revision(8), 0)) == [], "asking follows"
    await revisions.seen("MODIFIED", revision(9))
    assert numbers(await revisions.after("8", revision(9), 0)) == ["9"]


async def test_a_new_list_is_a_gap_where_it_shows_another_revision() -> None:
    revisions = await followed(3, 5)
    await revisions.seen(None, revision(5))
    assert numbers(await revisions.after("3", revision(5), 0)) == ["5"]
    await revisions.seen(None, revision(8))
    await revisions.seen("MODIFIED", revision(9))
    assert await revisions.after("5", revision(9), 0) is None
    assert numbers(await revisions.after("8", revision(9), 0)) == ["9"]


async def test_one_that_was_deleted_and_made_again_is_another_object() -> None:
    revisions = await followed(3)
    await revisions.seen("DELETED", revision(4))
    await revisions.seen("ADDED", revision(5, uid="v"))
    assert await revisions.after("3", revision(5, uid="v"), 0) is None
    assert await revisions.after("3", revision(5), 0) is None


async def test_a_watch_that_is_behind_is_waited_for() -> None:
    revisions = await followed(3)
    asked = asyncio.create_task(revisions.after("3", revision(6), 30))
    for number in (5, 6, 7):
        await asyncio.sleep(0)
        await revisions.seen("MODIFIED", revision(number))
    assert numbers(await asked) == ["5", "6"]


async def test_a_watch_that_stays_behind_is_not_waited_for_for_ever() -> None:
    revisions = await followed(3, 5)
    assert await revisions.after("3", revision(6), 0.01) is None


async def test_only_so_many_are_kept() -> None:
    revisions = await followed(*range(KEPT + 2))
    last = revision(KEPT + 1)
    assert await revisions.after("0", last, 0) is None
    assert len(await revisions.after("1", last, 0) or ()) == KEPT


async def test_what_nobody_asks_for_any_more_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    revisions = await followed(3, 5)
    monkeypatch.setattr(module, "FOLLOWED_SECONDS", -1.0)
    await revisions.seen("MODIFIED", revision(6))
    assert await revisions.after("3", revision(6), 0) is None


@dataclass
class Looker:
    """Looks at an object from time to time, as the observer does: reads it live and asks what came since its last look."""

    standing: Standing | None = None

    async def look(self, revisions: Revisions, item: Object) -> Standing | None:
        question = question_of(item)
        between = None
        if self.standing is not None:
            path = await revisions.after(self.standing.revision, item, 0)
            between = None if path is None else [question_of(found) for found in path]
        else:
            revisions.follow(item)
        self.standing = stand(self.standing, question, between)
        return self.standing


def question_of(item: Object) -> Expectation | None:
    """What an object asks for: content "-" nothing (a write is due), else a split of that name."""
    if item["content"] == "-":
        return None
    return Expectation(
        "shop", "reviews", "reviews", (), ((("reviews", item["content"], 100),),), revision=item["metadata"]["resourceVersion"]
    )


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from("aab-")),
        st.tuples(st.just("deliver"), st.integers(1, 3)),
        st.tuples(st.just("relist"), st.none()),
        st.tuples(st.just("look"), st.none()),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(steps=STEPS)
async def test_a_question_stands_only_since_a_revision_after_which_all_asked_for_it(steps: list[tuple[str, object]]) -> None:
    revisions, looker = Revisions(), Looker()
    history = [revision(0, "a")]
    delivered = 0
    await revisions.seen(None, history[0])
    for step, argument in steps:
        if step == "write":
            history.append(revision(len(history), str(argument)))
        elif step == "deliver":
            for item in history[delivered + 1 :][: int(str(argument))]:
                await revisions.seen("MODIFIED", item)
                delivered += 1
        elif step == "relist":
            delivered = len(history) - 1
            await revisions.seen(None, history[-1])
        else:
            standing = await looker.look(revisions, history[-1])
            now = question_of(history[-1])
            assert (standing is None) == (now is None)
            if standing is not None:
                span = history[int(standing.since) : int(standing.revision) + 1]
                assert standing.revision == history[-1]["metadata"]["resourceVersion"]
                assert {item["content"] for item in span} == {history[-1]["content"]}


async def test_harmless_edits_leave_a_question_standing_while_the_watch_keeps_up() -> None:
    revisions, looker = Revisions(), Looker()
    await revisions.seen(None, revision(0, "a"))
    for number in range(50):
        if number:
            await revisions.seen("MODIFIED", revision(number, "a"))
        if number % 3 == 0:
            standing = await looker.look(revisions, revision(number, "a"))
            assert standing is not None
            assert standing.since == "0"


@pytest.mark.parametrize("moment", range(6))
async def test_who_is_cancelled_in_the_moment_of_the_answer_is_cancelled(moment: int) -> None:
    revisions = await followed(3)
    asking = asyncio.create_task(revisions.after("3", revision(5), 30.0))
    await asyncio.sleep(0.01)
    await revisions.seen("MODIFIED", revision(4))
    for _ in range(moment):
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait({asking}, timeout=2)
    cancelled = asking.cancelled()
    asking.cancel()
    assert cancelled
