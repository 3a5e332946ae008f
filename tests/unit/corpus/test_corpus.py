"""Every case of the corpus through whole rollouts, rollbacks and deletions: what is not ours stays as it was, to the byte."""

from pathlib import Path

import pytest
from canaryrollout.api.status import Phase

from tests.unit.corpus.case import CASES, Case, corpus, load
from tests.unit.corpus.lives import adopted, begin, delete_in_mid_rollout, kept, promote, roll_back
from tests.unit.corpus.ours import assert_foreign_survived, promoted, rolled_back, text, texts

ALL = list(corpus())
MOVING = [case for case in ALL if not case.refused]
moving = pytest.mark.parametrize("case", MOVING, ids=lambda case: case.name)


def test_there_are_enough_cases() -> None:
    assert len(ALL) >= 60


@pytest.mark.parametrize("path", sorted(CASES.glob("*")), ids=lambda path: path.stem)
def test_a_case_says_what_is_expected_and_no_more(path: Path) -> None:
    case = load(path)
    assert bool(case.moves) != bool(case.refused)
    assert case.adoption in ("untouched", "normalized")


@moving
def test_adopting_writes_nothing_where_stable_is_pinned_already(case: Case) -> None:
    life = adopted(case)
    assert bool(life.writes) == (case.adoption == "normalized")
    assert_foreign_survived(case, life, kept(begin(case)))
    written = len(life.writes)
    for _ in range(5):
        life.step()
        life.now += 30
    assert len(life.writes) == written


@moving
def test_the_routes_that_the_case_names_move_and_no_others(case: Case) -> None:
    life = adopted(case).release(case.canary).run_to(Phase.ANALYSING)
    service = life.objects["VirtualService", case.virtual_service["metadata"]["name"]]
    shifted = []
    for index, route in enumerate(service["spec"]["http"]):
        weights = {e["destination"].get("subset"): e.get("weight", 0) for e in route.get("route") or [] if index in case.moving}
        if weights.get(case.canary_subset):
            shifted.append(index)
    assert tuple(shifted) == case.moving


@moving
def test_a_rollback_gives_back_every_byte(case: Case) -> None:
    life = adopted(case)
    before = kept(life)
    roll_back(life, case.canary)
    assert_foreign_survived(case, life, before)
    assert texts(life.objects) == texts(rolled_back(case, before))


@moving
def test_a_deletion_in_mid_rollout_gives_back_every_byte(case: Case) -> None:
    life = adopted(case)
    before = kept(life)
    delete_in_mid_rollout(life, case.canary)
    assert_foreign_survived(case, life, before)
    assert texts(life.objects) == texts(rolled_back(case, before))


@moving
def test_a_promotion_changes_what_is_ours_and_nothing_else(case: Case) -> None:
    life = adopted(case)
    before = kept(life)
    promote(life, case.canary)
    assert_foreign_survived(case, life, before)
    assert texts(life.objects) == texts(promoted(case, before))


@pytest.mark.parametrize("case", [case for case in MOVING if not case.pins_canary], ids=lambda case: case.name)
def test_there_and_back_again_leaves_the_routes_as_they_were(case: Case) -> None:
    life = adopted(case)
    before = kept(life)
    promote(life, case.canary)
    life.writes.clear()
    promote(life, case.stable)
    assert_foreign_survived(case.turned(), life, before)
    name = case.virtual_service["metadata"]["name"]
    assert text(life.objects["VirtualService", name]) == text(before["VirtualService", name])


@pytest.mark.parametrize("case", [case for case in ALL if case.refused], ids=lambda case: case.name)
def test_what_cannot_be_moved_safely_is_refused_untouched(case: Case) -> None:
    life = begin(case).release(case.canary)
    for version in (case.stable, case.canary):
        life.spec = {**life.spec, "version": version}
        for _ in range(5):
            life.step()
            life.now += 30
    assert life.writes == []
    assert [c.reason for c in life.parsed.conditions if c.type == "Stalled" and c.status == "True"] == [case.refused]
