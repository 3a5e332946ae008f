"""What a pod's status says, as a kubelet reports it. No I/O here."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from localmesh import podspec
from localmesh.addresses import NODE_IP
from localmesh.container import Container, timestamp
from localmesh.kube import Object


@dataclass
class PodStatus:
    """A pod's status; remembers since when the pod has been ready or not."""

    started_at: float = field(default_factory=time.time)
    _ready: bool = False
    _ready_since: float = 0.0

    def build(
        self,
        manifest: Object,
        ip: str,
        containers: Sequence[Container],
        ready: bool,
        failure: podspec.UnrunnableContainerError | None,
    ) -> Object:
        """The status object. `failure` is why the containers could not be made."""
        if ready != self._ready or not self._ready_since:
            self._ready, self._ready_since = ready, time.time()
        statuses = [container.status() for container in containers]
        if failure:
            statuses = [_waiting(spec, failure) for spec in podspec.containers(manifest)]
        phase = _phase(containers)
        return {
            "phase": phase,
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "hostIP": NODE_IP,
            "hostIPs": [{"ip": NODE_IP}],
            "startTime": timestamp(self.started_at),
            "conditions": self._conditions(phase),
            "containerStatuses": statuses,
        }

    def _conditions(self, phase: str) -> list[Object]:
        done = {"status": "True", "lastTransitionTime": timestamp(self.started_at)}
        ready = {"status": str(self._ready), "lastTransitionTime": timestamp(self._ready_since)}
        if not self._ready:
            ready["reason"] = "PodCompleted" if phase == "Succeeded" else "ContainersNotReady"
        return [
            {"type": "PodScheduled", **done},
            {"type": "Initialized", **done},
            {"type": "ContainersReady", **ready},
            {"type": "Ready", **ready},
        ]


def _phase(containers: Sequence[Container]) -> str:
    if containers and all(container.finished for container in containers):
        failed = any(container.last and container.last.exit_code != 0 for container in containers)
        return "Failed" if failed else "Succeeded"
    return "Running" if any(container.process.running or container.restarts for container in containers) else "Pending"


def _waiting(spec: Object, failure: podspec.UnrunnableContainerError) -> Object:
    return {
        "name": spec["name"],
        "image": spec.get("image", ""),
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"waiting": {"reason": failure.reason, "message": str(failure)}},
    }
