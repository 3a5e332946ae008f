"""A plan for programs: JSON, SARIF 2.1.0, and GitHub's workflow commands."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from canaryrollout import __version__
from canaryrollout.cli import diffs
from canaryrollout.cli.assess import SEVERITIES, Assessment
from canaryrollout.cli.offline import Place
from canaryrollout.core.findings import Finding, Severity
from canaryrollout.core.preview import without_bookkeeping
from canaryrollout.core.snapshot import MeshObjects

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


Placing = Callable[[Finding], Place | None]


def as_json(found: Assessment, place: Placing) -> dict[str, Any]:
    """The shape that docs/reference/cli.md promises: fields are added, never changed."""
    shown = found.preview
    return {
        "apiVersion": "cli.canaryrollout.io/v1",
        "kind": "Plan",
        "namespace": found.namespace,
        "name": found.name,
        "source": found.source,
        "service": found.spec.service,
        "version": found.spec.version,
        "stable": shown.stable or None,
        "phase": found.phase.value,
        "counts": {severity.value: found.count(severity) for severity in SEVERITIES},
        "findings": [_finding(finding, place(finding)) for finding in found.findings],
        "routes": [{"route": r.label, "path": r.path, "moves": r.moves, "explanation": r.explanation} for r in found.routes],
        "forecast": found.forecast or None,
        "notices": [{"reason": reason, "message": message} for reason, message in found.notices],
        "stages": [_stage(entry) for entry in diffs.stages(shown)],
        "rollback": None if shown.rollback is None else {"restores": shown.restores, "objects": _objects(shown.rollback)},
        "stopped": None if shown.stopped is None else {"reason": shown.stopped.reason, "message": shown.stopped.message},
        "notChecked": list(found.not_checked),
    }


def _finding(finding: Finding, place: Place | None) -> dict[str, Any]:
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "message": finding.message,
        "fix": finding.fix or None,
        "subject": finding.subject or None,
        "path": finding.path or None,
        "file": place.file if place is not None else None,
        "line": place.line if place is not None else None,
    }


def _stage(entry: diffs.StageChanges) -> dict[str, Any]:
    stage = entry.stage
    return {
        "stage": stage.kind.value,
        "step": stage.step or None,
        "weight": stage.weight,
        "changes": [{"subject": change.subject, "diff": "\n".join(change.diff)} for change in entry.changes],
        "objects": _objects(stage.mesh, {change.subject for change in entry.changes}),
    }


def _objects(mesh: MeshObjects, only: set[str] | None = None) -> list[Any]:
    """Objects without what the API server writes; of a stage those that it changes."""
    items = [("DestinationRule", item) for item in mesh.destination_rules] + [("VirtualService", item) for item in mesh.virtual_services]
    named = [(f"{kind}/{item['metadata']['namespace']}/{item['metadata']['name']}", item) for kind, item in items]
    return [without_bookkeeping(item) for subject, item in named if only is None or subject in only]


def as_sarif(found: Assessment, place: Placing) -> dict[str, Any]:
    """A log with one run, as code scanning takes it: each result has a file, and the same one in each run."""
    codes = sorted({finding.code for finding in found.findings})
    driver = {"name": "canaryrollout", "version": __version__, "rules": [{"id": code} for code in codes]}
    results = [_result(found, finding, place(finding), codes.index(finding.code)) for finding in found.findings]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _result(found: Assessment, finding: Finding, place: Place | None, rule: int) -> dict[str, Any]:
    subject = finding.subject or f"CanaryRollout/{found.namespace}/{found.name}"
    # What was read from a cluster or from standard input is in no file: it has the name of its object for one.
    at = place or Place(subject, 1)
    location = {
        "physicalLocation": {"artifactLocation": {"uri": quote(at.file)}, "region": {"startLine": at.line}},
        "logicalLocations": [{"fullyQualifiedName": f"{subject} {finding.path}".strip(), "kind": "resource"}],
    }
    return {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": finding.problem.message},
        "locations": [location],
    }


def as_github(found: Assessment, place: Placing) -> Iterator[str]:
    """Workflow commands: each becomes an annotation of the pull request."""
    for finding in found.findings:
        at = place(finding)
        properties = {"title": finding.code, **({"file": at.file, "line": str(at.line)} if at is not None else {})}
        written = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
        yield f"::{_COMMANDS[finding.severity]} {written}::{_data(finding.placed.message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
