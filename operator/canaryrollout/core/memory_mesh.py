"""Istio objects in memory that obey the machine's writes as the API server would: for previews and simulations."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from canaryrollout.core.decision import CreateObject, MeshWrite
from canaryrollout.core.json_patch import PatchRefused, patched
from canaryrollout.core.snapshot import MeshObjects


class MemoryMesh:
    """Objects by kind and name. A write replaces what it changes, so that earlier snapshots stay as they were."""

    def __init__(self, objects: Mapping[tuple[str, str], Mapping[str, Any]] | None = None) -> None:
        self.objects = dict(objects or {})
        self.view = self._viewed()

    def write(self, action: MeshWrite) -> None:
        """Carry out one write. Raises PatchRefused."""
        key = action.kind, action.name
        if isinstance(action, CreateObject):
            if key in self.objects:
                raise PatchRefused(f"{action.kind} {action.name} exists")
            body: Any = deepcopy(dict(action.body))
            body["metadata"]["resourceVersion"] = "1"
        else:
            body = self.objects[key]
            for operation in action.operations:
                body = patched(body, operation)
            revision = _next(str(body["metadata"]["resourceVersion"]))
            body = {**body, "metadata": {**body["metadata"], "resourceVersion": revision}}
        self.objects[key] = body
        self.view = self._viewed()

    def _viewed(self) -> MeshObjects:
        services = tuple(item for (kind, _), item in self.objects.items() if kind == "VirtualService")
        return MeshObjects(services, tuple(item for (kind, _), item in self.objects.items() if kind == "DestinationRule"))


def _next(revision: str) -> str:
    """Another one; clients must not expect numbers."""
    return str(int(revision) + 1) if revision.isdecimal() else f"{revision}+"
