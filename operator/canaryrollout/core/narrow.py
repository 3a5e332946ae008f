"""Patches whose preconditions are about what they change, for objects that are edited faster than they can be read and written.

A test on the resourceVersion refuses a write after any edit. Where somebody edits other parts of an object all the time, only a patch
that names what it rests on gets through: the API server applies it to whatever the object is by then, in one piece.
"""

from collections.abc import Sequence
from typing import Any

from canaryrollout.core.decision import Operation
from canaryrollout.core.snapshot import Raw

REVISION = "/metadata/resourceVersion"
_ROUTES = "/spec/http/"
_SUBSETS = "/spec/subsets"


def narrowed(operations: Sequence[Operation], item: Raw) -> tuple[Operation, ...] | None:
    """The patch of `item` without its test on the revision: its routes, or the list of subsets, must be as in `item` instead.

    None where that cannot be said (something is added that was not there, or it is about other fields).
    """
    if not operations or operations[0] != {"op": "test", "path": REVISION, "value": item["metadata"]["resourceVersion"]}:
        return None
    tests: list[Operation] = [{"op": "test", "path": "/metadata/uid", "value": item["metadata"]["uid"]}]
    for path in sorted({str(operation["path"]) for operation in operations[1:]}):
        found = _precondition(path, item.get("spec") or {})
        if found is None:
            return None
        tests += [test for test in found if test not in tests]
    return *tests, *operations[1:]


def _precondition(path: str, spec: Any) -> list[Operation] | None:
    """What must be so for an operation at `path` to mean the same."""
    if path.startswith(_ROUTES):
        index = int(path.removeprefix(_ROUTES).partition("/")[0])
        route = spec["http"][index]
        if not route.get("name"):
            return [{"op": "test", "path": f"{_ROUTES}{index}", "value": route}]
        return [{"op": "test", "path": f"{_ROUTES}{index}/{field}", "value": route[field]} for field in ("name", "route") if field in route]
    if path == _SUBSETS or path.startswith(f"{_SUBSETS}/"):
        return [{"op": "test", "path": _SUBSETS, "value": spec["subsets"]}] if "subsets" in spec else None
    return None


def status_patch(item: Raw, status: Any) -> tuple[Operation, ...] | None:
    """A new status where spec, deletion and status are as in `item`; None where it has no status yet."""
    metadata = item["metadata"]
    if not item.get("status") or "generation" not in metadata:
        return None
    return (
        {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
        {"op": "test", "path": "/metadata/generation", "value": metadata["generation"]},
        {"op": "test", "path": "/status", "value": item["status"]},
        {"op": "replace", "path": "/status", "value": status},
    )
