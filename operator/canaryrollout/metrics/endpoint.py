"""How to reach one Prometheus, or what answers like one (Thanos, VictoriaMetrics, Mimir)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

COMPLETE_ANSWERS: Mapping[str, str] = {"partial_response": "false", "deny_partial_response": "1"}
"""Thanos and VictoriaMetrics fail a query with these rather than answer from a part of the data; Prometheus ignores them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusEndpoint:
    """Settings of one endpoint. Files are read anew for each request or connection, so that rotated credentials are taken up."""

    url: str
    """Base URL without a trailing slash, such as http://prometheus.monitoring:9090 or https://mimir/prometheus."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with each query, such as X-Scope-OrgID for Mimir."""
    bearer_token_file: Path | None = None
    basic_auth: tuple[str, Path] | None = None
    """User name and the file of the password."""
    ca_file: Path | None = None
    """PEM file; the system's authorities where None."""
    client_cert_file: Path | None = None
    client_key_file: Path | None = None
    parameters: Mapping[str, str] = field(default_factory=lambda: dict(COMPLETE_ANSWERS))
    """Sent with each query."""
    timeout: float = 10.0
    """Seconds in all for one query, from the moment it is asked for to the last byte of its answer."""
    concurrency: int = 8
    """Queries under way at once; each holds a thread."""
    max_body: int = 4 * 1024 * 1024
    """Bytes; our sums come in kilobytes."""
