"""Tests of the local mesh itself, on a running one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from localmesh import Mesh, sample
from localmesh.podspec import XDS_RELAY_ANNOTATION
from localmesh.tests.shop import Shop


@pytest.fixture
def shop(mesh: Mesh) -> Iterator[Shop]:
    with mesh.namespace("shop") as namespace:
        relayed = {XDS_RELAY_ANNOTATION: "true"}
        mesh.apply(
            sample.service(namespace, "reviews"),
            *sample.reviews(namespace, "v1", replicas=2),
            *sample.reviews(namespace, "v2"),
            *sample.productpage(namespace, annotations=relayed),
            *sample.ingress(namespace, mesh.gateway_port()),
        )
        made = Shop(mesh, namespace)
        made.subsets("v1", "v2")
        made.route(0)
        mesh.wait_ready(namespace)
        mesh.wait_serving(namespace)
        yield made


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The mesh's own tests stop its parts."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.alone)
