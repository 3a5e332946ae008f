"""`plan` on files alone: what it prints, in every form, and how it ends."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from canaryrollout.cli.main import app
from click.testing import Result
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = "tests/unit/cli/plan/reviews.yaml"
"""Relative to the root of the repository, as in a pull request's check."""


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def plan(*arguments: object, given: str | None = None) -> Result:
    return CliRunner().invoke(app, ["plan", "--offline", *(str(argument) for argument in arguments)], input=given)


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(Path(EXAMPLE).read_text()))


def written(folder: Path, *objects: object) -> Path:
    path = folder / "objects.yaml"
    path.write_text(yaml.safe_dump_all(objects, sort_keys=False))
    return path


def edited(folder: Path, kind: str, **spec: object) -> Path:
    """The example with another spec of one kind."""
    return written(folder, *({**d, "spec": {**d["spec"], **spec}} if d["kind"] == kind else d for d in documents()))


def refused(*arguments: object, given: str | None = None) -> str:
    """The one line of an error."""
    result = plan(*arguments, given=given)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr.removeprefix("error: ").strip()


def placeless(result: Result) -> list[str]:
    """The lines of a plan without the files that it was read from."""
    return re.sub(r" \([^)\n]*:\d+\)", "", result.stdout).splitlines()[2:]


