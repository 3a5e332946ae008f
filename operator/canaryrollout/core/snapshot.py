"""What the core sees of the world: plain, frozen values gathered by the shell in one reconcile pass.

Times are seconds since the epoch. Two clocks occur and are never mixed: API time (the API server's clock, for phases and
time-outs) and Prometheus time (for slices and for a step's observation).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from canaryrollout.api.evidence import Baseline
from canaryrollout.core.surroundings import Surroundings

Raw = Mapping[str, Any]
"""A Kubernetes object as the API server sent it; foreign fields included."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that hinders: a stable machine-readable reason and a sentence that says what to change."""

    reason: str
    message: str


WRITE_REFUSED = "WriteRefused"
"""Reason of the problem that the API server (its access rules, a schema, an admission webhook) refuses a write."""


@dataclass(frozen=True, slots=True)
class VersionPods:
    """The pods of one version of the service.

    `workloads` are the names under which Istio reports them (destination_workload): the owning Deployment, else the
    controller, else the pod itself.
    """

    total: int = 0
    ready: int = 0
    """Pods that are ready endpoints of the Service (EndpointSlice condition ready, not terminating)."""
    workloads: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    """Pods that cannot run (CrashLoopBackOff, image not found), as "POD: reason"."""
    crashing: tuple[str, ...] = ()
    """Pods whose containers end again and again, as "POD: reason, N restarts"."""


@dataclass(frozen=True, slots=True)
class PodSeen:
    """One pod of the service that has not ended."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    ready: bool = False
    """Whether it is a ready endpoint."""


class ProxyState(StrEnum):
    """How far one proxy is with the expected configuration."""

    SYNCED = "Synced"
    PENDING = "Pending"
    """Connected; the configuration is not sent or not acknowledged yet."""
    REJECTED = "Rejected"
    """The proxy answered with a NACK; `detail` carries its own error."""
    UNKNOWN = "Unknown"
    """Runs, but no istiod lists it (cut off from the control plane), or its Envoy cannot be read: it may serve anything."""
    DIFFERS = "Differs"
    """Acknowledged, but its Envoy was read and has something else; `detail` says what."""


@dataclass(frozen=True, slots=True)
class ProxyStatus:
    """One relevant proxy. `proxy` is istiod's own id, "POD.NAMESPACE"; `istiod` the pod that serves it, "" if none."""

    proxy: str
    state: ProxyState
    istiod: str = ""
    detail: str = ""
    kind: str = ""
    """sidecar or router; "" where no istiod lists it."""
    workload: str = ""
    """"NAMESPACE/WORKLOAD", on which what istiod generates for it depends."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What every relevant proxy must serve before the machine goes on.

    `splits` are the weighted splits that the VirtualService must produce: for each HTTP route with a destination of this
    service, a mapping of Envoy-visible (host FQDN, subset) to weight; weight-0 destinations are left out where others
    remain (Envoy omits them). Empty: only clusters are asked for. `subsets` are the subsets whose clusters must exist.
    """

    namespace: str
    host: str
    """FQDN of the service, such as reviews.bookinfo.svc.cluster.local."""
    virtual_service: str
    subsets: tuple[str, ...]
    splits: tuple[tuple[tuple[str, str, int], ...], ...] = ()
    """Each split is a sorted tuple of (host FQDN, subset or "", weight)."""
    required: tuple[tuple[tuple[str, str, int], ...], ...] = ()
    """Splits that every relevant proxy must show: those of routes that no match keeps from some proxies."""
    revision: str = ""
    """resourceVersion of the object since which it asks for this without a break (core.standing): a proof says nothing about what
    was there before, even if it was the same."""
    sidecars: bool = True
    """Whether the VirtualService applies to the service's host in sidecars (gateway "mesh"): they must not keep default routes."""
    visible_in: tuple[str, ...] = ()
    """Namespaces that may see the VirtualService (exportTo); empty: all."""
    sources: tuple[tuple[str, str], ...] = ()
    """(namespace, name) of the VirtualServices under whose names proxies show the routes, where it is not `virtual_service`
    itself: the roots of a delegate."""
    verify: bool = False
    """Whether a sample of the Envoys has to be read as well: their acknowledgement alone is no proof then."""


@dataclass(frozen=True, slots=True)
class EnvoysRead:
    """How many Envoys a report rests on, beyond acknowledgements: all gateways, a sample of the sidecars."""

    gateways: int
    sidecars: int
    of_sidecars: int

    @property
    def total(self) -> int:
        """All that were read."""
        return self.gateways + self.sidecars


@dataclass(frozen=True, slots=True)
class SyncReport:
    """The proof, or what it still lacks. Only `in_sync` may release a step."""

    expectation: Expectation
    generated: bool
    """Every istiod with relevant proxies generates the expected configuration itself."""
    proxies: tuple[ProxyStatus, ...] = ()
    workloads: frozenset[str] = frozenset()
    """"NAMESPACE/WORKLOAD" whose proxies are relevant; persisted, so that a proxy that vanishes from istiod stays expected."""
    problem: Problem | None = None
    """Set when the question could not be answered at all (istiod unreachable, debug access refused)."""
    envoys: EnvoysRead | None = None
    """The Envoys that were read; None where none was asked for, or the acknowledgements are not complete."""

    @property
    def acknowledged(self) -> bool:
        """Whether every relevant proxy has acknowledged what istiod is known to generate, and none was found to differ."""
        return self.problem is None and self.generated and all(p.state is ProxyState.SYNCED for p in self.proxies)

    @property
    def in_sync(self) -> bool:
        """True when every relevant proxy has acknowledged it and, where that is asked for, the Envoys that were read have it."""
        return self.acknowledged and (self.envoys is not None or not self.expectation.verify)

    @property
    def lagging(self) -> tuple[ProxyStatus, ...]:
        """The proxies that hold the proof up, rejected ones first, then those that differ."""
        late = [p for p in self.proxies if p.state is not ProxyState.SYNCED]
        first = (ProxyState.REJECTED, ProxyState.DIFFERS, ProxyState.UNKNOWN)
        return tuple(sorted(late, key=lambda p: (first.index(p.state) if p.state in first else len(first), p.proxy)))


