"""What people ask for at run time, by annotation."""

from collections.abc import Mapping

from canaryrollout.core.ownership import annotator
from canaryrollout.core.printable import printable
from canaryrollout.core.snapshot import Raw, Snapshot

RETRY = "canaryrollout.io/retry"
RESUME = "canaryrollout.io/resume"
"""Annotations that ask for something once; each new value is one request."""
TAKEOVER = "canaryrollout.io/takeover"
"""Annotation of the CanaryRollout, its VirtualService or its DestinationRule by which people take the routing over."""
REQUEST_LIMIT = 253
"""Characters of such a value that count (and fit into status.handled)."""


def open_request(annotations: Mapping[str, str], name: str, handled: str) -> bool:
    """Whether an annotation carries a request that has not been carried out."""
    return bool(annotations.get(name)) and annotations[name][:REQUEST_LIMIT] != handled


def takeover(snapshot: Snapshot, objects: tuple[Raw | None, ...]) -> str:
    """By whom and why an annotation of the CanaryRollout, or of one of the objects, takes the routing over; "" where none does."""
    own = {"annotations": snapshot.annotations, "managedFields": snapshot.managed_fields, "name": snapshot.name}
    mine: Raw = {"kind": "CanaryRollout", "metadata": own}
    for item in (mine, *objects):
        annotations = item["metadata"].get("annotations") if item is not None else None
        value = str(annotations.get(TAKEOVER, "")).strip() if annotations else ""
        if item is not None and value and value.lower() != "false":
            who = annotator(item, TAKEOVER)
            said = f" by {who}" if who is not None else ""
            why = "" if value.lower() == "true" else f": {printable(value)[:REQUEST_LIMIT]}"
            return f"annotation {TAKEOVER} of {item['kind']} {item['metadata']['name']}{said}{why}"
    return ""
