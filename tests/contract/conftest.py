"""One real API server for all tests of what the operator relies on in it."""

from collections.abc import Iterator

import pytest
from apiserver import ApiServer, running_apiserver


@pytest.fixture(scope="session")
def apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Every test brings its own definitions and namespaces."""
    with running_apiserver(tmp_path_factory.mktemp("apiserver")) as server:
        yield server
