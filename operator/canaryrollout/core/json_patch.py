"""RFC 6902 on documents in memory, as far as the operator's own writes need it: what a patch would make of an object."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from canaryrollout.core.decision import Operation


class PatchRefused(Exception):
    """A test operation did not hold, or what should be created exists: the write rests on false assumptions."""


def patched(document: Any, operation: Operation) -> Any:
    """The document after one RFC 6902 operation (test, add, replace, remove), sharing what it left alone."""
    path = [part.replace("~1", "/").replace("~0", "~") for part in str(operation["path"]).split("/")[1:]]
    return _patched(document, path, operation)


def _patched(node: Any, path: Sequence[str], operation: Operation) -> Any:
    if not path:
        if operation["op"] == "test" and node != operation["value"]:
            raise PatchRefused(f"{operation['path']} is not as expected")
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
