"""Custom metrics on a real Prometheus: what their queries count, and what names can make of them."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from canaryrollout.core.snapshot import CustomMetricQuery, Poll
from canaryrollout.metrics.endpoint import PrometheusEndpoint
from canaryrollout.metrics.prometheus import PrometheusClient
from prometheus_bookinfo import SAMPLING, Bookinfo, bookinfo
from prometheus_server import Pod, PrometheusServer, running_prometheus

LABELS = 'namespace="{{namespace}}",app="{{service}}",version="{{canary}}",workload=~"{{canary_workloads}}"'


def growth(series: str) -> str:
    """As docs/how-to/custom-metrics.md tells people to count: newborn series whole, restarted ones from their next slice on."""
    return f"sum(({series} - ({series} offset {{{{interval}}}} or {series} * 0)) >= 0) or vector(0)"


ORDERS = CustomMetricQuery(
    name="orders",
    bad=growth(f'orders_total{{{LABELS},failed="true"}}'),
    total=growth(f"orders_total{{{LABELS}}}"),
    max_rate=0.01,
)
DEPTH = CustomMetricQuery(name="depth", value='avg(depth{namespace="{{namespace}}",version="{{canary}}"})', maximum=5.0)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """Each test works in a namespace of its own."""
    with running_prometheus(tmp_path_factory.mktemp("prometheus")) as server:
        yield server


@pytest.fixture
async def reviews(shared: PrometheusServer) -> AsyncIterator[Bookinfo]:
    client = PrometheusClient(PrometheusEndpoint(url=shared.url))
    reviews = bookinfo(shared, client)
    reviews.question = replace(reviews.question, canary_version="v2", stable_version="v1", metrics=(ORDERS, DEPTH))
    yield reviews
    await client.close()


def ordered(pod: Pod, good: float, failed: float, version: str = "v2") -> None:
    for label, count in (("false", good), ("true", failed)):
        labels = {"app": "reviews", "version": version, "workload": f"reviews-{version}", "failed": label}
        pod.set("orders_total", labels, count)


async def visible(reviews: Bookinfo, total: float) -> None:
    query = f'sum(orders_total{{namespace="{reviews.namespace}"}})'
    await asyncio.to_thread(reviews.server.await_value, query, total)
    await asyncio.sleep(SAMPLING.ingestion_delay + SAMPLING.slice_length + 0.1)


async def polled(reviews: Bookinfo) -> Poll:
    result = await reviews.poll()
    assert isinstance(result, Poll), result
    return result


def reasons(poll: Poll) -> set[str]:
    return {problem.reason for problem in poll.problems if problem.reason.startswith("Custom")}


async def test_growth_of_counters_is_counted_once_on_the_grid(reviews: Bookinfo) -> None:
    pod, other = reviews.pod("v2-a"), reviews.pod("v1-a")
    ordered(pod, 100, 4)
    ordered(other, 1000, 900, "v1")
    pod.set("depth", {"version": "v2"}, -2.5)
    reviews.server.add(pod, other)
    await visible(reviews, 2004)
    await polled(reviews)
    for step in range(1, 8):
        ordered(pod, 100 + 10 * step, 4 + step)
        await asyncio.sleep(0.2)
        await polled(reviews)
    born = reviews.pod("v2-b")
    ordered(born, 2, 3)
    reviews.server.add(born)
    await visible(reviews, 2004 + 77 + 5)
    ordered(born, 0, 0)
    await visible(reviews, 2004 + 77)
    await polled(reviews)
    found = [piece for poll in reviews.polls if isinstance(poll, Poll) for piece in poll.custom]
    orders = [piece for piece in found if piece.name == "orders"]
    assert (sum(piece.bad for piece in orders), sum(piece.total for piece in orders)) == (10, 82)
    assert all(left.end == right.start for left, right in itertools.pairwise(orders))
    assert {piece.value for piece in found if piece.name == "depth"} == {-2.5}
    assert reasons(await polled(reviews)) == set()


async def test_metrics_without_series_are_no_data(reviews: Bookinfo) -> None:
    bare = replace(ORDERS, bad=ORDERS.bad.removesuffix(" or vector(0)"), total=ORDERS.total.removesuffix(" or vector(0)"))
    reviews.question = replace(reviews.question, metrics=(bare, DEPTH))
    await polled(reviews)
    await asyncio.sleep(1.0)
    result = await polled(reviews)
    assert result.custom == ()
    assert reasons(result) == {"CustomMetricNoData"}


async def test_wrong_queries_are_problems_and_nothing_more(reviews: Bookinfo) -> None:
    canary = reviews.pod("v2-a")
    reviews.answered(canary, "v2", 9, 503)
    wrong = ("sum(", '"text"', "0/0", "vector(1) or label_replace(vector(2),'a','b','','')", "1/0", "rate(x[0s])")
    metrics = tuple(CustomMetricQuery(name=f"m{number}", value=query, maximum=1.0) for number, query in enumerate(wrong))
    reviews.question = replace(reviews.question, metrics=metrics)
    await polled(reviews)
    reviews.server.add(canary)
    await reviews.scraped(9)
    result = await polled(reviews)
    assert result.custom == ()
    assert reviews.canary().errors == 9
    assert reasons(result) == {"CustomMetricFailed", "CustomMetricInvalid"}
    assert len([problem for problem in result.problems if problem.reason.startswith("Custom")]) == len(wrong)


async def test_a_scalar_is_a_value(reviews: Bookinfo) -> None:
    reviews.question = replace(reviews.question, metrics=(CustomMetricQuery(name="one", value="1 + 0.5", maximum=2.0),))
    await polled(reviews)
    await asyncio.sleep(1.0)
    assert {piece.value for piece in (await polled(reviews)).custom} == {1.5}


@pytest.mark.parametrize("name", ['x"} or vector(1e6) or up{a="', "x') or vector(7) #", "x|.*", ".*", "x\\", "x\n", "x`"])
@pytest.mark.parametrize("quote", ['"', "'"])
async def test_names_cannot_leave_their_string(reviews: Bookinfo, name: str, quote: str) -> None:
    pod = reviews.pod("v2-a")
    ordered(pod, 5, 5)
    reviews.server.add(pod)
    await visible(reviews, 10)
    query = "sum(orders_total{namespace=Q{{namespace}}Q,version=Q{{canary}}Q,workload=~Q{{canary_workloads}}Q})".replace("Q", quote)
    reviews.question = replace(
        reviews.question, canary_workloads=(name,), canary_version=name, metrics=(CustomMetricQuery(name="m", value=query, maximum=1.0),)
    )
    await polled(reviews)
    await asyncio.sleep(0.5)
    result = await polled(reviews)
    assert result.custom == ()
    assert reasons(result) == {"CustomMetricNoData"}
