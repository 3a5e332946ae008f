"""The command line of `canaryrollout simulate`."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from canaryrollout.cli.main import app
from canaryrollout.simulate import picture
from click.testing import Result
from typer.testing import CliRunner

MANIFEST = """
apiVersion: canaryrollout.io/v1beta1
kind: CanaryRollout
metadata: {name: reviews, namespace: bookinfo}
spec:
  service: reviews
  version: v2
"""
BROKEN = ("--rps", "50", "--canary-errors", "50%", "--runs", "4")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "rollout.yaml"
    path.write_text(MANIFEST)
    return path


def simulate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["simulate", *(str(argument) for argument in arguments)])


def refused(*arguments: object) -> str:
    """The one line of an error."""
    result = simulate(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr.removeprefix("error: ").strip()


def test_the_table_names_outcomes_weights_and_the_reason(manifest: Path) -> None:
    result = simulate("-f", manifest, *BROKEN)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("4 rollouts of reviews to v2: 50 requests/s, scraped every 15 s, errors of the canary 50%")
    assert lines[3].startswith("rolled back      4")
    assert lines[3].endswith("5 % (4)")
    assert "canary requests failed" in lines[-1]
    assert "\x1b" not in result.stdout


def test_json_carries_the_same_numbers(manifest: Path) -> None:
    found = json.loads(simulate("-f", manifest, *BROKEN, "-o", "json").stdout)
    (outcome,) = found["outcomes"]
    assert (found["runs"], outcome["outcome"], outcome["count"], outcome["weights"]) == (4, "RolledBack", 4, {"5": 4})
    assert outcome["interval95"][0] < 1.0 == outcome["interval95"][1]
    assert outcome["failedRequests"]["p50"] > 0


def test_the_same_seed_prints_the_same(manifest: Path) -> None:
    first, again, other = (simulate("-f", manifest, *BROKEN, "--seed", seed).stdout for seed in (1, 1, 2))
    assert first == again != other


def test_a_healthy_release_shows_how_long_each_step_takes(manifest: Path) -> None:
    result = simulate("-f", manifest, "--rps", "500", "--runs", "2", "-o", "json")
    assert [step["weight"] for step in json.loads(result.stdout)["steps"]] == [5, 10, 25, 50, 100]


def test_the_picture_is_a_drawing_with_titles_and_axes(manifest: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.svg"
    assert simulate("-f", manifest, *BROKEN, "--picture", path).exit_code == 0
    texts = [element.text or "" for element in ElementTree.fromstring(path.read_text()).iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0].startswith("reviews to v2: rolled back after ")
    for wanted in ("Canary's weight (%)", "Evidence (logarithmic)", "Failed requests (% of those counted)", "against the canary", "stable"):
        assert wanted in texts
    assert any(text.startswith("rolled back at ") for text in texts)
    assert "time since the rollout began (m:s)" in texts


def test_a_png_is_drawn_by_the_extra(manifest: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.png"
    result = simulate("-f", manifest, *BROKEN, "--picture", path)
    if "no font was found" in result.stderr:
        pytest.skip("this machine has no fonts")
    assert result.exit_code == 0, result.stderr
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_png_without_the_extra_names_it(manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "find_spec", lambda _name: None)
    assert "pip install 'canaryrollout[png]'" in refused("-f", manifest, *BROKEN, "--picture", tmp_path / "run.png")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--canary-errors", "5"), "--canary-errors: '5' is not a percentage: write a percentage between 0% and 100%, such as 1% or 0.5%"),
        (("--scrape-interval", "15"), "--scrape-interval: '15' is not a duration"),
        (("--scrape-interval", "10m"), "--scrape-interval must be between 1s and 5m"),
        (("--picture", "run.gif"), "--picture must end in .svg or .png, not 'run.gif'"),
        (("--picture", "nowhere/run.svg"), "--picture: there is no directory nowhere"),
        (("--prometheus-url", "prometheus:9090"), "--prometheus-url must begin with http:// or https://"),
        (("--prometheus-url", "http://localhost:9", "--since", "1m"), "--since must be between 1h and 90d"),
        (("--prometheus-url", "http://localhost:9", "--bearer-token-file", "none"), "--bearer-token-file: there is no file none"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_write(manifest: Path, arguments: tuple[str, ...], said: str) -> None:
    assert refused("-f", manifest, *arguments).startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "rollout.yaml:1: not valid YAML: "),
        ("kind: Deployment", "the files hold no CanaryRollout (apiVersion canaryrollout.io/v1beta1)"),
        (
            MANIFEST + "---" + MANIFEST.replace("name: reviews,", "name: other,"),
            "the files hold 2 CanaryRollouts, name one or give its file alone: ",
        ),
        (
            MANIFEST.replace("v1beta1", "v1alpha1"),
            "rollout.yaml:2: apiVersion must be canaryrollout.io/v1beta1, not canaryrollout.io/v1alpha1",
        ),
        (MANIFEST + "  sync: {timeout: 60}", "rollout.yaml:8: CanaryRollout reviews: spec.sync.timeout must be a string"),
        (MANIFEST + "  steps: [{weight: 50}]", "spec: step weights must rise"),
        (MANIFEST + "  analysis: {maxErrorRate: lots}", "spec.analysis.maxErrorRate: 'lots' is not a percentage"),
        (MANIFEST.split("spec:", maxsplit=1)[0] + "spec: text", "rollout.yaml:5: CanaryRollout reviews: spec must be an object"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rollout.yaml"
    path.write_text(text)
    assert said in refused("-f", path)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    assert refused("-f", tmp_path / "none.yaml") == f"there is no file {tmp_path / 'none.yaml'}"


def test_standard_input_and_json_are_as_good_as_a_file(manifest: Path) -> None:
    wanted = simulate("-f", manifest, *BROKEN).stdout
    assert wanted
    given = json.dumps(yaml.safe_load(MANIFEST), indent="\t")
    assert CliRunner().invoke(app, ["simulate", "-f", "-", *BROKEN], input=given).stdout == wanted


def worked(parent: int) -> bool:
    """Whether all children of a process are at work."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    ticks = [int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[11]) for child in children]
    return len(ticks) == len(os.sched_getaffinity(0)) and min(ticks) > 20


