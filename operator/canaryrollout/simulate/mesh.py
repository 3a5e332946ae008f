"""The Istio objects of a simulated rollout: they obey the machine's writes as the API server would."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from canaryrollout.core.decision import CreateObject, MeshWrite, Operation
from canaryrollout.core.snapshot import MeshObjects


class WriteRefused(Exception):
    """A test operation did not hold, or an object exists already: the machine wrote on false assumptions."""


class MemoryMesh:
    """Objects by kind and name. A write replaces what it changes, so that earlier snapshots stay as they were."""

    def __init__(self, objects: Mapping[tuple[str, str], Mapping[str, Any]] | None = None) -> None:
        self.objects = dict(objects or {})
        self.view = self._viewed()

    def write(self, action: MeshWrite) -> None:
        """Carry out one write. Raises WriteRefused."""
        key = action.kind, action.name
        if isinstance(action, CreateObject):
            if key in self.objects:
                raise WriteRefused(f"{action.kind} {action.name} exists")
            body: Any = deepcopy(dict(action.body))
            body["metadata"]["resourceVersion"] = "1"
        else:
            body = self.objects[key]
            for operation in action.operations:
                body = patched(body, operation)
            revision = str(int(body["metadata"]["resourceVersion"]) + 1)
            body = {**body, "metadata": {**body["metadata"], "resourceVersion": revision}}
        self.objects[key] = body
        self.view = self._viewed()

    def _viewed(self) -> MeshObjects:
        services = tuple(item for (kind, _), item in self.objects.items() if kind == "VirtualService")
        return MeshObjects(services, tuple(item for (kind, _), item in self.objects.items() if kind == "DestinationRule"))


def patched(document: Any, operation: Operation) -> Any:
    """The document after one RFC 6902 operation (test, add, replace, remove), sharing what it left alone."""
    path = [part.replace("~1", "/").replace("~0", "~") for part in str(operation["path"]).split("/")[1:]]
    return _patched(document, path, operation)


def _patched(node: Any, path: Sequence[str], operation: Operation) -> Any:
    if not path:
        if operation["op"] == "test" and node != operation["value"]:
            raise WriteRefused(f"{operation['path']} is not as expected")
        return node if operation["op"] == "test" else deepcopy(operation["value"])
    name, op = path[0], operation["op"]
    copy = list(node) if isinstance(node, list) else dict(node)
    key: Any = (len(copy) if name == "-" else int(name)) if isinstance(copy, list) else name
    if len(path) == 1 and op == "remove":
        del copy[key]
    elif len(path) == 1 and op == "add" and isinstance(copy, list):
        copy.insert(key, deepcopy(operation["value"]))
    elif len(path) == 1 and op == "add":
        copy[key] = deepcopy(operation["value"])
    else:
        child = _patched(copy[key], path[1:], operation)
        if op == "test":
            return node
        copy[key] = child
    return copy
