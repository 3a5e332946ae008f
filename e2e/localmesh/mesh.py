"""Mesh: what tests, the demo and benchmarks use of a running mesh."""

import asyncio
import contextlib
import json
import secrets
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from localmesh import load as load_generator
from localmesh import sample
from localmesh.addresses import ISTIOD_HTTP_PORT, PROMETHEUS_IP, PROMETHEUS_PORT, http_proxy_port
from localmesh.client import call
from localmesh.credentials import APISERVER_URL, kubeconfig
from localmesh.endpoints import healthy_endpoints, ready_endpoints
from localmesh.errors import LocalMeshError
from localmesh.handles import Envoy, Part, Prometheus, XdsRelay
from localmesh.kube import MERGE_PATCH, Event, Kube, Object
from localmesh.load import Load
from localmesh.podspec import PROXY_CONTAINER
from localmesh.state import Folder, attached_folder

T = TypeVar("T")


class Mesh:
    """A running mesh, seen from inside it. All methods are synchronous and raise LocalMeshError or ApiError."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="localmesh", daemon=True).start()
        config = json.loads(self.kubeconfig.read_text())
        token = config["users"][0]["user"]["token"]
        self._ca = Path(config["clusters"][0]["cluster"]["certificate-authority"])
        self._kube = Kube(APISERVER_URL, token, self._ca)

    @classmethod
    def attach(cls) -> "Mesh":
        """The mesh this process runs in ($LOCALMESH)."""
        return cls(attached_folder())

    def close(self) -> None:
        self._sync(self._kube.close())
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _sync(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _call(self, name: str, body: Object | None = None) -> Object:
        return call(self.folder.control_socket, name, body)

    # --- Kubernetes -------------------------------------------------------------------------------------------

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of a cluster admin."""
        return self.folder.kubeconfig

    def apply(self, *manifests: Object) -> None:
        """Server-side apply, in order."""
        for manifest in manifests:
            self._sync(self._kube.apply(manifest))

    def get(self, path: str) -> Object:
        """GET of an API path, as cluster admin; ApiError where it is not 2xx."""
        return self._sync(self._kube.get(path))

    def find(self, path: str) -> Object | None:
        """GET of an API path; None where there is no such object."""
        return self._sync(self._kube.find(path))

    def request(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Object:
        """Any call of the API server, as cluster admin."""
        return self._sync(self._kube.request(method, path, body, content_type=content_type))

    def patch(self, path: str, change: Object) -> Object:
        """Merge patch of an object."""
        return self.request("PATCH", path, change, MERGE_PATCH)

    def watch(self, path: str) -> AsyncIterator[Event]:
        """Every change of a collection, for use inside `background`."""
        return self._kube.watch(path)

    @contextlib.contextmanager
    def background(self, coroutine: Coroutine[Any, Any, None]) -> Iterator[None]:
        """Run a coroutine while the block runs; what ends it early is raised at the end of the block."""
        running = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            yield
        finally:
            if not running.cancel():
                running.result()

    def delete(self, path: str) -> None:
        """Delete; no error when it is gone already."""
        self._sync(self._kube.delete(path))

    def scale(self, namespace: str, deployment: str, replicas: int) -> None:
        self.patch(f"/apis/apps/v1/namespaces/{namespace}/deployments/{deployment}", {"spec": {"replicas": replicas}})

    def pods(self, namespace: str, **labels: str) -> list[Object]:
        """Pods of a namespace that carry these labels, not counting those being deleted."""
        selector = urllib.parse.quote(",".join(f"{key}={value}" for key, value in labels.items()))
        items = self.get(f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector}")["items"]
        return [pod for pod in items if not pod["metadata"].get("deletionTimestamp")]

    def pod(self, namespace: str, **labels: str) -> str:
        """Name of the only pod with these labels."""
        names = [pod["metadata"]["name"] for pod in self.pods(namespace, **labels)]
        if len(names) != 1:
            raise LocalMeshError(f"{namespace} has {len(names)} pods with {labels}: {names}")
        return str(names[0])

    def wait_ready(self, namespace: str, timeout: float = 60.0) -> None:
        """Wait until all Deployments of a namespace are rolled out and the namespace's proxies know all ready endpoints."""

        def rolled_out() -> bool:
            deployments = self.get(f"/apis/apps/v1/namespaces/{namespace}/deployments")["items"]
            return all(_is_rolled_out(deployment) for deployment in deployments)

        self.wait(rolled_out, timeout, f"the Deployments of {namespace}")
        self.wait(lambda: self._endpoints_known(namespace), timeout, f"the proxies of {namespace} to know its endpoints")

    def _endpoints_known(self, namespace: str) -> bool:
        slices = self.get(f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")["items"]
        wanted = ready_endpoints(slices)
        proxies = [pod for pod in self.pods(namespace) if _is_ready(pod) and _has_proxy(pod)]
        for pod in proxies:
            known = healthy_endpoints(json.loads(self.envoy(namespace, pod["metadata"]["name"]).admin("/clusters?format=json")))
            if any(not wanted.get(host, set()) <= addresses for host, addresses in known.items()):
                return False
        return True

    @contextlib.contextmanager
    def namespace(self, prefix: str = "test", labels: Mapping[str, str] | None = None) -> Iterator[str]:
        """A fresh namespace with sidecars, and the Sidecar they need; deleted with all it holds at the end."""
        name = f"{prefix}-{secrets.token_hex(3)}"
        self.apply(*sample.namespace(name, labels))
        try:
            yield name
        finally:
            self.delete(f"/api/v1/namespaces/{name}")

    def token_kubeconfig(self, namespace: str, service_account: str) -> Path:
        """A kubeconfig with a token of a ServiceAccount (an hour long): exactly its rights, no more."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        token = self.request("POST", path, request)["status"]["token"]
        user = f"{namespace}-{service_account}"
        target = self.folder.sub("kubeconfigs") / f"{user}-{secrets.token_hex(3)}"
        target.touch(mode=0o600)
        target.write_text(json.dumps(kubeconfig(APISERVER_URL, self._ca, token, user, namespace)))
        return target

    def audit(self, user: str) -> Counter[str]:
        """API requests of a user so far, counted by "VERB RESOURCE"; a ServiceAccount is
        `system:serviceaccount:NAMESPACE:NAME`. The mesh's own parts are not recorded."""
        counts: Counter[str] = Counter()
        with self.folder.audit_log.open() as log:
            for line in log:
                event = json.loads(line) if line.endswith("\n") else {}
                if event.get("user", {}).get("username") == user:
                    what = event.get("objectRef", {})
                    resource = "/".join(filter(None, [what.get("resource"), what.get("subresource")]))
                    counts[f"{event['verb']} {resource or event['requestURI']}"] += 1
        return counts

    # --- Istio ------------------------------------------------------------------------------------------------

    @property
    def istiod_addresses(self) -> list[str]:
        """IP:PORT of the debug interface of every istiod that is ready."""
        pods = self.pods("istio-system", app="istiod")
        return [f"{pod['status']['podIP']}:{ISTIOD_HTTP_PORT}" for pod in pods if _is_ready(pod)]

    def istiod(self, replica: int = 0) -> Part:
        """The process of an istiod replica."""
        return self.part(f"pod/istio-system/istiod-{replica}/discovery")

    def start_istiod(self, replica: int, timeout: float = 30.0) -> None:
        """Start one more istiod (replica 1, 2, 3) and wait until it is ready. Ends with `stop_istiod`."""
        self._call("istiod", {"replica": replica})
        path = f"/api/v1/namespaces/istio-system/pods/istiod-{replica}"
        self.wait(lambda: _is_ready(self.find(path)), timeout, f"istiod-{replica}")

    def stop_istiod(self, replica: int) -> None:
        """Delete the pod of an istiod that `start_istiod` made."""
        self.delete(f"/api/v1/namespaces/istio-system/pods/istiod-{replica}")

    def gateway_port(self) -> int:
        """A listener port that no other gateway of the mesh has."""
        return int(self._call("gateway-port")["port"])

    def envoy(self, namespace: str, pod: str) -> Envoy:
        """The Envoy of a pod."""
        return Envoy(self._call, namespace, pod, lambda: self._ip(namespace, pod))

    def xds(self, namespace: str, pod: str) -> XdsRelay:
        """The relay between a pod's Envoy and istiod (the pod needs podspec.XDS_RELAY_ANNOTATION)."""
        return XdsRelay(self._call, namespace, pod)

    def _ip(self, namespace: str, pod: str) -> str:
        return str(self.get(f"/api/v1/namespaces/{namespace}/pods/{pod}")["status"]["podIP"])

    # --- Prometheus -------------------------------------------------------------------------------------------

    @property
    def prometheus_url(self) -> str:
        return f"http://{PROMETHEUS_IP}:{PROMETHEUS_PORT}"

    @property
    def prometheus(self) -> Prometheus:
        """The Prometheus that every mesh has; it scrapes every 5 s."""
        return Prometheus(self._call, "prometheus", self.prometheus_url)

    def new_prometheus(self, name: str, interval: str = "5s") -> Prometheus:
        """One more Prometheus that scrapes the same proxies, at an interval of its own."""
        part = f"prometheus-{name}"
        url = self._call("prometheus", {"name": part, "interval": interval})["url"]
        started = Prometheus(self._call, part, url)
        started.wait_ready()
        return started

    def scrape(self, namespace: str, pod: str, wanted: bool) -> None:
        """Stop, or resume, the scraping of one pod by every Prometheus."""
        self._call("scrape", {"namespace": namespace, "pod": pod, "scrape": wanted})

    def query(self, promql: str, url: str | None = None) -> list[Object]:
        """Result of an instant query."""
        address = f"{url or self.prometheus_url}/api/v1/query?{urllib.parse.urlencode({'query': promql})}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return list(json.load(answer)["data"]["result"])

    # --- traffic, parts, time ---------------------------------------------------------------------------------

    def load(
        self,
        namespace: str,
        *,
        rps: float,
        app: str = "ingressgateway",
        via: str | None = None,
        headers: Mapping[str, str] | None = None,
        version_header: str = "x-reviews-version",
        url: str = "http://reviews/",
        path: str = "/",
        connection_churn: int = 0,
    ) -> contextlib.AbstractContextManager[Load]:
        """Steady traffic while the block runs.

        By default to `path` through the namespace's ingress gateway, which leads to productpage; with `via`, the name of a pod, to `url`
        through that pod's sidecar, as the pod itself would call it. Connections are kept, but for one request in
        `connection_churn` where that is not 0.
        """
        host: str | None = None
        proxy: str | None = None
        if via is not None:
            proxy = f"http://127.0.0.1:{http_proxy_port(self._ip(namespace, via))}"
        else:
            url, host = urllib.parse.urljoin(self._gateway_url(namespace, app), path), sample.HOST
        return load_generator.running(
            self.folder.shims / "meshkit",
            self.folder.sub("load"),
            url=url,
            host=host,
            proxy=proxy,
            rps=rps,
            version_header=version_header,
            headers=headers,
            connection_churn=connection_churn,
        )

    def wait_serving(self, namespace: str, timeout: float = 30.0, app: str = "ingressgateway") -> None:
        """Wait until the namespace's gateway answers with 200: pods may be ready before the gateway knows their endpoints."""
        request = urllib.request.Request(self._gateway_url(namespace, app), headers={"Host": sample.HOST})

        def serving() -> bool:
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        self.wait(serving, timeout, f"the gateway of {namespace} to serve")

    def _gateway_url(self, namespace: str, app: str) -> str:
        gateway = self.pods(namespace, app=app)[0]
        port = gateway["spec"]["containers"][0]["ports"][0]["containerPort"]
        return f"http://{gateway['status']['podIP']}:{port}/"

    def part(self, name: str) -> Part:
        """Any part by its name (see localmesh.parts)."""
        return Part(self._call, name)

    def parts(self) -> list[Object]:
        """All parts: name, pid (None when it does not run), log file."""
        return list(self._call("status")["parts"])

    def wait(self, predicate: Callable[[], object], timeout: float = 30.0, what: str = "a condition") -> None:
        """Poll until the predicate is true; LocalMeshError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not predicate():
            if time.monotonic() > deadline:
                raise LocalMeshError(f"gave up waiting for {what} after {timeout:.0f} s")
            time.sleep(0.1)


def _is_ready(pod: Object | None) -> bool:
    conditions: Iterable[Object] = (pod or {}).get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _has_proxy(pod: Object) -> bool:
    return any(container["name"] == PROXY_CONTAINER for container in pod["spec"]["containers"])


def _is_rolled_out(deployment: Object) -> bool:
    wanted = deployment["spec"].get("replicas", 1)
    status = deployment.get("status", {})
    counts = (status.get("replicas", 0), status.get("updatedReplicas", 0), status.get("availableReplicas", 0))
    seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return seen and counts == (wanted, wanted, wanted)
