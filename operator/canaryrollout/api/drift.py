"""What is recorded about foreign changes of the weights and subsets that the operator wrote."""

from typing import Annotated, Literal

from pydantic import Field

from canaryrollout.api.model import StatusModel
from canaryrollout.api.quantities import Time

DRIFT_LIMIT = 5
"""Foreign changes within the window after which the operator stops to fight."""

DriftKind = Literal["VirtualService", "DestinationRule"]


class DriftState(StatusModel):
    """Foreign changes, and when the operator writes again."""

    target: Annotated[str, Field(max_length=32)] = Field(default="", description="Digest of what the mesh was last asked to look like.")
    placed: Annotated[tuple[DriftKind, ...], Field(max_length=2)] = Field(
        default=(), description="Objects that have looked like that since: another look at them is a foreign change."
    )
    changed: Annotated[tuple[DriftKind, ...], Field(max_length=2)] = Field(
        default=(), description="Objects that somebody else changed and that are not put back yet."
    )
    clusters_first: bool = Field(
        default=False, description="A subset was taken away: its clusters are proved before weights are written again."
    )
    times: Annotated[tuple[Time, ...], Field(max_length=DRIFT_LIMIT)] = Field(
        default=(), description="API times of the last foreign changes, oldest first."
    )
    next_attempt: Time | None = Field(default=None, description="API time from which the objects are written again.")
    manager: Annotated[str, Field(max_length=128)] = Field(default="", description="Field manager that made the last of them, if known.")
    author: Annotated[str, Field(max_length=256)] = Field(default="", description="The same with operation and time, for people.")
    stopped: bool = Field(default=False, description="At rest: too many changes; nothing is written until somebody resumes.")
    taken_over: Annotated[str, Field(max_length=256)] = Field(
        default="", description="Who changed them as a manager that takes over; nothing is written until somebody resumes."
    )
