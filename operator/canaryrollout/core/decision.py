"""What the core answers: the status to persist, then the effects to carry out, then when to look again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from canaryrollout.api.status import CanaryRolloutStatus

MeshKind = Literal["VirtualService", "DestinationRule"]
Operation = dict[str, Any]
"""One RFC 6902 operation."""


@dataclass(frozen=True, slots=True)
class CreateObject:
    """Create an object that did not exist; a concurrent creation is a conflict, never an overwrite."""

    kind: MeshKind
    name: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PatchObject:
    """Change an existing object. The operations carry their own preconditions (resourceVersion, name, old value)."""

    kind: MeshKind
    name: str
    operations: tuple[Operation, ...]
    needed: bool = True
    """Whether what comes after it has to wait for it. Not so for a courtesy, which may be refused for ever."""


@dataclass(frozen=True, slots=True)
class SetFinalizer:
    """Hold or release the object's deletion. Held only while the mesh is off its baseline."""

    held: bool


@dataclass(frozen=True, slots=True)
class EmitEvent:
    """A Kubernetes Event on the CanaryRollout; (reason, key or else message) are its identity within a rollout."""

    reason: str
    message: str
    warning: bool = False
    key: str = ""
    """What tells it from others of its reason where the message does not: one that carries the numbers of the moment."""


MeshWrite = CreateObject | PatchObject
Action = CreateObject | PatchObject | SetFinalizer | EmitEvent


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of one pass. `actions` run in order, after `status` is stored; a failing one ends the pass."""

    status: CanaryRolloutStatus
    actions: tuple[Action, ...] = ()
    requeue_after: float | None = None
    """Seconds; None: wait for the next watch event or resync."""
