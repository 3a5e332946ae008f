"""What `spec.sync.verify: envoy` costs: the time that reading Envoys adds to a proof, on the running mesh. `make bench-envoys`."""

import argparse
import asyncio
import contextlib
import resource
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from canaryrollout.core.snapshot import SyncReport
from canaryrollout.kube.client import KubeClient
from canaryrollout.mesh.envoy_verify import EnvoyVerifier
from localmesh.mesh import Mesh
from proverkit import Stage, stage

ADMIN_PORT = 15000
WRITES = 6
HEADER = "| proxies | Envoys read | bytes of routes each | acknowledged after | reading adds | operator's CPU |\n|---|---|---|---|---|---|"


@dataclass
class Taken:
    """One write: seconds until it was acknowledged, and what reading took after that."""

    acknowledged: float
    reading: float
    cpu: float


async def one_write(place: Stage, verifier: EnvoyVerifier, weight: int) -> tuple[Taken, SyncReport]:
    """Write a weight and prove it, first by acknowledgements and then by Envoys."""
    started = time.monotonic()
    place.write_weight(weight)
    await place.in_sync(60)
    acknowledged, cpu = time.monotonic(), time.process_time()
    assert place.question is not None
    while True:
        report = await verifier.prove(replace(place.question, verify=True), place.workloads)
        if report.in_sync:
            return Taken(acknowledged - started, time.monotonic() - acknowledged, time.process_time() - cpu), report
        await asyncio.sleep(0.05)


async def row(place: Stage, verifier: EnvoyVerifier, proxies: int) -> str:
    """One line of the table: medians of WRITES writes with so many proxies that route the service."""
    place.mesh.scale(place.namespace, "productpage-v1", proxies - 2)
    place.mesh.wait_ready(place.namespace, 300)
    taken, report = [], None
    for weight in range(10, 10 + 7 * WRITES, 7):
        one, report = await one_write(place, verifier, weight)
        taken.append(one)
    assert report is not None
    assert report.envoys is not None
    pod = str(place.mesh.pods(place.namespace, app="productpage")[0]["metadata"]["name"])
    size = len(place.mesh.envoy(place.namespace, pod).admin("/config_dump?resource=dynamic_route_configs"))
    medians = [statistics.median(values) for values in zip(*((t.acknowledged, t.reading, t.cpu) for t in taken), strict=True)]
    numbers = " | ".join(f"{value:.2f} s" for value in medians)
    return f"| {len(report.proxies)} | {report.envoys.total} | {size:,} | {numbers} |"


@contextlib.asynccontextmanager
async def verifying(mesh: Mesh, services: int) -> AsyncIterator[tuple[Stage, EnvoyVerifier]]:
    """The sample with so many further Services, which only make the routes of every proxy longer."""
    async with stage(mesh, replicas=2) as place, await KubeClient.load(mesh.kubeconfig) as kube:
        for number in range(services):
            metadata = {"name": f"other-{number}", "namespace": place.namespace}
            spec = {"selector": {"app": "none"}, "ports": [{"name": "http", "port": 80}]}
            mesh.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
        verifier = EnvoyVerifier(kube, place.prover, ADMIN_PORT)
        try:
            yield place, verifier
        finally:
            await verifier.close()


def _peak() -> int:
    """The most memory this process ever had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


async def _measure(mesh: Mesh, proxies: list[int], services: int) -> None:
    async with verifying(mesh, services) as (place, verifier):
        print(HEADER)
        for count in proxies:
            print(await row(place, verifier, count), flush=True)
        print(f"\nPeak memory of this process: {_peak()} MiB.")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="bench.envoys", description="Measure what reading Envoys adds to a proof.")
    parser.add_argument("--proxies", type=int, nargs="+", default=[4, 10, 20, 40], help="numbers of sidecars that route the service")
    parser.add_argument("--services", type=int, default=0, help="further Services in the mesh (default 0)")
    arguments = parser.parse_args()
    with contextlib.closing(Mesh.attach()) as mesh:
        asyncio.run(_measure(mesh, sorted(arguments.proxies), arguments.services))


if __name__ == "__main__":
    main()
