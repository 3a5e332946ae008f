#!/usr/bin/env python3
"""Writes the generated pages: the chart's README, and the references of settings, metrics and transitions. --check compares instead."""

import difflib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clipage
import yaml
from canaryrollout.api.quantities import format_duration
from canaryrollout.core.machine import TABLE
from canaryrollout.core.preflight.catalogue import LEFT, STRUCTURE
from canaryrollout.core.preflight.chain import KINDS
from canaryrollout.settings import Group, Settings, options
from canaryrollout.telemetry import Metrics

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "charts" / "canaryrollout"


def settings_page() -> str:
    """Flags and environment variables of `canaryrollout operator`."""
    durations = {name for name, field in _fields() if field.annotation is float}
    rows = []
    for option in options():
        default = format_duration(option.default) if option.name in durations and option.default is not None else option.default
        shown = "" if default in (None, "", (), {}) else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        flag = f"{option.flag}`, `--no-{option.flag[2:]}" if isinstance(option.default, bool) else option.flag
        rows.append(f"| `{flag}` | `{option.variable}` | {shown} | {option.description} |")
    return _page(
        "Settings of the operator",
        "`canaryrollout operator` takes each setting as a flag or as an environment variable; a flag wins. Lists are given by "
        "repeating the flag, or separated by commas in the variable. In a pod `POD_NAME` and `POD_NAMESPACE` are read too.",
        "| flag | variable | default | meaning |\n|---|---|---|---|",
        rows,
    )


def _fields() -> Iterator[tuple[str, Any]]:
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Group):
            yield from ((f"{name}_{inner}", found) for inner, found in field.annotation.model_fields.items())
        else:
            yield name, field


def metrics_page() -> str:
    """What /metrics serves."""
    rows = []
    for family in sorted(Metrics().registry.collect(), key=lambda found: found.name):
        if family.name.startswith("canaryrollout_"):
            suffix = "_total" if family.type == "counter" else ""
            rows.append(f"| `{family.name}{suffix}` | {family.type} | {family.documentation} |")
    return _page(
        "Metrics of the operator",
        "Served at `/metrics` (port 8082). Series of a CanaryRollout carry `namespace` and `name`. "
        "Counters and histograms exist from 0 on, with every reason, outcome and result. "
        "The chart's alerts and its dashboard are made of these.",
        "| metric | type | meaning |\n|---|---|---|",
        rows,
    )


def transitions_page() -> str:
    """The machine's table as a diagram and a list."""
    edges = [(phase.value, rule.event, rule.phase.value) for phase, rules in TABLE.items() for rule in rules]
    unique = list(dict.fromkeys(edges))
    diagram = "\n".join(f"    {start} --> {end}: {event}" for start, event, end in unique)
    text = (
        "In each phase the rules are tried in this order, and at most one fires per pass. "
        "[What the phases mean](../explanation/phases.md).\n\n"
        f"```mermaid\nstateDiagram-v2\n    [*] --> Pending\n{diagram}\n```"
    )
    rows = [f"| `{start}` | {event} | `{end}` |" for start, event, end in unique]
    return _page("Transitions", text, "| in phase | when | go to |\n|---|---|---|", rows)


def preflight_page() -> str:
    """What is looked at before the first weight and before each step."""
    text = (
        "Before the first weight and again before each step the configuration around the Service is looked at. An **error** holds the "
        "rollout where it is\n(before the start: `Stalled`; later: `held by` in the conditions), with rollback armed, until it is gone. "
        "A **warning** is an Event, once in a rollout, and stays\nin `status.rollout.notices`. **Info** is shown by "
        "`canaryrollout plan` only. At rest, and on the way back to the version that served before, only the\nstructure counts.\n\n"
        "Objects of other namespaces, Gateways, EnvoyFilters, PeerAuthentications, ServiceEntries, Services and Istio's ConfigMap are read "
        "at most every\n20 s for all rollouts together, and only while one is under way or about to start. With `watchNamespaces` only "
        "those namespaces, `proxyNamespaces` and\nIstio's root namespace are read: a check that would have to know everything is left "
        "out then. The MeshConfig is that of the ConfigMap `istio`; the\none of a revision is not looked for.\n\n"
        "## Structure\n\nErrors, at rest too: without these nothing else is looked at. What to do: "
        "[every reason](../runbooks/reasons.md).\n\n"
        + "\n".join(f"- `{code}`{_also(theirs)}" for code, theirs in STRUCTURE.items())
        + "\n\n## Checks"
    )
    rows = [f"| `{k.code}` | {k.severity.value} | {k.what} | {k.fix} | {', '.join(k.analyze)} |" for k in KINDS]
    left = "\n".join(f"| {code} | {why} |" for code, why in LEFT.items())
    page = _page("Preflight", text, "| code | severity | what | fix | `istioctl analyze` |\n|---|---|---|---|---|", rows)
    return (
        f"{page}\nThe data that the rollout will be judged by is looked at too, by its traffic in the hour before: "
        "[said before the first weight](../runbooks/reasons.md#said-before-the-first-weight).\n\n"
        "## Left to `istioctl analyze`\n\nWhat it says about VirtualServices and DestinationRules beyond the codes above. A test runs "
        "both on the same files.\n\n| code | why |\n|---|---|\n"
        f"{left}\n"
    )


