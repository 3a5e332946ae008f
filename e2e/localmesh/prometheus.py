"""Prometheus, scraping every proxy of the mesh as Istio's usual PodMonitor would."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from localmesh.addresses import ENVOY_STATS_PORT, PROMETHEUS_IP
from localmesh.process import Process
from localmesh.state import Folder
from localmesh.telemetry import metric_relabel_configs


@dataclass(frozen=True)
class Target:
    """A proxy to scrape."""

    namespace: str
    pod: str
    ip: str
    node: str

    def entry(self) -> dict[str, Any]:
        labels = {"namespace": self.namespace, "pod": self.pod, "node": self.node}
        return {"targets": [f"{self.ip}:{ENVOY_STATS_PORT}"], "labels": labels}


class Targets:
    """The file in which Prometheus finds its targets; it watches the file itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._targets: dict[tuple[str, str], Target] = {}
        self._withheld: set[tuple[str, str]] = set()
        self._write()

    def add(self, target: Target) -> None:
        self._targets[target.namespace, target.pod] = target
        self._write()

    def remove(self, namespace: str, pod: str) -> None:
        if self._targets.pop((namespace, pod), None):
            self._withheld.discard((namespace, pod))
            self._write()

    def withhold(self, namespace: str, pod: str) -> None:
        """Stop scraping one pod that goes on running."""
        self._withheld.add((namespace, pod))
        self._write()

    def restore(self, namespace: str, pod: str) -> None:
        self._withheld.discard((namespace, pod))
        self._write()

    def _write(self) -> None:
        entries = [target.entry() for key, target in sorted(self._targets.items()) if key not in self._withheld]
        replace_file(self.path, json.dumps(entries, indent=1))


def replace_file(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new text, never a part."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.replace(path)


def configuration(targets: Path, scrape_interval: str) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": scrape_interval, "scrape_timeout": scrape_interval},
        "scrape_configs": [
            {
                "job_name": "envoy-stats",
                "metrics_path": "/stats/prometheus",
                "params": {"filter": ["^istio"]},
                "fallback_scrape_protocol": "PrometheusText0.0.4",
                "file_sd_configs": [{"files": [str(targets)], "refresh_interval": "1m"}],
                "metric_relabel_configs": metric_relabel_configs(),
            }
        ],
    }


def prometheus(binaries: Mapping[str, Path], folder: Folder, targets: Path, *, name: str, port: int, interval: str) -> Process:
    """One Prometheus. `name` is its part name, log name and data folder; `interval` like "5s"."""
    home = folder.sub("prometheus", name)
    config = home / "prometheus.yml"
    config.write_text(yaml.safe_dump(configuration(targets, interval), sort_keys=False))
    argv: list[str | Path] = [
        binaries["prometheus"],
        f"--config.file={config}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--web.listen-address={PROMETHEUS_IP}:{port}",
        "--web.enable-lifecycle",
        # New pods are scraped sooner than after the usual 5 to 10 s.
        "--scrape.discovery-reload-interval=1s",
        "--log.level=warn",
    ]
    return Process(name, argv, folder.logs / f"{name}.log", cwd=home)
