"""What lies around a rollout's own objects and decides whether it can work: read by the shell, seldom, and never written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Objects of all namespaces that the operator may read. What it may not read is named, and the checks on it are left out."""

    virtual_services: tuple[Raw, ...] = ()
    """Of other namespaces."""
    destination_rules: tuple[Raw, ...] = ()
    """Of other namespaces."""
    gateways: tuple[Raw, ...] = ()
    envoy_filters: tuple[Raw, ...] = ()
    peer_authentications: tuple[Raw, ...] = ()
    service_entries: tuple[Raw, ...] = ()
    sidecars: tuple[Raw, ...] = ()
    mesh_config: Raw | None = None
    """Istio's MeshConfig of the default revision; None where it could not be read."""
    unreadable: tuple[str, ...] = ()
    """Kinds that could not be read, such as "EnvoyFilter"."""
