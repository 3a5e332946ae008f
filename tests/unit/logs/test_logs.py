"""What a log line looks like, whoever wrote it."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from canaryrollout import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The process' logging as it was, pytest's own handlers included."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    output = io.StringIO()
    logs.configure("info", "json", output)
    return output


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_records_are_one_line_of_json_each(stream: io.StringIO) -> None:
    structlog.get_logger("canaryrollout.test").info("step proved", weight=10, proxies=("a", "b"))
    (line,) = lines(stream)
    assert line["event"] == "step proved"
    assert line["weight"] == 10
    assert line["proxies"] == ["a", "b"]
    assert (line["level"], line["logger"]) == ("info", "canaryrollout.test")
    assert line["time"].endswith("Z")


def test_foreign_records_have_the_same_form(stream: io.StringIO) -> None:
    logging.getLogger("some.library").warning("%s of %s", 1, 2)
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["logger"]) == ("1 of 2", "warning", "some.library")
    assert "_record" not in line


def test_the_object_of_a_record_of_kopf_is_copied(stream: io.StringIO) -> None:
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": None, "namespace": "n"}
    logging.getLogger("kopf.objects").warning("seen", extra={"k8s_ref": reference, "k8s_skip": True})
    assert lines(stream)[0]["object"] == {"apiVersion": "v1", "kind": "Pod", "name": "p", "namespace": "n"}


def test_records_below_the_level_are_left_out(stream: io.StringIO) -> None:
    structlog.get_logger("ours").debug("no")
    logging.getLogger("theirs").debug("no")
    assert lines(stream) == []


@pytest.mark.parametrize("name", ["aiohttp.access", "kopf.objects"])
def test_a_line_for_every_event_or_request_is_written_only_when_debugging(stream: io.StringIO, name: str) -> None:
    logging.getLogger(name).info("one more")
    assert lines(stream) == []
    logs.configure("debug", "json", stream)
    logging.getLogger(name).info("one more")
    assert [line["event"] for line in lines(stream)] == ["one more"]


def test_control_characters_are_taken_out_everywhere(stream: io.StringIO) -> None:
    log = structlog.get_logger()
    log.info("a\x1b[31mred\x00\x9b", detail={"k\x07ey": ["x\x1by"]}, error=ValueError("first\r\nsecond"))
    (line,) = lines(stream)
    assert line["event"] == "a[31mred"
    assert line["detail"] == {"key": ["xy"]}
    assert line["error"] == "first second"


def test_user_names_and_passwords_are_taken_out_of_urls_everywhere(stream: io.StringIO) -> None:
    logging.getLogger("theirs").error("cannot reach https://user:p@ss@prom:9090/api?x=a@b")
    structlog.get_logger().info("asked", url="http://token@prom/", nested={"urls": ["https://u:p@h/"]})
    first, second = lines(stream)
    assert first["event"] == "cannot reach https://prom:9090/api?x=a@b"
    assert second["url"] == "http://prom/"
    assert second["nested"] == {"urls": ["https://h/"]}


def test_an_address_without_userinfo_is_left_as_it_is(stream: io.StringIO) -> None:
    structlog.get_logger().info("see https://example.com/@team and mail a@b.example")
    assert lines(stream)[0]["event"] == "see https://example.com/@team and mail a@b.example"


def test_a_traceback_keeps_its_lines(stream: io.StringIO) -> None:
    try:
        {}["missing"]
    except KeyError:
        structlog.get_logger().exception("failed")
    assert "Traceback (most recent call last):\n" in lines(stream)[0]["exception"]


def test_an_exception_loses_its_secrets_and_control_characters(stream: io.StringIO) -> None:
    error = RuntimeError("http://u:hunter2@h/ failed\x1b")
    structlog.get_logger().error("failed", exc_info=error)
    (line,) = lines(stream)
    assert line["exception"] == "RuntimeError: http://h/ failed"


def test_the_console_is_for_people(stream: io.StringIO) -> None:
    output = io.StringIO()
    logs.configure("info", "console", output)
    structlog.get_logger().info("step proved", weight=10)
    assert "step proved" in output.getvalue()
    assert "weight=10" in output.getvalue()


def test_auto_writes_json_where_no_terminal_is() -> None:
    output = io.StringIO()
    logs.configure("info", "auto", output)
    structlog.get_logger().info("hello")
    assert lines(output)[0]["event"] == "hello"
