"""The CustomResourceDefinition, generated from the pydantic models.

`python -m canaryrollout.api.crd` writes it to crds/, the chart and deploy/; `--check` compares instead and fails on drift.
"""

import argparse
import difflib
import sys
from pathlib import Path
from typing import Any

import yaml

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus
from canaryrollout.api.structural import structural_schema

GROUP = "canaryrollout.io"
VERSION = "v1beta1"
KIND = "CanaryRollout"
PLURAL = "canaryrollouts"
CRD_NAME = f"{PLURAL}.{GROUP}"

MAX_NAME_LENGTH = 63
"""The name is used as a label value and in the names of Events."""

FILES = (f"crds/{CRD_NAME}.yaml", f"charts/canaryrollout/files/{CRD_NAME}.yaml", "deploy/kustomize/crd.yaml")
"""Where the definition is kept, below the root of the repository; neither charts nor kustomizations reach outside their folders."""

_HEADER = "# Generated from operator/canaryrollout/api by `make crds`; do not edit.\n"

_COLUMNS = (
    ("Version", "string", ".spec.version", 0),
    ("Phase", "string", ".status.phase", 0),
    ("Step", "string", ".status.step", 0),
    ("Weight", "integer", ".status.weight", 0),
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Message", "string", ".status.message", 1),
)


def custom_resource_definition() -> dict[str, Any]:
    """The definition as an apiextensions.k8s.io/v1 object."""
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _root_schema()},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(*column) for column in _COLUMNS],
    }
    names = {
        "kind": KIND,
        "listKind": f"{KIND}List",
        "plural": PLURAL,
        "singular": KIND.lower(),
        "shortNames": ["crollout"],
        "categories": ["all", "canary"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": CRD_NAME},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def rendered() -> str:
    """The definition as the text of its file."""
    return _HEADER + yaml.safe_dump(custom_resource_definition(), sort_keys=False, width=110, allow_unicode=True)


def _root_schema() -> dict[str, Any]:
    status = structural_schema(CanaryRolloutStatus, defaults=False)
    # Without a status nothing says that the operator has not looked yet, and kstatus calls such an object "Current".
    status["default"] = {"observedGeneration": -1}
    return {
        "type": "object",
        "description": "A service's desired version; the operator shifts traffic to it step by step, each one proved before the next.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural_schema(CanaryRolloutSpec, defaults=True),
            "status": status,
        },
        "x-kubernetes-validations": [
            {
                "rule": f"self.metadata.name.size() <= {MAX_NAME_LENGTH}",
                "message": f"the name must be at most {MAX_NAME_LENGTH} characters long: it is used in labels",
            }
        ],
    }


def _column(name: str, kind: str, path: str, priority: int) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path}
    return column | {"priority": priority} if priority else column


def write(root: Path) -> None:
    """Write the definition wherever it is kept below `root`."""
    for name in FILES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rendered(), encoding="utf-8")


def drift(root: Path) -> str:
    """What differs between the files below `root` and the models, as a unified diff; empty when nothing does."""
    wanted = rendered().splitlines(keepends=True)
    parts: list[str] = []
    for name in FILES:
        path = root / name
        found = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        parts += difflib.unified_diff(found, wanted, fromfile=name, tofile=f"{name} (from the models)")
    return "".join(parts)


def main() -> int:
    """Write the files, or with --check compare them; 1 on drift."""
    parser = argparse.ArgumentParser(prog="python -m canaryrollout.api.crd", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare the files with the models instead of writing them")
    parser.add_argument("--root", type=Path, default=Path(), help="root of the repository (default: the working directory)")
    arguments = parser.parse_args()
    if not arguments.check:
        write(arguments.root)
        return 0
    difference = drift(arguments.root)
    sys.stdout.write(difference)
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main())
