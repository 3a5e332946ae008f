"""What is kept of the evidence: short, never more than it was, and read back as it was written, by older operators too."""

import json
import math
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from canaryrollout.api.evidence import MOST_COUNT, NO_STAKE, EvidenceState, ReporterEvidence, Tally
from canaryrollout.core import stakes
from canaryrollout.core.evidence import begin_step
from canaryrollout.core.verdict import evidence_against
from counting import LIMITS, SLICE, counts, fed, started
from hypothesis import given
from hypothesis import strategies as st

LOGS = st.floats(min_value=NO_STAKE, max_value=2e6)
COUNTS = st.one_of(st.integers(0, 2**53).map(float), st.floats(0.0, MOST_COUNT).map(lambda count: round(count, 3)))


def written(state: EvidenceState) -> dict[str, Any]:
    return state.model_dump(mode="json", by_alias=True, exclude_none=True)


def read_back(model: Any) -> Any:
    return type(model).model_validate(json.loads(json.dumps(model.model_dump(mode="json", by_alias=True, exclude_none=True))))


@given(st.lists(LOGS, min_size=7, max_size=7), st.floats(NO_STAKE, 0.0))
def test_what_is_stored_of_a_product_is_never_more_than_it_was(logs: list[float], faint: float) -> None:
    kept = stakes.products(logs, None, 0.0, faint)
    assert all(short == NO_STAKE or short <= log for short, log in zip(kept, logs, strict=True))
    assert all(NO_STAKE <= short <= 1e6 for short in kept)
    assert all(short > log - 0.002 for short, log in zip(kept, logs, strict=True) if faint < log < 1e6)


@pytest.mark.parametrize("gains", [None, (math.nan,) * 7])
def test_a_product_that_is_no_number_is_nothing_and_never_the_most(gains: tuple[float, ...] | None) -> None:
    """No count that is read gives one; were there one all the same, it must not roll a canary back."""
    logs = (math.nan if gains is None else -3.0,) * 7
    assert stakes.products(logs, gains, 0.0, -20.0) == (NO_STAKE,) * 7


@given(st.floats(1e-300, 1.0), st.sampled_from((stakes.FIRST_STEP, stakes.LATER_STEP, stakes.SLICE)))
def test_cash_and_stake_together_are_never_more_than_the_cash_was(cash: float, part: float) -> None:
    left = stakes.turn(EvidenceState(cash=cash), part).cash
    assert 0.0 < left <= cash - cash * part


@pytest.mark.parametrize(("rate", "n"), [(0.01, 1), (0.01, 4), (0.0031, 3)])
def test_what_many_small_slices_round_adds_nothing_to_the_expected_evidence(rate: float, n: int) -> None:
    """Exactly: over every outcome of five slices that each move the logs by a few thousandths."""
    limits = replace(LIMITS, max_error_rate=rate, max_increase=math.inf)
    chances = [(x, math.comb(n, x) * rate**x * (1 - rate) ** (n - x)) for x in range(min(n, 1) + 1)]
    lost = 1.0 - sum(chance for _, chance in chances)
    expected = 0.0
    for outcome in product(chances, repeat=5):
        state = fed(started(limits), *((counts(n, x), counts(0)) for x, _ in outcome), limits=limits)
        expected += math.prod(chance for _, chance in outcome) * evidence_against(state, limits)
    assert expected <= 1.0 + 1e-12
    assert lost < 0.001


def test_a_rollout_that_is_paused_for_days_still_has_something_to_stake() -> None:
    state, placed, seconds = started(), 0.0, 0.0
    for _ in range(3 * 24 * 720):
        seconds += SLICE
        before = state.cash
        state = stakes.turn(EvidenceState(cash=before), stakes.slice_part(seconds))
        placed += before - state.cash
    assert state.cash > 0.001
    assert placed <= 0.4
    assert math.log(state.cash * stakes.slice_part(seconds) / 7) > -25.0


@given(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
def test_every_tally_is_read_back_as_it_was(total: float, errors: float, timed: float, slow: float, not_fast: float) -> None:
    tally = Tally(total=total, errors=errors, timed=timed, slow=slow, not_fast=not_fast)
    assert read_back(tally) == tally


def test_every_state_is_read_back_as_it_was() -> None:
    state = begin_step(fed(started(), (counts(50, 3, 1), counts(900, 1)), (counts(70), counts(800)), lost=3.0))
    assert read_back(state) == state


def test_evidence_of_an_older_operator_is_read_as_it_was_meant() -> None:
    older = {
        "cursor": 40.0,
        "weightSince": 0.0,
        "cash": 0.397791,
        "destination": {
            "errors": [-10.588, -14.302, -18.293, -26.025, -46.084, -99.0, -99.0],
            "canary": {"total": 3590.0, "errors": 1.0, "timed": 3590.0, "slow": 5.0, "notFast": 6.0},
            "passing": {"total": 708.0},
        },
    }
    found = EvidenceState.model_validate(older).destination
    assert found.errors == (-10.588, -14.302, -18.293, -26.025, -46.084, -99.0, -99.0)
    assert found.canary == Tally(total=3590.0, errors=1.0, timed=3590.0, slow=5.0, not_fast=6.0)
    assert found.passing.timed == 0.0, "nobody had measured how long these took"


def test_lists_end_with_the_last_product_on_which_anything_is_staked() -> None:
    view = ReporterEvidence(errors=(-1.5, -2.0, *(NO_STAKE,) * 5))
    assert view.model_dump(mode="json", by_alias=True) == {"errors": [-1.5, -2]}
    with pytest.raises(ValueError, match="errors"):
        ReporterEvidence.model_validate({"errors": [-1.0] * 8})


def test_what_has_been_given_up_gets_the_next_stake() -> None:
    worn = fed(started(), *[(counts(500), counts(500))] * 3)
    assert worn.destination.errors[-1] == NO_STAKE
    broken = fed(worn, (counts(50, 40), counts(500)))
    assert broken.destination.errors[-1] > NO_STAKE
