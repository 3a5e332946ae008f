"""The shell around reading Envoys: whom it asks, how often, and what it never waits for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from canaryrollout.core.snapshot import Expectation, Problem, ProxyState, ProxyStatus, SyncReport
from canaryrollout.mesh import envoy_verify
from canaryrollout.mesh.envoy_verify import EnvoyVerifier
from streaming_server import PORT, Far, answer, streaming, until

DATA = Path(__file__).parents[2] / "contract" / "data" / "envoy-1.40"
HOST = "reviews.bookinfo.svc.cluster.local"
BETA, PRIMARY, STABLE = ((HOST, "v2", 100),), ((HOST, "v1", 90), (HOST, "v2", 10)), ((HOST, "v1", 100),)
WEIGHTS = Expectation(
    "bookinfo", HOST, "reviews", ("v1", "v2"), splits=(PRIMARY, BETA), required=(PRIMARY, BETA), revision="7", verify=True
)
FRESH, STALE = "sidecar-routes.json", "sidecar-routes-100.json"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call waits for all readings, however busy this machine is."""
    monkeypatch.setattr(envoy_verify, "CALL_SECONDS", 20.0)
    monkeypatch.setattr(envoy_verify, "READ_SECONDS", 20.0)


@dataclass
class Acknowledged:
    """A prover whose proxies have acknowledged everything."""

    pods: tuple[str, ...]
    problem: Problem | None = None
    asked: list[Expectation] = field(default_factory=list)

    async def prove(self, expectation: Expectation, workloads: frozenset[str]) -> SyncReport:
        self.asked.append(expectation)
        proxies = tuple(ProxyStatus(f"{pod}.bookinfo", ProxyState.SYNCED, "istiod", "", "sidecar", "bookinfo/w") for pod in self.pods)
        return SyncReport(expectation, generated=True, proxies=proxies, problem=self.problem)


@dataclass
class Envoys:
    """What each pod's Envoy has: the name of a recorded answer; none: it hangs."""

    routes: dict[str, str | None]

    async def say(self, pod: str, request: bytes) -> bytes:
        name = self.routes[pod]
        if name is None:
            await asyncio.Event().wait()
        assert b"/config_dump?resource=dynamic_active_clusters" in request
        return answer((DATA / "sidecar-clusters.json").read_bytes()) + answer((DATA / str(name)).read_bytes())


@dataclass
class Place:
    """A verifier and what is around it."""

    verifier: EnvoyVerifier
    prover: Acknowledged
    envoys: Envoys
    far: Far

    async def ask(self, **change: object) -> SyncReport:
        return await self.verifier.prove(replace(WEIGHTS, **change), frozenset())  # type: ignore[arg-type]

    async def in_sync(self) -> bool:
        return (await self.ask()).in_sync

    async def nobody_pending(self) -> bool:
        return not any(proxy.state is ProxyState.PENDING for proxy in (await self.ask()).proxies)


@contextlib.asynccontextmanager
async def place(**routes: str | None) -> AsyncIterator[Place]:
    envoys, prover = Envoys(dict(routes)), Acknowledged(tuple(routes))
    far = Far(envoys.say)
    async with streaming(far) as kube:
        verifier = EnvoyVerifier(kube, prover, PORT)
        try:
            yield Place(verifier, prover, envoys, far)
        finally:
            await verifier.close()


def states(report: SyncReport) -> dict[str, ProxyState]:
    return {proxy.proxy.partition(".")[0]: proxy.state for proxy in report.proxies}


async def test_all_fresh_is_a_proof_in_one_call_and_nobody_is_read_twice_for_one_revision() -> None:
    async with place(a=FRESH, b=FRESH) as here:
        report = await here.ask()
        assert report.in_sync
        assert report.envoys is not None
        assert report.expectation == WEIGHTS
        assert (await here.ask()).in_sync
        assert sorted(here.far.asked) == ["a", "b"]
        assert not any(question.verify for question in here.prover.asked), "the acknowledgements are the same for both kinds of proof"
        assert (await here.ask(revision="8")).in_sync
        assert sorted(here.far.asked) == ["a", "a", "b", "b"], "another revision, another proof"


