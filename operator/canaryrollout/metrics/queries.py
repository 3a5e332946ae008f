"""The PromQL of one poll: three queries that count requests in a slice and tell how fresh the counts are.

`rate` and `increase` discard a series' first sample, so that a canary that fails from its first request on shows no errors.
Here each series' growth is its last value in the slice minus its last value before; a series that shrank was reset and one
that was not there before was born, and both count whole. Pods scraped more than once are merged before they are summed.
"""

import re
from dataclasses import dataclass

from canaryrollout.metrics.provider import Question

EDGES = (
    *(0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0),
    *(30000.0, 60000.0, 300000.0, 600000.0, 1800000.0, 3600000.0),
)
"""Upper edges of Istio's duration histogram, in milliseconds, as Envoy has them by default."""

SCRAPE_LABELS = ("instance", "job", "endpoint", "container", "prometheus", "prometheus_replica")
"""Labels that tell two scrapes of one pod apart and nothing else."""

REQUESTS = "istio_requests_total"
DURATIONS = "istio_request_duration_milliseconds_bucket"

UNKNOWN = "unknown"
"""What Istio writes for a workload that it does not know."""

_LOOKBACK = "15m"
_GRACE_MS = 15_000
_OUTCOME = ("reporter", "destination_workload", "response_code", "grpc_response_status")
_CALLED = ("destination_service", "source_workload_namespace", "response_flags")


@dataclass(frozen=True, slots=True)
class Queries:
    """`requests` and `durations` count the slice that ends where they are evaluated; `freshness` gives times of samples."""

    requests: str
    durations: str
    freshness: str


def build(question: Question, length: int, scrape_labels: tuple[str, ...] = SCRAPE_LABELS) -> Queries:
    """The queries for slices of `length` milliseconds."""
    workloads = "|".join(_regex(name) for name in (*question.canary_workloads, *question.stable_workloads))
    served = (
        'reporter=~"source|destination"',
        f"destination_workload_namespace={_quote(question.namespace)}",
        f"destination_workload=~{_quote(workloads)}",
    )
    # Requests that reached no pod have no workload and no namespace: only the host tells whose they were.
    lost = ('reporter="source"', f'destination_workload="{UNKNOWN}"', f"destination_service=~{_quote(host_pattern(question))}")
    requests = _growth(REQUESTS, served, _OUTCOME, length, scrape_labels)
    unattributed = _growth(REQUESTS, lost, (*_OUTCOME, *_CALLED), length, scrape_labels)
    buckets = (*served, f"le=~{_quote(_edge_pattern(latency_edge(question.latency_threshold)))}")
    return Queries(
        requests=f"{requests} or {unattributed}",
        durations=_growth(DURATIONS, buckets, ("reporter", "destination_workload", "le"), length, scrape_labels),
        freshness=_freshness(served[1:]),
    )


def latency_edge(threshold: float) -> float | None:
    """The histogram edge in milliseconds at or next above a threshold in seconds; None where the histogram ends below it."""
    return next((edge for edge in EDGES if edge >= round(threshold * 1000.0, 6)), None)


def host_pattern(question: Question) -> str:
    """What callers may have written as the service's host, as an RE2 pattern.

    Istio's destination_service is the full name of the service where the proxy had a cluster for it (UH, UO, UF), and else
    (NC, NR) the request's Host header, with a port perhaps. The short name means this service only to callers of its own
    namespace, which the reader of the answer has to check.
    """
    return f"{_regex(question.service)}([.]{_regex(question.namespace)}([.]svc([.][-a-z0-9.]+)?)?)?(:[0-9]+)?"


def _growth(metric: str, matchers: tuple[str, ...], by: tuple[str, ...], length: int, scrape_labels: tuple[str, ...]) -> str:
    """How much each counter grew in the slice, summed; what series that were born in it brought is marked born="true"."""
    series = _series(metric, matchers)
    merged = f"max without({','.join(scrape_labels)})"
    now = f"{merged}(last_over_time({series}[{length + _GRACE_MS}ms]))"
    before = f"{merged}(last_over_time({series}[{_LOOKBACK}] offset {length}ms))"
    known = f"sum by({','.join(by)})(({now} - {before} >= 0) or ({now} < {before}))"
    born = f"sum by({','.join(by)})({now} unless {before})"
    return f'{known} or label_replace({born},"born","true","","")'


def _freshness(matchers: tuple[str, ...]) -> str:
    """When each pod of the service, and each workload as its callers see it, was last scraped."""
    own = _series(REQUESTS, ('reporter="destination"', *matchers))
    seen = _series(REQUESTS, ('reporter="source"', *matchers))
    return f"max by(reporter,destination_workload,pod)(timestamp({own})) or max by(reporter,destination_workload)(timestamp({seen}))"


def _series(metric: str, matchers: tuple[str, ...]) -> str:
    return f"{metric}{{{','.join(matchers)}}}"


def _edge_pattern(edge: float | None) -> str:
    """Prometheus 3 writes 500 as "500.0" and 1800000 as "1.8e+06"; Envoy and Prometheus 2 write them plainly."""
    if edge is None:
        return "[+]Inf"
    spellings = {f"{edge:.1f}", f"{edge:.1f}".removesuffix(".0"), f"{edge:g}"}
    return "|".join([*sorted(_regex(spelling) for spelling in spellings), "[+]Inf"])


def _regex(value: str) -> str:
    """A pattern of RE2 that matches this text alone."""
    return re.sub(r"[^A-Za-z0-9_-]", lambda match: "[.]" if match[0] == "." else f"\\x{{{ord(match[0]):x}}}", value)


def _quote(text: str) -> str:
    """A string literal of PromQL (Go's escapes)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\x{ord(match[0]):02x}", escaped) + '"'
