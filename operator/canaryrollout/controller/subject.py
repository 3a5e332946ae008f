"""A CanaryRollout as read from the API server, as much of it as can be understood.

A spec or status of another version of the operator must not disarm a rollout under way (its rollback, its endpoint checks, its
deletion): what cannot be read is left out there, and named. At rest nothing is lost by waiting, so nothing is guessed.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus
from canaryrollout.core.phases import OFF_BASELINE
from canaryrollout.core.snapshot import Problem

Object = dict[str, Any]

EVIDENCE_LOST = "EvidenceUnreadable"

_MOST_REPAIRS = 100
"""More mistakes than this are not worth the time of a pass."""

_ABOUT: Mapping[tuple[str | int, ...], tuple[str, ...]] = MappingProxyType({(): ("steps",), ("analysis",): ("analysis", "minDuration")})
"""What the rules for a whole object are about: the limits beside it need not go with it."""


@dataclass(frozen=True)
class Subject:
    """A CanaryRollout as read. `problem` says what of it cannot be read; `spec` is None where that forbids every decision.

    With a problem and a spec, the spec is what could be understood: it must not let anything start or pass.
    """

    raw: Object
    spec: CanaryRolloutSpec | None
    status: CanaryRolloutStatus
    problem: Problem | None = None
    lost: Problem | None = None
    """What was dropped from the status, so that the rest could be read: the next status replaces it."""


def parse(raw: Object) -> Subject:
    """A CanaryRollout from the API server. A status that cannot be read is a problem, never a fresh start."""
    try:
        status, lost = _status(raw.get("status") or {})
    except ValidationError as error:
        message = f"status was not written by this operator: {_first('status', error)}"
        return Subject(raw, None, CanaryRolloutStatus(), Problem("UnreadableStatus", message))
    try:
        return Subject(raw, CanaryRolloutSpec.model_validate(raw.get("spec") or {}), status, lost=lost)
    except ValidationError as error:
        problem = Problem("InvalidSpec", _first("spec", error))
        return Subject(raw, _understood(raw.get("spec") or {}, status), status, problem, lost)


def _status(raw: Object) -> tuple[CanaryRolloutStatus, Problem | None]:
    """The status; without the evidence, and then without the baseline, where only these cannot be read."""
    try:
        return CanaryRolloutStatus.model_validate(raw), None
    except ValidationError as error:
        rollout = raw.get("rollout")
        if not isinstance(rollout, dict):
            raise
        lost = Problem(EVIDENCE_LOST, f"the evidence was not written by this operator: counting begins anew ({_first('status', error)})")
        for dropped in ({"evidence"}, {"evidence", "baseline"}):
            kept = {name: value for name, value in rollout.items() if name not in dropped}
            try:
                return CanaryRolloutStatus.model_validate({**raw, "rollout": kept}), lost
            except ValidationError:
                continue
        raise


def _understood(raw: Object, status: CanaryRolloutStatus) -> CanaryRolloutSpec | None:
    """What is certain about a rollout under way, though its spec cannot be read as a whole; None where none is, or too little.

    Versions, label and objects are those that the rollout began with. Of the rest, each field that can be read counts, for the
    owner's limits and policies are better than the defaults. spec.version counts only where it asks for the way back.
    """
    rollout, routing = status.rollout, status.routing
    if rollout is None or routing is None or status.phase not in OFF_BASELINE:
        return None
    certain = {
        "service": raw.get("service"),
        "version": rollout.stable if raw.get("version") == rollout.stable else rollout.version,
        "virtualService": {"name": routing.virtual_service},
        "destinationRule": {"name": routing.destination_rule},
        **({"versionLabel": routing.version_label} if routing.version_label else {}),
    }
    readable = _repaired({**copy.deepcopy(raw), **certain})
    try:
        return CanaryRolloutSpec.model_validate(certain) if readable is None else readable
    except ValidationError:
        return None


def _repaired(spec: Object) -> CanaryRolloutSpec | None:
    """The spec without what cannot be read; None where that cannot be told apart. Changes `spec`."""
    for _ in range(_MOST_REPAIRS):
        try:
            return CanaryRolloutSpec.model_validate(spec)
        except ValidationError as error:
            path = error.errors(include_url=False, include_input=False)[0]["loc"]
            if not _cut(spec, _ABOUT.get(path, path)):
                return None
    return None


def _cut(spec: Object, path: Sequence[str | int]) -> bool:
    """Take out what `path` leads to, or, where that is missing, what it is missing from."""
    holder: Any = spec
    found: list[tuple[Any, str | int]] = []
    for name in path:
        inside = name in holder if isinstance(holder, dict) else isinstance(holder, list) and isinstance(name, int) and name < len(holder)
        if not inside:
            break
        found.append((holder, name))
        holder = holder[name]
    if not found:
        return False
    del found[-1][0][found[-1][1]]
    return True


def _first(part: str, error: ValidationError) -> str:
    details = error.errors(include_url=False, include_input=False)[0]
    path = ".".join((part, *(str(name) for name in details["loc"])))
    return f"{path}: {str(details['msg']).removeprefix('Value error, ')}"
