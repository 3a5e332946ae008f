"""The sync proof against real istiods and real Envoys, healthy and not, at the level of the prover."""

import asyncio
import random
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from canaryrollout.core.snapshot import ProxyState, ProxyStatus, SyncReport
from canaryrollout.mesh.proxy_sync import IstiodSyncProver
from canaryrollout.settings import IstioSettings
from localmesh.mesh import Mesh
from proverkit import READER, Stage, stage


@pytest_asyncio.fixture
async def place(mesh: Mesh) -> AsyncIterator[Stage]:
    async with stage(mesh) as created:
        yield created


@pytest_asyncio.fixture
async def relayed(mesh: Mesh) -> AsyncIterator[Stage]:
    """As `place`; the client's proxy reaches istiod through a relay that can be stopped."""
    async with stage(mesh, replicas=1, xds_relay=True) as created:
        yield created


def status(report: SyncReport, pod: str) -> ProxyStatus:
    """What the report says of a pod."""
    return next(proxy for proxy in report.proxies if proxy.proxy.startswith(f"{pod}."))


async def test_a_proof_means_that_every_envoy_serves_the_weights(place: Stage) -> None:
    for weight in (0, 5, 10, 25, 50, 100, 0):
        place.write_weight(weight)
        report = await place.in_sync()
        served = place.served_weights()
        assert len(served) == 4, "both clients and both versions of reviews route it; the gateway does not"
        assert all(found == {weight} for found in served.values()), (weight, served)
        assert {proxy.proxy.rpartition(".")[0] for proxy in report.proxies} == served.keys()


async def test_unrelated_pushes_neither_spoil_nor_fake_the_proof(place: Stage) -> None:
    stop = asyncio.Event()

    async def noise() -> int:
        changes = 0
        while not stop.is_set():
            changes += 1
            spec = {"hosts": ["productpage"], "http": [{"timeout": f"{changes}s", "route": [{"destination": {"host": "productpage"}}]}]}
            metadata = {"name": "noise", "namespace": place.namespace}
            await asyncio.to_thread(
                place.mesh.apply, {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata, "spec": spec}
            )
            await asyncio.sleep(random.uniform(0.05, 0.6))
        return changes

    noisy = asyncio.create_task(noise())
    for weight in range(3, 63, 3):
        place.write_weight(weight)
        await place.in_sync()
        assert all(found == {weight} for found in place.served_weights().values())
    stop.set()
    assert await noisy > 10


async def test_a_restarted_prover_gets_its_proof_without_any_new_push(place: Stage) -> None:
    place.write_weight(30)
    await place.in_sync()
    await place.new_prover()
    assert not (await place.ask()).in_sync, "nothing is known yet"
    await place.in_sync(20)


async def test_a_frozen_envoy_is_pending_until_it_goes_on(place: Stage) -> None:
    place.write_weight(10)
    await place.in_sync()
    victim = place.mesh.pods(place.namespace, app="productpage")[0]["metadata"]["name"]
    envoy = place.mesh.envoy(place.namespace, victim)
    envoy.pause()
    try:
        place.write_weight(20)
        report = await place.until(lambda report: report.generated and len(report.lagging) == 1)
        assert status(report, victim).state is ProxyState.PENDING
        assert status(report, victim).detail == "sent, not acknowledged"
        until = time.monotonic() + 5
        while time.monotonic() < until:
            assert not (await place.ask()).in_sync
            await asyncio.sleep(0.2)
    finally:
        envoy.resume()
    await place.in_sync()
    assert all(found == {20} for found in place.served_weights().values())


async def test_a_stalled_connection_is_never_in_sync_and_unknown_once_istiod_drops_it(relayed: Stage) -> None:
    relayed.write_weight(10)
    await relayed.in_sync()
    client = relayed.pod("productpage")
    relay = relayed.mesh.xds(relayed.namespace, client)
    relay.stall()
    try:
        relayed.write_weight(20)
        report = await relayed.until(lambda report: report.generated and len(report.lagging) == 1)
        assert status(report, client).state is ProxyState.PENDING
        report = await relayed.until(lambda report: status(report, client).state is ProxyState.UNKNOWN, 90)
        assert status(report, client).detail == "not connected to any istiod; it keeps serving its last configuration"
        assert relayed.served_weights()[client] == {10}
    finally:
        relay.restore()
    await relayed.in_sync(60)
    assert relayed.served_weights()[client] == {20}


async def test_a_refused_connection_is_unknown_also_to_a_prover_that_never_saw_it(relayed: Stage) -> None:
    relayed.write_weight(10)
    await relayed.in_sync()
    client = relayed.pod("productpage")
    relay = relayed.mesh.xds(relayed.namespace, client)
    relay.refuse()
    try:
        relayed.write_weight(20)
        for _ in range(2):
            report = await relayed.until(lambda report: report.generated and len(report.lagging) == 1)
            assert status(report, client).state is ProxyState.UNKNOWN
            await relayed.new_prover()
    finally:
        relay.restore()
    await relayed.in_sync(60)


