"""Kubernetes Events on a CanaryRollout: one per decision, named after its content, so that a replay adds none."""

import hashlib
from datetime import UTC, datetime

import structlog

from canaryrollout.controller.subject import Object
from canaryrollout.core.decision import EmitEvent
from canaryrollout.core.printable import shown
from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.errors import AlreadyExists, ApiError
from canaryrollout.kube.resources import CANARYROLLOUTS, EVENTS

NOTE_LIMIT = 1024
NAME_LIMIT = 253

log = structlog.get_logger(__name__)


class Recorder:
    """Posts Events; one that cannot be posted is logged and never holds up a rollout."""

    def __init__(self, kube: KubeClient, instance: str) -> None:
        self._kube = kube
        self._instance = instance[:128]

    async def record(self, raw: Object, event: EmitEvent) -> None:
        """Post an Event unless this object already has it."""
        metadata = raw["metadata"]
        now = datetime.fromtimestamp(self._kube.server_time(), UTC)
        started = ((raw.get("status") or {}).get("rollout") or {}).get("startedAt", "")
        told = (metadata["uid"], started, event.reason, event.key or event.message)
        identity = hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]
        name = metadata["name"][: NAME_LIMIT - len(identity) - 1].rstrip("-.")
        body = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": f"{name}.{identity}", "namespace": metadata["namespace"]},
            "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": "canaryrollout.io/operator",
            "reportingInstance": self._instance,
            "action": event.reason,
            "reason": event.reason,
            "type": "Warning" if event.warning else "Normal",
            "note": shown(event.message).encode()[:NOTE_LIMIT].decode(errors="ignore"),
            "regarding": {
                "apiVersion": CANARYROLLOUTS.api_version,
                "kind": CANARYROLLOUTS.kind,
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
        }
        level = log.warning if event.warning else log.info
        level(event.message, reason=event.reason)
        try:
            await self._kube.create(EVENTS, metadata["namespace"], body)
        except AlreadyExists:
            return
        except ApiError as error:
            log.warning("event not posted", reason=event.reason, error=str(error))
