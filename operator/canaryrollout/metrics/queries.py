"""The PromQL of one poll: three queries that count requests in a slice and tell how fresh the counts are.

`rate` and `increase` discard a series' first sample, so that a canary that fails from its first request on shows no errors.
Here each series' growth is its last value in the slice minus its last value before; a series that shrank was reset and one
that was not there before was born, and both count whole. Pods scraped more than once are merged before they are summed.
"""

from dataclasses import dataclass

from canaryrollout.metrics import edges
from canaryrollout.metrics.promql import alternation, pattern, quote
from canaryrollout.metrics.provider import Question

SCRAPE_LABELS = ("instance", "job", "endpoint", "container", "prometheus", "prometheus_replica")
"""Labels that tell two scrapes of one pod apart and nothing else."""

REQUESTS = "istio_requests_total"
DURATIONS = "istio_request_duration_milliseconds_bucket"

UNKNOWN = "unknown"
"""What Istio writes for a workload that it does not know."""

_LOOKBACK = "15m"
_LOOKBACK_MS = 900_000
_GRACE_MS = 15_000
OUTCOME = ("reporter", "destination_workload", "response_code", "grpc_response_status")
_CALLED = ("destination_service", "source_workload_namespace", "response_flags")


@dataclass(frozen=True, slots=True)
class Queries:
    """`requests` and `durations` count the slice that ends where they are evaluated; `freshness` gives times of samples."""

    requests: str
    durations: str
    freshness: str


def build(question: Question, length: int, scrape_labels: tuple[str, ...] = SCRAPE_LABELS) -> Queries:
    """The queries for slices of `length` milliseconds."""
    served = _served(question)
    # Requests that reached no pod have no workload and no namespace: only the host tells whose they were.
    lost = ('reporter="source"', f'destination_workload="{UNKNOWN}"', f"destination_service=~{quote(host_pattern(question))}")
    requests = growth(REQUESTS, served, OUTCOME, length, scrape_labels)
    unattributed = growth(REQUESTS, lost, (*OUTCOME, *_CALLED), length, scrape_labels)
    around = edges.enclosing(question.latency_threshold, question.edges)
    buckets = (*served, f"le=~{quote(around.pattern)}")
    return Queries(
        requests=f"{requests} or {unattributed}",
        durations=growth(DURATIONS, buckets, ("reporter", "destination_workload", "le"), length, scrape_labels),
        freshness=_freshness(served[1:]),
    )


def known_edges(question: Question) -> str:
    """One series for each label `le` of the service's duration histogram."""
    return f"group by(le)({_series(DURATIONS, _served(question))})"


def scrape_interval(question: Question) -> str:
    """Seconds between two samples of stable's series: their median in five minutes, or else in one."""
    stable = _series(REQUESTS, (*_served(question)[:2], _workloads(question.stable_workloads)))
    medians = [f"quantile(0.5,{seconds}/(count_over_time({stable}[{seconds}s]) and ({stable} offset {seconds}s)))" for seconds in (300, 60)]
    return " or ".join(medians)


def known_before(question: Question, length: int, settle: int, interval: int) -> str | None:
    """Who, by reporter, had reported the service's requests long before the slice of `length` that ends where this is evaluated; None
    where no look-back is long enough to tell. All in milliseconds.

    Where nobody had, a series that is born in the slice may be an old one: Prometheus lost its data, or has had no samples for longer
    than the look-back. All proxies are scraped again within an `interval` of the first; `settle`, of more than two, is "long before".
    The window is shorter than the look-back of `growth` by as much as one proxy may be scraped earlier than another, and of two intervals
    at least: in less there may be no sample at all, and a canary's first errors would be taken for old ones.
    """
    window = _LOOKBACK_MS - settle - interval
    if window < 2 * interval:
        return None
    return f"count by(reporter)(last_over_time({_series(REQUESTS, _served(question))}[{window}ms] offset {length + settle}ms))"


def _served(question: Question) -> tuple[str, ...]:
    return (
        'reporter=~"source|destination"',
        f"destination_workload_namespace={quote(question.namespace)}",
        _workloads((*question.canary_workloads, *question.stable_workloads)),
    )


def _workloads(names: tuple[str, ...]) -> str:
    return f"destination_workload=~{quote(alternation(names))}"


def host_pattern(question: Question) -> str:
    """What callers may have written as the service's host, as an RE2 pattern.

    Istio's destination_service is the full name of the service where the proxy had a cluster for it (UH, UO, UF), and else
    (NC, NR) the request's Host header, with a port perhaps. The short name means this service only to callers of its own
    namespace, which the reader of the answer has to check.
    """
    return f"{pattern(question.service)}([.]{pattern(question.namespace)}([.]svc([.][-a-z0-9.]+)?)?)?(:[0-9]+)?"


def growth(metric: str, matchers: tuple[str, ...], by: tuple[str, ...], length: int, scrape_labels: tuple[str, ...]) -> str:
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
