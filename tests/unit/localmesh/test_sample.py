"""The sample application."""

from typing import Any

from localmesh import sample


def by_kind(manifests: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(manifest for manifest in manifests if manifest["kind"] == kind)


def test_everything_lives_in_the_namespace_asked_for() -> None:
    for manifest in sample.bookinfo("shop", 31400):
        if manifest["kind"] != "Namespace":
            assert manifest["metadata"]["namespace"] == "shop"


def test_faults_are_in_the_pod_template_so_that_a_version_is_an_ordinary_deployment() -> None:
    (deployment,) = sample.reviews("shop", "v3", error_rate=0.5, latency_ms=700, slow_rate=0.1)
    env = {item["name"]: item.get("value") for item in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert (env["VERSION"], env["ERROR_RATE"], env["LATENCY_MS"], env["SLOW_RATE"]) == ("v3", "0.5", "700", "0.1")
    assert deployment["metadata"]["name"] == "reviews-v3"


def test_gateways_of_two_namespaces_do_not_select_each_others_pods() -> None:
    ours, theirs = (sample.ingress(name, port) for name, port in (("a", 31400), ("b", 31401)))
    selector = by_kind(ours, "Gateway")["spec"]["selector"]
    other = by_kind(theirs, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert not selector.items() <= other.items()
    own = by_kind(ours, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert selector.items() <= own.items()


def test_the_sidecar_listens_where_the_service_sends() -> None:
    sidecar = by_kind(sample.namespace("shop"), "Sidecar")["spec"]["ingress"][0]
    assert sidecar["port"]["number"] == sample.service("shop", "reviews")["spec"]["ports"][0]["targetPort"]
