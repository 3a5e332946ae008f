"""The order of the checks. Those of the structure rest on each other, so that the first problem ends the chain; all others
look at an intact structure and are independent.
"""

from collections.abc import Callable

from canaryrollout.core.findings import Finding, Severity
from canaryrollout.core.preflight import gateways, hosts, neighbours, resilience, routes, security, structure, subsets
from canaryrollout.core.preflight.inputs import Input
from canaryrollout.core.preflight.kinds import FAILED, Check, Kind, failed
from canaryrollout.core.preflight.remembered import remembered
from canaryrollout.core.preflight.view import POD, View
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
    hosts.hosts_resolve,
    hosts.delegate_has_root,
    hosts.virtual_service_would_shadow,
    hosts.destination_rule_would_shadow,
)

CHECKS: tuple[Check, ...] = (
    *routes.CHECKS,
    *subsets.CHECKS,
    *security.CHECKS,
    *neighbours.CHECKS,
    *gateways.CHECKS,
    *resilience.CHECKS,
)
"""What else is looked at, in the order in which people should read it."""

KINDS: tuple[Kind, ...] = (*(kind for check in CHECKS for kind in check.kinds), FAILED)


@remembered
def examine(given: Input) -> tuple[Finding, ...]:
    """Everything there is to say, errors of the structure first (then nothing else). What cannot be looked at is left out."""
    problem = structural_problem(given)
    if problem is not None:
        return (Finding(problem.reason, Severity.ERROR, problem.message),)
    view, snapshot = View(given), given.snapshot
    whole = snapshot.pods is not None and snapshot.surroundings is not None and not snapshot.surroundings.unreadable
    return tuple(finding for check in CHECKS if whole or not _lacking(given, check) for finding in _looked(check, view))


def _looked(check: Check, view: View) -> tuple[Finding, ...]:
    """What a check finds. One that raises finds itself: objects of any shape must not end the operator's pass."""
    try:
        return tuple(check.look(view))
    except Exception as error:
        codes = ", ".join(kind.code for kind in check.kinds)
        return (FAILED.found(f"{failed(check.look, error)}, so that {codes} could not be looked for", view.rollout_subject),)


def skipped(given: Input) -> tuple[str, ...]:
    """What was not looked at, as "CODE: why": that such a finding is absent says nothing."""
    if structural_problem(given) is not None:
        return tuple(f"{kind.code}: the structure has to be intact first" for check in CHECKS for kind in check.kinds)
    found = []
    for check in CHECKS:
        lacking, partial = _lacking(given, check), _partial(given, check)
        if lacking:
            why = f"{', '.join(lacking)} could not be read"
        elif partial:
            why = f"{', '.join(partial)} could be read in part only"
        else:
            continue
        found += [f"{kind.code}: {why}" for kind in check.kinds]
    return tuple(found)


def _lacking(given: Input, check: Check) -> tuple[str, ...]:
    """Without which of its inputs a check would guess."""
    around = given.snapshot.surroundings
    missing = [name for name in check.wants if around is None]
    for name in check.needs:
        known = given.snapshot.pods is not None if name == POD else around is not None and around.complete(name)
        missing += [] if known else [name]
    return tuple(missing)


def _partial(given: Input, check: Check) -> tuple[str, ...]:
    around = given.snapshot.surroundings
    return tuple(name for name in check.wants if around is not None and not around.complete(name))


def structural_problem(given: Input) -> Problem | None:
    """What the machine cannot work without, at rest too."""
    return next((problem for check in STRUCTURE if (problem := _asked(check, given)) is not None), None)


def _asked(check: Callable[[Input], Problem | None], given: Input) -> Problem | None:
    """What a check of the structure says. Nothing rests on one that raised."""
    try:
        return check(given)
    except Exception as error:
        return Problem(FAILED.code, f"{failed(check, error)}: {FAILED.fix}")


def first_problem(given: Input) -> Problem | None:
    """What forbids starting a rollout or taking a step."""
    return first_error(examine(given))


def first_error(findings: tuple[Finding, ...]) -> Problem | None:
    """The same, of findings that are known already."""
    return next((finding.placed for finding in findings if finding.severity is Severity.ERROR), None)
