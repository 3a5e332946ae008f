"""An API server in memory, for what a real one cannot be made to do: fail at a chosen request, or change between two."""

import copy
from collections.abc import Callable
from typing import Any

import jsonpatch
from canaryrollout.kube.errors import AlreadyExists, Conflict, NotFound, PreconditionFailed
from canaryrollout.kube.resources import CANARYROLLOUTS, ENDPOINTSLICES, PODS, SERVICES, Resource

Object = dict[str, Any]
NAMESPACE = "shop"


class MemoryApi:
    """The part of KubeClient that the controller uses. `calls` lists the writes; `before` may raise or change things."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.calls: list[tuple[str, str, str]] = []
        self.before: Callable[[str, str, str], None] = lambda verb, plural, name: None
        self.time = 1_700_000_000.0
        self._revision = 0

    def put(self, resource: Resource, item: Object) -> Object:
        """Store an object as somebody else would."""
        self._revision += 1
        stored = copy.deepcopy(item)
        stored["metadata"] = {"namespace": NAMESPACE, "uid": f"uid-{resource.plural}-{stored['metadata']['name']}", **stored["metadata"]}
        stored["metadata"]["resourceVersion"] = str(self._revision)
        self.objects[resource.plural, stored["metadata"]["namespace"], stored["metadata"]["name"]] = stored
        return copy.deepcopy(stored)

    def find(self, resource: Resource, name: str) -> Object:
        """An object as it is stored."""
        return self.objects[resource.plural, NAMESPACE, name]

    def server_time(self) -> float:
        return self.time

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        self.before("get", resource.plural, name)
        return copy.deepcopy(self.objects.get((resource.plural, str(namespace), name)))

    async def list(self, resource: Resource, namespace: str | None, *, label_selector: str = "", field_selector: str = "") -> list[Object]:
        self.before("list", resource.plural, "")
        return [copy.deepcopy(item) for (plural, of, _), item in self.objects.items() if (plural, of) == (resource.plural, namespace)]

    async def create(self, resource: Resource, namespace: str | None, body: Object) -> Object:
        name = body["metadata"]["name"]
        self._called("create", resource, name)
        if (resource.plural, str(namespace), name) in self.objects:
            raise AlreadyExists(409, "AlreadyExists", f"{name} exists")
        return self.put(resource, body)

    async def json_patch(self, resource: Resource, namespace: str | None, name: str, ops: Any, *, manager: str = "") -> Object:
        self._called("json_patch", resource, name)
        try:
            return self.put(resource, jsonpatch.apply_patch(self._existing(resource, namespace, name), list(ops)))
        except jsonpatch.JsonPatchTestFailed as error:
            raise PreconditionFailed(422, "Invalid", "a test failed") from error

    async def merge_patch(self, resource: Resource, namespace: str | None, name: str, body: Object) -> Object:
        self._called("merge_patch", resource, name)
        present = self._existing(resource, namespace, name)
        self._fenced(present, body)
        return self.put(resource, {**present, "metadata": {**present["metadata"], **body["metadata"]}})

    async def replace(self, resource: Resource, namespace: str | None, name: str, body: Object) -> Object:
        self._called("replace", resource, name)
        self._fenced(self._existing(resource, namespace, name), body)
        return self.put(resource, body)

    async def replace_status(self, resource: Resource, namespace: str | None, name: str, body: Object) -> Object:
        self._called("replace_status", resource, name)
        present = self._existing(resource, namespace, name)
        self._fenced(present, body)
        return self.put(resource, {**present, "status": body["status"]})

    async def patch_status(self, resource: Resource, namespace: str | None, name: str, ops: Any) -> Object:
        self._called("patch_status", resource, name)
        present = self._existing(resource, namespace, name)
        try:
            return self.put(resource, {**present, "status": jsonpatch.apply_patch(present, list(ops))["status"]})
        except jsonpatch.JsonPatchTestFailed as error:
            raise PreconditionFailed(422, "Invalid", "a test failed") from error

    def _called(self, verb: str, resource: Resource, name: str) -> None:
        self.calls.append((verb, resource.plural, name))
        self.before(verb, resource.plural, name)

    def _existing(self, resource: Resource, namespace: str | None, name: str) -> Object:
        try:
            return self.objects[resource.plural, str(namespace), name]
        except KeyError:
            raise NotFound(404, "NotFound", f"{name} not found") from None

    @staticmethod
    def _fenced(present: Object, body: Object) -> None:
        if body["metadata"]["resourceVersion"] != present["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "the object has been modified")


def pod(name: str, version: str | None, *, label: str = "version", **metadata: Any) -> Object:
    """A pod of the Deployment reviews-VERSION."""
    labels = {"app": "reviews", "pod-template-hash": "5d4f8c7b9d", **({label: version} if version else {})}
    owner = {"kind": "ReplicaSet", "name": f"reviews-{version}-5d4f8c7b9d", "controller": True}
    return {"metadata": {"name": name, "labels": labels, "ownerReferences": [owner], **metadata}, "status": {"phase": "Running"}}


def endpoint_slice(*ready: str, name: str = "reviews-1", **conditions: bool) -> Object:
    """An EndpointSlice whose endpoints are all in one state, ready by default."""
    state = {"ready": True, **conditions}
    endpoints = [{"conditions": state, "targetRef": {"kind": "Pod", "name": pod_name}} for pod_name in ready]
    return {"metadata": {"name": name, "labels": {"kubernetes.io/service-name": "reviews"}}, "endpoints": endpoints}


def rollout(**spec: Any) -> Object:
    """A CanaryRollout of the Service reviews."""
    return {
        "apiVersion": CANARYROLLOUTS.api_version,
        "kind": CANARYROLLOUTS.kind,
        "metadata": {"name": "reviews", "generation": 1, "creationTimestamp": "2024-01-01T00:00:00Z"},
        "spec": {"service": "reviews", "version": "v1", **spec},
    }


def shop(**spec: Any) -> MemoryApi:
    """A namespace with the Service reviews, one pod each of v1 and v2, both ready, and a CanaryRollout that wants v1."""
    api = MemoryApi()
    api.put(SERVICES, {"metadata": {"name": "reviews"}, "spec": {"selector": {"app": "reviews"}}})
    api.put(PODS, pod("reviews-v1-a", "v1"))
    api.put(ENDPOINTSLICES, endpoint_slice("reviews-v1-a", "reviews-v2-a"))
    api.put(CANARYROLLOUTS, rollout(**spec))
    return api
