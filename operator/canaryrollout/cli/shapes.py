"""The shape of objects from files: an API server would have refused what is not so, and the core relies on it."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.structural import structural_schema
from canaryrollout.cli.manifests import Document, ManifestsError

_Shape = Any
"""A type; a list of one shape; or a mapping of fields to shapes. Fields that are not named may be anything; "*" is every other field."""

_PORT: _Shape = {"number": int}
_DESTINATION: _Shape = {"host": str, "subset": str, "port": _PORT}
_ROUTE: _Shape = [{"destination": _DESTINATION, "weight": int, "headers": dict}]
_POLICY: _Shape = {
    "connectionPool": dict,
    "outlierDetection": {"maxEjectionPercent": int},
    "loadBalancer": dict,
    "tls": dict,
    "portLevelSettings": [dict],
}
_LABELS: _Shape = {"*": str}
_TEMPLATE: _Shape = {"metadata": {"labels": _LABELS}, "spec": {"containers": [dict]}}
_MATCH: _Shape = {
    **dict.fromkeys(("uri", "scheme", "method", "authority", "headers", "queryParams", "sourceLabels", "withoutHeaders"), dict),
    "gateways": [str],
    "port": int,
}
_HTTP: _Shape = {
    "name": str,
    "match": [_MATCH],
    "route": _ROUTE,
    "timeout": str,
    "retries": {"attempts": int, "perTryTimeout": str, "retryOn": str},
    "fault": {"delay": {"percentage": dict}, "abort": {"percentage": dict}},
    "delegate": {"name": str, "namespace": str},
    "mirror": _DESTINATION,
    "mirrors": [{"destination": _DESTINATION}],
}
SHAPES: Mapping[str, _Shape] = {
    "VirtualService": {
        "hosts": [str],
        "gateways": [str],
        "exportTo": [str],
        "http": [_HTTP],
        "tls": [{"match": [dict], "route": _ROUTE}],
        "tcp": [{"match": [dict], "route": _ROUTE}],
    },
    "DestinationRule": {
        "host": str,
        "exportTo": [str],
        "trafficPolicy": _POLICY,
        "subsets": [{"name": str, "labels": _LABELS, "trafficPolicy": _POLICY}],
    },
    "Service": {"selector": _LABELS, "ports": [{"port": int, "name": str}]},
    "Deployment": {"replicas": int, "template": _TEMPLATE},
    "StatefulSet": {"replicas": int, "template": _TEMPLATE},
    "DaemonSet": {"template": _TEMPLATE},
    "Gateway": {"selector": _LABELS, "servers": [{"hosts": [str], "port": dict}]},
    "ServiceEntry": {"hosts": [str], "ports": [dict]},
    "Sidecar": {"egress": [{"hosts": [str]}], "workloadSelector": dict},
    "EnvoyFilter": {"configPatches": [{"patch": dict}], "workloadSelector": dict},
    "PeerAuthentication": {"mtls": dict, "selector": dict, "portLevelMtls": dict},
}
_NAMES = {str: "a string", int: "a whole number", bool: "true or false", dict: "an object", list: "a list"}
_TYPES = {"string": str, "integer": int, "boolean": bool}


@cache
def _rollout() -> _Shape:
    """A CanaryRollout's spec as its definition has it; the models alone would take "5" for 5, and 60 for a duration."""
    return _of(structural_schema(CanaryRolloutSpec, defaults=False))


def _of(schema: Mapping[str, Any]) -> _Shape:
    if schema.get("type", "object") == "object":
        properties = schema.get("properties")
        return {name: _of(inner) for name, inner in properties.items()} if properties else dict
    return [_of(schema["items"])] if schema["type"] == "array" else _TYPES[schema["type"]]


def check(document: Document) -> None:
    """Raises ManifestsError with file, line and place."""
    _check(document, {"metadata": {"name": str, "namespace": str, "labels": _LABELS, "annotations": _LABELS}}, document.body, "")
    spec = document.body.get("spec")
    shape = _rollout() if document.kind == "CanaryRollout" else SHAPES.get(document.kind, dict)
    _check(document, shape, {} if spec is None else spec, "spec")


def _check(document: Document, shape: Any, value: Any, path: str) -> None:
    kind: Any = shape if isinstance(shape, type) else type(shape)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ManifestsError(f"{document.file}:{document.line(path)}: {document.kind} {document.name}: {path} must be {_NAMES[kind]}")
    if isinstance(shape, list):
        for index, inner in enumerate(value):
            if inner is None:
                raise ManifestsError(f"{document.file}:{document.line(path)}: {document.kind} {document.name}: {path}[{index}] is empty")
            _check(document, shape[0], inner, f"{path}[{index}]")
    elif isinstance(shape, dict):
        for name, inner in value.items():
            inner_shape = shape.get(name, shape.get("*"))
            if inner_shape is not None:
                _check(document, inner_shape, inner, f"{path}.{name}" if path else str(name))
