"""Real servers for the tests of what the operator relies on in them."""

from collections.abc import AsyncIterator, Iterator

import pytest
from apiserver import ApiServer, running_apiserver, serve_istio
from canaryrollout.metrics.endpoint import PrometheusEndpoint
from canaryrollout.metrics.prometheus import PrometheusClient
from prometheus_bookinfo import Bookinfo, bookinfo
from prometheus_server import PrometheusServer, running_prometheus


@pytest.fixture(scope="session")
def apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Every test brings its own definitions and namespaces."""
    with running_apiserver(tmp_path_factory.mktemp("apiserver")) as server:
        yield server


@pytest.fixture(scope="session")
def istio_apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Another one, with Istio's definitions: `apiserver` is for tests that miss them. Each test works in a namespace of its own."""
    with running_apiserver(tmp_path_factory.mktemp("istio")) as server:
        serve_istio(server, "VirtualService", "DestinationRule")
        yield server


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """One Prometheus for all tests of a module that do not stop it; each works in a namespace of its own."""
    with running_prometheus(tmp_path_factory.mktemp("prometheus")) as server:
        yield server


@pytest.fixture
async def client(shared: PrometheusServer) -> AsyncIterator[PrometheusClient]:
    client = PrometheusClient(PrometheusEndpoint(url=shared.url))
    yield client
    await client.close()


@pytest.fixture
def reviews(shared: PrometheusServer, client: PrometheusClient) -> Bookinfo:
    return bookinfo(shared, client)