BROKEN = {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviews", "subset": "v1"}}]}]}
"""Of a second VirtualService for the same host."""


@pytest.fixture
def duplicate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Two VirtualServices for one host, in a file of the working directory."""
    monkeypatch.chdir(tmp_path)
    second = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "a.b", "namespace": "bookinfo"}}
    Path("objects.yaml").write_text(yaml.safe_dump_all([*yaml.safe_load_all((ROOT / EXAMPLE).read_text()), {**second, "spec": BROKEN}]))
    return "objects.yaml"


# What it says


def test_the_plan_of_the_example_is_the_one_in_the_repository() -> None:
    result = plan("-f", EXAMPLE)
    assert result.exit_code == 0, result.output
    assert result.stdout == Path(EXAMPLE).with_suffix(".txt").read_text()


def test_standard_input_gives_the_same() -> None:
    piped, read = plan("-f", "-", given=Path(EXAMPLE).read_text()), plan("-f", EXAMPLE)
    assert placeless(piped) == placeless(read)


def test_a_folder_is_read_with_all_that_is_under_it(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "broken.yaml").write_text("a: [")
    (tmp_path / "values.yaml").write_text("replicas: 3\n")
    (tmp_path / "notes.txt").write_text("a: [")
    for index, document in enumerate(documents()):
        (tmp_path / "deep" / f"{index}.json").write_text(json.dumps(document))
    result = plan("-f", tmp_path)
    assert result.exit_code == 0, result.output
    assert "from 7 files (7 objects)" in result.stdout


def test_a_list_is_as_good_as_documents(tmp_path: Path) -> None:
    path = written(tmp_path, {"apiVersion": "v1", "kind": "List", "items": documents()})
    assert placeless(plan("-f", path)) == placeless(plan("-f", EXAMPLE))


def test_what_names_no_namespace_is_in_the_one_asked_for(tmp_path: Path) -> None:
    for document in (found := documents()):
        del document["metadata"]["namespace"]
    path = written(tmp_path, *found)
    assert plan("-f", path).stdout.startswith("CanaryRollout default/reviews: v1 to v2")
    assert plan("-f", path, "-n", "shop").stdout.startswith("CanaryRollout shop/reviews: v1 to v2")


def test_what_files_cannot_show_is_said_to_be_unchecked_and_is_no_error(tmp_path: Path) -> None:
    kept = [d for d in documents() if d["kind"] not in ("Service", "Deployment")]
    result = plan("-f", written(tmp_path, *kept))
    assert result.exit_code != 7, result.output
    assert "Step 1/" in result.stdout, "routes alone tell what would be written"
    unchecked = result.stdout.split("Not checked\n")[1]
    assert "Service reviews" in unchecked
    assert "the pods of every version" in unchecked


def test_a_version_that_no_pod_template_carries_is_said_to_be_unchecked_too(tmp_path: Path) -> None:
    kept = [d for d in documents() if d["kind"] != "Deployment" or d["spec"]["template"]["metadata"]["labels"]["version"] != "v2"]
    assert "carries version=v2" in plan("-f", written(tmp_path, *kept)).stdout.split("Not checked\n")[1]


def test_versions_are_read_off_the_pod_templates_that_the_service_selects(tmp_path: Path) -> None:
    def serves_v1(document: dict[str, Any]) -> bool:
        return document["kind"] == "Deployment" and document["spec"]["template"]["metadata"]["labels"]["version"] == "v1"

    others = [d for d in documents() if not serves_v1(d)]
    assert 0 < len(others) < len(documents())
    found = json.loads(plan("-f", written(tmp_path, *others), "-o", "json").stdout)
    assert "StableNotReady" in {finding["code"] for finding in found["findings"]}


def test_the_version_that_serves_leaves_nothing_to_plan(tmp_path: Path) -> None:
    result = plan("-f", edited(tmp_path, "CanaryRollout", version="v1"))
    assert result.exit_code == 0, result.output
    assert "bookinfo/reviews: adopts v1, which serves now" in result.stdout


# Forms


def test_a_delegate_whose_root_is_in_another_namespace_is_planned(tmp_path: Path) -> None:
    kept = [d for d in documents() if d["kind"] != "VirtualService"]
    kept[0]["spec"]["virtualService"] = {"name": "routes"}
    route = {"route": [{"destination": {"host": "reviews", "subset": "v1"}}]}
    meta = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService"}
    delegate = {**meta, "metadata": {"name": "routes", "namespace": "bookinfo"}, "spec": {"http": [route]}}
    to = {"delegate": {"name": "routes", "namespace": "bookinfo"}}
    root = {
        **meta,
        "metadata": {"name": "root", "namespace": "edge"},
        "spec": {"hosts": ["a.example.com"], "gateways": ["x"], "http": [to]},
    }
    result = plan("-f", written(tmp_path, *kept, delegate, root))
    assert result.exit_code == 0, result.stdout
    assert "VirtualService/bookinfo/routes" in result.stdout.split("Step 1/")[1]


def test_json_has_the_documented_shape() -> None:
    found = json.loads(plan("-f", EXAMPLE, "-o", "json").stdout)
    text = (ROOT / "docs" / "reference" / "cli.md").read_text()
    assert (found["apiVersion"], found["kind"]) == ("cli.canaryrollout.io/v1", "Plan")
    assert {key for key in found if f"`{key}`" not in text} == {"apiVersion", "kind"}
    assert [(stage["stage"], stage["step"], stage["weight"], len(stage["changes"])) for stage in found["stages"]] == [
        ("adoption", None, 0, 0),
        ("preparation", None, 0, 1),
        ("step", "1/2", 10, 1),
        ("step", "2/2", 100, 1),
        ("promotion", None, 0, 1),
    ]
    assert found["rollback"]["restores"] is True
    (changed,) = found["stages"][2]["objects"]
    assert changed["spec"]["http"][1]["route"][1] == {"destination": {"host": "reviews", "subset": "v2"}, "weight": 10}


def test_a_finding_names_object_file_and_line(duplicate: str) -> None:
    result = plan("-f", duplicate, "-o", "json")
    assert result.exit_code == 7
    found = json.loads(result.stdout)
    (finding,) = found["findings"]
    assert (finding["code"], finding["severity"], finding["file"]) == ("DuplicateVirtualService", "error", duplicate)
    assert isinstance(finding["line"], int)
    assert found["stages"] == []
    assert found["stopped"]["reason"] == "DuplicateVirtualService"


def test_sarif_has_what_code_scanning_requires(duplicate: str) -> None:
    log = json.loads(plan("-f", duplicate, "-o", "sarif").stdout)
    assert set(log) == {"$schema", "version", "runs"}
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "canaryrollout"
    (result,) = run["results"]
    assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "DuplicateVirtualService"
    assert result["level"] == "error"
    assert isinstance(result["message"]["text"], str)
    (location,) = result["locations"]
    physical = location["physicalLocation"]
    assert physical["artifactLocation"] == {"uri": duplicate}
    assert physical["region"]["startLine"] >= 1


def test_what_is_in_no_file_stands_at_the_rollout_in_sarif_because_code_scanning_wants_a_file_for_each(tmp_path: Path) -> None:
    path = written(tmp_path, *(d for d in documents() if d["kind"] != "Service"))
    (run,) = json.loads(plan("-f", path, "-o", "sarif").stdout)["runs"]
    (result,) = run["results"]
    (location,) = result["locations"]
    assert location["physicalLocation"] == {"artifactLocation": {"uri": str(path)}, "region": {"startLine": 1}}
    assert location["logicalLocations"] == [{"fullyQualifiedName": "Service/bookinfo/reviews", "kind": "resource"}]
    (finding,) = json.loads(plan("-f", path, "-o", "json").stdout)["findings"]
    assert finding["file"] is None


def test_sarif_of_standard_input_has_a_place_for_each_finding_that_does_not_change_with_the_lines_above() -> None:
    text = Path(EXAMPLE).read_text()
    logs = [json.loads(plan("-f", "-", "-o", "sarif", given=given).stdout) for given in (text, "# rendered\n" + text)]
    (result,) = logs[0]["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "Service/bookinfo/reviews"},
        "region": {"startLine": 1},
    }
    assert logs[0] == logs[1]


def test_sarif_without_findings_is_still_a_log(tmp_path: Path) -> None:
    log = json.loads(plan("-f", edited(tmp_path, "Deployment", replicas=2), "-o", "sarif").stdout)
    assert log["runs"][0]["results"] == []
    assert log["runs"][0]["tool"]["driver"]["rules"] == []


def test_github_annotations_are_one_line_each(duplicate: str) -> None:
    result = plan("-f", duplicate, "-o", "github")
    (line,) = result.stdout.splitlines()
    assert line.startswith(f"::error title=DuplicateVirtualService,file={duplicate},line=")
    assert "a.b" in line.split("::", 2)[2]


# How it ends


def test_the_exit_code_follows_the_severity_that_is_asked_for(duplicate: str) -> None:
    assert plan("-f", duplicate).exit_code == 7
    assert plan("-f", duplicate, "--fail-on", "warning").exit_code == 7
    assert plan("-f", duplicate, "--fail-on", "never").exit_code == 0
    warned = str(ROOT / EXAMPLE)
    assert [plan("-f", warned, "--fail-on", severity).exit_code for severity in ("error", "warning", "never")] == [0, 8, 0]


def test_malformed_yaml_is_one_line_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\nb: [\n")
    assert refused("-f", path).startswith(f"{path}:3: not valid YAML: ")


def test_no_rollout_and_two_rollouts_are_refused(tmp_path: Path) -> None:
    rollout, *others = documents()
    assert refused("-f", written(tmp_path, *others)) == "the files hold no CanaryRollout (apiVersion canaryrollout.io/v1beta1)"
    second = {**rollout, "metadata": {"name": "second"}}
    assert "the files hold 2 CanaryRollouts, name one or give its file alone: reviews (" in refused(
        "-f", written(tmp_path, rollout, second)
    )


def test_of_several_rollouts_in_a_folder_the_one_that_is_named_is_planned(tmp_path: Path) -> None:
    rollout = next(d for d in documents() if d["kind"] == "CanaryRollout")
    other = {**rollout, "metadata": {"name": "ratings", "namespace": "bookinfo"}, "spec": {"service": "ratings", "version": "v1"}}
    abroad = {**rollout, "metadata": {"name": "reviews", "namespace": "shop"}}
    path = written(tmp_path, *documents(), other)
    assert placeless(plan("reviews", "-f", path)) == placeless(plan("-f", EXAMPLE))
    path = written(tmp_path, *documents(), other, abroad)
    assert "the files hold 2 CanaryRollouts, name one or give its file alone: " in refused("reviews", "-f", path)
    assert placeless(plan("reviews", "-f", path, "-n", "bookinfo")) == placeless(plan("-f", EXAMPLE))


def test_the_same_object_twice_is_refused() -> None:
    assert refused("-f", EXAMPLE, "-f", EXAMPLE) == f"{EXAMPLE}:1: CanaryRollout bookinfo/reviews is already in {EXAMPLE}:1"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"servce": "reviews"}, "spec.servce: there is no such field"),
        ({"stable_version": "v1"}, "spec.stable_version: there is no such field"),
        ({"version": 1.10}, "CanaryRollout reviews: spec.version must be a string"),
        ({"paused": "no"}, "CanaryRollout reviews: spec.paused must be true or false"),
        ({"steps": [{"weight": "100"}]}, "CanaryRollout reviews: spec.steps[0].weight must be a whole number"),
        ({"sync": {"timeout": 60}}, "CanaryRollout reviews: spec.sync.timeout must be a string"),
        ({"steps": [{"weight": 50}, {"weight": 10}]}, "spec: step weights must rise from step to step and the last must be 100"),
        ({"steps": [{"weight": 0}, {"weight": 100}]}, "spec.steps[0].weight: Input should be greater than or equal to 1"),
        ({"analysis": {"maxErrorRate": "lots"}}, "spec.analysis.maxErrorRate: "),
    ],
)
def test_an_invalid_spec_is_one_line_with_its_place(tmp_path: Path, spec: dict[str, Any], said: str) -> None:
    path = edited(tmp_path, "CanaryRollout", **spec)
    line = refused("-f", path)
    assert line.startswith(f"{path}:")
    assert line.split(": ", 1)[1].startswith(said)


@pytest.mark.parametrize(
    ("kind", "spec", "said"),
    [
        ("VirtualService", {"hosts": "reviews"}, "spec.hosts must be a list"),
        (
            "VirtualService",
            {"http": [{"route": [{"destination": {"host": 1}}]}]},
            "spec.http[0].route[0].destination.host must be a string",
        ),
        ("VirtualService", {"http": [{"route": [{"weight": True}]}]}, "spec.http[0].route[0].weight must be a whole number"),
        ("VirtualService", {"http": [{"retries": {"attempts": "3"}}]}, "spec.http[0].retries.attempts must be a whole number"),
        ("VirtualService", {"http": [{"match": [{"headers": ["x"]}]}]}, "spec.http[0].match[0].headers must be an object"),
        (
            "DestinationRule",
            {"trafficPolicy": {"outlierDetection": {"maxEjectionPercent": "50%"}}},
            "spec.trafficPolicy.outlierDetection.maxEjectionPercent must be a whole number",
        ),
        ("DestinationRule", {"subsets": {"name": "v1"}}, "spec.subsets must be a list"),
        ("DestinationRule", {"subsets": [None]}, "spec.subsets[0] is empty"),
        ("Service", {"selector": ["app"]}, "spec.selector must be an object"),
        ("Deployment", {"template": {"metadata": {"labels": {"version": 1}}}}, "spec.template.metadata.labels.version must be a string"),
    ],
)
def test_an_object_that_no_api_server_would_take_is_one_line_with_its_place(
    tmp_path: Path, kind: str, spec: dict[str, Any], said: str
) -> None:
    line = refused("-f", edited(tmp_path, kind, **spec))
    assert line.split(": ", 2)[1].startswith(kind)
    assert line.endswith(said)


def test_an_object_that_nothing_can_read_is_still_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the shapes that are checked leave open."""
    monkeypatch.setattr("canaryrollout.cli.offline.check", lambda _: None)
    path = edited(tmp_path, "Deployment", replicas="many")
    assert "is not what its API asks for (" in refused("-f", path)


def test_objects_that_hold_themselves_or_multiply_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    head = "kind: Service\napiVersion: v1\nmetadata: {name: x}\n"
    path.write_text(f"{head}spec: &a\n  b: [*a, *a]\n")
    assert refused("-f", path).endswith("Service x is too large, or holds itself")
    bomb = "\n".join(f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10) if i else 'x'}]" for i in range(9))
    path.write_text(f"{head}spec:\n{bomb}\n")
    assert refused("-f", path).endswith("Service x is too large, or holds itself")


