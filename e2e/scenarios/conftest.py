"""Scenario tests: the operator as a process with the chart's rights, on the local mesh (python -m localmesh)."""

from collections.abc import Iterator
from typing import Any

import pytest
from arena import Arena, arena
from localmesh.mesh import Mesh


@pytest.fixture
def place(mesh: Mesh) -> Iterator[Arena]:
    """A namespace of its own with reviews v1 behind a gateway, and a running operator."""
    with arena(mesh) as created:
        yield created


@pytest.fixture
def crowded(mesh: Mesh) -> Iterator[Arena]:
    """As `place`, with one more client, the bystander, that can be cut off from istiod."""
    with arena(mesh, bystander=True) as created:
        yield created


@pytest.fixture
def quick() -> dict[str, Any]:
    """Spec fields of a rollout that needs little evidence (70 good requests a step), for scenarios about something else."""
    return {
        "steps": [{"weight": 25}, {"weight": 50}, {"weight": 100}],
        "analysis": {"confidence": "50%", "minRequests": 20, "minDuration": "6s"},
    }


@pytest.fixture
def brief(quick: dict[str, Any]) -> dict[str, Any]:
    """As `quick`, with one step less."""
    return {**quick, "steps": [{"weight": 25}, {"weight": 100}]}


@pytest.fixture
def busy(brief: dict[str, Any]) -> dict[str, Any]:
    """As `brief`, for scenarios that keep the machine so busy that latency says nothing about a version."""
    return {**brief, "analysis": {**brief["analysis"], "maxP99Latency": "10s"}}
