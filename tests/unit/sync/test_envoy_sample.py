"""How many Envoys are read, and which."""

import itertools
from math import ceil, comb, log

import pytest
from canaryrollout.core.envoy_sample import EXTRA_WORKLOADS, choose, sample_size
from canaryrollout.core.snapshot import ProxyState, ProxyStatus
from hypothesis import given
from hypothesis import strategies as st


def proxies(count: int, workloads: int = 1, kind: str = "sidecar") -> list[ProxyStatus]:
    return [
        ProxyStatus(f"{kind}-{index}.shop", ProxyState.SYNCED, "istiod", kind=kind, workload=f"shop/w{index % workloads}")
        for index in range(count)
    ]


@pytest.mark.parametrize(
    ("total", "size"), [(0, 0), (1, 1), (5, 5), (19, 19), (20, 16), (50, 31), (100, 39), (200, 47), (1000, 56), (10_000, 59)]
)
def test_the_table_in_the_docs(total: int, size: int) -> None:
    assert sample_size(total) == size


def test_a_large_mesh_needs_what_independent_draws_need() -> None:
    independent = ceil(log(0.05) / log(0.95))
    assert sample_size(10**6) == independent == 59


@given(st.integers(1, 120), st.floats(0.0, 0.6), st.floats(0.5, 0.999))
def test_the_size_is_the_smallest_that_keeps_the_bound(total: int, share: float, confidence: float) -> None:
    size = sample_size(total, share, confidence)
    stale = next((count for count in range(total + 1) if count > share * total + 1e-9), total + 1)

    def missed(drawn: int) -> float:
        return comb(total - stale, drawn) / comb(total, drawn)

    if stale > total:
        assert size == 0
        return
    assert missed(size) <= 1 - confidence + 1e-9
    assert size == 0 or missed(size - 1) > 1 - confidence - 1e-9


def test_every_gateway_is_read() -> None:
    sample = choose([*proxies(40, kind="router"), *proxies(100)], "1")
    assert len(sample.gateways) == 40
    assert (len(sample.sidecars), sample.of_sidecars) == (39, 100)


@given(st.integers(0, 150), st.integers(1, 40), st.text(max_size=8))
def test_the_sample_is_reproducible_and_covers_the_workloads(count: int, workloads: int, seed: str) -> None:
    everything = proxies(count, workloads)
    sample = choose(everything, seed)
    assert sample == choose(reversed(everything), seed), "the order in which istiods list them does not matter"
    assert len(set(sample.sidecars)) == len(sample.sidecars) >= sample_size(count)
    by_name = {proxy.proxy: proxy.workload for proxy in everything}
    missing = set(by_name.values()) - {by_name[name] for name in sample.sidecars}
    extra = len(sample.sidecars) - sample_size(count)
    assert extra <= EXTRA_WORKLOADS
    assert not missing or extra == EXTRA_WORKLOADS


def test_another_revision_draws_other_envoys() -> None:
    drawn = [frozenset(choose(proxies(400), str(revision)).sidecars) for revision in range(5)]
    assert all(one != other for one, other in itertools.combinations(drawn, 2))
    assert len(frozenset.union(*drawn)) > 150, "over several steps much of the mesh is read"


def test_the_bound_holds_for_the_hash_order() -> None:
    """5 % and one more are stale: a sample misses them all in at most 5 % of the revisions (3 standard errors allowed)."""
    everything = proxies(100)
    stale = {f"sidecar-{index}.shop" for index in range(6)}
    missed = sum(not stale & set(choose(everything, str(revision)).sidecars) for revision in range(2000))
    assert missed / 2000 <= 0.05 + 3 * (0.05 * 0.95 / 2000) ** 0.5


def test_a_proxy_that_is_listed_twice_is_read_once() -> None:
    (one,) = proxies(1)
    assert choose([one, one], "1").sidecars == (one.proxy,)
