"""Metrics: what Prometheus knows about requests, in Istio's terms."""

from collections import Counter

from localmesh import Mesh, sample
from localmesh.tests.shop import Shop

SERVING_CHECK = Counter(v1=1)
"""The request by which the fixture finds that the gateway serves is counted like any other."""


def test_both_sides_of_a_request_count_it_under_istios_labels(shop: Shop) -> None:
    shop.route(50)
    with shop.mesh.load(shop.namespace, rps=40) as load:
        shop.mesh.wait(lambda: len(load.answers()) >= 100)
    answered = load.versions() + SERVING_CHECK
    for reporter in ("source", "destination"):
        for version, expected in answered.items():
            labels = {
                "reporter": reporter,
                "source_workload": "productpage-v1",
                "destination_workload": f"reviews-{version}",
                "destination_workload_namespace": shop.namespace,
                "destination_version": version,
                "destination_service": f"reviews.{shop.namespace}.svc.cluster.local",
                "response_code": "200",
                "request_protocol": "http",
            }
            _wait_for_count(shop, expected, labels)
    assert shop.count(reporter="destination", destination_service_name="productpage") == answered.total()


def _wait_for_count(shop: Shop, expected: int, labels: dict[str, str]) -> None:
    shop.mesh.wait(lambda: shop.count(**labels) == expected, 40, f"{expected} requests with {labels}")


def test_a_failed_grpc_call_is_http_200_with_its_status_on_both_sides(mesh: Mesh) -> None:
    with mesh.namespace("shop") as namespace:
        mesh.apply(
            *sample.grpc_service(namespace, "reviews"),
            *sample.reviews(namespace, "v1", error_rate=0.7),
            *sample.productpage(namespace, calls="grpc"),
            *sample.ingress(namespace, mesh.gateway_port()),
        )
        shop = Shop(mesh, namespace)
        mesh.wait_ready(namespace)
        with mesh.load(namespace, rps=40) as load:
            mesh.wait(lambda: len(load.failures()) >= 20)
        answered = Counter(answer.status for answer in load.answers())
        assert answered.keys() == {200, 503}
        assert load.versions().keys() == {"v1"}
        labels = {"destination_workload": "reviews-v1", "response_code": "200", "request_protocol": "grpc"}
        for status, seen in (("0", answered[200]), ("14", answered[503])):
            _wait_for_count(shop, seen, {"reporter": "source", "grpc_response_status": status, **labels})
        # productpage's proxy has repeated calls that ended with UNAVAILABLE, as Istio has it do by default.
        at_server = {"reporter": "destination", "grpc_response_status": "14", **labels}
        mesh.wait(lambda: shop.count(**at_server) > 1.5 * answered[503], 40, "repeated calls")


def test_requests_that_reach_no_pod_have_a_service_but_no_workload(shop: Shop) -> None:
    shop.mesh.scale(shop.namespace, "reviews-v2", 0)
    shop.route(100)
    with shop.mesh.load(shop.namespace, rps=20, via=shop.productpage) as load:
        shop.mesh.wait(lambda: len(load.failures()) >= 20)
    labels = {"destination_service_name": "reviews", "destination_workload": "unknown", "response_flags": "UH"}
    shop.mesh.wait(lambda: shop.count(reporter="source", response_code="503", **labels) >= 20, 40)


def test_requests_for_a_missing_subset_are_counted_as_no_cluster(shop: Shop) -> None:
    shop.route(0, v1_subset="v9")
    with shop.mesh.load(shop.namespace, rps=20, via=shop.productpage) as load:
        shop.mesh.wait(lambda: len(load.failures()) >= 20)
    shop.mesh.wait(lambda: shop.count(response_flags="NC", destination_workload="unknown") >= 20, 40)


def test_latency_has_istios_buckets(shop: Shop) -> None:
    with shop.mesh.load(shop.namespace, rps=20):
        name = "istio_request_duration_milliseconds_bucket"
        edges = f'count by (le) ({name}{{namespace="{shop.namespace}",destination_workload="reviews-v1"}})'
        shop.mesh.wait(lambda: shop.mesh.query(edges), 40)
    found = {item["metric"]["le"] for item in shop.mesh.query(edges)}
    assert {"0.5", "1.0", "500.0", "1000.0", "3.6e+06", "+Inf"} <= found


def test_a_pod_can_be_left_out_of_scraping_while_it_serves(shop: Shop) -> None:
    up = f'up{{namespace="{shop.namespace}",pod="{shop.productpage}"}} == 1'
    shop.mesh.wait(lambda: shop.mesh.query(up), 40)
    shop.mesh.scrape(shop.namespace, shop.productpage, wanted=False)
    shop.mesh.wait(lambda: not shop.mesh.query(up), 40)
    shop.mesh.scrape(shop.namespace, shop.productpage, wanted=True)
    shop.mesh.wait(lambda: shop.mesh.query(up), 40)


def test_a_second_prometheus_sees_the_same_proxies(shop: Shop) -> None:
    second = shop.mesh.new_prometheus(f"of-{shop.namespace}", "1s")
    up = f'up{{namespace="{shop.namespace}"}} == 1'
    shop.mesh.wait(lambda: len(shop.mesh.query(up, second.url)) == 5, 40)
    second.stop()
