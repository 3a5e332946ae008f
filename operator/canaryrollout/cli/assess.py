"""What `plan` says, before it is written in one form or another: findings, routes, and the mesh stage by stage."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus, Phase
from canaryrollout.core import adoption
from canaryrollout.core.context import Context
from canaryrollout.core.findings import Finding, Severity
from canaryrollout.core.guards import start_problem
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.machine import MachineSettings
from canaryrollout.core.observation import limits
from canaryrollout.core.plan import named
from canaryrollout.core.preflight.chain import examine, skipped, structural_problem
from canaryrollout.core.preflight.inputs import Input
from canaryrollout.core.preview import Preview, preview
from canaryrollout.core.route_rule import explain_routes
from canaryrollout.core.snapshot import Problem, Snapshot, VersionPods

SEVERITIES = (Severity.ERROR, Severity.WARNING, Severity.INFO)


@dataclass(frozen=True, slots=True)
class RouteLine:
    """One HTTP route of the VirtualService and what becomes of it."""

    label: str
    path: str
    moves: bool
    explanation: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """Everything that `plan` prints."""

    namespace: str
    name: str
    source: str
    """Where it was read from, for people."""
    spec: CanaryRolloutSpec
    phase: Phase
    findings: tuple[Finding, ...]
    preview: Preview
    virtual_service: str = ""
    routes: tuple[RouteLine, ...] = ()
    forecast: str = ""
    notices: tuple[tuple[str, str], ...] = ()
    not_checked: tuple[str, ...] = ()

    @property
    def worst(self) -> Severity | None:
        """The worst severity that was found."""
        found = {finding.severity for finding in self.findings}
        return next((severity for severity in SEVERITIES if severity in found), None)

    def count(self, severity: Severity) -> int:
        """How many findings of a severity."""
        return sum(1 for finding in self.findings if finding.severity is severity)


def assess(
    spec: CanaryRolloutSpec,
    status: CanaryRolloutStatus,
    snapshot: Snapshot,
    *,
    source: str,
    not_checked: tuple[str, ...] = (),
    coming: Mapping[str, VersionPods] | None = None,
    settings: MachineSettings | None = None,
) -> Assessment:
    """Look at a rollout. `coming` are versions whose workloads are not deployed yet; they count where there are no pods."""
    machine = settings or MachineSettings()
    versions = {**(coming or {}), **{version: pods for version, pods in snapshot.versions.items() if pods.total}}
    seen = replace(snapshot, versions=versions)
    host = ServiceHost(spec.service, snapshot.namespace, machine.cluster_domain)
    shown = preview(spec, status, seen, machine)
    given = Input(seen, spec, host, shown.routing or status.routing)
    found = list(examine(given))
    for problem in (_readiness(spec, status, seen, shown, machine), shown.stopped):
        if problem is not None and all(problem.message not in (finding.problem.message, finding.placed.message) for finding in found):
            found.append(Finding(problem.reason, Severity.ERROR, problem.message))  # reasons: those of conditions
    rollout = status.rollout
    return Assessment(
        snapshot.namespace,
        snapshot.name,
        source,
        spec,
        status.phase,
        tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))),
        shown,
        shown.routing.virtual_service if shown.routing is not None else "",
        _routes(shown, host),
        rollout.forecast if rollout is not None else "",
        tuple((n.reason, n.message) for n in rollout.notices if n.reason not in {f.code for f in found}) if rollout is not None else (),
        (*not_checked, *_left_out(given)),
    )


def _left_out(given: Input) -> tuple[str, ...]:
    """The checks that could not be made, those with one reason together; none where an error of the structure says it all."""
    if structural_problem(given) is not None:
        return ()
    codes: dict[str, list[str]] = {}
    for entry in skipped(given):
        code, _, why = entry.partition(": ")
        codes.setdefault(why, []).append(code)
    return tuple(f"{', '.join(found)}: {why}" for why, found in codes.items())


def _readiness(
    spec: CanaryRolloutSpec, status: CanaryRolloutStatus, seen: Snapshot, shown: Preview, machine: MachineSettings
) -> Problem | None:
    """Why it would not start now, though the objects are right: pods that are missing, unready or crashing."""
    if not shown.stable or spec.version == shown.stable or status.phase not in (Phase.PENDING, Phase.STABLE):
        return None
    if seen.pods is None and not seen.versions:  # nobody could look
        return None
    if status.phase is Phase.PENDING:
        stable = adoption.find_stable(Input(seen, spec, ServiceHost(spec.service, seen.namespace, machine.cluster_domain)))
        if isinstance(stable, Problem):
            return stable
    at_rest = status.model_copy(update={"stable_version": shown.stable})
    return start_problem(Context(spec, at_rest, seen, machine.cluster_domain, limits=limits(spec, at_rest, seen)))


def _routes(shown: Preview, host: ServiceHost) -> tuple[RouteLine, ...]:
    """Of the VirtualService as the rollout finds it."""
    routing, mesh = shown.routing, shown.baseline or shown.before
    service = named(mesh.virtual_services, routing.virtual_service) if routing is not None else None
    if service is None or routing is None:
        return ()
    records = {record.key for record in routing.routes}
    verdicts = explain_routes(service, host, routing.stable_subset, routing.canary_subset, routing.only_routes)
    found = []
    for index, verdict in enumerate(verdicts):
        label = f"route {verdict.name!r}" if verdict.name else f"route {index + 1}"
        moves = verdict.key in records
        # In mid-rollout the routes no longer are what the rule decided on.
        explanation = verdict.explanation if moves is verdict.moves else "moves: so it was decided when the rollout began"
        found.append(RouteLine(label, f"spec.http[{index}]", moves, explanation if moves or not verdict.moves else "stays"))
    return tuple(found)
