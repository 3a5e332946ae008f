"""etcd, kube-apiserver and kube-controller-manager."""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import yaml

from localmesh.addresses import APISERVER_IP, APISERVER_PORT, ETCD_PORT, SERVICE_RANGE
from localmesh.credentials import APISERVER_URL, Credentials
from localmesh.errors import LocalMeshError
from localmesh.kube import ApiError, Kube, Object
from localmesh.process import Process
from localmesh.state import Folder

CONTROLLERS = (
    "serviceaccount-controller",
    "deployment-controller",
    "replicaset-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "horizontal-pod-autoscaler-controller",
)

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {"level": "None", "users": ["localmesh", "istiod", "kube-controller-manager", "system:apiserver"]},
        {"level": "None", "nonResourceURLs": ["/healthz*", "/readyz*", "/livez*"]},
        {"level": "Metadata"},
    ],
}
"""Only clients that somebody may want to count are written down; the mesh's own parts are not."""

START_TIMEOUT = 60.0


def etcd(binaries: Mapping[str, Path], folder: Folder) -> Process:
    client = f"http://127.0.0.1:{ETCD_PORT}"
    argv: list[str | Path] = [
        binaries["etcd"],
        f"--data-dir={folder.sub('etcd')}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls=http://127.0.0.1:{ETCD_PORT + 1}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]
    return Process("etcd", argv, folder.logs / "etcd.log")


def apiserver(binaries: Mapping[str, Path], folder: Folder, credentials: Credentials) -> Process:
    policy = folder.path / "audit-policy.yaml"
    policy.write_text(yaml.safe_dump(AUDIT_POLICY))
    key = credentials.service_account_key
    argv: list[str | Path] = [
        binaries["kube-apiserver"],
        f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}",
        f"--bind-address={APISERVER_IP}",
        f"--advertise-address={APISERVER_IP}",
        f"--secure-port={APISERVER_PORT}",
        f"--cert-dir={credentials.folder}",
        "--endpoint-reconciler-type=none",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        f"--token-auth-file={credentials.token_file}",
        "--authorization-mode=RBAC",
        "--kubelet-preferred-address-types=InternalIP",
        f"--audit-policy-file={policy}",
        f"--audit-log-path={folder.audit_log}",
    ]
    return Process("kube-apiserver", argv, folder.logs / "kube-apiserver.log")


def controller_manager(binaries: Mapping[str, Path], folder: Folder, credentials: Credentials) -> Process:
    user = "kube-controller-manager"
    kubeconfig = credentials.write_kubeconfig(folder.path / f"{user}.kubeconfig", credentials.tokens[user], user)
    argv: list[str | Path] = [
        binaries[user],
        f"--kubeconfig={kubeconfig}",
        f"--controllers={','.join(CONTROLLERS)}",
        "--leader-elect=false",
        "--secure-port=0",
        # Endpoints of a deleted pod leave at once instead of in batches.
        "--endpointslice-updates-batch-period=0s",
    ]
    return Process(user, argv, folder.logs / f"{user}.log")


async def wait_for_apiserver(process: Process, credentials: Credentials, token: str) -> Kube:
    """A client, as soon as the API server is ready. LocalMeshError with its log when it ends or takes too long."""
    deadline = asyncio.get_running_loop().time() + START_TIMEOUT
    kube: Kube | None = None
    while process.running and asyncio.get_running_loop().time() < deadline:
        if kube is None and credentials.ca.exists():
            kube = Kube(APISERVER_URL, token, credentials.ca)
        if kube is not None:
            with contextlib.suppress(ApiError, aiohttp.ClientError, TimeoutError):
                await kube.get("/readyz")
                return kube
        await asyncio.sleep(0.1)
    raise LocalMeshError(f"{process.name} did not become ready:\n{process.tail()}")


async def install_crds(kube: Kube, source: Path) -> None:
    """Create the CustomResourceDefinitions of a YAML file and wait until they are served."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with source.open() as text:
        crds: list[Object] = [crd for crd in yaml.load_all(text, Loader=loader) if crd]
    await asyncio.gather(*(_install_crd(kube, crd) for crd in crds))


async def _install_crd(kube: Kube, crd: Object) -> None:
    root = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await kube.request("POST", root, crd)
    deadline = asyncio.get_running_loop().time() + START_TIMEOUT
    while asyncio.get_running_loop().time() < deadline:
        conditions = (await kube.get(f"{root}/{crd['metadata']['name']}")).get("status", {}).get("conditions") or []
        if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
            return
        await asyncio.sleep(0.2)
    raise LocalMeshError(f"CustomResourceDefinition {crd['metadata']['name']} was not established")