HEAD = "kind: VirtualService\napiVersion: networking.istio.io/v1\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HEAD}metadata: {{name: x}}\nspec:\n  http: []\n  http: []\n", ":6: 'http' is given twice, in line 5 too"),
        (f"{HEAD}metadata: {{name: 123}}\n", ":1: VirtualService: metadata.name must be a string: write it in quotes"),
        (f"{HEAD}metadata: {{name: on}}\n", ":1: VirtualService: metadata.name must be a string: write it in quotes"),
        (f"{HEAD}metadata: {{}}\n", ":1: VirtualService without metadata.name"),
        (
            f'{HEAD}metadata: {{name: "a\\e[31m"}}\n',
            ":1: VirtualService: metadata.name must be of small letters, digits, '-' and '.', at most 253, it is 'a\\x1b[31m'",
        ),
        (
            f"{HEAD}metadata: {{name: x}}\nspec: {{x: !!binary aA==}}\n",
            ":1: VirtualService x holds a value of type bytes, which is no JSON",
        ),
    ],
)
def test_what_tools_read_in_two_ways_or_not_at_all_is_one_line_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    assert refused("-f", path) == f"{path}{said}"


def test_merge_keys_may_be_overridden_and_other_tools_files_may_repeat_keys(tmp_path: Path) -> None:
    merged = "x-base: &base {name: first, match: [{uri: {prefix: /a}}]}\nroutes:\n- {<<: *base, name: second, 80: eighty}\n"
    path = tmp_path / "x.yaml"
    path.write_text(f"{HEAD}metadata: {{name: other}}\n{merged}---\nkind: ConfigMap\napiVersion: v1\nmetadata: {{name: X}}\na: 1\na: 2\n")
    assert plan("-f", EXAMPLE, "-f", path).exit_code == plan("-f", EXAMPLE).exit_code


