"""Tools that keep a namespace as git has it, as far as VirtualServices and DestinationRules are concerned: real server-side apply
against the real API server, by the rules of Argo CD (self-heal) and of Flux's kustomize-controller.

Both compare by a dry run of the apply. Argo CD with RespectIgnoreDifferences copies what is to be ignored from the live object by a
JSON merge patch, which takes whole lists: once one weight is ignored, all of spec.http stays as it is live.
"""

import contextlib
import copy
import re
import threading
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from localmesh.errors import LocalMeshError
from localmesh.mesh import Mesh

Object = dict[str, Any]

ISTIO = "/apis/networking.istio.io/v1"
PLURALS = {"VirtualService": "virtualservices", "DestinationRule": "destinationrules"}
PAGE = Path(__file__).resolve().parents[1] / "docs" / "how-to" / "gitops.md"


def snippet(containing: str) -> Object:
    """The first YAML block of the how-to that contains a text."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    return dict(yaml.safe_load(next(block for block in blocks if containing in block)))


class Applier:
    """Applies manifests, with force, whenever the live objects differ from them."""

    def __init__(self, mesh: Mesh, namespace: str, manager: str, *manifests: Object) -> None:
        self.mesh, self.namespace, self.manager = mesh, namespace, manager
        self.git = {(item["kind"], item["metadata"]["name"]): copy.deepcopy(item) for item in manifests}
        self.applied = 0
        self.errors: list[str] = []
        self._lock = threading.Lock()

    def path(self, key: tuple[str, str]) -> str:
        """API path of an object."""
        return f"{ISTIO}/namespaces/{self.namespace}/{PLURALS[key[0]]}/{key[1]}"

    def commit(self, key: tuple[str, str], item: Object) -> None:
        """Change a manifest."""
        with self._lock:
            self.git[key] = item

    def sync(self) -> None:
        """One reconciliation: everything is compared first, and what differs is applied in one go."""
        with self._lock:
            wanted = copy.deepcopy(self.git)
        due = [(key, self._differing(key, manifest, self.mesh.find(self.path(key)))) for key, manifest in wanted.items()]
        for key, manifest in due:
            if manifest is not None:
                self.apply(key, manifest)

    def _differing(self, key: tuple[str, str], manifest: Object, live: Object | None) -> Object | None:
        """What to apply; None where nothing differs."""
        raise NotImplementedError

    def apply(self, key: tuple[str, str], manifest: Object, *, dry_run: bool = False) -> Object:
        """Server-side apply with force."""
        if not dry_run:
            self.applied += 1
        query = f"?fieldManager={self.manager}&force=true{'&dryRun=All' if dry_run else ''}"
        return self.mesh.request("PATCH", self.path(key) + query, manifest, "application/apply-patch+yaml")

    @contextlib.contextmanager
    def running(self, interval: float = 3.0) -> Iterator["Applier"]:
        """Reconcile now, and then every `interval` seconds in the background. An error of the loop fails the test at the end."""
        self.sync()
        stop = threading.Event()

        def loop() -> None:
            while not stop.wait(interval):
                try:
                    self.sync()
                except LocalMeshError:
                    self.errors.append(traceback.format_exc())

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join(30)
        assert self.errors == []


class ArgoCD(Applier):
    """An Application with self-heal; `spec` is that of the Application: ignoreDifferences and syncPolicy.syncOptions."""

    def __init__(self, mesh: Mesh, namespace: str, *manifests: Object, spec: Mapping[str, Any] | None = None) -> None:
        super().__init__(mesh, namespace, "argocd-controller", *manifests)
        self.spec = dict(spec or {})

    def _differing(self, key: tuple[str, str], manifest: Object, live: Object | None) -> Object | None:
        if live is None:
            return manifest
        predicted = self.apply(key, manifest, dry_run=True)
        if compared(self._normalized(predicted)) == compared(self._normalized(live)):
            return None
        if "RespectIgnoreDifferences=true" in (self.spec.get("syncPolicy") or {}).get("syncOptions", []):
            clean = bare(live)
            return merged(self._normalized(manifest), merge_patch(self._normalized(clean), clean))
        return manifest

    def _normalized(self, item: Object) -> Object:
        """The object without what the Application ignores."""
        item = copy.deepcopy(item)
        for rule in self.spec.get("ignoreDifferences") or []:
            if rule["kind"] == item["kind"] and rule.get("name", item["metadata"]["name"]) == item["metadata"]["name"]:
                for expression in rule["jqPathExpressions"]:
                    delete(item, expression.strip(".").split("."))
        return item


class Kustomization(Applier):
    """Flux: what the annotation kustomize.toolkit.fluxcd.io/ssa of a manifest says goes before drift correction."""

    SSA = "kustomize.toolkit.fluxcd.io/ssa"

    def __init__(self, mesh: Mesh, namespace: str, *manifests: Object) -> None:
        super().__init__(mesh, namespace, "kustomize-controller", *manifests)

    def _differing(self, key: tuple[str, str], manifest: Object, live: Object | None) -> Object | None:
        if live is None:
            return manifest
        if (manifest["metadata"].get("annotations") or {}).get(self.SSA) == "IfNotPresent":
            return None
        return manifest if compared(self.apply(key, manifest, dry_run=True)) != compared(live) else None


def compared(item: Object) -> Object:
    """What a GitOps tool compares."""
    metadata = {name: item["metadata"].get(name) for name in ("labels", "annotations")}
    return {"metadata": metadata, "spec": item["spec"]}


def bare(item: Object) -> Object:
    """A live object without what only the API server sets."""
    item = copy.deepcopy(item)
    for field in ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"):
        item["metadata"].pop(field, None)
    return item


def delete(item: Any, path: list[str]) -> None:
    """jq's del() for paths of names and "name[]"."""
    name, rest = path[0].removesuffix("[]"), path[1:]
    if not isinstance(item, dict) or name not in item:
        return
    if not rest and not path[0].endswith("[]"):
        del item[name]
        return
    for child in item[name] if path[0].endswith("[]") else [item[name]]:
        if rest:
            delete(child, rest)


