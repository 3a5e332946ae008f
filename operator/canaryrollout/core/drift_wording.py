"""What people read about foreign changes, and what they paste to end them."""

from canaryrollout.api.drift import DRIFT_LIMIT, DriftState
from canaryrollout.api.status import Routing
from canaryrollout.core.drift import WINDOW_SECONDS, recent

DRIFT_CONFLICT = "DriftConflict"
"""Reason of a stop because somebody else insists on other weights or subsets."""
DRIFTED = "Drifted"
"""Reason of a wait at rest because routes that were left on stable go elsewhere."""
TAKEN_OVER = "TakenOver"
"""Reason of a pause because people have taken the routing over."""

_ARGOCD = ("argocd", "argo-cd")
_FLUX = ("kustomize-controller", "flux")
_FLUX_HELM = ("helm-controller",)


def drifted(drift: DriftState, routing: Routing, now: float) -> str:
    """One foreign change."""
    names = {"VirtualService": routing.virtual_service, "DestinationRule": routing.destination_rule}
    objects = " and ".join(f"{kind} {names[kind]}" for kind in drift.changed) or "the routes or subsets"
    again = "at once" if drift.next_attempt is None or drift.next_attempt <= now else f"in {drift.next_attempt - now:.0f} s"
    return f"{_who(drift)} changed {objects} ({_count(drift, now)}): to be written {again} and proved again"


def waiting(drift: DriftState, now: float) -> str:
    """While the operator holds back."""
    return f"changed by {_who(drift)}; written again in {max(0.0, (drift.next_attempt or now) - now):.0f} s"


def strayed(drift: DriftState, stable: str, until: str) -> str:
    """At rest, while routes that were left on stable go elsewhere and nothing can be done about it yet."""
    return f"{_who(drift)} sent routes elsewhere that were left on version {stable}: to be put right {until}"


def conflict(drift: DriftState, routing: Routing, now: float, state: str) -> str:
    """Why the operator has stopped, what the traffic is now, and what ends it."""
    return (
        f"{_who(drift)} insists on other weights or subsets ({_count(drift, now)}): {state}. {remedy(drift.manager, routing)} "
        "Then set the annotation canaryrollout.io/resume to a new value"
    )


def remedy(manager: str, routing: Routing) -> str:
    """What to change in the tool that goes by that field manager."""
    service, rule = routing.virtual_service, routing.destination_rule
    group = "group: networking.istio.io"
    if manager.startswith(_ARGOCD):
        return (
            f"Add to the Argo CD Application: spec: {{ignoreDifferences: [{{{group}, kind: VirtualService, name: {service}, "
            f"jqPathExpressions: ['.spec.http[].route']}}, {{{group}, kind: DestinationRule, name: {rule}, "
            "jqPathExpressions: ['.spec.subsets']}], syncPolicy: {syncOptions: [RespectIgnoreDifferences=true, ApplyOutOfSyncOnly=true]}}."
        )
    if manager.startswith(_FLUX):
        return (
            f"Add to the manifests of VirtualService {service} and DestinationRule {rule} that Flux applies: "
            "metadata: {annotations: {kustomize.toolkit.fluxcd.io/ssa: IfNotPresent}}."
        )
    if manager.startswith(_FLUX_HELM):
        return (
            "Add to the HelmRelease: spec: {driftDetection: {mode: enabled, ignore: ["
            f"{{paths: [/spec/http], target: {{kind: VirtualService, name: {service}}}}}, "
            f"{{paths: [/spec/subsets], target: {{kind: DestinationRule, name: {rule}}}}}]}}}}."
        )
    return (
        f"Make {manager or 'whatever writes them'} leave spec.http[].route of VirtualService {service} and spec.subsets of "
        f"DestinationRule {rule} alone, or set the annotation canaryrollout.io/takeover if people mean to route by hand."
    )


def _who(drift: DriftState) -> str:
    return drift.author or "somebody whom the object does not name (an admission webhook, perhaps)"


def _count(drift: DriftState, now: float) -> str:
    count, window = recent(drift, now), f"within {WINDOW_SECONDS / 60:.0f} minutes"
    return f"change {count} {window}" if count < DRIFT_LIMIT else f"at least {count} changes {window}"
