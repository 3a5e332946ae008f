"""What an API server can compare in the `test` operations of a JSON Patch."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_VERSION = "/metadata/resourceVersion"
_WRITTEN_OTHERWISE = re.compile(r"[<>&]|[^ -~]|(?<!\\)(?:\\\\)*\\[ubf]")


def comparable(operations: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The operations without tests that would fail although the value is there.

    API servers (seen on 1.36, gopkg.in/evanphx/json-patch.v4 `lazyNode.equal`) compare strings as they are escaped in the two JSON
    texts. The client writes them as Go does (kube.text), but whoever stands in between, or another encoder, may not. So such a test
    is left out where one of the resourceVersion, which implies it, is in the same patch; else nothing is.
    """
    if not any(operation["op"] == "test" and operation["path"] == _VERSION for operation in operations):
        return list(operations)
    return [operation for operation in operations if operation["op"] != "test" or _alike(operation["value"])]


def _alike(value: Any) -> bool:
    return _WRITTEN_OTHERWISE.search(json.dumps(value, ensure_ascii=False)) is None