async def test_nobody_is_read_where_it_is_not_asked_for_or_acknowledgements_are_missing() -> None:
    async with place(a=FRESH) as here:
        assert (await here.ask(verify=False)).in_sync
        here.prover.problem = Problem("IstiodUnreachable", "no answer")
        assert (await here.ask()).problem == here.prover.problem
        assert here.far.asked == []


async def test_one_that_shows_something_else_is_named_and_read_again_until_it_does() -> None:
    async with place(a=FRESH, b=STALE) as here:
        report = await here.ask()
        assert states(report) == {"a": ProxyState.SYNCED, "b": ProxyState.DIFFERS}
        assert "serves v1 100 instead of v1 90, v2 10" in report.lagging[0].detail
        here.envoys.routes["b"] = FRESH
        await until(here.in_sync)
        assert here.far.asked.count("a") == 1


async def test_a_frozen_envoy_is_unknown_and_holds_no_call_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envoy_verify, "CALL_SECONDS", 0.1)
    monkeypatch.setattr(envoy_verify, "READ_SECONDS", 2.0)
    async with place(b=None) as here:
        report = await here.ask()
        assert states(report) == {"b": ProxyState.PENDING}, "the call did not wait for it"
        assert "has not been read yet" in report.lagging[0].detail
        await until(here.nobody_pending)
        report = await here.ask()
        assert states(report) == {"b": ProxyState.UNKNOWN}
        assert report.lagging[0].detail == "acknowledged, but its Envoy's admin interface cannot be read: no answer within 2 s"
        here.envoys.routes["b"] = FRESH
        await until(here.in_sync)


async def test_a_missing_right_is_a_problem_that_says_what_to_set_and_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envoy_verify, "DENIED_SECONDS", 1000.0)
    async with place(a=FRESH, b=FRESH) as here:
        here.far.refusal = 403
        report = await here.ask()
        assert report.problem is not None
        assert report.problem.reason == "PortForwardDenied"
        assert "istio.verifyEnvoys=true" in report.problem.message
        assert "namespace bookinfo" in report.problem.message
        assert (await here.ask()).problem == report.problem
        assert here.far.refused == 2, "not tried again at once"
        here.far.refusal = 0
        monkeypatch.setattr(envoy_verify, "DENIED_SECONDS", 0.0)
        await until(here.in_sync)


async def test_another_revision_ends_what_was_being_read_for_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envoy_verify, "CALL_SECONDS", 0.05)
    async with place(a=None) as here:
        await here.ask()
        await until(here.far.busy)
        here.envoys.routes["a"] = FRESH
        await here.ask(revision="8")
        await until(here.far.closed)


@pytest.mark.parametrize(
    "text",
    [
        "upstream connect error",
        '{"configs": ' + "[" * 100_000,
        '{"configs": [17]}',
        '{"configs": [{"route_config": {"virtual_hosts": [[]]}}]}',
        '{"configs": [{"route_config": {"virtual_hosts": [{"routes": [{"route": {"weighted_clusters": [1]}}]}]}}]}',
        '{"configs": [{"route_config": ',
    ],
    ids=["no JSON", "deep", "numbers", "lists", "list for a message", "cut off"],
)
async def test_what_is_no_config_dump_makes_its_pod_unknown_and_nothing_else(text: str, tmp_path: Path) -> None:
    (tmp_path / "answer").write_text(text)
    async with place(a=str(tmp_path / "answer"), b=FRESH) as here:
        report = await here.ask()
        assert states(report) == {"a": ProxyState.UNKNOWN, "b": ProxyState.SYNCED}
        assert "unexpected answer" in report.lagging[0].detail


async def test_closing_leaves_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envoy_verify, "CALL_SECONDS", 0.05)
    async with place(a=None) as here:
        await here.ask()
        await until(here.far.busy)
        await here.verifier.close()
        await until(here.far.closed)
