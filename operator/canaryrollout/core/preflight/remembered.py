"""Preflight with a memory (core.memory): hundreds of passes of a simulation look at the same objects."""

from collections.abc import Callable, Mapping

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import Routing
from canaryrollout.core.findings import Finding
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.memory import Memory
from canaryrollout.core.preflight.inputs import Input
from canaryrollout.core.snapshot import MeshObjects, PodSeen, Problem, Raw, Snapshot, VersionPods
from canaryrollout.core.surroundings import Surroundings

_Seen = tuple[
    CanaryRolloutSpec,
    Routing | None,
    MeshObjects,
    Raw | None,
    Surroundings | None,
    tuple[Problem, ...],
    Mapping[str, VersionPods],
    tuple[PodSeen, ...] | None,
]

Examine = Callable[[Input], tuple[Finding, ...]]


def remembered(examine: Examine) -> Examine:
    """`examine` with a memory. It sees nothing of a snapshot but what it is remembered by."""

    def look(same: _Seen, alike: tuple[ServiceHost, str, str]) -> tuple[Finding, ...]:
        spec, recorded, mesh, service, surroundings, problems, versions, pods = same
        host, name, namespace = alike
        seen = Snapshot(
            name=name,
            namespace=namespace,
            uid="",
            generation=0,
            now=0.0,
            problems=problems,
            service=service,
            versions=versions,
            mesh=mesh,
            pods=pods,
            surroundings=surroundings,
        )
        return examine(Input(seen, spec, host, recorded))

    memory = Memory(look)

    def ask(given: Input) -> tuple[Finding, ...]:
        seen = given.snapshot
        objects = seen.mesh, seen.service, seen.surroundings, seen.problems, seen.versions, seen.pods
        return memory((given.spec, given.recorded, *objects), (given.host, seen.name, seen.namespace))

    return ask
