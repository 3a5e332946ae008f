"""KubeClient against a real API server."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from apiserver import ApiServer
from canaryrollout.kube import client as module
from canaryrollout.kube import config as configuration
from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.config import ConfigError
from canaryrollout.kube.errors import AlreadyExists, Conflict, Forbidden, Invalid, KindMissing, NotFound, PreconditionFailed, Unavailable
from canaryrollout.kube.resources import DEPLOYMENTS, NAMESPACES, PODS, SERVICEACCOUNTS, SERVICES, VIRTUALSERVICES

MANAGER = "canaryrollout"


@pytest_asyncio.fixture
async def kube(apiserver: ApiServer, tmp_path: Path) -> AsyncIterator[KubeClient]:
    async with await KubeClient.load(apiserver.write_kubeconfig(tmp_path / "kubeconfig")) as client:
        yield client


@pytest_asyncio.fixture
async def namespace(kube: KubeClient) -> str:
    name = f"client-{secrets.token_hex(3)}"
    await kube.create(NAMESPACES, None, {"metadata": {"name": name}})
    return name


def service(port: int = 80, **more: object) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"port": port, "name": "http"}], **more}}


async def test_an_absent_object_is_none_and_an_unserved_type_an_error(kube: KubeClient, namespace: str) -> None:
    assert await kube.get(SERVICES, namespace, "nosuch") is None
    assert await kube.get(SERVICES, "nosuch", "nosuch") is None
    with pytest.raises(KindMissing):
        await kube.get(VIRTUALSERVICES, namespace, "a")
    with pytest.raises(KindMissing):
        await kube.list(VIRTUALSERVICES, namespace)


async def test_lists_are_read_in_pages(kube: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE", 3)
    for index in range(8):
        await kube.create(SERVICEACCOUNTS, namespace, {"metadata": {"name": f"a{index}", "labels": {"k": "v" if index else "w"}}})
    assert len(await kube.list(SERVICEACCOUNTS, namespace)) == 8
    assert len(await kube.list(SERVICEACCOUNTS, namespace, label_selector="k in (v,x)")) == 7
    assert len(await kube.list(SERVICEACCOUNTS, None, field_selector=f"metadata.namespace={namespace},metadata.name=a3")) == 1


async def test_creating_twice_and_in_an_absent_namespace(kube: KubeClient, namespace: str) -> None:
    await kube.create(SERVICES, namespace, service())
    with pytest.raises(AlreadyExists):
        await kube.create(SERVICES, namespace, service())
    with pytest.raises(NotFound):
        await kube.create(SERVICES, "nosuch", service())
    with pytest.raises(Invalid):
        await kube.create(SERVICES, namespace, {**service(port=-1), "metadata": {"name": "b"}})


async def test_apply_is_server_side_and_conflicts_with_another_manager(kube: KubeClient, namespace: str) -> None:
    def deployment(replicas: int) -> dict[str, object]:
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        spec = {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "template": template}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": spec}

    applied = await kube.apply(DEPLOYMENTS, namespace, "a", deployment(1), manager=MANAGER)
    fields = applied["metadata"]["managedFields"][0]
    assert (fields["manager"], fields["operation"]) == (MANAGER, "Apply")
    with pytest.raises(Conflict):
        await kube.apply(DEPLOYMENTS, namespace, "a", deployment(2), manager="other")
    forced = await kube.apply(DEPLOYMENTS, namespace, "a", deployment(2), manager="other", force=True)
    assert forced["spec"]["replicas"] == 2


async def test_a_json_patch_whose_test_fails_is_told_from_one_with_a_bad_result(kube: KubeClient, namespace: str) -> None:
    created = await kube.create(SERVICES, namespace, service())
    label = {"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}
    stale = {"op": "test", "path": "/metadata/resourceVersion", "value": "1"}
    fresh = {**stale, "value": created["metadata"]["resourceVersion"]}
    for wrong in (stale, {"op": "test", "path": "/spec/nosuch", "value": 1}, {"op": "replace", "path": "/spec/ports/7/port", "value": 1}):
        with pytest.raises(PreconditionFailed):
            await kube.json_patch(SERVICES, namespace, "a", [wrong, label])
    with pytest.raises(Invalid):
        await kube.json_patch(SERVICES, namespace, "a", [{"op": "replace", "path": "/spec/ports/0/port", "value": -1}])
    with pytest.raises(NotFound):
        await kube.json_patch(SERVICES, namespace, "nosuch", [label])
    patched = await kube.json_patch(SERVICES, namespace, "a", [fresh, label], manager=MANAGER)
    assert patched["metadata"]["labels"] == {"a": "b"}
    assert MANAGER in {entry["manager"] for entry in patched["metadata"]["managedFields"]}


@pytest.mark.parametrize("text", ["größe", "a<b>&c", "\u2028 \u2029", 'quoted "a\\b"\n\t', "\b\f\x7f"])
async def test_a_test_finds_its_text_whatever_letters_it_has(kube: KubeClient, namespace: str, text: str) -> None:
    noted = {**service(), "metadata": {"name": "a", "annotations": {"note": text}}}
    created = await kube.create(SERVICES, namespace, noted)
    uid = {"op": "test", "path": "/metadata/uid", "value": created["metadata"]["uid"]}
    found = {"op": "test", "path": "/metadata/annotations", "value": {"note": text}}
    label = {"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}
    assert (await kube.json_patch(SERVICES, namespace, "a", [uid, found, label]))["metadata"]["labels"] == {"a": "b"}
    assert (await kube.get(SERVICES, namespace, "a") or {})["metadata"]["annotations"] == {"note": text}
    with pytest.raises(PreconditionFailed):
        await kube.json_patch(SERVICES, namespace, "a", [uid, {**found, "value": {"note": text + "."}}, label])


async def test_a_merge_patch_deletes_with_null_and_honours_the_resource_version(kube: KubeClient, namespace: str) -> None:
    created = await kube.create(SERVICES, namespace, {**service(), "metadata": {"name": "a", "labels": {"a": "b"}}})
    patched = await kube.merge_patch(SERVICES, namespace, "a", {"metadata": {"labels": {"a": None, "c": "d"}}})
    assert patched["metadata"]["labels"] == {"c": "d"}
    with pytest.raises(Conflict):
        version = created["metadata"]["resourceVersion"]
        await kube.merge_patch(SERVICES, namespace, "a", {"metadata": {"resourceVersion": version, "labels": {}}})


async def test_replacing_needs_the_present_resource_version(kube: KubeClient, namespace: str) -> None:
    created = await kube.create(SERVICES, namespace, service())
    condition = {"type": "A", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "B", "message": ""}
    replaced = await kube.replace_status(SERVICES, namespace, "a", {**created, "status": {"conditions": [condition]}})
    assert replaced["status"]["conditions"] == [condition]
    with pytest.raises(Conflict):
        await kube.replace_status(SERVICES, namespace, "a", {**created, "status": {}})
    with pytest.raises(Conflict):
        await kube.replace(SERVICES, namespace, "a", created)
    assert (await kube.replace(SERVICES, namespace, "a", replaced))["metadata"]["uid"] == created["metadata"]["uid"]


async def test_deleting_only_what_was_meant(kube: KubeClient, namespace: str) -> None:
    created = await kube.create(SERVICES, namespace, service())
    with pytest.raises(Conflict):
        await kube.delete(SERVICES, namespace, "a", uid="another")
    with pytest.raises(Conflict):
        await kube.delete(SERVICES, namespace, "a", resource_version="1")
    assert await kube.delete(SERVICES, namespace, "a", uid=created["metadata"]["uid"])
    assert not await kube.delete(SERVICES, namespace, "a")


async def test_a_token_of_a_service_account_and_what_it_may_not(
    kube: KubeClient, namespace: str, apiserver: ApiServer, tmp_path: Path
) -> None:
    await kube.create(SERVICEACCOUNTS, namespace, {"metadata": {"name": "reader"}})
    token, expires = await kube.create_token(namespace, "reader", "istio-ca", 600)
    assert 500 < expires - kube.server_time() < 700
    with pytest.raises(NotFound):
        await kube.create_token(namespace, "nosuch", "istio-ca", 600)
    for audience in ("istio-ca", "https://kubernetes.default.svc"):
        token, _ = await kube.create_token(namespace, "reader", audience, 600)
        weak = ApiServer(apiserver.url, token, apiserver.ca).write_kubeconfig(tmp_path / audience.partition(":")[0])
        async with await KubeClient.load(weak) as client:
            with pytest.raises(Forbidden) as refused:
                await client.list(PODS, None)
            assert token not in str(refused.value)


async def test_the_servers_time(kube: KubeClient) -> None:
    with pytest.raises(LookupError):
        kube.server_time()
    await kube.get(NAMESPACES, None, "default")
    # The server runs on this machine's clock.
    assert abs(kube.server_time() - time.time()) < 2.0


async def test_no_connection_and_no_answer_are_unavailable(apiserver: ApiServer, tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    path = apiserver.write_kubeconfig(tmp_path / "kubeconfig")
    config = json.loads(path.read_text())
    config["clusters"][0]["cluster"]["server"] = f"http://127.0.0.1:{port}"
    path.write_text(json.dumps(config))
    async with await KubeClient.load(path) as client:
        client._timeout = 0.2
        with pytest.raises(Unavailable, match="no answer within"):
            await client.get(NAMESPACES, None, "default")
        server.close()
        await server.wait_closed()
        with pytest.raises(Unavailable):
            await client.get(NAMESPACES, None, "default")


async def test_a_missing_kubeconfig_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no usable Kubernetes configuration"):
        await KubeClient.load(tmp_path / "nosuch")


async def test_inside_a_cluster_the_service_account_of_the_pod_is_used(
    apiserver: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text(apiserver.token)
    monkeypatch.setattr(configuration, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(configuration, "SERVICE_CERT_FILENAME", str(apiserver.ca))
    host, _, port = apiserver.url.removeprefix("https://").partition(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    async with await KubeClient.load() as client:
        assert await client.get(NAMESPACES, None, "default") is not None