async def test_a_rejected_configuration_is_reported_with_the_envoys_reason(place: Stage) -> None:
    place.write_weight(10)
    await place.in_sync()
    patch = {"operation": "MERGE", "value": {"route": {"timeout": "-5s"}}}
    bad = {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "bad", "namespace": place.namespace},
        "spec": {
            "workloadSelector": {"labels": {"app": "productpage"}},
            "configPatches": [{"applyTo": "HTTP_ROUTE", "match": {"context": "SIDECAR_OUTBOUND"}, "patch": patch}],
        },
    }
    place.mesh.apply(bad)
    place.write_weight(20)
    report = await place.until(lambda report: len(report.lagging) == 2 and report.lagging[0].state is ProxyState.REJECTED)
    assert all(proxy.proxy.startswith("productpage-") for proxy in report.lagging)
    assert all("rejected the routes: Invalid duration: Expected positive duration" in proxy.detail for proxy in report.lagging)
    place.mesh.delete(f"/apis/networking.istio.io/v1alpha3/namespaces/{place.namespace}/envoyfilters/bad")
    await place.in_sync()
    assert all(found == {20} for found in place.served_weights().values())


async def test_a_client_that_stops_seeing_the_service_is_not_waited_for(place: Stage) -> None:
    place.write_weight(10)
    await place.in_sync()
    spec = {"workloadSelector": {"labels": {"app": "productpage"}}, "egress": [{"hosts": ["istio-system/*"]}]}
    metadata = {"name": "blind", "namespace": place.namespace}
    place.mesh.apply({"apiVersion": "networking.istio.io/v1", "kind": "Sidecar", "metadata": metadata, "spec": spec})
    place.write_weight(20)
    report = await place.in_sync(60)
    assert not any(proxy.proxy.startswith("productpage-") for proxy in report.proxies)
    assert all(found == {20} for pod, found in place.served_weights().items() if not pod.startswith("productpage-"))


@pytest.mark.alone
async def test_with_two_istiods_both_have_to_vouch(mesh: Mesh) -> None:
    mesh.start_istiod(1)
    try:
        async with stage(mesh, istiod="istiod-1") as place:
            place.write_weight(10)
            report = await place.in_sync()
            by_pod = {proxy.proxy.partition("-")[0]: proxy.istiod for proxy in report.proxies}
            assert by_pod == {"productpage": "istiod-1", "reviews": "istiod-0"}
            second = mesh.istiod(1)
            second.pause()
            try:
                place.write_weight(20)
                report = await place.until(lambda report: report.problem is not None)
                assert report.problem is not None
                assert (report.problem.reason, "istiod-1" in report.problem.message) == ("IstiodUnreachable", True)
                # Once its readiness probe has failed it need not answer any more; its proxies are unknown all the same.
                report = await place.until(lambda report: report.problem is None, 40)
                unknown = {proxy.proxy.partition("-")[0] for proxy in report.proxies if proxy.state is ProxyState.UNKNOWN}
                assert unknown == {"productpage"}
            finally:
                second.resume()
            await place.in_sync(60)
            assert all(found == {20} for found in place.served_weights().values())
            second.kill()
            place.write_weight(30)
            await place.in_sync(60)
            assert all(found == {30} for found in place.served_weights().values())
    finally:
        mesh.stop_istiod(1)


@pytest.mark.alone
async def test_an_istiod_that_restarts_is_asked_anew(place: Stage) -> None:
    place.write_weight(40)
    await place.in_sync()
    place.mesh.istiod(0).kill()
    place.write_weight(45)
    await place.in_sync(60)
    assert all(found == {45} for found in place.served_weights().values())


async def test_istiod_answers_only_to_a_token_of_its_own_namespace(mesh: Mesh, place: Stage) -> None:
    url = f"http://{mesh.istiod_addresses[0].partition(':')[0]}:15014/debug/syncz"

    async def ask(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
            return answer.status

    def token(namespace: str, account: str, audience: str) -> str:
        spec = {"audiences": [audience], "expirationSeconds": 600}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return str(mesh.request("POST", path, body)["status"]["token"])

    assert await ask("") == 401
    assert await ask(token("istio-system", READER, "https://kubernetes.default.svc")) == 401
    assert await ask(token(place.namespace, "prover", "istio-ca")) == 403
    assert await ask(token("istio-system", READER, "istio-ca")) == 200


async def test_missing_access_is_a_problem_that_says_what_to_do(place: Stage) -> None:
    place.write_weight(10)
    assert place.question is not None
    for settings, reason in (
        (IstioSettings(reader_service_account="nosuch"), "IstiodAccessDenied"),
        (IstioSettings(reader_service_account=READER, istiod_selector="app=nosuch"), "IstiodNotFound"),
        (IstioSettings(reader_service_account=READER, debug_port=1), "IstiodUnreachable"),
    ):
        prover = IstiodSyncProver(place.kube, settings)
        report = await prover.prove(place.question, frozenset({"a/b"}))
        assert report.problem is not None
        assert report.problem.reason == reason
        assert not report.in_sync
        await prover.close()


async def test_a_token_that_istiod_no_longer_takes_is_replaced(place: Stage) -> None:
    place.write_weight(10)
    await place.in_sync()
    place.prover._client._token = "expired"
    place.write_weight(15)
    await place.in_sync()