def merge_patch(before: Any, after: Any) -> Any:
    """The RFC 7396 patch from one document to another."""
    changes = {}
    for name in {*before, *after}:
        if name not in after:
            changes[name] = None
        elif name not in before:
            changes[name] = after[name]
        elif before[name] != after[name]:
            nested = isinstance(before[name], dict) and isinstance(after[name], dict)
            changes[name] = merge_patch(before[name], after[name]) if nested else after[name]
    return changes


def merged(item: Object, patch: Object) -> Object:
    """The document after an RFC 7396 patch."""
    item = copy.deepcopy(item)
    for name, value in patch.items():
        if value is None:
            item.pop(name, None)
        elif isinstance(value, dict) and isinstance(item.get(name), dict):
            item[name] = merged(item[name], value)
        else:
            item[name] = copy.deepcopy(value)
    return item


def manifests(namespace: str) -> tuple[Object, Object]:
    """What lies in git: DestinationRule and VirtualService with all traffic on v1."""
    common = {"apiVersion": "networking.istio.io/v1", "metadata": {"name": "reviews", "namespace": namespace, "labels": {"team": "books"}}}
    rule = {"kind": "DestinationRule", "spec": {"host": "reviews", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]}}
    route = {"name": "primary", "route": [{"destination": {"host": "reviews", "subset": "v1"}, "weight": 100}], "timeout": "9s"}
    service = {"kind": "VirtualService", "spec": {"hosts": ["reviews"], "http": [route]}}
    return copy.deepcopy({**common, **rule}), copy.deepcopy({**common, **service})


def managers(item: Object) -> set[str]:
    """The field managers of an object."""
    return {entry["manager"] for entry in item["metadata"].get("managedFields") or []}
