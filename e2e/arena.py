"""A place for one rollout on the local mesh: a namespace with the sample application, an operator of its own that has
exactly the chart's rights, traffic, and questions to all of them. Scenarios, the demo and the benchmarks use it.
"""

import contextlib
import functools
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import chartkit
import yaml
from localmesh import sample
from localmesh.addresses import free_ports
from localmesh.errors import LocalMeshError
from localmesh.kube import ApiError
from localmesh.mesh import Mesh
from localmesh.podspec import XDS_RELAY_ANNOTATION

Object = dict[str, Any]

GROUP = "/apis/canaryrollout.io/v1beta1"
ISTIO = "/apis/networking.istio.io/v1"
RELEASE = "canaryrollout"
CRDS = Path(__file__).resolve().parents[1] / "crds"


@dataclass
class Operator:
    """An operator process."""

    command: list[str]
    environment: dict[str, str]
    log: Path
    health: str
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; its log is appended to."""
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(self.command, env=self.environment, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        """SIGKILL, as when its node loses power."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """SIGTERM and the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def ready(self) -> bool:
        """Whether /readyz says so."""
        try:
            with urllib.request.urlopen(f"{self.health}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@dataclass
class Arena:
    """One namespace under test."""

    mesh: Mesh
    namespace: str
    operator: Operator

    # --- the rollout ---

    def path(self, name: str = "reviews") -> str:
        """API path of a CanaryRollout."""
        return f"{GROUP}/namespaces/{self.namespace}/canaryrollouts/{name}"

    def rollout(self, version: str, name: str = "reviews", **spec: Any) -> None:
        """Create a CanaryRollout."""
        body = {"service": "reviews", "version": version, **spec}
        metadata = {"name": name, "namespace": self.namespace}
        manifest = {"apiVersion": "canaryrollout.io/v1beta1", "kind": "CanaryRollout", "metadata": metadata, "spec": body}
        self.mesh.request("POST", f"{GROUP}/namespaces/{self.namespace}/canaryrollouts", manifest)

    def edit(self, name: str = "reviews", **spec: Any) -> None:
        """Merge patch of the spec."""
        self.mesh.patch(self.path(name), {"spec": spec})

    def annotate(self, name: str = "reviews", **annotations: str) -> None:
        """Set annotations canaryrollout.io/NAME."""
        given = {f"canaryrollout.io/{key}": value for key, value in annotations.items()}
        self.mesh.patch(self.path(name), {"metadata": {"annotations": given}})

    def deploy(self, version: str, *, ready: bool = True, **faults: Any) -> None:
        """Deploy a version of reviews and wait for its pods."""
        self.mesh.apply(*sample.reviews(self.namespace, version, **faults))
        if ready:
            self.mesh.wait_ready(self.namespace)

    def release(self, version: str, **faults: Any) -> None:
        """Deploy a version and make it the desired one."""
        self.deploy(version, **faults)
        self.edit(version=version)

    def status(self, name: str = "reviews") -> Object:
        """The status; empty before the operator's first visit."""
        found = self.mesh.find(self.path(name))
        return dict((found or {}).get("status") or {})

    def phase(self, name: str = "reviews") -> str:
        """The phase."""
        return str(self.status(name).get("phase", ""))

    def condition(self, kind: str, name: str = "reviews") -> Object:
        """One condition; an empty one while there is none."""
        conditions = self.status(name).get("conditions") or []
        return next((c for c in conditions if c["type"] == kind), {"status": "", "reason": "", "message": ""})

    def wait(self, predicate: Callable[[], object], timeout: float = 90.0, what: str = "") -> None:
        """Poll until something holds; the error shows the rollout's status."""
        try:
            self.mesh.wait(predicate, timeout, what or "a condition")
        except LocalMeshError as error:
            raise AssertionError(f"{error}\nstatus: {json.dumps(self.status(), indent=1)}\noperator: {self.operator.log}") from error

    def wait_phase(self, *phases: str, timeout: float = 90.0, name: str = "reviews") -> Object:
        """Wait for one of the phases; gives the status."""
        self.wait(lambda: self.phase(name) in phases, timeout, f"phase {' or '.join(phases)}")
        return self.status(name)

    def wait_outcome(self, version: str, timeout: float = 240.0) -> Object:
        """Wait until a rollout of `version` has ended; gives its history entry."""

        def ended() -> bool:
            history = self.status().get("history") or [{}]
            return bool(history[0].get("version") == version) and self.phase() in ("Stable", "RolledBack")

        self.wait(ended, timeout, f"the end of the rollout of {version}")
        return dict(self.status()["history"][0])

    def events(self) -> list[Object]:
        """Events of this namespace's CanaryRollouts, oldest first."""
        items = self.mesh.get(f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events")["items"]
        ours = [item for item in items if item["regarding"]["kind"] == "CanaryRollout"]
        return sorted(ours, key=lambda item: str(item["eventTime"]))

    def another_operator(self, flags: Mapping[str, str] | None = None) -> Operator:
        """One more operator for the same namespace, not started: a standby."""
        return operator_for(self.mesh, self.namespace, flags)

    # --- the mesh ---

    def virtual_service(self, name: str = "reviews") -> Object:
        """A VirtualService, live."""
        return self.mesh.get(f"{ISTIO}/namespaces/{self.namespace}/virtualservices/{name}")

    def destination_rule(self, name: str = "reviews") -> Object:
        """A DestinationRule, live."""
        return self.mesh.get(f"{ISTIO}/namespaces/{self.namespace}/destinationrules/{name}")

    def split(self, name: str = "reviews", route: int = 0) -> dict[str, int]:
        """Weights by subset of one route; empty while there is no VirtualService."""
        found = self.mesh.find(f"{ISTIO}/namespaces/{self.namespace}/virtualservices/{name}")
        if found is None:
            return {}
        entries = found["spec"]["http"][route]["route"]
        return {e["destination"].get("subset", ""): 100 if len(entries) == 1 else e.get("weight", 0) for e in entries}

    def pod(self, app: str, **labels: str) -> str:
        """Name of the only pod of an app."""
        return self.mesh.pod(self.namespace, app=app, **labels)


def seconds(time_text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time."""
    return datetime.fromisoformat(time_text).timestamp()


def install(mesh: Mesh) -> None:
    """Apply the CRD and wait until it is served. Server-side apply makes it harmless to do so again, or several at once."""
    mesh.apply(*_crds())
    mesh.wait(lambda: _served(mesh, f"{GROUP}/canaryrollouts"), 30, "the API of CanaryRollouts")


@functools.cache
def _crds() -> tuple[Object, ...]:
    return tuple(yaml.safe_load(path.read_text()) for path in sorted(CRDS.glob("*.yaml")))


def _served(mesh: Mesh, path: str) -> bool:
    """Whether a collection is served; a new type's storage answers 429 while it starts."""
    try:
        return mesh.find(path) is not None
    except ApiError as error:
        if error.status != 429:
            raise
        return False


def operator_for(
    mesh: Mesh, namespace: str, flags: Mapping[str, str] | None = None, *, wide: bool = False, values: Mapping[str, Any] | None = None
) -> Operator:
    """An operator that serves one namespace (`wide`: all), with the rights that the chart gives it (with `values`) and no others."""
    given: Object = {**(values or {}), **({} if wide else {"watchNamespaces": [namespace]})}
    manifests = chartkit.rbac_only(chartkit.render(given, namespace=namespace, release=RELEASE))
    mesh.apply(*manifests)
    account = next(m["metadata"]["name"] for m in manifests if m["kind"] == "ServiceAccount" and m["metadata"]["namespace"] == namespace)
    address = mesh.folder.sub("operators")
    health, metrics = free_ports(2)
    arguments = {
        "namespace": namespace,
        "prometheus-url": mesh.prometheus_url,
        "prometheus-scrape-interval": "5s",
        "identity": f"operator-{secrets.token_hex(3)}",
        "server-address": "127.0.0.1",
        "server-health-port": str(health),
        "server-metrics-port": str(metrics),
        "log-format": "json",
        **({} if wide else {"watch-namespaces": namespace}),
        **(flags or {}),
    }
    command = [sys.executable, "-m", "canaryrollout", "operator", "--kubeconfig", str(mesh.token_kubeconfig(namespace, account))]
    for name, value in arguments.items():
        command += [f"--{name}", value]
    root = Path(__file__).resolve().parent.parent
    environment = {k: v for k, v in os.environ.items() if k != "KUBECONFIG"} | {"PYTHONPATH": str(root / "operator")}
    return Operator(command, environment, address / f"{namespace}.log", f"http://127.0.0.1:{health}")


@contextlib.contextmanager
def arena(
    mesh: Mesh,
    prefix: str = "rollout",
    *,
    flags: Mapping[str, str] | None = None,
    values: Mapping[str, Any] | None = None,
    start: bool = True,
    bystander: bool = False,
    protocol: sample.Protocol = "http",
    stable: Mapping[str, Any] | None = None,
) -> Iterator[Arena]:
    """A namespace with gateway, productpage and reviews v1, and a ready operator; all gone at the end.

    productpage calls reviews by `protocol`; `stable` are faults and options of v1; `values` are the chart's. `bystander` adds a
    client of reviews (app `bystander`) whose sidecar reaches istiod through a relay, so that it can be cut off or frozen while
    the traffic of the others goes on.
    """
    install(mesh)
    with mesh.namespace(prefix) as namespace:
        if bystander:
            mesh.apply(sample.workload(namespace, "bystander", "v1", annotations={XDS_RELAY_ANNOTATION: "true"}))
        mesh.apply(
            *(sample.grpc_service(namespace, "reviews") if protocol == "grpc" else [sample.service(namespace, "reviews")]),
            *sample.reviews(namespace, "v1", **(stable or {})),
            *sample.productpage(namespace, calls=protocol),
            *sample.ingress(namespace, mesh.gateway_port()),
        )
        operator = operator_for(mesh, namespace, flags, values=values)
        place = Arena(mesh, namespace, operator)
        try:
            if start:
                operator.start()
            mesh.wait_ready(namespace)
            mesh.wait_serving(namespace)
            if start:
                place.wait(operator.ready, 30, "the operator")
            yield place
        finally:
            code = operator.stop()
            _release_finalizers(mesh, namespace)
            if start and code not in (0, -signal.SIGKILL, -signal.SIGTERM):
                raise AssertionError(f"the operator ended with code {code}: {operator.log}")


def _release_finalizers(mesh: Mesh, namespace: str) -> None:
    """A namespace cannot go while an object waits for an operator that is gone."""
    for item in mesh.get(f"{GROUP}/namespaces/{namespace}/canaryrollouts")["items"]:
        if item["metadata"].get("finalizers"):
            mesh.patch(f"{GROUP}/namespaces/{namespace}/canaryrollouts/{item['metadata']['name']}", {"metadata": {"finalizers": None}})


def until(predicate: Callable[[], object], timeout: float, interval: float = 0.05) -> bool:
    """Whether something came to hold within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if predicate():
            return True
        time.sleep(interval)
    return False
