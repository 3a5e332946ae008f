"""Plans for programs: escaping, levels and places."""

import json

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import Phase
from canaryrollout.cli.assess import Assessment
from canaryrollout.cli.offline import Place
from canaryrollout.cli.plan_machine import as_github, as_sarif
from canaryrollout.core.findings import Finding, Severity
from canaryrollout.core.preview import Preview
from canaryrollout.core.snapshot import MeshObjects

FINDINGS = (
    Finding("First", Severity.ERROR, "100% wrong\r\nin two lines: yes, so", "mend it", "VirtualService/a/b", "spec.http[0]"),
    Finding("Second", Severity.WARNING, "doubtful"),
    Finding("Second", Severity.INFO, "fine"),
)


def assessment() -> Assessment:
    spec = CanaryRolloutSpec.model_validate({"service": "reviews", "version": "v2"})
    return Assessment("shop", "reviews", "files", spec, Phase.PENDING, FINDINGS, Preview(MeshObjects()))


def test_github_commands_escape_what_would_end_them() -> None:
    lines = list(as_github(assessment(), lambda finding: Place("a b/c,d:e%.yaml", 7) if finding.code == "First" else None))
    assert lines == [
        "::error title=First,file=a b/c%2Cd%3Ae%25.yaml,line=7::"
        "VirtualService/a/b, spec.http[0]: 100%25 wrong%0D%0Ain two lines: yes, so: mend it",
        "::warning title=Second::doubtful",
        "::notice title=Second::fine",
    ]


def test_sarif_quotes_paths_and_numbers_rules() -> None:
    log = json.loads(json.dumps(as_sarif(assessment(), lambda finding: Place("a b/ü.yaml", 7) if finding.code == "First" else None)))
    run = log["runs"][0]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["First", "Second"]
    assert [(r["ruleId"], r["ruleIndex"], r["level"]) for r in run["results"]] == [
        ("First", 0, "error"),
        ("Second", 1, "warning"),
        ("Second", 1, "note"),
    ]
    (location,) = run["results"][0]["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "a%20b/%C3%BC.yaml"
    assert location["logicalLocations"] == [{"fullyQualifiedName": "VirtualService/a/b spec.http[0]", "kind": "resource"}]


def test_what_is_in_no_file_has_the_name_of_its_object_for_a_file_in_sarif() -> None:
    """Code scanning refuses a whole log in which one result has none, and takes a result for another one when its file changes."""
    (run,) = as_sarif(assessment(), lambda _: None)["runs"]
    places = [
        (r["locations"][0]["physicalLocation"], r["locations"][0]["logicalLocations"][0]["fullyQualifiedName"]) for r in run["results"]
    ]
    rollout = {"artifactLocation": {"uri": "CanaryRollout/shop/reviews"}, "region": {"startLine": 1}}
    assert places == [
        ({"artifactLocation": {"uri": "VirtualService/a/b"}, "region": {"startLine": 1}}, "VirtualService/a/b spec.http[0]"),
        (rollout, "CanaryRollout/shop/reviews"),
        (rollout, "CanaryRollout/shop/reviews"),
    ]
