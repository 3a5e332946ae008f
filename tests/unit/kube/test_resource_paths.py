"""Where objects are served."""

import pytest
from canaryrollout.kube.resources import NAMESPACES, PODS, VIRTUALSERVICES, Resource


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (PODS.path("shop", "a"), "/api/v1/namespaces/shop/pods/a"),
        (PODS.path("shop"), "/api/v1/namespaces/shop/pods"),
        (PODS.path(), "/api/v1/pods"),
        (VIRTUALSERVICES.path("shop", "a", "status"), "/apis/networking.istio.io/v1/namespaces/shop/virtualservices/a/status"),
        (NAMESPACES.path(None, "shop"), "/api/v1/namespaces/shop"),
        (PODS.path("shop", "../../secrets"), "/api/v1/namespaces/shop/pods/..%2F..%2Fsecrets"),
    ],
)
def test_paths(path: str, expected: str) -> None:
    assert path == expected


def test_api_versions() -> None:
    assert PODS.api_version == "v1"
    assert Resource("a.b", "v2", "cs", "C").api_version == "a.b/v2"
