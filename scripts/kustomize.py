#!/usr/bin/env python3
"""Writes deploy/kustomize and deploy/observability from the chart with its default values. --check compares instead."""

import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "e2e"))

from chartkit import CHART, NAMESPACE, Object, render  # noqa: E402 - e2e is not installed

FOLDER = ROOT / "deploy"
NOTE = "# Generated from charts/canaryrollout by `make chart`; do not edit. Change it by an overlay.\n"
HELM_LABELS = ("helm.sh/chart", "app.kubernetes.io/managed-by")
RESOURCES = (  # crd.yaml is written by canaryrollout.api.crd
    "namespace.yaml",
    "crd.yaml",
    "rbac.yaml",
    "operator.yaml",
)
RBAC = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


def files() -> dict[str, str]:
    """Path below deploy/ and text of every file."""
    return {f"kustomize/{name}": text for name, text in _kustomize().items()} | {
        f"observability/{name}": text for name, text in _observability().items()
    }


def _kustomize() -> dict[str, str]:
    manifests = [_without_helm(found) for found in render({"crds": {"enabled": False}})]
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": _restricted()}}
    groups = {
        "namespace.yaml": [namespace],
        "rbac.yaml": [found for found in manifests if found["kind"] in RBAC],
        "operator.yaml": [found for found in manifests if found["kind"] not in RBAC],
    }
    texts = {name: NOTE + yaml.safe_dump_all(found, sort_keys=False, width=110) for name, found in groups.items()}
    kustomization = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": list(RESOURCES)}
    return texts | {"kustomization.yaml": NOTE + yaml.safe_dump(kustomization, sort_keys=False)}


def _observability() -> dict[str, str]:
    """For a Prometheus and a Grafana without operators: a file of rules and a dashboard to import."""
    rules = next(found for found in render({"metrics": {"prometheusRule": {"enabled": True}}}) if found["kind"] == "PrometheusRule")
    return {
        "rules.yaml": NOTE + yaml.safe_dump(rules["spec"], sort_keys=False, width=110),
        "dashboard.json": (CHART / "files" / "dashboards" / "canaryrollout.json").read_text(),
    }


def _restricted() -> dict[str, str]:
    return {"pod-security.kubernetes.io/enforce": "restricted"}


def _without_helm(manifest: Object) -> Object:
    for metadata in (manifest["metadata"], manifest.get("spec", {}).get("template", {}).get("metadata", {})):
        for label in HELM_LABELS:
            metadata.get("labels", {}).pop(label, None)
    manifest["metadata"].pop("annotations", None)
    return manifest


def main() -> int:
    """Write or compare; 1 on drift."""
    wanted = files()
    if "--check" in sys.argv[1:]:
        drifted = [name for name, text in wanted.items() if not (FOLDER / name).exists() or (FOLDER / name).read_text() != text]
        print("".join(f"deploy/{name} is not what the chart renders: run `make chart`\n" for name in drifted), end="")
        return int(bool(drifted))
    for name, text in wanted.items():
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
