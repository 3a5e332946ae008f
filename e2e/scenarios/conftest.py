"""Scenario tests: the operator as a process with the chart's rights, on the local mesh (python -m localmesh)."""

from collections.abc import Iterator

import pytest
from arena import Arena, arena
from localmesh.mesh import Mesh

pytest_plugins = ["localmesh.pytest_plugin"]


@pytest.fixture
def place(mesh: Mesh) -> Iterator[Arena]:
    """A namespace of its own with reviews v1 behind a gateway, and a running operator."""
    with arena(mesh) as created:
        yield created


QUICK = {
    "steps": [{"weight": 20}, {"weight": 50}, {"weight": 100}],
    "analysis": {"maxErrorRate": "5%", "minRequests": 20, "minDuration": "5s"},
}
"""A rollout that needs little evidence, for scenarios whose point lies elsewhere: 74 good requests pass a 5 % limit."""


@pytest.fixture
def quick() -> dict[str, object]:
    """Spec fields of a short rollout."""
    return dict(QUICK)
