"""Foreign changes of what the operator wrote: noticing them, and when to write again. Pure, in API time.

A change is foreign when an object that already looked as wanted (or that was just written so) looks otherwise although what is wanted
has not changed. The first one is put right at once, the next ones after 1, 2, 4 and then always 5 s, counted over the last ten
minutes: an emergency edit is undone within seconds, and a tool that insists costs twelve writes a minute at most.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from canaryrollout.api.drift import DRIFT_LIMIT, DriftKind, DriftState
from canaryrollout.core.ownership import Author

WINDOW_SECONDS = 600.0
"""Changes further back are forgotten."""
FIRST_DELAY_SECONDS = 1.0
LAST_DELAY_SECONDS = 5.0

HARM_SECONDS = 0.3
"""How long harm must have lasted before a conflict is answered by a rollback: a tool writes one object after the other."""

KINDS: tuple[DriftKind, ...] = ("DestinationRule", "VirtualService")


def delay(count: int) -> float:
    """Seconds to wait before writing again after the `count`-th foreign change within the window."""
    if count <= 1:
        return 0.0
    return LAST_DELAY_SECONDS if count > DRIFT_LIMIT else min(FIRST_DELAY_SECONDS * 2.0 ** (count - 2), LAST_DELAY_SECONDS)


def recent(state: DriftState, now: float) -> int:
    """Foreign changes within the window."""
    return sum(1 for time in state.times if time > now - WINDOW_SECONDS)


def noticed(before: DriftState | None, after: DriftState | None) -> bool:
    """Whether the second state, of the next pass, knows of a foreign change that the first does not."""
    return after is not None and bool(after.times) and after.times != (before.times if before is not None else ())


def flapping(state: DriftState | None, now: float) -> bool:
    """Whether somebody insists: as many changes within the window as are borne, the last one not put right yet."""
    return state is not None and bool(state.changed) and recent(state, now) >= DRIFT_LIMIT


def lasting(state: DriftState | None, now: float) -> bool:
    """Whether the last foreign change is no longer one half of a bigger one."""
    return state is None or not state.times or now - state.times[-1] >= HARM_SECONDS


def waiting(state: DriftState | None, kind: DriftKind, now: float) -> bool:
    """Whether an object has to be left as somebody made it for a while."""
    return state is not None and kind in state.changed and state.next_attempt is not None and now < state.next_attempt


@dataclass(frozen=True, slots=True)
class Look:
    """What one pass sees of the objects that the operator writes."""

    deviating: frozenset[DriftKind]
    """Those that do not look as wanted."""
    now: float
    author: Author | None = None
    """Who else last touched what deviates."""
    landed: frozenset[str] = frozenset()
    """Those that the last pass wrote."""


def followed(state: DriftState | None, target: str, look: Look) -> DriftState:
    """The state after a look at the mesh while something is under way. `target` is a digest of what is wanted."""
    deviating = look.deviating
    written = look.landed & set(KINDS) if state is not None and state.target == target else frozenset[str]()
    state = aimed(state, target)
    fresh = deviating & (set(state.placed) | written) - (set(state.changed) - written)
    if fresh:
        state = _noticed(state, fresh, look)
    placed = _ordered((set(state.placed) - fresh) | (set(KINDS) - deviating))
    changed = _ordered(set(state.changed) & deviating)
    lost = bool(deviating) and (state.clusters_first or "DestinationRule" in deviating)
    update = {"placed": placed, "changed": changed, "next_attempt": state.next_attempt if changed else None, "clusters_first": lost}
    return state.model_copy(update=update)


def aimed(state: DriftState | None, target: str, deviating: frozenset[DriftKind] = frozenset()) -> DriftState:
    """The state when something is wanted of the mesh: nothing of it is in place yet if that is something new.

    `deviating` are the objects that do not look like that. A subset that is missing by now was perhaps taken away while nobody looked.
    """
    if state is not None and state.target == target:
        return state
    first = "DestinationRule" in deviating
    anew = {"target": target, "placed": (), "changed": (), "next_attempt": None, "clusters_first": first}
    return (state or DriftState()).model_copy(update=anew)


def at_rest(state: DriftState | None, look: Look) -> DriftState | None:
    """The state after a look at the mesh while nothing is under way: whatever deviates is foreign. None: nothing to remember."""
    state = (state or DriftState()).model_copy(update={"target": "", "placed": (), "clusters_first": False})
    deviating, fresh = look.deviating, look.deviating - set(state.changed)
    if fresh and not state.stopped:
        state = _noticed(state, fresh, look)
    changed = _ordered(set(state.changed) & deviating)
    left = {"changed": changed, "next_attempt": state.next_attempt if changed else None, "stopped": state.stopped and bool(deviating)}
    state = state.model_copy(update=left)
    idle = not changed and not state.taken_over and not recent(state, look.now)
    return None if idle else state


def _noticed(state: DriftState, kinds: frozenset[DriftKind], look: Look) -> DriftState:
    now, author = look.now, look.author
    times = (*state.times, now)[-DRIFT_LIMIT:]
    counted = state.model_copy(update={"times": times})
    return counted.model_copy(
        update={
            "changed": _ordered(set(state.changed) | kinds),
            "next_attempt": now + delay(recent(counted, now)),
            "manager": author.manager if author is not None else "",
            "author": str(author)[:256] if author is not None else "",
        }
    )


def _ordered(kinds: Iterable[str]) -> tuple[DriftKind, ...]:
    found = set(kinds)
    return tuple(kind for kind in KINDS if kind in found)
