"""preflight beside `istioctl analyze` on the same files: whatever analyze finds about the Service's VirtualServices and
DestinationRules, preflight finds too or leaves to it on purpose (core.preflight.catalogue).

Services and pods are in a real API server: without one analyze skips the analyzers that look at them.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from apiserver import ApiServer, running_apiserver
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import Routing
from canaryrollout.controller.pods import seen, versions
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.preflight.catalogue import LEFT, STRUCTURE, analyzed
from canaryrollout.core.preflight.chain import KINDS, examine, skipped
from canaryrollout.core.preflight.inputs import Input
from canaryrollout.core.snapshot import MeshObjects, Snapshot
from canaryrollout.core.surroundings import Cluster
from localmesh.binaries import ensure

DATA = Path(__file__).parent / "data" / "preflight"
FILES = sorted(DATA.glob("*.yaml"))
NAMESPACE = "shop"
KINDS_COMPARED = ("VirtualService", "DestinationRule")
CORE = {"Service": "services", "Pod": "pods"}

Object = dict[str, Any]
Analyze = Callable[[Path], list[Object]]


def documents(file: Path) -> list[Object]:
    """The objects of a fixture, as an API server would serve them."""
    found: list[Object] = list(yaml.safe_load_all(file.read_text()))
    for item in found:
        item["metadata"]["resourceVersion"] = "1"
    return found


def given(file: Path) -> Input:
    """What preflight would see if the files were all that there is; every pod is ready."""
    found = documents(file)
    of = {kind: [item for item in found if item["kind"] == kind] for kind in {item["kind"] for item in found}}
    own = {kind: tuple(i for i in items if i["metadata"]["namespace"] == NAMESPACE) for kind, items in of.items()}
    pods = own.get("Pod", ())
    targets = [{"conditions": {"ready": True}, "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"]}} for pod in pods]
    slices = [{"metadata": {"name": "reviews"}, "endpoints": targets}]
    snapshot = Snapshot(
        name="reviews",
        namespace=NAMESPACE,
        uid="uid",
        generation=1,
        now=0.0,
        service=next(iter(own.get("Service", ())), None),
        versions=versions(pods, slices, "version"),
        pods=seen(pods, slices),
        mesh=MeshObjects(own.get("VirtualService", ()), own.get("DestinationRule", ())),
        surroundings=Cluster(of, mesh_config={}).around(NAMESPACE),
    )
    asked = next((item["spec"] for item in own.get("CanaryRollout", ())), {})
    spec = CanaryRolloutSpec.model_validate({"service": "reviews", "version": "v2", **asked})
    routing = Routing(virtual_service="reviews", destination_rule="reviews", stable_subset="v1", canary_subset="v2")
    return Input(snapshot, spec, ServiceHost("reviews", NAMESPACE), routing)


def codes(file: Path) -> set[str]:
    """The codes that preflight finds in a fixture."""
    return {finding.code for finding in examine(given(file))}


@pytest.fixture(scope="module")
def analyze(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Analyze]:
    """istioctl analyze on a fixture, with the fixture's Services and pods in an API server of its own."""
    istioctl = ensure(["istioctl"])["istioctl"]
    folder = tmp_path_factory.mktemp("analyze")
    with running_apiserver(folder) as server:
        config = server.write_kubeconfig(folder / "kubeconfig")
        for namespace in (NAMESPACE, "edge"):
            server.create("/api/v1/namespaces", {"metadata": {"name": namespace, "labels": {"istio-injection": "enabled"}}})
            server.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "default"}})

        def run(file: Path) -> list[Object]:
            core = [item for item in yaml.safe_load_all(file.read_text()) if item["kind"] in CORE]
            istio = [item for item in yaml.safe_load_all(file.read_text()) if item["kind"] not in (*CORE, "CanaryRollout")]
            simulated = folder / file.name
            simulated.write_text(yaml.safe_dump_all(istio))
            for item in core:
                server.create(path_of(item), item)
            try:
                command = [str(istioctl), "analyze", "-A", "--kubeconfig", str(config), "-o", "json", str(simulated)]
                done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
                messages: list[Object] = json.loads(done.stdout)
                return messages
            finally:
                for item in core:
                    remove(server, item)

        yield run


def path_of(item: Object) -> str:
    """Where its collection is."""
    return f"/api/v1/namespaces/{item['metadata']['namespace']}/{CORE[item['kind']]}"


def remove(server: ApiServer, item: Object) -> None:
    """Delete it at once."""
    server.request("DELETE", f"{path_of(item)}/{item['metadata']['name']}", {"gracePeriodSeconds": 0}).raise_for_status()


def about_the_service(messages: list[Object]) -> set[str]:
    """Codes of analyze about VirtualServices and DestinationRules."""
    return {str(m["code"]) for m in messages if str(m.get("origin", "")).split(" ")[0] in KINDS_COMPARED}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_file_shows_what_it_is_named_after(file: Path) -> None:
    found = codes(file)
    assert found == (set() if file.stem == "Sound" else found | {file.stem})
    assert file.stem in STRUCTURE or skipped(given(file)) == ()


def test_there_is_a_file_for_each_code() -> None:
    # What makes a check fail is a mistake in the check, not an object.
    assert {kind.code for kind in KINDS} - {file.stem for file in FILES} == {"CheckFailed"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_analyze_finds_preflight_finds_or_leaves_to_it(file: Path, analyze: Analyze) -> None:
    theirs, ours, table = about_the_service(analyze(file)), codes(file), analyzed()
    unexplained = {code for code in theirs if code not in LEFT and not ours & set(table.get(code, ()))}
    assert unexplained == set(), f"analyze says {sorted(theirs)}, preflight says {sorted(ours)}"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("SubsetMissing", "IST0101"),
        ("PortMismatch", "IST0101"),
        ("DestinationUnknown", "IST0101"),
        ("GatewayNotFound", "IST0101"),
        ("HostClaimedElsewhere", "IST0109"),
        ("DuplicateVirtualService", "IST0109"),
        ("PortUnsaid", "IST0112"),
        ("RouteShadowed", "IST0130"),
        ("MatchShadowed", "IST0131"),
        ("HostNotOnGateway", "IST0132"),
        ("AmbiguousVirtualService", "IST0140"),
        ("SubsetWithoutPods", "IST0173"),
        ("ServiceNotFound", "IST0174"),
        ("Sound", ""),
    ],
)
def test_the_codes_of_analyze_in_the_reference_are_what_it_says(name: str, code: str, analyze: Analyze) -> None:
    found = about_the_service(analyze(DATA / f"{name}.yaml"))
    assert code in found if code else found == set()
