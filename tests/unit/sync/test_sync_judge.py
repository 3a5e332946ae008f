"""The judge: one test for each way in which istiod's answers mislead."""

import pytest
from canaryrollout.core.snapshot import Expectation, ProxyState, SyncReport
from canaryrollout.core.sync import (
    DETAIL_LIMIT,
    Connection,
    Generated,
    IstiodView,
    MeshPod,
    Scope,
    Watched,
    judge,
    nonce_push,
    push_number,
    scope_state,
    shows,
)
from hypothesis import given
from hypothesis import strategies as st

HOST = "reviews.shop.svc.cluster.local"
SPLIT = ((HOST, "v1", 90), (HOST, "v2", 10))
WEIGHTS = Expectation("shop", HOST, "reviews", ("v1", "v2"), splits=(SPLIT,), required=(SPLIT,))
SUBSETS = Expectation("shop", HOST, "reviews", ("v1", "v2"))
CLUSTERS = frozenset({(80, ""), (80, "v1"), (80, "v2")})
CLIENT = MeshPod("client-1", "shop", "client")


def nonce(push: int, salt: str = "a") -> str:
    return f"2026-01-01T00:00:00+02:00/{push}" + salt * 36


def connection(routes: Watched, proxy: str = CLIENT.proxy, clusters: Watched | None = None, kind: str = "sidecar") -> Connection:
    return Connection(proxy, kind, {"routes": routes, "clusters": clusters or acked(1)})


def acked(push: int) -> Watched:
    return Watched(nonce(push), nonce(push))


def report(
    *connections: Connection,
    first: int | None = 7,
    scope: Scope = Scope.RELEVANT,
    expectation: Expectation = WEIGHTS,
    pods: tuple[MeshPod, ...] = (CLIENT,),
    known: frozenset[str] = frozenset(),
) -> SyncReport:
    """What one istiod's rows, all of the scope shop/client, amount to."""
    view = IstiodView("istiod-0", {"shop/client": connections} if connections else {}, first)
    listed = {connection.proxy for connection in connections}
    unlisted = [pod for pod in pods if pod.proxy not in listed]
    return judge(expectation, [view], {"shop/client": scope}, pods, unlisted, known=known)


def test_a_proxy_that_acknowledged_the_push_is_in_sync() -> None:
    found = report(connection(acked(7)))
    assert found.in_sync
    assert found.workloads == {"shop/client"}


def test_acknowledging_everything_of_the_old_configuration_proves_nothing() -> None:
    found = report(connection(acked(6)))
    assert not found.in_sync
    assert found.proxies[0].state is ProxyState.PENDING
    assert "acknowledged push 6, 7 is needed" in found.proxies[0].detail


def test_nothing_is_proved_before_istiod_generates_it() -> None:
    assert not report(connection(acked(9)), first=None).in_sync
    assert not report(connection(acked(9)), scope=Scope.AWAITED).in_sync


def test_sent_is_not_acknowledged() -> None:
    found = report(connection(Watched(nonce(7), nonce(6))))
    assert [proxy.detail for proxy in found.lagging] == ["sent, not acknowledged"]


def test_the_same_push_sent_twice_counts_once_the_second_is_acknowledged() -> None:
    assert not report(connection(Watched(nonce(7, "b"), nonce(7, "a")))).in_sync


def test_a_nack_is_reported_with_the_proxys_own_text_on_one_line() -> None:
    text = "Proto constraint validation failed\n\x1b[31m(Route.Match)" + "x" * 500
    found = report(connection(Watched(nonce(7), nonce(6), text)))
    assert found.proxies[0].state is ProxyState.REJECTED
    assert found.proxies[0].detail.startswith("rejected the routes: Proto constraint validation failed [31m(Route.Match)")
    assert len(found.proxies[0].detail) == DETAIL_LIMIT


