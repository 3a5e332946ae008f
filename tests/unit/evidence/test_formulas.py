"""The formulas against published values, exact enumeration and each other."""

import math
from math import comb

import pytest
from canaryrollout.core import evidence_formulas as formulas
from hypothesis import given
from hypothesis import strategies as st

LINE = math.log(20)


def binomial(n: int, x: int, p: float) -> float:
    return comb(n, x) * p**x * (1 - p) ** (n - x)


def requests_needed(rate: float, step: int = 1) -> int:
    n = 1
    while formulas.log_pass(rate * n, n, 0.01) < LINE:
        n += step
    return n


@pytest.mark.parametrize(("rate", "requests"), [(0.0, 380), (0.001, 534), (0.003, 1166), (0.005, 2792), (0.008, 22976)])
def test_requests_that_pass_a_limit_of_one_percent(rate: float, requests: int) -> None:
    assert requests_needed(rate) == requests


@pytest.mark.parametrize(("rate", "printed"), [(0.0, 380), (0.001, 534), (0.003, 1171), (0.005, 2801), (0.008, 22981)])
def test_the_printed_pass_counts_pass_and_are_within_their_grid_of_ten(rate: float, printed: int) -> None:
    assert formulas.log_pass(rate * printed, printed, 0.01) >= LINE
    assert formulas.log_pass(rate * (printed - 10), printed - 10, 0.01) < LINE


@pytest.mark.parametrize("limit", [0.001, 0.01, 0.05, 0.2, 0.5, 0.95])
@pytest.mark.parametrize("n", [1, 2, 5, 12, 30])
def test_expected_evidence_against_a_canary_within_its_limit_is_at_most_one(limit: float, n: int) -> None:
    for true in (limit, limit / 2, limit / 10):
        expected = [0.0] * len(formulas.FAIL_MULTIPLES)
        for x in range(n + 1):
            for index, log in enumerate(formulas.absolute_gains(x, n, limit, 1.0)):
                expected[index] += binomial(n, x, true) * math.exp(log)
        assert all(value <= 1 + 1e-9 for value in expected)


@pytest.mark.parametrize("increase", [1.0, 2.0, 5.0])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 20), (12, 4), (10, 25)])
def test_expected_evidence_against_a_canary_that_fails_no_more_often_than_it_may_beside_stable_is_at_most_one(
    increase: float, n: int, m: int
) -> None:
    """Given their number, errors fall to the two versions like draws in proportion to rate x requests."""
    for factor in (1.0, 0.5, 0.1):
        share = factor * increase * n / (factor * increase * n + m)
        for errors in range(1, min(n, m) + 1):
            expected = [0.0] * len(formulas.RELATIVE_MULTIPLES)
            for x in range(errors + 1):
                gains = formulas.relative_gains(x, n, errors - x, m, increase=increase, burst=1.0)
                assert gains is not None
                for index, gain in enumerate(gains):
                    expected[index] += binomial(errors, x, share) * math.exp(gain)
            assert all(value <= 1 + 1e-9 for value in expected)


@pytest.mark.parametrize("limit", [0.01, 0.2, 0.4, 0.95])
@pytest.mark.parametrize("n", [1, 3, 10, 40])
def test_expected_catastrophe_evidence_is_at_most_one_up_to_twenty_percent_or_the_limit(limit: float, n: int) -> None:
    for true in (max(limit, 0.2), max(limit, 0.2) / 2):
        for index in range(len(formulas.CATASTROPHE_RATES)):
            gains = [formulas.catastrophe_gains(x, n, limit, 0.2, 1.0)[index] for x in range(n + 1)]
            assert sum(binomial(n, x, true) * math.exp(gain) for x, gain in enumerate(gains)) <= 1 + 1e-9


@pytest.mark.parametrize("limit", [0.001, 0.01, 0.05, 0.5])
@pytest.mark.parametrize("n", [1, 4, 20, 60])
def test_expected_evidence_for_a_canary_at_or_above_its_limit_is_at_most_one(limit: float, n: int) -> None:
    for true in (limit, min(2 * limit, 1.0), min(10 * limit, 1.0)):
        assert sum(binomial(n, x, true) * math.exp(formulas.log_pass(x, n, limit)) for x in range(n + 1)) <= 1 + 1e-9


def test_evidence_starts_at_one() -> None:
    assert formulas.log_pass(0, 0, 0.01) == 0
    assert set(formulas.catastrophe_gains(0, 0, 0.01, 0.2, 1.0)) == {0.0}
    assert set(formulas.absolute_gains(0, 0, 0.01, 1.0)) == {0.0}
    assert formulas.relative_gains(0, 0, 3, 100, increase=2.0, burst=1.0) is None
    assert formulas.relative_gains(0, 10, 0, 100, increase=2.0, burst=1.0) == (0.0,) * 7


@given(
    slices=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400)), min_size=1, max_size=8),
    limit=st.sampled_from([0.01, 0.05]),
)
def test_slices_may_be_merged_where_the_cap_does_not_bite(slices: list[tuple[int, int]], limit: float) -> None:
    counts = [(bad, bad + good) for bad, good in slices]
    gains = [formulas.absolute_gains(bad, total, limit, 1.0) for bad, total in counts]
    whole = formulas.absolute_gains(sum(b for b, _ in counts), sum(t for _, t in counts), limit, 1.0)
    if max(max(gain) for gain in (*gains, whole)) < formulas.SLICE_CAP:
        assert [sum(column) for column in zip(*gains, strict=True)] == pytest.approx(whole, abs=1e-9)


@given(bad=st.floats(0, 1e15), total=st.floats(0, 1e15), limit=st.floats(0, 1), stable=st.floats(0, 1e15), abort=st.floats(0, 1))
def test_every_formula_stays_finite(bad: float, total: float, limit: float, stable: float, abort: float) -> None:
    values = [
        *formulas.absolute_gains(bad, total, limit, 1.0),
        *formulas.catastrophe_gains(bad, total, limit, abort, 2.0),
        *(formulas.relative_gains(bad, total, stable / 7.0, stable, increase=2.0, burst=1.0) or ()),
        formulas.log_pass(bad, total, limit),
    ]
    assert all(math.isfinite(value) for value in values)


def test_one_slice_adds_no_more_than_the_cap() -> None:
    assert max(formulas.absolute_gains(500, 500, 0.01, 1.0)) == formulas.SLICE_CAP


@pytest.mark.parametrize(
    ("bad", "total", "more"), [(0, 0, 380), (0, 100, 280), (0.1, 100, 434), (1, 1000, 0), (3, 1000, 166), (8, 1000, 21976)]
)
def test_requests_still_needed_lead_to_the_pass(bad: float, total: float, more: int) -> None:
    assert formulas.requests_to_pass(bad, total, 0.01, LINE) == pytest.approx(more, rel=0.01, abs=2)


def test_no_number_of_requests_passes_a_rate_above_the_limit() -> None:
    assert formulas.requests_to_pass(2, 100, 0.01, LINE) is None
