"""What of a cluster concerns one namespace."""

from typing import Any

from canaryrollout.core.surroundings import Cluster


def item(kind: str, name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def names(found: tuple[Any, ...]) -> list[str]:
    return [f"{i['metadata']['namespace']}/{i['metadata']['name']}" for i in found]


def to(host: str) -> list[dict[str, Any]]:
    return [{"route": [{"destination": {"host": host}}]}]


def seen(*services: dict[str, Any], namespace: str = "shop") -> list[str]:
    return names(Cluster({"VirtualService": services}).around(namespace).virtual_services)


def test_objects_of_the_namespace_itself_are_left_out() -> None:
    assert seen(item("VirtualService", "a", "shop", hosts=["reviews.shop.svc.cluster.local"])) == []


def test_short_hosts_concern_nobody_else() -> None:
    assert seen(item("VirtualService", "a", "other", hosts=["reviews"], http=to("reviews"))) == []


def test_hosts_and_destinations_that_name_the_namespace_concern_it() -> None:
    found = seen(
        item("VirtualService", "host", "other", hosts=["reviews.shop.svc.cluster.local"]),
        item("VirtualService", "short", "other", hosts=["reviews.shop"]),
        item("VirtualService", "destination", "other", hosts=["x"], http=to("reviews.shop.svc.cluster.local")),
        item("VirtualService", "wild", "other", hosts=["*.shop.svc.cluster.local"]),
        item("VirtualService", "elsewhere", "other", hosts=["reviews.search.svc.cluster.local"]),
    )
    assert found == ["other/destination", "other/host", "other/short", "other/wild"]


def test_hosts_of_everything_concern_everybody() -> None:
    hosts = ("*", "*.local", "*.svc.cluster.local", "*.cluster.local")
    assert len(seen(*(item("VirtualService", f"v{n}", "other", hosts=[host]) for n, host in enumerate(hosts)))) == len(hosts)


def test_the_same_outer_host_concerns_both_namespaces() -> None:
    both = item("VirtualService", "a", "shop", hosts=["shop.example.com"]), item("VirtualService", "b", "other", hosts=["shop.example.com"])
    assert (seen(*both), seen(*both, namespace="other")) == (["other/b"], ["shop/a"])


def test_a_delegate_concerns_the_namespace_that_it_is_in() -> None:
    root = item("VirtualService", "root", "edge", hosts=["a.b"], http=[{"delegate": {"name": "reviews", "namespace": "shop"}}])
    assert seen(root) == ["edge/root"]


def test_rules_of_a_namespace_and_of_the_root_namespace_hold_there() -> None:
    rules = [item("PeerAuthentication", "default", namespace) for namespace in ("istio-system", "shop", "other")]
    around = Cluster({"PeerAuthentication": rules}).around("shop")
    assert names(around.peer_authentications) == ["istio-system/default", "shop/default"]


def test_services_are_known_with_their_ports() -> None:
    service = item("Service", "reviews", "other", ports=[{"port": 80}, {"port": 9080}])
    assert Cluster({"Service": [service]}).around("shop").services == {"other/reviews": (80, 9080)}


def test_what_was_not_read_everywhere_proves_nothing_by_its_absence() -> None:
    around = Cluster({}, unreadable=["Gateway"]).around("shop")
    assert around.complete("Service", "VirtualService")
    assert not around.complete("Service", "Gateway")


def test_a_namespace_gets_the_same_object_each_time() -> None:
    cluster = Cluster({})
    assert cluster.around("shop") is cluster.around("shop")
