"""Objects from files of every kind that people have."""

import json
from pathlib import Path
from typing import Any

import pytest
from canaryrollout.cli.manifests import ManifestsError, read, relevant
from canaryrollout.cli.offline import select, spec_of


def service(name: str, **metadata: object) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, **metadata}, "spec": {"ports": [{"port": 80}]}}


def test_json_may_be_indented_with_tabs(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(service("reviews"), indent="\t"))
    (found,) = read([str(path)])
    assert found.body == service("reviews")
    assert found.line("spec.ports[0].port") == 10


def test_json_may_follow_json_as_jq_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("\n".join(json.dumps(service(name), indent=2) for name in ("a", "b", "c")) + "\n")
    assert [(found.name, found.line(), found.line("spec")) for found in read([str(path)])] == [("a", 1, 7), ("b", 15, 21), ("c", 29, 35)]


@pytest.mark.parametrize(("written", "read_as"), [(r"\ud83d\ude00 \u00fc", "\U0001f600 \u00fc"), (r"\ud83d", "\ufffd")])
def test_letters_of_json_may_be_written_in_halves(tmp_path: Path, written: str, read_as: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(service("a", annotations={"x": "HERE"})).replace("HERE", written))
    assert read([str(path)])[0].body["metadata"]["annotations"] == {"x": read_as}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('a: "\x01"', ": not valid YAML: unacceptable character #x0001: "),
        ("a:\n  {{- toYaml .Values.a }}", ":2: not valid YAML: expected the node content, but found '-' (a template? "),
        (
            json.dumps(service("Reviews")),
            ":1: Service: metadata.name must be of small letters, digits, '-' and '.', at most 253, it is 'Reviews'",
        ),
        (
            json.dumps(service("a" * 254)),
            ":1: Service: metadata.name must be of small letters, digits, '-' and '.', at most 253, it is 'aaa",
        ),
        (
            json.dumps(service("a", namespace="a b")),
            ":1: metadata.namespace must be of small letters, digits and '-', at most 63, it is 'a b'",
        ),
    ],
)
def test_what_no_api_server_would_take_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ManifestsError) as refused:
        relevant(read([str(path)]), "default")
    assert str(refused.value).startswith(f"{path}{said}")


def test_an_empty_namespace_is_as_good_as_none(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("apiVersion: v1\nkind: Service\nmetadata: {name: reviews, namespace: ''}\n")
    (found,) = relevant(read([str(path)]), "shop")
    assert found.body["metadata"]["namespace"] == "shop"


def test_a_whole_number_may_be_written_with_a_point_as_kubectl_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "apiVersion: canaryrollout.io/v1beta1\nkind: CanaryRollout\nmetadata: {name: reviews}\n"
        "spec: {service: reviews, version: v2, steps: [{weight: 5.0}, {weight: 100}]}\n"
    )
    assert [step.weight for step in spec_of(select(read([str(path)]), "shop").rollout).steps] == [5, 100]
