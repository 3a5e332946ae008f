"""What preflight found of objects that are still the same.

A simulation, a preview and a backtest look at the same frozen objects in hundreds of passes. The operator reads them anew each
time, so that nothing is found here: what it finds is never older than its pass.
"""

from collections.abc import Callable
from functools import lru_cache

from canaryrollout.core.findings import Finding
from canaryrollout.core.preflight.inputs import Input
from canaryrollout.core.snapshot import Snapshot

_KEPT = 4

Examine = Callable[[Input], tuple[Finding, ...]]


class _Same:
    """Equal to another one of the very same objects."""

    __slots__ = ("given", "parts")

    def __init__(self, given: Input) -> None:
        seen = given.snapshot
        around = seen.surroundings, seen.problems, seen.versions, seen.pods
        self.given = given
        self.parts = given.spec, given.recorded, seen.mesh, seen.service, *around

    def __hash__(self) -> int:
        return hash(tuple(map(id, self.parts)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Same) or (self.given.host, _names(self.given)) != (other.given.host, _names(other.given)):
            return False
        return all(mine is theirs for mine, theirs in zip(self.parts, other.parts, strict=True))


def _names(given: Input) -> tuple[str, str]:
    return given.snapshot.name, given.snapshot.namespace


def remembered(examine: Examine) -> Examine:
    """`examine` with a memory. It sees nothing of a snapshot but what it is remembered by."""

    @lru_cache(maxsize=_KEPT)
    def found(same: _Same) -> tuple[Finding, ...]:
        return examine(_reduced(same.given))

    return lambda given: found(_Same(given))


def _reduced(given: Input) -> Input:
    seen = given.snapshot
    kept = Snapshot(
        name=seen.name,
        namespace=seen.namespace,
        uid="",
        generation=0,
        now=0.0,
        problems=seen.problems,
        service=seen.service,
        versions=seen.versions,
        mesh=seen.mesh,
        pods=seen.pods,
        surroundings=seen.surroundings,
    )
    return Input(kept, given.spec, given.host, given.recorded)