def test_another_version_of_the_api_is_named() -> None:
    text = Path(EXAMPLE).read_text().replace("canaryrollout.io/v1beta1", "canaryrollout.io/v2")
    assert refused("-f", "-", given=text) == "<stdin>:1: apiVersion must be canaryrollout.io/v1beta1, not canaryrollout.io/v2"


def test_flags_that_do_not_fit_together_are_refused() -> None:
    assert refused() == "give the name of a CanaryRollout, or files with one (-f)"
    assert refused("ratings", "-f", EXAMPLE) == "the files hold no CanaryRollout ratings (apiVersion canaryrollout.io/v1beta1)"
    assert refused("reviews") == "--offline needs files (-f)"
    assert refused("-f", EXAMPLE, "-n", "shop").endswith("the CanaryRollout is of namespace bookinfo, not of shop (--namespace)")
    assert refused("-f", "nowhere.yaml") == "there is no file nowhere.yaml"


# Documentation


def test_the_reference_names_every_command_and_flag() -> None:
    text = (ROOT / "docs" / "reference" / "cli.md").read_text()
    for command in ("status", "list", "plan", "simulate", "operator", "version"):
        assert f"## canaryrollout {command}" in text
        shown = CliRunner().invoke(app, [command, "--help"], terminal_width=200).stdout
        flags = set() if command == "operator" else set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", shown)) - {"--help"}
        section = text.split(f"## canaryrollout {command}")[1].split("\n## ")[0]
        assert {flag for flag in flags if f"`{flag}`" not in section} - MENTIONED == set(), command


