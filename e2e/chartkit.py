"""The chart, rendered by helm, as the objects that a release would create.

Tests run the operator with the rights of the rendered chart and never with more.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from localmesh.binaries import ensure

CHART = Path(__file__).resolve().parents[1] / "charts" / "canaryrollout"
RELEASE = "canaryrollout"
NAMESPACE = "canaryrollout-system"
KUBE_VERSION = "v1.36.3"

Object = dict[str, Any]

_RBAC_KINDS = frozenset({"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"})


class HelmError(Exception):
    """helm refused; the text is its own."""


def helm(*arguments: str, stdin: str | None = None) -> str:
    """The standard output of helm. Raises HelmError with its standard error."""
    done = subprocess.run([str(ensure(["helm"])["helm"]), *arguments], input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HelmError(done.stderr.strip() or done.stdout.strip())
    return done.stdout


def render(
    values: Mapping[str, Any] | None = None, *, namespace: str = NAMESPACE, release: str = RELEASE, tests: bool = False
) -> list[Object]:
    """Every object of a release in `namespace`, with `values` over the chart's own.

    `tests` adds the pods of `helm test`. Raises HelmError where values.schema.json or a template refuses.
    """
    arguments = ["template", release, str(CHART), "--namespace", namespace, "--kube-version", KUBE_VERSION, "--values", "-"]
    rendered = helm(*arguments, *([] if tests else ["--skip-tests"]), stdin=json.dumps(dict(values or {})))
    return [found for found in yaml.safe_load_all(rendered) if found]


def rbac_only(manifests: list[Object]) -> list[Object]:
    """The ServiceAccounts, Roles and bindings among the objects of a release."""
    return [found for found in manifests if found["kind"] in _RBAC_KINDS]
