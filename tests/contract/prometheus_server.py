"""A real Prometheus that scrapes pods whose counters the tests write, all on loopback."""

import contextlib
import http.server
import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from apiserver import wait_until
from localmesh.addresses import free_ports
from localmesh.binaries import ensure

SCRAPE_SECONDS = 0.4
_LINES_PER_SCRAPE = 20_000


def series(metric: str, labels: Mapping[str, str]) -> str:
    """A series in the text format."""
    written = ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items())
    return f"{metric}{{{written}}}"


JOBS = ("pods", "podmonitor")


@dataclass
class Pod:
    """Counters of one pod, and the jobs that scrape it."""

    name: str
    namespace: str
    counters: dict[str, float] = field(default_factory=dict)
    jobs: tuple[str, ...] = ("pods",)

    def set(self, metric: str, labels: Mapping[str, str], value: float) -> None:
        self.counters[self.series(metric, labels)] = value

    def series(self, metric: str, labels: Mapping[str, str]) -> str:
        """The series of this pod, in the text format."""
        return series(metric, {**labels, "pod": self.name, "namespace": self.namespace})


class Exporter:
    """Shows the counters of all pods of a job on one page, /JOB, with their own pod labels.

    A pod that leaves the page gets Prometheus's staleness markers as one whose target is gone; changing the targets
    themselves would take Prometheus five seconds each time.
    """

    def __init__(self) -> None:
        self.pods: list[Pod] = []
        self.past: list[str] = []
        """Lines with timestamps of their own, each shown once, and to the first job only."""
        self.lag = 0.0
        """Seconds that a scrape takes: so much later than its timestamp do its samples appear."""
        exporter = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = exporter.page(self.path.removeprefix("/")).encode()
                time.sleep(exporter.lag)
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> "Exporter":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def page(self, job: str) -> str:
        counters = [f"{name} {value}" for pod in self.pods if job in pod.jobs for name, value in pod.counters.copy().items()]
        types = "# TYPE istio_requests_total counter\n# TYPE istio_request_duration_milliseconds histogram\n"
        past = []
        if job == JOBS[0]:
            past, self.past = self.past[:_LINES_PER_SCRAPE], self.past[_LINES_PER_SCRAPE:]
        return types + "\n".join([*sorted(counters), *past]) + "\n"

    def configuration(self) -> str:
        """Prometheus's configuration; JSON is YAML."""
        interval = f"{round(SCRAPE_SECONDS * 1000)}ms"
        target = f"127.0.0.1:{self.server.server_address[1]}"
        jobs = [
            {"job_name": job, "metrics_path": f"/{job}", "honor_labels": True, "static_configs": [{"targets": [target]}]} for job in JOBS
        ]
        return json.dumps(
            {
                "global": {"scrape_interval": interval, "scrape_timeout": interval},
                "scrape_configs": jobs,
                "storage": {"tsdb": {"out_of_order_time_window": "3h"}},
            }
        )


class PrometheusServer:
    """The process, its data and its configuration."""

    def __init__(self, exporter: Exporter, folder: Path) -> None:
        self.exporter = exporter
        self.folder = folder
        self.port = free_ports(1)[0]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, data: str = "data") -> None:
        config = self.folder / "prometheus.yml"
        config.write_text(self.exporter.configuration())
        command = [
            str(ensure(["prometheus"])["prometheus"]),
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / data}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=warn",
        ]
        with (self.folder / "prometheus.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        wait_until(lambda: requests.get(f"{self.url}/-/ready", timeout=5).ok, "Prometheus is not ready")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def add(self, *pods: Pod) -> None:
        self.exporter.pods += pods

    def remove(self, pod: Pod) -> None:
        self.exporter.pods.remove(pod)

    def remember(self, samples: Mapping[str, Sequence[tuple[int, float]]]) -> None:
        """Give series a past, (milliseconds, value) in order of time, and wait until Prometheus has it."""
        lines = [f"{name} {value} {time}" for name, points in samples.items() for time, value in points]
        self.exporter.past += lines
        wait_until(lambda: not self.exporter.past, "Prometheus does not scrape the past", 60)
        time.sleep(2 * SCRAPE_SECONDS)

    def value(self, query: str) -> float | None:
        """The one value of a query now, None where there is no series."""
        answer = requests.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=10).json()
        result = answer["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    def await_value(self, query: str, value: float | None) -> None:
        """Poll until Prometheus has scraped it."""
        wait_until(lambda: self.value(query) == value, f"{query} is not {value}", 30)


@contextlib.contextmanager
def running_prometheus(folder: Path) -> Iterator[PrometheusServer]:
    """An exporter without pods, and Prometheus on it."""
    with Exporter() as exporter:
        server = PrometheusServer(exporter, folder)
        try:
            server.start()
            yield server
        finally:
            server.stop(signal.SIGKILL)
