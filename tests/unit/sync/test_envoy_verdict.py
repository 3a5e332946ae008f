"""What an Envoy's own configuration does to the proof."""

from dataclasses import replace

from canaryrollout.core.envoy_sample import Sample
from canaryrollout.core.envoy_verdict import Reading, verified
from canaryrollout.core.envoy_view import EnvoyView, Routes, difference
from canaryrollout.core.snapshot import EnvoysRead, Expectation, ProxyState, ProxyStatus, SyncReport
from canaryrollout.core.sync import Split

HOST = "reviews.shop.svc.cluster.local"


def split(**weights: int) -> Split:
    return tuple((HOST, subset, weight) for subset, weight in weights.items())


WANTED = split(v1=90, v2=10)
EXPECTATION = Expectation("shop", HOST, "reviews", ("v1", "v2"), splits=(WANTED,), required=(WANTED,), verify=True)
ALL = frozenset({(80, ""), (80, "v1"), (80, "v2")})


def view(*splits: Split, clusters: frozenset[tuple[int, str]] = ALL) -> EnvoyView:
    return EnvoyView(Routes({"80/reviews:80": frozenset(splits)} if splits else {}), clusters)


def test_an_envoy_as_expected() -> None:
    assert difference(EXPECTATION, view(WANTED)) == ""


def test_other_weights_are_told_with_those_that_were_wanted() -> None:
    found = difference(EXPECTATION, view(split(v1=95, v2=5)))
    assert found == "virtual host 80/reviews:80 serves v1 95, v2 5 instead of v1 90, v2 10"


def test_one_stale_virtual_host_among_fresh_ones_is_found() -> None:
    routes = Routes({"80/reviews:80": frozenset({WANTED}), "http_proxy/reviews:80": frozenset({split(v1=100)})})
    assert "http_proxy/reviews:80 serves v1 100 instead" in difference(EXPECTATION, EnvoyView(routes, ALL))


def test_a_virtual_host_without_a_required_route_is_found_though_another_has_it() -> None:
    beta = split(v2=100)
    both = replace(EXPECTATION, splits=(WANTED, beta), required=(WANTED, beta))
    routes = Routes({"80/a": frozenset({WANTED, beta}), "80/b": frozenset({WANTED})})
    assert difference(both, EnvoyView(routes, ALL)) == "virtual host 80/b lacks v2 100"


def test_an_envoy_without_our_virtual_service_differs() -> None:
    assert difference(EXPECTATION, view()) == "it has no route of VirtualService shop/reviews"


def test_a_subset_has_to_be_there_on_every_port() -> None:
    clusters_only = replace(EXPECTATION, splits=(), required=())
    assert difference(clusters_only, view(clusters=ALL)) == ""
    assert difference(EXPECTATION, view(WANTED, clusters=ALL - {(80, "v2")})) == f"its cluster outbound|80|v2|{HOST} is not active"
    assert "outbound|81|v1|" in difference(clusters_only, view(clusters=ALL | {(81, "")}))
    assert difference(clusters_only, view(clusters=frozenset())) == f"it has no active cluster of {HOST}"


def acknowledged() -> SyncReport:
    names = ("gateway-0.mesh", "a-0.shop", "a-1.shop")
    return SyncReport(EXPECTATION, generated=True, proxies=tuple(ProxyStatus(name, ProxyState.SYNCED, "istiod") for name in names))


SAMPLE = Sample(("gateway-0.mesh",), ("a-0.shop",), 2)
FRESH = {name: Reading() for name in SAMPLE.proxies}


def states(report: SyncReport) -> dict[str, ProxyState]:
    return {proxy.proxy.partition(".")[0]: proxy.state for proxy in report.proxies}


def test_acknowledgements_alone_are_no_proof_where_envoys_have_to_be_read() -> None:
    assert acknowledged().acknowledged
    assert not acknowledged().in_sync
    assert replace(acknowledged(), expectation=replace(EXPECTATION, verify=False)).in_sync


def test_a_whole_sample_of_fresh_envoys_is_a_proof() -> None:
    report = verified(acknowledged(), SAMPLE, FRESH)
    assert report.in_sync
    assert report.envoys == EnvoysRead(gateways=1, sidecars=1, of_sidecars=2)


def test_what_has_not_been_read_yet_is_pending() -> None:
    report = verified(acknowledged(), SAMPLE, {"a-0.shop": Reading()})
    assert not report.in_sync
    assert states(report) == {"gateway-0": ProxyState.PENDING, "a-0": ProxyState.SYNCED, "a-1": ProxyState.SYNCED}


def test_an_envoy_that_shows_something_else_is_told_before_one_that_cannot_be_read() -> None:
    readings = {"gateway-0.mesh": Reading(unreadable="no answer within 5 s"), "a-0.shop": Reading(different="it serves v1 100")}
    report = verified(acknowledged(), SAMPLE, readings)
    assert not report.in_sync
    first, second = report.lagging
    assert (first.proxy, first.state, first.detail) == ("a-0.shop", ProxyState.DIFFERS, "acknowledged, but it serves v1 100")
    assert (second.state, second.detail) == (
        ProxyState.UNKNOWN,
        "acknowledged, but its Envoy's admin interface cannot be read: no answer within 5 s",
    )