def test_a_proxy_that_rejects_its_clusters_is_not_in_sync_with_routes_to_them() -> None:
    assert not report(connection(acked(7), clusters=Watched(nonce(7), nonce(6), "bad cluster"))).in_sync


def test_the_clusters_count_when_only_subsets_are_asked_for() -> None:
    assert report(connection(acked(1), clusters=acked(7)), expectation=SUBSETS).in_sync
    assert not report(connection(acked(7), clusters=acked(6)), expectation=SUBSETS).in_sync


def test_a_proxy_that_vanished_from_istiod_is_unknown_however_good_the_others_are() -> None:
    found = report(connection(acked(7)), pods=(CLIENT, MeshPod("client-2", "shop", "client")))
    assert [(proxy.proxy, proxy.state) for proxy in found.lagging] == [("client-2.shop", ProxyState.UNKNOWN)]
    assert "keeps serving its last configuration" in found.lagging[0].detail


def test_a_vanished_proxy_of_a_workload_nobody_knows_is_unknown_too() -> None:
    stranger = MeshPod("batch-1", "jobs", "batch")
    found = judge(WEIGHTS, [IstiodView("istiod-0", {}, 7)], {}, [stranger], [stranger], known=frozenset({"jobs/batch"}))
    assert [proxy.state for proxy in found.proxies] == [ProxyState.UNKNOWN]
    assert found.workloads == {"jobs/batch"}


def test_a_vanished_proxy_that_routes_nothing_to_the_service_does_not_matter() -> None:
    assert report(scope=Scope.IRRELEVANT).in_sync


def test_a_pod_whose_proxy_never_had_a_configuration_is_not_waited_for() -> None:
    assert report(connection(acked(7)), pods=(CLIENT, MeshPod("client-2", "shop", "client", serving=False))).in_sync


def test_two_istiods_number_their_pushes_independently() -> None:
    ahead, behind = connection(acked(900)), connection(acked(3), proxy="client-2.shop")
    views = [IstiodView("istiod-0", {"shop/client": (ahead,)}, 900), IstiodView("istiod-1", {"shop/client": (behind,)}, 3)]
    assert judge(WEIGHTS, views, {"shop/client": Scope.RELEVANT}, [], [], known=frozenset()).in_sync
    views[1] = IstiodView("istiod-1", {"shop/client": (behind,)}, 4)
    found = judge(WEIGHTS, views, {"shop/client": Scope.RELEVANT}, [], [], known=frozenset())
    assert [(proxy.proxy, proxy.istiod) for proxy in found.lagging] == [("client-2.shop", "istiod-1")]


def test_an_istiod_that_does_not_generate_it_yet_spoils_the_proof() -> None:
    views = [IstiodView("istiod-0", {"shop/client": (connection(acked(9)),)}, 9), IstiodView("istiod-1", {"shop/client": ()}, None)]
    assert not judge(WEIGHTS, views, {"shop/client": Scope.RELEVANT}, [], [], known=frozenset()).generated


def test_a_proxy_listed_twice_is_as_good_as_its_worse_entry() -> None:
    assert not report(connection(acked(7)), connection(acked(5))).in_sync
    assert not report(connection(acked(5)), connection(acked(7))).in_sync


def test_a_proxy_that_has_just_connected_has_to_ask_for_its_routes_first() -> None:
    assert not report(connection(Watched())).in_sync


def test_push_numbers_are_read_from_nonces() -> None:
    assert push_number("2026-11-21T00:36:14Z/7") == 7
    assert nonce_push("2026-11-21T00:36:14Z/12" + "7c18eb27a-ecbd-429f-8d9f-7afd049c5b5"[:36].ljust(36, "0")) == 12
    assert nonce_push("") == -1
    assert push_number("no version") == -1


WATCHES = st.builds(
    lambda sent, behind, error: Watched(nonce(sent), nonce(sent - behind), error), st.integers(1, 20), st.integers(0, 2), st.just("")
)


