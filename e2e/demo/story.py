"""What the demo does, in order."""

import contextlib
import sys
import time
from collections.abc import Iterator

from arena import Arena, arena
from canaryrollout.api.status import HistoryEntry
from localmesh.mesh import Mesh
from rich.console import Console

from demo.clients import Records
from demo.display import display_on
from demo.frame import status_of
from demo.releases import FIRST_VERSION, RATE, RELEASES, SERVICE, Release
from demo.result import Result, measure
from demo.watch import Stage, Watch

LINGER_SECONDS = 3.0
HISTORY_SCRAPES = 7


def play(mesh: Mesh, console: Console, results: list[Result]) -> None:
    """Adopt the first version, then release one after the other; `results` grows as they end.

    Raises DemoError when a release does not end, LocalMeshError or AssertionError when the mesh or the operator fail.
    """
    began = time.time()
    print(f"deploying gateway, productpage and {SERVICE} {FIRST_VERSION}; starting the operator ...", flush=True)
    entries: list[tuple[Release, HistoryEntry]] = []
    with arena(mesh, "demo") as place, _traffic(place) as records:
        try:
            with display_on(console) as display, Watch(place, records, display, began, Stage("traffic begins")) as watch:
                _adopt(place, watch)
                for release in RELEASES:
                    entries.append((release, _carry_out(place, watch, release)))
        except KeyboardInterrupt:
            print("stopping ...", file=sys.stderr, flush=True)
            raise
        finally:
            records.read()
            results += [measure(release, entry, records.answers) for release, entry in entries]


def _adopt(place: Arena, watch: Watch) -> None:
    """Hand the service over to the operator, which finds one version serving everything."""
    place.rollout(FIRST_VERSION)
    watch.say(f"the operator adopts {SERVICE} as it is")
    watch.until(lambda: place.phase() == "Stable", 60.0, "the adoption")
    watch.say("waiting until Prometheus knows the traffic")
    watch.until(lambda: _known_to_prometheus(place), 60.0, "the first metrics")


def _known_to_prometheus(place: Arena) -> bool:
    """Whether half a minute of traffic has been scraped: the least history that tells what stable is like."""
    series = f'istio_requests_total{{reporter="destination",destination_service_namespace="{place.namespace}"}}'
    return bool(place.mesh.query(f"min(count_over_time({series}[1m])) >= {HISTORY_SCRAPES}"))


def _carry_out(place: Arena, watch: Watch, release: Release) -> HistoryEntry:
    """Deploy a version, make it the desired one, and wait for the end."""
    watch.begin(release)
    place.deploy(release.version, **release.faults)
    place.edit(version=release.version)
    watch.say(f"spec.version is {release.version}, over to the operator")
    watch.until(lambda: _entry(place, release), release.timeout, f"the release of {release.version}")
    entry = _entry(place, release)
    if entry is None:
        raise AssertionError(f"{release.version} had ended and has not")
    watch.say(f"{release.version} has ended: {entry.outcome}")
    watch.linger(LINGER_SECONDS)
    return entry


def _entry(place: Arena, release: Release) -> HistoryEntry | None:
    """The entry of a release that has ended."""
    history = status_of(place.mesh.get(place.path())).history
    return history[0] if history and history[0].version == release.version else None


@contextlib.contextmanager
def _traffic(place: Arena) -> Iterator[Records]:
    """Steady traffic through the gateway, and its records."""
    folder = place.mesh.folder.sub("load")
    known = set(folder.glob("*.jsonl"))
    with place.mesh.load(place.namespace, rps=RATE):
        place.mesh.wait(lambda: set(folder.glob("*.jsonl")) - known, 10.0, "the first request")
        yield Records(next(iter(set(folder.glob("*.jsonl")) - known)))