def _also(theirs: tuple[str, ...]) -> str:
    return f" ({', '.join(theirs)})" if theirs else ""


def chart_page() -> str:
    """The chart's README: its values with their explanations."""
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    rows = [f"| `{path}` | {_shown(_at(defaults, path))} | {text} |" for path, text in _explained()]
    text = (
        "```sh\nhelm install canaryrollout charts/canaryrollout --namespace canaryrollout-system --create-namespace \\\n"
        "  --set prometheus.url=http://prometheus.istio-system:9090\n```\n\n"
        "Needs Kubernetes 1.29, Istio with its debug endpoints reachable from the operator's pods, and a Prometheus that scrapes the "
        "proxies.\nThe image is built from `deploy/Dockerfile`. Without Helm: `kubectl apply -k deploy/kustomize`.\n\n"
        "The operator never deletes an object and never reads a Secret. In Istio's root namespace it may read pods and issue tokens for "
        "one\nServiceAccount that has no rights, to which istiod answers which proxies have acknowledged a change. For preflight it "
        "may read, never write,\nGateways, ServiceEntries, Sidecars, EnvoyFilters, PeerAuthentications and, in the root namespace, the "
        "ConfigMap `istio`; there and in\n`proxyNamespaces` also VirtualServices, DestinationRules and Services. "
        "Only `istio.verifyEnvoys` lets it reach into pods.\n\n"
        "`crds.keep` keeps the CustomResourceDefinition, and every CanaryRollout, when the release is uninstalled. "
        "With `watchNamespaces`\nthe operator gets Roles in those namespaces instead of a ClusterRole.\n\n## Values"
    )
    return _page("canaryrollout: Helm chart", text, "| value | default | meaning |\n|---|---|---|", rows)


def _explained() -> Iterator[tuple[str, str]]:
    """(path, explanation) of every value that has a comment starting with "# --"."""
    path: list[str] = []
    text = ""
    for line in (CHART / "values.yaml").read_text().splitlines():
        if found := re.match(r"^ *# -- (.*)", line):
            text = found[1]
        elif found := re.match(r"^( *)([A-Za-z]+):", line):
            path = [*path[: len(found[1]) // 2], found[2]]
            if text:
                yield ".".join(path), text
                text = ""


def _at(values: Any, path: str) -> Any:
    for name in path.split("."):
        values = values[name]
    return values


def _shown(value: Any) -> str:
    return f"`{json.dumps(value)}`" if value == "" or isinstance(value, bool | list | dict) else f"`{value}`"


def _page(title: str, text: str, head: str, rows: list[str]) -> str:
    note = "<!-- Generated by scripts/generate.py (`make crds`); do not edit. -->"
    return "\n".join([note, f"# {title}", "", text, "", head, *rows]) + "\n"


PAGES = {
    "docs/reference/cli.md": clipage.page,
    "docs/reference/settings.md": settings_page,
    "docs/reference/metrics.md": metrics_page,
    "docs/reference/transitions.md": transitions_page,
    "docs/reference/preflight.md": preflight_page,
    "charts/canaryrollout/README.md": chart_page,
}


def main() -> int:
    """Write or compare; 1 on drift."""
    drift = False
    for name, make in PAGES.items():
        path, text = ROOT / name, make()
        if "--check" not in sys.argv[1:]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif (found := path.read_text() if path.exists() else "") != text:
            drift = True
            sys.stdout.writelines(difflib.unified_diff(found.splitlines(True), text.splitlines(True), name, f"{name} (generated)"))
    return int(drift)


if __name__ == "__main__":
    sys.exit(main())
