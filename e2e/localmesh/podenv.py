"""The environment of a container. No I/O here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localmesh.addresses import NODE_IP, http_proxy_port
from localmesh.kube import Object
from localmesh.podspec import UnrunnableContainerError, expand, has_sidecar, is_workload

Reference = tuple[str, str]
"""A ConfigMap or Secret: its plural ("configmaps" or "secrets") and name."""

Data = Mapping[Reference, Mapping[str, str]]
"""Content of ConfigMaps and Secrets, as far as they exist."""

_KEY_REFS = {"configMapKeyRef": "configmaps", "secretKeyRef": "secrets"}
_BULK_REFS = {"configMapRef": "configmaps", "secretRef": "secrets"}


def references(container: Object) -> set[Reference]:
    """The ConfigMaps and Secrets that a container's environment comes from."""
    sources = [item.get("valueFrom") or {} for item in container.get("env") or []]
    found = {(plural, s[ref]["name"]) for s in sources for ref, plural in _KEY_REFS.items() if ref in s}
    bulk = container.get("envFrom") or []
    return found | {(plural, s[ref]["name"]) for s in bulk for ref, plural in _BULK_REFS.items() if ref in s}


def environment(pod: Object, container: Object, ip: str, data: Data) -> dict[str, str]:
    """Environment of a container: `envFrom` and `env`, plus the sidecar's proxy for a workload.

    `data` is the content of what `references` names. UnrunnableContainerError where something needed is missing.
    """
    return _Environment(pod, container, ip, data).build()


@dataclass
class _Environment:
    pod: Object
    container: Object
    ip: str
    data: Data

    def build(self) -> dict[str, str]:
        env: dict[str, str] = {"POD_IP": self.ip}
        if has_sidecar(self.pod) and is_workload(self.container):
            env["HTTP_PROXY"] = f"http://127.0.0.1:{http_proxy_port(self.ip)}"
        for source in self.container.get("envFrom") or []:
            ref = next(ref for ref in _BULK_REFS if ref in source)
            content = self._content(_BULK_REFS[ref], source[ref]) or {}
            env |= {source.get("prefix", "") + key: value for key, value in content.items()}
        for item in self.container.get("env") or []:
            value = self._value(item, env)
            if value is not None:
                env[item["name"]] = value
        return env

    def _value(self, item: Object, env: Mapping[str, str]) -> str | None:
        source = item.get("valueFrom")
        if source is None:
            return expand(item.get("value", ""), env)
        if "fieldRef" in source:
            return field(self.pod, source["fieldRef"]["fieldPath"], self.ip)
        ref = next((ref for ref in _KEY_REFS if ref in source), None)
        if ref is None:
            raise UnrunnableContainerError(f"environment variable {item['name']}: {next(iter(source))} is not supported")
        wanted = source[ref]
        content = self._content(_KEY_REFS[ref], wanted)
        if content is not None and wanted["key"] in content:
            return content[wanted["key"]]
        if wanted.get("optional"):
            return None
        raise UnrunnableContainerError(f"{_KEY_REFS[ref]} {wanted['name']!r} has no key {wanted['key']!r}")

    def _content(self, plural: str, wanted: Object) -> Mapping[str, str] | None:
        content = self.data.get((plural, wanted["name"]))
        if content is None and not wanted.get("optional"):
            raise UnrunnableContainerError(f"{plural} {wanted['name']!r} not found")
        return content


def field(pod: Object, path: str, ip: str) -> str:
    """Value of a fieldRef (downward API); empty where the pod has no such field."""
    keyed = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if keyed:
        return str(pod["metadata"].get(keyed[1], {}).get(keyed[2], ""))
    if path in ("status.podIP", "status.podIPs"):
        return ip
    if path in ("status.hostIP", "status.hostIPs"):
        return NODE_IP
    value: Any = pod
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None else str(value)
