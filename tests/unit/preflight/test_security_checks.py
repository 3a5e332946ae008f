"""Mutual TLS, and rate limits on the path."""

from typing import Any

import pytest
from scene import Scene, item, said


def peers(mode: str, namespace: str = "shop", name: str = "default", **labels: str) -> dict[str, Any]:
    selector = {"selector": {"matchLabels": labels}} if labels else {}
    return item("PeerAuthentication", name, namespace, mtls={"mode": mode}, **selector)


def tls(mode: str) -> dict[str, Any]:
    return {"tls": {"mode": mode}}


PATH = "spec.trafficPolicy.tls.mode"


@pytest.mark.parametrize("mode", ["DISABLE", "SIMPLE", "MUTUAL"])
def test_other_tls_than_the_pods_take_forbids_everything(mode: str) -> None:
    assert said(others=[peers("STRICT")], policy=tls(mode)) == [("TlsAgainstStrictMtls", "error", PATH)]


@pytest.mark.parametrize("policy", [tls("ISTIO_MUTUAL"), {}, {"connectionPool": {}}])
def test_istio_s_own_tls_and_none_are_in_order(policy: dict[str, Any]) -> None:
    assert said(others=[peers("STRICT")], policy=policy) == []


@pytest.mark.parametrize(
    ("rules", "demanded"),
    [
        ([], False),
        ([peers("STRICT", "istio-system")], True),
        ([peers("STRICT", "istio-system"), peers("PERMISSIVE")], False),
        ([peers("STRICT", "istio-system"), peers("UNSET")], True),
        ([peers("PERMISSIVE", "istio-system"), peers("STRICT")], True),
        ([peers("STRICT"), peers("DISABLE", name="own", app="reviews")], False),
        ([peers("DISABLE"), peers("STRICT", name="own", app="reviews")], True),
        ([peers("DISABLE"), peers("STRICT", name="own", app="ratings")], False),
        ([peers("STRICT", "istio-system", app="reviews")], False),
        ([peers("STRICT", "edge")], False),
    ],
)
def test_the_narrowest_rule_decides_what_the_pods_take(rules: list[dict[str, Any]], demanded: bool) -> None:
    assert said(others=rules, policy=tls("DISABLE")) == [("TlsAgainstStrictMtls", "error", PATH)] * demanded


def test_the_policies_of_subsets_ports_and_the_trial_are_looked_at() -> None:
    subsets = [{"name": "v1", "labels": {"version": "v1"}, "trafficPolicy": tls("SIMPLE")}, {"name": "v2", "labels": {"version": "v2"}}]
    policy = {**tls("ISTIO_MUTUAL"), "portLevelSettings": [{"port": {"number": 80}, **tls("DISABLE")}]}
    found = said(others=[peers("STRICT")], policy=policy, subsets=subsets, spec={"canaryTrafficPolicy": tls("DISABLE")})
    assert [path for code, _, path in found if code == "TlsAgainstStrictMtls"] == [
        "spec.trafficPolicy.portLevelSettings[0].tls.mode",
        "spec.subsets[0].trafficPolicy.tls.mode",
        "spec.canaryTrafficPolicy.tls.mode",
    ]


def test_where_automatic_mtls_is_off_the_rule_has_to_say_it() -> None:
    off = {"enableAutoMtls": False}
    assert said(others=[peers("STRICT")], mesh_config=off) == [("TlsAgainstStrictMtls", "error", "spec.trafficPolicy")]
    assert said(others=[peers("STRICT")], mesh_config=off, policy=tls("ISTIO_MUTUAL")) == []
    assert said(mesh_config=off) == []


def limiter(namespace: str, name: str = "envoy.filters.http.local_ratelimit", **labels: str) -> dict[str, Any]:
    selector = {"workloadSelector": {"labels": labels}} if labels else {}
    value = {"name": name, "typed_config": {"@type": "x"}}
    return item("EnvoyFilter", "limit", namespace, configPatches=[{"patch": {"operation": "INSERT_BEFORE", "value": value}}], **selector)


@pytest.mark.parametrize(
    ("found", "limits"),
    [
        (limiter("shop"), True),
        (limiter("shop", app="reviews"), True),
        (limiter("istio-system"), True),
        (limiter("shop", "envoy.filters.http.ratelimit"), True),
        (limiter("edge", app="gateway"), True),
        (limiter("shop", app="ratings"), False),
        (limiter("edge", app="other"), False),
        (limiter("shop", "envoy.filters.http.lua"), False),
    ],
)
def test_rate_limits_on_the_path_are_named(found: dict[str, Any], limits: bool) -> None:
    public = item("Gateway", "public", "edge", selector={"app": "gateway"}, servers=[{"hosts": ["*"]}])
    said_of = said(others=[found, public], gateways=["edge/public", "mesh"])
    assert said_of == [("RateLimited", "warning", "spec.configPatches")] * limits


def test_without_surroundings_nothing_is_said_and_that_is_said() -> None:
    scene = Scene(looked_around=False, policy=tls("DISABLE"), gateways=["edge/public"])
    assert scene.findings() == ()
    codes = {line.split(":")[0] for line in scene.skipped()}
    assert codes >= {"TlsAgainstStrictMtls", "RateLimited", "GatewayNotFound", "HostClaimedElsewhere", "DestinationUnknown"}
