"""The corpus against Istio's own definitions, which come with the programs of the local mesh."""

from copy import deepcopy
from pathlib import Path

import pytest
from canaryrollout.api.status import Phase
from hypothesis import given, settings
from localmesh.binaries import istio_crds

from tests.unit.corpus.case import Case, corpus
from tests.unit.corpus.generated import cases
from tests.unit.corpus.lives import begin, kept, promote, roll_back
from tests.unit.corpus.ours import assert_foreign_survived, promoted, rolled_back, texts
from tests.unit.corpus.schema import fields, spec_schema, used

UNUSED: dict[str, str] = {}
"""Fields that no case can use, and why."""


@pytest.fixture(scope="module")
def crds() -> Path:
    return istio_crds()


@pytest.mark.parametrize(("kind", "at_least"), [("VirtualService", 150), ("DestinationRule", 350)])
def test_every_field_of_the_api_occurs_in_the_corpus(crds: Path, kind: str, at_least: int) -> None:
    schema = spec_schema(crds, kind)
    known = set(fields(schema))
    assert len(known) >= at_least
    seen = {
        field
        for case in corpus()
        if not case.refused
        for item in case.objects
        if item["kind"] == kind
        for field in used(schema, item["spec"])
    }
    assert sorted(known - seen - set(UNUSED)) == []
    assert sorted(set(UNUSED) & seen) == []


def surviving(case: Case, moved: list[bool]) -> None:
    """Either nothing is written, or everything that is not ours survives and a rollback gives back every byte."""
    life = begin(case)
    for _ in range(20):
        life.step()
        life.now += 5
    moved.append(life.phase is Phase.STABLE)
    if not moved[-1]:
        assert life.writes == []
        return
    before = kept(life)
    assert_foreign_survived(case, life, {(item["kind"], item["metadata"]["name"]): item for item in case.objects})
    undone = roll_back(deepcopy(life), case.canary)
    assert_foreign_survived(case, undone, before)
    assert texts(undone.objects) == texts(rolled_back(case, before))
    promote(life, case.canary)
    assert_foreign_survived(case, life, before)
    assert texts(life.objects) == texts(promoted(case, before))


def test_whatever_the_definitions_allow_survives(crds: Path) -> None:
    moved: list[bool] = []

    @settings(max_examples=60)
    @given(cases(crds))
    def check(case: Case) -> None:
        surviving(case, moved)

    check()
    assert sum(moved) > len(moved) / 2, "most of what is generated can be moved"
