"""Reading the cluster around one CanaryRollout: its Service, the pods of each version, the Istio objects. No metrics, no proxies."""

import asyncio
from collections.abc import Callable, Sequence

from canaryrollout.api.analysis import CustomMetric
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus
from canaryrollout.controller.pods import seen, versions
from canaryrollout.controller.subject import Object, Subject
from canaryrollout.core.phases import WRITING
from canaryrollout.core.snapshot import CustomMetricQuery, MeshObjects, Problem, Snapshot
from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.errors import Forbidden, KindMissing
from canaryrollout.kube.resources import CANARYROLLOUTS, DESTINATIONRULES, ENDPOINTSLICES, PODS, SERVICES, VIRTUALSERVICES
from canaryrollout.metrics.custom import resolve

FINALIZER = "canaryrollout.io/restore"

MetricLookup = Callable[[tuple[CustomMetric, ...]], tuple[CustomMetricQuery, ...] | Problem]


def no_custom_metrics(metrics: tuple[CustomMetric, ...]) -> tuple[CustomMetricQuery, ...] | Problem:
    """The lookup of an operator without templates."""
    return resolve(metrics, {}, allow_custom=False)


class ClusterReader:
    """Reads live objects, so that no decision rests on a cache that missed an event. The CLI reads with the user's own rights."""

    def __init__(self, kube: KubeClient, lookup: MetricLookup = no_custom_metrics) -> None:
        """`lookup` turns spec.analysis.metrics into queries, or says why it cannot."""
        self._kube = kube
        self._lookup = lookup

    async def read(self, subject: Subject, spec: CanaryRolloutSpec) -> Snapshot:
        """What is there, as a snapshot without proof and poll. Raises ApiError where the API server does not answer."""
        metadata = subject.raw["metadata"]
        namespace = metadata["namespace"]
        service, slices, rollouts, (mesh, missing) = await asyncio.gather(
            self._kube.get(SERVICES, namespace, spec.service),
            self._kube.list(ENDPOINTSLICES, namespace, label_selector=f"kubernetes.io/service-name={spec.service}"),
            self._kube.list(CANARYROLLOUTS, namespace),
            self._mesh(namespace),
        )
        selector = ((service or {}).get("spec") or {}).get("selector") or {}
        pods: Sequence[Object] = ()
        if selector:
            pods = await self._kube.list(PODS, namespace, label_selector=",".join(f"{k}={v}" for k, v in sorted(selector.items())))
        # One by one: a metric that cannot be asked must not keep the others from being judged.
        custom = {metric.name: self._lookup((metric,)) for metric in spec.analysis.metrics}
        unknown = {name: found for name, found in custom.items() if isinstance(found, Problem)}
        found = (subject.problem, missing, _claim(subject.raw, spec, rollouts), *unknown.values())
        problems = tuple(problem for problem in found if problem is not None)
        return Snapshot(
            name=metadata["name"],
            namespace=namespace,
            uid=metadata["uid"],
            generation=metadata.get("generation", 0),
            now=self._kube.server_time(),
            deleting="deletionTimestamp" in metadata,
            annotations=metadata.get("annotations") or {},
            managed_fields=tuple(metadata.get("managedFields") or ()),
            problems=problems,
            service=service,
            versions=versions(pods, slices, _version_label(subject.status, spec)),
            pods=seen(pods, slices) if selector else None,
            observed_endpoints=service is not None,
            finalizer_held=FINALIZER in (metadata.get("finalizers") or []),
            mesh=mesh or MeshObjects(),
            observed_mesh=mesh is not None,
            custom_metrics=tuple(query for found in custom.values() if not isinstance(found, Problem) for query in found),
            custom_unknown=frozenset(unknown),
        )

    async def _mesh(self, namespace: str) -> tuple[MeshObjects | None, Problem | None]:
        """The Istio objects; None where they may not be read."""
        try:
            services, rules = await asyncio.gather(
                self._kube.list(VIRTUALSERVICES, namespace), self._kube.list(DESTINATIONRULES, namespace)
            )
        except KindMissing:
            message = "the cluster does not serve networking.istio.io/v1 VirtualService and DestinationRule: install Istio's CRDs"
            return MeshObjects(), Problem("IstioNotInstalled", message)
        except Forbidden as error:
            return None, Problem("MeshAccessDenied", f"the operator may not read Istio objects here: {error.message}")
        return MeshObjects(tuple(services), tuple(rules)), None


def _version_label(status: CanaryRolloutStatus, spec: CanaryRolloutSpec) -> str:
    """The label by which a rollout under way began: by another one neither of its versions would have a pod."""
    under_way = status.routing is not None and status.phase in WRITING
    return (status.routing.version_label if status.routing and under_way else "") or spec.version_label


def _claim(raw: Object, spec: CanaryRolloutSpec, rollouts: Sequence[Object]) -> Problem | None:
    """The older of two CanaryRollouts for one service wins."""

    def age(item: Object) -> tuple[str, str]:
        return str(item["metadata"]["creationTimestamp"]), str(item["metadata"]["uid"])

    rivals = [other for other in rollouts if (other.get("spec") or {}).get("service") == spec.service and age(other) < age(raw)]
    if not rivals:
        return None
    oldest = min(rivals, key=age)["metadata"]["name"]
    return Problem("ServiceClaimed", f"CanaryRollout {oldest!r} already manages Service {spec.service!r}: keep one of the two")