@given(
    st.lists(st.tuples(WATCHES, st.booleans()), min_size=1, max_size=6),
    st.one_of(st.none(), st.integers(1, 20)),
    st.sampled_from([Scope.RELEVANT, Scope.AWAITED]),
    st.booleans(),
)
def test_in_sync_needs_every_relevant_proxy_listed_settled_and_new_enough(
    rows: list[tuple[Watched, bool]], first: int | None, scope: Scope, serving: bool
) -> None:
    pods = tuple(MeshPod(f"client-{index}", "shop", "client", serving=serving) for index in range(len(rows)))
    connections = [connection(watch, pod.proxy) for (watch, listed), pod in zip(rows, pods, strict=True) if listed]
    found = report(*connections, first=first, scope=scope, pods=pods)
    good = all(watch.sent == watch.acked and nonce_push(watch.acked) >= (first or 0) for watch, listed in rows if listed)
    missing = serving and not all(listed for _, listed in rows)
    generated = not connections or (first is not None and scope is Scope.RELEVANT)
    assert found.in_sync == (generated and good and not missing)


def generated(splits: object = (), *, defaults: bool = False, clusters: frozenset[tuple[int, str]] = CLUSTERS) -> Generated:
    return Generated(7, frozenset(splits), defaults, clusters)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("given_", "kind", "state"),
    [
        (generated([SPLIT]), "sidecar", Scope.RELEVANT),
        (generated([SPLIT]), "router", Scope.RELEVANT),
        (generated([((HOST, "v1", 100),)]), "sidecar", Scope.RELEVANT),
        (generated(defaults=True), "sidecar", Scope.AWAITED),
        (generated([SPLIT], defaults=True), "sidecar", Scope.AWAITED),
        (generated(defaults=True), "router", Scope.IRRELEVANT),
        (generated(), "sidecar", Scope.IRRELEVANT),
        (generated([SPLIT], clusters=frozenset({(80, ""), (80, "v1")})), "sidecar", Scope.AWAITED),
    ],
)
def test_who_is_concerned_by_weights(given_: Generated, kind: str, state: Scope) -> None:
    assert scope_state(WEIGHTS, given_, kind, "shop") is state


def test_a_virtual_service_for_gateways_or_other_namespaces_does_not_concern_sidecars() -> None:
    gateways = Expectation("shop", HOST, "reviews", ("v1",), splits=(SPLIT,), sidecars=False)
    private = Expectation("shop", HOST, "reviews", ("v1",), splits=(SPLIT,), visible_in=("shop",))
    assert scope_state(gateways, generated(defaults=True), "sidecar", "shop") is Scope.IRRELEVANT
    assert scope_state(private, generated(defaults=True), "sidecar", "other") is Scope.IRRELEVANT
    assert scope_state(private, generated(defaults=True), "sidecar", "shop") is Scope.AWAITED


def test_who_is_concerned_by_subsets() -> None:
    assert scope_state(SUBSETS, generated(), "router", "other") is Scope.RELEVANT
    assert scope_state(SUBSETS, generated(clusters=frozenset({(80, "")})), "sidecar", "shop") is Scope.AWAITED
    assert scope_state(SUBSETS, generated(clusters=frozenset()), "sidecar", "shop") is Scope.IRRELEVANT


def test_every_port_of_the_service_needs_the_subsets() -> None:
    assert not shows(SUBSETS, generated(clusters=CLUSTERS | {(443, "")}))
    assert shows(SUBSETS, generated())


def test_weight_zero_destinations_are_expected_to_be_left_out() -> None:
    stable = ((HOST, "v1", 100),)
    full = Expectation("shop", HOST, "reviews", ("v1", "v2"), splits=(stable,), required=(stable,))
    assert shows(full, generated([stable]))
    assert not shows(full, generated([SPLIT]))
    assert not shows(full, generated([stable, SPLIT]))
    assert not shows(full, generated())
