"""Who owns which field of an object (metadata.managedFields): whom to name for a foreign change, and giving up what is ours.

Seen on an API server 1.36: a JSON Patch of one weight moves the whole list, spec.http, from its server-side applier to the patch's
manager, for lists without a list-type are atomic. Removing the manager's entry moves neither generation nor any other entry, and
the applier gets the list back with its next apply, without force. The only entry that is left cannot be removed (an empty
list is taken for "not set"), but be replaced by an empty one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from canaryrollout.core.decision import Operation
from canaryrollout.core.printable import printable
from canaryrollout.core.snapshot import Raw

MANAGER = "canaryrollout"
"""The field manager of the operator's own writes."""
CREATED_BY = ("app.kubernetes.io/managed-by", MANAGER)
"""The label of objects that the operator created: their fields stay its own."""

_PARTS = {"VirtualService": ("f:http", "f:tls", "f:tcp"), "DestinationRule": ("f:subsets",)}
"""The fields of the spec in which a foreign change matters."""


@dataclass(frozen=True, slots=True)
class Author:
    """A field manager other than the operator, and when it last changed one of its fields."""

    manager: str
    operation: str = ""
    """Apply (server-side) or Update."""
    time: float | None = None
    """API time; None where the entry has none."""

    def __str__(self) -> str:
        when = f" at {datetime.fromtimestamp(self.time, UTC):%H:%M:%S} UTC" if self.time is not None else ""
        return f"{self.manager} ({self.operation or 'unknown operation'}{when})"


def last_author(item: Raw | None) -> Author | None:
    """Who else last touched the spec of a VirtualService or DestinationRule: the owner of its routes or subsets before others.

    None where the object does not say, as when somebody stripped its managedFields.
    """
    if item is None:
        return None
    found = [(entry, _owned(entry)) for entry in _entries(item) if entry.get("manager") and entry["manager"] != MANAGER]
    parts = set(_PARTS.get(str(item.get("kind") or ""), ()))
    touching = [entry for entry, owned in found if owned & parts] or [entry for entry, owned in found if owned]
    return max((_author(entry) for entry in touching), key=lambda author: author.time or 0.0, default=None)


def annotator(item: Raw, name: str) -> Author | None:
    """Who set an annotation; None where the object does not say."""
    field = f"f:{name}"
    setting = [entry for entry in _entries(item) if entry.get("manager") and field in _under(entry, "f:metadata", "f:annotations")]
    return max((_author(entry) for entry in setting), key=lambda author: author.time or 0.0, default=None)


def release(item: Raw | None) -> list[Operation]:
    """Operations that give up the operator's entry, so that GitOps tools see every later change; empty where it has none.

    Objects that the operator created stay its own.
    """
    if item is None or (item["metadata"].get("labels") or {}).get(CREATED_BY[0]) == CREATED_BY[1]:
        return []
    entries = _entries(item)
    index = next((number for number, entry in enumerate(entries) if entry.get("manager") == MANAGER and not entry.get("subresource")), None)
    if index is None:
        return []
    path = "/metadata/managedFields"
    leave: Operation = {"op": "remove", "path": f"{path}/{index}"}
    if len(entries) == 1:
        leave = {"op": "replace", "path": path, "value": [{}]}
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": item["metadata"]["resourceVersion"]},
        {"op": "test", "path": f"{path}/{index}/manager", "value": MANAGER},
        leave,
    ]


def _entries(item: Raw) -> list[Mapping[str, Any]]:
    return list(item["metadata"].get("managedFields") or [])


def _owned(entry: Mapping[str, Any]) -> frozenset[str]:
    """The fields directly under the spec that a manager owns, as "f:NAME"; none for an entry of a subresource."""
    if entry.get("subresource"):
        return frozenset()
    return frozenset(name for name in _under(entry, "f:spec") if name.startswith("f:"))


def _under(entry: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    fields: Any = entry.get("fieldsV1")
    for name in path:
        fields = fields.get(name) if isinstance(fields, Mapping) else None
    return fields if isinstance(fields, Mapping) else {}


def _author(entry: Mapping[str, Any]) -> Author:
    return Author(printable(str(entry["manager"]))[:128], printable(str(entry.get("operation") or ""))[:16], _seconds(entry.get("time")))


def _seconds(value: object) -> float | None:
    try:
        return datetime.fromisoformat(str(value)).timestamp() if value else None
    except ValueError:
        return None