MENTIONED = {"--wait"}
"""Flags that the help of another one speaks of."""


def snippets(language: str) -> list[str]:
    text = (ROOT / "docs" / "how-to" / "plan.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_workflow_of_the_guide_runs_a_plan_that_annotates(duplicate: str) -> None:
    """The command of the workflow's step, on files that have an error, and on files that have none."""
    (workflow,) = (yaml.safe_load(text) for text in snippets("yaml") if "runs-on" in text)
    (command,) = (step["run"] for step in workflow["jobs"]["plan"]["steps"] if "canaryrollout plan" in step.get("run", ""))
    done = run(command, duplicate)
    assert (done.returncode, done.stdout.startswith("::error title=")) == (7, True)
    good = run(command, str(ROOT / EXAMPLE))
    assert (good.returncode, good.stdout.startswith("::warning title=SingleCanaryPod,")) == (0, True)


def test_the_script_of_the_guide_fails_where_the_plan_does_and_keeps_the_report(duplicate: str, tmp_path: Path) -> None:
    (script,) = (text for text in snippets("sh") if "sarif" in text)
    assert run(script, duplicate).returncode == 7
    assert json.loads((tmp_path / "plan.sarif").read_text())["runs"][0]["results"]
    assert run(script, str(ROOT / EXAMPLE)).returncode == 0


def run(script: str, manifests: str) -> "subprocess.CompletedProcess[str]":
    """A snippet of the guide, which calls the folder `deploy/`, with the files of a test."""
    assert "deploy/" in script
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": str(ROOT / "operator")}
    text = script.replace("deploy/", manifests).replace("canaryrollout plan", f"{sys.executable} -m canaryrollout plan")
    return subprocess.run(["bash", "-e", "-c", text], env=environment, capture_output=True, text=True, check=False)
