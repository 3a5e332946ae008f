"""Handles on single parts of a running mesh: stop, freeze, kill, start."""

import time
import urllib.request
from collections.abc import Callable

from localmesh.addresses import ENVOY_ADMIN_PORT
from localmesh.errors import LocalMeshError
from localmesh.kube import Object
from localmesh.podspec import PROXY_CONTAINER

Control = Callable[[str, Object], Object]
"""Call of the control interface by name."""


class Part:
    """One process of the mesh."""

    def __init__(self, control: Control, name: str) -> None:
        self._control = control
        self.name = name

    def _operate(self, operation: str) -> None:
        self._control("operate", {"part": self.name, "operation": operation})

    def stop(self) -> None:
        """End it; it stays down until `start`."""
        self._operate("stop")

    def start(self) -> None:
        self._operate("start")

    def kill(self) -> None:
        """SIGKILL. A container is started again by the kubelet, any other part by `start`."""
        self._operate("kill")

    def pause(self) -> None:
        """Freeze it (SIGSTOP): its connections stay open and nothing answers."""
        self._operate("pause")

    def resume(self) -> None:
        """Continue after `pause` (SIGCONT)."""
        self._operate("resume")


class Prometheus(Part):
    """A Prometheus."""

    def __init__(self, control: Control, name: str, url: str) -> None:
        super().__init__(control, name)
        self.url = url

    def start(self) -> None:
        """Start it and wait until it answers queries."""
        super().start()
        self.wait_ready()

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Wait until it answers queries; LocalMeshError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not self._ready():
            if time.monotonic() > deadline:
                raise LocalMeshError(f"{self.name} was not ready after {timeout:.0f} s")
            time.sleep(0.1)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class Envoy(Part):
    """The Envoy of a pod."""

    def __init__(self, control: Control, namespace: str, pod: str, ip: Callable[[], str]) -> None:
        super().__init__(control, f"pod/{namespace}/{pod}/{PROXY_CONTAINER}")
        self._ip = ip

    def admin(self, path: str, method: str = "GET", timeout: float = 10.0) -> str:
        """Answer of the admin interface, such as `/config_dump?resource=dynamic_route_configs`."""
        url = f"http://{self._ip()}:{ENVOY_ADMIN_PORT}{path}"
        request = urllib.request.Request(url, method=method)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            text: bytes = answer.read()
        return text.decode()


class XdsRelay(Part):
    """The TCP relay between an Envoy and istiod. The Envoy serves traffic whatever happens here."""

    def __init__(self, control: Control, namespace: str, pod: str) -> None:
        super().__init__(control, f"pod/{namespace}/{pod}/xds-relay")

    def stall(self) -> None:
        """Freeze the connection without closing it: neither side notices."""
        self.pause()

    def refuse(self) -> None:
        """Close the connection and refuse new ones."""
        self.stop()

    def restore(self) -> None:
        """Let configuration through again, after `stall` or `refuse`."""
        self.start()
        self.resume()
