"""Every case of the corpus on a real API server with Istio's definitions: accepted, read back, moved by the operator's own
writes, and the foreign rest the same to the byte.
"""

import asyncio
import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml
from apiserver import ApiServer
from canaryrollout.api.status import Phase
from canaryrollout.controller.effects import MANAGER
from canaryrollout.core.decision import Action, CreateObject, PatchObject
from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.resources import DESTINATIONRULES, NAMESPACES, VIRTUALSERVICES
from hypothesis import given, settings
from localmesh.binaries import istio_crds

from tests.unit.corpus.case import NAMESPACE, Case, Item, Objects, corpus
from tests.unit.corpus.generated import cases
from tests.unit.corpus.lives import Life, begin, kept, promote, roll_back
from tests.unit.corpus.ours import assert_foreign_survived, promoted, rolled_back, texts
from tests.unit.corpus.schema import spec_schema, stored

RESOURCES = {"VirtualService": VIRTUALSERVICES, "DestinationRule": DESTINATIONRULES}
ALL = list(corpus())
every = pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
moving = pytest.mark.parametrize("case", [case for case in ALL if not case.refused], ids=lambda case: case.name)


@dataclass
class Server:
    """An API server that serves Istio's types, and the operator's client for it."""

    api: ApiServer
    kube: KubeClient
    runner: asyncio.Runner

    def create(self, item: Item) -> Item:
        """Somebody else's object, as the server stored it."""
        metadata = {key: value for key, value in item["metadata"].items() if key != "resourceVersion"}
        return self.api.create(RESOURCES[item["kind"]].path(NAMESPACE), {**item, "metadata": metadata})

    def read(self, item: Item) -> Item:
        found = self.runner.run(self.kube.get(RESOURCES[item["kind"]], NAMESPACE, item["metadata"]["name"]))
        assert found is not None
        return found

    def clear(self) -> None:
        """Delete everything, whatever finalizers it has."""
        for resource in RESOURCES.values():
            for item in self.runner.run(self.kube.list(resource, NAMESPACE)):
                name = item["metadata"]["name"]
                if item["metadata"].get("finalizers"):
                    self.runner.run(self.kube.merge_patch(resource, NAMESPACE, name, {"metadata": {"finalizers": None}}))
                self.runner.run(self.kube.delete(resource, NAMESPACE, name))


@dataclass
class ServedLife(Life):
    """The world of one case whose objects are those on the server."""

    server: Server | None = None

    def act(self, action: Action) -> None:
        """Mesh writes go to the server, by the operator's own client."""
        server = self.server
        assert server is not None
        if isinstance(action, CreateObject):
            stored = server.runner.run(server.kube.create(RESOURCES[action.kind], NAMESPACE, action.body))
        elif isinstance(action, PatchObject):
            patch = server.kube.json_patch(RESOURCES[action.kind], NAMESPACE, action.name, action.operations, manager=MANAGER)
            stored = server.runner.run(patch)
        else:
            super().act(action)
            return
        self.objects[action.kind, action.name] = stored
        self.writes.append(copy.deepcopy(stored))


@pytest.fixture(scope="module")
def with_istio(istio_apiserver: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with asyncio.Runner() as runner:
        kube = runner.run(KubeClient.load(istio_apiserver.write_kubeconfig(tmp_path_factory.mktemp("corpus") / "kubeconfig")))
        runner.run(kube.create(NAMESPACES, None, {"metadata": {"name": NAMESPACE}}))
        yield Server(istio_apiserver, kube, runner)
        runner.run(kube.close())


@pytest.fixture
def server(with_istio: Server) -> Iterator[Server]:
    yield with_istio
    with_istio.clear()


def served(server: Server, case: Case) -> ServedLife:
    """The case on the server, stable pinned."""
    life = begin(case)
    life = ServedLife(case=case, spec=life.spec, versions=life.versions, server=server)
    return life.add(*map(server.create, case.fresh())).run_to(Phase.STABLE)  # type: ignore[return-value]


def without_order(objects: Objects) -> dict[tuple[str, str], str]:
    """As text, keys sorted, as the server gives them."""
    return {key: json.dumps(json.loads(found), sort_keys=True) for key, found in texts(objects).items()}


@every
def test_the_server_keeps_what_the_definitions_know(server: Server, case: Case) -> None:
    for item in case.fresh():
        found = server.read(server.create(item))
        schema = spec_schema(istio_crds(), item["kind"])
        assert found["spec"] == stored(schema, item["spec"])
        assert (found["spec"] == item["spec"]) or case.unknown or "null" in yaml.safe_dump(item["spec"])
        for field in ("labels", "annotations", "finalizers", "ownerReferences"):
            assert (found["metadata"].get(field) or None) == (item["metadata"].get(field) or None)


@moving
def test_a_rollback_on_the_server_gives_back_every_byte(server: Server, case: Case) -> None:
    life = served(server, case)
    if case.adoption == "untouched":
        assert life.writes == []
    before = kept(life)
    roll_back(life, case.canary)
    assert_foreign_survived(case, life, before)
    assert texts({key: server.read(item) for key, item in life.objects.items()}) == texts(rolled_back(case, before))


@moving
def test_a_promotion_on_the_server_changes_what_is_ours_and_nothing_else(server: Server, case: Case) -> None:
    life = served(server, case)
    before = kept(life)
    promote(life, case.canary)
    assert_foreign_survived(case, life, before)
    after = {key: server.read(item) for key, item in life.objects.items()}
    assert without_order(after) == without_order(promoted(case, before))


@moving
def test_nothing_to_do_leaves_the_resource_version_as_it_is(server: Server, case: Case) -> None:
    life = served(server, case)
    settled = life if case.adoption == "untouched" else wait(life)
    versions = {key: item["metadata"]["resourceVersion"] for key, item in settled.objects.items()}
    wait(life)
    assert {key: server.read(item)["metadata"]["resourceVersion"] for key, item in life.objects.items()} == versions


def wait(life: ServedLife) -> ServedLife:
    for _ in range(5):
        life.step()
        life.now += 30
    return life


def test_generated_objects_are_what_the_server_accepts(server: Server) -> None:
    @settings(max_examples=40)
    @given(cases(istio_crds()))
    def check(case: Case) -> None:
        for item in case.fresh():
            del item["metadata"]["resourceVersion"]
            answer = server.api.request("POST", RESOURCES[item["kind"]].path(NAMESPACE) + "?dryRun=All", item)
            assert answer.status_code == 201, answer.text

    check()
