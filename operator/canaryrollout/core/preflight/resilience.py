"""Retries, time-outs and outlier detection: what turns a small fault of a canary into a large one, or hides it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from canaryrollout.core.findings import Finding, Severity
from canaryrollout.core.preflight.kinds import Check, Kind
from canaryrollout.core.preflight.matching import matches_of
from canaryrollout.core.preflight.view import POD, Route, View
from canaryrollout.core.shapes import mapping, text, whole

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|ns)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_ON_ANSWERS = frozenset({"5xx", "gateway-error", "retriable-status-codes", "http3-post-connect-failure", "reset"})
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_DEFAULT_EJECTION = 10
"""Percent: Envoy's default of max_ejection_percent."""

TOO_LONG = Kind(
    "RetriesExceedTimeout",
    Severity.WARNING,
    "all tries together may take longer than the route's timeout: the last ones are cut off, and only add load to a slow version",
    "raise timeout above attempts x perTryTimeout, or lower one of the two",
)
REPEATS_WRITES = Kind(
    "RetriesRepeatWrites",
    Severity.WARNING,
    "a route repeats requests that were answered 5xx, writes such as POST too: a failing canary makes them happen twice",
    "give POST a route without such retries, or retry only on connect-failure,refused-stream,unavailable,cancelled",
)
NO_EJECTION = Kind(
    "RetriesWithoutEjection",
    Severity.INFO,
    "a route repeats failed requests and no outlierDetection takes failing pods out: retries go on hitting them",
    "add outlierDetection to the DestinationRule, or to spec.canaryTrafficPolicy for the canary alone",
)
EJECTS_NOBODY = Kind(
    "EjectsNoPod",
    Severity.WARNING,
    "maxEjectionPercent (10 where it is not given) of a version's pods is less than one pod: outlierDetection never takes one out",
    "raise maxEjectionPercent to at least 100 divided by the number of pods",
)


def seconds(given: object) -> float | None:
    """A duration as Istio writes it; None where it is none."""
    parts = _DURATION.findall(given) if isinstance(given, str) else []
    if not parts or "".join(number + unit for number, unit in parts) != given:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _retries(route: Route) -> tuple[Mapping[str, Any], int]:
    """The retry policy that somebody wrote, and its attempts; ({}, 0) for none."""
    retries = mapping(route.raw.get("retries"))
    return retries, whole(retries.get("attempts")) or 0


def retries_fit_the_timeout(view: View) -> Iterator[Finding]:
    """Only where both times are given."""
    for route in view.moving:
        retries, attempts = _retries(route)
        longest, each = seconds(route.raw.get("timeout")), seconds(retries.get("perTryTimeout"))
        if attempts > 0 and longest and each and attempts * each > longest:
            said = f"{route.named} retries {attempts} x {retries['perTryTimeout']}, longer than its timeout {route.raw['timeout']}"
            yield TOO_LONG.found(said, route.subject, f"{route.path}.retries")


def retries_spare_writes(view: View) -> Iterator[Finding]:
    """Retries after an answer, on routes that are not limited to methods that may be repeated."""
    for route in view.moving:
        retries, attempts = _retries(route)
        conditions = {part.strip() for part in str(retries.get("retryOn") or "").split(",") if part.strip()}
        after = sorted(part for part in conditions if part in _ON_ANSWERS or (part.isdigit() and part.startswith("5")))
        matches = matches_of(route.raw)
        harmless = all(text(mapping(match.get("method")).get("exact")) in _REPEATABLE for match in matches)
        if attempts > 0 and after and not harmless:
            said = f"{route.named} retries on {','.join(after)}, whatever the method"
            yield REPEATS_WRITES.found(said, route.subject, f"{route.path}.retries.retryOn")


def retries_are_backed_by_ejection(view: View) -> Iterator[Finding]:
    """Somebody's retries without anybody's outlier detection."""
    if any("outlierDetection" in found.policy for found in view.policies):
        return
    for route in view.moving:
        if _retries(route)[1] > 0:
            said = f"{route.named} retries, and the DestinationRule of {view.host.fqdn} has no outlierDetection"
            yield NO_EJECTION.found(said, route.subject, f"{route.path}.retries")


def ejection_can_happen(view: View) -> Iterator[Finding]:
    """The percentage that holds for the canary against its pods. Envoy ejects none where one more would be above it."""
    pods = view.given.snapshot.versions.get(view.spec.version)
    holding = [p for p in view.policies if p.subset in ("", view.canary_subset) and isinstance(p.policy.get("outlierDetection"), Mapping)]
    if pods is None or pods.total == 0 or not holding:
        return
    found = holding[-1]
    percent = whole(found.policy["outlierDetection"].get("maxEjectionPercent")) or _DEFAULT_EJECTION
    if pods.total * percent < 100:
        counted = f"{pods.total} pod{'s' * (pods.total > 1)}"
        said = f"maxEjectionPercent {percent} of the {counted} of version {view.spec.version} is less than one pod"
        yield EJECTS_NOBODY.found(said, found.subject, f"{found.path}.outlierDetection.maxEjectionPercent")


CHECKS = (
    Check(retries_fit_the_timeout, (TOO_LONG,)),
    Check(retries_spare_writes, (REPEATS_WRITES,)),
    Check(retries_are_backed_by_ejection, (NO_EJECTION,)),
    Check(ejection_can_happen, (EJECTS_NOBODY,), needs=(POD,)),
)
