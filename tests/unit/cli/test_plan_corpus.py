"""`plan` on the corpus of routing as companies have it: read from files, each case is foretold as the corpus expects it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from canaryrollout.cli.main import app
from typer.testing import CliRunner

from tests.unit.corpus.case import NAMESPACE, Case, corpus


def workload(case: Case, version: str) -> dict[str, Any]:
    labels = {"app": case.service, case.label: version}
    spec = {"replicas": 3, "template": {"metadata": {"labels": labels}}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": f"w-{version}", "namespace": NAMESPACE}, "spec": spec}


def planned(case: Case, folder: Path) -> dict[str, Any]:
    """What the command says about the case as files."""
    metadata = {"name": case.service, "namespace": NAMESPACE}
    told = {} if case.refused else {"stableVersion": case.stable}  # both versions are deployed, and not every route tells
    spec = {"service": case.service, "version": case.canary, **told, **case.spec}
    rollout = {"apiVersion": "canaryrollout.io/v1beta1", "kind": "CanaryRollout", "metadata": metadata, "spec": spec}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": {"app": case.service}}}
    objects = (rollout, service, workload(case, case.stable), workload(case, case.canary), *case.objects)
    path = folder / "case.yaml"
    path.write_text(yaml.safe_dump_all(json.loads(json.dumps(objects)), sort_keys=False))
    result = CliRunner().invoke(app, ["plan", "--offline", "-f", str(path), "-o", "json"])
    assert result.exit_code in (0, 7), (result.output, result.exception)
    return dict(json.loads(result.stdout))


@pytest.mark.parametrize("case", list(corpus()), ids=lambda case: case.name)
def test_every_case_is_foretold_as_the_corpus_expects_it(case: Case, tmp_path: Path) -> None:
    found = planned(case, tmp_path)
    if case.refused:
        assert (found["stopped"]["reason"], found["stages"]) == (case.refused, [])
        return
    if found["stopped"] is not None:
        assert found["stopped"]["reason"] in {f["code"] for f in found["findings"] if f["severity"] == "error"}
        return
    assert found["stages"][-1]["stage"] == "promotion"
    moved = {index for index, route in enumerate(found["routes"]) if route["moves"]}
    names = [route.get("name") for route in case.virtual_service["spec"]["http"]]
    assert moved == {names.index(move) if isinstance(move, str) else move for move in case.moves}
    assert found["rollback"]["restores"] is True
