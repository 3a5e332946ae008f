"""Since which revision an object has been asking the proxies for the same.

A proof is about one question and holds while the question stands (core.sync). What changes the question has to be proved anew, and
so has what was changed and changed back, for proxies may be on their way to what was there in between. Other edits (an
annotation, a timeout, a route of another service) leave the question alone. Were each of them to begin a new proof, people and
controllers who edit often would hold a rollout up for ever. So an edit is harmless only where *every* revision since the
question first stood is known and asked for the same. Where one may have been missed, the question begins anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from canaryrollout.core.context import Context
from canaryrollout.core.snapshot import Expectation, MeshObjects, Raw


@dataclass(frozen=True, slots=True)
class Standing:
    """A question that stands."""

    question: Expectation
    """Without its revision."""
    since: str
    """The first revision of its object that asked for it, with no other in between."""
    revision: str
    """The latest one that did."""


def stand(known: Standing | None, question: Expectation | None, between: Sequence[Expectation | None] | None) -> Standing | None:
    """What stands after a look. `question` names the object's present revision (None: nothing is asked, a write is due).

    `between` is what each revision after the known one asked for, up to the present one; None where one may have been missed.
    """
    if question is None:
        return None
    bare = replace(question, revision="")
    if known is None or known.question != bare:
        return Standing(bare, question.revision, question.revision)
    if known.revision == question.revision:
        return known
    unbroken = between is not None and all(asked is not None and replace(asked, revision="") == bare for asked in between)
    return Standing(bare, known.since if unbroken else question.revision, question.revision)


def asked(context: Context, item: Raw) -> Expectation | None:
    """What the plan would ask for were the object of this uid as in `item`."""
    mesh = substituted(context.snapshot.mesh, item)
    snapshot = replace(context.snapshot, mesh=replace(mesh, since={}))
    plan = Context(context.spec, context.status, snapshot, context.cluster_domain, limits=context.limits).plan
    return plan.question if plan is not None else None


def asking(question: Expectation, mesh: MeshObjects) -> Raw | None:
    """The object whose revision a question names."""
    objects = (*mesh.virtual_services, *mesh.destination_rules)
    return next((item for item in objects if item["metadata"]["resourceVersion"] == question.revision), None)


def substituted(mesh: MeshObjects, item: Raw) -> MeshObjects:
    """The objects with another state of one of them."""

    def with_it(objects: tuple[Raw, ...]) -> tuple[Raw, ...]:
        return tuple(item if other["metadata"]["uid"] == item["metadata"]["uid"] else other for other in objects)

    return replace(mesh, virtual_services=with_it(mesh.virtual_services), destination_rules=with_it(mesh.destination_rules))