def test_ctrl_c_ends_it_and_what_it_started(manifest: Path) -> None:
    """Pressed at a terminal it reaches all processes."""
    command = [sys.executable, "-m", "canaryrollout", "simulate", "-f", str(manifest), "--runs", "1000000"]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as started:
        while started.poll() is None and not worked(started.pid):
            time.sleep(0.05)
        os.killpg(started.pid, signal.SIGINT)
        try:
            said, _ = started.communicate(timeout=60)
        finally:
            if started.poll() is None:
                os.killpg(started.pid, signal.SIGKILL)
    assert started.returncode == 130
    assert "Traceback" not in said


def test_custom_metrics_are_left_out_with_a_note(tmp_path: Path) -> None:
    path = tmp_path / "rollout.yaml"
    path.write_text(MANIFEST + "  analysis: {metrics: [{name: orders, value: up, min: '1'}]}")
    result = simulate("-f", path, *BROKEN)
    assert result.exit_code == 0
    assert "custom metrics (spec.analysis.metrics) are left out" in result.stderr


def test_latency_limits_of_single_steps_are_left_out_of_histories_with_a_note(tmp_path: Path) -> None:
    path = tmp_path / "rollout.yaml"
    path.write_text(MANIFEST + "  steps: [{weight: 5, analysis: {maxP99Latency: 1s}}, {weight: 100}]")
    history = simulate("-f", path, "--prometheus-url", "http://127.0.0.1:9")
    note = "maxP99Latency of single steps is left out: the history is counted by that of spec.analysis"
    assert note in history.stderr
    assert note not in simulate("-f", path, *BROKEN).stderr
