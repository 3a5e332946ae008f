"""reviews v1 and v2 on a real Prometheus: their pods' counters, and polls of what Prometheus says about them."""

import asyncio
import itertools
from dataclasses import dataclass, field

from canaryrollout.core.snapshot import Counts, Poll, PollFailure, Reporter, Slice
from canaryrollout.metrics.istio import IstioPrometheus, Sampling
from canaryrollout.metrics.prometheus import PrometheusClient
from canaryrollout.metrics.provider import Question
from prometheus_server import SCRAPE_SECONDS, Pod, PrometheusServer

SAMPLING = Sampling(slice_length=0.2, scrape_interval=SCRAPE_SECONDS, ingestion_delay=0.5)
_names = (f"ns{number}" for number in itertools.count())


@dataclass
class Bookinfo:
    """reviews v1 and v2 in a namespace: their pods, their client, and polls of what Prometheus says about them."""

    server: PrometheusServer
    provider: IstioPrometheus
    namespace: str
    question: Question
    cursor: float | None = None
    polls: list[Poll | PollFailure] = field(default_factory=list)

    def pod(self, name: str) -> Pod:
        return Pod(name, self.namespace)

    def labels(self, version: str, code: int | str = 200, reporter: str = "destination", **more: str) -> dict[str, str]:
        return {
            "reporter": reporter,
            "destination_workload": f"reviews-{version}",
            "destination_workload_namespace": self.namespace,
            "destination_service": f"reviews.{self.namespace}.svc.cluster.local",
            "source_workload_namespace": self.namespace,
            "response_code": str(code),
            "response_flags": "-",
            "grpc_response_status": "",
            **more,
        }

    def answered(self, pod: Pod, version: str, count: float, code: int | str = 200, reporter: str = "destination", **more: str) -> None:
        """Set the counter of one outcome."""
        pod.set("istio_requests_total", self.labels(version, code, reporter, **more), count)

    def timed(self, pod: Pod, version: str, buckets: dict[str, float], reporter: str = "destination") -> None:
        for edge, count in buckets.items():
            pod.set("istio_request_duration_milliseconds_bucket", {**self.labels(version, 200, reporter), "le": edge}, count)

    async def scraped(self, total: float | None, metric: str = "istio_requests_total") -> None:
        """Wait until the sum of all counters in this namespace is there, and in a slice that is complete."""
        query = f'sum({metric}{{destination_service=~".*{self.namespace}.*"}})'
        await asyncio.to_thread(self.server.await_value, query, total)
        await asyncio.sleep(SAMPLING.ingestion_delay + SAMPLING.slice_length + 0.1)

    async def poll(self) -> Poll | PollFailure:
        result = await self.provider.poll(self.question, self.cursor)
        self.polls.append(result)
        if isinstance(result, Poll):
            self.cursor = result.time
        return result

    def slices(self, reporter: Reporter) -> list[Slice]:
        return [piece for poll in self.polls if isinstance(poll, Poll) for piece in poll.slices if piece.reporter is reporter]

    def canary(self, reporter: Reporter = Reporter.DESTINATION) -> Counts:
        return total([piece.canary for piece in self.slices(reporter)])

    def stable(self, reporter: Reporter = Reporter.DESTINATION) -> Counts:
        return total([piece.stable for piece in self.slices(reporter)])

    def problems(self) -> set[str]:
        last = self.polls[-1]
        assert isinstance(last, Poll)
        return {problem.reason for problem in last.problems}


def total(counts: list[Counts]) -> Counts:
    return Counts(
        total=sum(c.total for c in counts),
        errors=sum(c.errors for c in counts),
        slow=sum(c.slow for c in counts),
        timed=sum(c.timed for c in counts),
        not_fast=sum(c.not_fast for c in counts),
        aborted=sum(c.aborted for c in counts),
    )


def bookinfo(server: PrometheusServer, client: PrometheusClient) -> Bookinfo:
    namespace = next(_names)
    question = Question(namespace, "reviews", ("reviews-v2",), ("reviews-v1",), latency_threshold=0.5, canary_pods=1)
    return Bookinfo(server, IstioPrometheus(client, SAMPLING), namespace, question)
