"""The order of the checks. Those of the structure rest on each other, so that the first problem ends the chain; all others
look at an intact structure and are independent.
"""

from collections.abc import Callable

from canaryrollout.core.findings import Finding, Severity
from canaryrollout.core.preflight import structure
from canaryrollout.core.preflight.inputs import Check, Input
from canaryrollout.core.snapshot import Problem

STRUCTURE: tuple[Callable[[Input], Problem | None], ...] = (
    structure.observed_problem,
    structure.service_exists,
    structure.service_has_selector,
    structure.one_virtual_service_per_host,
    structure.virtual_service_is_clear,
    structure.one_destination_rule_per_host,
    structure.names_are_free,
    structure.subset_name_is_free,
)

CHECKS: tuple[Check, ...] = ()
"""What else is looked at, in the order in which people should read it."""


def examine(given: Input) -> tuple[Finding, ...]:
    """Everything there is to say, errors of the structure first (then nothing else)."""
    problem = structural_problem(given)
    if problem is not None:
        return (Finding(problem.reason, Severity.ERROR, problem.message),)
    return tuple(finding for check in CHECKS for finding in check(given))


def structural_problem(given: Input) -> Problem | None:
    """What the machine cannot work without, at rest too."""
    return next((problem for check in STRUCTURE if (problem := check(given)) is not None), None)


def first_problem(given: Input) -> Problem | None:
    """What forbids starting a rollout or taking a step."""
    return next((finding.problem for finding in examine(given) if finding.severity is Severity.ERROR), None)
