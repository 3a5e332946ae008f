"""Tests in a JSON Patch that an API server cannot make."""

import pytest
from canaryrollout.kube.patches import comparable

VERSION = {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}
WRITE = {"op": "replace", "path": "/spec/http/0/route", "value": [{"a": "ä&"}]}


def named(value: object) -> dict[str, object]:
    return {"op": "test", "path": "/spec/http/0/name", "value": value}


@pytest.mark.parametrize("value", ["main", 'quoted "a\\b"\n\t', {"weight": 5, "headers": {"a/b": "~1"}}, [None, True, 1.5], ""])
def test_what_both_sides_write_alike_is_tested(value: object) -> None:
    assert comparable([VERSION, named(value), WRITE]) == [VERSION, named(value), WRITE]


@pytest.mark.parametrize("value", ["größe", "a&b", "<", ">", "\u2028", "\x00", "\x7f", "\b", [{"a": {"日": 1}}]])
def test_what_they_write_differently_is_left_to_the_resource_version(value: object) -> None:
    assert comparable([VERSION, named(value), WRITE]) == [VERSION, WRITE]


def test_without_a_resource_version_no_test_is_left_out() -> None:
    assert comparable([named("größe"), WRITE]) == [named("größe"), WRITE]