class Reporter(StrEnum):
    """Who counted: the caller's proxy (the user's truth) or the application's own (the application's truth)."""

    SOURCE = "source"
    DESTINATION = "destination"


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests that ended inside a slice.

    A latency threshold between two edges of the histogram leaves some requests in doubt: `slow` are certainly slower than
    the threshold (above the edge at or next above it), `not_fast` are not known to be faster (above the edge at or next below).
    """

    total: float = 0.0
    errors: float = 0.0
    slow: float = 0.0
    timed: float = 0.0
    """Requests in the latency histogram (its +Inf bucket), the denominator of `slow` and `not_fast`."""
    not_fast: float = 0.0
    aborted: float = 0.0
    """Requests whose client gave up before an answer (response code 0): nobody's fault by themselves, not among `errors`."""


@dataclass(frozen=True, slots=True)
class Slice:
    """What one reporter counted in (start, end], Prometheus time."""

    start: float
    end: float
    reporter: Reporter
    canary: Counts
    stable: Counts
    unattributed_errors: float = 0.0
    """5xx of the service's host whose workload the proxy does not know (UH, NC, NR): no version can be read off them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomMetricQuery:
    """A custom metric with its template looked up: either `bad` and `total`, or `value`, are PromQL with placeholders."""

    name: str
    bad: str = ""
    total: str = ""
    value: str = ""
    max_rate: float | None = None
    """Upper limit of bad/total."""
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class CustomSlice:
    """What a custom metric says about the canary in (start, end], Prometheus time.

    A ratio brings `bad` of `total`; a value brings `value`, as of `end`. A metric without data brings no slice, and a problem.
    """

    name: str
    start: float
    end: float
    bad: float = 0.0
    total: float = 0.0
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Poll:
    """A successful poll of the metrics provider.

    `problems` do not void the counts, but forbid a pass: stale series, a pod that is not scraped, a missing bucket.
    """

    time: float
    """Prometheus time up to which everything is counted: the cursor for the next poll."""
    slices: tuple[Slice, ...] = ()
    problems: tuple[Problem, ...] = ()
    now: float | None = None
    """Prometheus time at which it was asked; at or after `time` (None: the same), for slices end on a fixed grid."""
    custom: tuple[CustomSlice, ...] = ()
    baseline: Baseline | None = None
    """Brought by the first poll of a rollout only."""


@dataclass(frozen=True, slots=True)
class PollFailure:
    """The provider did not answer, or not in a form that may be trusted; never counts as anything."""

    problem: Problem


@dataclass(frozen=True, slots=True)
class MeshObjects:
    """The Istio objects of the rollout's namespace, live, as dictionaries."""

    virtual_services: tuple[Raw, ...] = ()
    destination_rules: tuple[Raw, ...] = ()
    since: Mapping[str, str] = field(default_factory=dict)
    """By resourceVersion, the earlier one since which the object has been asking the proxies for the same (core.standing)."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All inputs of one decision."""

    name: str
    namespace: str
    uid: str
    generation: int
    now: float
    """API time."""
    watched_since: float = 0.0
    """API time since which this process has looked at the object without a gap: nobody is late while nobody looks."""
    deleting: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)
    managed_fields: tuple[Raw, ...] = ()
    """metadata.managedFields of the CanaryRollout itself."""
    problems: tuple[Problem, ...] = ()
    """What made observing impossible or is wrong with the object itself: invalid spec, Istio's CRDs missing, claims."""
    service: Raw | None = None
    versions: Mapping[str, VersionPods] = field(default_factory=dict)
    pods: tuple[PodSeen, ...] | None = None
    """All pods of the service, labelled with a version or not; None where they could not be looked at."""
    observed_endpoints: bool = True
    """Whether pods and endpoints could be read at all: no answer is not the same as no endpoint."""
    finalizer_held: bool = False
    mesh: MeshObjects = MeshObjects()
    observed_mesh: bool = True
    """Whether the Istio objects could be read at all: no answer is not the same as no object."""
    surroundings: Surroundings | None = None
    """None in a pass that did not look, and where nothing of it may be read: checks on it are left out."""
    custom_metrics: tuple[CustomMetricQuery, ...] = ()
    """spec.analysis.metrics, as far as they could be looked up."""
    custom_unknown: frozenset[str] = frozenset()
    """Names of the others, each of which is a problem."""
    landed: frozenset[str] = frozenset()
    """Kinds of Istio objects that the pass before this one wrote, as the API server acknowledged."""
    sync: SyncReport | None = None
    poll: Poll | PollFailure | None = None
    poll_due: float | None = None
    """Seconds until another slice is complete, or another try is due; None: as the settings say."""
