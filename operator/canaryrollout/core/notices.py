"""What people should know of a rollout under way although it does not hold it up: told once, and kept in the status."""

from collections.abc import Iterable

from canaryrollout.api.status import NOTICES_LIMIT, CanaryRolloutStatus, Notice
from canaryrollout.core.findings import Finding, Severity
from canaryrollout.core.printable import shown
from canaryrollout.core.snapshot import Problem


def noted(status: CanaryRolloutStatus, findings: Iterable[Finding]) -> CanaryRolloutStatus:
    """The status with a notice for each code of a warning that it does not have yet; unchanged where nothing is on trial."""
    rollout = status.rollout
    if rollout is None:
        return status
    notices = joined(rollout.notices, _by_code(findings))
    return status if notices == rollout.notices else status.model_copy(update={"rollout": rollout.model_copy(update={"notices": notices})})


def joined(known: tuple[Notice, ...], problems: Iterable[Problem]) -> tuple[Notice, ...]:
    """The notices with those of new reasons, as many as there is room for."""
    said = {notice.reason for notice in known}
    fresh = (Notice(reason=problem.reason, message=shown(problem.message)[:1024]) for problem in problems if problem.reason not in said)
    return (*known, *fresh)[:NOTICES_LIMIT]


def _by_code(findings: Iterable[Finding]) -> list[Problem]:
    """The first warning of each code, with the number of further ones."""
    grouped: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.severity is Severity.WARNING:
            grouped.setdefault(finding.code, []).append(finding)
    return [
        Problem(code, found[0].placed.message + (f" (and {len(found) - 1} more)" if len(found) > 1 else ""))
        for code, found in grouped.items()
    ]
